package snapshotstore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
	"github.com/syncworker/syncworker/internal/snapshotstore/storetest"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// helperEnv makes the test binary play another process instead of running tests.
const helperEnv = "SNAPSHOTSTORE_TEST_HELPER"

func TestMain(m *testing.M) {
	if role := os.Getenv(helperEnv); role != "" {
		if err := playHelper(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// codec packs with one compression, and in other bytes with another.
type codec struct{ *snapshotcodec.Codec }

func newCodec(tb testing.TB) codec {
	tb.Helper()
	return codec{mustCodec(snapshotcodec.Zstd)}
}

func mustCodec(compression snapshotcodec.Compression) *snapshotcodec.Codec {
	made, err := snapshotcodec.New(snapshotcodec.Config{Compression: compression})
	if err != nil {
		panic(err)
	}
	return made
}

// Repack packs as a worker with another configuration would.
func (codec) Repack(s *handoff.Snapshot) ([]byte, error) {
	return mustCodec(snapshotcodec.None).Pack(s)
}

func TestSQLite(t *testing.T) {
	storetest.Run(t, newCodec(t), func(t *testing.T) storetest.Open {
		path := filepath.Join(t.TempDir(), "syncworker.db")
		return func(t *testing.T, codec snapshotstore.Codec, config snapshotstore.Config) storetest.Store {
			t.Helper()
			return open(t, path, codec, config)
		}
	})
}

// open opens a database that the caller closes.
func open(tb testing.TB, dsn string, codec snapshotstore.Codec, config snapshotstore.Config) *snapshotstore.SQLite {
	tb.Helper()
	store, err := snapshotstore.OpenSQLite(tb.Context(), dsn, codec, config)
	if err != nil {
		tb.Fatalf("OpenSQLite(%q) = %v", dsn, err)
	}
	return store
}

// newStore opens a fresh database and closes it with the test.
func newStore(tb testing.TB, config snapshotstore.Config) (store *snapshotstore.SQLite, path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "syncworker.db")
	store = open(tb, path, newCodec(tb), config)
	tb.Cleanup(func() { _ = store.Close() })
	return store, path
}

func playerID(n uint64) (id handoff.PlayerID) {
	binary.BigEndian.PutUint64(id[8:], n)
	id[0] = 0xaa
	return id
}

// newSnapshot makes one whose ID says who made it.
func newSnapshot(maker, serial, player uint64, version handoff.Version) *handoff.Snapshot {
	s := &handoff.Snapshot{
		Player: playerID(player), PlayerName: "Steve", Server: "survival-1", Version: version, SaveCause: "WORLD_SAVE",
		CapturedAt: time.Unix(1_700_000_000, 0), CreatedAt: time.Unix(1_700_000_001, 0), Platform: "bukkit", GameVersion: "1.21.4",
		Data: map[string][]byte{"minecraft:inventory": binary.BigEndian.AppendUint64(nil, serial)},
	}
	binary.BigEndian.PutUint64(s.ID[:8], maker)
	binary.BigEndian.PutUint64(s.ID[8:], serial)
	return s
}

// put stores a snapshot as current.
func put(ctx context.Context, store *snapshotstore.SQLite, c codec, s *handoff.Snapshot) (conflict bool, err error) {
	packed, err := c.Pack(s)
	if err != nil {
		return false, err
	}
	return store.Insert(ctx, s, packed, handoff.AsCurrent)
}

// mustPut stores a snapshot as current, without conflict.
func mustPut(tb testing.TB, store *snapshotstore.SQLite, s *handoff.Snapshot) {
	tb.Helper()
	if conflict, err := put(tb.Context(), store, newCodec(tb), s); conflict || err != nil {
		tb.Fatalf("Insert(%s) = %t, %v, want false, nil", s.Version, conflict, err)
	}
}
