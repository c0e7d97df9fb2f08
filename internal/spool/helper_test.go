package spool_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/spool"
)

// item is an entry with its bytes.
type item struct {
	handoff.SpoolEntry
	packed []byte
}

func player(n uint64) (id handoff.PlayerID) {
	id[0] = 0xaa
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

// newItem makes an entry whose bytes say what it is.
func newItem(of uint64, fence handoff.Fence, sequence uint64, size int) item {
	s := &handoff.Snapshot{Player: player(of), Version: handoff.Version{Fence: fence, Sequence: sequence}}
	binary.BigEndian.PutUint32(s.ID[:], uint32(of))
	binary.BigEndian.PutUint32(s.ID[4:], uint32(fence))
	binary.BigEndian.PutUint64(s.ID[8:], sequence)
	text := fmt.Sprintf("%d %d %d ", of, fence, sequence)
	packed := bytes.Repeat([]byte(text), size/len(text)+1)[:size]
	return item{handoff.SpoolEntry{Snapshot: s, As: handoff.AsCurrent}, packed}
}

func (i item) record() handoff.SpoolRecord {
	return handoff.SpoolRecord{
		Player: i.Snapshot.Player, ID: i.Snapshot.ID, Version: i.Snapshot.Version,
		As: i.As, Accepted: i.Accepted, Final: i.Final, Size: int64(len(i.packed)),
	}
}

// newSpool opens a spool that is closed with the test.
func newSpool(tb testing.TB, config spool.Config) *spool.Spool {
	tb.Helper()
	opened, err := spool.Open(config)
	if err != nil {
		tb.Fatalf("Open() = %v", err)
	}
	tb.Cleanup(func() { opened.Close() })
	return opened
}

func mustPut(tb testing.TB, s *spool.Spool, items ...item) {
	tb.Helper()
	for _, one := range items {
		if err := s.Put(tb.Context(), one.SpoolEntry, one.packed); err != nil {
			tb.Fatalf("Put(%s) = %v", one.Snapshot.Version, err)
		}
	}
}

// wantEntries checks that a spool holds exactly these, and that each reads back.
func wantEntries(tb testing.TB, s *spool.Spool, items ...item) {
	tb.Helper()
	want := make([]handoff.SpoolRecord, 0, len(items))
	for _, one := range items {
		want = append(want, one.record())
	}
	slices.SortFunc(want, func(a, b handoff.SpoolRecord) int {
		return cmp.Or(bytes.Compare(a.Player[:], b.Player[:]), a.Version.Compare(b.Version))
	})
	if got, _ := s.Load(); !slices.Equal(got, want) {
		tb.Fatalf("Load() = %v, want %v", got, want)
	}
	size := int64(0)
	for _, one := range items {
		got, err := s.Read(one.Snapshot.Player, one.Snapshot.ID)
		if err != nil || !bytes.Equal(got, one.packed) {
			tb.Fatalf("Read(%s) = %d bytes, %v, want %d bytes as they were put", one.Snapshot.Version, len(got), err, len(one.packed))
		}
		size += int64(len(one.packed)) + headerSize
	}
	if got := s.Usage(); got.Entries != len(items) || got.Bytes != size {
		tb.Fatalf("Usage() = %d entries, %d bytes, want %d, %d", got.Entries, got.Bytes, len(items), size)
	}
}

// headerSize is what an entry adds to its snapshot on disk.
const headerSize = 72

// wantFiles checks which files of a kind lie in a folder.
func wantFiles(tb testing.TB, folder, kind string, want int) {
	tb.Helper()
	found, err := os.ReadDir(folder)
	if err != nil && !os.IsNotExist(err) {
		tb.Fatal(err)
	}
	var names []string
	for _, one := range found {
		if strings.Contains(one.Name(), kind) && !one.IsDir() {
			names = append(names, one.Name())
		}
	}
	if len(names) != want {
		tb.Fatalf("files %q in %s: %q, want %d", kind, filepath.Base(folder), names, want)
	}
}

// measured returns the sum of a metric over its labels.
func measured(tb testing.TB, registry *prometheus.Registry, name string) (sum float64) {
	tb.Helper()
	families, err := registry.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, metric := range family.GetMetric() {
			sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return sum
}

func newRegistry() *prometheus.Registry { return prometheus.NewRegistry() }
