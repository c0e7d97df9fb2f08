package snapshotstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// What Insert has to know about a player's rows; both are answered by the index
// alone.
const (
	selectNewestCurrent = `SELECT ord, fence FROM snapshots WHERE player = ? AND stored_as = 'current' ` + newestFirst + ` LIMIT 1`
	selectUnpinned      = `SELECT ord, stored_as, coalesce(created_at, 0) FROM snapshots WHERE player = ? AND pinned = 0 ` + newestFirst
)

// Insert stores a snapshot with its packed bytes and prunes the player's
// history, in one transaction. The bytes must be the codec's of this snapshot;
// they are stored as they are. Conflict reports that a snapshot that was to be
// current was kept as conflict, because a row stored as current has a higher
// fence (rule R6). An older sequence of the same fence is stored as current; it
// is simply not the newest.
//
// A snapshot ID that is there already is answered as the first time. Errors wrap
// ErrInvalid, ErrIDReused or handoff.ErrTooLarge when the arguments are to
// blame; after any other the row may or may not be there, and the call should be
// repeated.
func (s *SQLite) Insert(ctx context.Context, snapshot *handoff.Snapshot, packed []byte, as handoff.StoredAs) (conflict bool, err error) {
	if err := s.config.check(snapshot, packed, as); err != nil {
		return false, fmt.Errorf("insert snapshot: %w", err)
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		role, err := s.insert(ctx, tx, snapshot, packed, as)
		conflict = as == handoff.AsCurrent && role == handoff.AsConflict
		return err
	})
	if err != nil {
		return false, fmt.Errorf("insert snapshot %s of player %s: %w", snapshot.ID, snapshot.Player, err)
	}
	return conflict, nil
}

// insert returns the role in which the snapshot is stored.
func (s *SQLite) insert(ctx context.Context, tx *sql.Tx, snapshot *handoff.Snapshot, packed []byte, as handoff.StoredAs) (handoff.StoredAs, error) {
	present, err := s.readRow(tx.QueryRowContext(ctx, selectByID, s.config.MaxPacked, snapshot.ID.String()))
	if err == nil {
		return present.storedAs, s.sameAgain(present, snapshot, packed, as)
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("look for the id: %w", err)
	}
	newest, err := newestCurrent(ctx, tx, snapshot.Player)
	if err != nil {
		return 0, err
	}
	if as == handoff.AsCurrent && newest.fence > snapshot.Version.Fence {
		as = handoff.AsConflict
	}
	if err := addRow(ctx, tx, snapshot, packed, as); err != nil {
		return 0, err
	}
	return as, s.prune(ctx, tx, snapshot.Player)
}

// sameAgain returns ErrIDReused unless the row is what a repeated call would
// have stored.
func (s *SQLite) sameAgain(present row, snapshot *handoff.Snapshot, packed []byte, as handoff.StoredAs) error {
	if present.storedAs != as && (as != handoff.AsCurrent || present.storedAs != handoff.AsConflict) {
		return fmt.Errorf("%w: it is stored as %s", ErrIDReused, present.storedAs)
	}
	if present.player != snapshot.Player || present.version != snapshot.Version {
		return fmt.Errorf("%w: by version %s of player %s", ErrIDReused, present.version, present.player)
	}
	if bytes.Equal(present.packed, packed) {
		return nil
	}
	// The same snapshot may be packed in another way: after a change of
	// compression, for instance.
	before, err := s.unpack(present)
	if err != nil {
		return err
	}
	now, err := s.codec.Unpack(packed)
	if err != nil {
		return fmt.Errorf("%w: the bytes to store cannot be decoded: %w", ErrInvalid, err)
	}
	if !sameSnapshot(before, now) {
		return fmt.Errorf("%w: by a snapshot with other content", ErrIDReused)
	}
	return nil
}

// sameSnapshot compares everything but the pin, which operators may change.
func sameSnapshot(a, b *handoff.Snapshot) bool {
	return a.ID == b.ID && a.Player == b.Player && a.PlayerName == b.PlayerName &&
		a.Server == b.Server && a.Version == b.Version && a.SaveCause == b.SaveCause &&
		a.CapturedAt.Equal(b.CapturedAt) && a.CreatedAt.Equal(b.CreatedAt) &&
		a.Platform == b.Platform && a.GameVersion == b.GameVersion &&
		maps.EqualFunc(a.Data, b.Data, bytes.Equal)
}

// newestRow says which row is a player's newest current one.
type newestRow struct {
	arrival int64
	fence   handoff.Fence
}

// newestCurrent returns zeros when there is none.
func newestCurrent(ctx context.Context, tx *sql.Tx, player handoff.PlayerID) (newest newestRow, err error) {
	err = tx.QueryRowContext(ctx, selectNewestCurrent, player.String()).Scan(&newest.arrival, &newest.fence)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return newestRow{}, fmt.Errorf("look for the newest current row: %w", err)
	}
	return newest, nil
}

// addRow writes the row.
func addRow(ctx context.Context, tx *sql.Tx, s *handoff.Snapshot, packed []byte, as handoff.StoredAs) error {
	const statement = `INSERT INTO snapshots (id, player, player_name, fence, sequence, stored_as, pinned,
		save_cause, server, platform, game_version, captured_at, created_at, packed)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	_, err := tx.ExecContext(ctx, statement,
		s.ID.String(), s.Player.String(), s.PlayerName, int64(s.Version.Fence), int64(s.Version.Sequence), as.String(), s.Pinned,
		s.SaveCause, string(s.Server), s.Platform, s.GameVersion, toMillis(s.CapturedAt), toMillis(s.CreatedAt), packed)
	if err != nil {
		return fmt.Errorf("write the row: %w", err)
	}
	return nil
}

// prune applies the rules of retention to one player.
func (s *SQLite) prune(ctx context.Context, tx *sql.Tx, player handoff.PlayerID) error {
	newest, err := newestCurrent(ctx, tx, player)
	if err != nil {
		return err
	}
	rows, err := unpinned(ctx, tx, player)
	if err != nil {
		return fmt.Errorf("look for rows to prune: %w", err)
	}
	for _, arrival := range surplus(rows, newest.arrival, s.config.Keep, s.config.BackupFrequency) {
		if _, err := tx.ExecContext(ctx, `DELETE FROM snapshots WHERE ord = ?`, arrival); err != nil {
			return fmt.Errorf("prune a row: %w", err)
		}
	}
	return nil
}

// unpinned returns the player's unpinned rows, highest version first.
func unpinned(ctx context.Context, tx *sql.Tx, player handoff.PlayerID) (rows []keptRow, err error) {
	found, err := tx.QueryContext(ctx, selectUnpinned, player.String())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		var (
			one  keptRow
			role string
		)
		if err := found.Scan(&one.arrival, &role, &one.createdAt); err != nil {
			return nil, err
		}
		if one.storedAs, err = parseRole(role); err != nil {
			return nil, err
		}
		rows = append(rows, one)
	}
	return rows, found.Err()
}

// toMillis returns Unix milliseconds, or NULL for no time.
func toMillis(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UnixMilli()
}
