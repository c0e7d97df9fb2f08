package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
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
	// markWait is how long marking the lease for a restart may take.
	markWait = 2 * time.Second
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
	// ErrRestart is returned when the worker is to start anew in place: its
	// sessions wait for the next incarnation, and nothing was released.
	ErrRestart = errors.New("lifecycle: restarting in place")
)

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
	// WaitWrites returns when no operation is under way for any player or, at
	// the end of ctx, with those for whom one is. Sessions may be live.
	WaitWrites(ctx context.Context) []handoff.Summary
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
	// Restarts brings the signal to restart in place, SIGUSR2; nil for never.
	Restarts <-chan os.Signal
	// RestartWindow is shutdown.restart_window: how long the sessions wait for
	// the next incarnation. Zero means DefaultRestartWindow.
	RestartWindow time.Duration
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
//
// A restart in place is no drain: joins are refused, what is under way is waited
// for, up to Timeout, and then the lease is marked, see Lease.MarkRestarting.
// Nothing is released, and the game is told nothing: its stream breaks, it
// attaches to the next incarnation and names its sessions there. A signal to
// stop turns the restart into a drain as long as the lease is not being marked.
// A worker that does not come back in RestartWindow is then taken for dead.
type Drain struct {
	driver   Driver
	game     GameLink
	sweeper  *Sweeper
	lease    *Lease
	timeout  time.Duration
	signals  <-chan os.Signal
	restarts <-chan os.Signal
	window   time.Duration
	log      hclog.Logger
	metrics  *Metrics

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
	if config.RestartWindow <= 0 {
		config.RestartWindow = DefaultRestartWindow
	}
	return &Drain{
		driver:      driver,
		game:        game,
		sweeper:     sweeper,
		lease:       lease,
		timeout:     config.Timeout,
		signals:     config.Signals,
		restarts:    config.Restarts,
		window:      config.RestartWindow,
		log:         config.Logger,
		metrics:     config.Metrics,
		interrupted: make(chan struct{}),
	}
}

// Execute waits for a signal or for Interrupt and drains, or prepares a restart.
// It returns nil when nothing is left, *UndrainedError, ErrAborted, ErrRestart,
// or ErrLeaseForeign.
func (d *Drain) Execute() error {
	for {
		select {
		case sig := <-d.signals:
			return d.stop(sig)
		case sig := <-d.restarts:
			if d.mayRestart() {
				return d.restart(sig)
			}
		case <-d.interrupted:
			return d.fail()
		}
	}
}

// stop drains because of a signal.
func (d *Drain) stop(sig os.Signal) error {
	d.log.Info("stopping", "signal", sig.String(), "drain-timeout", d.timeout)
	return d.run(true)
}

// fail drains because another actor ended.
func (d *Drain) fail() error {
	if errors.Is(d.cause, ErrLeaseForeign) {
		return d.cause
	}
	d.log.Warn("stopping, because a part of the worker ended", "error", d.cause)
	return d.run(false)
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
	if err := persist(sweep, func() error { return d.lease.Confirm(sweep) }); err != nil {
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
