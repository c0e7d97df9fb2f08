package snapshotstore_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
)

var errAway = errors.New("the database is away")

// slowArchive takes its time for each call, and counts them.
type slowArchive struct {
	mu            sync.Mutex
	reads, writes int
	takes         time.Duration
	err           error
}

func (a *slowArchive) set(takes time.Duration, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.takes, a.err = takes, err
}

func (a *slowArchive) wait(ctx context.Context, count *int) error {
	a.mu.Lock()
	*count++
	takes, err := a.takes, a.err
	a.mu.Unlock()
	select {
	case <-time.After(takes):
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a *slowArchive) Newest(ctx context.Context, player handoff.PlayerID) (*handoff.Snapshot, error) {
	if err := a.wait(ctx, &a.reads); err != nil {
		return nil, err
	}
	return newSnapshot(1, 1, 1, handoff.Version{Fence: 1, Sequence: 1}), nil
}

func (a *slowArchive) Insert(ctx context.Context, _ *handoff.Snapshot, _ []byte, _ handoff.StoredAs) (bool, error) {
	if err := a.wait(ctx, &a.writes); err != nil {
		return false, err
	}
	return true, nil
}

// broken is a breaker on an archive, inside a bubble.
type broken struct {
	*snapshotstore.Breaker
	t        *testing.T
	archive  *slowArchive
	log      bytes.Buffer
	registry *prometheus.Registry
}

func withBreaker(t *testing.T, test func(*testing.T, *broken)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &broken{t: t, archive: &slowArchive{}, registry: prometheus.NewRegistry()}
		b.Breaker = snapshotstore.NewBreaker(b.archive, snapshotstore.BreakerConfig{
			Logger: hclog.New(&hclog.LoggerOptions{Output: &b.log}), Registerer: b.registry,
		})
		test(t, b)
	})
}

// read calls Newest and returns how long it took.
func (b *broken) read(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	snapshot, err := b.Newest(ctx, playerID(1))
	if (snapshot == nil) != (err != nil) {
		b.t.Errorf("Newest() = %v, %v", snapshot, err)
	}
	return time.Since(began), err
}

func (b *broken) wantOpen(reads, writes bool) {
	b.t.Helper()
	if gotReads, gotWrites := b.Open(); gotReads != reads || gotWrites != writes {
		b.t.Errorf("Open() = %t, %t, want %t, %t", gotReads, gotWrites, reads, writes)
	}
}

// metric returns the value of a metric for one operation.
func (b *broken) metric(name, operation string) float64 {
	b.t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name && metric.GetLabel()[0].GetValue() == operation {
				return metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			}
		}
	}
	return 0
}

// TestBreakerOpens: after some failures, calls are answered at once, one a second
// looks again, and the first success lets all through.
func TestBreakerOpens(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *broken) {
		b.archive.set(100*time.Millisecond, errAway)
		for range snapshotstore.DefaultFailures {
			b.wantOpen(false, false)
			if _, err := b.read(t.Context()); !errors.Is(err, errAway) {
				t.Fatalf("Newest() = %v, want %v", err, errAway)
			}
		}
		b.wantOpen(true, false)
		for range 1000 {
			took, err := b.read(t.Context())
			if took != 0 || !errors.Is(err, snapshotstore.ErrBreakerOpen) || errors.Is(err, handoff.ErrNoSnapshot) {
				t.Fatalf("Newest() = %v after %s, want ErrBreakerOpen at once", err, took)
			}
		}
		b.archive.reads = 0
		for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
			_, _ = b.read(t.Context())
		}
		if b.archive.reads < 15 || b.archive.reads > 20 {
			t.Errorf("%d reads in 20 s, want one a second", b.archive.reads)
		}
		if got := b.metric("syncworker_snapshotstore_breaker_open", "read"); got != 1 {
			t.Errorf("metric open = %v, want 1", got)
		}
		b.archive.set(0, nil)
		time.Sleep(1100 * time.Millisecond)
		for range 2 {
			if _, err := b.read(t.Context()); err != nil {
				t.Fatalf("Newest() = %v, want nil", err)
			}
		}
		b.wantOpen(false, false)
		if got := b.metric("syncworker_snapshotstore_breaker_open", "read"); got != 0 {
			t.Errorf("metric open = %v, want 0", got)
		}
		if got := b.metric("syncworker_snapshotstore_breaker_refused_total", "read"); got < 1000 {
			t.Errorf("metric refused = %v, want at least 1000", got)
		}
		for _, text := range []string{"going on without it: operation=read", "answers again: operation=read"} {
			if got := strings.Count(b.log.String(), text); got != 1 {
				t.Errorf("%q logged %d times, want once:\n%s", text, got, &b.log)
			}
		}
	})
}

