package events_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/events"
	"github.com/syncworker/syncworker/internal/keyspace"
)

const channel = "syncworker:test:petition:a"

// listening is one listener and what it was told.
type listening struct {
	r       *rig
	channel string
	told    chan string
	stop    func()
}

func (r *rig) listen(channel string) *listening {
	l := &listening{r: r, channel: channel, told: make(chan string, 1000)}
	l.stop = r.watcher.Listen(channel, func(message string) { l.told <- message })
	return l
}

// subscribed waits until Redis knows the subscription.
func (l *listening) subscribed() {
	l.r.t.Helper()
	l.r.eventually("subscribed to "+l.channel, func() bool { return l.r.listeners(l.channel) == 1 })
}

func (l *listening) expect(want string) {
	l.r.t.Helper()
	select {
	case got := <-l.told:
		if got != want {
			l.r.t.Fatalf("%s: got %.60q, want %.60q", l.channel, got, want)
		}
	case <-time.After(time.Minute):
		l.r.t.Fatalf("%s: got nothing, want %.60q", l.channel, want)
	}
}

func (l *listening) quiet() {
	l.r.t.Helper()
	select {
	case got := <-l.told:
		l.r.t.Fatalf("%s: got %.60q, want nothing", l.channel, got)
	default:
	}
}

// listeners counts the connections subscribed to a channel.
func (r *rig) listeners(channel string) int64 {
	r.t.Helper()
	counts, err := r.client.PubSubNumSub(r.t.Context(), channel).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	return counts[channel]
}

// publish sends a message on the channel.
func (r *rig) publish(message string) {
	r.t.Helper()
	if err := r.client.Publish(r.t.Context(), channel, message).Err(); err != nil {
		r.t.Fatal(err)
	}
}

// Messages come in order to everybody who listens, on the connection of the
// watches, and to nobody after stop.
func listeners(t *testing.T, r *rig) {
	early := r.listen(channel) // before there is a connection
	r.start()
	defer r.stop()
	early.subscribed()
	goroutines := runtime.NumGoroutine()
	for i := range 1000 {
		defer r.listen(fmt.Sprint("another:", i)).stop()
	}
	second, other := r.listen(channel), r.listen(channel+"b")
	other.subscribed()
	if got := runtime.NumGoroutine(); got > goroutines+20 {
		t.Errorf("%d goroutines, %d before the listeners", got, goroutines)
	}
	for i := range 100 {
		r.publish(fmt.Sprint(i))
	}
	for i := range 100 {
		early.expect(fmt.Sprint(i))
		second.expect(fmt.Sprint(i))
	}
	if got := r.listeners(channel); got != 1 {
		t.Errorf("got %d subscriptions, want 1 for two listeners", got)
	}
	early.stop()
	early.stop()
	r.publish("\x00\xff")
	second.expect("\x00\xff")
	early.quiet()
	other.quiet()
	second.stop()
	r.eventually("unsubscribed", func() bool { return r.listeners(channel) == 0 })
	again := r.listen(channel)
	again.subscribed()
	r.publish("")
	again.expect("")
	// Messages are no notifications about keys.
	if got := r.metric("syncworker_events_received_total"); got != 0 {
		t.Errorf("got %v notifications counted, want 0", got)
	}
	if got, want := r.metric("syncworker_events_messages_total"), 102.0; got != want {
		t.Errorf("got %v messages counted, want %v", got, want)
	}
}

// What is too long to be genuine is dropped and counted; what follows is not.
func longMessages(t *testing.T, r *rig) {
	r.start()
	defer r.stop()
	l := r.listen(channel)
	l.subscribed()
	longest := strings.Repeat("x", events.MaxMessage)
	for _, message := range []string{longest + "x", strings.Repeat("x", 1<<20), longest, "short"} {
		r.publish(message)
	}
	l.expect(longest)
	l.expect("short")
	if got := r.metric("syncworker_events_dropped_messages_total"); got != 2 {
		t.Errorf("got %v messages dropped, want 2", got)
	}
	if got := r.metric("syncworker_events_messages_total"); got != 2 {
		t.Errorf("got %v messages counted, want 2", got)
	}
}

