package snapshotstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// newestFirst is the one order of a player's rows.
const newestFirst = `ORDER BY fence DESC, sequence DESC, ord DESC`

// selectRow begins a query of whole rows. Its first parameter is MaxPacked:
// larger bytes are not read.
const selectRow = `SELECT id, player, fence, sequence, stored_as, pinned, length(packed),
	CASE WHEN length(packed) <= ? THEN packed END FROM snapshots `

// The queries for whole rows, and the one for a page of entries.
const (
	selectNewest = selectRow + `WHERE player = ? AND stored_as = 'current' ` + newestFirst + ` LIMIT 1`
	selectByID   = selectRow + `WHERE id = ?`
	selectPage   = `SELECT ord, id, player_name, fence, sequence, stored_as, pinned, save_cause, server, platform,
		game_version, captured_at, created_at, length(packed) FROM snapshots
		WHERE player = ? AND (fence, sequence, ord) < (?, ?, ?) ` + newestFirst + ` LIMIT ?`
)

// row is one row as read.
type row struct {
	id       handoff.SnapshotID
	player   handoff.PlayerID
	version  handoff.Version
	storedAs handoff.StoredAs
	pinned   bool
	size     int64
	packed   []byte // missing when larger than MaxPacked
}

// Newest returns the player's newest current snapshot. The error is
// handoff.ErrNoSnapshot if, and only if, the database was read and has none; it
// wraps handoff.ErrDamaged when the newest one is there and cannot be decoded,
// and handoff.ErrTooLarge when it exceeds Config.MaxPacked.
func (s *SQLite) Newest(ctx context.Context, player handoff.PlayerID) (*handoff.Snapshot, error) {
	found, err := s.one(ctx, selectNewest, player.String())
	if err != nil {
		return nil, fmt.Errorf("read newest snapshot of player %s: %w", player, err)
	}
	snapshot, err := s.unpack(found)
	if err != nil {
		return nil, fmt.Errorf("read newest snapshot of player %s: %w", player, err)
	}
	return snapshot, nil
}

// ByID returns one snapshot and the role it is stored in. Errors are those of
// Newest; with handoff.ErrDamaged and handoff.ErrTooLarge the role is valid.
func (s *SQLite) ByID(ctx context.Context, id handoff.SnapshotID) (*handoff.Snapshot, handoff.StoredAs, error) {
	found, err := s.one(ctx, selectByID, id.String())
	if err != nil {
		return nil, 0, fmt.Errorf("read snapshot %s: %w", id, err)
	}
	snapshot, err := s.unpack(found)
	if err != nil {
		return nil, found.storedAs, fmt.Errorf("read snapshot %s: %w", id, err)
	}
	return snapshot, found.storedAs, nil
}

// one reads one row.
func (s *SQLite) one(ctx context.Context, query, argument string) (found row, err error) {
	err = s.read(ctx, func() error {
		found, err = s.readRow(s.reader.QueryRowContext(ctx, query, s.config.MaxPacked, argument))
		return err
	})
	if !errors.Is(err, sql.ErrNoRows) {
		return found, err
	}
	if cause := ctx.Err(); cause != nil {
		// Whoever stopped waiting is never told that there is nothing.
		return row{}, cause
	}
	// The query ran to its end and found nothing: the only way to say absent
	// (law L3).
	return row{}, handoff.ErrNoSnapshot
}

// readRow scans what selectRow selects. It returns sql.ErrNoRows as it is.
func (s *SQLite) readRow(from *sql.Row) (found row, err error) {
	var (
		id, player, role string
		sequence         int64
	)
	if err := from.Scan(&id, &player, &found.version.Fence, &sequence, &role, &found.pinned, &found.size, &found.packed); err != nil {
		return row{}, err
	}
	found.version.Sequence = uint64(sequence)
	if found.id, err = handoff.ParseSnapshotID(id); err != nil {
		return row{}, fmt.Errorf("%w: column id: %w", handoff.ErrDamaged, err)
	}
	if found.player, err = handoff.ParsePlayerID(player); err != nil {
		return row{}, fmt.Errorf("%w: column player: %w", handoff.ErrDamaged, err)
	}
	found.storedAs, err = parseRole(role)
	return found, err
}

