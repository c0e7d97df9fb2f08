package snapshotstore

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/sony/gobreaker/v2"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Defaults of BreakerConfig.
const (
	// DefaultReadTimeout is what a zero BreakerConfig.ReadTimeout means.
	DefaultReadTimeout = 250 * time.Millisecond
	// DefaultWriteTimeout is what a zero BreakerConfig.WriteTimeout means.
	DefaultWriteTimeout = time.Second
	// DefaultFailures is what a zero BreakerConfig.Failures means.
	DefaultFailures = 3
	// DefaultProbe is what a zero BreakerConfig.Probe means.
	DefaultProbe = time.Second
)

// ErrBreakerOpen is returned without asking the database, because it did not
// answer, or not in time, a moment ago. It says nothing about what is stored
// (law L3).
var ErrBreakerOpen = errors.New("snapshotstore: database does not answer, not asked again yet")

// errSlow is what an answer out of time counts as.
var errSlow = errors.New("snapshotstore: slow answer")

// Archive is what a Breaker stands in front of.
type Archive interface {
	Newest(ctx context.Context, player handoff.PlayerID) (*handoff.Snapshot, error)
	Insert(ctx context.Context, s *handoff.Snapshot, packed []byte, as handoff.StoredAs) (conflict bool, err error)
}

// BreakerConfig configures a Breaker.
type BreakerConfig struct {
	// ReadTimeout is database.read_timeout: a read that takes longer counts as
	// a failure. Its result is delivered all the same. Zero means
	// DefaultReadTimeout.
	ReadTimeout time.Duration
	// WriteTimeout is the same for Insert. Zero means DefaultWriteTimeout.
	WriteTimeout time.Duration
	// Failures is how many failures in a row open the breaker. Zero means
	// DefaultFailures.
	Failures int
	// Probe is the time between two calls that an open breaker lets through to
	// find out whether the database is back. Zero means DefaultProbe.
	Probe time.Duration
	// Logger is told when the breaker opens and closes. Nil means no log.
	Logger hclog.Logger
	// Registerer takes the metrics. Nil means none.
	Registerer prometheus.Registerer
}

// withDefaults replaces zero values.
func (c BreakerConfig) withDefaults() BreakerConfig {
	if c.ReadTimeout <= 0 {
		c.ReadTimeout = DefaultReadTimeout
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = DefaultWriteTimeout
	}
	if c.Failures <= 0 {
		c.Failures = DefaultFailures
	}
	if c.Probe <= 0 {
		c.Probe = DefaultProbe
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// Breaker keeps joins and saves from waiting for a database that is away, again
// and again. Reads and writes fail apart: a database that another process has
// locked can be read, and a full disk too.
//
// After some failures in a row, calls are answered ErrBreakerOpen at once, but
// for one each Probe; the first that succeeds lets all through again. Answers
// that say something about the snapshot, also ErrNoSnapshot and ErrDamaged, are
// successes; calls whose context was cancelled count as nothing.
type Breaker struct {
	archive      Archive
	read, write  *gobreaker.TwoStepCircuitBreaker[struct{}]
	readTimeout  time.Duration
	writeTimeout time.Duration
	refused      *prometheus.CounterVec
}

// NewBreaker returns a closed breaker in front of an archive.
func NewBreaker(archive Archive, config BreakerConfig) *Breaker {
	config = config.withDefaults()
	factory := promauto.With(config.Registerer)
	open := factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "syncworker_snapshotstore_breaker_open",
		Help: "1 while calls of the database are refused without asking it, by operation.",
	}, []string{"operation"})
	b := &Breaker{
		archive:      archive,
		readTimeout:  config.ReadTimeout,
		writeTimeout: config.WriteTimeout,
		refused: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "syncworker_snapshotstore_breaker_refused_total",
			Help: "Calls of the database that were refused without asking it, by operation.",
		}, []string{"operation"}),
	}
	b.read = newCircuit("read", config, open)
	b.write = newCircuit("write", config, open)
	return b
}

// newCircuit returns the breaker of one operation.
func newCircuit(operation string, config BreakerConfig, open *prometheus.GaugeVec) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	gauge := open.WithLabelValues(operation)
	var since time.Time // Guarded by the breaker's own lock.
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        operation,
		MaxRequests: 1,
		Timeout:     config.Probe,
		ReadyToTrip: func(counts gobreaker.Counts) bool { return int(counts.ConsecutiveFailures) >= config.Failures },
		IsSuccessful: func(err error) bool {
			return err == nil || aboutSnapshot(err)
		},
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, from, to gobreaker.State) {
			switch {
			case from == gobreaker.StateClosed:
				since = time.Now()
				gauge.Set(1)
				config.Logger.Warn("the database does not answer in time, going on without it", "operation", operation, "probing-every", config.Probe)
			case to == gobreaker.StateClosed:
				gauge.Set(0)
				config.Logger.Info("the database answers again", "operation", operation, "after", time.Since(since).Round(time.Millisecond))
			}
		},
	})
}

// aboutSnapshot reports whether the database has answered, though with an error.
func aboutSnapshot(err error) bool {
	return errors.Is(err, handoff.ErrNoSnapshot) || errors.Is(err, handoff.ErrDamaged) ||
		errors.Is(err, handoff.ErrTooLarge) || errors.Is(err, handoff.ErrUnacceptable)
}

// Newest is the archive's, or ErrBreakerOpen.
func (b *Breaker) Newest(ctx context.Context, player handoff.PlayerID) (snapshot *handoff.Snapshot, err error) {
	done, err := b.pass(b.read, b.readTimeout)
	if err != nil {
		return nil, fmt.Errorf("read newest snapshot of player %s: %w", player, err)
	}
	defer func() { done(err) }()
	return b.archive.Newest(ctx, player)
}

// Insert is the archive's, or ErrBreakerOpen; then nothing was stored.
func (b *Breaker) Insert(ctx context.Context, s *handoff.Snapshot, packed []byte, as handoff.StoredAs) (conflict bool, err error) {
	done, err := b.pass(b.write, b.writeTimeout)
	if err != nil {
		return false, fmt.Errorf("insert snapshot: %w", err)
	}
	defer func() { done(err) }()
	return b.archive.Insert(ctx, s, packed, as)
}

// Open reports for which operations the database is not asked at the moment.
func (b *Breaker) Open() (reads, writes bool) {
	return b.read.State() != gobreaker.StateClosed, b.write.State() != gobreaker.StateClosed
}

// pass asks whether a call may go through. If so, done must be called with its
// error; a call that is not done in time counts as failed at that moment.
func (b *Breaker) pass(circuit *gobreaker.TwoStepCircuitBreaker[struct{}], within time.Duration) (done func(error), err error) {
	tell, err := circuit.Allow()
	if err != nil {
		b.refused.WithLabelValues(circuit.Name()).Inc()
		return nil, ErrBreakerOpen
	}
	var told atomic.Bool
	once := func(err error) {
		if told.CompareAndSwap(false, true) {
			tell(err)
		}
	}
	timer := time.AfterFunc(within, func() { once(errSlow) })
	return func(err error) {
		timer.Stop()
		once(err)
	}, nil
}
