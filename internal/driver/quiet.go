package driver

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/syncworker/syncworker/internal/handoff"
)

// quiet counts the players that have anything under way and tells when there
// are none.
type quiet struct {
	active atomic.Int64

	mu sync.Mutex
	// reached is closed when the count falls to zero; nil when nobody waits
	// for that.
	reached chan struct{}
}

// leave takes one player off the count.
func (q *quiet) leave() {
	if q.active.Add(-1) > 0 {
		return
	}
	q.mu.Lock()
	if q.reached != nil {
		close(q.reached)
		q.reached = nil
	}
	q.mu.Unlock()
}

// next returns a channel that closes when the count next falls to zero, and
// whether it is zero already. Taking the channel first leaves no gap.
func (q *quiet) next() (reached <-chan struct{}, now bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.reached == nil {
		q.reached = make(chan struct{})
	}
	return q.reached, q.active.Load() == 0
}

// account brings the count up to date with the player, whose lock is held.
func (d *Driver) account(p *player) {
	active := p.stepping || p.live || p.busy || p.lanes.working()
	if active == p.active {
		return
	}
	p.active = active
	if active {
		d.quiet.active.Add(1)
	} else {
		d.quiet.leave()
	}
}

// WaitQuiet returns nil at the first moment at which no session is live, no
// write is under way or owed, and nothing is queued or in flight for any
// player. When the context ends before, or Close is called, it returns the
// players that are left. Players who only wait for their turn do not count; call
// StopJoins before, or new ones keep coming.
func (d *Driver) WaitQuiet(ctx context.Context) []handoff.Summary {
	reached, now := d.quiet.next()
	if now {
		return nil
	}
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
	case <-d.closing:
	}
	return d.summaries(func(p *player) bool { return p.active })
}
