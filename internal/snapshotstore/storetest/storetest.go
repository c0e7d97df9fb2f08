// Package storetest holds the tests that every database behind
// internal/snapshotstore must pass, so that operators get the same results
// whichever they choose (T34).
package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
)

// Store is what every database offers; see snapshotstore.SQLite for the
// contracts.
type Store interface {
	Newest(ctx context.Context, player handoff.PlayerID) (*handoff.Snapshot, error)
	Insert(ctx context.Context, s *handoff.Snapshot, packed []byte, as handoff.StoredAs) (conflict bool, err error)
	ByID(ctx context.Context, id handoff.SnapshotID) (*handoff.Snapshot, handoff.StoredAs, error)
	List(ctx context.Context, player handoff.PlayerID, after snapshotstore.Cursor, limit int) ([]snapshotstore.Entry, snapshotstore.Cursor, error)
	RecordRelease(ctx context.Context, release snapshotstore.Release) error
	Releases(ctx context.Context, player handoff.PlayerID, limit int) ([]snapshotstore.Release, error)
	Ping(ctx context.Context) error
	Close() error
}

var _ Store = (*snapshotstore.SQLite)(nil)

// Codec is what the tests pack and the stores unpack with.
type Codec interface {
	snapshotstore.Codec
	Pack(s *handoff.Snapshot) ([]byte, error)
}

// Open opens one more handle on a database, as another worker would. The tests
// close it.
type Open func(t *testing.T, codec snapshotstore.Codec, config snapshotstore.Config) Store

// Run runs the tests. Fresh makes an empty database; it is called once per test,
// and what it returns several times.
func Run(t *testing.T, codec Codec, fresh func(t *testing.T) Open) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"Absent", testAbsent},
		{"RoundTrip", testRoundTrip},
		{"NewestIgnoresClocks", testNewestIgnoresClocks},
		{"EqualVersions", testEqualVersions},
		{"HistoryIsNeverNewest", testHistoryIsNeverNewest},
		{"HigherFenceRefuses", testHigherFenceRefuses},
		{"OtherRolesRefuseNothing", testOtherRolesRefuseNothing},
		{"RepeatedInsert", testRepeatedInsert},
		{"RepeatedInsertRepacked", testRepeatedInsertRepacked},
		{"ReusedID", testReusedID},
		{"Damaged", testDamaged},
		{"TooLarge", testTooLarge},
		{"InvalidArguments", testInvalidArguments},
		{"FailedReadIsNotAbsent", testFailedReadIsNotAbsent},
		{"List", testList},
		{"ListPages", testListPages},
		{"SeveralHandles", testSeveralHandles},
		{"ConcurrentFences", testConcurrentFences},
		{"ConcurrentRepeats", testConcurrentRepeats},
		{"RetentionKeeps", testRetentionKeeps},
		{"RetentionContinuousPlay", testRetentionContinuousPlay},
		{"RetentionPins", testRetentionPins},
		{"RetentionNewestSurvives", testRetentionNewestSurvives},
		{"RetentionConflicts", testRetentionConflicts},
		{"RetentionModel", testRetentionModel},
		{"RetentionConcurrentSavers", testRetentionConcurrentSavers},
		{"Releases", testReleases},
		{"ReleasesInvalid", testReleasesInvalid},
		{"ReleasesTogether", testReleasesTogether},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(t, &bench{codec: codec, openStore: fresh(t)})
		})
	}
}

// bench is what one test works with.
type bench struct {
	codec     Codec
	openStore Open
	made      uint64
}

// open opens a handle that keeps every save unless the config says otherwise.
func (b *bench) open(t *testing.T, config snapshotstore.Config) Store {
	t.Helper()
	store := b.openStore(t, b.codec, config)
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return store
}

// epoch is when test snapshots are made unless a test says otherwise: on the
// border of every period length that the tests use.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// player returns a player's ID.
func player(n byte) handoff.PlayerID { return handoff.PlayerID{0: 0xaa, 15: n} }

// snapshot makes a snapshot with an ID of its own.
func (b *bench) snapshot(of byte, fence handoff.Fence, sequence uint64, change ...func(*handoff.Snapshot)) *handoff.Snapshot {
	b.made++
	s := &handoff.Snapshot{
		Player:      player(of),
		PlayerName:  "Steve",
		Server:      "survival-1",
		Version:     handoff.Version{Fence: fence, Sequence: sequence},
		SaveCause:   "DISCONNECT",
		CapturedAt:  epoch,
		CreatedAt:   epoch.Add(time.Second),
		Platform:    "bukkit",
		GameVersion: "1.21.4",
		Data:        map[string][]byte{"minecraft:inventory": binary.BigEndian.AppendUint64(nil, b.made)},
	}
	binary.BigEndian.PutUint64(s.ID[8:], b.made)
	for _, apply := range change {
		apply(s)
	}
	return s
}

// createdAt sets when the worker made it.
func createdAt(at time.Time) func(*handoff.Snapshot) {
	return func(s *handoff.Snapshot) { s.CreatedAt = at }
}

func pinned(s *handoff.Snapshot) { s.Pinned = true }

func (b *bench) pack(t *testing.T, s *handoff.Snapshot) []byte {
	t.Helper()
	packed, err := b.codec.Pack(s)
	if err != nil {
		t.Fatalf("Pack(%s) = %v", s.ID, err)
	}
	return packed
}

// insert stores a snapshot and checks the answer.
func (b *bench) insert(t *testing.T, store Store, s *handoff.Snapshot, as handoff.StoredAs, wantConflict bool) {
	t.Helper()
	conflict, err := store.Insert(t.Context(), s, b.pack(t, s), as)
	if err != nil || conflict != wantConflict {
		t.Fatalf("Insert(%s as %s) = %t, %v, want %t, nil", s.Version, as, conflict, err, wantConflict)
	}
}

// wantNewest checks which snapshot is the newest; nil for none.
func wantNewest(t *testing.T, store Store, of byte, want *handoff.Snapshot) {
	t.Helper()
	got, err := store.Newest(t.Context(), player(of))
	switch {
	case want == nil && errors.Is(err, handoff.ErrNoSnapshot):
	case want == nil:
		t.Fatalf("Newest() = %v, %v, want handoff.ErrNoSnapshot", got, err)
	case err != nil:
		t.Fatalf("Newest() = %v, want version %s", err, want.Version)
	case got.ID != want.ID:
		t.Fatalf("Newest() has id %s and version %s, want %s and %s", got.ID, got.Version, want.ID, want.Version)
	}
}

// list returns all entries of a player.
func list(t *testing.T, store Store, of byte) []snapshotstore.Entry {
	t.Helper()
	entries, next, err := store.List(t.Context(), player(of), snapshotstore.Cursor{}, snapshotstore.MaxListLimit)
	if err != nil || !next.IsZero() {
		t.Fatalf("List() = %v, next %v, want everything", err, next)
	}
	return entries
}

// wantVersions checks which entries a player has, newest first.
func wantVersions(t *testing.T, store Store, of byte, want ...handoff.Version) {
	t.Helper()
	entries := list(t, store, of)
	got := make([]handoff.Version, len(entries))
	for i, entry := range entries {
		got[i] = entry.Version
	}
	same := len(got) == len(want)
	for i := range got {
		same = same && got[i] == want[i]
	}
	if !same {
		t.Fatalf("List() has versions %v, want %v", got, want)
	}
}

// v is a version.
func v(fence handoff.Fence, sequence uint64) handoff.Version {
	return handoff.Version{Fence: fence, Sequence: sequence}
}
