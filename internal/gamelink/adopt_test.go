package gamelink_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
)

// fakeAdopter makes sessions live in fakeSessions, and is told what comes of
// them.
type fakeAdopter struct {
	sessions *fakeSessions
	link     *gamelink.Link
	// decided ends the wait of Adopt.
	decided chan struct{}

	mu     sync.Mutex
	calls  [][]handoff.SessionID
	before bool
}

func newAdopter(t *testing.T, config gamelink.Config) *fakeAdopter {
	t.Helper()
	adopter := &fakeAdopter{sessions: newSessions(), decided: make(chan struct{})}
	config.Adopter = adopter
	adopter.link, _ = newLink(t, adopter.sessions, config)
	return adopter
}

func (a *fakeAdopter) Adopt(ctx context.Context, sessions []handoff.SessionID) {
	a.mu.Lock()
	a.calls = append(a.calls, slices.Clone(sessions))
	select {
	case <-a.link.FirstAttach():
	default:
		a.before = true
	}
	a.mu.Unlock()
	for _, session := range sessions {
		a.sessions.join(session)
	}
	select {
	case <-a.decided:
	case <-ctx.Done():
	}
}

// lose is what the driver does when Redis does not confirm a session.
func (a *fakeAdopter) lose(session handoff.SessionID) {
	a.sessions.mu.Lock()
	delete(a.sessions.live, session.Player)
	a.sessions.mu.Unlock()
	a.link.TellLost(handoff.TellLost{Session: session, Reason: handoff.ReasonSessionLost})
}

// TestAdopt: the first game of a worker that names sessions had them on an
// earlier run of it.
func TestAdopt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdopter(t, gamelink.Config{})
		time.AfterFunc(time.Second, func() {
			a.lose(session(2))
			close(a.decided)
		})
		began := time.Now()
		older := session(4)
		older.Fence--
		stream, answer := attach(t, a.link, "boot-1", session(1), session(2), older, session(4), session(1))
		if took := time.Since(began); took != time.Second {
			t.Errorf("Attach took %v, want until everything was decided", took)
		}
		wantAnswer(t, answer, []handoff.SessionID{session(1), session(4)}, []handoff.SessionID{session(2), older})
		if len(a.calls) != 1 || len(a.calls[0]) != 3 || slices.Contains(a.calls[0], older) || !a.before {
			t.Errorf("Adopt was called with %v, before the game was announced: %v", a.calls, a.before)
		}
		select {
		case event := <-stream.Events():
			t.Errorf("event %+v, though the answer says it", event)
		default:
		}
		// The same game again: what it has not got, it cannot get.
		_, answer = attach(t, a.link, "boot-1", session(1), session(2))
		wantAnswer(t, answer, []handoff.SessionID{session(1)}, []handoff.SessionID{session(2)})
		// And another game never had any.
		_, answer = attach(t, a.link, "boot-2", session(5))
		wantAnswer(t, answer, nil, []handoff.SessionID{session(5)})
		if len(a.calls) != 1 {
			t.Errorf("Adopt was called %d times, want once", len(a.calls))
		}
	})
}

// TestAdoptUndecided: while Redis is away nobody knows; what is lost later is
// told then.
func TestAdoptUndecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdopter(t, gamelink.Config{})
		began := time.Now()
		stream, answer := attach(t, a.link, "boot-1", session(1), session(2))
		if took := time.Since(began); took != gamelink.DefaultAdoptWait {
			t.Errorf("Attach took %v, want %v", took, gamelink.DefaultAdoptWait)
		}
		wantAnswer(t, answer, []handoff.SessionID{session(1), session(2)}, nil)
		a.lose(session(2))
		wantNext(t, stream, gamelink.SessionLost{Session: session(2), Reason: handoff.ReasonSessionLost})
	})
}

// TestAdoptHoldsUpNobody: while Attach waits for Redis, losses, hints, the state
// and the end of the worker do not wait for Attach.
func TestAdoptHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdopter(t, gamelink.Config{AdoptWait: time.Hour})
		began := time.Now()
		attached := make(chan error, 1)
		go func() {
			_, _, err := a.link.Attach(gamelink.Game{Boot: "boot-1"}, []handoff.SessionID{session(1)})
			attached <- err
		}()
		synctest.Wait()
		a.link.TellLost(handoff.TellLost{Session: session(1)})
		a.link.AskCheckIn(handoff.AskCheckIn{Session: session(1), By: "arena"})
		a.link.Draining(time.Now())
		if a.link.Attached() || a.link.State().Open {
			t.Error("attached before the sessions are decided")
		}
		a.link.Close()
		if err := <-attached; err != nil {
			t.Errorf("Attach that was under way: %v", err)
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("Close took %v", took)
		}
	})
}

func TestNothingToAdopt(t *testing.T) {
	a := newAdopter(t, gamelink.Config{})
	a.sessions.join(session(1)) // Lives here already.
	_, answer := attach(t, a.link, "boot-1", session(1))
	wantAnswer(t, answer, []handoff.SessionID{session(1)}, nil)
	if len(a.calls) > 0 {
		t.Errorf("Adopt was called with %v", a.calls)
	}
}

func TestAskCheckIn(t *testing.T) {
	link, _ := newLink(t, newSessions(), gamelink.Config{Buffer: 8})
	asked := handoff.AskCheckIn{Session: session(1), By: "arena"}
	link.AskCheckIn(asked) // Nobody is there to ask.
	stream, _ := attach(t, link, "boot-1")
	link.AskCheckIn(asked)
	wantNext(t, stream, gamelink.CheckInRequested{Session: session(1), By: "arena"})
	for range 100 { // A hint must not cost the stream, nor the room for losses.
		link.AskCheckIn(asked)
	}
	for n := range byte(4) {
		link.TellLost(handoff.TellLost{Session: session(n)})
	}
	if err := stream.Err(); err != nil {
		t.Errorf("the stream ended: %v", err)
	}
	stream.Close()
	link.AskCheckIn(asked)
	_, answer := attach(t, link, "boot-1")
	if len(answer.Lost) != 4 {
		t.Errorf("lost %v, want the four losses", answer.Lost)
	}
}
