package driver_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// resident answers requests and stays: the cheapest machine there is, so that
// what is measured is the driver.
type resident struct{}

// present is its state: a pointer, so that a state costs nothing.
type present struct{}

func (*present) Idle() bool               { return false }
func (*present) Summary() handoff.Summary { return handoff.Summary{Live: true} }

var stay = &present{}

func (resident) Mode() string                         { return "resident" }
func (resident) Start(handoff.PlayerID) handoff.State { return stay }

func (resident) Step(s handoff.State, _ time.Time, event handoff.Event) (handoff.State, []handoff.Action) {
	switch e := event.(type) {
	case handoff.Join:
		return s, []handoff.Action{handoff.Reply{Request: e.Request, Result: grantNew}}
	case handoff.Confirm:
		return s, []handoff.Action{handoff.Reply{Request: e.Request, Result: handoff.Accepted{}}}
	case handoff.Quit:
		return s, []handoff.Action{handoff.Claim{Attempt: uint64(e.Request)}}
	case handoff.Claimed:
		return s, []handoff.Action{handoff.Reply{Request: handoff.RequestID(e.Attempt), Result: receipt}}
	default:
		return s, nil
	}
}

var (
	grantNew = &handoff.Grant{Source: handoff.SourceNew}
	receipt  = &handoff.Receipt{State: handoff.StateCurrent}
)

// quickStore answers at once and keeps nothing.
type quickStore struct{ store }

func (*quickStore) Claim(context.Context, handoff.PlayerID, handoff.Claim) handoff.Claimed {
	return handoff.Claimed{Outcome: handoff.ClaimGranted, Fence: 1}
}

func (*quickStore) CheckLease(context.Context) (bool, error) { return true, nil }

func newResidents(b *testing.B) *driver.Driver {
	d := driver.New(resident{}, driver.Ports{
		Store: &quickStore{}, Archive: &archive{}, Codec: &codec{}, Watcher: &watcher{}, Gate: &gate{}, Game: &game{},
	}, driver.Config{})
	b.Cleanup(d.Close)
	return d
}

// BenchmarkRequest measures request, step and reply, without an operation.
func BenchmarkRequest(b *testing.B) {
	d := newResidents(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Confirm(b.Context(), sessionOf(1), true, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRequestParallel is the same for many players at once.
func BenchmarkRequestParallel(b *testing.B) {
	d := newResidents(b)
	var callers atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		session := sessionOf(int(callers.Add(1)))
		for pb.Next() {
			if err := d.Confirm(context.Background(), session, true, ""); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkOperation measures request, step, one operation that takes no time,
// its outcome's step, and the reply: two changes of goroutine.
func BenchmarkOperation(b *testing.B) {
	d := newResidents(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Quit(b.Context(), sessionOf(1), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkComeAndGo measures a player who is new each time and leaves nothing.
func BenchmarkComeAndGo(b *testing.B) {
	d := newBench(b, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
		return s, accept(event)
	}), driver.Config{})
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		if err := d.Confirm(b.Context(), sessionOf(n), true, ""); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleSession reports what 100,000 sessions at rest cost the driver.
func BenchmarkIdleSession(b *testing.B) {
	for b.Loop() {
		b.ReportMetric(idleSessionBytes(b, 100_000), "B/session")
	}
}

// TestIdleSessionIsSmall holds the driver's part of a session at rest, after
// it has used timers, watches and lanes, to a quarter of the 1 KiB that the
// whole worker may spend.
func TestIdleSessionIsSmall(t *testing.T) {
	const most = 256
	if got := idleSessionBytes(t, 20_000); got > most {
		t.Errorf("got %.0f bytes per idle session, want at most %d", got, most)
	}
}

// idleSessionBytes measures the heap that each of many sessions keeps.
func idleSessionBytes(t testing.TB, players int) float64 {
	t.Helper()
	d := driver.New(worn{}, driver.Ports{
		Store: &quickStore{}, Archive: &archive{}, Codec: &codec{}, Watcher: &watcher{}, Gate: &gate{}, Game: &game{},
	}, driver.Config{})
	before := heap()
	for n := range players {
		if _, err := d.Join(context.Background(), playerNumber(n), "p", time.Minute); err != nil {
			t.Fatalf("join: %v", err)
		}
	}
	d.VerifyAll(handoff.Verify{})
	if left := d.WaitQuiet(context.Background()); left != nil {
		t.Fatalf("%d players are still busy", len(left))
	}
	after := heap()
	d.Close()
	return float64(after-before) / float64(players)
}

// worn is a machine that uses everything once and then rests.
type worn struct{ resident }

// resting is its state: not idle, and quiet.
type resting struct{}

func (*resting) Idle() bool               { return false }
func (*resting) Summary() handoff.Summary { return handoff.Summary{Phase: "resting"} }

func (worn) Start(handoff.PlayerID) handoff.State { return &resting{} }

func (worn) Step(s handoff.State, at time.Time, event handoff.Event) (handoff.State, []handoff.Action) {
	e, ok := event.(handoff.Join)
	if !ok {
		return s, nil
	}
	return s, []handoff.Action{
		handoff.Watch{Key: handoff.KeyCheckout},
		handoff.SetTimer{Timer: handoff.TimerDeadline, At: at.Add(time.Hour)},
		handoff.CheckLease{},
		handoff.ReadNewest{},
		handoff.StopTimer{Timer: handoff.TimerDeadline},
		handoff.Unwatch{Key: handoff.KeyCheckout},
		handoff.Reply{Request: e.Request, Result: grantNew},
	}
}

func heap() uint64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
