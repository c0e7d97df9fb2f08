package lifecycle_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/lifecycle"
)

// bubble runs a test against a Redis inside the process, where time is virtual.
func bubble(t *testing.T, test func(*testing.T, *backend)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newDevBackend(t)) })
}

// executed runs an actor and returns where its error will be.
func executed(execute func() error) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- execute() }()
	return ended
}

// wantEnd expects an actor, or a group of them, to end without an error.
func wantEnd(t *testing.T, ended <-chan error) {
	t.Helper()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestLeaseIsRenewed(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		if w.lease.Held() {
			t.Error("Held() before Acquire")
		}
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended := executed(w.lease.Execute)
		for range 100 {
			time.Sleep(time.Second)
			if left := w.store.client.PTTL(t.Context(), b.space.Lease("lobby")).Val(); left < 6*time.Second {
				t.Fatalf("the lease has only %v left", left)
			}
			if !w.lease.Held() {
				t.Fatal("the lease is not held")
			}
		}
		if value := w.store.client.Get(t.Context(), b.space.Lease("lobby")).Val(); value != w.lease.Value() {
			t.Errorf("lease %q, want %q", value, w.lease.Value())
		}
		w.lease.Interrupt(nil)
		if err := <-ended; err != nil {
			t.Errorf("Execute() = %v", err)
		}
		if err := w.lease.Drop(t.Context()); err != nil {
			t.Error(err)
		}
		if n := w.store.client.Exists(t.Context(), b.space.Lease("lobby")).Val(); n != 0 {
			t.Error("the lease is still there after Drop")
		}
		if w.lease.Held() {
			t.Error("Held() after Drop")
		}
		if err := w.lease.Confirm(t.Context()); !errors.Is(err, lifecycle.ErrLeaseDropped) {
			t.Errorf("Confirm after Drop: %v", err)
		}
	})
}

func TestLeaseRenewNow(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended := executed(w.lease.Execute)
		time.Sleep(time.Second)
		before := len(b.commands())
		w.lease.Renew()
		w.lease.Renew()
		synctest.Wait()
		if got := len(b.commands()) - before; got == 0 {
			t.Error("Renew sent nothing")
		}
		w.lease.Interrupt(nil)
		wantEnd(t, ended)
	})
}

func TestDeadLeaseIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		dead := newWorker(t, b, nil)
		if err := dead.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		began := time.Now()
		w := newWorker(t, b, nil)
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 7*time.Second || took > 9*time.Second {
			t.Errorf("took %v, want the 8 s that the dead lease had left", took)
		}
		wantLogged(t, w.log, "watching whether it ends", "at-most=8s", "host-1", "pid 4711")
		wantGate(t, w.settle, false) // Counted from the lease on.
	})
}

// TestLiveLeaseRefuses is T20: two workers with one server ID.
func TestLiveLeaseRefuses(t *testing.T) {
	// However far into its renewal period the live worker is, the second one
	// must be certain soon.
	for offset := range 10 {
		bubble(t, func(t *testing.T, b *backend) {
			live := newWorker(t, b, nil)
			live.start()
			time.Sleep(time.Duration(offset) * 370 * time.Millisecond)
			began := time.Now()
			second := newWorker(t, b, nil)
			err := second.lease.Acquire(t.Context())
			if !errors.Is(err, lifecycle.ErrLeaseHeld) {
				t.Fatalf("Acquire: %v, want ErrLeaseHeld", err)
			}
			for _, part := range []string{"lobby", "host-1", "4711", live.lease.Value()[16:48], "nothing was changed"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not name %q: %v", part, err)
				}
			}
			if took := time.Since(began); took > 4300*time.Millisecond {
				t.Errorf("took %v, want a little over a third of the ttl", took)
			}
			if second.lease.Held() {
				t.Error("the refused worker believes to hold the lease")
			}
			if err := second.lease.Drop(t.Context()); err != nil {
				t.Error(err)
			}
			if !live.lease.Held() {
				t.Error("the live worker lost its lease")
			}
			live.kill()
		})
	}
}

