package snapshotcodec

import (
	"fmt"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Errors about bytes. Each wraps handoff.ErrDamaged: such bytes are never
// applied and never deleted.
var (
	// ErrMagic is returned when the bytes do not begin like a snapshot at all.
	ErrMagic = fmt.Errorf("snapshotcodec: not a packed snapshot: %w", handoff.ErrDamaged)
	// ErrFormat is returned when the bytes carry a format version that this
	// program does not know, usually because a newer one wrote them.
	ErrFormat = fmt.Errorf("snapshotcodec: unknown format version: %w", handoff.ErrDamaged)
	// ErrTruncated is returned when bytes are missing at the end.
	ErrTruncated = fmt.Errorf("snapshotcodec: truncated: %w", handoff.ErrDamaged)
	// ErrChecksum is returned when the bytes are not the ones that were written.
	ErrChecksum = fmt.Errorf("snapshotcodec: checksum mismatch: %w", handoff.ErrDamaged)
	// ErrSize is returned when the payload unpacks to more or fewer bytes than
	// it claims, or claims more than any codec may write.
	ErrSize = fmt.Errorf("snapshotcodec: wrong payload size: %w", handoff.ErrDamaged)
	// ErrStructure is returned when the checksum is right and the content is
	// not: something other than this package wrote the bytes.
	ErrStructure = fmt.Errorf("snapshotcodec: malformed: %w", handoff.ErrDamaged)
)

// ErrInvalid is returned by Pack when a snapshot breaks a limit or lacks a
// field that every snapshot has. The error text names the field.
var ErrInvalid = fmt.Errorf("snapshotcodec: %w", handoff.ErrUnacceptable)
