package driver

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// requestKind is what was asked for.
type requestKind uint8

const (
	joinRequest requestKind = iota
	confirmRequest
	saveRequest
	quitRequest
)

// String returns the kind as logs show it.
func (k requestKind) String() string {
	return [...]string{joinRequest: "join", confirmRequest: "confirm", saveRequest: "save", quitRequest: "quit"}[k]
}

// request is a call that waits for a Reply. Being in its player's waiting list
// is what makes it unanswered; whoever takes it off, under the lock, answers it.
type request struct {
	id    handoff.RequestID
	kind  requestKind
	begun time.Time
	// done takes the one answer without blocking.
	done chan answer
	// player is set before the request is on the list.
	player *player
	// abandoned means that the caller has stopped waiting; the request stays
	// on the list, and counts, until the machine is done with it.
	abandoned bool
}

// answer is a result, or the error of a request that got none.
type answer struct {
	result handoff.Result
	err    error
}

func (d *Driver) newRequest(kind requestKind) *request {
	return &request{
		id:    handoff.RequestID(d.lastRequest.Add(1)),
		kind:  kind,
		begun: time.Now(),
		done:  make(chan answer, 1),
	}
}

// Join asks for the player's data and waits at most wait for it. The error is a
// *handoff.Refusal, the context's error, or ErrInternal. When the context ends
// first, the join is withdrawn. A grant that has been given by then is given
// back: whoever hung up cannot receive it, and does not know its session.
func (d *Driver) Join(ctx context.Context, player handoff.PlayerID, name string, wait time.Duration) (*handoff.Grant, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := d.newRequest(joinRequest)
	result, err := d.ask(ctx, player, r, handoff.Join{Request: r.id, Name: name, Deadline: r.begun.Add(wait)})
	grant, err := resultAs[*handoff.Grant](result, err)
	if grant != nil && ctx.Err() != nil {
		d.order(player, handoff.CancelJoin{Request: r.id})
		return nil, ctx.Err()
	}
	return grant, err
}

// Confirm reports whether the game applied what Join delivered. Errors are as
// with Join; the end of the context only ends the waiting.
func (d *Driver) Confirm(ctx context.Context, session handoff.SessionID, applied bool, problem string) error {
	r := d.newRequest(confirmRequest)
	result, err := d.ask(ctx, session.Player, r, handoff.Confirm{Request: r.id, Session: session, Applied: applied, Problem: problem})
	_, err = resultAs[handoff.Accepted](result, err)
	return err
}

// Save hands in a capture of a player who stays. Errors are as with Join; the
// end of the context only ends the waiting, the work goes on.
func (d *Driver) Save(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
	r := d.newRequest(saveRequest)
	result, err := d.ask(ctx, session.Player, r, handoff.Save{Request: r.id, Session: session, Capture: capture})
	return resultAs[*handoff.Receipt](result, err)
}

// Quit ends the session with a final capture, or, when it is nil, with the data
// last accepted. Errors are as with Join; the end of the context only ends the
// waiting, the work goes on.
func (d *Driver) Quit(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
	r := d.newRequest(quitRequest)
	result, err := d.ask(ctx, session.Player, r, handoff.Quit{Request: r.id, Session: session, Capture: capture})
	return resultAs[*handoff.Receipt](result, err)
}

// resultAs picks the result that the request is answered with when it succeeds.
func resultAs[T handoff.Result](result handoff.Result, err error) (T, error) {
	var none T
	if err != nil {
		return none, err
	}
	if refusal, ok := result.(*handoff.Refusal); ok {
		return none, refusal
	}
	if wanted, ok := result.(T); ok {
		return wanted, nil
	}
	return none, fmt.Errorf("%w: answered with %T", ErrInternal, result)
}

// ask submits the event and waits for the answer or the context's end.
func (d *Driver) ask(ctx context.Context, player handoff.PlayerID, r *request, event handoff.Event) (handoff.Result, error) {
	if refusal := d.submit(player, r, event); refusal != nil {
		d.metrics.answered(r, refusal)
		return refusal, nil
	}
	select {
	case a := <-r.done:
		return a.result, a.err
	case <-ctx.Done():
	}
	if d.hangUp(r) {
		return nil, ctx.Err()
	}
	a := <-r.done
	return a.result, a.err
}