func TestLeaseTakenWhileWatched(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		key := b.space.Lease("lobby")
		w := newWorker(t, b, nil)
		w.store.client.Set(t.Context(), key, `{"incarnation":"a","host":"h1"}`, 5*time.Second)
		time.AfterFunc(3*time.Second, func() {
			w.store.client.Set(context.Background(), key, `{"incarnation":"b","host":"h2"}`, 2*time.Second)
		})
		if err := w.lease.Acquire(t.Context()); !errors.Is(err, lifecycle.ErrLeaseHeld) || !strings.Contains(err.Error(), "h2") {
			t.Errorf("Acquire: %v, want ErrLeaseHeld naming h2", err)
		}
	})
}

func TestUnreadableLease(t *testing.T) {
	for name, value := range map[string]string{
		"no json":        "\x00\xff{",
		"other json":     `["x"]`,
		"no incarnation": `{"pid":1}`,
		"long":           strings.Repeat("x", 1<<20),
		"empty":          "",
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *backend) {
				w := newWorker(t, b, nil)
				w.store.client.Set(t.Context(), b.space.Lease("lobby"), value, 4*time.Second)
				began := time.Now()
				if err := w.lease.Acquire(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < 3*time.Second {
					t.Errorf("took the lease after %v, before it ended", took)
				}
				wantLogged(t, w.log, "unreadable lease")
			})
		})
	}
}

func TestEndlessLease(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		w.store.client.Set(t.Context(), b.space.Lease("lobby"), "by hand", 0)
		err := w.lease.Acquire(t.Context())
		if !errors.Is(err, lifecycle.ErrLeaseStuck) || !strings.Contains(err.Error(), b.space.Lease("lobby")) {
			t.Errorf("Acquire: %v, want ErrLeaseStuck naming the key", err)
		}
	})
}

// TestStartBeforeRedis is T33 seen from this side: the worker is up before its
// Redis.
func TestStartBeforeRedis(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		b.dev.Halt()
		w := newWorker(t, b, nil)
		time.AfterFunc(40*time.Second, func() {
			if err := b.dev.Restart(false); err != nil {
				t.Error(err)
			}
		})
		began := time.Now()
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 42*time.Second {
			t.Errorf("took the lease %v after the start, redis was up after 40 s", took)
		}
		wantLogged(t, w.log, "redis does not answer")
		if n := strings.Count(w.log.String(), "redis does not answer"); n > 5 {
			t.Errorf("logged %d times that redis does not answer", n)
		}
		wantGate(t, w.settle, false) // Others have just begun to come back, too.
	})
}

func TestAcquireIsCancelled(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		b.dev.Halt()
		w := newWorker(t, b, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := w.lease.Acquire(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Acquire: %v, want the context's error", err)
		}
	})
}

// TestMissingLease: Redis comes back empty. The gate must be shut before the
// lease is there again, and live sessions be verified.
func TestMissingLease(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		verified := make(chan struct{}, 10)
		w.settle.OnBegin(func(lifecycle.Round) { verified <- struct{}{} })
		w.start()
		time.Sleep(20 * time.Second)
		wantGate(t, w.settle, true)
		for len(verified) > 0 {
			<-verified
		}
		b.dev.Intercept(nil)
		if err := b.dev.Restart(false); err != nil {
			t.Fatal(err)
		}
		for w.store.client.Exists(t.Context(), b.space.Lease("lobby")).Val() == 0 {
			time.Sleep(time.Millisecond)
		}
		wantGate(t, w.settle, false)
		synctest.Wait()
		if len(verified) == 0 {
			t.Error("the live sessions were not verified")
		}
		if !w.lease.Held() {
			t.Error("the lease is not held")
		}
		wantLogged(t, w.log, "cause=lease-missing", "taken again")
		w.kill()
	})
}

