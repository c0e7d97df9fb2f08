package driver_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// TestClaimsWaitForTheGate is rule R1: no claim reaches Redis in a settle
// period, and a grant that comes back into one is verified.
func TestClaimsWaitForTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		b := newBench(t, machine(func(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
			switch e := event.(type) {
			case handoff.Claimed:
				seen = append(seen, fmt.Sprint("claimed ", e.Attempt, e.Outcome, !e.Until.IsZero()))
			case handoff.Verify:
				seen = append(seen, "verify")
			}
			return saver(s, at, event)
		}), driver.Config{})

		b.gate.settling.Store(true)
		_, err := b.Join(t.Context(), playerNumber(1), "early", time.Minute)
		wantReason(t, err, handoff.ReasonRedis)
		if got := len(b.store.log()); got != 0 {
			t.Errorf("got %d operations in the settle period, want 0", got)
		}

		b.gate.settling.Store(false)
		b.store.hook = func(context.Context, handoff.PlayerID, string) error {
			b.gate.settling.Store(true)
			return nil
		}
		mustJoin(t, b, 1)
		synctest.Wait()
		got := fmt.Sprintf("%q", seen)
		want := fmt.Sprintf("%q", []string{
			fmt.Sprint("claimed ", 7, handoff.ClaimSettling, true),
			fmt.Sprint("claimed ", 7, handoff.ClaimGranted, false),
			"verify",
		})
		if got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	})
}

// TestGrantAcrossAWholeSettlePeriod has a settle period begin and end while one
// claim is under way: the grant must be verified all the same, after it is
// known.
func TestGrantAcrossAWholeSettlePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		b := newBench(t, machine(func(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
			switch event.(type) {
			case handoff.Claimed:
				seen = append(seen, "claimed")
			case handoff.Verify:
				seen = append(seen, "verify")
			}
			return saver(s, at, event)
		}), driver.Config{})
		b.store.hook = func(context.Context, handoff.PlayerID, string) error {
			b.gate.settling.Store(true)
			b.VerifyAll(handoff.Verify{})
			<-time.After(3 * time.Second)
			b.gate.settling.Store(false)
			return nil
		}
		mustJoin(t, b, 1)
		synctest.Wait()
		if got := fmt.Sprint(seen); got != "[verify claimed verify]" {
			t.Errorf("got %s, want [verify claimed verify]", got)
		}
	})
}
