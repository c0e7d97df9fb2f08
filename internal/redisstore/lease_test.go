package redisstore_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

func testLease(t *testing.T, r *rig) {
	ctx := context.Background()
	a := r.store("a")
	key := r.space.Lease("a")
	const ttl = time.Minute
	acquire := func(value string) (bool, string, time.Duration) {
		t.Helper()
		won, current, left, err := a.AcquireLease(ctx, value, ttl)
		if err != nil {
			t.Fatal(err)
		}
		return won, current, left
	}
	renew := func(value string, want redisstore.LeaseState) {
		t.Helper()
		if got, err := a.RenewLease(ctx, value, ttl); err != nil || got != want {
			t.Errorf("renew %s: got %+v, %v; want %+v", value, got, err, want)
		}
	}
	renew("one", redisstore.LeaseState{Outcome: redisstore.LeaseMissing})
	if got := r.admin.Exists(ctx, key).Val(); got != 0 {
		t.Error("a renewal made a lease")
	}
	for range 2 { // The second repeats a call whose answer was lost.
		if won, current, left := acquire("one"); !won || current != "one" || left != ttl {
			t.Errorf("got %v, %q, %v; want to win", won, current, left)
		}
	}
	if won, current, left := acquire("two"); won || current != "one" || left <= 0 || left > ttl {
		t.Errorf("got %v, %q, %v; want what the first left", won, current, left)
	}
	if err := r.admin.PExpire(ctx, key, time.Second).Err(); err != nil {
		t.Fatal(err)
	}
	renew("two", redisstore.LeaseState{Outcome: redisstore.LeaseForeign, Current: "one"})
	if left := r.admin.PTTL(ctx, key).Val(); left > time.Second {
		t.Errorf("a stranger's renewal left %v", left)
	}
	renew("one", redisstore.LeaseState{Outcome: redisstore.LeaseRenewed})
	if left := r.admin.PTTL(ctx, key).Val(); left <= time.Second || left > ttl {
		t.Errorf("a renewal left %v, want %v", left, ttl)
	}
	for _, drop := range []struct {
		value string
		left  int64
	}{{"two", 1}, {"one", 0}, {"one", 0}} {
		if err := a.DropLease(ctx, drop.value); err != nil {
			t.Fatal(err)
		}
		if got := r.admin.Exists(ctx, key).Val(); got != drop.left {
			t.Errorf("drop %s left %d leases, want %d", drop.value, got, drop.left)
		}
	}
	// One that never ends was set by hand.
	if err := r.admin.Set(ctx, key, "three", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if won, current, left := acquire("one"); won || current != "three" || left >= 0 {
		t.Errorf("got %v, %q, %v; want a lease without end", won, current, left)
	}
	b := r.store("b")
	if value, left, err := b.ReadLease(ctx, "a"); err != nil || value != "three" || left >= 0 {
		t.Errorf("read: got %q, %v, %v; want a lease without end", value, left, err)
	}
	if err := r.admin.PExpire(ctx, key, time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if value, left, err := b.ReadLease(ctx, "a"); err != nil || value != "three" || left <= 0 || left > time.Minute {
		t.Errorf("read: got %q, %v, %v; want a minute", value, left, err)
	}
	if value, left, err := b.ReadLease(ctx, "b"); err != nil || value != "" || left != 0 {
		t.Errorf("read: got %q, %v, %v; want none", value, left, err)
	}
	if _, _, _, err := a.AcquireLease(ctx, "one", time.Microsecond); err == nil {
		t.Error("a lease of a microsecond was accepted")
	}
}

// One value takes the place of another, and nothing else.
func testSwapLease(t *testing.T, r *rig) {
	ctx := context.Background()
	a := r.store("a")
	key := r.space.Lease("a")
	const ttl = time.Minute
	swap := func(from, to string, want redisstore.LeaseState) {
		t.Helper()
		if got, err := a.SwapLease(ctx, from, to, ttl); err != nil || got != want {
			t.Errorf("swap %s for %s: got %+v, %v; want %+v", from, to, got, err, want)
		}
	}
	holds := func(value string) {
		t.Helper()
		got, left, err := a.ReadLease(ctx, "a")
		if err != nil || got != value || value != "" && (left <= 0 || left > ttl) {
			t.Errorf("got %q for %v, %v; want %q", got, left, err, value)
		}
	}
	swap("one", "two", redisstore.LeaseState{Outcome: redisstore.LeaseMissing})
	holds("")
	for _, before := range []time.Duration{0, time.Second} { // Without end, and with.
		if err := r.admin.Set(ctx, key, "one", before).Err(); err != nil {
			t.Fatal(err)
		}
		swap("two", "three", redisstore.LeaseState{Outcome: redisstore.LeaseForeign, Current: "one"})
		for range 2 { // The second repeats a call whose answer was lost.
			swap("one", "two", redisstore.LeaseState{Outcome: redisstore.LeaseRenewed})
			holds("two")
		}
		swap("one", "three", redisstore.LeaseState{Outcome: redisstore.LeaseForeign, Current: "two"})
		swap("two", "two", redisstore.LeaseState{Outcome: redisstore.LeaseRenewed})
		holds("two")
	}
	if left := r.admin.PTTL(ctx, key).Val(); left <= time.Second {
		t.Errorf("a swap left %v, want %v", left, ttl)
	}
	if _, err := a.SwapLease(ctx, "two", "three", time.Microsecond); err == nil {
		t.Error("a lease of a microsecond was accepted")
	}
	testOneAdopts(t, r, a)
}

// Two starts of one server see the same restarting lease: one adopts it.
func testOneAdopts(t *testing.T, r *rig, a *redisstore.Store) {
	t.Helper()
	ctx := context.Background()
	for range 200 {
		if err := r.admin.Set(ctx, r.space.Lease("a"), "restarting", time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
		values := []string{"first", "second"}
		var states [2]redisstore.LeaseState
		var wg sync.WaitGroup
		for i, value := range values {
			wg.Go(func() {
				got, err := a.SwapLease(ctx, "restarting", value, time.Minute)
				if err != nil {
					t.Error(err)
				}
				states[i] = got
			})
		}
		wg.Wait()
		won := 0
		if states[0].Outcome != redisstore.LeaseRenewed {
			won = 1
		}
		want := redisstore.LeaseState{Outcome: redisstore.LeaseForeign, Current: values[won]}
		if states[won].Outcome != redisstore.LeaseRenewed || states[1-won] != want {
			t.Fatalf("got %+v, want one winner", states)
		}
	}
}

func testCheckLease(t *testing.T, r *rig) {
	ctx := context.Background()
	a := r.store("a")
	for _, test := range []struct {
		value string
		want  bool
	}{
		{"", false},
		{`{"incarnation":"start-of-a","host":"h","pid":7}`, true},
		{`{"incarnation":"start-of-b"}`, false},
		{`{"host":"h"}`, false},
		{`start-of-a`, false},
	} {
		if test.value != "" {
			if err := r.admin.Set(ctx, r.space.Lease("a"), test.value, 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := a.CheckLease(ctx); err != nil || got != test.want {
			t.Errorf("lease %q: got %v, %v; want %v", test.value, got, err, test.want)
		}
	}
	if err := r.admin.Del(ctx, r.space.Lease("a")).Err(); err != nil {
		t.Fatal(err)
	}
	if err := r.admin.HSet(ctx, r.space.Lease("a"), "f", "v").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.CheckLease(ctx); err == nil || !strings.Contains(err.Error(), "check lease: WRONGTYPE") {
		t.Errorf("lease of a wrong type: got %v, want an error", err)
	}
}

// Every script works right after Redis forgot all scripts, also inside the
// round trip that it shares with another command.
func testScriptFlush(t *testing.T, r *rig) {
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	flush := func() {
		t.Helper()
		if err := r.admin.ScriptFlush(ctx).Err(); err != nil {
			t.Fatal(err)
		}
	}
	flush()
	got := a.Claim(ctx, p, handoff.Claim{Enlist: true, AllowUnknown: true})
	if got.Outcome != handoff.ClaimGranted {
		t.Fatalf("claim: got %s", describeClaimed(got))
	}
	if listed := r.admin.SIsMember(ctx, r.space.Checkouts("a"), p.String()).Val(); !listed {
		t.Error("the player is not listed")
	}
	for _, step := range []struct {
		name string
		call func(*redisstore.Store, handoff.PlayerID) string
	}{
		{"update", update(got.Fence, 1)},
		{"resume", resume(got.Fence)},
		{"check in", checkIn(got.Fence, 2)},
		{"release", release(got.Fence)},
		{"sweep", sweep},
		{"free", free(handoff.Holder{Server: "b", Fence: got.Fence})},
	} {
		flush()
		if got := step.call(a, p); got != "done" {
			t.Errorf("%s: got %q, want done", step.name, got)
		}
	}
	r.put(p, state{checkout: "b", fence: "7", update: "7/1"}.of(p))
	flush()
	if got := takeOver(handoff.Claim{Enlist: true}, handoff.Holder{Server: "b", Fence: 7})(a, p); !strings.HasPrefix(got, "taken ") {
		t.Errorf("take over: got %s", got)
	}
	flush()
	if packed, left, err := a.Unstored(ctx, p); err != nil || packed == nil || left >= 0 {
		t.Errorf("unstored: got %d bytes, %v, %v", len(packed), left, err)
	}
	flush()
	if got, err := a.SwapLease(ctx, "x", "y", time.Minute); err != nil || got.Outcome != redisstore.LeaseMissing {
		t.Errorf("swap lease: got %+v, %v", got, err)
	}
	flush()
	if got := a.Claim(ctx, p, handoff.Claim{}); got.Outcome != handoff.ClaimGranted || got.Update == nil {
		t.Errorf("claim: got %s, want a grant with data", describeClaimed(got))
	}
}

// After a restart without data, a live session resumes and goes on, and its
// fence stays above whatever the clock says.
func testRestartEmpty(t *testing.T, r *rig) {
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	fence := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true, Floor: late}).Fence
	r.srv.restart(false)
	for _, step := range []struct {
		name, want string
		call       func(*redisstore.Store, handoff.PlayerID) string
	}{
		{"save", "forgotten", update(fence, 1)},
		{"resume", "done", resume(fence)},
		{"save again", "done", update(fence, 1)},
		{"check in", "done", checkIn(fence, 2)},
	} {
		if got := step.call(a, p); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
	if got := r.store("b").Claim(ctx, p, handoff.Claim{}); got.Fence != fence+1 {
		t.Errorf("got %s, want fence %d", describeClaimed(got), fence+1)
	}
}