// unpack decodes a row and makes sure that the bytes belong to it. The pin is
// the column's: it may have changed since the bytes were packed.
func (s *SQLite) unpack(found row) (*handoff.Snapshot, error) {
	if found.size > s.config.MaxPacked {
		return nil, fmt.Errorf("%w: snapshot %s has %d packed bytes, read are up to %d", handoff.ErrTooLarge, found.id, found.size, s.config.MaxPacked)
	}
	snapshot, err := s.codec.Unpack(found.packed)
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpack snapshot %s: %w", found.id, err)
	case snapshot.ID != found.id:
		return nil, fmt.Errorf("%w: the row of snapshot %s holds snapshot %s", handoff.ErrDamaged, found.id, snapshot.ID)
	case snapshot.Player != found.player:
		return nil, fmt.Errorf("%w: snapshot %s is filed under player %s and belongs to %s", handoff.ErrDamaged, found.id, found.player, snapshot.Player)
	case snapshot.Version != found.version:
		return nil, fmt.Errorf("%w: snapshot %s is filed as version %s and is %s", handoff.ErrDamaged, found.id, found.version, snapshot.Version)
	}
	snapshot.Pinned = found.pinned
	return snapshot, nil
}

// List returns up to limit of the player's entries, newest version first, that
// come after a cursor, and the cursor for the next page; that one is zero when
// nothing follows. The limit must be 1 to MaxListLimit. Packed bytes are not
// read. No entries and no error means that the player has none.
func (s *SQLite) List(ctx context.Context, player handoff.PlayerID, after Cursor, limit int) (entries []Entry, next Cursor, err error) {
	if limit < 1 || limit > MaxListLimit {
		return nil, Cursor{}, fmt.Errorf("list snapshots: %w: limit is %d (want 1 to %d)", ErrInvalid, limit, MaxListLimit)
	}
	if after.IsZero() {
		after = Cursor{Version: handoff.Version{Fence: maxSequence, Sequence: maxSequence}, Arrival: maxSequence}
	}
	if after.Version.Sequence > maxSequence {
		return nil, Cursor{}, fmt.Errorf("list snapshots: %w: cursor %s", ErrInvalid, after.Version)
	}
	var arrivals []int64
	err = s.read(ctx, func() error {
		entries, arrivals, err = s.page(ctx, player, after, limit+1)
		return err
	})
	if err != nil {
		return nil, Cursor{}, fmt.Errorf("list snapshots of player %s: %w", player, err)
	}
	if len(entries) > limit {
		entries = entries[:limit]
		next = Cursor{Version: entries[limit-1].Version, Arrival: arrivals[limit-1]}
	}
	return entries, next, nil
}

// page reads entries and their arrivals.
func (s *SQLite) page(ctx context.Context, player handoff.PlayerID, after Cursor, limit int) (entries []Entry, arrivals []int64, err error) {
	rows, err := s.reader.QueryContext(ctx, selectPage, player.String(), int64(after.Version.Fence), int64(after.Version.Sequence), after.Arrival, limit)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		entry, arrival, err := scanEntry(rows)
		if err != nil {
			return nil, nil, err
		}
		entries, arrivals = append(entries, entry), append(arrivals, arrival)
	}
	return entries, arrivals, rows.Err()
}

func scanEntry(rows *sql.Rows) (entry Entry, arrival int64, err error) {
	var (
		id, role          string
		sequence          int64
		captured, created sql.NullInt64
	)
	err = rows.Scan(&arrival, &id, &entry.PlayerName, &entry.Version.Fence, &sequence, &role, &entry.Pinned, &entry.SaveCause,
		&entry.Server, &entry.Platform, &entry.GameVersion, &captured, &created, &entry.PackedSize)
	if err != nil {
		return Entry{}, 0, err
	}
	entry.Version.Sequence = uint64(sequence)
	entry.CapturedAt, entry.CreatedAt = fromMillis(captured), fromMillis(created)
	if entry.ID, err = handoff.ParseSnapshotID(id); err != nil {
		return Entry{}, 0, fmt.Errorf("%w: column id: %w", handoff.ErrDamaged, err)
	}
	entry.StoredAs, err = parseRole(role)
	return entry, arrival, err
}

// parseRole reads what StoredAs.String wrote.
func parseRole(text string) (handoff.StoredAs, error) {
	for _, role := range [...]handoff.StoredAs{handoff.AsCurrent, handoff.AsHistory, handoff.AsConflict} {
		if role.String() == text {
			return role, nil
		}
	}
	return 0, fmt.Errorf("%w: column stored_as is %q", handoff.ErrDamaged, text)
}

// fromMillis is the inverse of toMillis.
func fromMillis(millis sql.NullInt64) time.Time {
	if !millis.Valid {
		return time.Time{}
	}
	return time.UnixMilli(millis.Int64).UTC()
}
