package explore

import (
	"slices"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// lifecycle is what package lifecycle keeps of a worker: the settle period, the
// lease as the worker sees it, the sweeper and the recovery of the spool.
type lifecycle struct {
	// settled is the end of the settle period; begun means that its callbacks
	// have not run yet, resynced that waiting players must look again.
	settled  time.Duration
	begun    bool
	resynced bool
	// lost: Redis may have lost its memory since the last round.
	lost bool
	// interrupted: Redis fell silent during a settle period, which gave nobody
	// the time to report.
	interrupted bool
	// noticeBy is when a lost lease must have been noticed; zero for none.
	noticeBy time.Duration
	// ownEnd is when our lease ends by our own clock; zero while it is renewed.
	// Lapsed: it has ended, and was not renewed since.
	ownEnd time.Duration
	lapsed bool
	// suspect: it was found missing then, on the Redis process that it was on
	// (rule R7).
	suspect bool
	// lingers is until when resumes stay strict after a suspect round: one may
	// have been waiting to be sent.
	lingers time.Duration
	// changed: Redis has become another process, which we have not noticed.
	changed bool
	// woken: the process has been frozen and has not renewed its lease since.
	woken bool

	// recheck: a sweep is due; swept: there was one since the start; seen is the holder that it has read.
	recheck bool
	swept   bool
	sweeps  sweepStep
	seen    handoff.Holder
	// recovery is what the spool had at the start, being replayed.
	recovery []replayed
}

// replayed is an entry of the spool on its way.
type replayed struct {
	entry handoff.SpoolEntry
	// judged: Redis has answered, or need not. Lost: it has forgotten what it
	// had accepted, so that only the database can deliver it.
	judged, lost bool
	// heldUntil is when the session that was put back for it may end.
	heldUntil time.Duration
}

type sweepStep uint8

const (
	sweepLook sweepStep = iota
	sweepAct
)

// beginSettle is Settle.Begin: the gate shuts at once, the callbacks run later.
func (w *World) beginSettle(i int) {
	s := w.server(i)
	s.settled = max(s.settled, w.now+settlePeriod)
	s.begun = true
}

// gateOpen is rule R1, asked before each claim: no settle period, and the lease
// is ours by our own clock.
func (w *World) gateOpen(i int) (until time.Duration, open bool) {
	s := w.servers[i]
	if w.now < s.settled {
		return s.settled, false
	}
	if s.lapsed || s.woken {
		return w.now + leaseTTL/20, false
	}
	return 0, true
}

// callbacks run after the beginning of a settle period: the lease is renewed,
// every live session verified, waiting players look, and a sweep follows.
func (w *World) callbacks(i int) {
	w.renew(i)
	s := w.server(i)
	s.begun = false
	suspect := s.doubts()
	s.recheck = true
	for l := range s.lanes {
		s.lanes[l].verified = true
		s.lanes[l].suspected = s.lanes[l].suspected || suspect
	}
	if s.resynced {
		s.resynced = false
		if s.watchesAny() {
			s.hint(handoff.LookResync)
		}
	}
	lost := s.lost
	s.lost = false
	w.post(i, handoff.Verify{Suspect: suspect, Lost: lost})
	s = w.server(i)
	s.suspect = false
	if suspect {
		s.lingers = w.now + settlePeriod
	}
	w.noteVerified(i)
}

// suspects is Lease.Suspect, asked right before a resume is sent.
func (w *World) suspects(i int) bool {
	s := w.servers[i]
	return s.doubts() || w.now < s.lingers
}

// doubts is what a settle period begins with: sessions are suspect then.
func (s *server) doubts() bool { return s.suspect || s.lapsed && !s.changed }

// wasSilent: Redis answered nothing for so long that others' leases may have ended
// though their owners live.
func (s *server) wasSilent(now time.Duration) bool {
	return s.lapsed || s.ownEnd != 0 && now > s.ownEnd-leaseTTL/2
}

// renew is Lease.Confirm: a lease that is missing is taken again, and the gate
// shut before.
func (w *World) renew(i int) {
	s := w.server(i)
	if s.wasSilent(w.now) || s.interrupted {
		w.beginSettle(i)
	}
	s.interrupted = false
	s.noticeBy, s.woken = 0, false
	if w.redis.leases[i].incarnation != s.incarnation {
		s.suspect = s.doubts()
		s.lost = true
		w.say("  %s finds its lease missing and takes it again", w.id(i))
		w.beginSettle(i)
	}
	w.redis.leases[i] = lease{incarnation: s.incarnation}
	s.lapsed, s.ownEnd, s.changed = false, 0, false
}

// leaseEnds is the end of a lease that nobody renews.
func (w *World) leaseEnds(i int) {
	w.say("the lease of %s ends", w.id(i))
	w.redis.leases[i] = lease{}
	// While Redis is away nobody can renew: that proves no death (rule R3).
	w.truth.ended[i] = !w.away || w.servers[i].life != lifeUp
	for j := range w.count() {
		other := w.servers[j]
		if key := other.watches[handoff.KeyLease]; key.on && key.server == w.id(i) && w.rules.faults.has(faultExpired) {
			w.server(j).notified()
		}
	}
}

// crash ends the worker process: what it had in memory is gone.
func (w *World) crash(i int) {
	s := w.server(i)
	fresh := &server{
		index: i, state: w.rules.machines[i].Start(player), life: lifeDown, incarnation: s.incarnation,
		game: s.game, spool: s.spool,
	}
	fresh.attached, fresh.waiting, fresh.hungUp = false, nil, nil
	if !fresh.confirmed {
		fresh.leave() // Nothing was applied, so there is nothing to go on with.
	}
	w.servers[i] = fresh
	w.owned[i] = true
}

// letLeaseRun lets the lease of a worker run out that does not renew it.
func (w *World) letLeaseRun(i int, left time.Duration) {
	l := &w.redis.leases[i]
	if l.incarnation != 0 && l.end == 0 {
		l.end = w.now + left
	}
}

// restart begins the next incarnation. It has the lease, settles, reads its
// spool and sweeps as soon as a game has attached.
func (w *World) restart(i int) {
	s := w.server(i)
	s.life = lifeUp
	s.incarnation++
	w.redis.leases[i] = lease{incarnation: s.incarnation}
	w.truth.ended[i] = false
	s.settled = w.now + settlePeriod
	s.begun = true
	s.recovery = nil
	for _, e := range s.spool {
		s.recovery = append(s.recovery, replayed{entry: e, judged: e.As != handoff.AsCurrent})
	}
	slices.SortStableFunc(s.recovery, func(a, b replayed) int {
		return a.entry.Snapshot.Version.Compare(b.entry.Snapshot.Version)
	})
}

// attach is the game's Attach: it names the session that it plays, which is
// adopted; otherwise the orphans may be swept.
func (w *World) attach(i int) {
	s := w.server(i)
	s.attached = true
	s.recheck = true
	if s.session.IsZero() {
		return
	}
	session := s.session
	w.post(i, handoff.Adopt{Session: session})
	s = w.server(i)
	if sum := s.state.Summary(); !sum.Live || sum.Session != session {
		w.say("  %s: the game is told that its session is lost", w.id(i))
		s.leave()
	}
}

// sweep is one step of the sweeper: it reads the holder, asks the driver, and
// gives back that very fence.
func (w *World) sweep(i int) {
	s := w.server(i)
	if s.sweeps == sweepLook {
		// Whatever asks for a sweep from here on asks for another one.
		s.seen, s.sweeps, s.recheck = w.holder(), sweepAct, false
		return
	}
	s.sweeps = sweepLook
	sum := s.state.Summary()
	seen := s.seen
	s.seen = handoff.Holder{}
	first := !s.swept
	if sum.Live && !sum.Leaving {
		s.swept = true
		if first && !w.archive() {
			s.swept, s.recheck = false, true
		}
		return
	}
	if sum.Live || sum.Busy || !w.archive() {
		s.recheck = true // Again later.
	} else {
		s.swept = true
	}
	if !sum.Live && !sum.Busy && seen.Server == w.id(i) {
		written := w.runRelease(i, handoff.Release{Fence: seen.Fence}).(handoff.Written)
		w.say("  %s sweeps its checkout: %v", w.id(i), show(written))
		if written.Outcome != handoff.WriteDone && written.Outcome != handoff.WriteForgotten {
			w.server(i).recheck = true
		}
	}
}

// archive copies a data_update that its session has not brought into the database;
// false when the database is away.
func (w *World) archive() bool {
	r := &w.redis
	switch {
	case r.update == nil || r.expiring:
		return true
	case w.db == dbDown:
		return false
	}
	_, err := w.insert(r.update, handoff.AsCurrent)
	w.say("  data_update %v is copied into the database: %v", r.update.Version, err)
	r.expiring = err == nil
	return true
}

// maySweep reports whether a sweep can take its next step: nothing to wait for.
func (s *server) maySweep() bool {
	if !s.recheck && s.sweeps == sweepLook || !s.reaches() || !s.attached || s.lapsed || !s.replayDone() {
		return false
	}
	if s.lanes[redisLane].ran {
		return false // An answer that has come is there long before a sweep.
	}
	sum := s.state.Summary()
	return s.sweeps == sweepAct || sum.Live && !sum.Leaving || !sum.Live && !sum.Busy
}
