package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
)

// DefaultGrace is game.grace when nothing is configured.
const DefaultGrace = 15 * time.Second

// Pace of the sweeps.
const (
	// sweepWidth is how many players are swept at the same time.
	sweepWidth = 8
	// sweepRetry and sweepRetryMax are the pauses between passes over the
	// players who could not be cleared yet.
	sweepRetry    = time.Second
	sweepRetryMax = 10 * time.Second
	// sweepNews is how often a long sweep logs how far it is.
	sweepNews = 5 * time.Second
)

// Names of the sweeps, for the log and the metric.
const (
	startSweep    = "start"
	recheckSweep  = "recheck"
	petitionSweep = "petition"
	stopSweep     = "stop"
)

// Checkouts is what the sweeps need of Redis.
type Checkouts interface {
	// Listed returns the members of this server's server_checkouts.
	Listed(ctx context.Context) ([]handoff.PlayerID, error)
	// Holder returns who has the player checked out: the server in
	// data_checkout, "" when it is absent, and the fence in data_fence.
	Holder(ctx context.Context, player handoff.PlayerID) (handoff.Holder, error)
	// Release deletes the checkout if it is of this server and of this fence.
	Release(ctx context.Context, player handoff.PlayerID, fence handoff.Fence) handoff.Written
	// Enlist and Delist put the player on server_checkouts and take it off.
	Enlist(ctx context.Context, player handoff.PlayerID) error
	Delist(ctx context.Context, player handoff.PlayerID) error
	// Unstored returns the packed data_update, nil when there is none, and how
	// long it lives: below 0 for ever, so that the database may lack it.
	Unstored(ctx context.Context, player handoff.PlayerID) (packed []byte, ttl time.Duration, err error)
	// Expire lets data_update of exactly this version run out.
	Expire(ctx context.Context, player handoff.PlayerID, version handoff.Version) error
}

// Database is what the sweeps need of the database.
type Database interface {
	// Insert stores the snapshot, once however often it is called; conflict
	// reports that a row of a higher fence is there.
	Insert(ctx context.Context, snapshot *handoff.Snapshot, packed []byte, as handoff.StoredAs) (conflict bool, err error)
}

// Unpacker reads packed snapshots.
type Unpacker interface {
	// Unpack returns the snapshot; the error wraps handoff.ErrDamaged when the
	// bytes are none.
	Unpack(packed []byte) (*handoff.Snapshot, error)
}

// Replayed tells what is left of an earlier run on the local disk.
type Replayed interface {
	// Done reports whether nothing of the player is.
	Done(player handoff.PlayerID) bool
}

// Players tells what the worker is doing for a player now. A state must be
// visible here before its first claim is sent, and until its checkout is gone.
type Players interface {
	// Summary returns the player's state, false when there is none.
	Summary(player handoff.PlayerID) (handoff.Summary, bool)
	// Summaries returns the states of all players.
	Summaries() []handoff.Summary
}

// SweeperPorts are what a Sweeper acts through. Replayed may be nil: there is
// nothing on the local disk.
type SweeperPorts struct {
	Checkouts Checkouts
	Players   Players
	Database  Database
	Codec     Unpacker
	Replayed  Replayed
}

// SweeperConfig configures a Sweeper.
type SweeperConfig struct {
	// Server is this worker's server ID.
	Server handoff.ServerID
	// Grace is game.grace: how long the orphans of an earlier run are left
	// alone when no game attaches. Zero means DefaultGrace.
	Grace time.Duration
	// Logger and Metrics must not be nil.
	Logger  hclog.Logger
	Metrics *Metrics
}

