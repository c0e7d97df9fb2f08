package snapshotstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"modernc.org/sqlite"
)

// SQLite is a store in one file. Its methods may be called by several goroutines
// at once.
type SQLite struct {
	path   string
	file   os.FileInfo
	codec  Codec
	config Config

	// writer has one connection: the goroutines of one process queue for it in
	// order of arrival and leave the queue when their context ends, where
	// SQLite would let them poll for its lock.
	writer, reader *sql.DB
}

// OpenSQLite opens the file that dsn names, creates it when it is missing (its
// folder must exist) and raises its schema. The dsn is a path or a file: URL
// without parameters. Errors wrap one of ErrBadConfig, ErrBadDSN, ErrCannotOpen,
// ErrReadOnly, ErrNotDatabase, ErrNewerSchema, ErrCorrupt, ErrFull, ErrBusy or
// ErrInputOutput, or the context's error.
func OpenSQLite(ctx context.Context, dsn string, codec Codec, config Config) (*SQLite, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if codec == nil {
		return nil, fmt.Errorf("%w: no codec", ErrBadConfig)
	}
	path, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	s := &SQLite{path: path, codec: codec, config: config.withDefaults()}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", s.fail(ctx, err)), s.Close())
	}
	return s, nil
}

// open prepares the file and opens the connections for good.
func (s *SQLite) open(ctx context.Context) error {
	preparer, err := openPool(s.path, accessCreate, 1)
	if err != nil {
		return err
	}
	// Closed last: were no other connection open, SQLite would take the file
	// apart and have to put it together again.
	defer func() { _ = preparer.Close() }()
	if err := s.retry(ctx, func() error { return s.prepare(ctx, preparer) }); err != nil {
		return err
	}
	if s.file, err = os.Stat(s.path); err != nil {
		return fmt.Errorf("%w: %w", ErrCannotOpen, err)
	}
	if s.writer, err = openPool(s.path, accessWrite, 1); err != nil {
		return err
	}
	if s.reader, err = openPool(s.path, accessRead, s.config.MaxReaders); err != nil {
		return err
	}
	return s.retry(ctx, func() error {
		return errors.Join(probe(ctx, s.writer), probe(ctx, s.reader))
	})
}

// openPool opens no connection yet.
func openPool(path string, may access, most int) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(connectDSN(path, may))
	if err != nil {
		return nil, fmt.Errorf("name database: %w", err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(most)
	pool.SetMaxIdleConns(most)
	return pool, nil
}

// prepare switches the file to WAL and raises the schema.
func (s *SQLite) prepare(ctx context.Context, db *sql.DB) error {
	_, err := os.Stat(s.path)
	created := errors.Is(err, fs.ErrNotExist)
	var mode string
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return fmt.Errorf("switch to wal: %w", err)
	}
	if mode != "wal" {
		// SQLite answers the old mode where it cannot switch.
		return fmt.Errorf("%w: %s: write-ahead log is not possible here (journal mode stays %q): the file must lie on a local disk", ErrInputOutput, s.path, mode)
	}
	found, left, err := migrate(ctx, db)
	if err != nil {
		return err
	}
	switch {
	case created:
		s.config.Logger.Info("created a new snapshot database", "file", s.path, "schema", left)
	case found != left:
		s.config.Logger.Info("raised the schema of the snapshot database", "file", s.path, "from", found, "to", left)
	}
	return nil
}

// probe reads something that is always there.
func probe(ctx context.Context, db *sql.DB) error {
	var any bool
	if err := db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM snapshots)").Scan(&any); err != nil {
		return fmt.Errorf("read the snapshots table: %w", err)
	}
	return nil
}

// Ping reads from the database and returns why that was not possible.
func (s *SQLite) Ping(ctx context.Context) error {
	err := s.read(ctx, func() error { return probe(ctx, s.reader) })
	if err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// Close waits for the calls under way and closes the file. Later calls fail,
// another Close does nothing.
func (s *SQLite) Close() error {
	var failures []error
	for _, pool := range []*sql.DB{s.reader, s.writer} {
		if pool != nil {
			failures = append(failures, pool.Close())
		}
	}
	if err := errors.Join(failures...); err != nil {
		return fmt.Errorf("close database: %w", explain(s.path, err))
	}
	return nil
}

// read runs a query, again while the file is busy. Its result counts only when
// it came from the file that was opened.
func (s *SQLite) read(ctx context.Context, query func() error) error {
	err := s.retry(ctx, query)
	if moved := s.inPlace(); moved != nil {
		return moved
	}
	return s.fail(ctx, err)
}

// write runs one transaction under the write lock, again while the file is busy;
// it is rolled back when change returns an error.
func (s *SQLite) write(ctx context.Context, change func(*sql.Tx) error) error {
	if err := s.inPlace(); err != nil {
		return err
	}
	err := s.retry(ctx, func() error {
		tx, err := s.writer.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("begin transaction: %w", err)
		}
		if err := change(tx); err != nil {
			// The rollback can only fail where the connection is lost, and the
			// transaction with it.
			_ = tx.Rollback()
			return err
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("commit: %w", err)
		}
		return nil
	})
	if err != nil {
		return s.fail(ctx, err)
	}
	// Had the file been moved away meanwhile, the commit went with it.
	return s.inPlace()
}

// inPlace returns ErrReplaced when the path no longer leads to the file that was
// opened. An open file outlives its name: without this look, saves would be
// acknowledged into a deleted file until the worker ends.
func (s *SQLite) inPlace() error {
	now, err := os.Stat(s.path)
	if err == nil && os.SameFile(now, s.file) {
		return nil
	}
	const mend = "it was moved, deleted or replaced while the worker had it open: put it back, then restart the worker"
	if err != nil {
		return fmt.Errorf("%w: %s: %s: %w", ErrReplaced, s.path, mend, err)
	}
	return fmt.Errorf("%w: %s: %s", ErrReplaced, s.path, mend)
}

// retry repeats an operation while other processes keep the file busy, until
// BusyTimeout has passed.
//
// SQLite has no queue for its lock: who waits has to ask again and again. Left
// to itself (busy_timeout) it soon asks only ten times a second, and a process
// that writes without a pause keeps another out for seconds. So SQLite's own wait
// is short, and this loop asks some hundreds of times a second. At most one
// goroutine of a process does, the one that has the writing connection.
func (s *SQLite) retry(ctx context.Context, operation func() error) error {
	const pause = 2 * time.Millisecond
	begin := time.Now()
	for {
		err := operation()
		if !isBusy(err) || time.Since(begin) >= s.config.BusyTimeout {
			return err
		}
		timer := time.NewTimer(rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// fail explains an error of the driver. Where the context has ended, that is the
// reason, whatever the driver makes of it.
func (s *SQLite) fail(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w: %w", cause, explain(s.path, err))
	}
	return explain(s.path, err)
}
