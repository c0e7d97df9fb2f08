package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"github.com/redis/go-redis/v9"
)

// ErrLoading is returned while Redis loads its data. It takes connections and
// even subscriptions meanwhile, but nobody can verify a session: a settle period
// must not begin, let alone end, before that is possible.
var ErrLoading = errors.New("redis is loading its data and will answer when that is done")

// ErrServerChanged is returned by claims while Redis is another server process
// than the one the worker has settled on: it restarted, or another server took
// its place, and what it knows of the other workers' sessions may be gone.
var ErrServerChanged = errors.New("redis is not the server that this worker has settled on")

// Identify returns what tells one Redis server process, in one role, from
// others: the run ID, which is new at every start, and the replication ID,
// which is new at every promotion of a replica. It is "" when Redis does not
// tell, because INFO is forbidden or unknown there. An error means that Redis
// could not be asked, or ErrLoading.
//
// A master that has been without its last replica for repl-backlog-ttl (an
// hour) takes a new replication ID as well; that costs one settle period that
// was not needed.
func Identify(ctx context.Context, conn redis.Cmdable) (string, error) {
	pipe := conn.Pipeline()
	// One command each, since Redis 6 takes one section at a time.
	persistence := pipe.Info(ctx, "persistence")
	server := pipe.Info(ctx, "server")
	replication := pipe.Info(ctx, "replication")
	if _, err := pipe.Exec(ctx); err != nil && !answered(err) {
		return "", fmt.Errorf("identify redis: %w", err)
	}
	// Each command carries its own error.
	loading, err := infoField(persistence, "loading")
	if err != nil {
		return "", fmt.Errorf("identify redis: %w", mend(err))
	}
	if loading == "1" {
		return "", fmt.Errorf("identify redis: %w", ErrLoading)
	}
	run, err := infoField(server, "run_id")
	if err != nil {
		return "", fmt.Errorf("identify redis: %w", mend(err))
	}
	history, err := infoField(replication, "master_replid")
	if err != nil {
		return "", fmt.Errorf("identify redis: %w", mend(err))
	}
	if run == "" || history == "" {
		return "", nil
	}
	return run + "/" + history, nil
}

// infoField returns a field of an INFO reply, "" when there is none or INFO is
// not to be had.
func infoField(info *redis.StringCmd, field string) (string, error) {
	text, err := info.Result()
	if err != nil && !untold(err) {
		return "", err
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, field+":"); found {
			return strings.TrimSpace(value), nil
		}
	}
	return "", nil
}

// untold reports whether Redis declined for good to answer INFO. What passes (a
// server that loads, a connection that broke) is none of it: without an answer
// no connection may come up.
func untold(err error) bool {
	if !answered(err) {
		return false
	}
	for _, passing := range []string{"LOADING", "MASTERDOWN", "BUSY", "NOAUTH", "CLUSTERDOWN", "TRYAGAIN"} {
		if redis.HasErrorPrefix(err, passing) {
			return false
		}
	}
	return true
}

// IdentityConfig of an Identity.
type IdentityConfig struct {
	// Changed is called when Redis turned out to be another server than
	// before. It must begin the settle period (rule R1) before it returns,
	// and must not block: connections wait for it. Nil does nothing.
	Changed func(old, new string)
	// Settled reports whether no settle period runs; connections for grants
	// come up only then. Nil means always.
	Settled func() bool
	// Logger for what no caller is told; nil logs nothing.
	Logger hclog.Logger
}

// Identity keeps claims off a Redis that the worker has not settled on.
//
// A client of redis-server notices a restart or a failover in one way only: it
// gets a new connection. The pub/sub connection may get its own much later than
// the pool. So every connection is identified when it comes up, by the hooks
// below, before any command can use it:
//
//   - The first server seen is adopted. When another one is seen, Changed is
//     called, and after it has returned the other is adopted.
//   - No connection comes up while the server loads its data, so whoever
//     notices a new server can verify its sessions there at once.
//   - A connection for grants comes up only on the adopted server, only when
//     Settled says so, and not on the connection that discovered the change.
//
// Therefore no claim runs on a server before the settle period that its
// appearance began is over, however old the decision to claim is: a claim that
// was decided before the change needs a connection to the new server, and gets
// none.
//
// When Redis does not tell who it is, this protection is not there; that is
// logged once.
type Identity struct {
	config IdentityConfig
	logger hclog.Logger

	generation atomic.Uint64 // how often another server took the place of the adopted one

	mu      sync.Mutex
	seen    bool   // whether any server was adopted
	adopted string // its identity
	untold  bool   // whether it was logged that Redis does not tell
}

// NewIdentity returns an Identity that has seen no server yet.
func NewIdentity(config IdentityConfig) *Identity {
	if config.Changed == nil {
		config.Changed = func(string, string) {}
	}
	if config.Settled == nil {
		config.Settled = func() bool { return true }
	}
	logger := config.Logger
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	return &Identity{config: config, logger: logger}
}

// OnConnect is the redis.Options.OnConnect of the client for everything but
// grants. It fails when Redis could not be asked who it is, and with ErrLoading.
func (i *Identity) OnConnect(ctx context.Context, conn *redis.Conn) error {
	identity, err := Identify(ctx, conn)
	if err != nil {
		return err
	}
	i.observe(identity)
	return nil
}

// OnGrantConnect is the redis.Options.OnConnect of the client for grants. It
// fails like OnConnect, and with ErrServerChanged while the server is not one to
// grant on.
func (i *Identity) OnGrantConnect(ctx context.Context, conn *redis.Conn) error {
	identity, err := Identify(ctx, conn)
	if err != nil {
		return err
	}
	if i.observe(identity) || !i.config.Settled() {
		return ErrServerChanged
	}
	return nil
}

// Generation counts how often another server took the place of the one before;
// it begins at 0 and is raised before Changed is called. As long as it stays the
// same, Redis is the same process in the same role, as far as the connections
// made meanwhile have shown (rule R7). It never rises while Redis does not tell
// who it is.
func (i *Identity) Generation() uint64 { return i.generation.Load() }

// Told reports whether Redis tells which server it is. Where it does not, every
// new connection may be one to a server that was restarted.
func (i *Identity) Told() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return !i.untold
}

// observe adopts a server and reports whether it took the place of another.
// Connections wait for each other here, so that none is used on the new server
// before Changed has returned.
func (i *Identity) observe(identity string) (changed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if identity == "" && !i.untold {
		i.untold = true
		i.logger.Warn("redis does not tell which server it is: a restart may be noticed late", "mend", "allow the redis user the command INFO")
	}
	old := i.adopted
	changed = i.seen && old != identity
	if changed {
		i.generation.Add(1)
		i.config.Changed(old, identity)
	}
	i.seen, i.adopted = true, identity
	return changed
}
