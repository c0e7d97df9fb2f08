package storetest

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
)

func testAbsent(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	b.insert(t, store, b.snapshot(1, 1, 1), handoff.AsCurrent, false)

	wantNewest(t, store, 2, nil)
	if _, _, err := store.ByID(t.Context(), handoff.SnapshotID{1}); !errors.Is(err, handoff.ErrNoSnapshot) {
		t.Errorf("ByID(unknown) = %v, want handoff.ErrNoSnapshot", err)
	}
	if entries := list(t, store, 2); len(entries) != 0 {
		t.Errorf("List(unknown) has %d entries, want 0", len(entries))
	}
	if err := store.Ping(t.Context()); err != nil {
		t.Errorf("Ping() = %v", err)
	}
}

func testRoundTrip(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	for name, s := range map[string]*handoff.Snapshot{
		"usual":     b.snapshot(1, 1700000000000000, 7),
		"unnamed":   b.snapshot(2, 1, 1, func(s *handoff.Snapshot) { s.PlayerName = "" }),
		"no data":   b.snapshot(3, 1, 1, func(s *handoff.Snapshot) { s.Data = nil }), // T31
		"pinned":    b.snapshot(4, 1, 1, pinned),
		"1 MiB":     b.snapshot(5, 1, 1, func(s *handoff.Snapshot) { s.Data = map[string][]byte{"k": bytes.Repeat([]byte("x"), 1<<20)} }),
		"last ever": b.snapshot(6, 1<<53-1, 1<<53-1),
	} {
		b.insert(t, store, s, handoff.AsCurrent, false)
		newest, err := store.Newest(t.Context(), s.Player)
		if err != nil {
			t.Fatalf("%s: Newest() = %v", name, err)
		}
		wantSame(t, newest, s)
		byID, role, err := store.ByID(t.Context(), s.ID)
		if err != nil || role != handoff.AsCurrent {
			t.Fatalf("%s: ByID() = %s, %v, want current, nil", name, role, err)
		}
		wantSame(t, byID, s)
	}
}

func wantSame(t *testing.T, got, want *handoff.Snapshot) {
	t.Helper()
	if got.ID != want.ID || got.Player != want.Player || got.Version != want.Version || got.Pinned != want.Pinned ||
		got.Server != want.Server || got.SaveCause != want.SaveCause || !maps.EqualFunc(got.Data, want.Data, bytes.Equal) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// testNewestIgnoresClocks is T29: server clocks ten minutes apart in both
// directions, versions and arrivals in every order.
func testNewestIgnoresClocks(t *testing.T, b *bench) {
	const skew = 10 * time.Minute
	versions := []handoff.Version{v(5, 9), v(6, 1), v(6, 2)}
	for i, order := range [][]int{{0, 1, 2}, {0, 2, 1}} {
		for j, clocks := range [][]time.Duration{{0, -skew, -2 * skew}, {0, skew, 2 * skew}, {skew, -skew, 0}, {-skew, 0, skew}} {
			store := b.open(t, snapshotstore.Config{})
			of := byte(10*i + j)
			made := make([]*handoff.Snapshot, len(versions))
			for _, n := range order {
				made[n] = b.snapshot(of, versions[n].Fence, versions[n].Sequence, createdAt(epoch.Add(clocks[n])),
					func(s *handoff.Snapshot) { s.CapturedAt = epoch.Add(clocks[n]) })
				b.insert(t, store, made[n], handoff.AsCurrent, false)
			}
			wantNewest(t, store, of, made[2])
			wantVersions(t, store, of, versions[2], versions[1], versions[0])
		}
	}
}

func testEqualVersions(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	first := b.snapshot(1, 3, 4, createdAt(epoch.Add(time.Hour)))
	second := b.snapshot(1, 3, 4)
	b.insert(t, store, first, handoff.AsCurrent, false)
	b.insert(t, store, second, handoff.AsCurrent, false)
	wantNewest(t, store, 1, second)
	wantVersions(t, store, 1, v(3, 4), v(3, 4))

	// Repeating the first does not bring it back to the front.
	b.insert(t, store, first, handoff.AsCurrent, false)
	wantNewest(t, store, 1, second)
}

// testHistoryIsNeverNewest is T25: a backup with the highest version is not the
// state.
func testHistoryIsNeverNewest(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	b.insert(t, store, b.snapshot(1, 9, 9), handoff.AsHistory, false)
	b.insert(t, store, b.snapshot(1, 9, 8), handoff.AsConflict, false)
	wantNewest(t, store, 1, nil)

	state := b.snapshot(1, 3, 1)
	b.insert(t, store, state, handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 3, 2), handoff.AsHistory, false)
	wantNewest(t, store, 1, state)
}

