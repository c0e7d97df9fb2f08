package redisstore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// settle stands for the lifecycle's settle period.
type settle struct {
	one     *redisstore.Identity // what identity returned
	running atomic.Bool

	mu      sync.Mutex
	changes [][2]string
	// generations were shown while the changes were told.
	generations []uint64
}

func (s *settle) changed(old, new string) {
	s.running.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes = append(s.changes, [2]string{old, new})
	s.generations = append(s.generations, s.one.Generation())
}

func (s *settle) seen() [][2]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][2]string(nil), s.changes...)
}

func (s *settle) identity(logger hclog.Logger) *redisstore.Identity {
	s.one = redisstore.NewIdentity(redisstore.IdentityConfig{
		Changed: s.changed,
		Settled: func() bool { return !s.running.Load() },
		Logger:  logger,
	})
	return s.one
}

// Whoever meets the new server first, no claim runs there before the settle
// period has begun and ended.
func testIdentity(t *testing.T, r *rig) {
	ctx := context.Background()
	for _, first := range []string{"client", "grants"} {
		var settle settle
		client, grants := r.clients(settle.identity(nil))
		a, p := r.storeOn("a", client, grants), r.player()
		if got := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true}); got.Outcome != handoff.ClaimGranted {
			t.Fatalf("first claim: got %s", describeClaimed(got))
		}
		if err := client.Ping(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if changes := settle.seen(); len(changes) != 0 || settle.one.Generation() != 0 {
			t.Fatalf("changes %v, generation %d at one server", changes, settle.one.Generation())
		}
		r.srv.restart(false)
		if first == "client" {
			if err := client.Ping(ctx).Err(); err != nil {
				t.Fatal(err)
			}
		}
		for range 3 {
			got := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true, Enlist: true})
			if got.Outcome != handoff.ClaimFailed || !errors.Is(got.Err, redisstore.ErrServerChanged) {
				t.Fatalf("%s first: got %s, want ErrServerChanged", first, describeClaimed(got))
			}
		}
		if left := r.get(p); left != (state{}) {
			t.Errorf("%s first: left %+v, want nothing claimed", first, left)
		}
		changes := settle.seen()
		if len(changes) != 1 || changes[0][0] == changes[0][1] || !strings.Contains(changes[0][1], "/") {
			t.Errorf("%s first: changes %q, want one between two servers", first, changes)
		}
		if generation := settle.one.Generation(); generation != 1 || !slices.Equal(settle.generations, []uint64{1}) {
			t.Errorf("%s first: generation %d, and %d when it was told; want 1", first, generation, settle.generations)
		}
		settle.running.Store(false)
		if got := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true}); got.Outcome != handoff.ClaimGranted {
			t.Errorf("settled: got %s, want a grant", describeClaimed(got))
		}
		if changes := settle.seen(); len(changes) != 1 {
			t.Errorf("%s first: changes %q, want one", first, changes)
		}
	}
}

// The connection for notifications tells of a restart as well.
func testIdentityPubSub(t *testing.T, r *rig) {
	ctx := context.Background()
	var settle settle
	client, _ := r.clients(settle.identity(nil))
	listen := func() {
		t.Helper()
		sub := client.Subscribe(ctx, "channel")
		defer func() { _ = sub.Close() }()
		if _, err := sub.Receive(ctx); err != nil {
			t.Fatal(err)
		}
	}
	listen()
	if changes := settle.seen(); len(changes) != 0 {
		t.Errorf("changes %v at one server", changes)
	}
	r.srv.restart(true)
	listen()
	if changes := settle.seen(); len(changes) != 1 {
		t.Errorf("changes %v, want one", changes)
	}
}

// Claims that were decided before the restart race with it from many
// goroutines: each is granted on the old server, or not at all.
func testIdentityOldDecision(t *testing.T, r *rig) {
	ctx := context.Background()
	var settle settle
	client, grants := r.clients(settle.identity(nil))
	a := r.storeOn("a", client, grants)
	if err := client.Ping(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					a.Claim(ctx, r.player(), handoff.Claim{AllowUnknown: true, Enlist: true})
				}
			}
		})
	}
	r.srv.restart(false)
	for len(settle.seen()) == 0 {
		a.Claim(ctx, r.player(), handoff.Claim{AllowUnknown: true})
	}
	close(stop)
	wg.Wait()
	if left := r.admin.DBSize(ctx).Val(); left != 0 {
		t.Errorf("%d keys on the new server, want none", left)
	}
}

