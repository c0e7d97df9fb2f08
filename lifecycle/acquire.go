package lifecycle

import (
	"context"
	"fmt"
	"time"
)

// Acquire takes the lease, before anything else is done for this server ID.
//
// A lease that an incarnation marked before it restarted in place is adopted at
// once; whoever starts first with this server ID has it. Any other lease that is
// there belongs to a live worker, or is what a crash left. It is watched until one of both is proven: renewed by somebody means
// ErrLeaseHeld, within a little over a third of the TTL; gone means that it can
// be taken, within one TTL. While Redis does not answer, Acquire keeps trying
// until ctx ends, and returns why it ended. It returns ErrLeaseStuck for a
// lease without expiry. Nothing is changed unless the lease is taken.
func (l *Lease) Acquire(ctx context.Context) error {
	w := watch{lease: l}
	for {
		next, done, err := w.look(ctx)
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("acquire the server lease: %w", context.Cause(ctx))
		case <-time.After(next):
		}
	}
}

// watch is one Acquire.
type watch struct {
	lease *Lease
	// first is the first sighting of another worker's lease; nil before.
	first *sighting
	// complained is when a silent Redis was last logged.
	complained time.Time
}

// look tries once. It returns when to look again, unless the lease was taken or
// never will be.
func (w *watch) look(ctx context.Context) (next time.Duration, done bool, err error) {
	l := w.lease
	attempt, cancel := context.WithTimeout(ctx, l.ttl/3)
	defer cancel()
	seen := sighting{before: time.Now()}
	won, current, left, err := l.store.AcquireLease(attempt, l.value, l.ttl)
	seen.value, seen.after, seen.left = current, time.Now(), left
	switch {
	case err != nil:
		w.complain(err)
		return l.retry(), false, nil
	case won:
		w.take(seen.before)
		return 0, true, nil
	case l.inherits(current):
		next, done = w.adopt(attempt, seen)
		return next, done, nil
	default:
		next, err = w.judge(seen)
		return next, false, err
	}
}

func (w *watch) take(from time.Time) {
	l := w.lease
	l.granted(from)
	// Redis may have come up, empty or old, at this very moment, and the worker
	// may have waited for it for long: its holders get their time from now.
	l.settle.Begin(CauseLeaseTaken)
	l.log.Info("server lease taken", "key", l.key, "incarnation", l.owner.Incarnation, "ttl", l.ttl)
}

// judge compares what is seen with what was seen first.
func (w *watch) judge(seen sighting) (next time.Duration, err error) {
	l := w.lease
	if seen.left < 0 {
		return 0, fmt.Errorf("%w: %s (%s) has no expiry, so no worker keeps it up; delete it once no worker of this server id runs",
			ErrLeaseStuck, l.key, describe(seen.value))
	}
	if w.first == nil {
		w.first = &seen
		l.log.Warn("an earlier lease of this server id is there, watching whether it ends or is renewed",
			"key", l.key, "owner", describe(seen.value), "at-most", seen.left)
	}
	// A renewal moves the end by a third of the other worker's TTL; a twelfth
	// of ours is far from both that and the noise of rounding.
	if seen.renewedSince(*w.first, l.ttl/12) {
		return 0, fmt.Errorf("%w: %s: %s. Stop that worker, or give this one a server.id of its own; nothing was changed",
			ErrLeaseHeld, l.key, describe(seen.value))
	}
	return min(l.ttl/12, seen.left+time.Millisecond), nil
}

// complain logs that Redis does not answer, at first and then now and again.
func (w *watch) complain(err error) {
	const pause = 10 * time.Second
	if now := time.Now(); w.complained.IsZero() || now.Sub(w.complained) >= pause {
		w.complained = now
		w.lease.log.Warn("redis does not answer, the server lease must wait", "error", err)
	}
}
