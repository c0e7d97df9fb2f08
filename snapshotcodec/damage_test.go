package snapshotcodec_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

func TestEveryTruncationIsFound(t *testing.T) {
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{Compression: compression})
		packed := pack(t, codec, fullSnapshot())
		for length := range packed {
			_, err := codec.Unpack(packed[:length])
			wantDamage(t, err, snapshotcodec.ErrTruncated)
			_, err = snapshotcodec.Meta(packed[:length])
			wantDamage(t, err, snapshotcodec.ErrTruncated)
		}
	}
}

func TestEveryChangedByteIsFound(t *testing.T) {
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{Compression: compression})
		packed := pack(t, codec, fullSnapshot())
		for at := range packed {
			for _, change := range []byte{1, 0x80, 0xff} {
				damaged := bytes.Clone(packed)
				damaged[at] ^= change
				want := snapshotcodec.ErrChecksum
				switch {
				case at < 4:
					want = snapshotcodec.ErrMagic
				case at < 6:
					want = snapshotcodec.ErrFormat
				case at >= 24 && at < 28 || at >= 32 && at < 36:
					want = nil // a length: something is missing or too much
				}
				_, err := codec.Unpack(damaged)
				wantDamage(t, err, want)
			}
		}
	}
}

func TestTrailingBytesAreFound(t *testing.T) {
	codec := newCodec(t, snapshotcodec.Config{})
	_, err := codec.Unpack(append(pack(t, codec, fullSnapshot()), 0))
	wantDamage(t, err, snapshotcodec.ErrStructure)
}

// A newer worker's snapshot is refused, never taken for damage of another kind,
// and can still be ordered.
func TestNewerFormat(t *testing.T) {
	codec := newCodec(t, snapshotcodec.Config{})
	newer := forge(0, 2, []byte{0, 0}).with(func(f *forged) { f.format = 2 }).bytes()
	_, err := codec.Unpack(newer)
	wantDamage(t, err, snapshotcodec.ErrFormat)
	if text := fmt.Sprint(err); !strings.Contains(text, "2, this program reads 1") {
		t.Errorf("error %q does not name both versions", text)
	}
	_, err = snapshotcodec.Meta(newer)
	wantDamage(t, err, snapshotcodec.ErrFormat)
	version, err := snapshotcodec.VersionOf(newer)
	if want := (handoff.Version{Fence: 7, Sequence: 8}); err != nil || version != want {
		t.Errorf("VersionOf = %v, %v, want %v", version, err, want)
	}
}

func TestVersionOfErrors(t *testing.T) {
	packed := forge(0, 2, []byte{0, 0}).bytes()
	for length := range 24 {
		_, err := snapshotcodec.VersionOf(packed[:length])
		wantDamage(t, err, snapshotcodec.ErrTruncated)
	}
	if _, err := snapshotcodec.VersionOf(packed[:24]); err != nil {
		t.Errorf("VersionOf of 24 bytes: %v", err)
	}
	_, err := snapshotcodec.VersionOf([]byte(`{"id":"..."}`))
	wantDamage(t, err, snapshotcodec.ErrMagic)
	for _, numbers := range [][2]uint64{{0, 1}, {1, 0}, {1 << 53, 1}, {1, 1 << 53}, {1 << 63, 1}} {
		f := forge(0, 2, []byte{0, 0})
		f.fence, f.sequence = numbers[0], numbers[1]
		_, err := snapshotcodec.VersionOf(f.bytes())
		wantDamage(t, err, snapshotcodec.ErrStructure)
		_, err = newCodec(t, snapshotcodec.Config{}).Unpack(f.bytes())
		wantDamage(t, err, snapshotcodec.ErrStructure)
	}
}