// Where INFO is forbidden, everything works without the protection, and that is
// said once.
func TestIdentityUntold(t *testing.T) {
	for name, text := range map[string]string{
		"ACL":             "NOPERM this user has no permissions to run the 'info' command",
		"renamed command": "ERR unknown command 'INFO'",
	} {
		t.Run(name, func(t *testing.T) {
			dev := newDev(t)
			dev.Intercept(refuse("INFO", text))
			r := newRig(t, dev)
			var settle settle
			var log strings.Builder
			client, grants := r.clients(settle.identity(hclog.New(&hclog.LoggerOptions{Output: &log})))
			a := r.storeOn("a", client, grants)
			for range 2 {
				if got := a.Claim(context.Background(), r.player(), handoff.Claim{AllowUnknown: true}); got.Outcome != handoff.ClaimGranted {
					t.Fatalf("got %s, want a grant", describeClaimed(got))
				}
				dev.restart(true)
			}
			if changes := settle.seen(); len(changes) != 0 {
				t.Errorf("changes %q, want none", changes)
			}
			if got := strings.Count(log.String(), "does not tell"); got != 1 {
				t.Errorf("logged %d times, want once: %s", got, log.String())
			}
		})
	}
}

// A server that cannot answer yet is not one that declines to: no connection of
// any kind comes up, and nothing begins, until it can.
func TestIdentityOfALoadingServer(t *testing.T) {
	ctx := context.Background()
	dev := newDev(t)
	r := newRig(t, dev)
	var settle settle
	client, grants := r.clients(settle.identity(nil))
	a, p := r.storeOn("a", client, grants), r.player()
	ready(t, a)
	dev.SetLoading(true)
	dev.restart(true)
	if err := client.Ping(ctx).Err(); !errors.Is(err, redisstore.ErrLoading) {
		t.Errorf("ping got %v, want ErrLoading", err)
	}
	sub := client.Subscribe(ctx)
	t.Cleanup(func() { _ = sub.Close() })
	if err := sub.Subscribe(ctx, "channel"); !errors.Is(err, redisstore.ErrLoading) {
		t.Errorf("subscribe got %v, want ErrLoading", err)
	}
	if got := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true}); !errors.Is(got.Err, redisstore.ErrLoading) {
		t.Errorf("claim got %s, want ErrLoading", describeClaimed(got))
	}
	if changes := settle.seen(); len(changes) != 0 {
		t.Errorf("changes %q while nobody can verify anything, want none", changes)
	}
	dev.SetLoading(false)
	if got := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true}); !errors.Is(got.Err, redisstore.ErrServerChanged) {
		t.Errorf("the first claim after it got %s, want ErrServerChanged", describeClaimed(got))
	}
	if changes := settle.seen(); len(changes) != 1 {
		t.Errorf("changes %q, want one", changes)
	}
}

// Some servers refuse INFO as well.
func TestIdentityOfASilentServer(t *testing.T) {
	dev := newDev(t)
	dev.Intercept(refuse("INFO", "LOADING Redis is loading the dataset in memory"))
	client := dev.Client()
	t.Cleanup(func() { _ = client.Close() })
	if id, err := redisstore.Identify(context.Background(), client); err == nil {
		t.Errorf("got %q, want an error", id)
	}
	dev.Intercept(nil)
	id, err := redisstore.Identify(context.Background(), client)
	if err != nil || len(id) < 40 {
		t.Errorf("got %q, %v; want two ids", id, err)
	}
	again, err := redisstore.Identify(context.Background(), client)
	if err != nil || again != id {
		t.Errorf("got %q, %v; want %q again", again, err, id)
	}
}

// refuse answers one command with an error.
func refuse(command, text string) func(devredis.Command) devredis.Verdict {
	return func(c devredis.Command) devredis.Verdict {
		if strings.EqualFold(c.Args[0], command) {
			return devredis.Refuse(text)
		}
		return devredis.Pass
	}
}
