package localapi

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Defaults of Config.
const (
	DefaultWaitTimeout   = 30 * time.Second
	DefaultMaxWait       = 5 * time.Minute
	DefaultMaxSnapshot   = 10 << 20
	DefaultMaxJoins      = 10_000
	DefaultMaxCalls      = 4_096
	DefaultStopTimeout   = 5 * time.Second
	DefaultArriveTimeout = 30 * time.Second
	DefaultSendTimeout   = 30 * time.Second
)

// ErrBadConfig is returned by New when a Config or Ports cannot work.
var ErrBadConfig = errors.New("localapi: unusable configuration")

// Config of a Server. Zero values mean the defaults.
type Config struct {
	// Server is this worker's own ID. Must be set.
	Server handoff.ServerID
	// Listen is api.listen: unix:///path or tcp://host:port. Must be set.
	Listen string
	// TokenFile is api.token_file: it holds the bearer token that callers must
	// send. Must be set for TCP; empty on a Unix socket asks for no token.
	TokenFile string
	// AllowPublic is api.allow_public: permits a TCP address that is not a
	// loopback one.
	AllowPublic bool
	// WaitTimeout is sync.wait_timeout: how long a Join waits that does not
	// say. Default 30 s.
	WaitTimeout time.Duration
	// MaxWait is the longest a Join may ask for. Default 5 min.
	MaxWait time.Duration
	// MaxSnapshot is snapshots.max_size, in bytes. Default 10 MiB.
	MaxSnapshot int64
	// AutoPin is snapshots.auto_pin: the save causes whose snapshots are
	// pinned. Default none.
	AutoPin []string
	// MaxJoins bounds the joins that wait at once. Default 10,000.
	MaxJoins int
	// MaxCalls bounds the other calls of games that are under way at once.
	// Default 4,096.
	MaxCalls int
	// StopTimeout is how long Execute lets running calls finish after
	// Interrupt, and how long a save is waited for whose caller hung up.
	// Default 5 s.
	StopTimeout time.Duration
	// ArriveTimeout is how long a request may take to arrive. Default 30 s.
	ArriveTimeout time.Duration
	// SendTimeout is how long one answer or one event may take to be read by
	// the client. Default 30 s.
	SendTimeout time.Duration
}

// Ports are what a Server works on. All must be set.
type Ports struct {
	Sessions   Sessions
	Game       GameLink
	Worker     Worker
	Checkouts  Checkouts
	Releases   Releases
	Gate       Gate
	Logger     hclog.Logger
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	c.WaitTimeout = orDefault(c.WaitTimeout, DefaultWaitTimeout)
	c.MaxWait = max(orDefault(c.MaxWait, DefaultMaxWait), c.WaitTimeout)
	c.MaxSnapshot = orDefault(c.MaxSnapshot, DefaultMaxSnapshot)
	c.MaxJoins = orDefault(c.MaxJoins, DefaultMaxJoins)
	c.MaxCalls = orDefault(c.MaxCalls, DefaultMaxCalls)
	c.StopTimeout = orDefault(c.StopTimeout, DefaultStopTimeout)
	c.ArriveTimeout = orDefault(c.ArriveTimeout, DefaultArriveTimeout)
	c.SendTimeout = orDefault(c.SendTimeout, DefaultSendTimeout)
	return c
}

func orDefault[T int | int64 | time.Duration](value, standard T) T {
	if value == 0 {
		return standard
	}
	return value
}

func (c Config) validate() error {
	if _, err := handoff.ParseServerID(string(c.Server)); err != nil {
		return fmt.Errorf("%w: %w", ErrBadConfig, err)
	}
	for name, value := range map[string]int64{
		"wait timeout": int64(c.WaitTimeout), "longest wait": int64(c.MaxWait),
		"snapshots.max_size": c.MaxSnapshot, "number of joins": int64(c.MaxJoins),
		"number of calls": int64(c.MaxCalls), "stop timeout": int64(c.StopTimeout),
		"arrive timeout": int64(c.ArriveTimeout), "send timeout": int64(c.SendTimeout),
	} {
		if value < 0 {
			return fmt.Errorf("%w: the %s is negative", ErrBadConfig, name)
		}
	}
	return nil
}

func (p Ports) validate() error {
	if p.Sessions == nil || p.Game == nil || p.Worker == nil || p.Checkouts == nil || p.Releases == nil ||
		p.Gate == nil || p.Logger == nil || p.Registerer == nil {
		return fmt.Errorf("%w: a port is missing", ErrBadConfig)
	}
	return nil
}
