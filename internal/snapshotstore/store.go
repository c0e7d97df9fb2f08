package snapshotstore

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Defaults of Config.
const (
	// DefaultKeep is what a zero Config.Keep means.
	DefaultKeep = 16
	// DefaultBackupFrequency is what operators get who configure nothing. It
	// must be set explicitly: a zero Config.BackupFrequency keeps every save.
	DefaultBackupFrequency = 4 * time.Hour
	// DefaultMaxPacked is what a zero Config.MaxPacked means, in bytes.
	DefaultMaxPacked = 64 << 20
	// DefaultMaxReaders is what a zero Config.MaxReaders means.
	DefaultMaxReaders = 4
	// DefaultBusyTimeout is what a zero Config.BusyTimeout means.
	DefaultBusyTimeout = 5 * time.Second
)

// Bounds of Config and of List.
const (
	// maxPackedLimit is SQLite's own bound of a row, less room for the columns.
	maxPackedLimit = 1_000_000_000 - 1<<16
	// maxSequence is the highest that an integer column holds.
	maxSequence = math.MaxInt64
	// maxKeep bounds what one save has to look at.
	maxKeep = 100_000
	// minBackupFrequency keeps the periods well above a clock's resolution.
	minBackupFrequency = time.Second
	// MaxListLimit is the most entries that one List call returns.
	MaxListLimit = 1000
)

// Errors of this package. Test for them with errors.Is. ErrInvalid and
// ErrIDReused are about the arguments: repeating the call gives them again.
var (
	// ErrInvalid is returned when an argument cannot be stored or looked up.
	ErrInvalid = fmt.Errorf("snapshotstore: %w", handoff.ErrUnacceptable)
	// ErrIDReused is returned when a snapshot ID is taken by a snapshot with
	// other content, or by one stored in a role that was not asked for.
	ErrIDReused = fmt.Errorf("snapshotstore: snapshot id is taken: %w", handoff.ErrUnacceptable)
	// ErrBadConfig is returned when a Config field has an impossible value.
	ErrBadConfig = errors.New("snapshotstore: bad configuration")
	// ErrBadDSN is returned when database.dsn does not name an SQLite file.
	ErrBadDSN = errors.New("snapshotstore: bad database.dsn")
	// ErrCannotOpen is returned when the file cannot be opened or created.
	ErrCannotOpen = errors.New("snapshotstore: cannot open the database")
	// ErrReadOnly is returned when the file or its disk cannot be written.
	ErrReadOnly = errors.New("snapshotstore: database is read-only")
	// ErrNotDatabase is returned when the file is no SQLite database.
	ErrNotDatabase = errors.New("snapshotstore: not an sqlite database")
	// ErrNewerSchema is returned when a newer program has raised the schema.
	ErrNewerSchema = errors.New("snapshotstore: database has a newer schema")
	// ErrCorrupt is returned when SQLite finds the file's structure broken.
	ErrCorrupt = errors.New("snapshotstore: database file is corrupt")
	// ErrFull is returned when the disk has no room left.
	ErrFull = errors.New("snapshotstore: disk is full")
	// ErrBusy is returned when other processes held the file for longer than
	// Config.BusyTimeout.
	ErrBusy = errors.New("snapshotstore: database is busy")
	// ErrInputOutput is returned when the operating system could not read,
	// write, sync or lock the file.
	ErrInputOutput = errors.New("snapshotstore: disk error")
	// ErrReplaced is returned when the file was moved, deleted or replaced
	// while the worker had it open. What is written then would be lost, and
	// what is read could be somebody else's.
	ErrReplaced = errors.New("snapshotstore: database file was replaced")
)

// Codec decodes packed snapshots. It is called by several goroutines at once.
type Codec interface {
	// Unpack returns an error that wraps handoff.ErrDamaged when the bytes are
	// not a sound snapshot.
	Unpack(packed []byte) (*handoff.Snapshot, error)
}

// Config of a store.
type Config struct {
	// Keep bounds a player's unpinned rows, see the package doc. Zero means
	// DefaultKeep.
	Keep int
	// BackupFrequency is the length of the periods of which one save each is
	// kept. Zero keeps every save; otherwise at least one second.
	BackupFrequency time.Duration
	// MaxPacked bounds packed bytes, written and read. Zero means
	// DefaultMaxPacked. It must leave room for snapshots.max_size and the
	// codec's envelope.
	MaxPacked int64
	// MaxReaders bounds the connections that read at the same time; there is
	// one more, which writes. Zero means DefaultMaxReaders.
	MaxReaders int
	// BusyTimeout is how long a call waits for other processes that use the
	// file; a context that ends earlier ends the wait. Zero means
	// DefaultBusyTimeout.
	BusyTimeout time.Duration
	// Logger is told when a database is created or its schema raised. Nil means
	// no log.
	Logger hclog.Logger
}

