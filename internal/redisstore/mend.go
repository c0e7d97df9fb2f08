package redisstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"
)

// mends tells operators what to do about what Redis refuses. Redis 6 wraps an
// error inside a script in words of its own, so the codes are looked for
// anywhere in the text; which mend is shown is all that depends on it.
var mends = []struct{ code, text string }{
	{"WRONGTYPE", "a key of syncworker holds a value that syncworker did not write: look at it with TYPE, then move or delete it"},
	{"OOM", "redis has reached maxmemory: raise it, and keep maxmemory-policy at noeviction, since these keys must not be evicted"},
	{"READONLY", "this server is a replica: redis.addresses must lead to the master"},
	{"LOADING", "redis is loading its data and will answer when that is done"},
	{"MASTERDOWN", "this server is a replica that lost its master: redis.addresses must lead to the master"},
	{"NOREPLICAS", "redis has fewer good replicas than min-replicas-to-write: bring them back"},
	{"MISCONF", "redis cannot save to its disk: see its log, then free space or mend the permissions"},
	{"NOPERM", "the redis user may not do this: allow it the keys of the namespace, and the channels and commands listed in docs/operations.md"},
	{"The user executing the script can't run", "the redis user may not do this: allow it the keys of the namespace, and the channels and commands listed in docs/operations.md"}, // Redis 7.0, inside a script.
	{"NOAUTH", "redis wants a password: set redis.password_file"},
	{"WRONGPASS", "redis refused the user or the password: check redis.username and redis.password_file"},
	{"CLUSTERDOWN", "the redis cluster is not complete: see CLUSTER INFO"},
	{"CROSSSLOT", "a proxy or a cluster does not keep the keys of one player together"},
	{"BUSY", "somebody else's script is blocking redis: see SCRIPT KILL"},
}

// mend adds to an error that Redis answered what can be done about it.
func mend(err error) error {
	if !answered(err) {
		return err
	}
	text := err.Error()
	for _, m := range mends {
		if strings.Contains(text, m.code) {
			return fmt.Errorf("%w (%s)", err, m.text)
		}
	}
	return err
}

// answered reports whether the error is one that Redis answered; any other is
// one of the connection or of the caller.
func answered(err error) bool {
	_, is := errors.AsType[redis.Error](err)
	return is
}
