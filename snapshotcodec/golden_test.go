package snapshotcodec_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// Rewriting is for a new format version or a new case. A changed line in an
// existing file means that bytes already stored somewhere may have become
// unreadable: only for compressed ones, and only after a new release of the
// compressor, can that be right.
var update = flag.Bool("update", false, "rewrite testdata/ for the current format version")

// goldens are the snapshots behind the files of format version 1. They are
// FROZEN like the files.
var goldens = []struct {
	name         string
	snapshot     *snapshotcodec.Snapshot
	compressions []snapshotcodec.Compression
}{
	{"full", fullSnapshot(), compressions},
	{"bare", bareSnapshot(), compressions[:1]}, // nothing to compress
	{"player", playerSnapshot(), compressions}, // makes use of all that zstd has
}

// playerSnapshot is a player in miniature.
func playerSnapshot() *snapshotcodec.Snapshot {
	random := rand.New(rand.NewPCG(3, 4))
	return minecraftSnapshot(map[string][]byte{
		"husksync:inventory":  nbtItems(random, 20),
		"husksync:statistics": statistics(random, 15),
	})
}

func goldenPath(name string, compression snapshotcodec.Compression) string {
	return filepath.Join("testdata", "v1-"+name+"-"+compression.String()+".hex")
}

func TestGoldenFiles(t *testing.T) {
	for _, golden := range goldens {
		for _, compression := range golden.compressions {
			path := goldenPath(golden.name, compression)
			t.Run(filepath.Base(path), func(t *testing.T) {
				codec := newCodec(t, snapshotcodec.Config{Compression: compression})
				packed := pack(t, codec, golden.snapshot)
				if *update {
					writeHex(t, path, packed)
				}
				stored := readHex(t, path)
				wantEqual(t, unpack(t, codec, stored), golden.snapshot)
				// How well a compressor does is its own affair.
				if compression == snapshotcodec.None && !bytes.Equal(packed, stored) {
					t.Errorf("packs differently today:\n%swant\n%s", hex.Dump(packed), hex.Dump(stored))
				}
			})
		}
	}
}

// Each golden file really holds what its name says.
func TestGoldenCompressions(t *testing.T) {
	for _, compression := range compressions {
		info, err := snapshotcodec.Meta(readHex(t, goldenPath("player", compression)))
		if err != nil || info.Compression != compression || info.Format != 1 {
			t.Errorf("%v: Meta = %+v, %v", compression, info, err)
		}
	}
}

// TestFrozenLayout knows the layout in numbers of its own, so that no constant
// of the package can move unnoticed.
func TestFrozenLayout(t *testing.T) {
	if snapshotcodec.VersionOffset != 8 {
		t.Fatalf("VersionOffset = %d: the scripts in Redis read at 8", snapshotcodec.VersionOffset)
	}
	s := bareSnapshot()
	s.Version = handoff.Version{Fence: 0x1122334455667, Sequence: 0x123456789abcd}
	s.Pinned = true
	s.PlayerName, s.SaveCause, s.Platform, s.GameVersion = "n", "cc", "p", "1.2"
	s.CapturedAt, s.CreatedAt = fullSnapshot().CapturedAt, fullSnapshot().CreatedAt
	s.Data = map[string][]byte{"b": {1, 2, 3}, "a:a": {9}}
	want := unhex(t, `
		53 57 53 a7  00 01  00  01
		00 01 12 23 34 45 56 67  00 01 23 45 67 89 ab cd
		00 00 00 45  00 00 00 14  00 00 00 14
		00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 01
		00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02
		00 00 00 00 67 76 02 25  28 77 35 f2
		00 00 00 00 67 76 02 26  00 00 00 00
		01 61  01 6e  02 63 63  01 70  03 31 2e 32
		00 02  03 00 00 00 01  01 00 00 00 03  61 3a 61  62  09  01 02 03`)
	codec := newCodec(t, snapshotcodec.Config{})
	got := pack(t, codec, s)
	if !bytes.Equal(got[:len(got)-8], want) {
		t.Errorf("got\n%swant\n%s", hex.Dump(got), hex.Dump(want))
	}
	wantEqual(t, unpack(t, codec, reseal(append(want, make([]byte, 8)...))), s)
	// xxHash64 with seed 0, from the algorithm's own test vectors.
	if sum := reseal([]byte("abc" + "12345678"))[3:]; hex.EncodeToString(sum) != "44bc2cf5ad770999" {
		t.Errorf("checksum of abc = %x", sum)
	}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Golden files are hex dumps, so that a change can be read as a diff.
func writeHex(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, []byte(hex.Dump(data)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readHex(t testing.TB, path string) []byte {
	t.Helper()
	dump, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test -run Golden -update writes it)", err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(dump)) {
		// offset, digits, |text|
		bare, _, _ := strings.Cut(line, "|")
		if fields := strings.Fields(bare); len(fields) > 1 {
			digits.WriteString(strings.Join(fields[1:], ""))
		}
	}
	return unhex(t, digits.String())
}
