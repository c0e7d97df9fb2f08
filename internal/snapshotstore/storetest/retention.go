package storetest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
)

// The tests of this file are T28; the rules are in the doc of package
// snapshotstore.

// testRetentionKeeps: rule 4. Every save is kept, up to Keep, the lowest
// versions go first whatever the clocks say.
func testRetentionKeeps(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{Keep: 3})
	b.insert(t, store, b.snapshot(1, 2, 2), handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 2, 4, createdAt(epoch.Add(-time.Hour))), handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 1, 1, createdAt(epoch.Add(time.Hour))), handoff.AsHistory, false)
	wantVersions(t, store, 1, v(2, 4), v(2, 2), v(1, 1))
	b.insert(t, store, b.snapshot(1, 2, 3), handoff.AsHistory, false)
	wantVersions(t, store, 1, v(2, 4), v(2, 3), v(2, 2))
	b.insert(t, store, b.snapshot(1, 3, 1), handoff.AsCurrent, false)
	wantVersions(t, store, 1, v(3, 1), v(2, 4), v(2, 3))
	// What arrives below all that is kept does not stay.
	b.insert(t, store, b.snapshot(1, 1, 9), handoff.AsHistory, false)
	wantVersions(t, store, 1, v(3, 1), v(2, 4), v(2, 3))
	// Other players are left alone.
	b.insert(t, store, b.snapshot(2, 1, 1), handoff.AsCurrent, false)
	wantVersions(t, store, 1, v(3, 1), v(2, 4), v(2, 3))
}

// testRetentionContinuousPlay: rule 3. Ten hours with a save every five minutes
// leave the last save of each period (HuskSync would keep one row).
func testRetentionContinuousPlay(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{BackupFrequency: 4 * time.Hour})
	const saves = 120
	for i := range saves {
		b.insert(t, store, b.snapshot(1, 1, uint64(i+1), createdAt(epoch.Add(time.Duration(i)*5*time.Minute))), handoff.AsCurrent, false)
		if i == 50 {
			// A backup of the fifth hour does not displace the saves around it.
			b.insert(t, store, b.snapshot(1, 1, 1000, createdAt(epoch.Add(250*time.Minute))), handoff.AsHistory, false)
		}
	}
	// Four hours are 48 saves.
	wantVersions(t, store, 1, v(1, 1000), v(1, saves), v(1, 96), v(1, 48))

	// The next day's first save leaves yesterday's logout in place.
	next := b.snapshot(1, 2, 1, createdAt(epoch.Add(24*time.Hour)))
	b.insert(t, store, next, handoff.AsCurrent, false)
	wantVersions(t, store, 1, v(2, 1), v(1, 1000), v(1, saves), v(1, 96), v(1, 48))

	// A clock in the past, even before 1970, decides about its period only.
	b.insert(t, store, b.snapshot(1, 3, 1, createdAt(time.UnixMilli(-1))), handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 3, 2, createdAt(time.UnixMilli(0))), handoff.AsCurrent, false)
	wantVersions(t, store, 1, v(3, 2), v(3, 1), v(2, 1), v(1, 1000), v(1, saves), v(1, 96), v(1, 48))
}

// testRetentionPins: rule 1.
func testRetentionPins(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{Keep: 2, BackupFrequency: time.Hour})
	for i := range 5 {
		b.insert(t, store, b.snapshot(1, 1, uint64(i+1), pinned), handoff.AsCurrent, false)
	}
	b.insert(t, store, b.snapshot(1, 1, 6), handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 1, 7), handoff.AsCurrent, false)
	wantVersions(t, store, 1, v(1, 7), v(1, 5), v(1, 4), v(1, 3), v(1, 2), v(1, 1))

	b.insert(t, store, b.snapshot(1, 2, 1, createdAt(epoch.Add(2*time.Hour))), handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 2, 2, createdAt(epoch.Add(4*time.Hour))), handoff.AsCurrent, false)
	// A pinned newest one is not counted: two others stay.
	b.insert(t, store, b.snapshot(1, 3, 1, createdAt(epoch.Add(6*time.Hour)), pinned), handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 1, 1, pinned), handoff.AsCurrent, true)
	wantVersions(t, store, 1, v(3, 1), v(2, 2), v(2, 1), v(1, 5), v(1, 4), v(1, 3), v(1, 2), v(1, 1), v(1, 1))
}

// testRetentionNewestSurvives: rule 2. No number of backups pushes the state
// out.
func testRetentionNewestSurvives(t *testing.T, b *bench) {
	for _, keep := range []int{1, 2} {
		store := b.open(t, snapshotstore.Config{Keep: keep})
		of := byte(keep)
		state := b.snapshot(of, 1, 1)
		b.insert(t, store, state, handoff.AsCurrent, false)
		for i := range 5 {
			b.insert(t, store, b.snapshot(of, 2, uint64(i+1)), handoff.AsHistory, false)
			b.insert(t, store, b.snapshot(of, 3, uint64(i+1)), handoff.AsConflict, false)
			wantNewest(t, store, of, state)
		}
	}
	store := b.open(t, snapshotstore.Config{Keep: 1})
	wantVersions(t, store, 1, v(3, 5), v(1, 1))
}