// Envelopes whose checksum is right and whose content is not.
func TestForgedHeadAndMeta(t *testing.T) {
	texts := func(texts ...string) func(*forged) {
		return func(f *forged) { f.meta = forgedMeta(texts...) }
	}
	at := func(offset int, value ...byte) func(*forged) {
		return func(f *forged) { copy(f.meta[offset:], value) }
	}
	cases := map[string]func(*forged){
		"unknown compression":   func(f *forged) { f.method = 3 },
		"unknown flag":          func(f *forged) { f.flags = 2 },
		"no metadata":           func(f *forged) { f.meta = nil },
		"metadata cut":          func(f *forged) { f.meta = f.meta[:55] },
		"no texts":              func(f *forged) { f.meta = f.meta[:56] },
		"four texts":            func(f *forged) { f.meta = f.meta[:len(f.meta)-1] },
		"six texts":             texts("a", "", "", "", "", ""),
		"text ends behind":      func(f *forged) { f.meta[len(f.meta)-1] = 1 },
		"no snapshot id":        at(15, 0),
		"no player id":          at(31, 0),
		"no server":             texts("", "", "", "", ""),
		"server in capitals":    texts("A", "", "", "", ""),
		"server with a blank":   texts("a b", "", "", "", ""),
		"long name":             texts("a", strings.Repeat("n", 65), "", "", ""),
		"long cause":            texts("a", "", strings.Repeat("c", 33), "", ""),
		"long platform":         texts("a", "", "", strings.Repeat("p", 65), ""),
		"long game version":     texts("a", "", "", "", strings.Repeat("g", 65)),
		"name not UTF-8":        texts("a", "\xff", "", "", ""),
		"name with NUL":         texts("a", "\x00", "", "", ""),
		"captured before 1":     at(32, 0xff, 0xff, 0xff, 0xf0),
		"captured after 9999":   at(32, 0, 0, 0, 0x70),
		"captured at 10^9 ns":   at(40, 0x3b, 0x9a, 0xca, 0x00),
		"created at 2^32-1 ns":  at(52, 0xff, 0xff, 0xff, 0xff),
		"created at -2^63 secs": at(44, 0x80),
	}
	codec := newCodec(t, snapshotcodec.Config{})
	good := forge(0, 2, []byte{0, 0})
	unpack(t, codec, good.bytes())
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			packed := forge(0, 2, []byte{0, 0}).with(change).bytes()
			_, err := codec.Unpack(packed)
			wantDamage(t, err, snapshotcodec.ErrStructure)
			_, err = snapshotcodec.Meta(packed)
			wantDamage(t, err, snapshotcodec.ErrStructure)
		})
	}
}

// table returns the payload's table of keys.
func table(lengths ...uint32) []byte {
	payload := []byte{byte(len(lengths) / 2 >> 8), byte(len(lengths) / 2)}
	for i := 0; i < len(lengths); i += 2 {
		payload = binary.BigEndian.AppendUint32(append(payload, byte(lengths[i])), lengths[i+1])
	}
	return payload
}

func TestForgedPayload(t *testing.T) {
	cases := map[string][]byte{
		"empty":            {},
		"half a count":     {0},
		"too many keys":    append(table(make([]uint32, 2050)...), make([]byte, 10000)...),
		"table cut":        table(1, 1)[:6],
		"keys missing":     table(5, 0),
		"value missing":    append(table(1, 9), "kvvv"...),
		"value of 4 GiB":   append(table(1, 1<<32-1), "k"...),
		"sum of 2^32":      append(table(1, 1<<31, 1, 1<<31), "ab"...),
		"bytes behind":     append(table(1, 1), "kvx"...),
		"empty key":        table(0, 0),
		"long key":         append(table(129, 0), strings.Repeat("k", 129)...),
		"key not UTF-8":    append(table(1, 0), 0xff),
		"key with NUL":     append(table(1, 0), 0),
		"keys not in line": append(table(1, 0, 1, 0), "ba"...),
		"key twice":        append(table(1, 0, 1, 0), "aa"...),
	}
	codec := newCodec(t, snapshotcodec.Config{})
	unpack(t, codec, forge(0, 14, append(table(1, 0, 1, 0), "ab"...)).bytes())
	for name, payload := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := codec.Unpack(forge(0, int64(len(payload)), payload).bytes())
			wantDamage(t, err, snapshotcodec.ErrStructure)
		})
	}
}

// forgery is a payload whose size is claimed outside, and what is wrong with
// it; nil when nothing is.
type forgery struct {
	name    string
	size    int64
	payload []byte
	want    error
}

// forgeryData is one key of 100 bytes, uncompressed.
func forgeryData() (raw []byte, size int64) {
	raw = append(table(1, 100), "k"+strings.Repeat("v", 100)...)
	return raw, int64(len(raw))
}

