package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	group "github.com/oklog/run"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/events"
	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
	"github.com/syncworker/syncworker/internal/localapi"
	"github.com/syncworker/syncworker/internal/redisstore"
	"github.com/syncworker/syncworker/internal/snapshotstore"
	"github.com/syncworker/syncworker/internal/spool"
	"github.com/syncworker/syncworker/lifecycle"
	"github.com/syncworker/syncworker/lockstep"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// workerOptions are what a worker needs beside its configuration.
type workerOptions struct {
	config config.Config
	logger hclog.Logger
	// signals stop the worker; a second one ends it at once.
	signals <-chan os.Signal
	// restarts ask the worker to hand over to its next incarnation; nil for never.
	restarts <-chan os.Signal
	// dial reaches Redis; nil for the network.
	dial func(ctx context.Context, network, address string) (net.Conn, error)
	// listening is called when the local API can be reached; may be nil.
	listening func()
}

// worker is everything that runs beside one game server.
type worker struct {
	config  config.Config
	logger  hclog.Logger
	started time.Time
	owner   lifecycle.Owner

	registry *prometheus.Registry
	health   *health
	client   *redis.Client
	identity *redisstore.Identity
	store    *redisstore.Store
	archive  *snapshotstore.SQLite
	breaker  *snapshotstore.Breaker
	spool    *spool.Spool
	settle   *lifecycle.Settle
	lease    *lifecycle.Lease
	gate     *lifecycle.Gate
	watcher  *events.Watcher
	recovery *lifecycle.Recovery
	driver   *driver.Driver
	sessions *playerSessions
	link     *gamelink.Link
	api      *localapi.Server
	sweeper  *lifecycle.Sweeper
	drain    *lifecycle.Drain

	// closers undo what was opened, last first.
	closers []func() error
}

// runWorker runs a worker until it is told to stop or something fails. Nothing
// serves before the lease is held, and the lease is given up last. It returns
// lifecycle.ErrRestart when the next incarnation is to start in its place.
func runWorker(ctx context.Context, o workerOptions) (err error) {
	w := &worker{config: o.config, logger: o.logger, started: time.Now()}
	defer func() { err = errors.Join(err, w.close()) }()
	switch err := w.open(o); {
	case errors.Is(err, spool.ErrLocked):
		return w.occupied(err)
	case err != nil:
		return err
	}
	if err := w.acquire(ctx, o.signals); err != nil {
		return err
	}
	if err := w.api.Listen(); err != nil {
		return errors.Join(err, w.dropLease())
	}
	if o.listening != nil {
		o.listening()
	}
	w.logger.Info("worker runs", "server", w.owner.Server, "cluster", w.config.Server.ClusterID,
		"mode", w.owner.Mode, "api", w.config.API.Listen, "version", w.owner.Version)
	return w.group().Run()
}

// open makes what needs no Redis to be there.
func (w *worker) open(o workerOptions) error {
	server, err := handoff.ParseServerID(w.config.Server.ID)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("ask for the host's name: %w", err)
	}
	w.owner = lifecycle.Owner{
		Incarnation: lifecycle.NewIncarnation(), Server: server, Host: host, PID: os.Getpid(),
		Mode: w.config.Sync.Mode, Version: programVersion(), StartedAt: w.started.UTC(),
	}
	w.registry = prometheus.NewRegistry()
	w.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	space, err := keyspace.New(keyspace.DefaultNamespace, w.config.Server.ClusterID)
	if err != nil {
		return err
	}
	metrics := lifecycle.NewMetrics(w.registry)
	w.settle = lifecycle.NewSettle(lifecycle.SettleConfig{
		Period: w.config.Sync.Settle, Blind: func() bool { return !w.identity.Told() }, Logger: w.logger.Named("lifecycle"), Metrics: metrics,
	})
	codec, err := w.openRedis(o, space)
	if err != nil {
		return err
	}
	w.lease, err = lifecycle.NewLease(leaseAdapter{w.store}, w.settle, lifecycle.LeaseConfig{
		Owner: w.owner, TTL: w.config.Sync.Lockstep.LeaseTTL, Key: space.Lease(server), Generation: w.identity.Generation,
		Logger: w.logger.Named("lifecycle"), Metrics: metrics,
	})
	if err != nil {
		return err
	}
	w.gate = lifecycle.NewGate(w.settle, w.lease)
	if err := w.openArchive(codec); err != nil {
		return err
	}
	if err := w.openSpool(); err != nil {
		return err
	}
	if err := w.build(o, space, codec, metrics); err != nil {
		return err
	}
	return w.openHealth()
}

