//go:build real

package events_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/events"
	"github.com/syncworker/syncworker/internal/redistest"
)

// realServer is redis-server as a server of scenarios.
type realServer struct{ *redistest.Server }

func (s *realServer) worker(t *testing.T) *redis.Client {
	t.Helper()
	s.acl(t, "on", "nopass", "~*", "&*", "+@all")
	return s.Client(func(o *redis.Options) { o.Username, o.Password = "worker", "any" })
}

func (s *realServer) restart(t *testing.T) {
	t.Helper()
	s.Restart(false)
	s.acl(t, "on", "nopass", "~*", "&*", "+@all")
}

// forbidConfig does what managed Redis does.
func (s *realServer) forbidConfig(t *testing.T) {
	t.Helper()
	s.acl(t, "-config")
}

func (s *realServer) acl(t *testing.T, rules ...string) {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Addr()})
	defer client.Close()
	if err := client.ACLSetUser(t.Context(), "worker", rules...).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestScenariosReal(t *testing.T) {
	for name, run := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // Most of the time they wait for safety polls.
			run(t, newRig(t, &realServer{redistest.Start(t)}))
		})
	}
}

// While a worker waits, Redis sees one command per safety poll and nothing else.
func TestCommandsWhileWaitingReal(t *testing.T) {
	t.Parallel()
	s := &realServer{redistest.Start(t, "--notify-keyspace-events", switchedOn)}
	r := newRig(t, s)
	r.start()
	defer r.stop()
	r.proven()
	w := r.watch("k")
	w.expect(events.Ready, "")
	monitor := s.Monitor(t.Context())
	for range 2 {
		w.until(events.Poll)
	}
	commands := monitor.TakeClient()
	if len(commands) > 2 {
		t.Errorf("got %d commands in two safety polls, want at most 2: %v", len(commands), commands)
	}
	for _, c := range commands {
		if c.Name() != "SET" || c.Args[1] != probeKey {
			t.Errorf("got %v, want probes only", c)
		}
	}
}

// A frozen Redis holds up neither the polls nor the way back.
func TestFrozenReal(t *testing.T) {
	t.Parallel()
	s := &realServer{redistest.Start(t, "--notify-keyspace-events", switchedOn)}
	r := newRig(t, s)
	r.start()
	defer r.stop()
	r.proven()
	w := r.watch("k")
	w.expect(events.Ready, "")
	s.Stop()
	for range 3 {
		w.until(events.Poll)
	}
	s.Cont()
	// Frozen long enough to be taken for dead or not, changes are heard again.
	r.proven()
	ping(t, r.client)
	r.set("k", "v")
	w.until(events.Changed)
}

// A channel that the user may not listen to shows: the connection does not last,
// and the log says why. With the permission, everything works, messages included.
func TestListenDeniedReal(t *testing.T) {
	t.Parallel()
	s := &realServer{redistest.Start(t, "--notify-keyspace-events", switchedOn)}
	r := newRig(t, s)
	s.acl(t, "resetchannels", "&__keyspace@0__:*")
	l := r.listen(channel)
	w := r.watch("k")
	r.start()
	defer r.stop()
	r.eventually("denied", func() bool { return strings.Contains(r.log.String(), "NOPERM") })
	w.until(events.Poll) // The wait goes on all the same.
	s.acl(t, "&syncworker:*:petition:*")
	l.subscribed()
	r.proven()
	r.publish("m")
	l.expect("m")
	r.set("k", "v")
	w.until(events.Changed)
}

// BenchmarkNotification measures from the write to the callback, with others
// waiting for their own keys.
func BenchmarkNotification(b *testing.B) {
	server := redistest.Start(b, "--notify-keyspace-events", switchedOn)
	client := server.Client()
	watcher := events.New(client, events.Config{ProbeKey: probeKey})
	done := make(chan error, 1)
	go func() { done <- watcher.Execute() }()
	ready := make(chan struct{}, 1000)
	for i := range 1000 {
		watcher.Watch(fmt.Sprint("other:", i), func(e events.Event) {
			if e.Kind == events.Ready {
				ready <- struct{}{}
			}
		})
	}
	changed := make(chan time.Time, 1)
	watcher.Watch("k", func(e events.Event) {
		switch e.Kind {
		case events.Ready:
			ready <- struct{}{}
		case events.Changed:
			changed <- time.Now()
		case events.Resync, events.Poll:
		}
	})
	for range 1001 {
		<-ready
	}
	took := make([]time.Duration, 0, b.N)
	for b.Loop() {
		began := time.Now()
		client.Set(b.Context(), "k", "v", 0)
		took = append(took, (<-changed).Sub(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	watcher.Interrupt(nil)
	if err := <-done; err != nil {
		b.Error(err)
	}
}
