package driver_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// TestOnePlayerStepsOneAtATime has many callers post to a few players; each
// machine must never be entered twice at once and must see the state that the
// step before left.
func TestOnePlayerStepsOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const players, callers, each = 3, 20, 50
		var inside sync.Map
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			if _, twice := inside.LoadOrStore(s.player, true); twice {
				t.Error("stepped twice at once")
			}
			defer inside.Delete(s.player)
			count, _ := s.notes.(int)
			s.notes = count + 1
			s.idle = false
			s.sum.Version.Sequence = uint64(count + 1)
			return s, accept(event)
		}), driver.Config{MaxQueued: callers + 1})

		var group sync.WaitGroup
		for caller := range callers {
			group.Go(func() {
				for range each {
					if err := b.Confirm(t.Context(), sessionOf(caller%players), true, ""); err != nil {
						t.Errorf("confirm: %v", err)
					}
				}
			})
		}
		group.Wait()
		var steps uint64
		for _, sum := range b.Summaries() {
			steps += sum.Version.Sequence
		}
		if want := uint64(callers * each); steps != want {
			t.Errorf("got %d steps, want %d: a step was lost", steps, want)
		}
	})
}

// TestEventsKeepTheirOrder posts while a step is held up; what was queued must
// come out as it went in, the look last.
func TestEventsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var seen []string
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			s.idle = false
			actions := accept(event)
			switch e := event.(type) {
			case handoff.Join:
				seen = append(seen, "join")
				actions = append(actions, handoff.Watch{Key: handoff.KeyCheckout})
			case handoff.Quit:
				seen = append(seen, "quit")
				<-hold
			case handoff.Confirm:
				seen = append(seen, "confirm "+e.Problem)
			case handoff.Verify:
				seen = append(seen, "verify")
			case handoff.End:
				seen = append(seen, "end")
			case handoff.Look:
				seen = append(seen, "look "+e.Cause.String())
			}
			return s, actions
		}), driver.Config{})
		mustJoin(t, b, 1)

		var group sync.WaitGroup
		background := func(do func()) {
			group.Go(do)
			synctest.Wait()
		}
		background(func() { _, _ = b.Quit(t.Context(), sessionOf(1), nil) })
		background(func() { _ = b.Confirm(t.Context(), sessionOf(1), true, "1") })
		b.watcher.tell(handoff.LookChanged)
		b.VerifyAll(handoff.Verify{})
		background(func() { _ = b.Confirm(t.Context(), sessionOf(1), true, "2") })
		b.watcher.tell(handoff.LookResync)
		b.watcher.tell(handoff.LookPoll)
		b.End(sessionOf(1), handoff.EndOperator)
		close(hold)
		group.Wait()
		synctest.Wait()

		got := fmt.Sprint(seen)
		want := "[join quit confirm 1 verify confirm 2 end look resync]"
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// TestBurstsOfLooksCoalesce sends 1,000 notifications, at rest and during a
// step.
func TestBurstsOfLooksCoalesce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var looks []handoff.LookCause
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			s.idle = false
			actions := accept(event)
			switch e := event.(type) {
			case handoff.Join:
				actions = append(actions, handoff.Watch{Key: handoff.KeyCheckout})
			case handoff.Look:
				looks = append(looks, e.Cause)
				<-hold
			}
			return s, actions
		}), driver.Config{})
		mustJoin(t, b, 1)
		for range 500 {
			b.watcher.tell(handoff.LookChanged)
		}
		synctest.Wait()
		for _, cause := range []handoff.LookCause{handoff.LookPoll, handoff.LookReady, handoff.LookChanged} {
			for range 166 {
				b.watcher.tell(cause)
			}
		}
		close(hold)
		synctest.Wait()
		want := []handoff.LookCause{handoff.LookChanged, handoff.LookReady}
		if !slices.Equal(looks, want) {
			t.Errorf("got looks %v, want %v", looks, want)
		}
	})
}

// TestStepsArePassedOn keeps one player busy without end and checks that the
// goroutine which brought the first event is given back.
func TestStepsArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const chain = 1000
		var stepped int
		m := machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			s.idle = false
			stepped++
			actions := accept(event)
			if stepped < chain {
				// The watcher says ready at once, which asks for one more step.
				actions = append(actions, handoff.Watch{Key: handoff.KeyCheckout})
			}
			return s, actions
		})
		b := newBench(t, m, driver.Config{})
		b.watcher.ready = true
		mustJoin(t, b, 1)
		synctest.Wait()
		if stepped != chain {
			t.Errorf("got %d steps, want %d", stepped, chain)
		}
		if got := b.watcher.watched(); got != 1 {
			t.Errorf("got %d watches of one key, want 1", got)
		}
	})
}

// mustJoin joins player n and fails the test when that is refused.
func mustJoin(t *testing.T, b *bench, n int) *handoff.Grant {
	t.Helper()
	grant, err := b.Join(context.Background(), playerNumber(n), "player", time.Minute)
	if err != nil {
		t.Fatalf("join of player %d: %v", n, err)
	}
	return grant
}
