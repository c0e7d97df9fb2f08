package snapshotcodec_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

const (
	gibibyte = 1 << 30
	maxSize  = snapshotcodec.DefaultMaxSize
	// workSpace is what a decoding may cost beside the payload itself.
	workSpace = 1 << 20
)

// A bomb of 1 GiB costs no more memory than max_size, whatever it claims to be
// and wherever it lies.
func TestBombsAreBounded(t *testing.T) {
	const none, zst, snappy = 0, 1, 2
	block := snappyBomb(gibibyte, gibibyte)
	bombs := []struct {
		name    string
		method  byte
		size    int64
		payload []byte
		want    error
	}{
		{"zstd, honest", zst, gibibyte, runBomb(gibibyte, gibibyte), snapshotcodec.ErrSize},
		{"zstd, honest in its frame", zst, maxSize, runBomb(gibibyte, gibibyte), snapshotcodec.ErrSize},
		{"zstd, runs", zst, maxSize, runBomb(maxSize, gibibyte), snapshotcodec.ErrSize},
		{"zstd, literals", zst, maxSize, literalBomb(maxSize, gibibyte), snapshotcodec.ErrSize},
		{"zstd, matches", zst, maxSize, matchBomb(t, maxSize, gibibyte), snapshotcodec.ErrSize},
		{"zstd, frames", zst, maxSize, bytes.Repeat(runBomb(maxSize, maxSize), gibibyte/maxSize), snapshotcodec.ErrStructure},
		{"zstd, small claim", zst, 1024, literalBomb(1024, gibibyte), snapshotcodec.ErrSize},
		{"snappy, honest", snappy, gibibyte, block, snapshotcodec.ErrSize},
		{"snappy, honest in its block", snappy, maxSize, block, snapshotcodec.ErrSize},
		{"snappy, lying", snappy, maxSize, snappyBomb(maxSize, 4*maxSize), snapshotcodec.ErrStructure},
		{"keys", none, 5127, append(table(bytesOf(2048, 1<<32-1)...), 0, 0, 0, 0, 0)[:5127], snapshotcodec.ErrStructure},
	}
	codec := newCodec(t, snapshotcodec.Config{})
	for _, bomb := range bombs {
		t.Run(bomb.name, func(t *testing.T) {
			packed := forge(bomb.method, bomb.size, bomb.payload).bytes()
			_, err := codec.Unpack(packed) // also makes the work space
			wantDamage(t, err, bomb.want)
			spent := allocated(func() { _, err = codec.Unpack(packed) })
			wantDamage(t, err, bomb.want)
			if spent > maxSize+workSpace {
				t.Errorf("%d bytes of bomb cost %d bytes of memory, max size is %d", len(packed), spent, maxSize)
			}
		})
	}
}

// The first use of a codec pays for its work space, once.
func TestFirstBombIsBoundedToo(t *testing.T) {
	packed := forge(1, maxSize, literalBomb(maxSize, gibibyte)).bytes()
	var err error
	spent := allocated(func() {
		var codec *snapshotcodec.Codec
		if codec, err = snapshotcodec.New(snapshotcodec.Config{}); err == nil {
			_, err = codec.Unpack(packed)
		}
	})
	wantDamage(t, err, snapshotcodec.ErrSize)
	if spent > maxSize+workSpace {
		t.Errorf("cost %d bytes of memory, max size is %d", spent, maxSize)
	}
}

// Lengths that lie cost nothing at all.
func TestLyingLengthsCostNothing(t *testing.T) {
	codec := newCodec(t, snapshotcodec.Config{})
	packed := pack(t, codec, fullSnapshot())
	for _, offset := range []int{24, 28, 32} {
		lying := bytes.Clone(packed)
		binary.BigEndian.PutUint32(lying[offset:], 1<<32-1)
		var err error
		spent := allocated(func() { _, err = codec.Unpack(reseal(lying)) })
		wantDamage(t, err, nil)
		if spent > 64<<10 {
			t.Errorf("length at %d: cost %d bytes", offset, spent)
		}
	}
}

// allocated returns how many bytes were allocated by do, including what is
// garbage already.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

const zstdMaxBlock = 128 << 10

// runBomb is a zstd frame of run-length blocks.
func runBomb(claimed, size int) []byte {
	bomb := zstdHead(claimed)
	for ; size > 0; size -= zstdMaxBlock {
		bomb = append(bomb, zstdBlock(rleBlock, min(size, zstdMaxBlock), size <= zstdMaxBlock, 'z')...)
	}
	return bomb
}

// literalBomb is a zstd frame whose blocks do not state what they unpack to.
func literalBomb(claimed, size int) []byte {
	bomb := zstdHead(claimed)
	block := min(claimed, zstdMaxBlock)
	for ; size > 0; size -= block {
		bomb = append(bomb, zstdLiterals(block, size <= block)...)
	}
	return bomb
}

