package snapshotstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Bounds of a Release's texts, in bytes.
const (
	// MaxReason bounds Release.Reason.
	MaxReason = 512
	// MaxBy bounds Release.By.
	MaxBy = 128
)

// Release is an operator's act: a player was taken from a server. Releases are
// kept for good; no session depends on them.
type Release struct {
	// At has a resolution of one millisecond.
	At time.Time
	// Player who was released.
	Player handoff.PlayerID
	// Holder had the player, at Fence; Fence is 0 when Redis knew none.
	Holder handoff.ServerID
	Fence  handoff.Fence
	// Reason is the operator's.
	Reason string
	// Forced means that the holder was alive.
	Forced bool
	// By says who it was; may be empty.
	By string
}

// check reports why a release cannot be kept.
func (r Release) check() error {
	switch {
	case r.Player == handoff.PlayerID{}:
		return fmt.Errorf("%w: release has no player", ErrInvalid)
	case r.At.IsZero():
		return fmt.Errorf("%w: release has no time", ErrInvalid)
	case r.Fence < 0:
		return fmt.Errorf("%w: fence %s", ErrInvalid, r.Fence)
	case len(r.Holder) > handoff.MaxServerID:
		return fmt.Errorf("%w: holder has %d bytes (want at most %d)", ErrInvalid, len(r.Holder), handoff.MaxServerID)
	case len(r.Reason) > MaxReason:
		return fmt.Errorf("%w: reason has %d bytes (want at most %d)", ErrInvalid, len(r.Reason), MaxReason)
	case len(r.By) > MaxBy:
		return fmt.Errorf("%w: by has %d bytes (want at most %d)", ErrInvalid, len(r.By), MaxBy)
	default:
		return nil
	}
}

// The queries for one player's releases and for everybody's.
const (
	selectReleases    = `SELECT at, player, holder, fence, reason, forced, released_by FROM releases `
	selectReleasesOf  = selectReleases + `WHERE player = ? ORDER BY ord DESC LIMIT ?`
	selectReleasesAll = selectReleases + `ORDER BY ord DESC LIMIT ?`
)

// RecordRelease keeps a release. Errors wrap ErrInvalid when the argument is to
// blame; after any other it may or may not be kept.
func (s *SQLite) RecordRelease(ctx context.Context, release Release) error {
	if err := release.check(); err != nil {
		return fmt.Errorf("record release: %w", err)
	}
	const statement = `INSERT INTO releases (at, player, holder, fence, reason, forced, released_by) VALUES (?, ?, ?, ?, ?, ?, ?)`
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, statement, release.At.UnixMilli(), release.Player.String(), string(release.Holder),
			int64(release.Fence), release.Reason, release.Forced, release.By)
		return err
	})
	if err != nil {
		return fmt.Errorf("record release of player %s: %w", release.Player, err)
	}
	return nil
}

// Releases returns up to limit releases of a player, or of all players for the
// zero PlayerID, the last one first. The limit must be 1 to MaxListLimit.
func (s *SQLite) Releases(ctx context.Context, player handoff.PlayerID, limit int) (releases []Release, err error) {
	if limit < 1 || limit > MaxListLimit {
		return nil, fmt.Errorf("list releases: %w: limit is %d (want 1 to %d)", ErrInvalid, limit, MaxListLimit)
	}
	query, arguments := selectReleasesAll, []any{limit}
	if player != (handoff.PlayerID{}) {
		query, arguments = selectReleasesOf, []any{player.String(), limit}
	}
	err = s.read(ctx, func() error {
		releases, err = s.releases(ctx, query, arguments)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list releases: %w", err)
	}
	return releases, nil
}

func (s *SQLite) releases(ctx context.Context, query string, arguments []any) (releases []Release, err error) {
	rows, err := s.reader.QueryContext(ctx, query, arguments...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			one    Release
			player string
			at     int64
		)
		if err := rows.Scan(&at, &player, &one.Holder, &one.Fence, &one.Reason, &one.Forced, &one.By); err != nil {
			return nil, err
		}
		one.At = time.UnixMilli(at).UTC()
		if one.Player, err = handoff.ParsePlayerID(player); err != nil {
			return nil, fmt.Errorf("%w: column player: %w", handoff.ErrDamaged, err)
		}
		releases = append(releases, one)
	}
	return releases, rows.Err()
}
