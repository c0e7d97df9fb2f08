//go:build real

package redisstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redistest"
)

// T32: the owner of a lease is gone, and 40,000 other keys have a time to live,
// so that Redis announces the end of the lease late: here not at all, for it
// looks for expired keys on access only. Whoever reads the lease after its time
// finds it absent, and whoever reads before finds how long to wait.
func TestLeaseEndsOnTimeAmongManyExpiries(t *testing.T) {
	for _, cycle := range []string{"1", "0"} {
		t.Run("active expiry "+cycle, func(t *testing.T) {
			srv := redistest.Start(t, "--enable-debug-command", "yes")
			if err := srv.Client().Do(context.Background(), "DEBUG", "SET-ACTIVE-EXPIRE", cycle).Err(); err != nil {
				t.Fatal(err)
			}
			r := newRig(t, realServer{Server: srv})
			r.fillWithExpiries(40_000)
			for round := range 3 {
				r.watchLeaseEnd(t, handoff.ServerID(fmt.Sprint("dead-", round)))
			}
		})
	}
}

// fillWithExpiries writes keys that live for minutes.
func (r *rig) fillWithExpiries(count int) {
	r.t.Helper()
	ctx := context.Background()
	const batch = 1000
	for first := 0; first < count; first += batch {
		_, err := r.admin.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for i := range batch {
				pipe.Set(ctx, fmt.Sprint("other:", first+i), "v", 10*time.Minute+time.Duration(i)*time.Millisecond)
			}
			return nil
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// watchLeaseEnd does what a waiting worker does: it reads the lease, waits for
// the time that is left, and reads again. Redis's own clock judges.
func (r *rig) watchLeaseEnd(t *testing.T, dead handoff.ServerID) {
	t.Helper()
	ctx := context.Background()
	const lease, ttl = `{"incarnation":"x"}`, 300 * time.Millisecond
	if won, _, _, err := r.store(dead).AcquireLease(ctx, lease, ttl); err != nil || !won {
		t.Fatalf("acquire: %v, %v", won, err)
	}
	a := r.store("a")
	value, left, err := a.ReadLease(ctx, dead)
	if err != nil || value != lease || left <= 0 || left > ttl {
		t.Fatalf("got %q, %v, %v; want the lease for %v at most", value, left, err, ttl)
	}
	end, err := r.admin.PExpireTime(ctx, r.space.Lease(dead)).Result()
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Duration {
		now, err := r.admin.Time(ctx).Result()
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(now.UnixMilli()) * time.Millisecond
	}
	<-time.After(left)
	reads := 0
	for {
		before := clock()
		value, _, err := a.ReadLease(ctx, dead)
		after := clock()
		reads++
		if err != nil {
			t.Fatal(err)
		}
		if value == lease && before > end {
			t.Fatalf("the lease is there %v after its end", before-end)
		}
		if value == "" && after <= end {
			t.Fatalf("the lease is gone %v before its end", end-after)
		}
		if value == "" {
			t.Logf("absent between %v and %v after its end, at read %d", before-end, after-end, reads)
			break
		}
	}
	if present, err := a.CheckLease(ctx); present || err != nil {
		t.Errorf("own lease: got %v, %v; want none", present, err)
	}
	if won, _, _, err := r.store(dead).AcquireLease(ctx, "successor", time.Minute); err != nil || !won {
		t.Errorf("the successor: got %v, %v; want the lease", won, err)
	}
}
