package snapshotcodec

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/syncworker/syncworker/internal/handoff"
)

// VersionOffset is where the version stands in every packed snapshot, of every
// format version: 8 bytes of fence, then 8 bytes of sequence, big-endian.
// FROZEN: Lua scripts inside Redis read these bytes.
const VersionOffset = 8

// FormatVersion is the format version that Pack writes.
const FormatVersion = 1

// The rest of the envelope's layout. FROZEN, see the package doc.
const (
	magic          = "SWS\xa7"
	formatOffset   = 4
	methodOffset   = 6
	flagsOffset    = 7
	sequenceOffset = VersionOffset + 8
	metaLenOffset  = 24
	sizeOffset     = 28
	packedOffset   = 32
	headSize       = 36
	sumSize        = 8

	flagPinned = 1 << 0

	// maxNumber bounds fence and sequence: the largest integer below which a
	// double holds every one.
	maxNumber = 1<<53 - 1
)

// VersionOf returns the version of a packed snapshot of any format version,
// also a future one, from its first 24 bytes. Nothing else is verified: it
// orders snapshots, it does not vouch for them. It returns ErrMagic,
// ErrTruncated or, for a version that cannot be, ErrStructure.
func VersionOf(packed []byte) (handoff.Version, error) {
	if err := checkMagic(packed); err != nil {
		return handoff.Version{}, err
	}
	if len(packed) < metaLenOffset {
		return handoff.Version{}, fmt.Errorf("%w: %d bytes, the version ends at %d", ErrTruncated, len(packed), metaLenOffset)
	}
	return readVersion(packed)
}

// envelope is a packed snapshot taken apart, its checksum verified. The slices
// are parts of the input.
type envelope struct {
	version handoff.Version
	method  Compression
	pinned  bool
	meta    []byte
	// size is the payload's claimed length before compression: at most
	// MaxSizeCeiling, otherwise a claim.
	size   int
	packed []byte
}

// open takes the bytes apart and believes nothing before the checksum is
// verified, so that accidental damage is always reported as such.
func open(packed []byte) (envelope, error) {
	meta, body, err := split(packed)
	if err != nil {
		return envelope{}, err
	}
	version, err := readVersion(packed)
	if err != nil {
		return envelope{}, err
	}
	e := envelope{
		version: version,
		method:  Compression(packed[methodOffset]),
		pinned:  packed[flagsOffset]&flagPinned != 0,
		meta:    meta,
		packed:  body,
	}
	if unknown := packed[flagsOffset] &^ flagPinned; unknown != 0 {
		return envelope{}, fmt.Errorf("%w: unknown flags %#02x", ErrStructure, unknown)
	}
	if !e.method.valid() {
		return envelope{}, fmt.Errorf("%w: unknown compression %d", ErrStructure, e.method)
	}
	size := binary.BigEndian.Uint32(packed[sizeOffset:])
	if size > MaxSizeCeiling {
		return envelope{}, fmt.Errorf("%w: claims %d bytes of data, none has more than %d", ErrSize, size, MaxSizeCeiling)
	}
	e.size = int(size)
	return e, nil
}

// split verifies magic, format version, lengths and checksum, and returns the
// two variable parts.
func split(packed []byte) (meta, body []byte, err error) {
	if err := checkMagic(packed); err != nil {
		return nil, nil, err
	}
	if len(packed) < methodOffset {
		return nil, nil, fmt.Errorf("%w: %d bytes", ErrTruncated, len(packed))
	}
	if format := binary.BigEndian.Uint16(packed[formatOffset:]); format != FormatVersion {
		return nil, nil, fmt.Errorf("%w: %d, this program reads %d", ErrFormat, format, FormatVersion)
	}
	if len(packed) < headSize+sumSize {
		return nil, nil, fmt.Errorf("%w: %d bytes, the shortest snapshot has more than %d", ErrTruncated, len(packed), headSize+sumSize)
	}
	metaLen := uint64(binary.BigEndian.Uint32(packed[metaLenOffset:]))
	bodyLen := uint64(binary.BigEndian.Uint32(packed[packedOffset:]))
	total := headSize + metaLen + bodyLen + sumSize
	switch have := uint64(len(packed)); {
	case have < total:
		return nil, nil, fmt.Errorf("%w: %d of %d bytes", ErrTruncated, have, total)
	case have > total:
		return nil, nil, fmt.Errorf("%w: %d bytes too many after %d", ErrStructure, have-total, total)
	}
	end := len(packed) - sumSize
	want, got := binary.BigEndian.Uint64(packed[end:]), xxhash.Sum64(packed[:end])
	if want != got {
		return nil, nil, fmt.Errorf("%w: stored %016x, computed %016x", ErrChecksum, want, got)
	}
	split := headSize + int(metaLen)
	return packed[headSize:split], packed[split:end], nil
}

func checkMagic(packed []byte) error {
	most := min(len(packed), len(magic))
	if string(packed[:most]) != magic[:most] {
		return fmt.Errorf("%w: begins with % x", ErrMagic, packed[:most])
	}
	if most < len(magic) {
		return fmt.Errorf("%w: %d bytes", ErrTruncated, len(packed))
	}
	return nil
}

// readVersion needs 24 bytes.
func readVersion(packed []byte) (handoff.Version, error) {
	fence := binary.BigEndian.Uint64(packed[VersionOffset:])
	sequence := binary.BigEndian.Uint64(packed[sequenceOffset:])
	if fence < 1 || fence > maxNumber || sequence < 1 || sequence > maxNumber {
		return handoff.Version{}, fmt.Errorf("%w: version %d/%d is outside 1 to 2^53-1", ErrStructure, fence, sequence)
	}
	return handoff.Version{Fence: handoff.Fence(fence), Sequence: sequence}, nil
}

// appendHead appends the fixed part; the lengths and the compression are
// filled in by seal, when they are known.
func appendHead(dst []byte, s *Snapshot) []byte {
	var flags byte
	if s.Pinned {
		flags |= flagPinned
	}
	dst = append(dst, magic...)
	dst = binary.BigEndian.AppendUint16(dst, FormatVersion)
	dst = append(dst, 0, flags)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.Version.Fence))
	dst = binary.BigEndian.AppendUint64(dst, s.Version.Sequence)
	return append(dst, make([]byte, headSize-metaLenOffset)...)
}

// seal fills in what appendHead left open and appends the checksum. The
// envelope is dst[start:]; its payload begins at body and had size bytes before
// compression.
func seal(dst []byte, start, body, size int, method Compression) []byte {
	head := dst[start : start+headSize]
	head[methodOffset] = byte(method)
	binary.BigEndian.PutUint32(head[metaLenOffset:], uint32(body-start-headSize))
	binary.BigEndian.PutUint32(head[sizeOffset:], uint32(size))
	binary.BigEndian.PutUint32(head[packedOffset:], uint32(len(dst)-body))
	return binary.BigEndian.AppendUint64(dst, xxhash.Sum64(dst[start:]))
}
