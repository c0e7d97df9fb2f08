package play

import (
	"context"
	"time"
)

// twin lets somebody log in as the player on another server while the player is
// still on this one, as a second client or a confused proxy does. The worker
// there must keep it waiting. If it is let in, because the player has left
// meanwhile, it leaves again without having changed anything.
//
// Without twins nobody would want a player who is somewhere, and a worker that
// gives such a player away would not be found out.
func (p *player) twin(ctx context.Context, s *stay) {
	elsewhere := p.somewhere()
	wait := 500*time.Millisecond + p.upTo(3*time.Second)
	b := elsewhere.playing()
	if b == nil || elsewhere == s.boot.game || !p.setTwin(elsewhere) {
		return
	}
	p.world.background.Go(func() {
		defer p.setTwin(nil)
		// A game keeps one login per player apart from the next, so the player
		// does not come here before this one has gone.
		if guest, _ := b.join(ctx, p, wait, wait+4*time.Second, p.world.recorder.Now(), false); guest != nil {
			guest.quit(nil)
		}
	})
}

// setTwin notes where the twin is; there is one at a time.
func (p *player) setTwin(on *game) bool {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	if on != nil && p.twinOn != nil {
		return false
	}
	p.twinOn = on
	return true
}

func (p *player) hasTwin(on *game) bool {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	return p.twinOn == on
}
