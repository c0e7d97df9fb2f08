package driver

import (
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// stepsPerTurn bounds how long a goroutine that brought one event steps through
// others' events before a stepper goes on.
const stepsPerTurn = 32

// player is the entry of one player. A waiting or playing player costs this
// struct, its map slot and its machine's state; everything else is allocated
// when needed and given up when not.
type player struct {
	id    handoff.PlayerID
	shard *shard

	// state is written by the goroutine that is stepping, under the lock;
	// that goroutine may read it without. Nil before the first step.
	state handoff.State
	// phase is the one logged last; only the stepping goroutine uses it.
	phase string

	// The rest is guarded by the shard's lock, except where a type says
	// otherwise.

	// queue holds the events to be stepped. Invariant: while nobody is
	// stepping, queue and look are empty.
	queue []handoff.Event
	// waiting holds the requests that have no answer yet.
	waiting []*request
	lanes   *laneSet
	timers  []timer
	watches []*watch
	// look is the strongest cause of the looks queued, 0 for none.
	look handoff.LookCause
	// stepping means that a goroutine owns the player's next step.
	stepping bool
	// idle, live and busy repeat what the state said last.
	idle, live, busy bool
	// active and working mean that the player counts against the driver's
	// quiet and working.
	active, working bool
	// gone means that the entry was dropped; a timer or a watch may still
	// hold it.
	gone bool
}

// entry returns the player's entry, made if need be. The caller holds the lock.
func (d *Driver) entry(s *shard, id handoff.PlayerID) *player {
	if p := s.players[id]; p != nil {
		return p
	}
	p := &player{id: id, shard: s, idle: true}
	if s.players == nil {
		s.players = make(map[handoff.PlayerID]*player)
	}
	s.players[id] = p
	d.metrics.players.Inc()
	return p
}

// post hands the event to the player and steps on the caller's goroutine.
func (d *Driver) post(p *player, event handoff.Event) {
	p.shard.mu.Lock()
	mine := d.admit(p, event)
	p.shard.mu.Unlock()
	if mine {
		d.turn(p, event)
	}
}

// admit reports whether the caller must step the event itself, by turn, after
// it has given up the lock that it holds. If not, the event is queued, or
// dropped because the player or the driver is gone.
func (d *Driver) admit(p *player, event handoff.Event) bool {
	switch {
	case p.shard.closed || p.gone:
		return false
	case p.stepping:
		p.queue = append(p.queue, event)
		return false
	default:
		d.begin(p)
		return true
	}
}

// enqueue queues the event and reports whether the caller must hand the player
// to the steppers after it has given up the lock that it holds.
func (d *Driver) enqueue(p *player, event handoff.Event) bool {
	if p.shard.closed || p.gone {
		return false
	}
	p.queue = append(p.queue, event)
	if p.stepping {
		return false
	}
	d.begin(p)
	return true
}

// begin makes the caller, who holds the lock, the one who steps the player.
func (d *Driver) begin(p *player) {
	p.stepping = true
	d.work.Add(1)
	d.account(p)
}

// turn steps one event and then what was queued meanwhile.
func (d *Driver) turn(p *player, event handoff.Event) {
	d.step(p, event)
	d.run(p)
}

// run steps what is queued. The caller owns the stepping.
func (d *Driver) run(p *player) {
	for range stepsPerTurn {
		event, more := d.next(p)
		if !more {
			return
		}
		d.step(p, event)
	}
	d.steppers.add(p)
}

// next takes the next event, or ends the turn when there is none.
func (d *Driver) next(p *player) (handoff.Event, bool) {
	p.shard.mu.Lock()
	if !p.shard.closed {
		if event, ok := p.take(); ok {
			p.shard.mu.Unlock()
			return event, true
		}
	}
	p.stepping = false
	dropped := d.settle(p)
	p.shard.mu.Unlock()
	if dropped {
		d.release(p)
	}
	d.work.Done()
	return nil, false
}

// take removes the next event from the queue: looks come last, since they are
// hints and see the more the later they come.
func (p *player) take() (handoff.Event, bool) {
	if len(p.queue) > 0 {
		event := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		if len(p.queue) == 0 {
			p.queue = nil
		}
		return event, true
	}
	if p.look != 0 {
		event := handoff.Look{Cause: p.look}
		p.look = 0
		return event, true
	}
	return nil, false
}

// settle gives up what a player at rest does not need and drops the entry when
// nothing is left; the caller, who holds the lock, then calls release.
func (d *Driver) settle(p *player) (dropped bool) {
	d.account(p)
	if p.stepping || p.lanes.working() || p.shard.closed {
		return false
	}
	p.lanes = nil
	if !p.idle {
		return false
	}
	p.gone = true
	delete(p.shard.players, p.id)
	d.metrics.players.Dec()
	return true
}

// release stops the timers and watches of a player whom nobody steps any more,
// and answers requests that the machine has forgotten.
func (d *Driver) release(p *player) {
	p.shard.mu.Lock()
	timers, watches, waiting := p.timers, p.watches, p.waiting
	p.timers, p.watches, p.waiting = nil, nil, nil
	p.shard.mu.Unlock()
	for _, t := range timers {
		t.clock.Stop()
	}
	for _, w := range watches {
		d.guard(p, "unwatch", w.end)
	}
	for _, r := range waiting {
		d.log.Error("machine left a request unanswered", "player", p.id.String(), "request", r.kind.String())
		d.answerError(r, ErrInternal)
	}
}

// step takes one event through the machine and performs what it asks for. The
// caller owns the stepping.
func (d *Driver) step(p *player, event handoff.Event) {
	if adopt, ok := event.(adoption); ok {
		event = adopt.Adopt
		defer close(adopt.stepped)
	}
	d.metrics.stepped(event)
	next, ok := d.advance(p, event)
	if !ok {
		next, ok = d.advanceFailed(p, event)
	}
	if !ok {
		d.answerAfterFault(p, requestOf(event))
		return
	}
	d.publish(p, next)
	for _, action := range next.actions {
		d.guard(p, "action", func() { d.perform(p, action) })
	}
}

// advanced is what came of one step.
type advanced struct {
	state   handoff.State
	actions []handoff.Action
	summary handoff.Summary
	idle    bool
}

// advance asks the machine; not ok means that it panicked, and why that is
// contained as it is stands in the package doc.
func (d *Driver) advance(p *player, event handoff.Event) (next advanced, ok bool) {
	defer func() {
		if value := recover(); value != nil {
			d.reportPanic(p, kindOf(event).String(), value)
		}
	}()
	state := p.state
	if state == nil {
		state = d.machine.Start(p.id)
	}
	next.state, next.actions = d.machine.Step(state, time.Now(), event)
	next.summary = next.state.Summary()
	next.idle = next.state.Idle()
	return next, true
}

// advanceFailed has the machine go on from an answer that it panicked at, as if
// the operation had failed; not ok when the event is no answer, or it panics at
// that too.
func (d *Driver) advanceFailed(p *player, event handoff.Event) (next advanced, ok bool) {
	answer := failed(event, ErrInternal)
	if answer == nil {
		return advanced{}, false
	}
	return d.advance(p, answer)
}

// publish makes the new state visible before anything is done about it.
func (d *Driver) publish(p *player, next advanced) {
	was := p.live
	p.shard.mu.Lock()
	p.state = next.state
	p.idle = next.idle
	p.live = next.summary.Live
	p.busy = next.summary.Busy || next.summary.Unstored > 0
	p.shard.mu.Unlock()
	if was != p.live {
		d.metrics.live(p.live)
	}
	if p.phase != next.summary.Phase {
		if d.log.IsDebug() {
			d.log.Debug("phase changed", "player", p.id.String(), "from", p.phase, "to", next.summary.Phase, "session", next.summary.Session.String())
		}
		p.phase = next.summary.Phase
	}
}
