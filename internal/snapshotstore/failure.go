package snapshotstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// explain turns an error of the driver into one that wraps this package's
// sentinel, names the file and tells the mend. Other errors stay as they are.
func explain(path string, err error) error {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return err
	}
	mend, sentinel := classify(path, failure.Code())
	if sentinel == nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%w: %s: %s: %w", sentinel, path, mend, err)
}

// classify knows the failures that operators meet. The low byte of a code is its
// kind; the rest tells finer what SQLite was doing.
func classify(path string, code int) (mend string, sentinel error) {
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return "another process holds its lock: look for a backup or an sqlite3 shell that left a transaction open", ErrBusy
	case sqlite3.SQLITE_CANTOPEN:
		return whyNotOpened(path), ErrCannotOpen
	case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM:
		return "let the worker's user write the file and its folder, or remount a disk that went read-only", ErrReadOnly
	case sqlite3.SQLITE_NOTADB:
		return "database.dsn names some other file: name another, or move this one away", ErrNotDatabase
	case sqlite3.SQLITE_CORRUPT:
		return "stop the workers, keep a copy of the file with its -wal and -shm, then restore a backup or use sqlite3's .recover", ErrCorrupt
	case sqlite3.SQLITE_FULL:
		return "free some space; the worker goes on by itself then", ErrFull
	case sqlite3.SQLITE_PROTOCOL:
		return "its locks do not work: the file must lie on a local disk", ErrInputOutput
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOLFS:
		return "look at the disk and at the kernel log", ErrInputOutput
	default:
		return "", nil
	}
}

// whyNotOpened finds out what stands in the way, for SQLite does not tell. It
// only asks for attributes: opening and closing the file would drop the locks
// that this process holds on it.
func whyNotOpened(path string) string {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return "it is a folder: let database.dsn name a file"
	}
	folder := filepath.Dir(path)
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Sprintf("the folder %s does not exist: create it, or change database.dsn", folder)
	case err == nil && !info.IsDir():
		return fmt.Sprintf("%s is not a folder: change database.dsn", folder)
	default:
		return "let the worker's user read and write the file and its folder"
	}
}

// isBusy reports whether the failure may pass by waiting.
func isBusy(err error) bool {
	var failure *sqlite.Error
	if !errors.As(err, &failure) {
		return false
	}
	kind := failure.Code() & 0xff
	return kind == sqlite3.SQLITE_BUSY || kind == sqlite3.SQLITE_LOCKED
}
