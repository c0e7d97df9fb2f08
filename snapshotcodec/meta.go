package snapshotcodec

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Layout of the metadata. FROZEN, see the package doc.
const (
	idSize    = 16
	timeSize  = 12
	metaFixed = 2*idSize + 2*timeSize
)

// Info is what a packed snapshot tells without being unpacked.
type Info struct {
	// Snapshot is complete except for Data, which is nil.
	Snapshot Snapshot
	// Format is the format version of the bytes.
	Format uint16
	// Compression of the payload. None may also mean that compression would
	// not have shrunk it.
	Compression Compression
	// PackedSize is the length of the whole envelope, in bytes.
	PackedSize int
	// DataSize is the length of the payload before compression, in bytes: what
	// snapshots.max_size limits.
	DataSize int
}

// Meta reads all but the data. It verifies the checksum of the whole envelope
// and decompresses nothing; the data can still turn out to be malformed. It
// fails like Codec.Unpack, but knows no size limit.
func Meta(packed []byte) (Info, error) {
	e, err := open(packed)
	if err != nil {
		return Info{}, err
	}
	info := Info{Format: FormatVersion, Compression: e.method, PackedSize: len(packed), DataSize: e.size}
	if err := e.readMeta(&info.Snapshot); err != nil {
		return Info{}, err
	}
	return info, nil
}

// appendMeta appends the metadata of a snapshot that checkMeta passed.
func appendMeta(dst []byte, s *Snapshot) []byte {
	dst = append(dst, s.ID[:]...)
	dst = append(dst, s.Player[:]...)
	dst = appendTime(dst, s.CapturedAt)
	dst = appendTime(dst, s.CreatedAt)
	for _, text := range [...]string{string(s.Server), s.PlayerName, s.SaveCause, s.Platform, s.GameVersion} {
		dst = append(dst, byte(len(text)))
		dst = append(dst, text...)
	}
	return dst
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(dst, uint32(t.Nanosecond()))
}

// readMeta fills in everything but Data.
func (e *envelope) readMeta(s *Snapshot) error {
	if len(e.meta) < metaFixed {
		return fmt.Errorf("%w: %d bytes of metadata, at least %d are fixed", ErrStructure, len(e.meta), metaFixed)
	}
	copy(s.ID[:], e.meta)
	copy(s.Player[:], e.meta[idSize:])
	s.Version, s.Pinned = e.version, e.pinned
	var err error
	if s.CapturedAt, err = readTime(e.meta[2*idSize:]); err != nil {
		return err
	}
	if s.CreatedAt, err = readTime(e.meta[2*idSize+timeSize:]); err != nil {
		return err
	}
	var server string
	// One string for all texts: one allocation.
	rest := string(e.meta[metaFixed:])
	for _, field := range [...]*string{&server, &s.PlayerName, &s.SaveCause, &s.Platform, &s.GameVersion} {
		if rest == "" || len(rest)-1 < int(rest[0]) {
			return fmt.Errorf("%w: a text ends behind the metadata", ErrStructure)
		}
		end := 1 + int(rest[0])
		*field, rest = rest[1:end], rest[end:]
	}
	s.Server = handoff.ServerID(server)
	if rest != "" {
		return fmt.Errorf("%w: %d bytes behind the metadata", ErrStructure, len(rest))
	}
	if err := checkMeta(s); err != nil {
		return fmt.Errorf("%w: %w", ErrStructure, err)
	}
	return nil
}

func readTime(from []byte) (time.Time, error) {
	seconds, nanos := int64(binary.BigEndian.Uint64(from)), binary.BigEndian.Uint32(from[8:])
	if seconds < firstSecond || seconds > lastSecond || nanos >= 1e9 {
		return time.Time{}, fmt.Errorf("%w: a time of %d seconds and %d nanoseconds", ErrStructure, seconds, nanos)
	}
	return time.Unix(seconds, int64(nanos)).UTC(), nil
}
