package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// DefaultRestartWindow is shutdown.restart_window when nothing is configured.
const DefaultRestartWindow = time.Minute

// MarkRestarting hands the lease to the next incarnation of this server: it
// lives for the window without being renewed, and whoever starts with this
// server ID meanwhile has it at once, see Acquire. From the call on this worker
// neither renews the lease nor takes it again, whatever comes of it: an answer
// may be lost. It may be called again. It returns ErrLeaseForeign,
// ErrLeaseDropped, ErrLeaseMissing, or why Redis did not answer.
func (l *Lease) MarkRestarting(ctx context.Context, window time.Duration) error {
	if err := l.turn.take(ctx); err != nil {
		return fmt.Errorf("wait to mark the server lease: %w", err)
	}
	defer l.turn.give()
	if err := l.mark(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.ttl/6)
	defer cancel()
	swapped, current, err := l.store.SwapLease(ctx, l.value, l.successor, window)
	switch {
	case err != nil:
		return fmt.Errorf("mark the server lease: %w", err)
	case swapped, current == l.successor:
		return nil
	case current == "":
		return fmt.Errorf("mark the server lease: %w", ErrLeaseMissing)
	default:
		return l.taken(current)
	}
}

// mark ends the renewals, or returns why there is nothing to mark.
func (l *Lease) mark() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.foreign != nil:
		return l.foreign
	case l.dropped:
		return ErrLeaseDropped
	default:
		l.marked = true
		return nil
	}
}

// Restarting reports whether MarkRestarting was called.
func (l *Lease) Restarting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.marked
}

// inherits reports whether a lease waits for this incarnation.
func (l *Lease) inherits(value string) bool {
	owner, err := ParseOwner(value)
	return err == nil && owner.Restarting && owner.Server == l.owner.Server
}

// adopt takes over a lease that waits for us. Of two workers that try at once,
// one finds that the lease has changed; it goes on watching.
func (w *watch) adopt(ctx context.Context, seen sighting) (next time.Duration, done bool) {
	l := w.lease
	from := time.Now()
	swapped, current, err := l.store.SwapLease(ctx, seen.value, l.value, l.ttl)
	switch {
	case err != nil:
		w.complain(err)
		return l.retry(), false
	case !swapped && current != l.value:
		return l.ttl / 12, false
	}
	l.log.Info("an earlier incarnation restarted in place, its lease is adopted", "key", l.key, "owner", describe(seen.value))
	w.take(from)
	return 0, true
}

// mayRestart reports whether the next incarnation could take the lease. Without
// Redis it could not, and would not serve until Redis is back, whereas this one
// takes saves to its disk.
func (d *Drain) mayRestart() bool {
	ctx, cancel := context.WithTimeout(context.Background(), markWait)
	defer cancel()
	if err := persist(ctx, func() error { return d.lease.Confirm(ctx) }); err != nil {
		d.log.Error("not restarting: redis does not answer, and nothing could be saved until it does; send the signal again then", "error", err)
		return false
	}
	return true
}

// restart prepares the next incarnation. It ends in a drain when something else
// is due before the lease is marked.
func (d *Drain) restart(sig os.Signal) error {
	d.log.Info("restarting in place, nothing is released", "signal", sig.String(), "restart-window", d.window)
	d.driver.StopJoins()
	ctx, cut := context.WithTimeout(context.Background(), d.timeout)
	defer cut()
	waited := make(chan []handoff.Summary, 1)
	go func() { waited <- d.driver.WaitWrites(ctx) }()
	select {
	case busy := <-waited:
		if len(busy) > 0 {
			d.log.Warn("restarting although operations are under way, the game repeats what got no answer",
				"players", len(busy), "waited", d.timeout)
		}
	case sig := <-d.signals:
		return d.stop(sig)
	case <-d.interrupted:
		return d.fail()
	}
	return d.handOver()
}

// handOver marks the lease. Without that the next incarnation has to wait for
// the lease to end, and others may take the players over before it comes; it
// restarts all the same.
func (d *Drain) handOver() error {
	ctx, cancel := context.WithTimeout(context.Background(), markWait)
	defer cancel()
	err := persist(ctx, func() error { return d.lease.MarkRestarting(ctx, d.window) })
	if errors.Is(err, ErrLeaseForeign) {
		return err
	}
	select {
	case sig := <-d.signals:
		d.log.Warn("stopped while restarting, sessions are left to the next run of this server", "signal", sig.String())
		return ErrAborted
	default:
	}
	if err != nil {
		d.log.Warn("the next incarnation must wait for the end of the server lease", "error", err)
	} else {
		d.log.Info("the server lease waits for the next incarnation", "for", d.window)
	}
	return ErrRestart
}

// persist asks Redis about the lease again and again while it does not answer.
func persist(ctx context.Context, ask func() error) error {
	const pause = 100 * time.Millisecond
	for {
		err := ask()
		for _, final := range []error{ErrLeaseForeign, ErrLeaseDropped, ErrLeaseRestarting, ErrLeaseMissing} {
			if errors.Is(err, final) {
				return err
			}
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}
