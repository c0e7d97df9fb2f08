package snapshotcodec_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

func TestRoundTrip(t *testing.T) {
	snapshots := map[string]*snapshotcodec.Snapshot{
		"full":     fullSnapshot(),
		"bare":     bareSnapshot(),
		"binary":   minecraftSnapshot(binaryData()),
		"text":     minecraftSnapshot(textData()),
		"extremes": extremeSnapshot(),
	}
	for name, want := range snapshots {
		for _, compression := range compressions {
			t.Run(name+"/"+compression.String(), func(t *testing.T) {
				codec := newCodec(t, snapshotcodec.Config{Compression: compression})
				packed := pack(t, codec, want)
				wantEqual(t, unpack(t, codec, packed), want)
				if version, err := snapshotcodec.VersionOf(packed); err != nil || version != want.Version {
					t.Errorf("VersionOf = %v, %v, want %v", version, err, want.Version)
				}
			})
		}
	}
}

// extremeSnapshot has every field at its limit.
func extremeSnapshot() *snapshotcodec.Snapshot {
	s := fullSnapshot()
	s.Server = handoff.ServerID(strings.Repeat("s", handoff.MaxServerID))
	s.PlayerName = strings.Repeat("p", handoff.MaxPlayerName)
	s.SaveCause = strings.Repeat("c", handoff.MaxSaveCause)
	s.Platform = strings.Repeat("f", handoff.MaxLabel)
	s.GameVersion = strings.Repeat("g", handoff.MaxLabel)
	s.Version = handoff.Version{Fence: 1<<53 - 1, Sequence: 1<<53 - 1}
	s.CapturedAt = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	s.CreatedAt = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	s.Data = make(map[string][]byte, handoff.MaxDataKeys)
	for i := range handoff.MaxDataKeys {
		s.Data[fmt.Sprintf("%0*d", handoff.MaxDataKey, i)] = []byte{byte(i)}
	}
	return s
}

// Compressors take different ways for different sizes.
func TestRoundTripOfEverySize(t *testing.T) {
	sizes := []int{1 << 14, 1<<16 - 1, 1 << 16, 128 << 10, 300 << 10, 1<<20 - 10, 1 << 20, 3 << 20, snapshotcodec.DefaultMaxSize - 8}
	for size := range 600 {
		sizes = append(sizes, size)
	}
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{Compression: compression})
		for _, size := range sizes {
			want := bareSnapshot()
			want.Data["k"] = bytes.Repeat([]byte("minecraft:stone_"), size/16+1)[:size]
			got, err := codec.Unpack(pack(t, codec, want))
			if err != nil || !bytes.Equal(got.Data["k"], want.Data["k"]) {
				t.Fatalf("%v, %d bytes: came back differently, %v", compression, size, err)
			}
		}
	}
}

// Every codec reads what every other writes: the setting may be changed at any
// time and may differ between servers.
func TestAnyCodecReadsAny(t *testing.T) {
	want := minecraftSnapshot(textData())
	for _, writing := range compressions {
		packed := pack(t, newCodec(t, snapshotcodec.Config{Compression: writing}), want)
		for _, reading := range compressions {
			t.Run(fmt.Sprintf("%v by %v", writing, reading), func(t *testing.T) {
				wantEqual(t, unpack(t, newCodec(t, snapshotcodec.Config{Compression: reading}), packed), want)
			})
		}
	}
}

func TestNilAndEmptyAreOne(t *testing.T) {
	codec := newCodec(t, snapshotcodec.Config{})
	empty, none := bareSnapshot(), bareSnapshot()
	none.Data = nil
	if !bytes.Equal(pack(t, codec, none), pack(t, codec, empty)) {
		t.Error("a nil map and an empty one pack differently")
	}
	if got := unpack(t, codec, pack(t, codec, none)).Data; got == nil || len(got) != 0 {
		t.Errorf("data of a nil map = %#v, want an empty map", got)
	}
	empty.Data, none.Data = map[string][]byte{"k": {}}, map[string][]byte{"k": nil}
	if !bytes.Equal(pack(t, codec, none), pack(t, codec, empty)) {
		t.Error("a nil value and an empty one pack differently")
	}
	if got, there := unpack(t, codec, pack(t, codec, none)).Data["k"]; !there || got == nil || len(got) != 0 {
		t.Errorf("a nil value = %#v, %v, want an empty one", got, there)
	}
}

func TestTimesComeBackInUTC(t *testing.T) {
	codec := newCodec(t, snapshotcodec.Config{})
	s := fullSnapshot()
	s.CapturedAt = time.Now().In(time.FixedZone("far east", 12*3600))
	s.CreatedAt = time.Time{}
	got := unpack(t, codec, pack(t, codec, s))
	if !got.CapturedAt.Equal(s.CapturedAt) || got.CapturedAt.Location() != time.UTC {
		t.Errorf("captured at = %v, want %v in UTC", got.CapturedAt, s.CapturedAt)
	}
	if got.CreatedAt != (time.Time{}) {
		t.Errorf("created at = %v, want the zero time", got.CreatedAt)
	}
}

