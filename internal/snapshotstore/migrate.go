package snapshotstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
)

//go:embed migrations/sqlite/*.sql
var migrations embed.FS

// migrate raises the schema to this program's and returns the version it found
// and the one it left. Each step and its entry in goose_db_version are one
// transaction under SQLite's write lock, taken before the step looks whether it
// is still needed: workers that start together queue, and each step runs once.
//
// Steps must therefore be plain statements that SQLite can run inside a
// transaction.
func migrate(ctx context.Context, db *sql.DB) (found, left int64, err error) {
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return 0, 0, fmt.Errorf("read embedded migrations: %w", err)
	}
	lock := &stepLock{}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithDisableGlobalRegistry(true),
		goose.WithSlog(slog.New(slog.DiscardHandler)),
		goose.WithSessionLocker(lock),
		// Goose would open a transaction of its own inside the lock's.
		goose.WithIsolateDDL(true),
	)
	if err != nil {
		return 0, 0, fmt.Errorf("read embedded migrations: %w", err)
	}
	steps := provider.ListSources()
	left = steps[len(steps)-1].Version
	if found, err = schemaVersion(ctx, db, left); err != nil || found == left {
		return found, left, err
	}
	for _, step := range steps {
		lock.version = step.Version
		if _, err := provider.ApplyVersion(ctx, step.Version, true); err != nil && !errors.Is(err, goose.ErrAlreadyApplied) {
			return found, found, fmt.Errorf("raise schema to version %d: %w", step.Version, err)
		}
	}
	// Another program, newer than this one, may have been quicker.
	_, err = schemaVersion(ctx, db, left)
	return found, left, err
}

// schemaVersion returns the schema version in the file, 0 for none, and an error
// that wraps ErrNewerSchema when it is above the highest one known. It writes
// nothing: a file of a newer program stays untouched, and a worker that finds
// its schema in place does not queue for the write lock.
func schemaVersion(ctx context.Context, db *sql.DB, known int64) (version int64, err error) {
	var tables int
	const exists = `SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'goose_db_version'`
	if err := db.QueryRowContext(ctx, exists).Scan(&tables); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	if tables == 0 {
		return 0, nil
	}
	const highest = `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied = 1`
	if err := db.QueryRowContext(ctx, highest).Scan(&version); err != nil {
		return 0, fmt.Errorf("read schema version: %w", err)
	}
	if version > known {
		return version, fmt.Errorf("%w: version %d, this program knows %d: run the syncworker version that wrote it, or a newer one", ErrNewerSchema, version, known)
	}
	return version, nil
}

// stepLock makes one migration step one transaction. It implements goose's
// lock.SessionLocker.
type stepLock struct {
	// version is the step's.
	version int64
}

// SessionLock takes the write lock before goose looks at anything.
func (l *stepLock) SessionLock(ctx context.Context, conn *sql.Conn) error {
	_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
	return err
}

// SessionUnlock ends the transaction. Goose does not say whether the step went
// well, but it enters the step's version last: when the entry is there, so is
// everything else.
func (l *stepLock) SessionUnlock(ctx context.Context, conn *sql.Conn) error {
	var done bool
	const entered = `SELECT EXISTS (SELECT 1 FROM goose_db_version WHERE version_id = ?)`
	if err := conn.QueryRowContext(ctx, entered, l.version).Scan(&done); err == nil && done {
		_, err := conn.ExecContext(ctx, "COMMIT")
		return err
	}
	// The step's own error is on its way to the caller. Should the rollback
	// fail, closing the connection does the same.
	_, _ = conn.ExecContext(ctx, "ROLLBACK")
	return nil
}
