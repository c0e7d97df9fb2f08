package handoff

import (
	"cmp"
	"fmt"
	"strconv"
)

// Fence is a number per player that every granted checkout raises. Only the
// session with the highest fence may write. It is at least 1; zero means none.
// The claim script sets it to max(previous + 1, Redis TIME in microseconds), so
// it stays below 2^53 until the year 2255 and Lua's numbers hold it exactly.
type Fence int64

// MaxSequence is the largest sequence, and 2^53-1 for the same reason.
const MaxSequence = 1<<53 - 1

// Version orders the snapshots of one player, in Redis and in the database
// alike: first by fence, then by sequence. Wall clocks never order anything.
type Version struct {
	// Fence of the session that captured the snapshot.
	Fence Fence
	// Sequence counts the captures inside the session, from 1.
	Sequence uint64
}

// Compare returns -1 when v is older than w, 0 when equal, +1 when newer.
func (v Version) Compare(w Version) int {
	if c := cmp.Compare(v.Fence, w.Fence); c != 0 {
		return c
	}
	return cmp.Compare(v.Sequence, w.Sequence)
}

// IsZero reports whether the version names nothing.
func (v Version) IsZero() bool { return v == Version{} }

// String returns "fence/sequence", as logs and tables show it.
func (v Version) String() string { return fmt.Sprintf("%d/%d", v.Fence, v.Sequence) }

// MarshalText makes logs and JSON show the text form.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// String returns the number in decimal.
func (f Fence) String() string { return strconv.FormatInt(int64(f), 10) }