// Listeners hear again after the connection was lost, and after Redis was
// another process.
func listenersReconnect(t *testing.T, r *rig) {
	r.start()
	defer r.stop()
	l, gone := r.listen(channel), r.listen(channel+"b")
	l.subscribed()
	gone.subscribed()
	for i := range 5 {
		if n, err := r.client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Result(); err != nil || n != 1 {
			t.Fatalf("killed %d connections, %v, want 1", n, err)
		}
		gone.stop() // The first time while there is no connection.
		l.subscribed()
		r.publish(fmt.Sprint(i))
		l.expect(fmt.Sprint(i))
	}
	r.server.restart(t)
	ping(t, r.client)
	l.subscribed()
	r.publish("after the restart")
	l.expect("after the restart")
	if got := r.listeners(gone.channel); got != 0 {
		t.Errorf("got %d subscriptions of a listener that has gone", got)
	}
	gone.quiet()
}

// A channel of a key may be watched and listened to; each gets what it is for.
func listenAndWatch(t *testing.T, r *rig) {
	r.setFlags("KA")
	r.start()
	defer r.stop()
	r.proven()
	l := r.listen(keyspace.Channel(0, "k"))
	l.subscribed()
	w := r.watch("k")
	w.expect(events.Ready, "")
	r.set("k", "v")
	w.expect(events.Changed, "set")
	l.expect("set")
	w.stop()
	r.set("k", "v")
	l.expect("set")
	w.quiet()
	w = r.watch("k")
	w.expect(events.Ready, "")
	l.stop()
	r.set("k", "v")
	w.expect(events.Changed, "set")
	l.quiet()
	if got := r.subscribers("k"); got != 1 {
		t.Errorf("got %d subscriptions, want 1", got)
	}
	w.stop()
	r.eventually("unsubscribed", func() bool { return r.subscribers("k") == 0 })
}

// Listeners come and go from inside of callbacks.
func listenInCallback(t *testing.T, r *rig) {
	r.start()
	defer r.stop()
	told := make(chan string, 10)
	var stop func()
	started := make(chan struct{})
	stop = r.watcher.Listen(channel, func(message string) {
		<-started // stop is set.
		stop()
		r.watcher.Listen(channel, func(later string) { told <- "second " + later })
		told <- "first " + message
	})
	close(started)
	r.eventually("subscribed", func() bool { return r.listeners(channel) == 1 })
	for _, message := range []string{"1", "2"} {
		r.publish(message)
	}
	for _, want := range []string{"first 1", "second 2"} {
		select {
		case got := <-told:
			if got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("got nothing, want %q", want)
		}
	}
}

// Ten thousand players wait for one dead server: one subscription to its lease,
// however they come and go.
func oneLeaseManyWatches(t *testing.T, r *rig) {
	const count = 10_000
	const key = "syncworker:test:server_lease:dead"
	r.setFlags("KA")
	r.start()
	defer r.stop()
	r.proven()
	goroutines := runtime.NumGoroutine()
	began := time.Now()
	all := make([]*watched, count)
	watch := func(i int) {
		w := &watched{t: t, key: key, told: make(chan events.Event, 20)}
		w.stop = r.watcher.Watch(key, func(e events.Event) { w.told <- e })
		all[i] = w
	}
	for i := range all {
		watch(i)
	}
	for _, w := range all {
		w.expect(events.Ready, "")
	}
	ready := time.Since(began)
	if got := r.subscribers(key); got != 1 {
		t.Errorf("got %d subscriptions, want 1", got)
	}
	if got := runtime.NumGoroutine(); got > goroutines+20 {
		t.Errorf("%d goroutines, %d before the watches", got, goroutines)
	}
	began = time.Now()
	for i := 0; i < count; i += 2 { // Others come where some went.
		all[i].stop()
		watch(i)
		all[i].expect(events.Ready, "")
	}
	churn := time.Since(began)
	began = time.Now()
	r.set(key, "v")
	for _, w := range all {
		w.expect(events.Changed, "set")
	}
	changed := time.Since(began)
	began = time.Now()
	for _, w := range all[1:] {
		w.stop()
	}
	t.Logf("%d watches of one key: ready %v, half exchanged one by one %v, changed %v, stopped %v", count, ready, churn, changed, time.Since(began))
	if err := r.client.Del(t.Context(), key).Err(); err != nil {
		t.Fatal(err)
	}
	all[0].expect(events.Changed, "del")
	for _, w := range all[1:] {
		w.quiet()
	}
	if got := r.watcher.Status().Watches; got != 1 {
		t.Errorf("got %d watches, want 1", got)
	}
	all[0].stop()
	r.eventually("unsubscribed", func() bool { return r.subscribers(key) == 0 })
}
