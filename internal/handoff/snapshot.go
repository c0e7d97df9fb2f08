package handoff

import (
	"errors"
	"maps"
	"time"
)

// Limits of a snapshot's parts. The payload's size is bounded by the operator
// (snapshots.max_size); these bound what surrounds it.
const (
	// MaxSaveCause is the longest save cause, in bytes (HuskSync's column
	// holds 32, its issue 60 is what happens beyond).
	MaxSaveCause = 32
	// MaxDataKeys is the largest number of data keys in one snapshot.
	MaxDataKeys = 1024
	// MaxDataKey is the longest data key, in bytes.
	MaxDataKey = 128
	// MaxLabel is the longest platform or game version text, in bytes.
	MaxLabel = 64
)

// Errors about snapshots that cross package borders.
var (
	// ErrTooLarge is returned when a snapshot is larger than
	// snapshots.max_size, packed or unpacked.
	ErrTooLarge = errors.New("snapshot is larger than snapshots.max_size")
	// ErrUnacceptable is returned when a snapshot breaks a rule about its parts,
	// so that storing it again would fail again.
	ErrUnacceptable = errors.New("unacceptable snapshot")
	// ErrDamaged is returned when stored bytes are not a sound snapshot of the
	// player they are filed under. They are never applied and never deleted.
	ErrDamaged = errors.New("stored snapshot is damaged")
	// ErrSpoolFull is returned when the local disk has no room for an entry; the
	// text names the folder and the mend.
	ErrSpoolFull = errors.New("spool: full")
	// ErrNoSnapshot is returned when a store was read and holds nothing for
	// the player. It is the only error that means "absent"; every other error
	// means "could not read" (law L3).
	ErrNoSnapshot = errors.New("no snapshot stored")
)

// Snapshot is one version of one player's data.
type Snapshot struct {
	// ID is unique among all snapshots.
	ID SnapshotID
	// Player the data belongs to.
	Player PlayerID
	// PlayerName is the name the player had; for people only, may be empty.
	PlayerName string
	// Server that captured it.
	Server ServerID
	// Version orders it among the player's snapshots.
	Version Version
	// SaveCause says why it was captured, for instance DISCONNECT.
	SaveCause string
	// CapturedAt is the game server's clock at capture; informative only.
	CapturedAt time.Time
	// CreatedAt is the worker's clock at acceptance; informative only.
	CreatedAt time.Time
	// Platform of the game server, for instance bukkit.
	Platform string
	// GameVersion of the game server, for instance 1.21.4.
	GameVersion string
	// Pinned snapshots are never pruned from history.
	Pinned bool
	// Data maps namespaced keys to opaque values. Never changed in place.
	Data map[string][]byte
}

// Capture is what a game server hands in with Save and Quit: a snapshot to be.
type Capture struct {
	// ID for the snapshot, chosen at the edge because machines have no
	// randomness.
	ID SnapshotID
	// Sequence is the game's capture counter, 0 when it has none; then the
	// order of arrival counts.
	Sequence uint64
	// HistoryOnly captures are kept as history and never become current: a
	// backup at death must not win over the living state (HuskSync issue 141).
	HistoryOnly bool
	// SaveCause, CapturedAt, CreatedAt, Platform, GameVersion, Pinned: as in
	// Snapshot.
	SaveCause   string
	CapturedAt  time.Time
	CreatedAt   time.Time
	Platform    string
	GameVersion string
	Pinned      bool
	// Data maps the keys that changed, or all, to their values.
	Data map[string][]byte
	// Removed lists keys to drop. Keys in neither are carried forward.
	Removed []string
}

// Over returns the capture's data laid over base: keys the capture does not
// mention are carried forward, so that a server which does not know a key does
// not lose it (HuskSync issues 71, 161, 548). Base is not changed.
func (c *Capture) Over(base map[string][]byte) map[string][]byte {
	merged := make(map[string][]byte, len(base)+len(c.Data))
	maps.Copy(merged, base)
	for _, key := range c.Removed {
		delete(merged, key)
	}
	maps.Copy(merged, c.Data)
	return merged
}

// SpoolEntry is a snapshot on its way to where it belongs, kept on local disk
// until it is there.
type SpoolEntry struct {
	Snapshot *Snapshot
	// As is the role in which the database is to keep it.
	As StoredAs
	// Accepted means that Redis has taken it, or need not: only the database
	// is missing.
	Accepted bool
	// Final means that the session ends with it (check-in, not update).
	Final bool
}

// SpoolRecord says what a SpoolEntry on disk is, without its snapshot's data.
type SpoolRecord struct {
	// Player, ID and Version are the snapshot's.
	Player  PlayerID
	ID      SnapshotID
	Version Version
	// As, Accepted and Final: as in SpoolEntry.
	As       StoredAs
	Accepted bool
	Final    bool
	// Size of the packed bytes.
	Size int64
}

// StoredAs says in which role the database keeps a snapshot.
type StoredAs uint8

// The roles of a stored snapshot.
const (
	// AsCurrent may become the player's current state; the newest version
	// among these is what a join delivers.
	AsCurrent StoredAs = iota + 1
	// AsHistory is kept for people only: backups and superseded captures.
	AsHistory
	// AsConflict was refused because another session held a higher fence.
	AsConflict
)

// String returns the word that the database column holds.
func (s StoredAs) String() string {
	switch s {
	case AsCurrent:
		return "current"
	case AsHistory:
		return "history"
	case AsConflict:
		return "conflict"
	default:
		return "invalid"
	}
}