// testRetentionConflicts: rule 5. Conflicts have a bound of their own, and the
// latest to arrive stay.
func testRetentionConflicts(t *testing.T, b *bench) {
	store := b.open(t, snapshotstore.Config{Keep: 2, BackupFrequency: 24 * time.Hour})
	b.insert(t, store, b.snapshot(1, 9, 1), handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 8, 1, pinned), handoff.AsCurrent, true)
	for _, sequence := range []uint64{5, 3, 4, 1} {
		b.insert(t, store, b.snapshot(1, 8, sequence), handoff.AsCurrent, true)
	}
	wantVersions(t, store, 1, v(9, 1), v(8, 4), v(8, 1), v(8, 1))
	b.insert(t, store, b.snapshot(1, 9, 2, createdAt(epoch.Add(48*time.Hour))), handoff.AsCurrent, false)
	b.insert(t, store, b.snapshot(1, 9, 3, createdAt(epoch.Add(96*time.Hour))), handoff.AsCurrent, false)
	wantVersions(t, store, 1, v(9, 3), v(9, 2), v(8, 4), v(8, 1), v(8, 1))
}

// deed is one insert of a random history.
type deed struct {
	snapshot *handoff.Snapshot
	as       handoff.StoredAs
}

// randomDeeds makes a history of one player in one fence, so that no order of
// arrival makes a conflict.
func (b *bench) randomDeeds(random *rand.Rand, of byte, count int) []deed {
	deeds := make([]deed, count)
	for i := range deeds {
		as := handoff.AsCurrent
		if random.IntN(3) == 0 {
			as = handoff.AsHistory
		}
		at := epoch.Add(time.Duration(random.IntN(20*60)) * time.Minute)
		s := b.snapshot(of, 7, uint64(i+1), createdAt(at))
		s.Pinned = random.IntN(8) == 0
		deeds[i] = deed{s, as}
	}
	random.Shuffle(count, func(i, j int) { deeds[i], deeds[j] = deeds[j], deeds[i] })
	return deeds
}

// wantKept says which snapshots the rules 1 to 4 leave of a set of inserts: a
// second way to say what the store computes step by step.
func wantKept(deeds []deed, keep int, frequency time.Duration) []handoff.SnapshotID {
	higher := func(than deed, count func(deed) bool) (number int) {
		for _, other := range deeds {
			if count(other) && other.snapshot.Version.Compare(than.snapshot.Version) > 0 {
				number++
			}
		}
		return number
	}
	tops := make(map[handoff.SnapshotID]bool) // Rule 3.
	for _, one := range deeds {
		rivals := higher(one, func(other deed) bool {
			return other.as == one.as && !other.snapshot.Pinned &&
				other.snapshot.CreatedAt.Truncate(frequency).Equal(one.snapshot.CreatedAt.Truncate(frequency))
		})
		tops[one.snapshot.ID] = !one.snapshot.Pinned && (frequency == 0 || rivals == 0)
	}
	isCurrent := func(other deed) bool { return other.as == handoff.AsCurrent }
	isTop := func(other deed) bool { return tops[other.snapshot.ID] }
	newestUnpinned := slices.ContainsFunc(deeds, func(one deed) bool {
		return isCurrent(one) && !one.snapshot.Pinned && higher(one, isCurrent) == 0
	})
	var kept []deed
	for _, one := range deeds {
		newest := isCurrent(one) && higher(one, isCurrent) == 0
		above, room := higher(one, isTop), keep
		if newestUnpinned {
			// The newest takes one place, wherever it stands among the others.
			room--
			above -= higher(one, func(other deed) bool { return isCurrent(other) && higher(other, isCurrent) == 0 })
		}
		if one.snapshot.Pinned || newest || isTop(one) && above < room {
			kept = append(kept, one)
		}
	}
	slices.SortFunc(kept, func(x, y deed) int { return -cmp.Compare(x.snapshot.Version.Sequence, y.snapshot.Version.Sequence) })
	ids := make([]handoff.SnapshotID, len(kept))
	for i, one := range kept {
		ids[i] = one.snapshot.ID
	}
	return ids
}

// wantIDs checks which entries a player has.
func wantIDs(t *testing.T, store Store, of byte, want []handoff.SnapshotID) {
	t.Helper()
	var got []handoff.SnapshotID
	for _, entry := range list(t, store, of) {
		got = append(got, entry.ID)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("player %d has %v, want %v", of, got, want)
	}
}

// testRetentionModel compares every step of random histories with the rules.
func testRetentionModel(t *testing.T, b *bench) {
	random := rand.New(rand.NewPCG(1, 28))
	for round := range 12 {
		config := snapshotstore.Config{Keep: 1 + random.IntN(6), BackupFrequency: time.Duration(round%4) * 4 * time.Hour}
		store := b.open(t, config)
		deeds := b.randomDeeds(random, byte(round), 30)
		for i, one := range deeds {
			b.insert(t, store, one.snapshot, one.as, false)
			wantIDs(t, store, byte(round), wantKept(deeds[:i+1], config.Keep, config.BackupFrequency))
		}
	}
}

// testRetentionConcurrentSavers: several savers on two handles leave exactly
// what one saver leaves.
func testRetentionConcurrentSavers(t *testing.T, b *bench) {
	const savers = 8
	random := rand.New(rand.NewPCG(2, 28))
	config := snapshotstore.Config{Keep: 5, BackupFrequency: 4 * time.Hour}
	stores := [2]Store{b.open(t, config), b.open(t, config)}
	for of := range byte(4) {
		deeds := b.randomDeeds(random, of, 48)
		var group sync.WaitGroup
		for saver := range savers {
			group.Go(func() {
				for i := saver; i < len(deeds); i += savers {
					s := deeds[i].snapshot
					if conflict, err := stores[i/savers%2].Insert(t.Context(), s, b.pack(t, s), deeds[i].as); conflict || err != nil {
						t.Errorf("Insert(%s) = %t, %v, want false, nil", s.Version, conflict, err)
					}
				}
			})
		}
		group.Wait()
		wantIDs(t, stores[0], of, wantKept(deeds, config.Keep, config.BackupFrequency))
	}
}
