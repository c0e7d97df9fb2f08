//go:build real

package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
	"github.com/syncworker/syncworker/internal/redistest"
)

type realServer struct {
	*redistest.Server
	user string
}

func (s realServer) config() redisstore.ClientConfig {
	config := redisstore.ClientConfig{Addresses: []string{s.Addr()}}
	if s.user != "" {
		config.Username, config.Password = s.user, "secret"
	}
	return config
}

func (s realServer) restart(keepData bool) { s.Restart(keepData) }

func TestOnRedis(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			s.run(t, newRig(t, realServer{Server: redistest.Start(t)}))
		})
	}
}

// permissions is all that the store asks of an ACL user.
var permissions = []any{
	"~syncworker:*", "+eval", "+evalsha", "+get", "+set", "+del", "+getrange", "+strlen", "+pttl", "+pexpire",
	"+time", "+rpush", "+ltrim", "+sadd", "+srem", "+sscan", "+info", "+select", "+ping",
	"+publish", "&syncworker:*:petition:*",
}

// setUser makes an ACL user.
func setUser(t *testing.T, srv *redistest.Server, name string, rules ...any) {
	t.Helper()
	args := append([]any{"ACL", "SETUSER", name, "reset", "on", ">secret"}, rules...)
	if err := srv.Client().Do(context.Background(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestLeastPermissions(t *testing.T) {
	srv := redistest.Start(t)
	setUser(t, srv, "worker", permissions...)
	r := newRig(t, realServer{Server: srv, user: "worker"})
	a, p := r.store("a"), r.player()
	for step, call := range everything {
		if err := call(a, p); err != nil {
			t.Errorf("%s: %v", step, err)
		}
	}
	testQuarantineAllowed(t, a, r)
}

// testQuarantineAllowed runs the branch that needs the rarest commands.
func testQuarantineAllowed(t *testing.T, a *redisstore.Store, r *rig) {
	t.Helper()
	p := r.player()
	r.put(p, state{checkout: "a", fence: "7", update: "foreign"})
	if got := checkIn(7, 1)(a, p); got != "done" {
		t.Errorf("check in over foreign data: got %q, want done", got)
	}
}

// What a real server refuses is a failure that names the mend, and changes
// nothing.
func TestRealRefusals(t *testing.T) {
	for _, test := range []struct {
		name, code, mend string
		// writesOnly says that calls which change nothing are answered.
		writesOnly bool
		cause      func(t *testing.T, srv *redistest.Server)
	}{
		{"no permission", "NOPERM", "the keys of the namespace", false, func(t *testing.T, srv *redistest.Server) {
			setUser(t, srv, "worker", "~other:*", "+@all")
		}},
		{"out of memory", "OOM", "raise it", true, func(t *testing.T, srv *redistest.Server) {
			configure(t, srv, "maxmemory", "1")
		}},
		{"replica", "READONLY", "lead to the master", true, func(t *testing.T, srv *redistest.Server) {
			replicaOf(t, srv, redistest.Start(t).Addr())
		}},
		// READONLY or MASTERDOWN, as Redis sees fit.
		{"replica without master", "", "lead to the master", false, func(t *testing.T, srv *redistest.Server) {
			configure(t, srv, "replica-serve-stale-data", "no")
			replicaOf(t, srv, "127.0.0.1:1")
		}},
		{"too few replicas", "NOREPLICAS", "bring them back", true, func(t *testing.T, srv *redistest.Server) {
			configure(t, srv, "min-replicas-to-write", "1")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := redistest.Start(t)
			setUser(t, srv, "worker", append(permissions, "+type", "+exists", "+dbsize")...)
			r := newRig(t, realServer{Server: srv, user: "worker"})
			a := r.store("a")
			ready(t, a)
			players := map[string]handoff.PlayerID{}
			for step := range everything {
				p := r.player()
				players[step] = p
				r.put(p, state{checkout: "a", fence: "7", update: "7/0"}.of(p))
			}
			test.cause(t, srv)
			refused := 0
			for step, call := range everything {
				err := call(a, players[step])
				if err == nil && (test.writesOnly || step == "petition b" && test.code != "NOPERM") {
					continue // What is published is not stored, so nearly nothing is in its way.
				}
				refused++
				if err == nil || !strings.HasPrefix(err.Error(), stepOf(step)) ||
					!strings.Contains(err.Error(), test.code) || !strings.Contains(err.Error(), test.mend) {
					t.Errorf("%s: got %v, want %s with its mend", step, err, test.code)
				}
			}
			if refused < 7 {
				t.Errorf("%d calls were refused, want all that write", refused)
			}
		})
	}
}

func configure(t *testing.T, srv *redistest.Server, name, value string) {
	t.Helper()
	if err := srv.Client().ConfigSet(context.Background(), name, value).Err(); err != nil {
		t.Fatal(err)
	}
}

func replicaOf(t *testing.T, srv *redistest.Server, master string) {
	t.Helper()
	host, port, err := net.SplitHostPort(master)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Client().ReplicaOf(context.Background(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
}

// A promoted replica is another server, though its process is the same.
func TestPromotionChangesTheIdentity(t *testing.T) {
	ctx := context.Background()
	master, replica := redistest.Start(t), redistest.Start(t)
	client := replica.Client()
	identify := func() string {
		t.Helper()
		id, err := redisstore.Identify(ctx, client)
		if err != nil || id == "" {
			t.Fatalf("got %q, %v; want an identity", id, err)
		}
		return id
	}
	alone := identify()
	replicaOf(t, replica, master.Addr())
	if err := master.Client().Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for client.Get(ctx, "k").Val() != "v" {
		if err := ctx.Err(); err != nil {
			t.Fatal(err)
		}
	}
	following := identify()
	if err := client.ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	if leading := identify(); leading == following || following == alone {
		t.Errorf("identities %q, %q, %q, want three", alone, following, leading)
	}
}

// What MONITOR shows of a handoff: no command but those counted.
func TestMonitorOfAHandoff(t *testing.T) {
	ctx := context.Background()
	srv := redistest.Start(t)
	r := newRig(t, realServer{Server: srv})
	a, b := r.store("a"), r.store("b")
	handOver := func() {
		t.Helper()
		p := r.player()
		got := a.Claim(ctx, p, handoff.Claim{Enlist: true, AllowUnknown: true})
		if held := b.Claim(ctx, p, handoff.Claim{Enlist: true}); held.Outcome != handoff.ClaimHeld {
			t.Fatalf("got %s, want held", describeClaimed(held))
		}
		if answer := checkIn(got.Fence, 1)(a, p); answer != "done" {
			t.Fatalf("got %q, want done", answer)
		}
		if next := b.Claim(ctx, p, handoff.Claim{}); next.Outcome != handoff.ClaimGranted || next.Update == nil {
			t.Fatalf("got %s, want a grant with data", describeClaimed(next))
		}
	}
	handOver()
	monitor := srv.Monitor(ctx)
	handOver()
	var names []string
	for _, c := range monitor.TakeClient() {
		names = append(names, strings.ToUpper(c.Args[0]))
	}
	if got := strings.Join(names, " "); got != "SADD EVALSHA SADD EVALSHA EVALSHA EVALSHA" {
		t.Errorf("sent %s", got)
	}
}

// A session that misses nothing is verified without a write: each would wake
// whoever waits for the player.
func TestResumeOfASoundSessionWritesNothing(t *testing.T) {
	srv := redistest.Start(t)
	r := newRig(t, realServer{Server: srv})
	a, p := r.store("a"), r.player()
	ready(t, a)
	r.put(p, state{checkout: "a", fence: "7"})
	resume(7)(a, p)
	monitor := srv.Monitor(context.Background())
	if got := resume(7)(a, p); got != "done" {
		t.Fatalf("got %q, want done", got)
	}
	for _, c := range monitor.Take() {
		if name := c.Name(); c.InScript() && name != "GET" && name != "GETRANGE" && name != "TIME" {
			t.Errorf("the script ran %s", c)
		}
	}
}

// BenchmarkHandoff is one handoff of a 16 KiB snapshot without any wait:
// check-in and claim.
func BenchmarkHandoff(b *testing.B) {
	ctx := context.Background()
	r := newRig(b, realServer{Server: redistest.Start(b)})
	stores := []*redisstore.Store{r.store("a"), r.store("b")}
	p := r.player()
	held := stores[0].Claim(ctx, p, handoff.Claim{AllowUnknown: true})
	data := make([]byte, 16<<10)
	for i := 0; b.Loop(); i++ {
		shot := snapshot(p, handoff.Version{Fence: held.Fence, Sequence: 1})
		copy(data, pack(shot))
		if got := stores[i%2].CheckIn(ctx, shot, data); got.Outcome != handoff.WriteDone {
			b.Fatal(describeWritten(got))
		}
		held = stores[(i+1)%2].Claim(ctx, p, handoff.Claim{Enlist: true})
		if held.Outcome != handoff.ClaimGranted {
			b.Fatal(describeClaimed(held))
		}
	}
}

// BenchmarkCrowd is the update of one of 5,000 players who all save at once.
func BenchmarkCrowd(b *testing.B) {
	for _, connections := range []int{4, 8, 16, 32, 64} {
		b.Run(fmt.Sprint(connections), func(b *testing.B) {
			ctx := context.Background()
			srv := redistest.Start(b)
			r := newRig(b, realServer{Server: srv})
			client := srv.Client(func(o *redis.Options) {
				o.PoolSize, o.PipelinePoolSize, o.PoolTimeout = connections, -1, 60e9
			})
			a := r.storeOn("a", client, client)
			const crowd = 5000
			var players [crowd]handoff.PlayerID
			for i := range players {
				players[i] = r.player()
				r.put(players[i], state{checkout: "a", fence: "7"})
			}
			var sequence uint64
			for b.Loop() {
				sequence++
				var wg sync.WaitGroup
				for _, p := range players {
					wg.Go(func() {
						shot := snapshot(p, handoff.Version{Fence: 7, Sequence: sequence})
						data := make([]byte, 16<<10)
						copy(data, pack(shot))
						if got := a.Update(ctx, shot, data); got.Outcome != handoff.WriteDone {
							b.Error(describeWritten(got))
						}
					})
				}
				wg.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/crowd, "µs/update")
		})
	}
}

// While redis-server loads, it answers INFO and takes subscriptions, and nothing
// else works: it is not to be taken for a server to settle on.
func TestLoadingRedis(t *testing.T) {
	srv := redistest.Start(t, "--enable-debug-command", "yes", "--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024")
	ctx := context.Background()
	admin := srv.Client(func(o *redis.Options) { o.ReadTimeout = time.Minute })
	if err := admin.Do(ctx, "DEBUG", "POPULATE", 5000).Err(); err != nil {
		t.Fatal(err)
	}
	loaded := make(chan error, 1)
	go func() { loaded <- admin.Do(ctx, "DEBUG", "RELOAD").Err() }()
	client := srv.Client()
	seen := false
	for over := false; !over; {
		_, err := redisstore.Identify(ctx, client)
		seen = seen || errors.Is(err, redisstore.ErrLoading)
		select {
		case err := <-loaded:
			if err != nil {
				t.Fatal(err)
			}
			over = true
		default:
		}
	}
	if !seen {
		t.Error("redis loaded, and Identify never said so")
	}
	if id, err := redisstore.Identify(ctx, client); err != nil || id == "" {
		t.Errorf("got %q, %v after loading, want an identity", id, err)
	}
}
