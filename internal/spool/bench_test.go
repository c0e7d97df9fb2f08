package spool_test

import (
	"sync/atomic"
	"testing"

	"github.com/syncworker/syncworker/internal/spool"
)

// BenchmarkPut is one save of 16 KiB after the other.
func BenchmarkPut(b *testing.B) {
	s := newSpool(b, spool.Config{Dir: b.TempDir(), MaxBytes: 1 << 40, MaxEntries: 1 << 30})
	b.SetBytes(16 << 10)
	for n := uint64(1); b.Loop(); n++ {
		mustPut(b, s, newItem(n, 1, n, 16<<10))
	}
}

// BenchmarkPutTogether is 32 saves of 16 KiB at a time.
func BenchmarkPutTogether(b *testing.B) {
	s := newSpool(b, spool.Config{Dir: b.TempDir(), MaxBytes: 1 << 40, MaxEntries: 1 << 30})
	var n atomic.Uint64
	b.SetBytes(16 << 10)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			of := n.Add(1)
			one := newItem(of, 1, of, 16<<10)
			if err := s.Put(b.Context(), one.SpoolEntry, one.packed); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkOpen is a start with 1,000 entries of 16 KiB.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := newSpool(b, spool.Config{Dir: dir})
	for n := range uint64(1000) {
		mustPut(b, s, newItem(n, 1, 1, 16<<10))
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := spool.Open(spool.Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
