package snapshotcodec

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Snapshot is handoff.Snapshot under a name that users of this package can
// write.
type Snapshot = handoff.Snapshot

// What Config.MaxSize may be, in bytes.
const (
	// DefaultMaxSize is what zero means: 10 MiB.
	DefaultMaxSize = 10 << 20
	// MaxSizeFloor is the smallest: 1 KiB. Less can only be a missing unit.
	MaxSizeFloor = 1 << 10
	// MaxSizeCeiling is the largest: 256 MiB. Redis holds no value above 512 MiB.
	MaxSizeCeiling = 256 << 20
)

// Config of a Codec.
type Config struct {
	// MaxSize bounds the payload before compression, in bytes, when packing
	// and when unpacking: values, keys and 5 bytes per key. Zero means
	// DefaultMaxSize.
	MaxSize int64
	// Compression of what is packed; None unless set. Whatever it is, every
	// compression can be unpacked.
	Compression Compression
}

// Codec packs and unpacks snapshots. It may be used by any number of
// goroutines at once.
//
// A Codec made inside a testing/synctest bubble can be used in that bubble
// only; one made outside can be used everywhere.
type Codec struct {
	maxSize     int64
	compression Compression
	zstdEncoder *zstd.Encoder // nil unless compression is Zstd
	zstdDecoder *zstd.Decoder
	scratch     sync.Pool // of *scratch
}

// New returns a Codec. It fails when a Config field has an impossible value,
// and names it.
func New(config Config) (*Codec, error) {
	if config.MaxSize == 0 {
		config.MaxSize = DefaultMaxSize
	}
	if config.MaxSize < MaxSizeFloor || config.MaxSize > MaxSizeCeiling {
		return nil, fmt.Errorf("snapshotcodec: max size of %d bytes (want %d to %d)", config.MaxSize, MaxSizeFloor, MaxSizeCeiling)
	}
	if !config.Compression.valid() {
		return nil, fmt.Errorf("snapshotcodec: unknown %v", config.Compression)
	}
	c := &Codec{maxSize: config.MaxSize, compression: config.Compression}
	c.scratch.New = func() any { return new(scratch) }
	if err := c.startZstd(); err != nil {
		return nil, err
	}
	return c, nil
}

// Pack returns the snapshot's bytes, in memory of their own. It returns
// handoff.ErrTooLarge when the data exceeds Config.MaxSize and ErrInvalid when
// the snapshot breaks another limit or lacks its identity. The snapshot is only
// read.
func (c *Codec) Pack(s *Snapshot) ([]byte, error) {
	w := c.scratch.Get().(*scratch)
	defer c.release(w)
	packed, err := c.appendPacked(w.packed[:0], s, w)
	if err != nil {
		return nil, err
	}
	w.packed = packed
	return bytes.Clone(packed), nil
}

// Append is Pack for a caller with a buffer: it appends the snapshot's bytes to
// dst. On an error it returns dst as it was.
func (c *Codec) Append(dst []byte, s *Snapshot) ([]byte, error) {
	w := c.scratch.Get().(*scratch)
	defer c.release(w)
	packed, err := c.appendPacked(dst, s, w)
	if err != nil {
		return dst, err
	}
	return packed, nil
}

func (c *Codec) appendPacked(dst []byte, s *Snapshot, w *scratch) ([]byte, error) {
	if s == nil {
		return nil, fmt.Errorf("%w: there is none", ErrInvalid)
	}
	if err := checkMeta(s); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	size, err := w.entries.fill(s.Data)
	if err != nil {
		return nil, err
	}
	if size > c.maxSize {
		return nil, w.entries.tooLarge(size, c.maxSize)
	}
	start := len(dst)
	dst = appendMeta(appendHead(dst, s), s)
	body := len(dst)
	method := None
	if c.compression == None {
		dst = w.entries.appendTo(dst, int(size))
	} else {
		w.raw = w.entries.appendTo(w.raw[:0], int(size))
		dst, method = c.appendCompressed(dst, w.raw)
	}
	return seal(dst, start, body, int(size), method), nil
}

// Unpack reads what Pack wrote, whatever the compression. The snapshot shares
// no memory with the bytes; its values share one allocation, so keeping one of
// them keeps all. Every error about the bytes wraps handoff.ErrDamaged and one
// of this package's; data above Config.MaxSize is handoff.ErrTooLarge.
func (c *Codec) Unpack(packed []byte) (*Snapshot, error) {
	e, err := open(packed)
	if err != nil {
		return nil, err
	}
	if int64(e.size) > c.maxSize {
		return nil, fmt.Errorf("%d bytes of data, the limit is %d; raise snapshots.max_size to read it: %w",
			e.size, c.maxSize, handoff.ErrTooLarge)
	}
	s := new(Snapshot)
	if err := e.readMeta(s); err != nil {
		return nil, err
	}
	payload, err := c.decompress(&e)
	if err != nil {
		return nil, err
	}
	if s.Data, err = readPayload(payload); err != nil {
		return nil, err
	}
	return s, nil
}

// scratch is work space for one Pack.
type scratch struct {
	entries     entries
	raw, packed []byte
}

// maxKept bounds the buffers that stay around: one huge player must not cost
// memory for ever.
const maxKept = 1 << 20

func (c *Codec) release(w *scratch) {
	w.entries.reset()
	if cap(w.raw) > maxKept {
		w.raw = nil
	}
	if cap(w.packed) > maxKept {
		w.packed = nil
	}
	c.scratch.Put(w)
}
