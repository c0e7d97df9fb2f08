package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
)

// DefaultDrainTimeout is shutdown.drain_timeout when nothing is configured.
const DefaultDrainTimeout = 10 * time.Second

// Bounds of the parts of a drain that come after shutdown.drain_timeout.
const (
	// endWait is how long the releases of ended sessions may take.
	endWait = 2 * time.Second
	// sweepWait is how long the last sweep may take.
	sweepWait = 5 * time.Second
	// dropWait is how long giving up the lease may take.
	dropWait = 2 * time.Second
	// abortWait is how long a second signal waits for calls to return.
	abortWait = 500 * time.Millisecond
)

// Errors of Drain. Test for them with errors.Is.
var (
	// ErrUndrained is returned when something of this worker's was still under
	// way, or in place, at the end of the drain. UndrainedError carries it.
	ErrUndrained = errors.New("lifecycle: stopped with work left")
	// ErrAborted is returned when a second signal ended the drain. Checkouts
	// and lease are as they were at that moment.
	ErrAborted = errors.New("lifecycle: the drain was cut off by a second signal")
)

// UndrainedError says whom a drain did not bring to an orderly end. What it left
// in Redis is cleared by the next run of this server.
type UndrainedError struct {
	// Players still had a live session or a write under way.
	Players []handoff.Summary
	// Unsaved players were released without a final save: their data is what
	// was accepted last.
	Unsaved []handoff.Summary
	// Checkouts counts players on server_checkouts who could not be cleared.
	Checkouts int
	// Err is why, where there is a cause beyond the lack of time.
	Err error
}

