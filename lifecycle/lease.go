package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// DefaultLeaseTTL is lockstep.lease_ttl when nothing is configured.
const DefaultLeaseTTL = 10 * time.Second

// Errors about the lease. Test for them with errors.Is.
var (
	// ErrLeaseHeld is returned by Acquire when a live worker has the lease of
	// this server ID. Nothing was changed.
	ErrLeaseHeld = errors.New("lifecycle: another worker serves this server id")
	// ErrLeaseStuck is returned by Acquire when the lease has no expiry, so
	// that it can neither be renewed nor end. Nothing was changed.
	ErrLeaseStuck = errors.New("lifecycle: the server lease never ends")
	// ErrLeaseForeign is returned by Execute and Confirm when another worker
	// took the lease after ours had ended. Our players' checkouts are its to
	// clear now: nothing is to be touched any more.
	ErrLeaseForeign = errors.New("lifecycle: another worker took over this server id")
	// ErrLeaseDropped is returned by Confirm after Drop.
	ErrLeaseDropped = errors.New("lifecycle: the server lease was given up")
	// ErrLeaseRestarting is returned by Confirm after MarkRestarting.
	ErrLeaseRestarting = errors.New("lifecycle: the server lease waits for the next incarnation")
	// ErrLeaseMissing is returned by MarkRestarting when Redis has no lease.
	ErrLeaseMissing = errors.New("lifecycle: redis has no lease of this server")
)

// Leases is what Lease needs of Redis. Each call is one script.
type Leases interface {
	// AcquireLease sets the lease if there is none, or sets the expiry anew if
	// it has this very value: then only an answer got lost. Otherwise it returns
	// the present value and how long that one has left, negative when it has no
	// expiry.
	AcquireLease(ctx context.Context, value string, ttl time.Duration) (won bool, current string, left time.Duration, err error)
	// RenewLease sets the expiry anew if the lease has this very value.
	// Otherwise it returns the present value, "" when there is none.
	RenewLease(ctx context.Context, value string, ttl time.Duration) (renewed bool, current string, err error)
	// DropLease deletes the lease if it has this very value.
	DropLease(ctx context.Context, value string) error
	// SwapLease sets another value and expiry if the lease has this very value.
	// Otherwise it returns the present value, "" when there is none.
	SwapLease(ctx context.Context, from, to string, ttl time.Duration) (swapped bool, current string, err error)
}

// LeaseConfig configures a Lease.
type LeaseConfig struct {
	// Owner describes this worker; its Incarnation must be new.
	Owner Owner
	// TTL is lockstep.lease_ttl. Zero means DefaultLeaseTTL.
	TTL time.Duration
	// Key is the lease's key in Redis, for messages that tell an operator what
	// to look at.
	Key string
	// Generation counts how often Redis turned out to be another server process
	// than before (rule R7). Nil means that it is the same one for ever.
	Generation func() uint64
	// Logger and Metrics must not be nil.
	Logger  hclog.Logger
	Metrics *Metrics
}

// Lease is this worker's claim to its server ID. Acquire comes before anything
// else; Execute keeps the lease up; Drop gives it up.
type Lease struct {
	store  Leases
	settle *Settle
	owner  Owner
	value  string
	// successor is the value that waits for the next incarnation.
	successor  string
	ttl        time.Duration
	key        string
	log        hclog.Logger
	metrics    *Metrics
	generation func() uint64
	kick       chan struct{}
	ctx        context.Context
	cancel     context.CancelFunc

	// turn makes the questions to Redis one at a time, so that no renewal can
	// be under way when the lease is dropped. Taken before mu.
	turn turn

	mu      sync.Mutex
	term    term
	foreign error
	dropped bool
	// marked means that SwapLease to successor was or is being tried.
	marked bool
	doubt  doubt
	// failing is when renewals began to fail; zero while they succeed.
	failing time.Time
}