// TestBreakerSlow: an answer out of time is a failure from the moment it is late,
// and is delivered all the same.
func TestBreakerSlow(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *broken) {
		b.archive.set(10*time.Second, nil)
		var group sync.WaitGroup
		for range snapshotstore.DefaultFailures {
			group.Go(func() {
				if took, err := b.read(t.Context()); err != nil || took != 10*time.Second {
					t.Errorf("Newest() = %v after %s, want nil after 10s", err, took)
				}
			})
		}
		time.Sleep(snapshotstore.DefaultReadTimeout + time.Millisecond)
		b.wantOpen(true, false)
		if took, err := b.read(t.Context()); took != 0 || !errors.Is(err, snapshotstore.ErrBreakerOpen) {
			t.Errorf("Newest() = %v after %s, want ErrBreakerOpen at once", err, took)
		}
		group.Wait()
		// Late successes do not count: they were failures already.
		b.archive.set(snapshotstore.DefaultReadTimeout, nil)
		b.wantOpen(true, false)
		b.archive.set(0, nil)
		if _, err := b.read(t.Context()); err != nil {
			t.Errorf("Newest() = %v, want nil", err)
		}
		b.wantOpen(false, false)
	})
}

// TestBreakerHangs: a look that never ends does not keep the next from happening.
func TestBreakerHangs(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *broken) {
		b.archive.set(time.Hour, nil)
		var group sync.WaitGroup
		for range snapshotstore.DefaultFailures + 5 {
			group.Go(func() { _, _ = b.read(t.Context()) })
			time.Sleep(1500 * time.Millisecond)
		}
		b.archive.set(0, nil)
		if _, err := b.read(t.Context()); err != nil {
			t.Errorf("Newest() = %v, want nil", err)
		}
		group.Wait()
	})
}

// TestBreakerWrites: writes have a breaker of their own.
func TestBreakerWrites(t *testing.T) {
	withBreaker(t, func(t *testing.T, b *broken) {
		insert := func() (bool, error) {
			return b.Insert(t.Context(), newSnapshot(1, 1, 1, handoff.Version{Fence: 1, Sequence: 1}), []byte{1}, handoff.AsCurrent)
		}
		b.archive.set(2*snapshotstore.DefaultWriteTimeout, nil)
		for range snapshotstore.DefaultFailures {
			if conflict, err := insert(); !conflict || err != nil {
				t.Fatalf("Insert() = %t, %v, want true, nil", conflict, err)
			}
		}
		b.wantOpen(false, true)
		if _, err := insert(); !errors.Is(err, snapshotstore.ErrBreakerOpen) || b.archive.writes != snapshotstore.DefaultFailures {
			t.Errorf("Insert() = %v after %d writes, want ErrBreakerOpen", err, b.archive.writes)
		}
		b.archive.set(0, nil)
		if _, err := b.read(t.Context()); err != nil {
			t.Errorf("Newest() = %v, want nil", err)
		}
		time.Sleep(1100 * time.Millisecond)
		if _, err := insert(); err != nil {
			t.Errorf("Insert() = %v, want nil", err)
		}
		b.wantOpen(false, false)
	})
}

// TestBreakerIgnores: answers about the snapshot are no failures, and who stops
// waiting says nothing.
func TestBreakerIgnores(t *testing.T) {
	for _, err := range []error{handoff.ErrNoSnapshot, handoff.ErrDamaged, handoff.ErrTooLarge, snapshotstore.ErrIDReused, context.Canceled} {
		withBreaker(t, func(t *testing.T, b *broken) {
			b.archive.set(0, err)
			for range 10 * snapshotstore.DefaultFailures {
				if _, got := b.read(t.Context()); !errors.Is(got, err) {
					t.Fatalf("Newest() = %v, want %v", got, err)
				}
			}
			b.wantOpen(false, false)
		})
	}
	withBreaker(t, func(t *testing.T, b *broken) {
		b.archive.set(0, errAway)
		for range snapshotstore.DefaultFailures {
			_, _ = b.read(t.Context())
		}
		time.Sleep(1100 * time.Millisecond)
		// A look that is cancelled leaves the place to the next.
		b.archive.set(time.Hour, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		stopped, stop := context.WithCancel(ctx)
		stop()
		if _, err := b.read(stopped); !errors.Is(err, context.Canceled) {
			t.Fatalf("Newest(cancelled) = %v", err)
		}
		b.archive.set(0, nil)
		if _, err := b.read(t.Context()); err != nil {
			t.Errorf("Newest() = %v, want nil", err)
		}
		b.wantOpen(false, false)
	})
}
