package driver

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/syncworker/syncworker/internal/handoff"
)

// ErrInternal is returned when a request got no proper answer because of a bug
// in the machine. Whether it took effect is unknown; the log has the cause.
var ErrInternal = errors.New("driver: internal error while handling the request")

// reportPanic logs and counts a panic. It is called by the deferred function
// that recovered it, so that the stack shows where it came from.
func (d *Driver) reportPanic(p *player, during string, value any) {
	d.metrics.panics.Inc()
	d.log.Error("panic contained", "player", p.id.String(), "during", during, "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
}

// answerAfterFault answers the one request, or all of the player's for zero.
// Joins are withdrawn from the machine, so that none is granted to nobody.
func (d *Driver) answerAfterFault(p *player, only handoff.RequestID) {
	var answered []*request
	p.shard.mu.Lock()
	kept := p.waiting[:0:0]
	for _, r := range p.waiting {
		if only != 0 && r.id != only {
			kept = append(kept, r)
			continue
		}
		answered = append(answered, r)
		if r.kind == joinRequest && only == 0 {
			p.queue = append(p.queue, handoff.CancelJoin{Request: r.id})
		}
	}
	p.waiting = kept
	p.shard.mu.Unlock()
	for _, r := range answered {
		d.answerError(r, ErrInternal)
	}
}

// guard runs something that belongs to one player, so that a panic in it ends
// neither the process nor the player's turn.
func (d *Driver) guard(p *player, what string, do func()) {
	defer func() {
		if value := recover(); value != nil {
			d.reportPanic(p, what, value)
		}
	}()
	do()
}
