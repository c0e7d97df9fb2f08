package main

import (
	"context"
	"sync"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lifecycle"
)

// playerSessions is the driver as everything around it sees it: what an earlier run
// left on the local disk comes first, player by player. A join that came before
// would fence off what is still to be replayed, and an adopted session would go
// on from older data.
type playerSessions struct {
	*driver.Driver
	recovery *lifecycle.Recovery
	// sweeper must not give back who is being adopted; attached is closed once
	// the first game has named its sessions. Both are set before anything runs.
	sweeper  *lifecycle.Sweeper
	attached <-chan struct{}

	// life ends the adoptions that still wait for the replay.
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu sync.Mutex
	// adopting are the sessions whose adoption waits for the replay.
	adopting map[handoff.PlayerID]*adoption
}

// adoption is a session that is to be adopted.
type adoption struct {
	session handoff.SessionID
	since   time.Time
	// begun is closed when the driver has the session.
	begun chan struct{}
}

func newPlayerSessions(d *driver.Driver, recovery *lifecycle.Recovery) *playerSessions {
	life, end := context.WithCancel(context.Background())
	return &playerSessions{Driver: d, recovery: recovery, life: life, end: end, adopting: map[handoff.PlayerID]*adoption{}}
}

// Close ends the adoptions that wait.
func (s *playerSessions) Close() {
	s.end()
	s.work.Wait()
}

// Join implements localapi.Sessions; the replay counts against the wait.
func (s *playerSessions) Join(ctx context.Context, player handoff.PlayerID, name string, wait time.Duration) (*handoff.Grant, error) {
	deadline := time.Now().Add(wait)
	if err := s.ready(ctx, player, deadline); err != nil {
		return nil, err
	}
	return s.Driver.Join(ctx, player, name, time.Until(deadline))
}

// Confirm implements localapi.Sessions.
func (s *playerSessions) Confirm(ctx context.Context, session handoff.SessionID, applied bool, problem string) error {
	if err := s.known(ctx, session); err != nil {
		return err
	}
	return s.Driver.Confirm(ctx, session, applied, problem)
}

// Save implements localapi.Sessions.
func (s *playerSessions) Save(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
	if err := s.known(ctx, session); err != nil {
		return nil, err
	}
	return s.Driver.Save(ctx, session, capture)
}

// Quit implements localapi.Sessions.
func (s *playerSessions) Quit(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
	if err := s.known(ctx, session); err != nil {
		return nil, err
	}
	return s.Driver.Quit(ctx, session, capture)
}

// phaseReplaying is shown for a player whose data on the local disk is being
// replayed.
const phaseReplaying = "replaying"

// replayPatience bounds what a call waits for a replay; Redis is away then.
const replayPatience = 5 * time.Second

// ready waits until nothing of the player's is left to be replayed or adopted,
// at most until the deadline; zero means for a while.
func (s *playerSessions) ready(ctx context.Context, player handoff.PlayerID, deadline time.Time) error {
	pending := s.pending(player)
	if pending == nil && s.recovery.Done(player) {
		return nil
	}
	if deadline.IsZero() {
		deadline = time.Now().Add(replayPatience)
	}
	bounded, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := s.recovery.Wait(bounded, player)
	if err == nil && pending != nil {
		select {
		case <-pending.begun:
		case <-bounded.Done():
			err = context.Cause(bounded)
		}
	}
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	return &handoff.Refusal{Reason: handoff.ReasonRedis, RetryAfter: replayPatience, Err: err}
}

// known waits until a session can be told from one that never was: a game may
// call before it has attached to a worker that has just started.
func (s *playerSessions) known(ctx context.Context, session handoff.SessionID) error {
	if _, here := s.Driver.Summary(session.Player); !here {
		patience := time.NewTimer(replayPatience)
		defer patience.Stop()
		select {
		case <-s.attached:
		case <-ctx.Done():
			return ctx.Err()
		case <-patience.C:
			return &handoff.Refusal{Reason: handoff.ReasonNotAttached, RetryAfter: time.Second}
		}
	}
	return s.ready(ctx, session.Player, time.Time{})
}

func (s *playerSessions) pending(player handoff.PlayerID) *adoption {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.adopting[player]
}

// Adopt implements gamelink.Adopter.
func (s *playerSessions) Adopt(ctx context.Context, named []handoff.SessionID) {
	begun := make([]<-chan struct{}, 0, len(named))
	for _, session := range named {
		begun = append(begun, s.adopt(session))
	}
	var decided sync.WaitGroup
	for i, session := range named {
		decided.Go(func() {
			select {
			case <-begun[i]:
			case <-ctx.Done():
				return
			}
			// Answered when the session is confirmed or lost; what the answer
			// says is seen in the driver's state.
			_ = s.Driver.Confirm(ctx, session, true, "")
		})
	}
	decided.Wait()
}

// adopt hands a session to the driver, at once or when the player's replay is
// done; the channel is closed then.
func (s *playerSessions) adopt(session handoff.SessionID) <-chan struct{} {
	one := &adoption{session: session, since: time.Now(), begun: make(chan struct{})}
	if s.recovery.Done(session.Player) {
		s.begin(session)
		close(one.begun)
		return one.begun
	}
	s.mu.Lock()
	s.adopting[session.Player] = one
	s.mu.Unlock()
	s.work.Go(func() {
		if err := s.recovery.Wait(s.life, session.Player); err != nil {
			return // The worker stops; the session is left to the next one.
		}
		s.begin(session)
		s.mu.Lock()
		delete(s.adopting, session.Player)
		s.mu.Unlock()
		close(one.begun)
	})
	return one.begun
}

// begin makes a session live.
func (s *playerSessions) begin(session handoff.SessionID) {
	s.sweeper.Exclusive(session.Player, func() { s.Driver.Adopt(session, "") })
}

// Summary implements gamelink.Sessions and lifecycle.Players.
func (s *playerSessions) Summary(player handoff.PlayerID) (handoff.Summary, bool) {
	if one := s.pending(player); one != nil {
		return one.summary(), true
	}
	if !s.recovery.Done(player) {
		return handoff.Summary{Player: player, Phase: phaseReplaying, Busy: true}, true
	}
	return s.Driver.Summary(player)
}

// Summaries implements gamelink.Sessions and lifecycle.Players.
func (s *playerSessions) Summaries() []handoff.Summary {
	s.mu.Lock()
	var waiting []handoff.Summary
	for _, one := range s.adopting {
		waiting = append(waiting, one.summary())
	}
	s.mu.Unlock()
	return append(waiting, s.Driver.Summaries()...)
}

func (a *adoption) summary() handoff.Summary {
	return handoff.Summary{
		Player: a.session.Player, Phase: phaseReplaying, Session: a.session,
		Live: true, Confirmed: true, Busy: true, Since: a.since,
	}
}

// EndAll implements gamelink.Sessions: sessions that wait to be adopted end when
// they are; the sweeper clears their checkouts.
func (s *playerSessions) EndAll(reason handoff.EndReason) {
	s.mu.Lock()
	waiting := make([]*adoption, 0, len(s.adopting))
	for _, one := range s.adopting {
		waiting = append(waiting, one)
	}
	s.mu.Unlock()
	s.Driver.EndAll(reason)
	for _, one := range waiting {
		s.work.Go(func() {
			select {
			case <-one.begun:
				s.End(one.session, reason)
			case <-s.life.Done():
			}
		})
	}
}