// Validate returns an error that wraps ErrBadConfig and names the field when one
// has an impossible value.
func (c Config) Validate() error {
	switch {
	case c.Keep < 0 || c.Keep > maxKeep:
		return fmt.Errorf("%w: Keep is %d (want 1 to %d)", ErrBadConfig, c.Keep, maxKeep)
	case c.BackupFrequency < 0 || c.BackupFrequency > 0 && c.BackupFrequency < minBackupFrequency:
		return fmt.Errorf("%w: BackupFrequency is %s (want 0 or at least %s)", ErrBadConfig, c.BackupFrequency, minBackupFrequency)
	case c.MaxPacked < 0 || c.MaxPacked > maxPackedLimit:
		return fmt.Errorf("%w: MaxPacked is %d bytes (want 1 to %d)", ErrBadConfig, c.MaxPacked, maxPackedLimit)
	case c.MaxReaders < 0:
		return fmt.Errorf("%w: MaxReaders is %d (want at least 1)", ErrBadConfig, c.MaxReaders)
	case c.BusyTimeout < 0 || c.BusyTimeout > 0 && c.BusyTimeout < time.Millisecond:
		return fmt.Errorf("%w: BusyTimeout is %s (want at least 1ms)", ErrBadConfig, c.BusyTimeout)
	default:
		return nil
	}
}

// withDefaults replaces zero values.
func (c Config) withDefaults() Config {
	if c.Keep == 0 {
		c.Keep = DefaultKeep
	}
	if c.MaxPacked == 0 {
		c.MaxPacked = DefaultMaxPacked
	}
	if c.MaxReaders == 0 {
		c.MaxReaders = DefaultMaxReaders
	}
	if c.BusyTimeout == 0 {
		c.BusyTimeout = DefaultBusyTimeout
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return c
}

// Entry is what is known of a stored snapshot without decoding it. Snapshots
// that cannot be decoded are listed like all others (T42).
type Entry struct {
	// ID of the snapshot.
	ID handoff.SnapshotID
	// PlayerName is the name at capture; may be empty.
	PlayerName string
	// Version orders the entry among the player's.
	Version handoff.Version
	// StoredAs is the entry's role.
	StoredAs handoff.StoredAs
	// Pinned entries are never pruned.
	Pinned bool
	// SaveCause, Server, Platform, GameVersion: as in handoff.Snapshot.
	SaveCause   string
	Server      handoff.ServerID
	Platform    string
	GameVersion string
	// CapturedAt and CreatedAt have a resolution of one millisecond; zero when
	// the snapshot has none.
	CapturedAt, CreatedAt time.Time
	// PackedSize is the size of the stored bytes.
	PackedSize int64
}

// Cursor marks a place in a player's list: right after one entry. Its zero value
// is the beginning. It stays good when that entry is removed.
type Cursor struct {
	// Version of the entry.
	Version handoff.Version
	// Arrival is the entry's place among equal versions.
	Arrival int64
}

// IsZero reports whether the cursor marks the beginning or, when List returned
// it, that nothing follows.
func (c Cursor) IsZero() bool { return c == Cursor{} }

// check reports why a snapshot cannot be stored; nil when it can.
func (c Config) check(s *handoff.Snapshot, packed []byte, as handoff.StoredAs) error {
	switch {
	case s == nil:
		return fmt.Errorf("%w: no snapshot", ErrInvalid)
	case s.ID.IsZero():
		return fmt.Errorf("%w: snapshot has no id", ErrInvalid)
	case s.Player == handoff.PlayerID{}:
		return fmt.Errorf("%w: snapshot has no player", ErrInvalid)
	case s.Version.Fence < 1 || s.Version.Sequence < 1 || s.Version.Sequence > maxSequence:
		return fmt.Errorf("%w: version %s (want a fence of at least 1 and a sequence of 1 to %d)", ErrInvalid, s.Version, maxSequence)
	case as < handoff.AsCurrent || as > handoff.AsConflict:
		return fmt.Errorf("%w: role %s", ErrInvalid, as)
	case len(packed) == 0:
		return fmt.Errorf("%w: no packed bytes", ErrInvalid)
	case int64(len(packed)) > c.MaxPacked:
		return fmt.Errorf("%w: %d packed bytes exceed the %d that the database takes", handoff.ErrTooLarge, len(packed), c.MaxPacked)
	default:
		return checkTexts(s)
	}
}

// checkTexts bounds the columns around the packed bytes.
func checkTexts(s *handoff.Snapshot) error {
	for _, text := range [...]struct {
		name, value string
		most        int
	}{
		{"player name", s.PlayerName, handoff.MaxPlayerName},
		{"save cause", s.SaveCause, handoff.MaxSaveCause},
		{"server", string(s.Server), handoff.MaxServerID},
		{"platform", s.Platform, handoff.MaxLabel},
		{"game version", s.GameVersion, handoff.MaxLabel},
	} {
		if len(text.value) > text.most {
			return fmt.Errorf("%w: %s has %d bytes (want at most %d)", ErrInvalid, text.name, len(text.value), text.most)
		}
	}
	return nil
}