// Sweeper clears checkouts of this server ID that no session here stands
// behind.
//
// At the start these are the orphans of an earlier run that crashed. They are
// cleared as soon as a game attaches, which cannot resume them, or else after
// game.grace; what they protected is the data accepted last, which is in place.
// At the stop they are whatever the drain could not account for. In between,
// after each settle period, they are what an old dump of Redis brought back.
//
// A player may join here while a sweep runs, and the claim of that join passes
// over the orphan, since the checkout is of our own server ID. So every player
// is handled in this order:
//
//  1. read the holder and the fence;
//  2. ask the driver; a session that claimed before the read is known to it;
//  3. release that very fence; a claim after the read has raised it.
//
// Before all that, what an earlier run left of the player in the local spool is
// replayed. After it, a data_update that has no expiry is copied to the database:
// whoever wrote it may have ended before it was there.
//
// Taking a player off server_checkouts cannot be compared like that, as the set
// is not in the player's slot. It is done only while the driver knows nothing of
// the player, and taken back if that has changed afterwards.
type Sweeper struct {
	store    Checkouts
	players  Players
	database Database
	codec    Unpacker
	replayed Replayed
	lease    *Lease
	first    <-chan struct{}
	server   handoff.ServerID
	grace    time.Duration
	log      hclog.Logger
	metrics  *Metrics
	// stop ends Execute; starting ends the sweep of the start, before that.
	stop     <-chan struct{}
	cancel   context.CancelFunc
	starting context.Context
	endStart context.CancelFunc
	// turn makes the sweeps one after the other.
	turn turn
	// exclusive is taken while a player is given back.
	exclusive [exclusions]sync.Mutex
	// left are the players whom the last sweep could not clear; whoever has
	// the turn may use it. Redis may have lost the list that named them.
	left []handoff.PlayerID
	// owed are the orphans of the start whose data_update was not looked at yet.
	owed owed
	// recheck asks Execute for a sweep after the one of the start.
	recheck chan struct{}
	ghosts  ghosts
}

// NewSweeper returns a sweeper; firstAttach is closed once a game has attached.
func NewSweeper(ports SweeperPorts, lease *Lease, firstAttach <-chan struct{}, config SweeperConfig) *Sweeper {
	if ports.Replayed == nil {
		ports.Replayed = nothingSpooled{}
	}
	if config.Grace <= 0 {
		config.Grace = DefaultGrace
	}
	ctx, cancel := context.WithCancel(context.Background())
	starting, endStart := context.WithCancel(ctx)
	return &Sweeper{
		store:    ports.Checkouts,
		players:  ports.Players,
		database: ports.Database,
		codec:    ports.Codec,
		replayed: ports.Replayed,
		lease:    lease,
		first:    firstAttach,
		server:   config.Server,
		grace:    config.Grace,
		log:      config.Logger,
		metrics:  config.Metrics,
		stop:     ctx.Done(),
		cancel:   cancel,
		starting: starting,
		endStart: endStart,
		turn:     newTurn(),
		recheck:  make(chan struct{}, 1),
		ghosts:   newGhosts(),
	}
}

// nothingSpooled is a worker without a spool.
type nothingSpooled struct{}

func (nothingSpooled) Done(handoff.PlayerID) bool { return true }

// Execute clears the orphans of earlier runs, and then, after each Recheck, what
// Redis brought back; it returns nil after Interrupt. The lease must have been
// acquired. While Redis is away it keeps trying.
func (s *Sweeper) Execute() error {
	s.ghosts.after(time.Now().Add(s.grace))
	s.sweepStart()
	for {
		select {
		case <-s.stop:
			return nil
		case <-s.recheck:
			s.sweepListed()
		case <-s.ghosts.wake:
			s.sweepGhosts()
		}
	}
}

// exclusions is how many locks the players share.
const exclusions = 64

// Exclusive runs do while no sweep gives this player back. It is for whoever makes
// a session live under a fence that it had before: a sweep tells by the fence
// that nothing has happened since it looked, and that one does not rise.
func (s *Sweeper) Exclusive(player handoff.PlayerID, do func()) {
	lock := &s.exclusive[(player[0]^player[7]^player[15])%exclusions]
	lock.Lock()
	defer lock.Unlock()
	do()
}

// Recheck asks for a comparison of server_checkouts with the sessions here: Redis
// may have brought back checkouts whose sessions ended since (an old dump), or
// may have lost the list of those that go on. It never blocks; calls that come
// together are one. It is meant for Settle.OnBegin.
func (s *Sweeper) Recheck() {
	select {
	case s.recheck <- struct{}{}:
	default:
	}
}