// matchBomb is a zstd frame of blocks that copy from the blocks before: the
// second block of a real one, again and again.
func matchBomb(t *testing.T, claimed, size int) []byte {
	t.Helper()
	frame := zstdFrame(t, bytes.Repeat([]byte("minecraft:diamond_sword "), 4*zstdMaxBlock/24+1)[:4*zstdMaxBlock])
	blocks := frame[9:] // magic, descriptor, 4 bytes of content size
	var all [][]byte
	for len(blocks) > 0 {
		head := int(blocks[0]) | int(blocks[1])<<8 | int(blocks[2])<<16
		if head>>1&3 != compressedBlock {
			t.Fatalf("block %d is of type %d", len(all), head>>1&3)
		}
		end := 3 + head>>3
		all, blocks = append(all, blocks[:end]), blocks[end:]
	}
	bomb := append(zstdHead(claimed), all[0]...)
	bomb = append(bomb, bytes.Repeat(all[1], size/zstdMaxBlock)...)
	return append(bomb, all[len(all)-1]...)
}

// snappyBomb is a raw snappy block of copies of one byte.
func snappyBomb(claimed, size int) []byte {
	bomb := binary.AppendUvarint(nil, uint64(claimed))
	bomb = append(bomb, 0, 'z') // literal of one byte
	const longest = 64
	return append(bomb, bytes.Repeat([]byte{(longest-1)<<2 | 2, 1, 0}, (size-1)/longest)...)
}

func bytesOf(count int, value uint32) []uint32 {
	values := make([]uint32, count)
	for i := range values {
		values[i] = value
	}
	return values
}

// The bombs are made rightly: when all is as claimed they unpack, and what is
// wrong is only that 'zz' is no sound number of data keys.
func TestHonestBombsUnpack(t *testing.T) {
	codec := newCodec(t, snapshotcodec.Config{})
	const size = 4 * zstdMaxBlock
	for name, payload := range map[string][]byte{
		"runs":     runBomb(size, size),
		"literals": literalBomb(size, size),
	} {
		_, err := codec.Unpack(forge(1, size, payload).bytes())
		wantDamage(t, err, snapshotcodec.ErrStructure)
		if text := fmt.Sprint(err); !strings.Contains(text, "data keys") {
			t.Errorf("%s: error %q is not about the data keys", name, text)
		}
	}
	const copies = 1 + 64*100
	_, err := codec.Unpack(forge(2, copies, snappyBomb(copies, copies)).bytes())
	if text := fmt.Sprint(err); !strings.Contains(text, "data keys") {
		t.Errorf("snappy: error %q is not about the data keys", text)
	}
	// The blocks of a match bomb repeat text that begins "mi".
	_, err = codec.Unpack(forge(1, size+zstdMaxBlock, matchBomb(t, size+zstdMaxBlock, 3*zstdMaxBlock)).bytes())
	if text := fmt.Sprint(err); !strings.Contains(text, "data keys") {
		t.Errorf("matches: error %q is not about the data keys", text)
	}
}

// A snapshot above the limit is not damaged: the operator lowered the limit.
func TestLoweredMaxSize(t *testing.T) {
	s := bareSnapshot()
	s.Data["k"] = make([]byte, 100<<10)
	for _, compression := range compressions {
		packed := pack(t, newCodec(t, snapshotcodec.Config{Compression: compression}), s)
		low := newCodec(t, snapshotcodec.Config{MaxSize: 64 << 10})
		var err error
		spent := allocated(func() { _, err = low.Unpack(packed) })
		if !errors.Is(err, handoff.ErrTooLarge) || errors.Is(err, handoff.ErrDamaged) || errors.Is(err, handoff.ErrNoSnapshot) {
			t.Errorf("%v: error %v, want ErrTooLarge alone", compression, err)
		}
		if text := fmt.Sprint(err); !strings.Contains(text, "snapshots.max_size") || !strings.Contains(text, "65536") {
			t.Errorf("%v: error %q names neither key nor limit", compression, text)
		}
		if spent > 16<<10 {
			t.Errorf("%v: the refusal cost %d bytes", compression, spent)
		}
		if _, err := snapshotcodec.Meta(packed); err != nil {
			t.Errorf("%v: Meta: %v", compression, err)
		}
	}
}

// The limit counts the same bytes in both directions, to the byte.
func TestMaxSizeToTheByte(t *testing.T) {
	const limit, around = 4096, 2 + 5 + 1
	for _, compression := range compressions {
		codec := newCodec(t, snapshotcodec.Config{MaxSize: limit, Compression: compression})
		s := bareSnapshot()
		s.Data["k"] = make([]byte, limit-around)
		wantEqual(t, unpack(t, codec, pack(t, codec, s)), s)
		s.Data["k"] = make([]byte, limit-around+1)
		s.Data["kk"] = nil
		packed, err := codec.Pack(s)
		if packed != nil || !errors.Is(err, handoff.ErrTooLarge) || errors.Is(err, handoff.ErrDamaged) {
			t.Errorf("%v: Pack = %d bytes, %v, want ErrTooLarge", compression, len(packed), err)
		}
		if text := fmt.Sprint(err); !strings.Contains(text, `in "k"`) || !strings.Contains(text, "snapshots.max_size") {
			t.Errorf("%v: error %q names neither data key nor config key", compression, text)
		}
	}
}