// testDamaged is T23: stored bytes that cannot be decoded, or belong elsewhere,
// are reported as such, stay where they are, and nothing older takes their
// place.
func testDamaged(t *testing.T, b *bench) {
	damages := map[string]func(*handoff.Snapshot, []byte) []byte{
		"garbage":   func(*handoff.Snapshot, []byte) []byte { return []byte("garbage") },
		"truncated": func(_ *handoff.Snapshot, packed []byte) []byte { return packed[:len(packed)-1] },
		"flipped bit": func(_ *handoff.Snapshot, packed []byte) []byte {
			packed = bytes.Clone(packed)
			packed[len(packed)-1] ^= 1
			return packed
		},
		"other player": func(s *handoff.Snapshot, _ []byte) []byte {
			other := *s
			other.Player = player(99)
			return b.pack(t, &other)
		},
		"other version": func(s *handoff.Snapshot, _ []byte) []byte {
			other := *s
			other.Version.Sequence++
			return b.pack(t, &other)
		},
		"other id": func(s *handoff.Snapshot, _ []byte) []byte {
			other := *s
			other.ID = handoff.SnapshotID{9}
			return b.pack(t, &other)
		},
	}
	of := byte(0)
	for name, damage := range damages {
		of++
		t.Run(name, func(t *testing.T) {
			store := b.open(t, snapshotstore.Config{})
			b.insert(t, store, b.snapshot(of, 1, 1), handoff.AsCurrent, false)
			s := b.snapshot(of, 2, 1)
			if _, err := store.Insert(t.Context(), s, damage(s, b.pack(t, s)), handoff.AsCurrent); err != nil {
				t.Fatalf("Insert() = %v", err)
			}
			for range 2 {
				if got, err := store.Newest(t.Context(), s.Player); !errors.Is(err, handoff.ErrDamaged) || errors.Is(err, handoff.ErrNoSnapshot) {
					t.Errorf("Newest() = %v, %v, want handoff.ErrDamaged", got, err)
				}
				if got, role, err := store.ByID(t.Context(), s.ID); !errors.Is(err, handoff.ErrDamaged) || role != handoff.AsCurrent {
					t.Errorf("ByID() = %v, %s, %v, want nil, current, handoff.ErrDamaged", got, role, err)
				}
			}
			// T42: what cannot be decoded can be listed.
			wantVersions(t, store, of, v(2, 1), v(1, 1))
		})
	}
}

func testTooLarge(t *testing.T, b *bench) {
	roomy := b.open(t, snapshotstore.Config{})
	tight := b.open(t, snapshotstore.Config{MaxPacked: 64})
	s := b.snapshot(1, 1, 1)
	packed := b.pack(t, s)

	if _, err := tight.Insert(t.Context(), s, packed, handoff.AsCurrent); !errors.Is(err, handoff.ErrTooLarge) {
		t.Errorf("Insert() of %d bytes = %v, want handoff.ErrTooLarge", len(packed), err)
	}
	wantNewest(t, roomy, 1, nil)
	b.insert(t, roomy, s, handoff.AsCurrent, false)
	if got, err := tight.Newest(t.Context(), s.Player); !errors.Is(err, handoff.ErrTooLarge) || errors.Is(err, handoff.ErrNoSnapshot) {
		t.Errorf("Newest() = %v, %v, want handoff.ErrTooLarge", got, err)
	}
	wantVersions(t, tight, 1, v(1, 1))
}

// testFailedReadIsNotAbsent is T41 (law L3): whatever keeps the store from
// reading, it never says that there is nothing, neither of a player who has data
// nor of one who has none.
func testFailedReadIsNotAbsent(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	s := b.snapshot(1, 1, 1)
	b.insert(t, store, s, handoff.AsCurrent, false)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	expired, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	wantFailures(t, b, cancelled, store, context.Canceled)
	wantFailures(t, b, expired, store, context.DeadlineExceeded)
	wantNewest(t, store, 1, s)

	if err := store.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	wantFailures(t, b, t.Context(), store, nil)
}

