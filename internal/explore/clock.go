package explore

import (
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// mayTick: nothing happens at once any more, and there is a moment to wait for.
func (w *World) mayTick() bool { return !w.urgent() && w.next() != 0 }

// next is the next moment at which something happens by itself; zero for none.
func (w *World) next() time.Duration {
	next := time.Duration(0)
	at := func(t time.Duration) {
		if t > w.now && (next == 0 || t < next) {
			next = t
		}
	}
	for i := range w.count() {
		s := w.servers[i]
		at(w.redis.leases[i].end)
		at(s.ownEnd)
		if !s.awake() {
			continue
		}
		for _, t := range s.timers {
			if t != 0 {
				at(t - 1)
			}
		}
		at(s.noticeBy)
		at(s.pollAt)
		if s.unjudged() >= 0 {
			at(s.settled)
			at(s.recovery[s.unjudged()].heldUntil)
		}
	}
	return next
}

// tick lets time pass until then.
func (w *World) tick() {
	w.now = w.next()
	w.say("-- %v", w.now)
	for i := range w.count() {
		if end := w.redis.leases[i].end; end != 0 && end <= w.now {
			w.leaseEnds(i)
		}
		if end := w.servers[i].ownEnd; end != 0 && end <= w.now {
			s := w.server(i)
			s.ownEnd, s.lapsed = 0, true
		}
		if at := w.servers[i].pollAt; at != 0 && at <= w.now && w.servers[i].awake() {
			s := w.server(i)
			s.pollAt = 0
			if !s.cut {
				s.hint(handoff.LookPoll)
			}
		}
	}
}
