package redisstore

import (
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
)

// DefaultUpdateTTL is how long data_update outlives its arrival in the database
// unless configured otherwise.
const DefaultUpdateTTL = 24 * time.Hour

// Codec reads packed snapshots.
type Codec interface {
	// Unpack returns an error that wraps handoff.ErrDamaged when the bytes are
	// no sound snapshot.
	Unpack([]byte) (*handoff.Snapshot, error)
}

// Config of a Store.
type Config struct {
	// Space names the keys.
	Space keyspace.Space
	// Server is this worker's server ID; the checkouts carry it.
	Server handoff.ServerID
	// UpdateTTL is how long data_update is kept once the database has it, at
	// least a millisecond; less means DefaultUpdateTTL.
	UpdateTTL time.Duration
	// Incarnation tells this start of the worker from others of the same
	// server ID. The lease is ours when it is a JSON object whose
	// "incarnation" is this text.
	Incarnation string
	// Logger for what no caller is told; nil logs nothing.
	Logger hclog.Logger
}

// Store runs the scripts. All of its methods may be called from many goroutines
// at once.
type Store struct {
	client redis.UniversalClient
	grants redis.UniversalClient
	codec  Codec
	config Config
	logger hclog.Logger
	clock  *clock
	// oneServer says that all keys live on one server, so that two commands on
	// keys of different slots can share a round trip and keep their order.
	oneServer bool
}

// New returns a store. The grants client runs what gives a player to this
// server, Claim; its connections must refuse to come up on a Redis
// that the worker has not settled on (see Identity). The client runs the rest.
func New(client, grants redis.UniversalClient, codec Codec, config Config) *Store {
	if config.UpdateTTL < time.Millisecond {
		config.UpdateTTL = DefaultUpdateTTL
	}
	logger := config.Logger
	if logger == nil {
		logger = hclog.NewNullLogger()
	}
	_, oneServer := grants.(*redis.Client)
	return &Store{
		client: client, grants: grants, codec: codec, config: config, logger: logger,
		clock: newClock(logger), oneServer: oneServer,
	}
}

// playerKeys returns the checkout, fence and update keys, in the order in which
// the scripts take them.
func (s *Store) playerKeys(player handoff.PlayerID) []string {
	space := s.config.Space
	return []string{space.Checkout(player), space.Fence(player), space.Update(player)}
}
