package lockstep_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lockstep"
)

// world is a model of everything around the machines of one player: Redis with
// the scripts as their headers promise them, the database, the games, the
// network that loses answers and notifications, and a clock. It plays at random
// and checks the laws at every step.
type world struct {
	rnd     *rand.Rand
	now     time.Time
	servers []*server
	redis   redisModel
	// dump is an older copy of Redis, brought back by a restart.
	dump   redisModel
	rows   []row
	trace  []string
	broken []string
	// acknowledged is the newest version that a game heard CURRENT for.
	acknowledged handoff.Version
	// acknowledgedID is its snapshot.
	acknowledgedID handoff.SnapshotID
	// unchecked: the delivery that follows was not compared with the database.
	unchecked bool
	requests  handoff.RequestID
	snapshots uint32
	// loss is the number of operations of which one gets no answer; faults is
	// how often something worse happens.
	loss, faults int
	// calm: no faults any more, everything owed is delivered.
	calm bool
}

type redisModel struct {
	fence    handoff.Fence
	checkout handoff.ServerID
	update   *handoff.Snapshot
	leases   map[handoff.ServerID]bool
}

type row struct {
	snapshot *handoff.Snapshot
	as       handoff.StoredAs
}

// server is one worker with its game.
type server struct {
	id      handoff.ServerID
	state   handoff.State
	machine *lockstep.Machine
	// lanes hold the operations under way: Redis, reads, stores, the spool.
	lanes   [4][]handoff.Action
	answers []handoff.Event
	hints   []handoff.Event
	timers  map[handoff.Timer]time.Time
	watches int
	settled time.Time
	// noticeBy is when the worker must have noticed that Redis is empty.
	noticeBy time.Time
	// ghosts: the sweeper still has to look for checkouts without a session.
	ghosts bool
	// spool is what is on this server's disk.
	spool map[handoff.SnapshotID]bool
	// waiting requests of the game, and the session it believes in.
	waiting   map[handoff.RequestID]handoff.Event
	session   handoff.SessionID
	confirmed bool
}

const settle = 3 * time.Second

func newWorld(machine *lockstep.Machine, other *lockstep.Machine, seed uint64) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), now: start, redis: redisModel{leases: map[handoff.ServerID]bool{}}}
	// Every other life is quiet, lossy, violent, or both.
	w.loss, w.faults = 20, 1
	if seed&1 != 0 {
		w.loss = 6
	}
	if seed&2 != 0 {
		w.faults = 6
	}
	for id, m := range map[handoff.ServerID]*lockstep.Machine{"a": machine, "b": other} {
		w.servers = append(w.servers, &server{
			id: id, machine: m, state: m.Start(steve), timers: map[handoff.Timer]time.Time{},
			waiting: map[handoff.RequestID]handoff.Event{}, spool: map[handoff.SnapshotID]bool{},
		})
		w.redis.leases[id] = true
	}
	if w.servers[0].id == "b" { // Map order must not reach the walk.
		w.servers[0], w.servers[1] = w.servers[1], w.servers[0]
	}
	return w
}

func (w *world) violation(format string, args ...any) {
	w.broken = append(w.broken, fmt.Sprintf(format, args...))
}

func (w *world) log(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8v ", w.now.Sub(start))+fmt.Sprintf(format, args...))
}

func (w *world) report() string {
	return strings.Join(w.broken, "\n") + "\nafter\n" + strings.Join(w.trace, "\n")
}

// post steps one machine and spreads what it wants done.
func (w *world) post(s *server, event handoff.Event) {
	w.log("%s <- %T%+v", s.id, event, event)
	var actions []handoff.Action
	s.state, actions = s.machine.Step(s.state, w.now, event)
	for _, action := range actions {
		w.log("%s -> %T%+v", s.id, action, action)
		w.perform(s, action)
	}
	w.checkExclusion()
}

