package events_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/events"
	"github.com/syncworker/syncworker/internal/devredis"
)

const switchedOn = "Kg$x"

// The connection is cut at every command that the watcher sends on it or beside
// it, in every way. A change is always noticed within the safety poll (T09).
func TestLostAtEveryStep(t *testing.T) {
	verdicts := map[string]devredis.Verdict{
		"lose": devredis.Lose, "lose answer": devredis.LoseAnswer, "hang": devredis.Hang,
		"refuse": devredis.Refuse("NOPERM not now"),
	}
	for name, verdict := range verdicts {
		for step := 1; step <= 24; step++ {
			t.Run(fmt.Sprint(name, " ", step), func(t *testing.T) {
				bubble(t, devredis.Options{}, func(t *testing.T, d *dev) { lostAt(t, d, step, verdict) })
			})
		}
	}
}

func lostAt(t *testing.T, d *dev, step int, verdict devredis.Verdict) {
	r := newRig(t, d)
	own := r.client.ClientID(t.Context()).Val()
	var sent atomic.Int64
	d.Intercept(func(c devredis.Command) devredis.Verdict {
		if c.Conn != own && sent.Add(1) == int64(step) {
			return verdict
		}
		return devredis.Pass
	})
	r.start()
	defer r.stop()
	var last atomic.Value // when the watcher last said to look
	last.Store(time.Time{})
	stop := r.watcher.Watch("k", func(events.Event) { last.Store(time.Now()) })
	defer stop()
	other, listener := r.watch("other"), r.listen(channel)
	// Long enough for the step to come up, also at a safety poll.
	for i := range 8 {
		<-time.After(poll/2 + time.Duration(i)*time.Millisecond)
		changed := time.Now()
		r.set("k", fmt.Sprint(i))
		<-time.After(poll)
		if looked := last.Load().(time.Time); looked.Before(changed) {
			t.Errorf("change %d: nobody was told to look for %v; status %+v", i, time.Since(changed), r.watcher.Status())
		}
	}
	r.proven()
	other.until(events.Ready)
	r.set("other", "v")
	other.until(events.Changed)
	listener.subscribed()
	r.publish("after all")
	listener.expect("after all")
	if step > int(sent.Load()) {
		t.Errorf("step %d was never reached, only %d commands were sent", step, sent.Load())
	}
}

// While all is well a waiting worker costs one command per safety poll, and each
// watch one SUBSCRIBE.
func TestCommandsWhileWaiting(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, d *dev) {
		r := newRig(t, d)
		r.start()
		defer r.stop()
		r.proven()
		var commands []string
		d.Intercept(func(c devredis.Command) devredis.Verdict {
			commands = append(commands, strings.ToUpper(c.Args[0]))
			return devredis.Pass
		})
		w := r.watch("k")
		w.expect(events.Ready, "")
		<-time.After(2 * poll)
		w.stop()
		<-time.After(2 * time.Second)
		d.Intercept(nil)
		counts := map[string]int{}
		for _, name := range commands {
			counts[name]++
		}
		if got := counts["SET"]; got < 2 || got > 3 {
			t.Errorf("got %d probes in %v, want 2 or 3", got, 2*poll)
		}
		if counts["SUBSCRIBE"] != 1 || counts["UNSUBSCRIBE"] != 1 || len(counts) != 3 {
			t.Errorf("got commands %v, want SET, one SUBSCRIBE and one UNSUBSCRIBE", counts)
		}
	})
}

// Redis is away for hours. The polls go on, the log says it once, and Redis is
// not overrun with attempts.
func TestAwayForLong(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, d *dev) {
		r := newRig(t, d)
		r.start()
		defer r.stop()
		w := r.watch("k")
		w.expect(events.Ready, "")
		r.proven()
		lines := r.log.lines()
		d.Halt()
		<-time.After(2 * time.Hour)
		if got := r.watcher.Status(); got.Level != events.LevelPolling || got.Connected || !strings.Contains(got.Reason, "refused") {
			t.Errorf("got status %+v while Redis is away", got)
		}
		polls := 0
		for len(w.told) > 0 {
			if e := <-w.told; e.Kind != events.Poll {
				t.Fatalf("got %v while Redis is away, want polls only", e)
			}
			polls++
		}
		if want := int(2 * time.Hour / poll); polls < want || polls > want*5/4+1 {
			t.Errorf("got %d polls in two hours, want some %d", polls, want)
		}
		if got := r.log.lines() - lines; got != 1 {
			t.Errorf("got %d log lines for one outage, want 1:\n%s", got, r.log)
		}
		back := time.Now()
		if err := d.Restart(true); err != nil {
			t.Fatal(err)
		}
		w.until(events.Resync)
		if took := time.Since(back); took > time.Second {
			t.Errorf("back after %v, want at most a second", took)
		}
		if got := r.resyncs.Load(); got != 1 {
			t.Errorf("got %d calls of OnResync, want 1", got)
		}
	})
}

// Redis is not there when the worker starts. It may have been restarted just
// then, so OnResync runs although there was no connection before.
func TestAwayAtStart(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, d *dev) {
		d.Halt()
		r := newRig(t, d)
		r.start()
		defer r.stop()
		w := r.watch("k")
		<-time.After(3 * poll)
		if e := <-w.told; e.Kind != events.Poll {
			t.Errorf("got %v first while Redis is away, want a poll", e)
		}
		if err := d.Restart(false); err != nil {
			t.Fatal(err)
		}
		w.expect(events.Ready, "")
		if got := r.resyncs.Load(); got != 1 {
			t.Errorf("got %d calls of OnResync, want 1", got)
		}
	})
}

