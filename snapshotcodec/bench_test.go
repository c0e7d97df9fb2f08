package snapshotcodec_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/syncworker/syncworker/snapshotcodec"
)

// rival is the obvious codec, the one HuskSync has: JSON, then one raw snappy
// block. Value is []byte (base64 in JSON, the only way for binary data) or
// string (possible when all data is text).
type rival[Value []byte | string] struct {
	ID          string           `json:"id"`
	Player      string           `json:"player"`
	PlayerName  string           `json:"player_name"`
	Pinned      bool             `json:"pinned"`
	CapturedAt  time.Time        `json:"captured_at"`
	CreatedAt   time.Time        `json:"created_at"`
	SaveCause   string           `json:"save_cause"`
	Server      string           `json:"server_name"`
	Fence       int64            `json:"fence"`
	Sequence    uint64           `json:"sequence"`
	GameVersion string           `json:"minecraft_version"`
	Platform    string           `json:"platform_type"`
	Data        map[string]Value `json:"data"`
}

func newRival[Value []byte | string](s *snapshotcodec.Snapshot) *rival[Value] {
	data := make(map[string]Value, len(s.Data))
	for key, value := range s.Data {
		data[key] = Value(value)
	}
	return &rival[Value]{
		s.ID.String(), s.Player.String(), s.PlayerName, s.Pinned, s.CapturedAt, s.CreatedAt, s.SaveCause,
		string(s.Server), int64(s.Version.Fence), s.Version.Sequence, s.GameVersion, s.Platform, data,
	}
}

func (r *rival[Value]) pack() ([]byte, error) {
	text, err := json.Marshal(r)
	return s2.EncodeSnappy(nil, text), err
}

func unpackRival[Value []byte | string](packed []byte) (*rival[Value], error) {
	text, err := s2.Decode(nil, packed)
	if err != nil {
		return nil, err
	}
	r := new(rival[Value])
	return r, json.Unmarshal(text, r)
}

// contestant packs and unpacks one snapshot in one way.
type contestant struct {
	name   string
	pack   func() ([]byte, error)
	unpack func([]byte) error
}

func contestants(b testing.TB, s *snapshotcodec.Snapshot, text bool) (ours []contestant, baseline contestant) {
	b.Helper()
	for _, compression := range compressions {
		codec := newCodec(b, snapshotcodec.Config{Compression: compression})
		ours = append(ours, contestant{
			compression.String(),
			func() ([]byte, error) { return codec.Pack(s) },
			func(packed []byte) error { _, err := codec.Unpack(packed); return err },
		})
	}
	if text {
		return ours, newBaseline[string](s)
	}
	return ours, newBaseline[[]byte](s)
}

func newBaseline[Value []byte | string](s *snapshotcodec.Snapshot) contestant {
	return contestant{
		"json+snappy",
		newRival[Value](s).pack,
		func(packed []byte) error { _, err := unpackRival[Value](packed); return err },
	}
}

// shapes are the data that is packed. JSON text is the baseline's best case,
// binary NBT is what a server has.
var shapes = []struct {
	name string
	data func() map[string][]byte
	text bool
}{
	{"nbt", binaryData, false},
	{"snbt", textData, true},
}

func dataSize(data map[string][]byte) (size int) {
	for key, value := range data {
		size += len(key) + len(value)
	}
	return size
}

func BenchmarkPack(b *testing.B) {
	for _, shape := range shapes {
		s := minecraftSnapshot(shape.data())
		ours, baseline := contestants(b, s, shape.text)
		for _, c := range append(ours, baseline) {
			b.Run(shape.name+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(dataSize(s.Data)))
				packed, err := c.pack()
				for b.Loop() && err == nil {
					_, err = c.pack()
				}
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(packed)), "packed-bytes")
			})
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	for _, shape := range shapes {
		s := minecraftSnapshot(shape.data())
		ours, baseline := contestants(b, s, shape.text)
		for _, c := range append(ours, baseline) {
			b.Run(shape.name+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(dataSize(s.Data)))
				packed, err := c.pack()
				for b.Loop() && err == nil {
					err = c.unpack(packed)
				}
				if err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}

// BenchmarkAgainstJSON lets codec and baseline take turns, so that both see the
// same machine, and reports how many times faster the codec is in each
// direction and how large its bytes are in comparison.
func BenchmarkAgainstJSON(b *testing.B) {
	for _, shape := range shapes {
		s := minecraftSnapshot(shape.data())
		ours, baseline := contestants(b, s, shape.text)
		for _, c := range ours {
			b.Run(shape.name+"/"+c.name, func(b *testing.B) {
				var us, them turns
				for b.Loop() {
					us.take(b, c)
					them.take(b, baseline)
				}
				b.ReportMetric(ratio(them.packing, us.packing), "pack-speedup")
				b.ReportMetric(ratio(them.unpacking, us.unpacking), "unpack-speedup")
				b.ReportMetric(float64(us.size)/float64(them.size), "size-ratio")
			})
		}
	}
}

// turns keeps what one contestant took, turn by turn.
type turns struct {
	packing, unpacking []time.Duration
	size               int
}

// ratio compares medians, which a machine that does other things as well moves
// least. They leave most of the garbage collector's work out, to the advantage
// of whoever allocates more.
func ratio(these, those []time.Duration) float64 {
	slices.Sort(these)
	slices.Sort(those)
	return float64(these[len(these)/2]) / float64(those[len(those)/2])
}

func (t *turns) take(b *testing.B, c contestant) {
	b.Helper()
	start := time.Now()
	packed, err := c.pack()
	packing := time.Now()
	if err == nil {
		err = c.unpack(packed)
	}
	if err != nil {
		b.Fatal(err)
	}
	t.packing = append(t.packing, packing.Sub(start))
	t.unpacking = append(t.unpacking, time.Since(packing))
	t.size = len(packed)
}