func (w *world) perform(s *server, action handoff.Action) {
	switch a := action.(type) {
	case handoff.ReadNewest:
		s.lanes[1] = append(s.lanes[1], a)
	case handoff.Store:
		s.lanes[2] = append(s.lanes[2], a)
	case handoff.Spool, handoff.Unspool:
		s.lanes[3] = append(s.lanes[3], a)
	case handoff.AskCheckIn:
	case handoff.Petition:
		for _, other := range w.servers {
			if other.id == a.To && w.rnd.IntN(2) == 0 { // Petitions get lost.
				other.answers = append(other.answers, handoff.Petitioned{By: s.id, Fence: a.Fence})
			}
		}
	case handoff.Watch:
		s.watches++
		s.hints = append(s.hints, handoff.Look{Cause: handoff.LookReady})
	case handoff.Unwatch:
		s.watches--
	case handoff.SetTimer:
		s.timers[a.Timer] = a.At
	case handoff.StopTimer:
		delete(s.timers, a.Timer)
	case handoff.Reply:
		w.replied(s, a)
	case handoff.TellLost:
		if s.session == a.Session {
			s.session, s.confirmed = handoff.SessionID{}, false
		}
	case handoff.Note:
		w.unchecked = a.Kind == handoff.NoteWithoutDatabase
	default:
		s.lanes[0] = append(s.lanes[0], a)
	}
}

// replied is the game's side of an answer.
func (w *world) replied(s *server, a handoff.Reply) {
	asked, ok := s.waiting[a.Request]
	if !ok {
		w.violation("request %d answered twice or never asked", a.Request)
		return
	}
	delete(s.waiting, a.Request)
	switch r := a.Result.(type) {
	case *handoff.Grant:
		s.session, s.confirmed = r.Session, false
		w.checkDelivery(r)
	case *handoff.Receipt:
		if r.State == handoff.StateCurrent && !r.Version.IsZero() {
			w.checkDurable(r)
			if r.Version.Compare(w.acknowledged) > 0 {
				w.acknowledged, w.acknowledgedID = r.Version, r.Snapshot
			}
		}
	case handoff.Accepted:
		if c, ok := asked.(handoff.Confirm); ok && c.Session == s.session {
			s.confirmed = c.Applied
			if !c.Applied {
				s.session = handoff.SessionID{}
			}
		}
	case *handoff.Refusal:
		switch r.Reason {
		case handoff.ReasonSessionLost, handoff.ReasonNoSession, handoff.ReasonNotConfirmedInTime,
			handoff.ReasonApplyRefused, handoff.ReasonCancelled:
			if _, join := asked.(handoff.Join); !join {
				s.session, s.confirmed = handoff.SessionID{}, false
			}
		default:
		}
	}
}

// checkDelivery is laws L2, L3 and L6: the newest there is, new only when there
// is nothing, and nothing older than what was acknowledged.
func (w *world) checkDelivery(grant *handoff.Grant) {
	if w.unchecked { // The one exception: the machine said so.
		w.unchecked = false
		return
	}
	newest := w.newestRow()
	if w.redis.update != nil && (newest == nil || w.redis.update.Version.Compare(newest.Version) > 0) {
		newest = w.redis.update
	}
	switch {
	case grant.Snapshot == nil && newest != nil:
		w.violation("L3: delivered as new, although %v exists", newest.Version)
	case grant.Snapshot == nil:
	case newest != nil && grant.Snapshot.Version.Compare(newest.Version) < 0:
		w.violation("L2: delivered %v, newest is %v", grant.Snapshot.Version, newest.Version)
	case grant.Snapshot.Version.Compare(w.acknowledged) < 0:
		w.violation("L6: delivered %v, acknowledged was %v", grant.Snapshot.Version, w.acknowledged)
	}
}

// checkDurable is rule R5: what is answered as current is in the database, or on
// a disk.
func (w *world) checkDurable(receipt *handoff.Receipt) {
	for _, r := range w.rows {
		if r.as == handoff.AsCurrent && r.snapshot.Version == receipt.Version {
			return
		}
	}
	if !w.onDisk(receipt.Snapshot) {
		w.violation("L6: %v acknowledged, neither in the database nor on disk", receipt.Version)
	}
}

func (w *world) onDisk(id handoff.SnapshotID) bool {
	for _, s := range w.servers {
		if s.spool[id] {
			return true
		}
	}
	return false
}

// checkExclusion is law L4.
func (w *world) checkExclusion() {
	live := 0
	for _, s := range w.servers {
		switch s.state.(lockstep.State).Phase() {
		case lockstep.PhaseDelivered, lockstep.PhasePresent, lockstep.PhaseSaving, lockstep.PhaseVerifying:
			live++
		default:
		}
	}
	if live > 1 {
		w.violation("L4: %d live sessions", live)
	}
}

func (w *world) newestRow() *handoff.Snapshot {
	var newest *handoff.Snapshot
	for _, r := range w.rows {
		if r.as == handoff.AsCurrent && (newest == nil || r.snapshot.Version.Compare(newest.Version) > 0) {
			newest = r.snapshot
		}
	}
	return newest
}

var errLost = errors.New("answer lost")
