package play

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/syncworker/syncworker/internal/chaos"
)

// player hops between games.
type player struct {
	world  *World
	number int
	id     string
	name   string
	dice   *rand.Rand
	final  bool

	// The world's mutex guards what follows: the trade that the player has not
	// finished, and where somebody else tries to play the same player.
	trade  *trade
	twinOn *game
}

// live plays until ctx ends, and leaves.
func (p *player) live(ctx context.Context) {
	for ctx.Err() == nil {
		s := p.enter(ctx)
		if s == nil {
			return
		}
		p.play(ctx, s)
		p.leave(s)
		_ = chaos.Pause(ctx, p.away()) // the loop looks at ctx
	}
}

// away is how long the player stays out between two servers: mostly not at all,
// and now and then so long that Redis may have lost everything meanwhile.
func (p *player) away() time.Duration {
	switch p.dice.IntN(30) {
	case 0:
		return time.Second + p.upTo(14*time.Second)
	case 1, 2, 3, 4, 5, 6, 7, 8, 9:
		return p.upTo(300 * time.Millisecond)
	default:
		return 0
	}
}

// enter joins some game and confirms, whatever it takes.
func (p *player) enter(ctx context.Context) *stay {
	since := p.world.recorder.Now()
	g := p.somewhere()
	for attempt := 0; ctx.Err() == nil; attempt++ {
		a := answer{retryAfter: 100 * time.Millisecond} // for a game that has no link
		if b := g.playing(); b != nil && !p.hasTwin(g) {
			var s *stay
			if s, a = p.tryJoin(ctx, b, since); s != nil {
				if p.settleIn(ctx, s) {
					return s
				}
				since = p.world.recorder.Now()
			}
		}
		if chaos.Pause(ctx, backoff(attempt, a)/2+p.upTo(backoff(attempt, a))) != nil {
			return nil
		}
		// A game whose answer was lost asks once more; others find the player
		// choosing another one, now and then.
		if a.outcome != chaos.Unknown && p.dice.IntN(2) == 0 {
			g = p.somewhere()
		}
	}
	return nil
}

func (p *player) upTo(d time.Duration) time.Duration {
	return time.Duration(p.dice.Int64N(int64(d) + 1))
}

func (p *player) somewhere() *game { return p.world.games[p.dice.IntN(len(p.world.games))] }

// tryJoin joins once; sometimes the player loses patience while waiting.
func (p *player) tryJoin(ctx context.Context, b *boot, since time.Duration) (*stay, answer) {
	wait := 2*time.Second + p.upTo(6*time.Second)
	within := wait + 4*time.Second
	if !p.final && p.dice.IntN(40) == 0 {
		within = p.upTo(300 * time.Millisecond)
	}
	return b.join(ctx, p, wait, within, since, p.final)
}

// settleIn takes the delivered data into the world. Some players are gone before
// that, and some do not even wait for the confirmation.
func (p *player) settleIn(ctx context.Context, s *stay) bool {
	_ = chaos.Pause(ctx, p.upTo(20*time.Millisecond)) // the time it takes to apply
	if !p.final && p.dice.IntN(40) == 0 {
		p.world.background.Go(func() { s.quit(nil) })
		return false
	}
	if s.confirm(ctx) {
		return true
	}
	p.world.background.Go(func() { s.quit(nil) })
	return false
}

// play is what the player does until it is time to go.
func (p *player) play(ctx context.Context, s *stay) {
	end := time.NewTimer(p.upTo(2 * p.world.config.Stay))
	defer end.Stop()
	for {
		step := time.NewTimer(30*time.Millisecond + p.upTo(300*time.Millisecond))
		select {
		case <-ctx.Done():
		case <-s.gone:
		case <-s.leave:
		case <-end.C:
		case <-step.C:
			p.step(s)
			if p.dice.IntN(25) == 0 {
				p.twin(ctx, s)
			}
			continue
		}
		step.Stop()
		return
	}
}

// step does one thing.
func (p *player) step(s *stay) {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	if !s.ready() {
		return // frozen
	}
	switch p.dice.IntN(5) {
	case 0:
		p.world.exchange(s)
	case 1:
		s.state.change(p.dice)
	case 2:
		s.saveSoon = true
	}
	if s.saveSoon && s.saving < 2 {
		s.sendSave()
	}
}

// sendSave captures and saves. The world's mutex is held.
func (s *stay) sendSave() {
	s.saving++
	c := s.capture(chaos.KindSave, "AUTOSAVE")
	s.boot.game.world.background.Go(func() { s.save(c) })
}

// leave makes the final capture and sends it, without waiting for the answer.
func (p *player) leave(s *stay) {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	if s.over || s.left {
		return
	}
	s.left = true
	if p.final {
		p.world.background.Go(func() { s.quit(nil) })
		return
	}
	s.state.change(p.dice)
	c := s.capture(chaos.KindQuit, "DISCONNECT")
	p.world.background.Go(func() { s.quit(&c) })
}