// The bytes do not depend on the order in which Go walks over a map.
func TestPackIsDeterministic(t *testing.T) {
	codec := newCodec(t, snapshotcodec.Config{Compression: snapshotcodec.Snappy})
	want := pack(t, codec, minecraftSnapshot(binaryData()))
	for range 20 {
		if !bytes.Equal(pack(t, codec, minecraftSnapshot(binaryData())), want) {
			t.Fatal("the same snapshot packs differently")
		}
	}
}

func TestAppend(t *testing.T) {
	prefix := []byte("already there")
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{Compression: compression})
		want := append(bytes.Clone(prefix), pack(t, codec, fullSnapshot())...)
		for _, room := range []int{0, 16, 4096} {
			dst := append(make([]byte, 0, len(prefix)+room), prefix...)
			got, err := codec.Append(dst, fullSnapshot())
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%v, room for %d: Append = %q, %v, want %q", compression, room, got, err, want)
			}
		}
		got, err := codec.Append(prefix, nil)
		if !errors.Is(err, snapshotcodec.ErrInvalid) || !bytes.Equal(got, prefix) {
			t.Errorf("%v: Append of no snapshot = %q, %v, want what was there and ErrInvalid", compression, got, err)
		}
	}
}

// Data that compression would enlarge is stored as it is.
func TestIncompressibleDataIsStoredPlain(t *testing.T) {
	noise := make([]byte, 5000)
	state := uint32(1)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	s := fullSnapshot()
	s.Data = map[string][]byte{"k": noise}
	plain := pack(t, newCodec(t, snapshotcodec.Config{}), s)
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{Compression: compression})
		packed := pack(t, codec, s)
		if !bytes.Equal(packed, plain) {
			t.Errorf("%v: %d bytes, want the %d of no compression", compression, len(packed), len(plain))
		}
	}
}

// Unpacked data belongs to the caller: neither the packed bytes nor a
// neighbouring value change with it.
func TestUnpackedValuesStandAlone(t *testing.T) {
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{Compression: compression})
		want := minecraftSnapshot(textData())
		packed := pack(t, codec, want)
		got := unpack(t, codec, packed)
		clear(packed)
		wantEqual(t, got, want)
		before := maps.Clone(got.Data)
		for key, value := range got.Data {
			before[key] = bytes.Clone(value)
		}
		for _, value := range got.Data {
			_ = append(value, "overrun"...)
		}
		for key, value := range got.Data {
			if !bytes.Equal(value, before[key]) {
				t.Errorf("%v: appending to another value changed %q", compression, key)
			}
		}
	}
}

func TestMeta(t *testing.T) {
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{Compression: compression})
		s := minecraftSnapshot(binaryData())
		packed := pack(t, codec, s)
		got, err := snapshotcodec.Meta(packed)
		if err != nil {
			t.Fatalf("%v: Meta: %v", compression, err)
		}
		want := *s
		want.Data = nil
		wantEqual(t, &got.Snapshot, &want)
		if size := 2 + 5*len(s.Data) + dataSize(s.Data); got.DataSize != size {
			t.Errorf("%v: data size = %d, want %d", compression, got.DataSize, size)
		}
		if got.Format != snapshotcodec.FormatVersion || got.Compression != compression || got.PackedSize != len(packed) {
			t.Errorf("%v: Meta = %+v", compression, got)
		}
	}
}

// One Codec serves everybody at once, on the same bytes too. Meaningful under
// the race detector.
func TestConcurrentUse(t *testing.T) {
	for _, compression := range compressions {
		t.Run(compression.String(), func(t *testing.T) {
			codec := newCodec(t, snapshotcodec.Config{Compression: compression})
			want := minecraftSnapshot(binaryData())
			packed := pack(t, codec, want)
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() {
					for range 20 {
						thereAndBack(t, codec, want, packed)
					}
				})
			}
			all.Wait()
		})
	}
}

// thereAndBack packs and unpacks once. It may be called from any goroutine.
func thereAndBack(t *testing.T, codec *snapshotcodec.Codec, s *snapshotcodec.Snapshot, packed []byte) {
	t.Helper()
	again, err := codec.Pack(s)
	if err != nil || !bytes.Equal(again, packed) {
		t.Errorf("Pack = %d bytes, %v, want the %d bytes of before", len(again), err, len(packed))
	}
	got, err := codec.Unpack(packed)
	if err != nil {
		t.Errorf("Unpack: %v", err)
		return
	}
	wantEqual(t, got, s)
}

// A codec made outside any synctest bubble works inside several, one after the
// other, and outside again: nothing in it is bound to the bubble of its first
// use.
func TestBubbles(t *testing.T) {
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{Compression: compression})
		want := minecraftSnapshot(binaryData())
		var packed []byte
		once := func(t *testing.T) {
			t.Helper()
			if packed == nil {
				packed = pack(t, codec, want)
			}
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() { thereAndBack(t, codec, want, packed) })
			}
			all.Wait()
		}
		synctest.Test(t, func(t *testing.T) { once(t) })
		synctest.Test(t, func(t *testing.T) { once(t) })
		once(t)
	}
}
