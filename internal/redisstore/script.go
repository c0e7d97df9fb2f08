package redisstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"strconv"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/handoff"
)

//go:embed lua/*.lua
var sources embed.FS

// The scripts. Each is one round trip: EVALSHA, and EVAL where Redis does not
// know the script (first use, SCRIPT FLUSH, a restart, a failover).
var (
	claimScript    = script("common", "claim")
	takeOverScript = script("common", "take_over")
	updateScript   = script("common", "write", "update")
	checkInScript  = script("common", "write", "check_in")
	releaseScript  = script("common", "release")
	resumeScript   = script("common", "resume")
	sweepScript    = script("common", "sweep")
	freeScript     = script("common", "free")
	expireScript   = script("common", "expire")
	inspectScript  = script("common", "inspect")
	delistScript   = script("delist")
	unstoredScript = script("unstored")

	leaseAcquireScript = script("lease_acquire")
	leaseRenewScript   = script("lease_renew")
	leaseSwapScript    = script("lease_swap")
	leaseDropScript    = script("lease_drop")
	leaseReadScript    = script("lease_read")
)

// script joins the named files into one script.
func script(names ...string) *redis.Script {
	var source []byte
	for _, name := range names {
		part, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // The files are part of the program; any test finds this.
		}
		source = append(source, part...)
	}
	return redis.NewScript(string(source))
}

// errReply is returned when a script answers what no script here answers.
var errReply = errors.New("redisstore: redis gave an unexpected reply")

// reply is what a script answered: a word, and fields that depend on it.
type reply []string

// word returns the first field.
func (r reply) word() string {
	if len(r) == 0 {
		return ""
	}
	return r[0]
}

// field returns a field, "" when there is none.
func (r reply) field(i int) string {
	if i >= len(r) {
		return ""
	}
	return r[i]
}

// number returns a field that is a decimal number.
func (r reply) number(i int) (int64, error) {
	n, err := strconv.ParseInt(r.field(i), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: field %d of %d is %.40q", errReply, i, len(r), r.field(i))
	}
	return n, nil
}

// holder returns the fields i and i+1 as a holder.
func (r reply) holder(i int) (handoff.Holder, error) {
	fence, err := r.number(i + 1)
	if err != nil {
		return handoff.Holder{}, err
	}
	return handoff.Holder{Server: handoff.ServerID(r.field(i)), Fence: handoff.Fence(fence)}, nil
}

// unexpected is the error of a reply that starts with an unknown word.
func (r reply) unexpected() error {
	return fmt.Errorf("%w: %.40q", errReply, r.word())
}

// run runs a script on the client for everything but claims.
func (s *Store) run(ctx context.Context, script *redis.Script, keys []string, args ...any) (reply, error) {
	return received(script.Run(ctx, s.client, keys, args...))
}

// received takes the reply out of a command that was run.
func received(command *redis.Cmd) (reply, error) {
	fields, err := command.StringSlice()
	if err != nil {
		return nil, mend(err)
	}
	return fields, nil
}