// NewLease returns a lease that is not held yet, or an error when the owner
// cannot be written down. From then on each settle period begins with a
// renewal.
func NewLease(store Leases, settle *Settle, config LeaseConfig) (*Lease, error) {
	if config.TTL <= 0 {
		config.TTL = DefaultLeaseTTL
	}
	if config.Generation == nil {
		config.Generation = func() uint64 { return 0 }
	}
	config.Owner.Restarting = false
	value, err := config.Owner.Text()
	if err != nil {
		return nil, err
	}
	heir := config.Owner
	heir.Restarting = true
	successor, err := heir.Text()
	if err != nil {
		return nil, err
	}
	if _, err := ParseOwner(value); err != nil {
		return nil, fmt.Errorf("check our own lease: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &Lease{
		store:      store,
		settle:     settle,
		owner:      config.Owner,
		value:      value,
		successor:  successor,
		generation: config.Generation,
		ttl:        config.TTL,
		key:        config.Key,
		log:        config.Logger,
		metrics:    config.Metrics,
		kick:       make(chan struct{}, 1),
		ctx:        ctx,
		cancel:     cancel,
		turn:       newTurn(),
	}
	settle.OnBegin(func(Round) { l.Renew() })
	settle.ask(l.suspicion)
	return l, nil
}

// Value returns the text that our lease has in Redis.
func (l *Lease) Value() string { return l.value }

// Held reports whether the lease is ours beyond doubt.
func (l *Lease) Held() bool {
	_, held := l.Until()
	return held
}

// Until returns until when the lease is ours beyond doubt, and whether it is so
// now.
func (l *Lease) Until() (until time.Time, held bool) {
	return l.heldAt(time.Now())
}

func (l *Lease) heldAt(now time.Time) (until time.Time, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term.until(), l.foreign == nil && !l.dropped && !l.marked && l.term.valid(now)
}

// Renew asks Execute for a renewal now. It never blocks; calls that come
// together are one.
func (l *Lease) Renew() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// Confirm renews the lease now, whether Execute runs or not. It returns nil
// when the lease is ours, ErrLeaseForeign, ErrLeaseDropped, ErrLeaseRestarting,
// or why Redis did not answer.
func (l *Lease) Confirm(ctx context.Context) error {
	if err := l.turn.take(ctx); err != nil {
		return fmt.Errorf("wait to renew the server lease: %w", err)
	}
	defer l.turn.give()
	if err := l.ended(); err != nil {
		return err
	}
	// A third of the TTL is what separates two renewals; an answer that takes
	// half of that is given up for another attempt.
	ctx, cancel := context.WithTimeout(ctx, l.ttl/6)
	defer cancel()
	started := time.Now()
	renewed, current, err := l.store.RenewLease(ctx, l.value, l.ttl)
	switch {
	case err != nil:
		l.metrics.renewalErrors.Inc()
		return fmt.Errorf("renew the server lease: %w", err)
	case renewed:
		l.metrics.renewals.Inc()
		l.granted(started)
		return nil
	case current == "":
		return l.retake(ctx)
	default:
		return l.taken(current)
	}
}

// retake acquires a lease that Redis does not have any more. The gate shuts
// first: once the lease is there again, claims would trust it.
func (l *Lease) retake(ctx context.Context) error {
	l.metrics.leaseMissing.Inc()
	l.doubtSessions()
	l.settle.Begin(CauseLeaseMissing)
	started := time.Now()
	won, current, _, err := l.store.AcquireLease(ctx, l.value, l.ttl)
	switch {
	case err != nil:
		l.metrics.renewalErrors.Inc()
		return fmt.Errorf("take the missing server lease again: %w", err)
	case !won:
		return l.taken(current)
	}
	l.log.Warn("server lease was missing in redis, taken again", "key", l.key)
	l.granted(started)
	return nil
}

// taken notes that the lease belongs to somebody else now, for good.
func (l *Lease) taken(current string) error {
	err := fmt.Errorf("%w: %s: %s. Two workers must not have the same server.id; "+
		"this one stops and leaves every checkout to the other", ErrLeaseForeign, l.key, describe(current))
	l.mu.Lock()
	l.foreign = err
	l.mu.Unlock()
	l.settle.Begin(CauseLeaseForeign)
	return err
}

func (l *Lease) granted(from time.Time) {
	generation := l.generation()
	silent := l.wasSilent(from)
	l.mu.Lock()
	l.term = term{from: from, ttl: l.ttl}
	l.doubt.trust(l.term, generation)
	l.mu.Unlock()
	if silent {
		// While failing still keeps the gate shut: whoever could not renew
		// meanwhile gets the time to take its lease again.
		l.settle.Begin(CauseRedisSilent)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.failing.IsZero() {
		l.log.Info("server lease is renewed again", "failed-for", time.Since(l.failing).Round(time.Millisecond))
		l.failing = time.Time{}
	}
}

// wasSilent reports whether renewals failed for so long that others' leases may
// have ended although their owners live: they had been renewed at most a third
// of a TTL before ours. A settle period in which they failed gave nobody any time,
// so it counts as silence however short it was.
func (l *Lease) wasSilent(now time.Time) bool {
	settled, _ := l.settle.Settled(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	long := l.doubt.last != (term{}) && now.Sub(l.doubt.last.from) > l.ttl/2
	return !l.failing.IsZero() && (long || settled.After(l.failing))
}

// steadyAt is heldAt, and that Redis answers: while renewals fail, nobody's lease
// tells whether its owner lives.
func (l *Lease) steadyAt(now time.Time) (until time.Time, steady bool) {
	until, held := l.heldAt(now)
	l.mu.Lock()
	defer l.mu.Unlock()
	return until, held && l.failing.IsZero()
}

func (l *Lease) ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.foreign != nil:
		return l.foreign
	case l.dropped:
		return ErrLeaseDropped
	case l.marked:
		return ErrLeaseRestarting
	default:
		return nil
	}
}

// Execute renews the lease at each third of its TTL, and more often while that
// fails, until Interrupt. It returns nil then, or ErrLeaseForeign.
func (l *Lease) Execute() error {
	timer := time.NewTimer(l.nextRenewal())
	defer timer.Stop()
	kick := l.kick
	for {
		select {
		case <-l.ctx.Done():
			return nil
		case <-kick:
		case <-timer.C:
		}
		err := l.Confirm(l.ctx)
		next := l.nextRenewal()
		kick = l.kick
		switch {
		case l.ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrLeaseForeign):
			return err
		case errors.Is(err, ErrLeaseDropped), errors.Is(err, ErrLeaseRestarting):
			next = l.ttl
		case err != nil:
			l.noteFailure(err)
			next = l.retry()
			// A failure may have begun a settle period, which asks for a
			// renewal: that must not make the retries any faster.
			kick = nil
		}
		timer.Reset(next)
	}
}

