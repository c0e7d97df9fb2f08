package driver

import (
	"slices"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// timer is one timer that is set. A player has at most one per kind.
type timer struct {
	kind  handoff.Timer
	due   time.Time
	clock *time.Timer
}

// setTimer sets or moves one of the player's timers.
func (d *Driver) setTimer(p *player, kind handoff.Timer, at time.Time) {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if p.shard.closed {
		return
	}
	if i := p.timer(kind); i >= 0 {
		p.timers[i].due = at
		p.timers[i].clock.Reset(time.Until(at))
		return
	}
	clock := time.AfterFunc(time.Until(at), func() { d.fire(p, kind) })
	p.timers = append(p.timers, timer{kind: kind, due: at, clock: clock})
}

// stopTimer stops one.
func (d *Driver) stopTimer(p *player, kind handoff.Timer) {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	if i := p.timer(kind); i >= 0 {
		p.timers[i].clock.Stop()
		p.removeTimer(i)
	}
}

// fire posts a timer that ran out. The clock may be late for a timer that was
// moved or stopped in the meantime, hence the second look at what is set.
func (d *Driver) fire(p *player, kind handoff.Timer) {
	p.shard.mu.Lock()
	i := p.timer(kind)
	if i < 0 || p.shard.closed {
		p.shard.mu.Unlock()
		return
	}
	if left := time.Until(p.timers[i].due); left > 0 {
		p.timers[i].clock.Reset(left)
		p.shard.mu.Unlock()
		return
	}
	p.removeTimer(i)
	event := handoff.TimerFired{Timer: kind}
	mine := d.admit(p, event)
	p.shard.mu.Unlock()
	if mine {
		d.turn(p, event)
	}
}

// timer returns the index of the timer, -1 when it is not set.
func (p *player) timer(kind handoff.Timer) int {
	return slices.IndexFunc(p.timers, func(t timer) bool { return t.kind == kind })
}

func (p *player) removeTimer(i int) {
	p.timers = slices.Delete(p.timers, i, i+1)
	if len(p.timers) == 0 {
		p.timers = nil
	}
}