// TestForeignLease: this worker was away, its lease ended and another worker of
// the same server ID took it. This one stops and touches nothing.
func TestForeignLease(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		w.start()
		w.attach("boot-1")
		w.join(players(0, 5)...)
		w.store.client.Set(t.Context(), b.space.Lease("lobby"), `{"incarnation":"other","host":"h2","pid":12}`, time.Minute)
		err := <-w.ended
		if !errors.Is(err, lifecycle.ErrLeaseForeign) || !strings.Contains(err.Error(), `"h2"`) {
			t.Errorf("the group ended with %v, want ErrLeaseForeign naming h2", err)
		}
		if w.lease.Held() {
			t.Error("Held() although the lease is foreign")
		}
		w.store.wantHolder(t, "lobby", players(0, 5)...)
		w.store.wantListed(t, players(0, 5)...)
		if n := w.store.client.Exists(t.Context(), b.space.Lease("lobby")).Val(); n != 1 {
			t.Error("the other worker's lease is gone")
		}
		wantLogged(t, w.log, "cause=lease-foreign")
	})
}

func TestRenewalFails(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		var fixed atomic.Bool
		var attempts atomic.Int64
		w.store.renewals = func() error {
			attempts.Add(1)
			if !fixed.Load() {
				return errInjected
			}
			return nil
		}
		ended := executed(w.lease.Execute)
		time.Sleep(8900 * time.Millisecond)
		if !w.lease.Held() {
			t.Error("the lease was given up before its time")
		}
		time.Sleep(600 * time.Millisecond)
		if w.lease.Held() {
			t.Error("the lease is held beyond its time")
		}
		// Quick retries, and no quicker for the settle periods that begin.
		if n := attempts.Load(); n < 8 || n > 14 {
			t.Errorf("%d attempts in the 6.2 s since the first renewal was due", n)
		}
		fixed.Store(true)
		time.Sleep(time.Second)
		if !w.lease.Held() {
			t.Error("the lease was not renewed after the fault")
		}
		wantLogged(t, w.log, "could not be renewed", "has run out", "renewed again", "injected fault")
		w.lease.Interrupt(nil)
		wantEnd(t, ended)
	})
}

// TestReadOnlyRedis: the lease is missing and cannot be written. The settle
// periods that begin ask for renewals; that must not become a storm.
func TestReadOnlyRedis(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		broken := &readOnly{store: w.store}
		lease, err := lifecycle.NewLease(broken, w.settle, lifecycle.LeaseConfig{
			Owner: lifecycle.Owner{Incarnation: "i"}, Logger: discard(), Metrics: lifecycle.NewMetrics(nil),
		})
		if err != nil {
			t.Fatal(err)
		}
		ended, settled := executed(lease.Execute), executed(w.settle.Execute)
		time.Sleep(10 * time.Second)
		if broken.calls.Load() > 25 {
			t.Errorf("%d attempts in 10 s", broken.calls.Load())
		}
		lease.Interrupt(nil)
		w.settle.Interrupt(nil)
		wantEnd(t, ended)
		wantEnd(t, settled)
	})
}

func TestOwner(t *testing.T) {
	owner := lifecycle.Owner{
		Incarnation: "abc", Server: "lobby", Host: "h1", PID: 12, Mode: "lockstep", Version: "1.2.3",
		StartedAt: time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)),
	}
	text, err := owner.Text()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"incarnation":"abc","server_id":"lobby","host":"h1","pid":12,"mode":"lockstep","version":"1.2.3","started_at":"2026-01-02T02:04:05.000000006Z"}`
	if text != want {
		t.Errorf("Text() = %s, want %s", text, want)
	}
	back, err := lifecycle.ParseOwner(text)
	if err != nil || !back.StartedAt.Equal(owner.StartedAt) || back.PID != owner.PID {
		t.Errorf("ParseOwner = %+v, %v", back, err)
	}
	if _, err := lifecycle.ParseOwner("{}"); !errors.Is(err, lifecycle.ErrBadOwner) {
		t.Errorf("ParseOwner({}): %v, want ErrBadOwner", err)
	}
	if _, err := lifecycle.NewLease(nil, nil, lifecycle.LeaseConfig{}); !errors.Is(err, lifecycle.ErrBadOwner) {
		t.Errorf("NewLease without incarnation: %v, want ErrBadOwner", err)
	}
	if a, b := lifecycle.NewIncarnation(), lifecycle.NewIncarnation(); a == b || len(a) != 32 {
		t.Errorf("incarnations %q and %q", a, b)
	}
}
