package play

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/chaos"
)

// join asks for a player once, who has waited since. It returns the stay, or why
// there is none.
func (b *boot) join(ctx context.Context, p *player, wait, within, since time.Duration, final bool) (*stay, answer) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(b.ctx, cancel)()
	var joined *v1.JoinResponse
	a := b.call(ctx, chaos.Entry{Kind: chaos.KindJoin, Player: p.number, Final: final}, within, func(ctx context.Context, e *chaos.Entry) error {
		var err error
		joined, err = b.client.Join(ctx, &v1.JoinRequest{
			PlayerId: p.id, PlayerName: p.name, WaitTimeout: durationpb.New(wait),
		})
		if err != nil {
			return err
		}
		e.Waited = b.game.world.recorder.Now() - since
		return describeJoin(e, joined, b.game.world.config.Tokens)
	})
	if a.outcome != chaos.Delivered && a.outcome != chaos.New {
		return nil, a
	}
	return b.admit(p, joined, a.outcome), a
}

// describeJoin writes down what was delivered.
func describeJoin(e *chaos.Entry, joined *v1.JoinResponse, tokens int) error {
	if _, err := fmt.Sscanf(joined.SessionId[min(37, len(joined.SessionId)):], "%d", &e.Fence); err != nil {
		return fmt.Errorf("read session id %q: %w", joined.SessionId, err)
	}
	e.Session, e.Source = joined.SessionId, joined.Source.String()
	if joined.Snapshot == nil {
		e.Outcome, e.Tokens = chaos.New, chaos.Tokens(e.Player, tokens)
		return nil
	}
	data := joined.Snapshot.Data
	e.Outcome, e.Mark, e.Digest, e.Tokens = chaos.Delivered, string(data[keyMark]), digest(data), stateOf(data).tokens
	e.Version = versionOf(joined.Snapshot.Version)
	return nil
}

func versionOf(v *v1.Version) chaos.Version {
	return chaos.Version{Fence: v.GetFence(), Sequence: v.GetSequence()}
}

// admit applies what was delivered. It returns nil when the game has died
// meanwhile, or has the session already.
func (b *boot) admit(p *player, joined *v1.JoinResponse, outcome chaos.Outcome) *stay {
	s := &stay{
		boot: b, player: p, session: joined.SessionId,
		gone: make(chan struct{}), leave: make(chan struct{}),
		state: state{tokens: chaos.Tokens(p.number, b.game.world.config.Tokens)},
	}
	if _, err := fmt.Sscanf(joined.SessionId[37:], "%d", &s.fence); err != nil {
		return nil // describeJoin has read it
	}
	if outcome == chaos.Delivered {
		s.state = stateOf(joined.Snapshot.Data)
		s.sentBag, s.takenBag = s.state.bag, s.state.bag
	}
	b.game.world.mu.Lock()
	defer b.game.world.mu.Unlock()
	if b.ctx.Err() != nil || b.stays[s.session] != nil {
		return nil
	}
	b.stays[s.session] = s
	return s
}

// confirm tells the worker that the data is applied, until it is answered.
func (s *stay) confirm(ctx context.Context) bool {
	applied := true
	for attempt := 0; ; attempt++ {
		if s.boot.waitLink(ctx) != nil || s.isOver() {
			return false
		}
		a := s.boot.call(s.boot.ctx, s.entry(chaos.KindConfirm), callTime, func(ctx context.Context, e *chaos.Entry) error {
			_, err := s.boot.client.Confirm(ctx, &v1.ConfirmRequest{SessionId: s.session, Applied: &applied})
			e.Outcome = chaos.OK
			return err
		})
		// A repeated Confirm of which the first answer was lost hears that the
		// player is here.
		if a.outcome == chaos.OK || attempt > 0 && a.reason == "ALREADY_HERE" {
			s.boot.game.world.mu.Lock()
			defer s.boot.game.world.mu.Unlock()
			s.confirmed = !s.over
			return s.confirmed
		}
		if a.over() {
			s.boot.end(s.session, a.reason, "the answer to Confirm")
			return false
		}
		if chaos.Pause(ctx, backoff(attempt, a)) != nil {
			return false
		}
	}
}

func (s *stay) entry(kind chaos.Kind) chaos.Entry {
	return chaos.Entry{Kind: kind, Player: s.player.number, Session: s.session, Fence: s.fence}
}

