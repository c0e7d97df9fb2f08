package snapshotcodec

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

// The zstd window that is written, and the most coders that one Codec keeps:
// an encoder has some 300 KiB of tables, a decoder up to 400 KiB of buffers.
const (
	zstdWindow = 1 << 20
	maxCoders  = 8
)

// startZstd makes the coders up front, as many as can run at once, and not on
// demand in a sync.Pool: each holds a channel, and a channel made on demand
// inside a synctest bubble ends the whole process when it is used from
// another one. Neither runs a goroutine as long as whole buffers are coded.
// The frame's own checksum is off; the envelope has one.
func (c *Codec) startZstd() error {
	coders := min(runtime.GOMAXPROCS(0), maxCoders)
	var err error
	c.zstdDecoder, err = zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(coders),
		zstd.WithDecoderMaxMemory(uint64(max(c.maxSize, zstdWindow))),
		zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		return fmt.Errorf("snapshotcodec: start zstd decoder: %w", err)
	}
	if c.compression != Zstd {
		return nil
	}
	c.zstdEncoder, err = zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(coders),
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(zstdWindow),
		// A frame of one segment states its content size however small it is.
		zstd.WithSingleSegment(true),
		zstd.WithEncoderCRC(false),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return fmt.Errorf("snapshotcodec: start zstd encoder: %w", err)
	}
	// The first use makes the channel.
	c.zstdEncoder.EncodeAll(nil, nil)
	return nil
}

// Slack behind a zstd payload. The decoder copies 16 bytes at a time when it
// may write that far past the end. It also notices only after a whole block
// that a payload is longer than its frame claims; above largePayload that
// block has room, so that a bomb does not make the decoder double a buffer of
// Config.MaxSize first.
const (
	copySlack    = 16
	blockSlack   = 128<<10 + copySlack
	largePayload = 1 << 20
)

func (c *Codec) decompressZstd(e *envelope) ([]byte, error) {
	if err := checkFrame(e.packed, e.size); err != nil {
		return nil, err
	}
	slack := copySlack
	if e.size > largePayload {
		slack = blockSlack
	}
	payload, err := c.zstdDecoder.DecodeAll(e.packed, make([]byte, 0, e.size+slack))
	if err != nil {
		return nil, zstdError(err)
	}
	return payload, nil
}

// Block types of RFC 8878, section 3.1.1.2.2.
const (
	blockRaw = 0
	blockRLE = 1
)

// checkFrame walks over a zstd frame without decoding it: it must be the only
// one, end where the bytes end, need no dictionary and state a content of
// exactly size bytes, and the blocks that state their own size must fit in.
// The decoder would find out the same, but only after growing its output.
func checkFrame(frame []byte, size int) error {
	var head zstd.Header
	rest, err := head.DecodeAndStrip(frame)
	if err != nil {
		return fmt.Errorf("%w: zstd frame: %w", ErrStructure, err)
	}
	if head.Skippable || head.DictionaryID != 0 || !head.HasFCS {
		return fmt.Errorf("%w: a zstd frame of another kind", ErrStructure)
	}
	if head.FrameContentSize != uint64(size) {
		return fmt.Errorf("%w: claims %d bytes, its zstd frame %d", ErrSize, size, head.FrameContentSize)
	}
	rest, err = skipBlocks(rest, size)
	if err != nil {
		return err
	}
	trailer := 0
	if head.HasCheckSum {
		trailer = 4
	}
	if len(rest) != trailer {
		return fmt.Errorf("%w: %d bytes behind the zstd frame", ErrStructure, len(rest)-trailer)
	}
	return nil
}

// skipBlocks returns what follows the last block.
func skipBlocks(blocks []byte, size int) ([]byte, error) {
	known := 0
	for last := false; !last; {
		if len(blocks) < 3 {
			return nil, fmt.Errorf("%w: zstd frame without a last block", ErrStructure)
		}
		head := int(blocks[0]) | int(blocks[1])<<8 | int(blocks[2])<<16
		last = head&1 != 0
		length := head >> 3
		stored := length
		switch head >> 1 & 3 {
		case blockRaw:
			known += length
		case blockRLE:
			known += length
			stored = 1
		}
		if known > size {
			return nil, fmt.Errorf("%w: claims %d bytes, its zstd blocks have %d or more", ErrSize, size, known)
		}
		if stored > len(blocks)-3 {
			return nil, fmt.Errorf("%w: zstd block of %d bytes, %d are left", ErrStructure, stored, len(blocks)-3)
		}
		blocks = blocks[3+stored:]
	}
	return blocks, nil
}

// zstdError sorts the decoder's errors. It is not asked for wrong input only:
// a decompression that yields more or fewer bytes than claimed is ErrSize.
func zstdError(err error) error {
	kind := ErrStructure
	if errors.Is(err, zstd.ErrFrameSizeExceeded) || errors.Is(err, zstd.ErrFrameSizeMismatch) ||
		errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		kind = ErrSize
	}
	return fmt.Errorf("%w: zstd frame: %w", kind, err)
}
