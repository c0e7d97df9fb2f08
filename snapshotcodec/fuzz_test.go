package snapshotcodec_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// FuzzUnpack gives arbitrary bytes to everything that reads: as they are, and
// with a right checksum, without which hardly any would get past it. Nothing
// may panic, errors must be typed, and what is accepted must be a snapshot that
// Pack takes back.
func FuzzUnpack(f *testing.F) {
	for _, golden := range goldens {
		for _, compression := range golden.compressions {
			packed := readHex(f, goldenPath(golden.name, compression))
			f.Add(packed)
			f.Add(packed[:len(packed)/2])
		}
	}
	const size = 8 * zstdMaxBlock
	f.Add([]byte{})
	f.Add([]byte("SWS\xa7"))
	f.Add(forge(0, 2, []byte{0, 0}).with(func(f *forged) { f.format = 2 }).bytes())
	f.Add(forge(1, size, runBomb(size, 2*size)).bytes())
	f.Add(forge(1, size, literalBomb(size, 2*size)).bytes())
	f.Add(forge(2, 4096, snappyBomb(4096, 8192)).bytes())
	f.Add(forge(0, 9, append(table(1, 1<<32-1), "kvv"...)).bytes())

	codec := newCodec(f, snapshotcodec.Config{MaxSize: 64 << 10})
	f.Fuzz(func(t *testing.T, packed []byte) {
		checkUnpack(t, codec, packed)
		checkUnpack(t, codec, reseal(packed))
	})
}

func checkUnpack(t *testing.T, codec *snapshotcodec.Codec, packed []byte) {
	t.Helper()
	version, err := snapshotcodec.VersionOf(packed)
	if err != nil {
		wantDamage(t, err, nil)
	}
	info, metaErr := snapshotcodec.Meta(packed)
	if metaErr != nil {
		wantDamage(t, metaErr, nil)
	}
	s, err := codec.Unpack(packed)
	if err != nil {
		if !errors.Is(err, handoff.ErrTooLarge) {
			wantDamage(t, err, nil)
		}
		return
	}
	if metaErr != nil || version != s.Version || info.Snapshot.Version != version || info.Snapshot.ID != s.ID {
		t.Errorf("Unpack %+v, Meta %+v, %v and VersionOf %v disagree", s, info, metaErr, version)
	}
	again := pack(t, codec, s)
	wantEqual(t, unpack(t, codec, again), s)
	// One snapshot has one uncompressed form.
	if info.Compression == snapshotcodec.None && !bytes.Equal(again, packed) {
		t.Errorf("accepted\n%x\npacks as\n%x", packed, again)
	}
}

// FuzzRoundTrip packs snapshots of arbitrary content. Each comes back exactly,
// with every compression, or is refused with a typed error and then by all.
func FuzzRoundTrip(f *testing.F) {
	f.Add("Steve", "survival-1", "DISCONNECT", int64(1), uint64(1), int64(1735787045), true, "k", []byte("value"), "kk", []byte{})
	f.Add("", "a", "", int64(1<<53-1), uint64(1<<53-1), int64(-62135596800), false, "husksync:inventory",
		bytes.Repeat([]byte("minecraft:stone"), 300), "ключ", []byte{0xff})
	f.Add("\xff", "B", "A\x00", int64(0), uint64(0), int64(1<<62), false, "", []byte(nil), "", []byte(nil))
	codecs := make([]*snapshotcodec.Codec, len(compressions))
	for i, compression := range compressions {
		codecs[i] = newCodec(f, snapshotcodec.Config{MaxSize: 64 << 10, Compression: compression})
	}
	f.Fuzz(func(t *testing.T, name, server, cause string, fence int64, sequence uint64, seconds int64, pinned bool,
		key1 string, value1 []byte, key2 string, value2 []byte,
	) {
		s := bareSnapshot()
		s.PlayerName, s.Server, s.SaveCause, s.Pinned = name, handoff.ServerID(server), cause, pinned
		s.Version = handoff.Version{Fence: handoff.Fence(fence), Sequence: sequence}
		s.CapturedAt = time.Unix(seconds, int64(sequence%1e9)).UTC()
		s.Data[key1] = append([]byte{}, value1...)
		s.Data[key2] = append([]byte{}, value2...)
		refused := 0
		for _, codec := range codecs {
			packed, err := codec.Pack(s)
			if err != nil {
				refused++
				if errors.Is(err, snapshotcodec.ErrInvalid) == errors.Is(err, handoff.ErrTooLarge) {
					t.Errorf("Pack: %v, want ErrInvalid or ErrTooLarge", err)
				}
				continue
			}
			wantEqual(t, unpack(t, codec, packed), s)
		}
		if refused != 0 && refused != len(codecs) {
			t.Errorf("%d of %d compressions refuse %+v", refused, len(codecs), s)
		}
	})
}