func (s *stay) isOver() bool {
	s.boot.game.world.mu.Lock()
	defer s.boot.game.world.mu.Unlock()
	return s.over
}

// capture is what goes to the worker, and its line of the history.
type capture struct {
	entry   chaos.Entry
	request *v1.Capture
	bag     string
}

// capture takes the player's state. The world's mutex is held.
func (s *stay) capture(kind chaos.Kind, cause string) capture {
	s.captures++
	c := capture{entry: s.entry(kind), bag: s.state.bag}
	c.entry.Capture = s.captures
	c.entry.Mark = fmt.Sprintf("%d@%d#%d", s.player.number, s.fence, s.captures)
	data := s.state.data(c.entry.Mark)
	c.entry.Digest = digest(data)
	c.entry.Tokens = append([]string(nil), s.state.tokens...)
	if s.state.bag != "" && s.state.bag == s.takenBag && s.sentBag == s.takenBag {
		delete(data, keyBag) // the worker has it
	}
	s.sentBag = s.state.bag
	c.request = &v1.Capture{
		SaveCause: cause, CapturedAt: timestamppb.New(time.Now().Add(s.boot.game.skew)), CaptureSequence: s.captures, Data: data,
	}
	if s.state.extra == "" {
		c.request.Removed = []string{keyExtra}
	}
	s.saveSoon = false
	return c
}

// taken notes that a capture was answered CURRENT.
func (s *stay) taken(c capture) {
	s.boot.game.world.mu.Lock()
	defer s.boot.game.world.mu.Unlock()
	if s.sentBag == c.bag {
		s.takenBag = c.bag
	}
	s.player.settle(s, c.entry.Capture)
}

// save hands in one capture. If that fails, another one follows soon.
func (s *stay) save(c capture) {
	a := s.boot.call(s.boot.ctx, c.entry, callTime, func(ctx context.Context, e *chaos.Entry) error {
		saved, err := s.boot.client.Save(ctx, &v1.SaveRequest{SessionId: s.session, Snapshot: c.request})
		if err == nil {
			e.Outcome, e.Version = outcomeOf(saved.State), versionOf(saved.Version)
		}
		return err
	})
	switch {
	case a.outcome == chaos.Current:
		s.taken(c)
	case a.over():
		s.boot.end(s.session, a.reason, "the answer to Save")
	case a.reason != "SUPERSEDED":
		_ = chaos.Pause(s.boot.ctx, max(a.retryAfter, 200*time.Millisecond)) // then somebody looks whether the game has died
	}
	s.boot.game.world.mu.Lock()
	defer s.boot.game.world.mu.Unlock()
	s.saving--
	if a.outcome != chaos.Current {
		s.saveSoon = true
	}
}

// quit hands in the final capture until it is answered; nil quits without data.
func (s *stay) quit(c *capture) {
	request := &v1.QuitRequest{SessionId: s.session}
	entry := s.entry(chaos.KindQuit)
	if c != nil {
		request.Snapshot, entry = c.request, c.entry
	}
	for attempt := 0; s.boot.waitLink(s.boot.ctx) == nil && !s.isOver(); attempt++ {
		a := s.boot.call(s.boot.ctx, entry, callTime, func(ctx context.Context, e *chaos.Entry) error {
			left, err := s.boot.client.Quit(ctx, request)
			if err == nil {
				e.Outcome, e.Version = outcomeOf(left.State), versionOf(left.Version)
			}
			return err
		})
		switch {
		case a.outcome == chaos.Current && c != nil:
			s.taken(*c)
			fallthrough
		case a.outcome == chaos.Current, a.outcome == chaos.Provisional, a.over(), a.reason == "SUPERSEDED", a.reason == "NOT_CONFIRMED":
			s.boot.game.world.mu.Lock()
			defer s.boot.game.world.mu.Unlock()
			s.close()
			return
		}
		if chaos.Pause(s.boot.ctx, backoff(attempt, a)) != nil {
			return
		}
	}
}

// backoff is the pause before the next attempt: the advice of the worker, else a
// quarter of a second, doubled; neither longer than a short run can bear.
func backoff(attempt int, a answer) time.Duration {
	if a.retryAfter > 0 {
		return min(a.retryAfter, time.Second)
	}
	return min(250*time.Millisecond<<min(attempt, 5), 2*time.Second)
}
