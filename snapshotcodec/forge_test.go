package snapshotcodec_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// forged is an envelope written by somebody else: every field can lie, and the
// checksum is right all the same. Its numbers are the test's own.
type forged struct {
	magic           string
	format          uint16
	method, flags   byte
	fence, sequence uint64
	meta            []byte
	size            uint32
	payload         []byte
}

// forge returns a sound envelope around a payload that is compressed already.
func forge(method byte, size int64, payload []byte) forged {
	return forged{
		magic: "SWS\xa7", format: 1, method: method, fence: 7, sequence: 8,
		meta: forgedMeta("a", "", "", "", ""), size: uint32(size), payload: payload,
	}
}

// forgedMeta returns metadata with all times zero.
func forgedMeta(texts ...string) []byte {
	meta := make([]byte, 56)
	meta[15], meta[31] = 1, 2
	for _, text := range texts {
		meta = append(append(meta, byte(len(text))), text...)
	}
	return meta
}

func (f forged) bytes() []byte {
	out := []byte(f.magic)
	out = binary.BigEndian.AppendUint16(out, f.format)
	out = append(out, f.method, f.flags)
	out = binary.BigEndian.AppendUint64(out, f.fence)
	out = binary.BigEndian.AppendUint64(out, f.sequence)
	out = binary.BigEndian.AppendUint32(out, uint32(len(f.meta)))
	out = binary.BigEndian.AppendUint32(out, f.size)
	out = binary.BigEndian.AppendUint32(out, uint32(len(f.payload)))
	out = append(append(out, f.meta...), f.payload...)
	return binary.BigEndian.AppendUint64(out, xxhash.Sum64(out))
}

// with returns a copy that was changed in one respect.
func (f forged) with(change func(*forged)) forged {
	change(&f)
	return f
}

// Zstd frames made by hand, RFC 8878.
const (
	rawBlock        = 0
	rleBlock        = 1
	compressedBlock = 2
	reservedBlock   = 3
)

// zstdHead begins a frame of one segment that claims a content size.
func zstdHead(size int) []byte {
	return binary.LittleEndian.AppendUint32([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}, uint32(size))
}

// zstdBlock is one block; length is what its header says.
func zstdBlock(kind, length int, last bool, body ...byte) []byte {
	head := length<<3 | kind<<1
	if last {
		head |= 1
	}
	return append([]byte{byte(head), byte(head >> 8), byte(head >> 16)}, body...)
}

// zstdLiterals is a compressed block that repeats one byte without being an RLE
// block: its size shows only to who decodes it.
func zstdLiterals(length int, last bool) []byte {
	literals := 1 | 3<<2 | length<<4
	return zstdBlock(compressedBlock, 5, last, byte(literals), byte(literals>>8), byte(literals>>16), 'z', 0)
}

var sentinels = []error{
	snapshotcodec.ErrMagic, snapshotcodec.ErrFormat, snapshotcodec.ErrTruncated,
	snapshotcodec.ErrChecksum, snapshotcodec.ErrSize, snapshotcodec.ErrStructure,
}

// wantDamage checks that an error about bytes is handoff.ErrDamaged and exactly
// one of the package's sentinels: the wanted one, or any when want is nil.
func wantDamage(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, handoff.ErrDamaged) {
		t.Errorf("error %v does not wrap ErrDamaged", err)
	}
	if errors.Is(err, handoff.ErrTooLarge) || errors.Is(err, handoff.ErrNoSnapshot) {
		t.Errorf("error %v says more than one thing", err)
	}
	var is []error
	for _, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			is = append(is, sentinel)
		}
	}
	if len(is) != 1 || want != nil && !errors.Is(is[0], want) {
		t.Errorf("error %v is %q, want %q", err, is, want)
	}
}