// Error names the first few players.
func (e *UndrainedError) Error() string {
	text := fmt.Sprintf("%s: %d players not drained%s, %d checkouts not cleared", ErrUndrained,
		len(e.Players), firstNames(e.Players), e.Checkouts)
	if len(e.Unsaved) > 0 {
		text += fmt.Sprintf(", %d players released without a final save%s", len(e.Unsaved), firstNames(e.Unsaved))
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// firstNames lists the first few players in brackets, "" when there are none.
func firstNames(players []handoff.Summary) string {
	const most = 10
	if len(players) == 0 {
		return ""
	}
	var names []string
	for _, player := range players[:min(most, len(players))] {
		names = append(names, player.Player.String())
	}
	if len(players) > most {
		names = append(names, "...")
	}
	return " (" + strings.Join(names, ", ") + ")"
}

// Unwrap returns ErrUndrained and the cause.
func (e *UndrainedError) Unwrap() []error {
	if e.Err == nil {
		return []error{ErrUndrained}
	}
	return []error{ErrUndrained, e.Err}
}

// Driver is what a drain needs of the players' driver.
type Driver interface {
	// StopJoins refuses joins from now on, and those that wait.
	StopJoins()
	// EndAll orders the end of every session. One with a save under way ends
	// after that save.
	EndAll(reason handoff.EndReason)
	// WaitQuiet returns when nothing is live or busy any more or, at the end of
	// ctx, with what is left.
	WaitQuiet(ctx context.Context) []handoff.Summary
}

// GameLink is what a drain needs of the game link.
type GameLink interface {
	// Attached reports whether there is a game that final saves may come from.
	Attached() bool
	// Draining tells the game until when it may send them.
	Draining(deadline time.Time)
}

// DrainConfig configures a Drain.
type DrainConfig struct {
	// Timeout is shutdown.drain_timeout: how long final saves are waited for.
	// Zero means DefaultDrainTimeout.
	Timeout time.Duration
	// Signals brings the signals that stop the worker, SIGTERM and SIGINT. Its
	// buffer should hold two.
	Signals <-chan os.Signal
	// Logger and Metrics must not be nil.
	Logger  hclog.Logger
	Metrics *Metrics
}

// Drain is the actor that owns the end of a worker's life. Its Execute waits for
// a signal and then does all that must be done while the other actors still run.
//
// The steps, each bounded, and none left out when one before it took too long:
//
//  1. joins are refused from now on, and the game is told the deadline;
//  2. while a game is attached: its final saves are awaited, up to Timeout;
//  3. sessions without a save under way are released, their data is what was
//     accepted last; those with one are released after it (law L5);
//  4. what is left on server_checkouts is cleared, see Sweeper;
//  5. the lease is given up.
//
// A session that has a write under way even then keeps its checkout. It is
// named in the log and in the error.
//
// When another actor fails, the API goes away in the same moment and no final
// save can come: step 2 is left out, and the rest is done. When what failed is
// the lease, because another worker took this server ID, nothing is done:
// every checkout is that worker's business now.
type Drain struct {
	driver  Driver
	game    GameLink
	sweeper *Sweeper
	lease   *Lease
	timeout time.Duration
	signals <-chan os.Signal
	log     hclog.Logger
	metrics *Metrics

	once sync.Once
	// interrupted is closed by Interrupt, after cause was set.
	interrupted chan struct{}
	cause       error
}

// NewDrain returns the actor.
func NewDrain(driver Driver, game GameLink, sweeper *Sweeper, lease *Lease, config DrainConfig) *Drain {
	if config.Timeout <= 0 {
		config.Timeout = DefaultDrainTimeout
	}
	return &Drain{
		driver:      driver,
		game:        game,
		sweeper:     sweeper,
		lease:       lease,
		timeout:     config.Timeout,
		signals:     config.Signals,
		log:         config.Logger,
		metrics:     config.Metrics,
		interrupted: make(chan struct{}),
	}
}

// Execute waits for a signal or for Interrupt and drains. It returns nil when
// nothing is left, *UndrainedError, ErrAborted, or ErrLeaseForeign.
func (d *Drain) Execute() error {
	select {
	case sig := <-d.signals:
		d.log.Info("stopping", "signal", sig.String(), "drain-timeout", d.timeout)
		return d.run(true)
	case <-d.interrupted:
		if errors.Is(d.cause, ErrLeaseForeign) {
			return d.cause
		}
		d.log.Warn("stopping, because a part of the worker ended", "error", d.cause)
		return d.run(false)
	}
}

// Interrupt ends Execute after a bounded drain, also one that has not begun.
func (d *Drain) Interrupt(cause error) {
	d.once.Do(func() {
		d.cause = cause
		close(d.interrupted)
	})
}

// run drains in a goroutine of its own, and watches what may cut it short.
func (d *Drain) run(orderly bool) error {
	ctx, cut := context.WithCancelCause(context.Background())
	defer cut(nil)
	saves, stopSaves := context.WithCancel(ctx)
	defer stopSaves()
	interrupted := d.interrupted
	if !orderly {
		interrupted = nil
		stopSaves()
	}
	finished := make(chan error, 1)
	go func() { finished <- d.drain(ctx, saves) }()
	for told := orderly; ; {
		select {
		case err := <-finished:
			return err
		case <-interrupted:
			interrupted = nil
			stopSaves()
			if errors.Is(d.cause, ErrLeaseForeign) {
				cut(d.cause)
			}
		case sig := <-d.signals:
			if told {
				d.log.Warn("second signal, ending at once", "signal", sig.String())
				cut(ErrAborted)
				return d.abandon(finished)
			}
			told = true // The first signal asks for what is being done already.
		}
	}
}

// abandon gives the steps a moment to notice that they were cut off. A call that
// hangs beyond that ends with the process.
func (d *Drain) abandon(finished <-chan error) error {
	select {
	case <-time.After(abortWait):
		return ErrAborted
	case err := <-finished:
		return err
	}
}

// drain does the steps; saves ends when no final save can come any more. Once
// ctx has ended it touches nothing more.
func (d *Drain) drain(ctx, saves context.Context) error {
	began := time.Now()
	deadline := began.Add(d.timeout)
	d.driver.StopJoins()
	d.game.Draining(deadline)
	if d.game.Attached() {
		d.waitQuiet(saves, deadline)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	unsaved := d.unsaved()
	d.driver.EndAll(handoff.EndDraining)
	// Without a game all the time is left for writes that are under way.
	last := deadline
	if soonest := time.Now().Add(endWait); soonest.After(last) {
		last = soonest
	}
	players := d.waitQuiet(ctx, last)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	checkouts, err := d.leave(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return d.report(began, &UndrainedError{Players: players, Unsaved: unsaved, Checkouts: checkouts, Err: err})
}

// unsaved returns the players whose final save has not even begun.
func (d *Drain) unsaved() []handoff.Summary {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	return slices.DeleteFunc(d.driver.WaitQuiet(now), func(s handoff.Summary) bool { return !s.Live || s.Leaving })
}

// waitQuiet waits until the driver has nothing to do any more, and returns those
// players who still have a session or a write under way at the deadline.
func (d *Drain) waitQuiet(ctx context.Context, deadline time.Time) []handoff.Summary {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return slices.DeleteFunc(d.driver.WaitQuiet(ctx), func(s handoff.Summary) bool { return !s.Live && !s.Busy })
}

// leave clears what is left and gives up the lease. The lease is confirmed
// first: while another worker may have our server ID, its sessions look like
// remains of ours.
func (d *Drain) leave(ctx context.Context) (checkouts int, err error) {
	sweep, cancel := context.WithTimeout(ctx, sweepWait)
	defer cancel()
	if err := d.confirm(sweep); err != nil {
		return 0, fmt.Errorf("leave checkouts and lease as they are: %w", err)
	}
	checkouts, err = d.sweeper.SweepStop(sweep)
	if ctx.Err() != nil {
		return checkouts, err
	}
	drop, cancel := context.WithTimeout(ctx, dropWait)
	defer cancel()
	return checkouts, errors.Join(err, d.lease.Drop(drop))
}

// confirm renews the lease, again and again while Redis does not answer.
func (d *Drain) confirm(ctx context.Context) error {
	const pause = 100 * time.Millisecond
	for {
		err := d.lease.Confirm(ctx)
		if err == nil || errors.Is(err, ErrLeaseForeign) || errors.Is(err, ErrLeaseDropped) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (d *Drain) report(began time.Time, left *UndrainedError) error {
	took := time.Since(began).Round(time.Millisecond)
	if len(left.Players)+len(left.Unsaved)+left.Checkouts == 0 && left.Err == nil {
		d.log.Info("drained", "took", took.String())
		return nil
	}
	d.metrics.undrained.Add(float64(len(left.Players)))
	const most = 100
	for _, p := range left.Unsaved[:min(most, len(left.Unsaved))] {
		d.log.Error("player was released without a final save", "player", p.Player, "name", p.Name, "phase", p.Phase,
			"last-accepted", p.Version)
	}
	for _, p := range left.Players[:min(most, len(left.Players))] {
		d.log.Error("player was not drained", "player", p.Player, "name", p.Name, "phase", p.Phase,
			"checkout-left", p.Live, "not-in-database", p.Unstored, "last-accepted", p.Version)
	}
	d.log.Error("stopped before everything was drained; what is left in redis is cleared by the next run of this server",
		"players", len(left.Players), "without-final-save", len(left.Unsaved), "checkouts", left.Checkouts, "took", took.String())
	return left
}