// wantFailures runs every call and wants an error that wraps the cause, if there
// is one, and never handoff.ErrNoSnapshot.
func wantFailures(t *testing.T, b *bench, ctx context.Context, store Store, cause error) {
	t.Helper()
	s := b.snapshot(1, 5, 5)
	packed := b.pack(t, s)
	for _, of := range []byte{1, 2} {
		for name, call := range map[string]func() error{
			"Newest": func() error { _, err := store.Newest(ctx, player(of)); return err },
			"ByID":   func() error { _, _, err := store.ByID(ctx, handoff.SnapshotID{of}); return err },
			"Insert": func() error { _, err := store.Insert(ctx, s, packed, handoff.AsCurrent); return err },
			"Ping":   func() error { return store.Ping(ctx) },
			"List": func() error {
				_, _, err := store.List(ctx, player(of), snapshotstore.Cursor{}, 5)
				return err
			},
		} {
			err := call()
			if err == nil || errors.Is(err, handoff.ErrNoSnapshot) || cause != nil && !errors.Is(err, cause) {
				t.Errorf("%s() = %v, want a failure of cause %v", name, err, cause)
			}
		}
	}
}

func testList(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	s := b.snapshot(1, 5, 2, pinned, func(s *handoff.Snapshot) { s.CapturedAt = epoch.Add(-time.Minute) })
	b.insert(t, store, s, handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 4, 1), handoff.AsCurrent, true)
	b.insert(t, store, b.snapshot(1, 5, 3, func(s *handoff.Snapshot) { s.CapturedAt, s.CreatedAt = time.Time{}, time.Time{} }), handoff.AsHistory, false)
	b.insert(t, store, b.snapshot(2, 9, 9), handoff.AsCurrent, false)

	entries := list(t, store, 1)
	if len(entries) != 3 {
		t.Fatalf("List() has %d entries, want 3", len(entries))
	}
	want := snapshotstore.Entry{
		ID: s.ID, PlayerName: "Steve", Version: v(5, 2), StoredAs: handoff.AsCurrent, Pinned: true, SaveCause: "DISCONNECT",
		Server: "survival-1", Platform: "bukkit", GameVersion: "1.21.4", CapturedAt: epoch.Add(-time.Minute),
		CreatedAt: epoch.Add(time.Second), PackedSize: int64(len(b.pack(t, s))),
	}
	if entries[1] != want {
		t.Errorf("List()[1] = %+v, want %+v", entries[1], want)
	}
	if got := entries[0]; got.StoredAs != handoff.AsHistory || !got.CapturedAt.IsZero() || !got.CreatedAt.IsZero() {
		t.Errorf("List()[0] = %+v, want history without times", got)
	}
	if got := entries[2]; got.StoredAs != handoff.AsConflict {
		t.Errorf("List()[2] = %+v, want conflict", got)
	}
}

func testListPages(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{Keep: 4})
	var want []handoff.SnapshotID
	for i := range 8 {
		// Pairs of equal versions, pinned so that none is pruned.
		s := b.snapshot(1, handoff.Fence(1+i/4), uint64(1+i/2), pinned)
		b.insert(t, store, s, handoff.AsCurrent, false)
		want = append(want, s.ID)
	}
	slices.Reverse(want)
	for limit := 1; limit <= 9; limit++ {
		var got []handoff.SnapshotID
		for cursor := (snapshotstore.Cursor{}); len(got) <= len(want); {
			entries, next, err := store.List(t.Context(), player(1), cursor, limit)
			if err != nil || len(entries) > limit {
				t.Fatalf("List(limit %d) = %d entries, %v", limit, len(entries), err)
			}
			for _, entry := range entries {
				got = append(got, entry.ID)
			}
			if cursor = next; next.IsZero() {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d have %v, want %v", limit, got, want)
		}
	}
	for _, limit := range []int{-1, 0, snapshotstore.MaxListLimit + 1} {
		if _, _, err := store.List(t.Context(), player(1), snapshotstore.Cursor{}, limit); !errors.Is(err, snapshotstore.ErrInvalid) {
			t.Errorf("List(limit %d) = %v, want ErrInvalid", limit, err)
		}
	}
}
