package driver_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// adopter takes over sessions with a fence below 10, and holds up a quit.
func adopter(hold <-chan struct{}) machine {
	return func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
		switch e := event.(type) {
		case handoff.Adopt:
			if e.Session.Fence < 10 {
				s.idle, s.sum = false, handoff.Summary{Live: true, Session: e.Session, Name: e.Name}
			}
		case handoff.Quit:
			<-hold
		}
		return s, accept(event)
	}
}

// TestAdoptIsSeenOnReturn adopts a player nobody knows, one whom the machine
// turns down, and one who is being stepped at the time.
func TestAdoptIsSeenOnReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		b := newBench(t, adopter(hold), driver.Config{})
		b.Adopt(sessionOf(1), "Steve")
		sum, known := b.Summary(playerNumber(1))
		if !known || !sum.Live || sum.Session != sessionOf(1) || sum.Name != "Steve" {
			t.Errorf("got %+v, %v, want the session live", sum, known)
		}

		b.Adopt(handoff.SessionID{Player: playerNumber(2), Fence: 10}, "Alex")
		if sum, known := b.Summary(playerNumber(2)); known {
			t.Errorf("got %+v, want nothing of a session that was turned down", sum)
		}

		go func() { _, _ = b.Quit(t.Context(), sessionOf(3), nil) }()
		synctest.Wait()
		adopted := make(chan bool)
		go func() {
			b.Adopt(sessionOf(3), "Zuri")
			_, known := b.Summary(playerNumber(3))
			adopted <- known
		}()
		synctest.Wait()
		select {
		case <-adopted:
			t.Error("Adopt returned before the machine had heard of it")
		default:
		}
		close(hold)
		if !<-adopted {
			t.Error("the adopted player is not known when Adopt returns")
		}
	})
}

// TestAdoptAcrossClose checks that nobody waits for a driver that is closed.
func TestAdoptAcrossClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		b := newBench(t, adopter(hold), driver.Config{})
		go func() { _, _ = b.Quit(t.Context(), sessionOf(1), nil) }()
		synctest.Wait()
		adopted := make(chan struct{})
		go func() {
			b.Adopt(sessionOf(1), "p")
			close(adopted)
		}()
		synctest.Wait()
		go b.Close()
		<-adopted
		close(hold)
		synctest.Wait()
		b.Adopt(sessionOf(2), "p")
		if _, known := b.Summary(playerNumber(2)); known {
			t.Error("a closed driver adopted a session")
		}
	})
}

// TestPetitions checks who hears of one, and that a flood of them is one.
func TestPetitions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var heard []string
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			s.idle = false
			switch e := event.(type) {
			case handoff.Quit:
				<-hold
			case handoff.Petitioned:
				heard = append(heard, fmt.Sprint(e.By, " ", e.Fence))
				return s, []handoff.Action{handoff.AskCheckIn{Session: sessionOf(1), By: e.By}}
			}
			return s, accept(event)
		}), driver.Config{})
		if b.Petition(playerNumber(1), handoff.Petitioned{By: "lobby", Fence: 1}) {
			t.Error("a player nobody knows is known")
		}
		if got := len(b.Summaries()); got != 0 {
			t.Errorf("got %d players, want none: a petition must not make one", got)
		}
		mustJoin(t, b, 1)
		if !b.Petition(playerNumber(1), handoff.Petitioned{By: "lobby", Fence: 2}) {
			t.Error("a player with a session is not known")
		}
		synctest.Wait()

		go func() { _, _ = b.Quit(t.Context(), sessionOf(1), nil) }()
		synctest.Wait()
		for n := range 1000 {
			b.Petition(playerNumber(1), handoff.Petitioned{By: "arena", Fence: handoff.Fence(500 - n)})
		}
		b.Petition(playerNumber(1), handoff.Petitioned{By: "mines", Fence: 501})
		close(hold)
		synctest.Wait()
		if got := fmt.Sprint(heard); got != "[lobby 2 mines 501]" {
			t.Errorf("got petitions %s, want [lobby 2 mines 501]", got)
		}
		if got := fmt.Sprint(b.game.asked); got != fmt.Sprint([]handoff.AskCheckIn{{Session: sessionOf(1), By: "lobby"}, {Session: sessionOf(1), By: "mines"}}) {
			t.Errorf("the game was asked %s", got)
		}
	})
}

// TestWatchesNameTheServer checks that the watcher hears whose lease is meant.
func TestWatchesNameTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			s.idle = false
			return s, append(accept(event), handoff.Watch{Key: handoff.KeyLease, Server: "lobby"})
		}), driver.Config{})
		mustJoin(t, b, 1)
		if want := fmt.Sprint(handoff.KeyLease, " lobby"); b.watcher.last != want {
			t.Errorf("got watch %q, want %q", b.watcher.last, want)
		}
	})
}