// sweepListed clears what is listed and has no session here. While joins are
// refused by the settle period nothing new can come in between; players in hand
// are looked at again until they are either here or gone.
func (s *Sweeper) sweepListed() {
	if s.turn.take(s.starting) != nil {
		return
	}
	defer s.turn.give()
	listed, ok := s.list()
	if !ok || !s.relist(listed) {
		return
	}
	players := s.withLeft(listed)
	if len(players) == 0 {
		return
	}
	run := &sweep{sweeper: s, name: recheckSweep, began: time.Now()}
	s.left = run.untilClear(s.starting, players)
}

// relist puts sessions back on a list that has lost them; false when interrupted.
// A session that ends meanwhile leaves a name too many, which does no harm.
func (s *Sweeper) relist(listed []handoff.PlayerID) bool {
	known := make(map[handoff.PlayerID]bool, len(listed))
	for _, player := range listed {
		known[player] = true
	}
	for _, summary := range s.players.Summaries() {
		if known[summary.Player] || !summary.Live {
			continue
		}
		for {
			err := s.store.Enlist(s.starting, summary.Player)
			if err == nil {
				break
			}
			s.log.Debug("cannot put a session back on the list, trying again", "player", summary.Player, "error", err)
			if !s.pause(sweepRetry) {
				return false
			}
		}
	}
	return true
}

// Interrupt ends Execute, also one that has not begun.
func (s *Sweeper) Interrupt(error) { s.cancel() }

func (s *Sweeper) sweepStart() {
	if s.turn.take(s.starting) != nil {
		return
	}
	defer s.turn.give()
	grace := time.NewTimer(s.grace)
	defer grace.Stop()
	orphans, ok := s.list()
	if !ok {
		return
	}
	if len(orphans) == 0 {
		s.log.Debug("an earlier run left no checkouts")
		return
	}
	s.log.Info("an earlier run left players listed as checked out, clearing them when a game attaches, or after the grace",
		"players", len(orphans), "grace", s.grace)
	select {
	case <-s.starting.Done():
		return
	case <-s.first:
	case <-grace.C:
	}
	s.owed.add(orphans)
	run := &sweep{sweeper: s, name: startSweep, began: time.Now()}
	s.left = run.untilClear(s.starting, orphans)
}

// list reads server_checkouts, however long that takes; false when interrupted.
func (s *Sweeper) list() ([]handoff.PlayerID, bool) {
	for pause := sweepRetry; ; pause = min(2*pause, sweepRetryMax) {
		orphans, err := s.store.Listed(s.starting)
		if err == nil {
			return orphans, true
		}
		if s.starting.Err() != nil {
			return nil, false
		}
		s.log.Warn("cannot read which checkouts are listed, trying again", "error", err, "in", pause)
		if !s.pause(pause) {
			return nil, false
		}
	}
}

// withLeft adds the players whom the last sweep could not clear.
func (s *Sweeper) withLeft(listed []handoff.PlayerID) []handoff.PlayerID {
	if len(s.left) == 0 {
		return listed
	}
	all := make(map[handoff.PlayerID]bool, len(listed)+len(s.left))
	for _, player := range listed {
		all[player] = true
	}
	for _, player := range s.left {
		all[player] = true
	}
	return slices.Collect(maps.Keys(all))
}

// pause waits; false when interrupted meanwhile.
func (s *Sweeper) pause(d time.Duration) bool {
	select {
	case <-s.starting.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// SweepStop clears what is still listed and has no live or busy state here. It
// ends the sweep of the start. The driver must have stopped its joins, and the
// lease must have been confirmed just before. It returns how many players were
// left and, joined, why the first of them were; players whose state is live or
// busy are not among them, as the drain answers for those.
func (s *Sweeper) SweepStop(ctx context.Context) (left int, err error) {
	s.endStart()
	if err := s.turn.take(ctx); err != nil {
		return 0, fmt.Errorf("wait for the sweep before: %w", err)
	}
	defer s.turn.give()
	players, err := s.store.Listed(ctx)
	if err != nil {
		return 0, fmt.Errorf("list our checkouts: %w", err)
	}
	players = s.withLeft(players)
	run := &sweep{sweeper: s, name: stopSweep, began: time.Now(), stopping: true}
	for range 2 { // The second pass is for an answer that got lost.
		if players = run.pass(ctx, players); len(players) == 0 {
			break
		}
	}
	run.report(len(players))
	if len(players) == 0 {
		return 0, nil
	}
	return len(players), errors.Join(run.causes...)
}