// build puts the machine, the driver and the API together. Nothing runs yet.
func (w *worker) build(o workerOptions, space keyspace.Space, codec *snapshotcodec.Codec, metrics *lifecycle.Metrics) error {
	machine, err := lockstep.New(lockstep.Config{
		Server: w.owner.Server, Settle: w.config.Sync.Settle, ReadTimeout: w.config.Database.ReadTimeout,
		ConfirmTimeout: w.config.Game.ConfirmTimeout, Petitions: w.config.Sync.Lockstep.Petitions,
		Steal: w.config.Sync.OnTimeout == config.OnTimeoutSteal,
	})
	if err != nil {
		return err
	}
	w.watcher = events.New(w.client, events.Config{
		DB: w.config.Redis.DB, SafetyPoll: w.config.Sync.SafetyPoll, ProbeKey: space.Probe(w.owner.Server),
		Logger: w.logger.Named("events"), Registerer: w.registry,
	})
	game := &gameAdapter{}
	w.driver = driver.New(machine, driver.Ports{
		Store:    storeAdapter{w.store, w.owner.Server, w.lease, func() { w.settle.Begin(lifecycle.CauseLeaseMissing) }},
		Archive:  w.breaker,
		Codec:    codec,
		Watcher:  watchAdapter{w.watcher, space},
		Gate:     w.gate,
		Game:     game,
		Spool:    w.spool,
		Suspects: w.lease,
	}, driver.Config{Server: w.owner.Server, Incarnation: w.owner.Incarnation, Logger: w.logger.Named("driver"), Registerer: w.registry})
	w.onClose("end the driver", func() error { w.driver.Close(); return nil })
	w.sessions = newPlayerSessions(w.driver, w.recovery)
	w.onClose("end the adoption of sessions", func() error { w.sessions.Close(); return nil })
	w.link = gamelink.New(w.sessions, gamelink.Config{
		Adopter: w.sessions, Grace: w.config.Game.Grace, Logger: w.logger.Named("gamelink"),
	})
	w.onClose("end the game link", func() error { w.link.Close(); return nil })
	game.link.Store(w.link)
	w.sessions.attached = w.link.FirstAttach()

	w.sweeper = lifecycle.NewSweeper(lifecycle.SweeperPorts{
		Checkouts: w.store, Players: w.sessions, Database: w.breaker, Codec: codec, Replayed: w.recovery,
	}, w.lease, w.link.FirstAttach(), lifecycle.SweeperConfig{
		Server: w.owner.Server, Grace: w.config.Game.Grace, Logger: w.logger.Named("lifecycle"), Metrics: metrics,
	})
	w.sessions.sweeper = w.sweeper
	w.drain = lifecycle.NewDrain(w.driver, w.link, w.sweeper, w.lease, lifecycle.DrainConfig{
		Timeout: w.config.Shutdown.DrainTimeout, Signals: o.signals, Restarts: o.restarts,
		RestartWindow: w.config.Shutdown.RestartWindow, Logger: w.logger.Named("lifecycle"), Metrics: metrics,
	})
	w.registerGauges()
	w.settle.OnBegin(func(round lifecycle.Round) {
		w.driver.VerifyAll(handoff.Verify{Suspect: round.Suspect, Lost: round.Lost})
	})
	w.settle.OnBegin(func(lifecycle.Round) { w.sweeper.Recheck() })
	w.watcher.OnResync(func() { w.settle.Begin(lifecycle.CauseResync) })
	w.watcher.Listen(space.Petitions(w.owner.Server), w.petitioned)
	return w.buildAPI()
}

// petitioned passes on that another server waits for a player. Whom the driver
// has no session of may be checked out here all the same: the sweeper looks.
func (w *worker) petitioned(message string) {
	player, petition, err := redisstore.ParsePetition(message)
	if err != nil {
		w.logger.Debug("petition cannot be read", "error", err)
		return
	}
	w.driver.Petition(player, petition)
	if summary, known := w.sessions.Summary(player); !known || summary.Idles() {
		w.sweeper.Ghost(player)
	}
}

