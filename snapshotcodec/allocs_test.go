//go:build !race

// The race detector makes sync.Pool forget on purpose.

package snapshotcodec_test

import (
	"testing"

	"github.com/syncworker/syncworker/snapshotcodec"
)

func TestAllocations(t *testing.T) {
	s := minecraftSnapshot(binaryData())
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{Compression: compression})
		packed := pack(t, codec, s)
		buffer := make([]byte, 0, 2*dataSize(s.Data))
		for _, c := range []struct {
			name string
			most float64
			do   func() error
		}{
			{"Pack", 1, func() error { _, err := codec.Pack(s); return err }},
			{"Append", 0, func() error { _, err := codec.Append(buffer, s); return err }},
			// Snapshot, payload, texts, keys and the map's own four.
			{"Unpack", 8, func() error { _, err := codec.Unpack(packed); return err }},
			{"Meta", 1, func() error { _, err := snapshotcodec.Meta(packed); return err }},
			{"VersionOf", 0, func() error { _, err := snapshotcodec.VersionOf(packed); return err }},
		} {
			got := testing.AllocsPerRun(200, func() {
				if err := c.do(); err != nil {
					t.Fatal(err)
				}
			})
			if got > c.most {
				t.Errorf("%v: %s allocates %v times, want at most %v", compression, c.name, got, c.most)
			}
		}
	}
}

// The codec's bytes are never larger than those of JSON and snappy.
func TestSmallerThanJSON(t *testing.T) {
	for _, shape := range shapes {
		s := minecraftSnapshot(shape.data())
		ours, baseline := contestants(t, s, shape.text)
		theirs, err := baseline.pack()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range ours[1:] {
			packed, err := c.pack()
			if err != nil || len(packed) > len(theirs) {
				t.Errorf("%s, %s: %d bytes, %v, want at most the %d of JSON and snappy", shape.name, c.name, len(packed), err, len(theirs))
			}
		}
	}
}
