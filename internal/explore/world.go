package explore

import (
	"slices"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lockstep"
)

// The durations of the model; those of a worker with default settings.
const (
	settlePeriod = 4 * time.Second
	leaseTTL     = 10 * time.Second
	// noticeWithin is the longest time between two renewals of a lease.
	noticeWithin = leaseTTL/3 + 100*time.Millisecond
	safetyPoll   = 5 * time.Second
	// patience is how long a join may take when nothing is wrong any more: a
	// lease has to end, two settle periods may have to pass, and a margin.
	patience = leaseTTL + 2*settlePeriod + 4*time.Second
)

const (
	maxServers = 3
	maxTimers  = 12
)

// epoch is the model's time zero.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// player is the one whose life is explored.
var player = handoff.PlayerID{15: 1}

var serverIDs = [maxServers]handoff.ServerID{"a", "b", "c"}

// World is one moment of everything. A move changes a copy; what slices and
// pointers lead to is never changed in place.
type World struct {
	rules *rules
	now   time.Duration
	redis redis
	// dump is an older copy of Redis that a restart may bring back.
	dump *redis
	rows []row
	db   dbState
	// away: nobody reaches Redis, which keeps what it has.
	away bool
	// servers are shared between worlds until one is changed; see server.
	servers [maxServers]*server
	owned   [maxServers]bool
	left    budget
	truth   truth
	// clock counts grants: fences are granted by the clock of Redis.
	clock int64
	// snapshots numbers captures.
	snapshots uint32

	// calm: no faults any more, and whatever can go on does; since when, and
	// how many servers have been asked whether a player still gets in.
	calm      calmness
	calmSince time.Duration
	probes    int

	// unchecked: the machine has said that the delivery which follows was not
	// compared with the database.
	unchecked bool
	// speaking is the session that the machine had before its step.
	speaking  handoff.Fence
	violation string
	log       func(format string, args ...any)
}

// rules are what the worlds of one family share.
type rules struct {
	count    int
	machines [maxServers]*lockstep.Machine
	faults   faultSet
	// wait is how long a join waits.
	wait time.Duration
	// haunted: a rollback may come although a worker believes in a session that
	// was taken over.
	haunted bool
	// steal: sync.on_timeout is steal.
	steal bool
	// behind: the clock of Redis is behind, so fences rise by one.
	behind bool
}

// calmness says how a course of events without further faults goes on.
type calmness uint8

const (
	// notCalm: anything may happen.
	notCalm calmness = iota
	// calmEager: everything is mended and every player leaves at once, so that
	// whoever waits gets in.
	calmEager
	// calmLazy: players stay as long as anything else can happen, whoever is not
	// there joins, and what a worker has to notice by itself it notices as late
	// as it may.
	calmLazy
)

// budget is what may still happen.
type budget struct {
	faults, delays, odd, dumps int8
}

type dbState uint8

const (
	dbUp dbState = iota
	// dbDown: every operation fails.
	dbDown
	// dbSlow: operations may take any time.
	dbSlow
)

type row struct {
	snapshot *handoff.Snapshot
	as       handoff.StoredAs
}

// life of a worker process.
type life uint8

const (
	lifeUp life = iota
	lifeFrozen
	lifeDown
)

// laneID names the queues of operations; each runs one at a time.
type laneID uint8

const (
	redisLane laneID = iota
	readLane
	storeLane
	spoolLane
	laneCount
)

// lane is a queue of operations. The head may have been performed already while
// its answer is still on its way.
type lane struct {
	queue  []handoff.Action
	ran    bool
	answer handoff.Event
	// gated: the claim at the head has passed the gate of rule R1.
	gated bool
	// verified: a settle period has begun since the claim was sent; suspected:
	// one in which sessions were suspect.
	verified, suspected bool
	// part counts the round trips of an operation that takes several; the
	// scripts take one, so it stays zero unless a mutant splits one.
	part  uint8
	saved handoff.ServerID
}

// server is one worker with its game.
type server struct {
	index int
	state handoff.State
	life  life
	// cut: the worker does not reach Redis.
	cut         bool
	incarnation uint8
	lanes       [laneCount]lane
	// look is the strongest hint that waits, and petition the latest one.
	look      handoff.LookCause
	petition  handoff.Petitioned
	petitions bool
	watches   [8]watched
	// pollAt is when the safety poll finds what a lost notification would have
	// told; zero while none was lost.
	pollAt time.Duration
	// timers are absolute times plus one; zero means that it is not set.
	timers [maxTimers]time.Duration

	lifecycle
	game
	spool []handoff.SpoolEntry
}

