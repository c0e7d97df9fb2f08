package explore

import (
	"slices"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// applyFault makes something go wrong.
func (w *World) applyFault(m Move) {
	i := int(m.Server)
	if m.Kind == moveDump {
		w.left.dumps--
		dump := w.redis
		w.dump = &dump
		return
	}
	w.left.faults--
	switch m.Kind {
	case moveCrash:
		if m.Arg&1 != 0 {
			w.carryOut(i, redisLane)
		}
		if m.Arg&2 != 0 {
			w.carryOut(i, storeLane)
		}
		w.letLeaseRun(i, leaseTTL)
		w.goneForGood(i)
		w.crash(i)
	case moveInPlace:
		w.crash(i)
		w.restart(i)
	case moveFreeze:
		w.goneForGood(i)
		s := w.server(i)
		s.life = lifeFrozen
		if s.ownEnd == 0 {
			s.ownEnd = w.now + leaseTTL
		}
		if m.Arg == 1 {
			s.lanes[redisLane].gated = true
			s.lanes[redisLane].verified, s.lanes[redisLane].suspected = false, false
		}
		w.letLeaseRun(i, leaseTTL)
	case moveCut:
		w.goneForGood(i)
		w.cutOff(i, leaseTTL)
	case moveAway:
		w.away = true
		for j := range w.count() {
			if left := leaseTTL; w.servers[j].awake() {
				if j == 0 { // It was about to renew its lease.
					left -= leaseTTL / 3
				}
				w.cutOff(j, left)
			}
		}
	case moveResync:
		w.server(i).look = 0
		w.beginSettle(i)
		w.server(i).resynced = true
	case moveFlush:
		w.flush(m.Arg == 1)
	case moveRollback:
		w.rollback()
	case moveDBDown:
		w.db = dbDown
	case moveDBSlow:
		w.db = dbSlow
	case moveExpire:
		w.redis.update, w.redis.expiring = nil, false
	default:
	}
}

// goneForGood: a lease that is missing, and was not renewed yet, is that of a worker
// which is dead or cut off now.
func (w *World) goneForGood(i int) {
	if w.redis.leases[i].incarnation == 0 {
		w.truth.ended[i] = true
	}
}

// cutOff: the worker does not reach Redis, nor notifications it. Its lease has so
// much time left.
func (w *World) cutOff(i int, left time.Duration) {
	s := w.server(i)
	s.cut = true
	s.look, s.petitions = 0, false
	s.interrupted = s.interrupted || w.now < s.settled
	if !s.lapsed && s.ownEnd == 0 {
		s.ownEnd = w.now + left
	}
	w.letLeaseRun(i, left)
}

// speakAgain ends a silence of Redis that broke no connection.
func (w *World) speakAgain(i int) {
	s := w.server(i)
	s.cut, s.woken = false, true
	if s.watchesAny() {
		s.hint(handoff.LookReady)
	}
}

// comeBack ends a freeze or a cut: the process renews its lease, the connection
// is a new one.
func (w *World) comeBack(i int) {
	s := w.server(i)
	frozen := s.life == lifeFrozen
	s.life, s.cut, s.ownEnd = lifeUp, false, 0
	s.woken = s.woken || frozen
	if !frozen || s.changed {
		w.beginSettle(i)
		s.resynced = true
		s.lost = s.lost || s.changed
	}
	s.changed = false
	if w.away { // It wakes, and Redis is not there.
		w.cutOff(i, leaseTTL)
	}
}

// flush is FLUSHALL: no connection breaks, and each worker notices at the next
// renewal of its lease. Claims that have passed the gate run on what is left.
func (w *World) flush(gated bool) {
	w.redis = redis{}
	w.forget()
	for i := range w.count() {
		s := w.server(i)
		if s.reaches() {
			s.noticeBy = w.now + noticeWithin
		}
		if gated && s.awake() && w.claimPasses(i) {
			s.lanes[redisLane].gated = true
			s.lanes[redisLane].verified, s.lanes[redisLane].suspected = false, false
		}
	}
}

// rollback is a restart of Redis with an older copy: every connection breaks,
// and claims are bound to the process that they were meant for.
func (w *World) rollback() {
	w.redis = *w.dump
	w.forget()
	for i := range w.count() {
		s := w.server(i)
		l := &w.redis.leases[i]
		switch {
		case l.incarnation == 0:
		case l.incarnation == s.incarnation && s.reaches():
			l.end = 0
		default:
			l.end = w.now + leaseTTL
		}
		s.lanes[redisLane].gated = false
		s.suspect, s.changed, s.lingers = false, true, 0
		if s.reaches() {
			s.changed = false
			s.look = 0
			w.beginSettle(i)
			s.resynced, s.lost = true, true
		}
	}
}

// forget is what the checker notes when Redis loses its memory.
func (w *World) forget() {
	w.truth.amnesia, w.truth.emptied = true, true
	w.truth.ended = [maxServers]bool{}
	for _, v := range w.truth.accepted {
		if w.find(v) == nil && !slices.Contains(w.truth.unsaved, v) {
			w.truth.unsaved = with(w.truth.unsaved, v)
		}
	}
	for i := range w.count() {
		w.truth.doubt[i] = true
	}
	if t := &w.truth; !t.acknowledged.isZero() && !w.hasCurrent(t.acknowledged.version) && !w.spooled(t.acknowledged.version) {
		w.broken("L6: redis lost its memory, and %v, which was acknowledged, is nowhere", t.acknowledged.version)
	}
}
