package lockstep_test

import (
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lockstep"
)

// TestRandomWalk plays 10,000 random lives of one player on two servers, with
// lost answers and notifications, broken connections and a Redis that is
// emptied, and checks laws L1 to L8 on the way and at the end.
func TestRandomWalk(t *testing.T) {
	machines := make([]*lockstep.Machine, 2)
	for i, id := range []handoff.ServerID{"a", "b"} {
		machine, err := lockstep.New(lockstep.Config{Server: id, Settle: settle, Petitions: true})
		if err != nil {
			t.Fatal(err)
		}
		machines[i] = machine
	}
	seeds := uint64(10_000)
	if testing.Short() {
		seeds = 2_000
	}
	for seed := range seeds {
		w := newWorld(machines[0], machines[1], seed)
		for range 300 {
			w.move()
			if len(w.broken) > 0 {
				t.Fatalf("seed %d: %s", seed, w.report())
			}
		}
		w.calmDown()
		if len(w.broken) > 0 {
			t.Fatalf("seed %d: %s", seed, w.report())
		}
	}
}

// move lets one thing happen.
func (w *world) move() {
	s := w.servers[w.rnd.IntN(len(w.servers))]
	w.keepOldCopy()
	w.sweepGhosts(s)
	switch choice := w.rnd.IntN(39 + w.faults); {
	case choice < 14:
		w.runSomeLane(s)
	case choice < 26:
		w.deliver(s)
	case choice < 30:
		w.hint(s)
	case choice < 35:
		w.passTime()
	case choice < 39:
		w.playGame(s)
	default:
		w.fault(s)
	}
}

// keepOldCopy now and then saves Redis to its dump.
func (w *world) keepOldCopy() {
	if w.rnd.IntN(30) == 0 {
		w.dump = w.redis
	}
}

func (w *world) runSomeLane(s *server) bool {
	first := w.rnd.IntN(len(s.lanes))
	for i := range s.lanes {
		if lane := (first + i) % len(s.lanes); len(s.lanes[lane]) > 0 {
			w.runLane(s, lane)
			return true
		}
	}
	return false
}

func (w *world) deliver(s *server) bool {
	if len(s.answers) == 0 {
		return false
	}
	event := s.answers[0]
	s.answers = s.answers[1:]
	w.post(s, event)
	return true
}

func (w *world) hint(s *server) bool {
	if len(s.hints) == 0 {
		return false
	}
	event := s.hints[0]
	s.hints = s.hints[1:]
	if s.watches > 0 {
		w.post(s, event)
	}
	return true
}

// passTime moves the clock to the next timer, unless somebody still has to
// notice an emptied Redis before then.
func (w *world) passTime() bool {
	var owner *server
	var which handoff.Timer
	next := w.now.Add(time.Second)
	for _, s := range w.servers {
		for timer := handoff.TimerDeadline; timer <= handoff.TimerRead; timer++ {
			if at, set := s.timers[timer]; set && (owner == nil || at.Before(next)) {
				next, owner, which = at, s, timer
			}
		}
	}
	for _, s := range w.servers {
		if !s.noticeBy.IsZero() && next.After(s.noticeBy) {
			w.settleOwn(s)
			return true
		}
	}
	if next.After(w.now) {
		w.now = next
	}
	if owner != nil {
		delete(owner.timers, which)
		w.post(owner, handoff.TimerFired{Timer: which})
	}
	return owner != nil
}

// settleOwn is what the worker does when it finds its lease missing: settle,
// renew, and verify its sessions, all of it before the others' settle ends.
func (w *world) settleOwn(s *server) {
	w.log("%s notices that redis was emptied", s.id)
	s.noticeBy = time.Time{}
	s.settled = w.now.Add(settle)
	w.redis.leases[s.id] = true
	w.post(s, handoff.Verify{Lost: true})
	calm := w.calm
	w.calm = true
	for len(s.lanes[0]) > 0 || len(s.answers) > 0 {
		if len(s.lanes[0]) > 0 {
			w.runLane(s, 0)
		}
		w.deliver(s)
	}
	w.calm = calm
	s.ghosts = true
}

// sweepGhosts: an old dump can bring back a checkout that has no session any
// more. The sweeper of package lifecycle looks for those after every settle
// period, as soon as nothing is under way for the player.
func (w *world) sweepGhosts(s *server) {
	phase := s.state.(lockstep.State).Phase()
	if !s.ghosts || (phase != lockstep.PhaseAbsent && phase != lockstep.PhaseLost) || len(s.lanes[0]) > 0 {
		return
	}
	s.ghosts = false
	if w.redis.checkout == s.id {
		w.log("%s sweeps a ghost", s.id)
		w.free()
	}
}

