package spool

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/syncworker/syncworker/internal/handoff"
)

// The form of an entry's file; see the package doc.
const (
	magic      = "SWQ\xa7"
	format     = 1
	sumOffset  = 64
	headerSize = 72
	suffix     = ".entry"
)

// Flags of an entry.
const (
	flagAccepted = 1 << iota
	flagFinal
	knownFlags = flagAccepted | flagFinal
)

// errNotEntry is why bytes are not an entry; it always comes with
// handoff.ErrDamaged.
var errNotEntry = fmt.Errorf("%w: in the spool", handoff.ErrDamaged)

// name returns the file's name.
func name(r handoff.SpoolRecord) string {
	return fmt.Sprintf("%s-%016d-%016d-%s%s", hex.EncodeToString(r.Player[:]), r.Version.Fence, r.Version.Sequence, hex.EncodeToString(r.ID[:]), suffix)
}

// header returns what stands before the packed bytes.
func header(r handoff.SpoolRecord, packed []byte) []byte {
	var flags byte
	if r.Accepted {
		flags |= flagAccepted
	}
	if r.Final {
		flags |= flagFinal
	}
	head := make([]byte, 0, headerSize)
	head = append(head, magic...)
	head = binary.BigEndian.AppendUint16(head, format)
	head = append(head, byte(r.As), flags)
	head = append(head, r.Player[:]...)
	head = append(head, r.ID[:]...)
	head = binary.BigEndian.AppendUint64(head, uint64(r.Version.Fence))
	head = binary.BigEndian.AppendUint64(head, r.Version.Sequence)
	head = binary.BigEndian.AppendUint64(head, uint64(len(packed)))
	return binary.BigEndian.AppendUint64(head, checksum(head, packed))
}

func checksum(head, packed []byte) uint64 {
	digest := xxhash.New()
	_, _ = digest.Write(head) // A digest takes everything.
	_, _ = digest.Write(packed)
	return digest.Sum64()
}

// parseHeader reads a header of a file of the given size. Its checksum is not
// compared.
func parseHeader(head []byte, size int64) (r handoff.SpoolRecord, err error) {
	switch {
	case len(head) < headerSize:
		return r, fmt.Errorf("%w: %d bytes are no entry", errNotEntry, size)
	case string(head[:len(magic)]) != magic:
		return r, fmt.Errorf("%w: it does not begin as an entry", errNotEntry)
	}
	if got := binary.BigEndian.Uint16(head[4:]); got != format {
		return r, fmt.Errorf("%w: format %d (this program knows %d)", errNotEntry, got, format)
	}
	r.As = handoff.StoredAs(head[6])
	flags := head[7]
	r.Accepted, r.Final = flags&flagAccepted != 0, flags&flagFinal != 0
	copy(r.Player[:], head[8:])
	copy(r.ID[:], head[24:])
	fence, sequence := binary.BigEndian.Uint64(head[40:]), binary.BigEndian.Uint64(head[48:])
	length := binary.BigEndian.Uint64(head[56:])
	switch {
	case flags&^knownFlags != 0:
		return r, fmt.Errorf("%w: unknown flags %#x", errNotEntry, flags)
	case fence > handoff.MaxSequence || sequence > handoff.MaxSequence:
		return r, fmt.Errorf("%w: version %d/%d", errNotEntry, fence, sequence)
	case size < headerSize || length != uint64(size-headerSize):
		return r, fmt.Errorf("%w: %d bytes of a snapshot of %d", errNotEntry, size-headerSize, length)
	}
	r.Version = handoff.Version{Fence: handoff.Fence(fence), Sequence: sequence}
	r.Size = int64(length)
	if err := checkRecord(r); err != nil {
		return r, fmt.Errorf("%w: %w", errNotEntry, err)
	}
	return r, nil
}

// checkRecord reports why a record cannot be one of an entry.
func checkRecord(r handoff.SpoolRecord) error {
	switch {
	case r.Player == handoff.PlayerID{}:
		return errors.New("no player")
	case r.ID.IsZero():
		return errors.New("no snapshot id")
	case r.Version.Fence < 1 || r.Version.Fence > handoff.MaxSequence || r.Version.Sequence < 1 || r.Version.Sequence > handoff.MaxSequence:
		return fmt.Errorf("version %s (want a fence and a sequence of 1 to %d)", r.Version, handoff.MaxSequence)
	case r.As < handoff.AsCurrent || r.As > handoff.AsConflict:
		return fmt.Errorf("role %s", r.As)
	case r.Size < 1:
		return errors.New("no packed bytes")
	default:
		return nil
	}
}

// verify reads a whole entry and compares its checksum. It keeps no more than a
// small piece of it in memory.
func verify(from io.Reader, size int64) (handoff.SpoolRecord, error) {
	head := make([]byte, headerSize)
	if _, err := io.ReadFull(from, head); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return handoff.SpoolRecord{}, fmt.Errorf("%w: %d bytes are no entry", errNotEntry, size)
		}
		return handoff.SpoolRecord{}, err
	}
	record, err := parseHeader(head, size)
	if err != nil {
		return record, err
	}
	digest := xxhash.New()
	_, _ = digest.Write(head[:sumOffset])
	if _, err := io.Copy(digest, from); err != nil {
		return record, err
	}
	if digest.Sum64() != binary.BigEndian.Uint64(head[sumOffset:]) {
		return record, fmt.Errorf("%w: the checksum does not match", errNotEntry)
	}
	return record, nil
}

// unwrap takes an entry's bytes apart.
func unwrap(content []byte) (handoff.SpoolRecord, []byte, error) {
	record, err := parseHeader(content, int64(len(content)))
	if err != nil {
		return record, nil, err
	}
	if checksum(content[:sumOffset], content[headerSize:]) != binary.BigEndian.Uint64(content[sumOffset:]) {
		return record, nil, fmt.Errorf("%w: the checksum does not match", errNotEntry)
	}
	return record, content[headerSize:], nil
}

// playerOf returns the player that a file's name claims to belong to.
func playerOf(file string) (player handoff.PlayerID, ok bool) {
	text, rest, found := strings.Cut(file, "-")
	if !found || len(text) != 2*len(player) {
		return player, false
	}
	fence, _, _ := strings.Cut(rest, "-")
	if _, err := strconv.ParseUint(fence, 10, 64); err != nil {
		return player, false
	}
	_, err := hex.Decode(player[:], []byte(text))
	return player, err == nil
}
