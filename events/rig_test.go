package events_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/events"
	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/keyspace"
)

const (
	probeKey = "syncworker:test:event_probe:a"
	poll     = 5 * time.Second
)

// server is what the scenarios need of Redis, real or not.
type server interface {
	Client(changes ...func(*redis.Options)) *redis.Client
	// worker returns a client of the user that workers have.
	worker(t *testing.T) *redis.Client
	// restart ends the server process and starts an empty one.
	restart(t *testing.T)
	// forbidConfig makes CONFIG fail for the worker's clients.
	forbidConfig(t *testing.T)
}

// rig is one watcher on one server.
type rig struct {
	t        *testing.T
	server   server
	client   *redis.Client // somebody else's
	watcher  *events.Watcher
	registry *prometheus.Registry
	log      *logged
	resyncs  atomic.Int64
	done     chan error
}

// newRig makes a watcher; start runs it.
func newRig(t *testing.T, s server) *rig {
	t.Helper()
	return newRigWith(t, s, s.worker(t))
}

func newRigWith(t *testing.T, s server, client *redis.Client) *rig {
	t.Helper()
	r := &rig{t: t, server: s, client: s.Client(), registry: prometheus.NewRegistry(), log: &logged{}, done: make(chan error, 1)}
	r.watcher = events.New(client, events.Config{
		SafetyPoll: poll, ProbeKey: probeKey, Registerer: r.registry,
		Logger: hclog.New(&hclog.LoggerOptions{Output: r.log, Level: hclog.Info, DisableTime: true}),
	})
	r.watcher.OnResync(func() { r.resyncs.Add(1) })
	return r
}

func (r *rig) start() {
	go func() { r.done <- r.watcher.Execute() }()
}

// stop interrupts the watcher and waits for it.
func (r *rig) stop() {
	r.t.Helper()
	r.watcher.Interrupt(errors.New("test is over"))
	if err := <-r.done; err != nil {
		r.t.Errorf("execute: %v", err)
	}
}

// proven waits until notifications are proven to arrive.
func (r *rig) proven() {
	r.t.Helper()
	r.eventually("level events", func() bool { return r.watcher.Level() == events.LevelEvents })
}

// eventually waits for a state that nothing signals.
func (r *rig) eventually(what string, reached func() bool) {
	r.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-tick.C:
		case <-deadline:
			r.t.Fatalf("never reached: %s; status %+v, log:\n%s", what, r.watcher.Status(), r.log)
		}
	}
}

func (r *rig) set(key, value string) {
	r.t.Helper()
	if err := r.client.Set(r.t.Context(), key, value, 0).Err(); err != nil {
		r.t.Fatal(err)
	}
}

// subscribers counts the connections subscribed to a key's channel.
func (r *rig) subscribers(key string) int64 {
	r.t.Helper()
	channel := keyspace.Channel(0, key)
	counts, err := r.client.PubSubNumSub(r.t.Context(), channel).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	return counts[channel]
}

func (r *rig) flags() string {
	r.t.Helper()
	values, err := r.client.ConfigGet(r.t.Context(), "notify-keyspace-events").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	return values["notify-keyspace-events"]
}

func (r *rig) setFlags(flags string) {
	r.t.Helper()
	if err := r.client.ConfigSet(r.t.Context(), "notify-keyspace-events", flags).Err(); err != nil {
		r.t.Fatal(err)
	}
}

// metric returns the sum over the labels of a counter or gauge.
func (r *rig) metric(name string) (sum float64) {
	r.t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// watched is one watch and what it was told.
type watched struct {
	t    *testing.T
	key  string
	told chan events.Event
	stop func()
}

func (r *rig) watch(key string) *watched {
	w := &watched{t: r.t, key: key, told: make(chan events.Event, 10_000)}
	w.stop = r.watcher.Watch(key, func(e events.Event) { w.told <- e })
	return w
}

// next returns the next event but polls.
func (w *watched) next() events.Event {
	w.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case e := <-w.told:
			if e.Kind != events.Poll {
				return e
			}
		case <-deadline:
			w.t.Fatalf("%s: no event", w.key)
		}
	}
}

// expect takes the next event and compares it.
func (w *watched) expect(kind events.Kind, name string) {
	w.t.Helper()
	got := w.next()
	if want := (events.Event{Key: w.key, Kind: kind, Name: name}); got != want {
		w.t.Fatalf("got %v, want %v", got, want)
	}
}

// until skips events up to one of a kind.
func (w *watched) until(kind events.Kind) {
	w.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case e := <-w.told:
			if e.Kind == kind {
				return
			}
		case <-deadline:
			w.t.Fatalf("%s: no %v", w.key, kind)
		}
	}
}

// quiet fails when something but polls has been told.
func (w *watched) quiet() {
	w.t.Helper()
	for {
		select {
		case e := <-w.told:
			if e.Kind != events.Poll {
				w.t.Fatalf("%s: got %v, want nothing", w.key, e)
			}
		default:
			return
		}
	}
}

// logged collects log lines.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logged) lines() int { return strings.Count(l.String(), "\n") }

// dev is devredis as a server of scenarios.
type dev struct {
	*devredis.Server
	clients []*redis.Client
}

func (d *dev) Client(changes ...func(*redis.Options)) *redis.Client {
	client := d.Server.Client(changes...)
	d.clients = append(d.clients, client)
	return client
}

func (d *dev) worker(*testing.T) *redis.Client { return d.Client() }

func (d *dev) restart(t *testing.T) {
	if err := d.Restart(false); err != nil {
		t.Fatal(err)
	}
}

func (d *dev) forbidConfig(*testing.T) { d.SetConfigForbidden(true) }

// bubble runs a test on devredis in a bubble. A goroutine that outlives it fails
// the test.
func bubble(t *testing.T, opts devredis.Options, test func(t *testing.T, d *dev)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := devredis.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		d := &dev{Server: s}
		test(t, d)
		for _, client := range d.clients {
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		}
		s.Close()
		// A client's pool that could not dial notices its end within a second.
		<-time.After(2 * time.Second)
	})
}

// onDev runs a scenario on devredis.
func onDev(t *testing.T, run func(t *testing.T, r *rig)) {
	t.Helper()
	bubble(t, devredis.Options{}, func(t *testing.T, d *dev) { run(t, newRig(t, d)) })
}

func ping(t *testing.T, client *redis.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for client.Ping(ctx).Err() != nil {
		if ctx.Err() != nil {
			t.Fatal("redis does not come back")
		}
	}
}
