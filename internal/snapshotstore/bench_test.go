package snapshotstore_test

import (
	"math/rand/v2"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
)

// benchmarkPlayers have full histories, so that each insert prunes a row.
const benchmarkPlayers = 200

// benchmarkStore returns a store with full histories of 16 KiB snapshots.
func benchmarkStore(b *testing.B) (*snapshotstore.SQLite, codec, []byte) {
	b.Helper()
	store, _ := newStore(b, snapshotstore.Config{})
	random := rand.NewChaCha8([32]byte{})
	data := make([]byte, 16<<10)
	_, _ = random.Read(data)
	c := newCodec(b)
	for i := range uint64(benchmarkPlayers * snapshotstore.DefaultKeep / 8) {
		s := newSnapshot(1, i+1, i%benchmarkPlayers, handoff.Version{Fence: 1, Sequence: i + 1})
		s.Data = map[string][]byte{"minecraft:inventory": data}
		if _, err := put(b.Context(), store, c, s); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	return store, c, data
}

func BenchmarkInsert(b *testing.B) {
	store, c, data := benchmarkStore(b)
	for i := range uint64(b.N) {
		s := newSnapshot(2, i+1, i%benchmarkPlayers, handoff.Version{Fence: 2, Sequence: i + 1})
		s.Data = map[string][]byte{"minecraft:inventory": data}
		if _, err := put(b.Context(), store, c, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewest(b *testing.B) {
	store, _, _ := benchmarkStore(b)
	for i := range uint64(b.N) {
		if _, err := store.Newest(b.Context(), playerID(i%benchmarkPlayers)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewestAbsent(b *testing.B) {
	store, _, _ := benchmarkStore(b)
	for i := range uint64(b.N) {
		if _, err := store.Newest(b.Context(), playerID(1_000_000+i)); err == nil {
			b.Fatal("Newest() of nobody returned something")
		}
	}
}
