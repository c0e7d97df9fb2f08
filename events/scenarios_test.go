package events_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/events"
)

// scenarios run on devredis, and with the build tag real on redis-server.
var scenarios = map[string]func(t *testing.T, r *rig){
	"ready means subscribed":        readyMeansSubscribed,
	"watches share a subscription":  watchesShareSubscription,
	"stop and watch at once":        stopAndWatchAtOnce,
	"connection lost (T09)":         connectionLost,
	"flags missing":                 flagsMissing,
	"flags changed (T10)":           flagsChanged,
	"notifications off (T10)":       notificationsOff,
	"restart":                       restart,
	"thousands of watches":          thousandsOfWatches,
	"interrupt with watches":        interruptWithWatches,
	"interrupt before execute":      interruptBeforeExecute,
	"expiry, scripts, transactions": expiryAndScripts,
	"listeners":                     listeners,
	"listeners: long messages":      longMessages,
	"listeners: reconnect":          listenersReconnect,
	"listeners: watched as well":    listenAndWatch,
	"listeners: from a callback":    listenInCallback,
	"one lease, many watches":       oneLeaseManyWatches,
}

func TestScenarios(t *testing.T) {
	for name, run := range scenarios {
		t.Run(name, func(t *testing.T) { onDev(t, run) })
	}
}

// A change after Ready is never missed, one before it is never told.
func readyMeansSubscribed(t *testing.T, r *rig) {
	early := r.watch("early") // before there is a connection
	r.start()
	defer r.stop()
	early.expect(events.Ready, "")
	r.proven()
	early.quietAfter(events.Resync) // the flags were off until now
	for i := range 50 {
		w := r.watch(fmt.Sprint("k", i))
		w.expect(events.Ready, "")
		if got := r.subscribers(w.key); got != 1 {
			t.Fatalf("got %d subscribers at ready, want 1", got)
		}
		r.set(w.key, "v")
		w.expect(events.Changed, "set")
		w.stop()
		w.stop()
	}
	early.quiet()
	if got, want := r.metric("syncworker_events_received_total"), 50.0; got != want {
		t.Errorf("got %v events counted, want %v", got, want)
	}
}

// quietAfter allows one event of a kind that may or may not have come.
func (w *watched) quietAfter(kind events.Kind) {
	w.t.Helper()
	select {
	case e := <-w.told:
		if e.Kind != kind {
			w.t.Fatalf("got %v, want %v or nothing", e, kind)
		}
	default:
	}
}

func watchesShareSubscription(t *testing.T, r *rig) {
	r.setFlags("KA")
	r.start()
	defer r.stop()
	r.proven()
	first, second := r.watch("k"), r.watch("k")
	first.expect(events.Ready, "")
	second.expect(events.Ready, "")
	late := r.watch("k") // confirmed already
	late.expect(events.Ready, "")
	r.set("k", "v")
	for _, w := range []*watched{first, second, late} {
		w.expect(events.Changed, "set")
	}
	if got := r.subscribers("k"); got != 1 {
		t.Errorf("got %d subscribers, want 1", got)
	}
	second.stop()
	late.stop()
	r.set("k", "w")
	first.expect(events.Changed, "set")
	second.quiet()
	first.stop()
	r.eventually("unsubscribed", func() bool { return r.subscribers("k") == 0 })
	if got := r.watcher.Status().Watches; got != 0 {
		t.Errorf("got %d watches, want 0", got)
	}
}

// Watches of one key come and go faster than Redis confirms. Each gets one Ready
// and then hears.
func stopAndWatchAtOnce(t *testing.T, r *rig) {
	r.setFlags("KA")
	r.start()
	defer r.stop()
	r.proven()
	for i := range 500 {
		w := r.watch("k")
		switch i % 4 {
		case 0: // gone before it could be ready
		case 1:
			w.expect(events.Ready, "")
		default:
			w.expect(events.Ready, "")
			r.set("k", fmt.Sprint(i))
			w.expect(events.Changed, "set")
		}
		w.stop()
		if i%100 == 99 { // the UNSUBSCRIBE and the next SUBSCRIBE meet
			r.eventually("unsubscribed", func() bool { return r.subscribers("k") == 0 })
		}
	}
	r.eventually("unsubscribed", func() bool { return r.subscribers("k") == 0 })
}

