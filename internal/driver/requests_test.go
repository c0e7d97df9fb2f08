package driver_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// waiter is a machine whose joins wait until their timer runs out or they are
// cancelled. It tells what it saw, of one player; nil tells nobody.
func waiter(seen *[]string) machine {
	saw := func(what string) {
		if seen != nil {
			*seen = append(*seen, what)
		}
	}
	return func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
		var actions []handoff.Action
		s.idle = true
		switch e := event.(type) {
		case handoff.Join:
			saw("join")
			s.idle, s.notes = false, e.Request
			actions = append(actions,
				handoff.Watch{Key: handoff.KeyCheckout},
				handoff.SetTimer{Timer: handoff.TimerDeadline, At: e.Deadline})
		case handoff.CancelJoin:
			saw("cancel")
			actions = append(actions, handoff.Reply{Request: e.Request, Result: &handoff.Refusal{Reason: handoff.ReasonCancelled}})
		case handoff.TimerFired:
			saw("deadline")
			actions = append(actions, handoff.Reply{Request: s.notes.(handoff.RequestID), Result: &handoff.Refusal{Reason: handoff.ReasonHeld, Holder: "b"}})
		case handoff.Look:
			s.idle = false
		default:
			actions = accept(event)
		}
		return s, actions
	}
}

// TestJoinEndsAtItsDeadline runs a wait to its end.
func TestJoinEndsAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		b := newBench(t, waiter(&seen), driver.Config{})
		begun := time.Now()
		_, err := b.Join(t.Context(), playerNumber(1), "p", 30*time.Second)
		wantReason(t, err, handoff.ReasonHeld)
		if took := time.Since(begun); took != 30*time.Second {
			t.Errorf("got a wait of %v, want 30s", took)
		}
		wantNothingLeft(t, b)
	})
}

// TestCancelledJoinIsWithdrawn is T12 for a player who leaves while waiting.
func TestCancelledJoinIsWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		b := newBench(t, waiter(&seen), driver.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.Join(ctx, playerNumber(1), "p", time.Minute)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		if got := fmt.Sprint(seen); got != "[join cancel]" {
			t.Errorf("got %s, want [join cancel]", got)
		}
		wantNothingLeft(t, b)

		if _, err := b.Join(ctx, playerNumber(1), "p", time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v for a context that had ended, want its error", err)
		}
		if got := fmt.Sprint(seen); got != "[join cancel]" {
			t.Errorf("got %s, want no join with a context that had ended", got)
		}
	})
}

// TestGrantNobodyReceivesIsGivenBack has the context end in the very step that
// grants: the caller cannot learn of the session, so it must not stay (T12).
func TestGrantNobodyReceivesIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			var cancelled atomic.Int32
			ctx, cancel := context.WithCancel(t.Context())
			b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
				if _, ok := event.(handoff.CancelJoin); ok {
					cancelled.Add(1)
					return s, nil
				}
				cancel()
				s.idle = false
				return s, accept(event)
			}), driver.Config{})
			if _, err := b.Join(ctx, playerNumber(1), "p", time.Minute); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error", err)
			}
			synctest.Wait()
			if got := cancelled.Load(); got != 1 {
				t.Errorf("the join was cancelled %d times, want 1", got)
			}
		}
	})
}

// TestSaveGoesOnWithoutItsCaller lets the caller of a Save hang up.
func TestSaveGoesOnWithoutItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(saver), driver.Config{})
		b.archive.hook = func(context.Context, handoff.PlayerID, string) error {
			<-time.After(2 * time.Second)
			return nil
		}
		mustJoin(t, b, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Save(ctx, sessionOf(1), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error", err)
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if got := len(b.archive.stored); got != 1 {
			t.Errorf("got %d snapshots stored, want 1", got)
		}
	})
}

// TestRequestsAreBounded fills a player up with requests that get no answer;
// callers who hang up do not make room, other players are not concerned.
func TestRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 5
		var seen int
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			s.idle = false
			if _, ok := event.(handoff.Save); ok {
				seen++
				return s, nil
			}
			return s, accept(event)
		}), driver.Config{MaxQueued: most})
		for range most {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := b.Save(ctx, sessionOf(1), nil)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v, want the context's error", err)
			}
		}
		_, err := b.Save(t.Context(), sessionOf(1), nil)
		wantReason(t, err, handoff.ReasonBusy)
		if seen != most {
			t.Errorf("the machine saw %d requests, want %d", seen, most)
		}
		mustJoin(t, b, 2)
	})
}

// TestBacklogIsBounded refuses requests while the player's lane is full, but
// never an outcome.
func TestBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 8
		var outcomes int
		release := make(chan struct{})
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			actions := accept(event)
			switch event.(type) {
			case handoff.Confirm:
				actions = append(actions, handoff.Sweep{}, handoff.Sweep{}, handoff.Sweep{}, handoff.Sweep{})
			case handoff.Written:
				outcomes++
			}
			return s, actions
		}), driver.Config{MaxQueued: most})
		b.store.hook = func(context.Context, handoff.PlayerID, string) error {
			<-release
			return nil
		}
		for range 3 {
			if err := b.Confirm(t.Context(), sessionOf(1), true, ""); err != nil {
				t.Fatalf("confirm: %v", err)
			}
			synctest.Wait()
		}
		wantReason(t, b.Confirm(t.Context(), sessionOf(1), true, ""), handoff.ReasonBusy)
		close(release)
		if left := b.WaitQuiet(t.Context()); left != nil {
			t.Errorf("still busy: %v", left)
		}
		if outcomes != 12 {
			t.Errorf("got %d outcomes, want 12", outcomes)
		}
	})
}

// TestStopJoins refuses joins that wait and joins to come, and nothing else.
func TestStopJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const players = 100
		b := newBench(t, waiter(nil), driver.Config{})
		waiting := make(chan error, players)
		for n := range players {
			go func() {
				_, err := b.Join(t.Context(), playerNumber(n), "p", time.Minute)
				waiting <- err
			}()
			synctest.Wait()
		}
		b.StopJoins()
		for range players {
			wantReason(t, <-waiting, handoff.ReasonDraining)
		}
		_, err := b.Join(t.Context(), playerNumber(1), "p", time.Minute)
		wantReason(t, err, handoff.ReasonDraining)
		if err := b.Confirm(t.Context(), sessionOf(1), true, ""); err != nil {
			t.Errorf("confirm: %v", err)
		}
		wantNothingLeft(t, b)
	})
}

// TestWrongAnswersAreErrors covers a machine that answers with the wrong type,
// or forgets to answer.
func TestWrongAnswersAreErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			if e, ok := event.(handoff.Join); ok {
				return s, []handoff.Action{handoff.Reply{Request: e.Request, Result: handoff.Accepted{}}}
			}
			return s, nil
		}), driver.Config{})
		if _, err := b.Join(t.Context(), playerNumber(1), "p", time.Minute); !errors.Is(err, driver.ErrInternal) {
			t.Errorf("got %v for a join, want ErrInternal", err)
		}
		if _, err := b.Quit(t.Context(), sessionOf(1), nil); !errors.Is(err, driver.ErrInternal) {
			t.Errorf("got %v for a quit, want ErrInternal", err)
		}
	})
}

// wantNothingLeft fails unless the driver has forgotten everything (law L8).
func wantNothingLeft(t *testing.T, b *bench) {
	t.Helper()
	synctest.Wait()
	if got := b.Summaries(); len(got) != 0 {
		t.Errorf("got %d players left, want 0: %+v", len(got), got)
	}
	if got := b.watcher.watched(); got != 0 {
		t.Errorf("got %d watches left, want 0", got)
	}
}