// Interrupt ends Execute, also one that has not begun. The lease stays in Redis
// until Drop, or until its TTL ends it.
func (l *Lease) Interrupt(error) { l.cancel() }

// retry is the pause after an attempt that failed.
func (l *Lease) retry() time.Duration { return l.ttl / 20 }

func (l *Lease) nextRenewal() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(0, time.Until(l.term.renewAt()))
}

// noteFailure logs the first of a row of failures, and the moment when others
// may take the lease for ended.
func (l *Lease) noteFailure(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.failing.IsZero() {
		l.failing = now
		l.log.Warn("server lease could not be renewed, trying on", "error", err)
	}
	if l.term != (term{}) && !l.term.valid(now) {
		l.term = term{}
		l.log.Error("server lease has run out, operators of other servers may free our players", "error", err)
	}
}

// Drop gives the lease up, so that the next start need not wait for its end. No
// renewal follows. A lease that is not ours is left alone.
func (l *Lease) Drop(ctx context.Context) error {
	if err := l.turn.take(ctx); err != nil {
		return fmt.Errorf("wait to drop the server lease: %w", err)
	}
	defer l.turn.give()
	if err := l.ended(); err != nil {
		return nil //nolint:nilerr // There is nothing of ours to give up.
	}
	l.mu.Lock()
	l.dropped = true
	l.mu.Unlock()
	if err := l.store.DropLease(ctx, l.value); err != nil {
		return fmt.Errorf("drop the server lease: %w", err)
	}
	return nil
}