// What changes while the connection is away is found by the Resync, before which
// OnResync ran.
func connectionLost(t *testing.T, r *rig) {
	r.setFlags("KA")
	order := make(chan string, 100)
	r.watcher.OnResync(func() { order <- "callback" })
	r.start()
	defer r.stop()
	r.proven()
	stop := r.watcher.Watch("k", func(e events.Event) {
		if e.Kind != events.Poll {
			order <- e.Kind.String()
		}
	})
	defer stop()
	expect := func(want string) {
		t.Helper()
		select {
		case got := <-order:
			if got != want {
				t.Fatalf("got %s, want %s", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("got nothing, want %s", want)
		}
	}
	expect("ready")
	for range 5 {
		if n, err := r.client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result(); err != nil || n != 1 {
			t.Fatalf("killed %d connections, %v, want 1", n, err)
		}
		expect("callback")
		expect("resync")
		r.set("k", "v")
		expect("changed")
		r.proven()
	}
	if got := r.metric("syncworker_events_resyncs_total"); got != 5 {
		t.Errorf("got %v resyncs counted, want 5", got)
	}
}

// Missing flags are added to those that others need.
func flagsMissing(t *testing.T, r *rig) {
	r.setFlags("Elh")
	w := r.watch("k")
	r.start()
	defer r.stop()
	r.proven()
	flags := r.flags()
	if missing := events.MissingFlags(flags); missing != "" {
		t.Errorf("got flags %q, %q is missing", flags, missing)
	}
	for _, flag := range "Elh" {
		if !strings.ContainsRune(flags, flag) {
			t.Errorf("got flags %q, lost %c", flags, flag)
		}
	}
	// It may have been ready before the flags were there, so it must look again.
	w.expect(events.Ready, "")
	w.expect(events.Resync, "")
	r.set("k", "v")
	w.expect(events.Changed, "set")
	if got := r.resyncs.Load(); got != 0 {
		t.Errorf("got %d calls of OnResync, want none: no connection was lost", got)
	}
}

// Somebody switches notifications off. Within two safety polls they are back and
// everybody has looked.
func flagsChanged(t *testing.T, r *rig) {
	r.setFlags("KA")
	r.start()
	defer r.stop()
	r.proven()
	w := r.watch("k")
	w.expect(events.Ready, "")
	r.setFlags("E")
	r.set("k", "unheard")
	began := time.Now()
	w.until(events.Resync)
	if took := time.Since(began); took > 2*poll {
		t.Errorf("found out after %v, want at most %v", took, 2*poll)
	}
	r.set("k", "v")
	w.expect(events.Changed, "set")
	if got, want := r.flags(), "E"; !strings.Contains(got, want) || events.MissingFlags(got) != "" {
		t.Errorf("got flags %q", got)
	}
}

// Notifications are off and CONFIG is refused: the safety poll carries on, and
// says so, until somebody switches them on.
func notificationsOff(t *testing.T, r *rig) {
	r.server.forbidConfig(t)
	w := r.watch("k")
	r.start()
	defer r.stop()
	w.expect(events.Ready, "")
	r.eventually("a reason", func() bool {
		return strings.Contains(r.watcher.Status().Reason, "notify-keyspace-events")
	})
	if got := r.watcher.Level(); got != events.LevelPolling {
		t.Errorf("got level %v, want %v", got, events.LevelPolling)
	}
	if got := r.metric("syncworker_events_level"); got != 0 {
		t.Errorf("got level %v in the metric, want 0", got)
	}
	if got := r.resyncs.Load(); got != 0 {
		t.Errorf("got %d calls of OnResync, want none", got)
	}
	lines := r.log.lines()
	for range 2 {
		began := time.Now()
		w.until(events.Poll)
		if took := time.Since(began); took > poll+poll/10 {
			t.Errorf("a poll after %v, want one every %v", took, poll)
		}
	}
	if r.log.lines() != lines {
		t.Errorf("the same state was logged again:\n%s", r.log)
	}
	r.switchOn()
	r.proven()
	w.until(events.Resync)
	r.set("k", "v")
	w.expect(events.Changed, "set")
}

// switchOn does what an operator does on a Redis that refuses CONFIG to workers.
func (r *rig) switchOn() {
	r.t.Helper()
	if d, ok := r.server.(*dev); ok {
		if err := d.SetNotifyKeyspaceEvents("KA"); err != nil {
			r.t.Fatal(err)
		}
		return
	}
	r.setFlags("KA")
}

// A restarted Redis has lost its flags as well.
func restart(t *testing.T, r *rig) {
	r.setFlags("KA")
	w := r.watch("k")
	r.start()
	defer r.stop()
	w.expect(events.Ready, "")
	r.proven()
	r.server.restart(t)
	w.until(events.Resync)
	if got := r.resyncs.Load(); got < 1 {
		t.Error("OnResync was not called before the resync")
	}
	ping(t, r.client)
	r.proven()
	if missing := events.MissingFlags(r.flags()); missing != "" {
		t.Errorf("%q is missing after the restart", missing)
	}
	r.set("k", "v")
	w.until(events.Changed)
}

func thousandsOfWatches(t *testing.T, r *rig) {
	const count = 10_000
	r.setFlags("KA")
	r.start()
	defer r.stop()
	r.proven()
	began := time.Now()
	all := make([]*watched, count)
	for i := range all {
		w := &watched{t: t, key: fmt.Sprint("k", i), told: make(chan events.Event, 20)}
		w.stop = r.watcher.Watch(w.key, func(e events.Event) { w.told <- e })
		all[i] = w
	}
	for _, w := range all {
		w.expect(events.Ready, "")
	}
	ready := time.Since(began)
	pipe := r.client.Pipeline()
	for _, w := range all {
		pipe.Set(t.Context(), w.key, "v", 0)
	}
	began = time.Now()
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range all {
		w.expect(events.Changed, "set")
	}
	changed := time.Since(began)
	if _, err := r.client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	for _, w := range all {
		w.expect(events.Resync, "")
	}
	t.Logf("%d watches: ready %v, changed %v, resync %v", count, ready, changed, time.Since(began))
	for _, w := range all {
		w.stop()
	}
	r.eventually("unsubscribed", func() bool {
		channels, err := r.client.PubSubChannels(t.Context(), "*").Result()
		return err == nil && len(channels) == 1 // the probe's
	})
	if got := r.metric("syncworker_events_watches"); got != 0 {
		t.Errorf("got %v watches in the metric, want 0", got)
	}
}

func interruptWithWatches(t *testing.T, r *rig) {
	r.start()
	w := r.watch("k")
	w.expect(events.Ready, "")
	r.stop()
	if got := r.subscribers("k"); got != 0 {
		r.eventually("unsubscribed", func() bool { return r.subscribers("k") == 0 })
	}
	w.stop()
	r.watch("other").stop() // has no effect and does no harm
	if err := r.watcher.Execute(); err == nil {
		t.Error("a watcher was executed twice")
	}
}

func interruptBeforeExecute(t *testing.T, r *rig) {
	r.watch("k")
	r.watcher.Interrupt(nil)
	r.start()
	r.stop()
}

func expiryAndScripts(t *testing.T, r *rig) {
	r.start()
	defer r.stop()
	r.proven()
	w := r.watch("{p}k")
	w.expect(events.Ready, "")
	ctx := t.Context()
	if err := r.client.Set(ctx, w.key, "v", 20*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	w.expect(events.Changed, "set")
	w.expect(events.Changed, "expire")
	w.expect(events.Changed, "expired")
	script := `redis.call('SET', KEYS[1], 'v'); redis.call('PEXPIRE', KEYS[1], 60000); return redis.call('DEL', KEYS[1])`
	if err := r.client.Eval(ctx, script, []string{w.key}).Err(); err != nil {
		t.Fatal(err)
	}
	w.expect(events.Changed, "set")
	w.expect(events.Changed, "expire")
	w.expect(events.Changed, "del")
}
