package snapshotcodec_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

var compressions = []snapshotcodec.Compression{snapshotcodec.None, snapshotcodec.Zstd, snapshotcodec.Snappy}

func newCodec(t testing.TB, config snapshotcodec.Config) *snapshotcodec.Codec {
	t.Helper()
	codec, err := snapshotcodec.New(config)
	if err != nil {
		t.Fatalf("New(%+v): %v", config, err)
	}
	return codec
}

func pack(t testing.TB, codec *snapshotcodec.Codec, s *snapshotcodec.Snapshot) []byte {
	t.Helper()
	packed, err := codec.Pack(s)
	if err != nil {
		t.Fatalf("Pack: %v", err)
	}
	return packed
}

func unpack(t testing.TB, codec *snapshotcodec.Codec, packed []byte) *snapshotcodec.Snapshot {
	t.Helper()
	s, err := codec.Unpack(packed)
	if err != nil {
		t.Fatalf("Unpack: %v", err)
	}
	return s
}

// fullSnapshot has every field set, each to a value that stands out.
func fullSnapshot() *snapshotcodec.Snapshot {
	return &snapshotcodec.Snapshot{
		ID:          handoff.SnapshotID{0xA0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xAF},
		Player:      handoff.PlayerID{0xB0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xBF},
		PlayerName:  "Zoë_Ω",
		Server:      "survival-1",
		Version:     handoff.Version{Fence: 1_735_689_600_000_001, Sequence: 42},
		SaveCause:   "DISCONNECT",
		CapturedAt:  time.Date(2025, 1, 2, 3, 4, 5, 678_901_234, time.UTC),
		CreatedAt:   time.Date(2025, 1, 2, 3, 4, 6, 0, time.UTC),
		Platform:    "bukkit",
		GameVersion: "1.21.4",
		Pinned:      true,
		Data: map[string][]byte{
			"husksync:inventory":  bytes.Repeat([]byte("minecraft:diamond_sword "), 12),
			"husksync:health":     {0x40, 0x32, 0x80, 0, 0, 0, 0, 0},
			"unknown:plugin/ключ": {0, 1, 2, 0xff, 0xfe},
			"empty:value":         {},
		},
	}
}

// bareSnapshot has nothing that can be left out.
func bareSnapshot() *snapshotcodec.Snapshot {
	return &snapshotcodec.Snapshot{
		ID:      handoff.SnapshotID{15: 1},
		Player:  handoff.PlayerID{15: 2},
		Server:  "a",
		Version: handoff.Version{Fence: 1, Sequence: 1},
		Data:    map[string][]byte{},
	}
}

// minecraftSnapshot is what the benchmarks pack.
func minecraftSnapshot(data map[string][]byte) *snapshotcodec.Snapshot {
	s := fullSnapshot()
	s.PlayerName, s.Data = "Steve", data
	return s
}

func wantEqual(t testing.TB, got, want *snapshotcodec.Snapshot) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// reseal gives bytes that were changed on purpose a right checksum.
func reseal(packed []byte) []byte {
	if len(packed) < 8 {
		return packed
	}
	end := len(packed) - 8
	return binary.BigEndian.AppendUint64(bytes.Clone(packed[:end]), xxhash.Sum64(packed[:end]))
}
