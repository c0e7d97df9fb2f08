package events_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/events"
	"github.com/syncworker/syncworker/internal/devredis"
)

// go-redis must not replace a connection behind the watcher's back: one lost, one
// opened.
func TestOneConnection(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, d *dev) {
		r := newRig(t, d)
		r.start()
		defer r.stop()
		r.proven()
		var dialled atomic.Int64
		d.Intercept(func(c devredis.Command) devredis.Verdict {
			if strings.EqualFold(c.Args[0], "subscribe") {
				dialled.Add(1) // the probe's channel is the first on each
			}
			return devredis.Pass
		})
		for range 10 {
			if got := d.DropPubSub(); got != 1 {
				t.Fatalf("got %d pub/sub connections, want 1", got)
			}
			<-time.After(3 * time.Second)
		}
		if got := dialled.Load(); got != 10 {
			t.Errorf("got %d connections for 10 that were lost, want 10", got)
		}
	})
}

// Thousands of watches take no goroutine each.
func TestNoGoroutinePerWatch(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, d *dev) {
		r := newRig(t, d)
		r.start()
		defer r.stop()
		r.proven()
		synctest.Wait()
		before := runtime.NumGoroutine()
		for i := range 1000 {
			defer r.watcher.Watch(fmt.Sprint("k", i), func(events.Event) {})()
		}
		r.eventually("subscribed", func() bool { return r.subscribers("k999") == 1 })
		synctest.Wait()
		if got := runtime.NumGoroutine(); got > before+10 {
			t.Errorf("got %d goroutines with 1000 watches, %d with none", got, before)
		}
	})
}

// Interrupt comes at any moment; nothing stays behind, or the bubble fails.
func TestInterruptAnywhere(t *testing.T) {
	for i := range 100 {
		bubble(t, devredis.Options{}, func(t *testing.T, d *dev) {
			r := newRig(t, d)
			r.start()
			for k := range 10 {
				defer r.watch(fmt.Sprint("k", k)).stop()
			}
			if i%3 == 0 {
				go d.DropPubSub()
			}
			for range i {
				runtime.Gosched()
			}
			r.stop()
		})
	}
}

func TestMissingFlags(t *testing.T) {
	for present, want := range map[string]string{
		"": "Kg$x", "AKE": "", "A": "K", "K": "g$x", "xE$gK": "", "KEm": "g$x", "lshztdK": "g$x",
	} {
		if got := events.MissingFlags(present); got != want {
			t.Errorf("%q: got %q missing, want %q", present, got, want)
		}
	}
}
