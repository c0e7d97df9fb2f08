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

// count brings the count up to date with one player.
func (q *quiet) count(active bool, counted *bool) {
	if active == *counted {
		return
	}
	*counted = active
	if active {
		q.active.Add(1)
	} else {
		q.leave()
	}
}

// wait returns whether the count fell to zero before the context or the driver
// ended.
func (q *quiet) wait(ctx context.Context, closing <-chan struct{}) bool {
	reached, now := q.next()
	if now {
		return true
	}
	select {
	case <-reached:
		return true
	case <-ctx.Done():
	case <-closing:
	}
	return false
}

// account brings the counts up to date with the player, whose lock is held. A
// player who is stepping works: the next operation may be on its way.
func (d *Driver) account(p *player) {
	working := p.stepping || p.lanes.working()
	d.working.count(working, &p.working)
	d.quiet.count(working || p.live || p.busy, &p.active)
}

// WaitQuiet returns nil at the first moment at which no session is live, no
// write is under way or owed, and nothing is queued or in flight for any
// player. When the context ends before, or Close is called, it returns the
// players that are left. Players who only wait for their turn do not count; call
// StopJoins before, or new ones keep coming.
func (d *Driver) WaitQuiet(ctx context.Context) []handoff.Summary {
	if d.quiet.wait(ctx, d.closing) {
		return nil
	}
	return d.summaries(func(p *player) bool { return p.active })
}

// WaitWrites returns nil at the first moment at which no operation on Redis, the
// database or the spool is in flight or queued for any player. Sessions may be
// live, and what is owed may wait for its next try. When the context ends
// before, or Close is called, it returns the players that are left. Call
// StopJoins before, or joins keep coming. While Redis hangs with many sessions,
// there may be no such moment: one or the other is always trying.
func (d *Driver) WaitWrites(ctx context.Context) []handoff.Summary {
	if d.working.wait(ctx, d.closing) {
		return nil
	}
	return d.summaries(func(p *player) bool { return p.working })
}
