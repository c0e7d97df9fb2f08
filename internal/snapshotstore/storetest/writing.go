package storetest

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
)

// testHigherFenceRefuses is rule R6.
func testHigherFenceRefuses(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	b.insert(t, store, b.snapshot(1, 5, 1), handoff.AsCurrent, false)
	newest := b.snapshot(1, 5, 9)
	b.insert(t, store, newest, handoff.AsCurrent, false)

	fenced := b.snapshot(1, 4, 100)
	b.insert(t, store, fenced, handoff.AsCurrent, true)
	if got, role, err := store.ByID(t.Context(), fenced.ID); err != nil || role != handoff.AsConflict {
		t.Errorf("ByID(fenced) = %v, %s, %v, want it as conflict", got, role, err)
	}
	// The same fence is the same session: an older capture is no conflict.
	late := b.snapshot(1, 5, 5)
	b.insert(t, store, late, handoff.AsCurrent, false)
	if _, role, err := store.ByID(t.Context(), late.ID); err != nil || role != handoff.AsCurrent {
		t.Errorf("ByID(late) = %s, %v, want current", role, err)
	}
	wantNewest(t, store, 1, newest)
	// Another player's fences have no say.
	b.insert(t, store, b.snapshot(2, 1, 1), handoff.AsCurrent, false)
}

// testOtherRolesRefuseNothing: only rows stored as current fence others.
func testOtherRolesRefuseNothing(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	b.insert(t, store, b.snapshot(1, 5, 1), handoff.AsHistory, false)
	b.insert(t, store, b.snapshot(1, 6, 1), handoff.AsConflict, false)
	s := b.snapshot(1, 4, 1)
	b.insert(t, store, s, handoff.AsCurrent, false)
	wantNewest(t, store, 1, s)
	// And history is never refused.
	b.insert(t, store, b.snapshot(1, 3, 1), handoff.AsHistory, false)
}

func testRepeatedInsert(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	accepted := b.snapshot(1, 4, 1)
	b.insert(t, store, accepted, handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 5, 1), handoff.AsCurrent, false)
	refused := b.snapshot(1, 4, 2)
	b.insert(t, store, refused, handoff.AsCurrent, true)
	history := b.snapshot(1, 4, 3)
	b.insert(t, store, history, handoff.AsHistory, false)

	before := list(t, store, 1)
	for range 2 {
		// Accepted once is accepted for good, although it would be refused now.
		b.insert(t, store, accepted, handoff.AsCurrent, false)
		b.insert(t, store, refused, handoff.AsCurrent, true)
		b.insert(t, store, refused, handoff.AsConflict, false)
		b.insert(t, store, history, handoff.AsHistory, false)
	}
	if after := list(t, store, 1); !slices.Equal(before, after) {
		t.Errorf("List() = %+v, want %+v", after, before)
	}
}

// testRepeatedInsertRepacked: the same snapshot in other bytes is the same
// snapshot.
func testRepeatedInsertRepacked(t *testing.T, b *bench) {
	other, ok := b.codec.(interface {
		Repack(*handoff.Snapshot) ([]byte, error)
	})
	if !ok {
		t.Skip("this codec packs in one way only")
	}
	store := b.open(t, snapshotstore.Config{})
	s := b.snapshot(1, 1, 1)
	b.insert(t, store, s, handoff.AsCurrent, false)
	repacked, err := other.Repack(s)
	if err != nil {
		t.Fatalf("Repack() = %v", err)
	}
	if conflict, err := store.Insert(t.Context(), s, repacked, handoff.AsCurrent); conflict || err != nil {
		t.Errorf("Insert(repacked) = %t, %v, want false, nil", conflict, err)
	}
	if entries := list(t, store, 1); len(entries) != 1 || entries[0].PackedSize != int64(len(b.pack(t, s))) {
		t.Errorf("List() = %+v, want the first bytes", entries)
	}
}

func testReusedID(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	s := b.snapshot(1, 4, 1)
	b.insert(t, store, s, handoff.AsCurrent, false)
	before := list(t, store, 1)
	for name, change := range map[string]func(*handoff.Snapshot){
		"player":   func(o *handoff.Snapshot) { o.Player = player(2) },
		"sequence": func(o *handoff.Snapshot) { o.Version.Sequence++ },
		"fence":    func(o *handoff.Snapshot) { o.Version.Fence++ },
		"data":     func(o *handoff.Snapshot) { o.Data = map[string][]byte{"k": []byte("other")} },
		"cause":    func(o *handoff.Snapshot) { o.SaveCause = "DEATH" },
	} {
		other := *s
		change(&other)
		if _, err := store.Insert(t.Context(), &other, b.pack(t, &other), handoff.AsCurrent); !errors.Is(err, snapshotstore.ErrIDReused) {
			t.Errorf("Insert() with another %s = %v, want ErrIDReused", name, err)
		}
	}
	for _, as := range []handoff.StoredAs{handoff.AsHistory, handoff.AsConflict} {
		if _, err := store.Insert(t.Context(), s, b.pack(t, s), as); !errors.Is(err, snapshotstore.ErrIDReused) {
			t.Errorf("Insert(as %s) = %v, want ErrIDReused", as, err)
		}
	}
	if after := list(t, store, 1); !slices.Equal(before, after) {
		t.Errorf("List() = %+v, want %+v", after, before)
	}
}