// TestTakeOversAreClaims checks that a take-over reaches the store as it was
// ordered, in a slot of claims, and not while the worker settles.
func TestTakeOversAreClaims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := handoff.Holder{Server: "lobby", Fence: 4}
		var outcomes []handoff.Claimed
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			switch e := event.(type) {
			case handoff.Confirm:
				return s, append(accept(event), handoff.Claim{Attempt: 3, Over: over})
			case handoff.Claimed:
				outcomes = append(outcomes, e)
			}
			return s, accept(event)
		}), driver.Config{})
		b.store.claimed = handoff.Claimed{Outcome: handoff.ClaimGranted, Fence: 5, TakenOver: true}
		for _, settling := range []bool{true, false} {
			b.gate.settling.Store(settling)
			if err := b.Confirm(t.Context(), sessionOf(1), true, ""); err != nil {
				t.Fatalf("confirm: %v", err)
			}
			synctest.Wait()
		}
		if len(b.store.claims) != 1 || b.store.claims[0].Over != over {
			t.Errorf("got claims %+v, want the one after settling, over %+v", b.store.claims, over)
		}
		if len(outcomes) != 2 || outcomes[0].Outcome != handoff.ClaimSettling || !outcomes[1].TakenOver || outcomes[1].Attempt != 3 {
			t.Errorf("got %+v, want settling and then a take-over", outcomes)
		}
	})
}

// TestSuspicion is rule R7: while the worker is suspect, a machine is told before it
// hears that a snapshot is stored; and a grant that is on its way when the worker
// becomes suspect is told.
func TestSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var verified []bool
		var order []string
		b := newBench(t, machine(func(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
			switch e := event.(type) {
			case handoff.Confirm:
				return s, append(accept(event), handoff.Resume{Op: 1, Fence: 2, Load: true}, handoff.Store{Snapshot: &handoff.Snapshot{}})
			case handoff.Verify:
				verified = append(verified, e.Suspect)
			case handoff.Doubt:
				order = append(order, "doubt")
			case handoff.Stored:
				order = append(order, "stored")
			}
			return saver(s, at, event)
		}), driver.Config{})
		confirm := func() {
			if err := b.Confirm(t.Context(), sessionOf(1), true, ""); err != nil {
				t.Fatalf("confirm: %v", err)
			}
			synctest.Wait()
		}
		confirm()
		b.suspects.Store(true)
		confirm()
		if got, want := fmt.Sprint(b.store.resumes), fmt.Sprint([]handoff.Resume{{Op: 1, Fence: 2, Load: true}, {Op: 1, Fence: 2, Load: true}}); got != want {
			t.Errorf("got  %s\nwant %v", got, want)
		}
		if got := strings.Join(order, " "); got != "stored stored doubt stored doubt stored" {
			t.Errorf("got %s", got)
		}
		b.suspects.Store(false)
		verified = nil

		b.store.hook = func(context.Context, handoff.PlayerID, string) error {
			b.VerifyAll(handoff.Verify{Suspect: true})
			return nil
		}
		mustJoin(t, b, 2)
		synctest.Wait()
		b.VerifyAll(handoff.Verify{})
		synctest.Wait()
		if got := fmt.Sprint(verified); got != "[true true false]" {
			t.Errorf("got %s of player 2, want [true true false]", got)
		}
	})
}

// TestWaitWrites waits for operations under way, not for sessions, and gives up
// with a list.
func TestWaitWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(saver), driver.Config{})
		mustJoin(t, b, 1)
		mustJoin(t, b, 2)
		if left := b.WaitWrites(t.Context()); left != nil {
			t.Errorf("got %v left, want none: nothing is under way", left)
		}
		slow := func(context.Context, handoff.PlayerID, string) error {
			<-time.After(2 * time.Second)
			return nil
		}
		b.store.hook, b.archive.hook = slow, slow
		go func() { _, _ = b.Save(t.Context(), sessionOf(1), nil) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if left := b.WaitWrites(ctx); len(left) != 1 || left[0].Player != playerNumber(1) {
			t.Errorf("got %v left, want player 1", left)
		}
		if left := b.WaitWrites(t.Context()); left != nil {
			t.Errorf("got %v left, want none", left)
		}
		// To Redis and then to the database; both sessions live on.
		if took := time.Since(begun); took != 4*time.Second {
			t.Errorf("the writes ended after %v, want 4s", took)
		}
		if got := len(b.Summaries()); got != 2 {
			t.Errorf("got %d sessions, want 2", got)
		}

		go func() { _, _ = b.Save(t.Context(), sessionOf(2), nil) }()
		synctest.Wait()
		left := make(chan int)
		go func() { left <- len(b.WaitWrites(t.Context())) }()
		synctest.Wait()
		go b.Close()
		if got := <-left; got != 1 {
			t.Errorf("got %d left at Close, want 1", got)
		}
	})
}
