package snapshotcodec_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

func TestPackNamesTheField(t *testing.T) {
	long := func(limit int) string { return strings.Repeat("x", limit+1) }
	cases := []struct {
		change func(*snapshotcodec.Snapshot)
		want   string
	}{
		{func(s *snapshotcodec.Snapshot) { s.ID = handoff.SnapshotID{} }, "snapshot id is missing"},
		{func(s *snapshotcodec.Snapshot) { s.Player = handoff.PlayerID{} }, "player id is missing"},
		{func(s *snapshotcodec.Snapshot) { s.Version.Fence = 0 }, "fence 0 is outside"},
		{func(s *snapshotcodec.Snapshot) { s.Version.Fence = -1 }, "fence -1 is outside"},
		{func(s *snapshotcodec.Snapshot) { s.Version.Fence = 1 << 53 }, "fence 9007199254740992 is outside"},
		{func(s *snapshotcodec.Snapshot) { s.Version.Sequence = 0 }, "sequence 0 is outside"},
		{func(s *snapshotcodec.Snapshot) { s.Version.Sequence = 1 << 53 }, "sequence 9007199254740992 is outside"},
		{func(s *snapshotcodec.Snapshot) { s.Server = "" }, "server: "},
		{func(s *snapshotcodec.Snapshot) { s.Server = "a:b" }, "server: "},
		{func(s *snapshotcodec.Snapshot) { s.Server = "Lobby" }, `server "Lobby" is not lower case`},
		{func(s *snapshotcodec.Snapshot) { s.Server = handoff.ServerID(long(handoff.MaxServerID)) }, "server: "},
		{func(s *snapshotcodec.Snapshot) { s.PlayerName = long(handoff.MaxPlayerName) }, "player name has 65 bytes, the limit is 64"},
		{func(s *snapshotcodec.Snapshot) { s.PlayerName = "\xc3" }, "player name is not UTF-8"},
		{func(s *snapshotcodec.Snapshot) { s.SaveCause = long(handoff.MaxSaveCause) }, "save cause has 33 bytes, the limit is 32"},
		{func(s *snapshotcodec.Snapshot) { s.SaveCause = "A\x00B" }, "save cause contains a NUL byte"},
		{func(s *snapshotcodec.Snapshot) { s.Platform = long(handoff.MaxLabel) }, "platform has 65 bytes"},
		{func(s *snapshotcodec.Snapshot) { s.GameVersion = long(handoff.MaxLabel) }, "game version has 65 bytes"},
		{func(s *snapshotcodec.Snapshot) { s.CapturedAt = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, "captured at is outside"},
		{func(s *snapshotcodec.Snapshot) { s.CreatedAt = time.Date(0, 12, 31, 23, 59, 59, 0, time.UTC) }, "created at is outside"},
		{func(s *snapshotcodec.Snapshot) { s.Data[""] = nil }, "a data key is empty"},
		{func(s *snapshotcodec.Snapshot) { s.Data[long(handoff.MaxDataKey)] = nil }, "a data key has 129 bytes, the limit is 128"},
		{func(s *snapshotcodec.Snapshot) { s.Data["\xff"] = nil }, "a data key is not UTF-8"},
		{func(s *snapshotcodec.Snapshot) { fill(s, handoff.MaxDataKeys+1) }, "1025 data keys, the limit is 1024"},
	}
	for _, c := range cases {
		t.Run(c.want, func(t *testing.T) {
			s := bareSnapshot()
			c.change(s)
			wantInvalid(t, s, c.want)
		})
	}
	wantInvalid(t, nil, "there is none")
}

func wantInvalid(t *testing.T, s *snapshotcodec.Snapshot, want string) {
	t.Helper()
	packed, err := newCodec(t, snapshotcodec.Config{}).Pack(s)
	if packed != nil || !errors.Is(err, snapshotcodec.ErrInvalid) || !strings.Contains(err.Error(), want) {
		t.Errorf("Pack = %x, %v, want ErrInvalid with %q", packed, err, want)
	}
	if errors.Is(err, handoff.ErrDamaged) || errors.Is(err, handoff.ErrTooLarge) {
		t.Errorf("error %v says more than one thing", err)
	}
}

func fill(s *snapshotcodec.Snapshot, keys int) {
	for i := range keys {
		s.Data[fmt.Sprint("key", i)] = nil
	}
}

func TestNew(t *testing.T) {
	for _, config := range []snapshotcodec.Config{
		{MaxSize: -1},
		{MaxSize: snapshotcodec.MaxSizeFloor - 1},
		{MaxSize: snapshotcodec.MaxSizeCeiling + 1},
		{Compression: 3},
	} {
		if codec, err := snapshotcodec.New(config); codec != nil || err == nil {
			t.Errorf("New(%+v) = %v, %v, want an error", config, codec, err)
		}
	}
	_, err := snapshotcodec.New(snapshotcodec.Config{MaxSize: 10})
	if err == nil || !strings.Contains(err.Error(), "max size of 10 bytes (want 1024 to 268435456)") {
		t.Errorf("New with 10 bytes: %v", err)
	}
	newCodec(t, snapshotcodec.Config{MaxSize: snapshotcodec.MaxSizeFloor})
	newCodec(t, snapshotcodec.Config{MaxSize: snapshotcodec.MaxSizeCeiling, Compression: snapshotcodec.Zstd})
}

func TestCompressionNames(t *testing.T) {
	for want, name := range map[snapshotcodec.Compression]string{
		snapshotcodec.None: "none", snapshotcodec.Zstd: "zstd", snapshotcodec.Snappy: "snappy",
	} {
		got, err := snapshotcodec.ParseCompression(name)
		if err != nil || got != want || want.String() != name {
			t.Errorf("ParseCompression(%q) = %v, %v, want %v", name, got, err, want)
		}
	}
	for _, text := range []string{"", "ZSTD", "gzip"} {
		_, err := snapshotcodec.ParseCompression(text)
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", text)) || !strings.Contains(err.Error(), "none, zstd or snappy") {
			t.Errorf("ParseCompression(%q): %v", text, err)
		}
	}
	if got := snapshotcodec.Compression(9).String(); got != "compression(9)" {
		t.Errorf("String of 9 = %q", got)
	}
}
