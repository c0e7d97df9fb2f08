package lifecycle_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/lifecycle"
)

func newSettle(log hclog.Logger) *lifecycle.Settle {
	return lifecycle.NewSettle(lifecycle.SettleConfig{Period: 3 * time.Second, Logger: log, Metrics: lifecycle.NewMetrics(prometheus.NewRegistry())})
}

func wantGate(t *testing.T, settle *lifecycle.Settle, open bool) {
	t.Helper()
	until, ok := settle.Settled(time.Now())
	if ok != open {
		t.Errorf("gate open: %v, want %v (shut until %v)", ok, open, until)
	}
}

func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settle := newSettle(hclog.NewNullLogger())
		wantGate(t, settle, false) // The start begins a period.
		time.Sleep(2 * time.Second)
		settle.Begin(lifecycle.CauseResync)
		time.Sleep(2 * time.Second)
		wantGate(t, settle, false) // Counted from the latest Begin.
		time.Sleep(time.Second)
		wantGate(t, settle, true)
	})
}

func TestSettleCallsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		settle := newSettle(hclog.NewNullLogger())
		calls := make(chan string, 100)
		release := make(chan struct{})
		settle.OnBegin(func(lifecycle.Round) { calls <- "first"; <-release })
		settle.OnBegin(func(lifecycle.Round) { calls <- "second" })
		ended := make(chan error, 1)
		go func() { ended <- settle.Execute() }()
		synctest.Wait()
		for range 50 { // Comes while the run for the start is at work.
			settle.Begin(lifecycle.CauseLeaseMissing)
		}
		close(release)
		synctest.Wait()
		if got := len(calls); got != 4 {
			t.Errorf("%d calls of 2 callbacks for the start and a burst, want 4", got)
		}
		settle.Begin(lifecycle.CauseResync)
		synctest.Wait()
		if got := len(calls); got != 6 {
			t.Errorf("%d calls after another Begin, want 6", got)
		}
		settle.Begin(lifecycle.CauseLeaseForeign)
		synctest.Wait()
		if got := len(calls); got != 6 {
			t.Errorf("%d calls after the lease was lost to another worker, want 6 as before", got)
		}
		settle.Interrupt(nil)
		settle.Interrupt(nil)
		if err := <-ended; err != nil {
			t.Errorf("Execute() = %v", err)
		}
	})
}

func TestSettleInterruptBeforeExecute(t *testing.T) {
	settle := newSettle(hclog.NewNullLogger())
	settle.Interrupt(nil)
	if err := settle.Execute(); err != nil {
		t.Errorf("Execute() = %v", err)
	}
}

func TestSettleCounts(t *testing.T) {
	registry := prometheus.NewRegistry()
	var log syncBuffer
	settle := lifecycle.NewSettle(lifecycle.SettleConfig{
		Logger: hclog.New(&hclog.LoggerOptions{Output: &log}), Metrics: lifecycle.NewMetrics(registry),
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				settle.Begin(lifecycle.CauseServerChanged)
				settle.Settled(time.Now())
			}
		})
	}
	wg.Wait()
	if got := counted(t, registry, "syncworker_lifecycle_settles_total"); got != 801 {
		t.Errorf("%v settle periods counted, want 801", got)
	}
	wantLogged(t, &log, "cause=start", "cause=server-changed")
}

func ExampleSettle() {
	settle := lifecycle.NewSettle(lifecycle.SettleConfig{
		Period: 3 * time.Second, Logger: hclog.NewNullLogger(), Metrics: lifecycle.NewMetrics(prometheus.NewRegistry()),
	})
	_, open := settle.Settled(time.Now())
	fmt.Println("right after the start:", open)
	_, open = settle.Settled(time.Now().Add(3 * time.Second))
	fmt.Println("three seconds later:", open)
	// Output:
	// right after the start: false
	// three seconds later: true
}