func checkForgeries(t *testing.T, method byte, forgeries []forgery) {
	t.Helper()
	codec := newCodec(t, snapshotcodec.Config{})
	for _, f := range forgeries {
		t.Run(f.name, func(t *testing.T) {
			s, err := codec.Unpack(forge(method, f.size, f.payload).bytes())
			if f.want != nil {
				wantDamage(t, err, f.want)
			} else if err != nil || len(s.Data["k"]) != 100 {
				t.Errorf("Unpack = %+v, %v", s, err)
			}
		})
	}
}

func TestForgedPlain(t *testing.T) {
	raw, size := forgeryData()
	checkForgeries(t, 0, []forgery{
		{"sound", size, raw, nil},
		{"claims less", size - 1, raw, snapshotcodec.ErrSize},
		{"claims more", size + 1, raw, snapshotcodec.ErrSize},
		{"claims 4 GiB", 1<<32 - 1, raw, snapshotcodec.ErrSize},
	})
}

func TestForgedSnappy(t *testing.T) {
	raw, size := forgeryData()
	block := s2.EncodeSnappy(nil, raw)
	checkForgeries(t, 2, []forgery{
		{"sound", size, block, nil},
		{"claims less", size - 1, block, snapshotcodec.ErrSize},
		{"claims more", size + 1, block, snapshotcodec.ErrSize},
		{"cut", size, block[:len(block)-1], snapshotcodec.ErrStructure},
		{"empty", size, nil, snapshotcodec.ErrStructure},
		{"bytes behind", size, join(block, []byte{0}), snapshotcodec.ErrStructure},
	})
}

// Frames that a decoder would take and Pack never writes, and frames that no
// decoder would take.
func TestForgedZstd(t *testing.T) {
	raw, size := forgeryData()
	n := len(raw)
	frame := zstdFrame(t, raw)
	checked := zstdFrame(t, raw, zstd.WithEncoderCRC(true))
	head, half, whole := zstdHead(n), zstdBlock(rawBlock, n, false, raw...), zstdBlock(rawBlock, n, true, raw...)
	wrong := bytes.Clone(checked)
	wrong[len(wrong)-1] ^= 1
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}
	unsized := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0}
	dictionary := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x21, 9, byte(n)}
	checkForgeries(t, 1, []forgery{
		{"sound", size, frame, nil},
		{"sound with checksum", size, checked, nil},
		{"sound by hand", size, join(head, whole), nil},
		{"claims less", size - 1, frame, snapshotcodec.ErrSize},
		{"claims more", size + 1, frame, snapshotcodec.ErrSize},
		{"empty", size, nil, snapshotcodec.ErrStructure},
		{"not a frame", size, raw, snapshotcodec.ErrStructure},
		{"cut", size, frame[:len(frame)-1], snapshotcodec.ErrStructure},
		{"checksum cut", size, checked[:len(checked)-1], snapshotcodec.ErrStructure},
		{"checksum wrong", size, wrong, snapshotcodec.ErrStructure},
		{"bytes behind", size, join(frame, []byte{0}), snapshotcodec.ErrStructure},
		{"second frame", size, join(frame, frame), snapshotcodec.ErrStructure},
		{"skippable frame", size, join(skippable, frame), snapshotcodec.ErrStructure},
		{"no size", size, join(unsized, whole), snapshotcodec.ErrStructure},
		{"dictionary", size, join(dictionary, whole), snapshotcodec.ErrStructure},
		{"no block", size, head, snapshotcodec.ErrStructure},
		{"no last block", size, join(head, half), snapshotcodec.ErrStructure},
		{"block behind the end", size, join(head, whole[:9]), snapshotcodec.ErrStructure},
		{"reserved block", size, join(head, zstdBlock(reservedBlock, 1, true, 0)), snapshotcodec.ErrStructure},
		{"raw blocks too long", size, join(head, half, whole), snapshotcodec.ErrSize},
		{"run too long", size, join(head, zstdBlock(rleBlock, n+1, true, 'z')), snapshotcodec.ErrSize},
		{"literals too long", size, join(head, half, zstdLiterals(n, true)), snapshotcodec.ErrSize},
		{"too short", size, join(head, zstdLiterals(n-1, true)), snapshotcodec.ErrSize},
	})
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func zstdFrame(t testing.TB, raw []byte, options ...zstd.EOption) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, append([]zstd.EOption{zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return encoder.EncodeAll(raw, nil)
}