// submit puts the request on the player's list and its event into the queue,
// or says why not.
func (d *Driver) submit(id handoff.PlayerID, r *request, event handoff.Event) *handoff.Refusal {
	s := d.shardOf(id)
	s.mu.Lock()
	if s.closed || r.kind == joinRequest && d.draining.Load() {
		s.mu.Unlock()
		return &handoff.Refusal{Reason: handoff.ReasonDraining}
	}
	p := d.entry(s, id)
	if d.full(p) {
		s.mu.Unlock()
		return &handoff.Refusal{Reason: handoff.ReasonBusy, RetryAfter: time.Second}
	}
	r.player = p
	p.waiting = append(p.waiting, r)
	mine := d.admit(p, event)
	s.mu.Unlock()
	if mine {
		d.turn(p, event)
	}
	return nil
}

// full reports whether the player has too much under way for one more request.
// Requests that were given up count until the machine is done with them.
func (d *Driver) full(p *player) bool {
	most := d.config.MaxQueued
	return len(p.waiting) >= most || len(p.queue) >= most || p.lanes.pending() >= most
}

// hangUp ends the waiting for an answer; false when the answer is there or on
// its way.
func (d *Driver) hangUp(r *request) bool {
	p := r.player
	p.shard.mu.Lock()
	if !slices.Contains(p.waiting, r) {
		p.shard.mu.Unlock()
		return false
	}
	if r.kind != joinRequest {
		r.abandoned = true
		p.shard.mu.Unlock()
		return true
	}
	p.removeRequest(r)
	cancel := handoff.CancelJoin{Request: r.id}
	mine := d.admit(p, cancel)
	p.shard.mu.Unlock()
	d.metrics.abandoned()
	if mine {
		d.turn(p, cancel)
	}
	return true
}

// reply brings the machine's answer to the caller. One that nobody waits for
// any more, for instance of a join that was cancelled, is dropped.
func (d *Driver) reply(p *player, reply handoff.Reply) {
	p.shard.mu.Lock()
	i := slices.IndexFunc(p.waiting, func(r *request) bool { return r.id == reply.Request })
	if i < 0 {
		p.shard.mu.Unlock()
		return
	}
	r := p.waiting[i]
	p.removeRequest(r)
	p.shard.mu.Unlock()
	d.answer(r, reply.Result)
}

func (p *player) removeRequest(r *request) {
	p.waiting = slices.DeleteFunc(p.waiting, func(w *request) bool { return w == r })
	if len(p.waiting) == 0 {
		p.waiting = nil
	}
}

// answer answers a request that was taken off its player's list.
func (d *Driver) answer(r *request, result handoff.Result) {
	d.metrics.answered(r, result)
	r.done <- answer{result: result}
}

// answerError answers with an error in the same way.
func (d *Driver) answerError(r *request, err error) {
	d.metrics.answered(r, nil)
	r.done <- answer{err: err}
}

// Draining reports whether StopJoins was called.
func (d *Driver) Draining() bool { return d.draining.Load() }

// StopJoins refuses joins with ReasonDraining from now on, those that wait
// included. It returns before the machines have heard of it.
func (d *Driver) StopJoins() {
	d.draining.Store(true)
	for i := range d.shards {
		d.stopJoinsOf(&d.shards[i])
	}
}

func (d *Driver) stopJoinsOf(s *shard) {
	var begun []*player
	var refused []*request
	s.mu.Lock()
	for _, p := range s.players {
		for _, r := range p.waiting {
			if r.kind == joinRequest {
				refused = append(refused, r)
			}
		}
	}
	for _, r := range refused {
		r.player.removeRequest(r)
		if d.enqueue(r.player, handoff.CancelJoin{Request: r.id}) {
			begun = append(begun, r.player)
		}
	}
	s.mu.Unlock()
	for _, r := range refused {
		d.answer(r, &handoff.Refusal{Reason: handoff.ReasonDraining})
	}
	for _, p := range begun {
		d.steppers.add(p)
	}
}
