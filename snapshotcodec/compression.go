package snapshotcodec

import (
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Compression is how a payload is compressed. The numbers stand in packed
// bytes: FROZEN.
type Compression uint8

// The compressions. All of them can be read whatever a codec writes, so the
// setting may be changed at any time and may differ between servers.
const (
	// None stores the payload as it is.
	None Compression = 0
	// Zstd is smallest; a good default for data that crosses a network.
	Zstd Compression = 1
	// Snappy costs less processor time and compresses less.
	Snappy Compression = 2
)

var compressionNames = [...]string{None: "none", Zstd: "zstd", Snappy: "snappy"}

// ParseCompression reads "none", "zstd" or "snappy", as snapshots.compression
// carries it. The error names the text and the choices.
func ParseCompression(text string) (Compression, error) {
	at := slices.Index(compressionNames[:], text)
	if at < 0 {
		return None, fmt.Errorf("snapshotcodec: unknown compression %q (want none, zstd or snappy)", text)
	}
	return Compression(at), nil
}

// String returns the name that ParseCompression reads.
func (c Compression) String() string {
	if !c.valid() {
		return fmt.Sprintf("compression(%d)", uint8(c))
	}
	return compressionNames[c]
}

func (c Compression) valid() bool { return int(c) < len(compressionNames) }

// appendCompressed appends raw to dst, compressed with what the codec was told
// (which is not None), or as it is where that gains nothing; it returns which.
func (c *Codec) appendCompressed(dst, raw []byte) ([]byte, Compression) {
	start := len(dst)
	if c.compression == Zstd {
		dst = c.zstdEncoder.EncodeAll(raw, dst)
	} else {
		dst = appendSnappy(dst, raw)
	}
	if len(dst)-start >= len(raw) {
		return append(dst[:start], raw...), None
	}
	return dst, c.compression
}

func appendSnappy(dst, raw []byte) []byte {
	start, most := len(dst), s2.MaxEncodedLen(len(raw))
	dst = slices.Grow(dst, most)
	block := s2.EncodeSnappy(dst[start:start+most], raw) // in place
	return dst[:start+len(block)]
}

// decompress returns the payload in memory of its own. The claimed size has
// been compared with the codec's limit before.
func (c *Codec) decompress(e *envelope) ([]byte, error) {
	switch e.method {
	case Zstd:
		return c.decompressZstd(e)
	case Snappy:
		return decompressSnappy(e)
	case None:
	}
	if len(e.packed) != e.size {
		return nil, fmt.Errorf("%w: claims %d bytes, has %d", ErrSize, e.size, len(e.packed))
	}
	return append(make([]byte, 0, e.size), e.packed...), nil
}

func decompressSnappy(e *envelope) ([]byte, error) {
	size, err := s2.DecodedLen(e.packed)
	if err != nil {
		return nil, fmt.Errorf("%w: snappy length: %w", ErrStructure, err)
	}
	if size != e.size {
		return nil, fmt.Errorf("%w: claims %d bytes, its snappy block %d", ErrSize, e.size, size)
	}
	payload, err := s2.Decode(make([]byte, 0, size), e.packed)
	if err != nil {
		return nil, fmt.Errorf("%w: snappy block: %w", ErrStructure, err)
	}
	return payload, nil
}
