package driver

import (
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/handoff"
)

// The defaults of Config.
const (
	DefaultRedisTimeout = 5 * time.Second
	DefaultReadTimeout  = 10 * time.Second
	DefaultStoreTimeout = 10 * time.Second
	DefaultSpoolTimeout = 10 * time.Second
	DefaultMaxClaims    = 8
	DefaultMaxRedisOps  = 12
	DefaultMaxReads     = 64
	DefaultMaxStores    = 16
	DefaultMaxSpools    = 32
	DefaultMaxQueued    = 64
)

// Config bounds the driver. A value of zero or below means the default.
type Config struct {
	// RedisTimeout ends one operation on Redis; default 5 s.
	RedisTimeout time.Duration
	// ReadTimeout ends one read of the database; default 10 s. How long a join
	// waits for it is the machine's to say.
	ReadTimeout time.Duration
	// StoreTimeout ends one write to the database; default 10 s.
	StoreTimeout time.Duration
	// SpoolTimeout ends one write to the local spool; default 10 s.
	SpoolTimeout time.Duration
	// MaxClaims, MaxRedisOps (all but claims), MaxReads, MaxStores and
	// MaxSpools are how many operations run at once, over all players; defaults
	// 8, 12, 64, 16 and 32. A hanging operation takes one slot until its timeout. More claims
	// than the grant connections, or more other operations than the client's
	// connections less what the lease needs, only move the queue to where
	// timeouts run already.
	MaxClaims   int
	MaxRedisOps int
	MaxReads    int
	MaxStores   int
	MaxSpools   int
	// MaxQueued is how many requests, and how many operations not yet begun,
	// one player may have; above it requests are refused with ReasonBusy.
	// Default 64.
	MaxQueued int
	// Server is who this worker is, for the log; empty leaves it out.
	Server handoff.ServerID
	// Incarnation is this start of the worker, for the log of players who
	// changed hands without a check-in; empty leaves it out.
	Incarnation string
	// Logger is named by the caller; nil logs nothing.
	Logger hclog.Logger
	// Registerer gets the driver's metrics; nil registers nothing.
	Registerer prometheus.Registerer
}

// withDefaults returns the config with the defaults filled in.
func (c Config) withDefaults() Config {
	defaultTo(&c.RedisTimeout, DefaultRedisTimeout)
	defaultTo(&c.ReadTimeout, DefaultReadTimeout)
	defaultTo(&c.StoreTimeout, DefaultStoreTimeout)
	defaultTo(&c.SpoolTimeout, DefaultSpoolTimeout)
	defaultTo(&c.MaxClaims, DefaultMaxClaims)
	defaultTo(&c.MaxRedisOps, DefaultMaxRedisOps)
	defaultTo(&c.MaxReads, DefaultMaxReads)
	defaultTo(&c.MaxStores, DefaultMaxStores)
	defaultTo(&c.MaxSpools, DefaultMaxSpools)
	defaultTo(&c.MaxQueued, DefaultMaxQueued)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

func defaultTo[T int | time.Duration](value *T, preset T) {
	if *value <= 0 {
		*value = preset
	}
}