func testInvalidArguments(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{})
	for name, change := range map[string]func(*handoff.Snapshot){
		"id":           func(s *handoff.Snapshot) { s.ID = handoff.SnapshotID{} },
		"player":       func(s *handoff.Snapshot) { s.Player = handoff.PlayerID{} },
		"no fence":     func(s *handoff.Snapshot) { s.Version.Fence = 0 },
		"fence":        func(s *handoff.Snapshot) { s.Version.Fence = -1 },
		"no sequence":  func(s *handoff.Snapshot) { s.Version.Sequence = 0 },
		"sequence":     func(s *handoff.Snapshot) { s.Version.Sequence = 1 << 63 },
		"cause":        func(s *handoff.Snapshot) { s.SaveCause = strings.Repeat("x", handoff.MaxSaveCause+1) },
		"server":       func(s *handoff.Snapshot) { s.Server = handoff.ServerID(strings.Repeat("x", handoff.MaxServerID+1)) },
		"name":         func(s *handoff.Snapshot) { s.PlayerName = strings.Repeat("x", handoff.MaxPlayerName+1) },
		"platform":     func(s *handoff.Snapshot) { s.Platform = strings.Repeat("x", handoff.MaxLabel+1) },
		"game version": func(s *handoff.Snapshot) { s.GameVersion = strings.Repeat("x", handoff.MaxLabel+1) },
	} {
		s := b.snapshot(1, 1, 1, change)
		if _, err := store.Insert(t.Context(), s, []byte("packed"), handoff.AsCurrent); !errors.Is(err, snapshotstore.ErrInvalid) {
			t.Errorf("Insert() with a bad %s = %v, want ErrInvalid", name, err)
		}
	}
	s := b.snapshot(1, 1, 1)
	for _, as := range []handoff.StoredAs{0, handoff.AsConflict + 1} {
		if _, err := store.Insert(t.Context(), s, b.pack(t, s), as); !errors.Is(err, snapshotstore.ErrInvalid) {
			t.Errorf("Insert(as %s) = %v, want ErrInvalid", as, err)
		}
	}
	if _, err := store.Insert(t.Context(), nil, []byte("packed"), handoff.AsCurrent); !errors.Is(err, snapshotstore.ErrInvalid) {
		t.Errorf("Insert(nil) = %v, want ErrInvalid", err)
	}
	if _, err := store.Insert(t.Context(), s, nil, handoff.AsCurrent); !errors.Is(err, snapshotstore.ErrInvalid) {
		t.Errorf("Insert(no bytes) = %v, want ErrInvalid", err)
	}
	wantNewest(t, store, 1, nil)
}

func testSeveralHandles(t *testing.T, b *bench) {
	first := b.open(t, snapshotstore.Config{})
	second := b.open(t, snapshotstore.Config{})
	for i := range 10 {
		s := b.snapshot(1, handoff.Fence(i+1), 1)
		b.insert(t, first, s, handoff.AsCurrent, false)
		wantNewest(t, second, 1, s)
		first, second = second, first
	}
}

// testConcurrentFences is rule R6 under contention: two workers each store a
// session's captures of the same players at once. Whoever is answered no
// conflict was, at that moment, not fenced: so after everything the newest is
// the highest fence's, and a lower fence's captures stop being accepted once one
// of them was refused.
func testConcurrentFences(t *testing.T, b *bench) {
	const players, captures = 8, 25
	stores := [2]Store{b.open(t, snapshotstore.Config{Keep: 1000}), b.open(t, snapshotstore.Config{Keep: 1000})}
	var sessions [2][players][captures]*handoff.Snapshot
	for side := range stores {
		for p := range players {
			for c := range captures {
				// Side 0 has the lower fence of even players, side 1 of odd ones.
				fence := handoff.Fence(10 + (side+p)%2)
				sessions[side][p][c] = b.snapshot(byte(p), fence, uint64(c+1))
			}
		}
	}
	var group sync.WaitGroup
	for side, store := range stores {
		for p := range players {
			group.Go(func() {
				refused := false
				for _, s := range sessions[side][p] {
					conflict, err := store.Insert(t.Context(), s, b.pack(t, s), handoff.AsCurrent)
					if err != nil || refused && !conflict || conflict && s.Version.Fence == 11 {
						t.Errorf("Insert(%s) = %t, %v after refused %t", s.Version, conflict, err, refused)
					}
					refused = conflict
				}
			})
		}
	}
	group.Wait()
	for p := range players {
		top := sessions[(p+1)%2][p][captures-1]
		wantNewest(t, stores[0], byte(p), top)
		if got := len(list(t, stores[1], byte(p))); got != 2*captures {
			t.Errorf("player %d has %d entries, want %d", p, got, 2*captures)
		}
	}
}

// testConcurrentRepeats: the same insert at once from several places is one row
// and one answer.
func testConcurrentRepeats(t *testing.T, b *bench) {
	stores := [2]Store{b.open(t, snapshotstore.Config{}), b.open(t, snapshotstore.Config{})}
	for round := range 10 {
		s := b.snapshot(byte(round), 1, 1)
		packed := b.pack(t, s)
		var group sync.WaitGroup
		for i := range 6 {
			group.Go(func() {
				if conflict, err := stores[i%2].Insert(t.Context(), s, packed, handoff.AsCurrent); conflict || err != nil {
					t.Errorf("Insert() = %t, %v, want false, nil", conflict, err)
				}
			})
		}
		group.Wait()
		wantVersions(t, stores[0], byte(round), v(1, 1))
	}
}