// registerGauges tells what no single package knows.
func (w *worker) registerGauges() {
	for name, gauge := range map[string]struct {
		help string
		on   func() bool
	}{
		"lease_held":    {"1 while this worker's lease is in redis beyond doubt.", w.lease.Held},
		"game_attached": {"1 while a game is attached, or was within game.grace.", w.link.Attached},
		"settled":       {"1 while joins are granted, 0 during a settle period.", func() bool { _, ok := w.settle.Settled(time.Now()); return ok }},
		"draining":      {"1 once the worker has begun to stop.", w.driver.Draining},
	} {
		w.registry.MustRegister(prometheus.NewGaugeFunc(
			prometheus.GaugeOpts{Namespace: "syncworker", Subsystem: "worker", Name: name, Help: gauge.help},
			func() float64 {
				if gauge.on() {
					return 1
				}
				return 0
			}))
	}
}

func (w *worker) buildAPI() error {
	api, err := localapi.New(localapi.Ports{
		Sessions: w.sessions, Game: linkAdapter{w.link}, Worker: w, Checkouts: inspectAdapter{w.store, w.owner.Server},
		Releases: releaseAdapter{w.archive},
		Gate:     w.gate, Logger: w.logger.Named("localapi"), Registerer: w.registry,
	}, localapi.Config{
		Server: w.owner.Server, Listen: w.config.API.Listen, TokenFile: w.config.API.TokenFile,
		AllowPublic: w.config.API.AllowPublic, WaitTimeout: w.config.Sync.WaitTimeout,
		MaxSnapshot: int64(w.config.Snapshots.MaxSize), AutoPin: w.config.Snapshots.AutoPin,
	})
	if err != nil {
		return err
	}
	w.api = api
	w.onClose("close the local api", api.Close)
	return nil
}

// acquire takes the lease, or gives up when a signal comes.
func (w *worker) acquire(ctx context.Context, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	acquired := make(chan error, 1)
	go func() { acquired <- w.lease.Acquire(ctx) }()
	select {
	case err := <-acquired:
		return err
	case signal := <-signals:
		cancel(fmt.Errorf("stopped by %v while waiting for the server lease", signal))
		if err := <-acquired; err != nil {
			return errors.Join(context.Cause(ctx), err)
		}
		return errors.Join(context.Cause(ctx), w.dropLease())
	}
}

// occupied says why a worker cannot start whose spool is in use. If that is by a
// worker of the same server ID, its lease tells which one.
func (w *worker) occupied(locked error) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	value, _, err := w.store.ReadLease(ctx, w.owner.Server)
	if err != nil || value == "" {
		return locked
	}
	other, err := lifecycle.ParseOwner(value)
	if err != nil {
		return locked
	}
	return fmt.Errorf("%w: %s. Stop that worker, or give this one a server.id of its own; nothing was changed (%w)",
		lifecycle.ErrLeaseHeld, other, locked)
}

// group returns all actors. They are interrupted together, as soon as the first
// one ends; the drain does its work before it ends, while the others still run.
func (w *worker) group() *group.Group {
	var g group.Group
	g.Add(w.drain.Execute, w.drain.Interrupt)
	g.Add(w.settle.Execute, w.settle.Interrupt)
	g.Add(w.lease.Execute, w.lease.Interrupt)
	g.Add(w.watcher.Execute, w.watcher.Interrupt)
	g.Add(w.recovery.Execute, w.recovery.Interrupt)
	g.Add(w.sweeper.Execute, w.sweeper.Interrupt)
	g.Add(w.api.Execute, w.api.Interrupt)
	return &g
}

// dropLease gives the lease up when the start failed after it was taken.
func (w *worker) dropLease() error {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	return w.lease.Drop(ctx)
}

func (w *worker) onClose(step string, closer func() error) {
	w.closers = append(w.closers, func() error {
		if err := closer(); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		return nil
	})
}

func (w *worker) close() error {
	var errs []error
	for _, closer := range slices.Backward(w.closers) {
		errs = append(errs, closer())
	}
	return errors.Join(errs...)
}