// A connection that is cut without a word is noticed by the probe.
func TestSilentConnection(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, d *dev) {
		r := newRig(t, d)
		r.start()
		defer r.stop()
		w := r.watch("k")
		w.expect(events.Ready, "")
		r.proven()
		if got := d.SilencePubSub(); got != 1 {
			t.Fatalf("silenced %d connections, want 1", got)
		}
		cut := time.Now()
		w.until(events.Resync)
		if took, most := time.Since(cut), poll+2*time.Second; took > most {
			t.Errorf("noticed after %v, want at most %v", took, most)
		}
		r.set("k", "v")
		w.expect(events.Changed, "set")
	})
}

// A frozen Redis holds nobody up: neither the polls nor, for long, the end.
func TestFrozen(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, d *dev) {
		r := newRig(t, d)
		r.start()
		w := r.watch("k")
		w.expect(events.Ready, "")
		r.proven()
		d.Freeze()
		for range 10 {
			began := time.Now()
			w.until(events.Poll)
			if took := time.Since(began); took > poll {
				t.Errorf("a poll after %v, want one every %v", took, poll)
			}
		}
		d.Thaw()
		w.until(events.Resync)
		r.proven()
		d.Freeze()
		<-time.After(poll)
		began := time.Now()
		r.stop()
		if took, most := time.Since(began), 5*time.Second; took > most {
			t.Errorf("interrupted after %v, want at most %v", took, most)
		}
		d.Thaw()
	})
}

// After a failover the old connection may lead to a server that nobody writes to
// any more, and that still answers.
func TestConnectedToTheWrongServer(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, old *dev) {
		s, err := devredis.New(devredis.Options{NotifyKeyspaceEvents: switchedOn})
		if err != nil {
			t.Fatal(err)
		}
		promoted := &dev{Server: s}
		defer promoted.Close()
		var failedOver atomic.Bool
		client := old.Client(func(o *redis.Options) {
			o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if failedOver.Load() {
					return promoted.Dialer()(ctx, network, addr)
				}
				return old.Dialer()(ctx, network, addr)
			}
		})
		r := newRigWith(t, old, client)
		r.start()
		defer r.stop()
		w := r.watch("k")
		w.expect(events.Ready, "")
		r.proven()
		failedOver.Store(true)
		old.Intercept(func(c devredis.Command) devredis.Verdict {
			if c.PubSub {
				return devredis.Pass
			}
			return devredis.Lose
		})
		w.until(events.Resync)
		r.proven()
		old.Intercept(nil)
		if got := r.resyncs.Load(); got != 1 {
			t.Errorf("got %d calls of OnResync, want 1", got)
		}
		writer := promoted.Server.Client()
		defer writer.Close()
		writer.Set(t.Context(), "k", "v", 0)
		w.until(events.Changed)
	})
}

// Notifications are switched off under the worker, and CONFIG is refused. That
// costs one resubscription, not one at every poll: each makes the worker settle.
func TestSwitchedOffForGood(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn, ConfigForbidden: true}, func(t *testing.T, d *dev) {
		r := newRig(t, d)
		r.start()
		defer r.stop()
		r.proven()
		if err := d.SetNotifyKeyspaceEvents(""); err != nil {
			t.Fatal(err)
		}
		<-time.After(20 * poll)
		if got := r.watcher.Level(); got != events.LevelPolling {
			t.Errorf("got level %v, want %v", got, events.LevelPolling)
		}
		if got := r.resyncs.Load(); got != 1 {
			t.Errorf("got %d calls of OnResync in 20 polls, want 1", got)
		}
		if got := r.metric("syncworker_events_missed_probes_total"); got < 15 {
			t.Errorf("got %v missed probes counted, want some 20", got)
		}
	})
}

// The probe key cannot be written, for instance because Redis is full.
func TestProbeRefused(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, d *dev) {
		r := newRig(t, d)
		r.start()
		defer r.stop()
		w := r.watch("k")
		w.expect(events.Ready, "")
		r.proven()
		d.Intercept(func(c devredis.Command) devredis.Verdict {
			if strings.EqualFold(c.Args[0], "set") {
				return devredis.Refuse("OOM command not allowed when used memory > 'maxmemory'.")
			}
			return devredis.Pass
		})
		<-time.After(3 * poll)
		if got := r.watcher.Status(); got.Level != events.LevelPolling || !strings.Contains(got.Reason, "OOM") {
			t.Errorf("got status %+v", got)
		}
		d.Intercept(nil)
		r.proven()
		w.until(events.Resync)
		if got := r.resyncs.Load(); got != 0 {
			t.Errorf("got %d calls of OnResync, want none: no connection was lost", got)
		}
	})
}

// Nobody may subscribe. Polls are all there is, and they come.
func TestSubscribeRefused(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: switchedOn}, func(t *testing.T, d *dev) {
		d.Intercept(func(c devredis.Command) devredis.Verdict {
			if strings.EqualFold(c.Args[0], "subscribe") {
				return devredis.Refuse("NOPERM this user has no permissions to access one of the channels used as arguments")
			}
			return devredis.Pass
		})
		r := newRig(t, d)
		r.start()
		defer r.stop()
		w := r.watch("k")
		for range 3 {
			w.until(events.Poll)
		}
		w.quiet()
		if got := r.watcher.Status(); got.Level != events.LevelPolling || !strings.Contains(got.Reason, "NOPERM") {
			t.Errorf("got status %+v", got)
		}
		if got := r.log.lines(); got != 1 {
			t.Errorf("got %d log lines, want 1:\n%s", got, r.log)
		}
		d.Intercept(nil)
		w.expect(events.Ready, "")
	})
}
