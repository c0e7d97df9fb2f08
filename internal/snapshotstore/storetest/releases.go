package storetest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
)

// release makes one that says how many came before it.
func release(of byte, fence handoff.Fence) snapshotstore.Release {
	return snapshotstore.Release{
		At: epoch.Add(time.Duration(fence) * time.Millisecond), Player: player(of), Holder: "survival-1",
		Fence: fence, Reason: "it's \"stuck\": \u00e4\n%s", Forced: fence%2 == 0, By: "root@host",
	}
}

func record(t *testing.T, store Store, releases ...snapshotstore.Release) {
	t.Helper()
	for _, one := range releases {
		if err := store.RecordRelease(t.Context(), one); err != nil {
			t.Fatalf("RecordRelease(%s) = %v", one.Fence, err)
		}
	}
}

func wantReleases(t *testing.T, store Store, of handoff.PlayerID, limit int, want ...snapshotstore.Release) {
	t.Helper()
	got, err := store.Releases(t.Context(), of, limit)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("Releases(%s, %d) = %v, %v, want %v", of, limit, got, err, want)
	}
}

// testReleases: what operators did is kept, the last first, of one player or all.
func testReleases(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	everybody := handoff.PlayerID{}
	wantReleases(t, store, everybody, 10)
	wantReleases(t, store, player(1), 10)
	// The order is that of arrival: clocks differ (T29).
	first, second, third := release(1, 9), release(2, 0), release(1, 4)
	record(t, store, first, second, third)
	wantReleases(t, store, everybody, 10, third, second, first)
	wantReleases(t, store, everybody, 2, third, second)
	wantReleases(t, store, player(1), 10, third, first)
	wantReleases(t, store, player(1), 1, third)
	wantReleases(t, store, player(3), 10)
	bare := snapshotstore.Release{At: epoch, Player: player(4)}
	record(t, store, bare)
	again := b.open(t, snapshotstore.Config{})
	wantReleases(t, again, player(4), 10, bare)
	wantReleases(t, again, everybody, snapshotstore.MaxListLimit, bare, third, second, first)
}

func testReleasesInvalid(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	for name, change := range map[string]func(*snapshotstore.Release){
		"no player":      func(r *snapshotstore.Release) { r.Player = handoff.PlayerID{} },
		"no time":        func(r *snapshotstore.Release) { r.At = time.Time{} },
		"negative fence": func(r *snapshotstore.Release) { r.Fence = -1 },
		"long holder": func(r *snapshotstore.Release) {
			r.Holder = handoff.ServerID(strings.Repeat("h", handoff.MaxServerID+1))
		},
		"long reason": func(r *snapshotstore.Release) { r.Reason = strings.Repeat("r", snapshotstore.MaxReason+1) },
		"long by":     func(r *snapshotstore.Release) { r.By = strings.Repeat("b", snapshotstore.MaxBy+1) },
	} {
		bad := release(1, 1)
		change(&bad)
		if err := store.RecordRelease(t.Context(), bad); !errors.Is(err, snapshotstore.ErrInvalid) {
			t.Errorf("RecordRelease(%s) = %v, want ErrInvalid", name, err)
		}
	}
	for _, limit := range []int{-1, 0, snapshotstore.MaxListLimit + 1} {
		if _, err := store.Releases(t.Context(), player(1), limit); !errors.Is(err, snapshotstore.ErrInvalid) {
			t.Errorf("Releases(limit %d) = %v, want ErrInvalid", limit, err)
		}
	}
	wantReleases(t, store, handoff.PlayerID{}, 10)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := store.RecordRelease(cancelled, release(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("RecordRelease(cancelled) = %v, want context.Canceled", err)
	}
	if releases, err := store.Releases(cancelled, player(1), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("Releases(cancelled) = %v, %v, want context.Canceled", releases, err)
	}
}

// testReleasesTogether: several workers record at once, and no release is lost.
func testReleasesTogether(t *testing.T, b *bench) {
	const workers, each = 3, 20
	var group sync.WaitGroup
	for w := range workers {
		store := b.open(t, snapshotstore.Config{})
		group.Go(func() {
			for n := range each {
				if err := store.RecordRelease(t.Context(), release(byte(w), handoff.Fence(n))); err != nil {
					t.Errorf("RecordRelease() = %v", err)
				}
			}
		})
	}
	group.Wait()
	store := b.open(t, snapshotstore.Config{})
	for w := range workers {
		var want []snapshotstore.Release
		for n := range each {
			want = append(want, release(byte(w), handoff.Fence(each-1-n)))
		}
		wantReleases(t, store, player(byte(w)), 100, want...)
	}
}