type watched struct {
	on     bool
	server handoff.ServerID
}

// game is the game server beside the worker.
type game struct {
	attached bool
	// session is the one that the game plays, zero for none.
	session   handoff.SessionID
	confirmed bool
	// grantedTo is the join that brought the session, until it is confirmed.
	grantedTo handoff.RequestID
	requests  handoff.RequestID
	waiting   []asked
	// hungUp are joins whose caller is gone; an answer may still come.
	hungUp []handoff.RequestID
	joins  int8
	saves  int8
}

// asked is a request without an answer.
type asked struct {
	request handoff.RequestID
	kind    requestKind
	session handoff.SessionID
	applied bool
	// since is when a join was sent, for how long it may take.
	since time.Duration
}

type requestKind uint8

const (
	askJoin requestKind = iota + 1
	askConfirm
	askSave
	askQuit
)

// clone returns a copy that shares its servers until they are changed.
func (w *World) clone() *World {
	fresh := *w
	fresh.owned = [maxServers]bool{}
	return &fresh
}

// server returns the server for changing it.
func (w *World) server(i int) *server {
	if !w.owned[i] {
		fresh := *w.servers[i]
		w.servers[i] = &fresh
		w.owned[i] = true
	}
	return w.servers[i]
}

func (w *World) at() time.Time { return epoch.Add(w.now) }

func (w *World) count() int { return w.rules.count }

func (w *World) id(i int) handoff.ServerID { return serverIDs[i] }

func indexOf(id handoff.ServerID) int { return slices.Index(serverIDs[:], id) }

// awake: the process runs.
func (s *server) awake() bool { return s.life == lifeUp }

// reaches: the process runs and Redis answers it.
func (s *server) reaches() bool { return s.life == lifeUp && !s.cut }

func with[T any](list []T, element T) []T { return append(slices.Clip(list), element) }

func without[T any](list []T, at int) []T { return slices.Delete(slices.Clone(list), at, at+1) }

// post steps the machine of a server and performs what it wants done.
func (w *World) post(i int, event handoff.Event) {
	s := w.server(i)
	w.say("  %s <- %v", w.id(i), show(event))
	w.speaking = s.state.Summary().Session.Fence
	next, actions := w.rules.machines[i].Step(s.state, w.at(), event)
	s.state = next
	for _, action := range actions {
		w.say("  %s -> %v", w.id(i), show(action))
		w.perform(i, action)
	}
	w.unchecked = false
	w.checkExclusion()
}

func (w *World) say(format string, args ...any) {
	if w.log != nil {
		w.log(format, args...)
	}
}

func (w *World) perform(i int, action handoff.Action) {
	s := w.server(i)
	switch a := action.(type) {
	case handoff.Watch:
		s.watches[a.Key] = watched{on: true, server: a.Server}
		if s.cut {
			return // It is confirmed when the connection is back.
		}
		s.hint(handoff.LookReady)
	case handoff.Unwatch:
		s.watches[a.Key] = watched{}
	case handoff.SetTimer:
		s.timers[a.Timer] = a.At.Sub(epoch) + 1
	case handoff.StopTimer:
		s.timers[a.Timer] = 0
	case handoff.Reply:
		w.replied(i, a)
	case handoff.TellLost:
		if s.session == a.Session {
			s.leave()
		}
	case handoff.AskCheckIn: // The game looks; here it has the player.
	case handoff.Note:
		w.noted(i, a.Kind)
	default:
		l := laneOf(action)
		s.lanes[l].queue = with(s.lanes[l].queue, action)
	}
}

func laneOf(action handoff.Action) laneID {
	switch action.(type) {
	case handoff.ReadNewest:
		return readLane
	case handoff.Store:
		return storeLane
	case handoff.Spool, handoff.Unspool:
		return spoolLane
	default:
		return redisLane
	}
}

// hint notes that the player should be looked at. Of several hints the strongest
// is kept.
func (s *server) hint(cause handoff.LookCause) {
	if strength(cause) > strength(s.look) {
		s.look = cause
	}
}

func strength(cause handoff.LookCause) int {
	switch cause {
	case handoff.LookResync:
		return 4
	case handoff.LookReady:
		return 3
	case handoff.LookChanged:
		return 2
	case handoff.LookPoll:
		return 1
	default:
		return 0
	}
}

func (s *server) watchesAny() bool {
	for _, w := range s.watches {
		if w.on {
			return true
		}
	}
	return false
}
