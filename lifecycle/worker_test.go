package lifecycle_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
	"github.com/syncworker/syncworker/lifecycle"
	"github.com/syncworker/syncworker/lockstep"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// worker is a worker as main wires it, without an API around it.
type worker struct {
	t        *testing.T
	log      *syncBuffer
	registry *prometheus.Registry
	store    *store
	ports    driver.Store
	archive  *archive
	settle   *lifecycle.Settle
	lease    *lifecycle.Lease
	driver   *driver.Driver
	link     *gamelink.Link
	sweeper  *lifecycle.Sweeper
	drain    *lifecycle.Drain
	spool    *spool
	signals  chan os.Signal
	restarts chan os.Signal
	group    run.Group
	ended    chan error
}

// lobby is the server ID of every worker here.
const lobby handoff.ServerID = "lobby"

// newWorker wires a worker; wrap may replace the driver's store.
func newWorker(t *testing.T, b *backend, wrap func(driver.Store) driver.Store) *worker {
	t.Helper()
	incarnation := lifecycle.NewIncarnation()
	w := &worker{
		t:        t,
		log:      &syncBuffer{},
		registry: prometheus.NewRegistry(),
		store:    b.store(t, lobby, incarnation),
		archive:  &archive{rows: map[handoff.PlayerID]*handoff.Snapshot{}},
		spool:    &spool{},
		signals:  make(chan os.Signal, 2),
		restarts: make(chan os.Signal, 1),
		ended:    make(chan error, 1),
	}
	logger := hclog.New(&hclog.LoggerOptions{Output: w.log, Level: hclog.Debug})
	metrics := lifecycle.NewMetrics(w.registry)
	w.settle = lifecycle.NewSettle(lifecycle.SettleConfig{Period: b.settle, Logger: logger, Metrics: metrics})
	w.store.changed = func() { w.settle.Begin(lifecycle.CauseServerChanged) }
	owner := lifecycle.Owner{
		Incarnation: incarnation, Server: lobby, Host: "host-1", PID: 4711,
		Mode: "lockstep", Version: "0.1.0", StartedAt: time.Now(),
	}
	var err error
	w.lease, err = lifecycle.NewLease(w.store, w.settle, lifecycle.LeaseConfig{
		Owner: owner, TTL: b.ttl, Key: b.space.Lease(lobby), Generation: w.store.identity.Generation,
		Logger: logger, Metrics: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.ports = ports{w.store.Store, w.lease}
	if wrap != nil {
		w.ports = wrap(w.ports)
	}
	machine, err := lockstep.New(lockstep.Config{Server: lobby, Settle: b.settle})
	if err != nil {
		t.Fatal(err)
	}
	codec, err := snapshotcodec.New(snapshotcodec.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w.driver = driver.New(machine, driver.Ports{
		Store: w.ports, Archive: w.archive, Codec: codec, Watcher: poller{every: b.settle / 10}, Gate: lifecycle.NewGate(w.settle, w.lease),
		Game: w,
	}, driver.Config{Logger: logger})
	w.link = gamelink.New(w.driver, gamelink.Config{Adopter: w, Grace: b.grace, Logger: logger})
	w.settle.OnBegin(func(round lifecycle.Round) {
		w.driver.VerifyAll(handoff.Verify{Suspect: round.Suspect, Lost: round.Lost})
	})
	w.settle.OnBegin(func(lifecycle.Round) { w.sweeper.Recheck() })
	w.sweeper = lifecycle.NewSweeper(lifecycle.SweeperPorts{Checkouts: w.store, Players: w.driver, Database: w.archive, Codec: codec, Replayed: w.spool}, w.lease, w.link.FirstAttach(),
		lifecycle.SweeperConfig{Server: lobby, Grace: b.grace, Logger: logger, Metrics: metrics})
	w.drain = lifecycle.NewDrain(w.driver, w.link, w.sweeper, w.lease,
		lifecycle.DrainConfig{Timeout: b.drain, Signals: w.signals, Restarts: w.restarts, RestartWindow: b.window, Logger: logger, Metrics: metrics})
	w.group.Add(w.settle.Execute, w.settle.Interrupt)
	w.group.Add(w.lease.Execute, w.lease.Interrupt)
	w.group.Add(w.sweeper.Execute, w.sweeper.Interrupt)
	w.group.Add(w.drain.Execute, w.drain.Interrupt)
	return w
}

// TellLost lets a worker stand in for its link, which is made after the driver.
func (w *worker) TellLost(lost handoff.TellLost) { w.link.TellLost(lost) }

// Adopt makes a worker a gamelink.Adopter.
func (w *worker) Adopt(ctx context.Context, sessions []handoff.SessionID) {
	var decided sync.WaitGroup
	for _, session := range sessions {
		w.driver.Adopt(session, "")
		decided.Go(func() {
			// Answered once the session is confirmed or lost.
			_ = w.driver.Confirm(ctx, session, true, "")
		})
	}
	decided.Wait()
}

// AskCheckIn makes a worker a driver.Game; its game never checks in early.
func (*worker) AskCheckIn(handoff.AskCheckIn) {}

// ports is Redis as the driver sees it, without petitions.
type ports struct {
	*redisstore.Store
	lease *lifecycle.Lease
}

func (p ports) Resume(ctx context.Context, player handoff.PlayerID, order handoff.Resume) handoff.Written {
	return p.lease.Resume(order, func(order handoff.Resume) handoff.Written { return p.Store.Resume(ctx, player, order) })
}

func (p ports) ReadLease(ctx context.Context, server handoff.ServerID) handoff.LeaseRead {
	value, left, err := p.Store.ReadLease(ctx, server)
	return handoff.LeaseRead{Present: value != "", Left: left, Err: err}
}

func (ports) Petition(context.Context, handoff.ServerID, handoff.PlayerID, handoff.Fence) error {
	return nil
}

// start acquires the lease and runs the actors.
func (w *worker) start() {
	w.t.Helper()
	if err := w.lease.Acquire(w.t.Context()); err != nil {
		w.t.Fatalf("Acquire: %v", err)
	}
	go func() {
		err := w.group.Run()
		w.link.Close()
		w.driver.Close()
		w.ended <- err
	}()
}

// kill ends the worker's actors as far as a test can without a process: its
// lease is not dropped, its checkouts stay.
func (w *worker) kill() {
	w.t.Helper()
	w.drain.Interrupt(lifecycle.ErrLeaseForeign)
	if err := <-w.ended; !errors.Is(err, lifecycle.ErrLeaseForeign) {
		w.t.Errorf("the group ended with %v", err)
	}
}

// stop sends the signal and returns what the group returned.
func (w *worker) stop() error {
	w.signals <- os.Interrupt
	return <-w.ended
}

func (w *worker) attach(boot string) *gamelink.Stream {
	w.t.Helper()
	stream, _ := w.reattach(boot)
	return stream
}

// reattach attaches a game that names its sessions.
func (w *worker) reattach(boot string, sessions ...handoff.SessionID) (*gamelink.Stream, gamelink.Attached) {
	w.t.Helper()
	stream, answer, err := w.link.Attach(gamelink.Game{Boot: boot}, sessions)
	if err != nil {
		w.t.Fatalf("Attach: %v", err)
	}
	return stream, answer
}

// restart asks for a restart in place and expects nothing else to happen.
func (w *worker) restart() {
	w.t.Helper()
	w.restarts <- os.Interrupt
	if err := <-w.ended; !errors.Is(err, lifecycle.ErrRestart) {
		w.t.Fatalf("the group ended with %v, want ErrRestart", err)
	}
}

// join lets players in and confirms them, once the gate is open.
func (w *worker) join(list ...handoff.PlayerID) []handoff.SessionID {
	w.t.Helper()
	eventually(w.t, "the gate opens", func() bool { _, ok := w.settle.Settled(time.Now()); return ok })
	sessions := make([]handoff.SessionID, len(list))
	var wg sync.WaitGroup
	for i, id := range list {
		wg.Go(func() {
			grant, err := w.driver.Join(w.t.Context(), id, "", time.Minute)
			if err == nil {
				sessions[i] = grant.Session
				err = w.driver.Confirm(w.t.Context(), grant.Session, true, "")
			}
			if err != nil {
				w.t.Errorf("join %s: %v", id, err)
			}
		})
	}
	wg.Wait()
	return sessions
}