func (w *world) fault(s *server) {
	if w.faults > 1 && s.state.Idle() {
		return // Spend them where they hurt.
	}
	switch w.rnd.IntN(8) {
	case 0: // Redis is emptied; no connection breaks.
		w.log("redis emptied")
		w.redis = redisModel{leases: map[handoff.ServerID]bool{}}
		for _, s := range w.servers {
			s.noticeBy = w.now.Add(settle - time.Millisecond)
		}
		w.checkSurvives()
	case 1: // Redis restarted from an old dump; every connection breaks.
		w.log("redis rolled back")
		leases := w.redis.leases
		w.redis = w.dump
		w.redis.leases = leases
		for _, s := range w.servers {
			s.noticeBy = w.now.Add(settle - time.Millisecond)
			s.settled = w.now.Add(settle)
		}
		w.checkSurvives()
	case 2: // The subscription broke and is back.
		s.settled = w.now.Add(settle)
		w.post(s, handoff.Verify{})
		if s.watches > 0 {
			w.post(s, handoff.Look{Cause: handoff.LookResync})
		}
	case 3, 4:
		if s.watches > 0 {
			w.post(s, handoff.Look{Cause: handoff.LookPoll})
		}
	case 5:
		if s.noticeBy.IsZero() {
			return
		}
		w.settleOwn(s)
	default: // Notifications get lost.
		s.hints = nil
	}
}

// checkSurvives is law L6: what only Redis had is gone with its memory, what was
// acknowledged is in the database.
func (w *world) checkSurvives() {
	newest := w.newestRow()
	missing := !w.acknowledged.IsZero() && (newest == nil || newest.Version.Compare(w.acknowledged) < 0)
	switch {
	case missing && w.onDisk(w.acknowledgedID):
		// The database failed as well, and both at once is not promised.
		w.acknowledged = handoff.Version{}
	case missing:
		w.violation("L6: redis lost its memory and %v is nowhere", w.acknowledged)
	}
}

// playGame lets the game on one server ask for something.
func (w *world) playGame(s *server) {
	w.requests++
	request := w.requests
	var event handoff.Event
	choice := w.rnd.IntN(10)
	if s.session.IsZero() && len(s.waiting) > 0 && w.rnd.IntN(4) > 0 {
		return // Most games wait for an answer before they ask again.
	}
	switch {
	case s.session.IsZero() && choice < 8:
		event = handoff.Join{Request: request, Deadline: w.now.Add(time.Duration(1+w.rnd.IntN(30)) * time.Second)}
	case choice == 9:
		w.cancelSome(s)
		return
	case choice == 8:
		w.post(s, handoff.End{Session: s.session, Reason: handoff.EndGameRestarted})
		if !s.session.IsZero() {
			s.session, s.confirmed = handoff.SessionID{}, false
		}
		return
	case !s.confirmed && choice < 6:
		event = handoff.Confirm{Request: request, Session: s.session, Applied: w.rnd.IntN(5) > 0}
	case choice < 4:
		event = handoff.Save{Request: request, Session: s.session, Capture: w.capture()}
	case choice < 7:
		event = handoff.Quit{Request: request, Session: s.session, Capture: w.capture()}
		if w.rnd.IntN(2) == 0 {
			s.session, s.confirmed = handoff.SessionID{}, false
		}
	default:
		event = handoff.Quit{Request: request, Session: s.session}
	}
	s.waiting[request] = event
	w.post(s, event)
}

func (w *world) capture() *handoff.Capture {
	w.snapshots++
	n := w.snapshots
	return &handoff.Capture{
		ID:          handoff.SnapshotID{12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)},
		HistoryOnly: w.rnd.IntN(8) == 0 && !w.calm,
	}
}

func (w *world) cancelSome(s *server) {
	for request := range w.requests + 1 {
		if _, waits := s.waiting[request].(handoff.Join); waits {
			w.post(s, handoff.CancelJoin{Request: request})
			return
		}
	}
}

// calmDown ends all faults, lets the players leave and the clock run. Then
// nothing may be left (laws L7 and L8).
func (w *world) calmDown() {
	w.calm = true
	for _, s := range w.servers {
		if !s.noticeBy.IsZero() {
			w.settleOwn(s)
		}
	}
	for range 400 {
		busy := false
		for _, s := range w.servers {
			w.sweepGhosts(s)
			busy = w.runSomeLane(s) || w.deliver(s) || w.hint(s) || busy
			if !busy && !s.session.IsZero() {
				w.requests++
				s.waiting[w.requests] = handoff.Quit{}
				session := s.session
				s.session, busy = handoff.SessionID{}, true
				w.post(s, handoff.Quit{Request: w.requests, Session: session})
			}
		}
		if len(w.broken) > 0 {
			return
		}
		if !busy && !w.passTime() {
			w.checkNothingLeft()
			return
		}
	}
	w.violation("L7: the players never come to rest")
}

func (w *world) checkNothingLeft() {
	for _, s := range w.servers {
		if len(s.spool) != 0 {
			w.violation("L8: %s keeps %d entries on disk", s.id, len(s.spool))
		}
		if !s.state.Idle() || s.watches != 0 || len(s.timers) != 0 || len(s.waiting) != 0 {
			w.violation("L8: %s keeps %+v, %d watches, timers %v, waiting %v", s.id, s.state.Summary(), s.watches, s.timers, s.waiting)
		}
	}
	if w.redis.checkout != "" {
		w.violation("L8: checkout left behind by %s", w.redis.checkout)
	}
}
