//go:build unix

package stage

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// Locks of SQLite's WAL mode, as its file format defines them: bytes of the
// file with the suffix -shm, taken with fcntl.
const (
	lockWrite = 120 // whoever appends to the log
	lockFirst = 120 // all of them: write, checkpoint, recover, five for readers
	lockLast  = 127
)

// Database is the SQLite file, of which only the locks are touched.
type Database struct {
	path string
	file *os.File
}

// HoldWrite takes the write lock, as a transaction of another program would:
// nobody can write until Release.
func (d *Database) HoldWrite(ctx context.Context) error { return d.hold(ctx, lockWrite, lockWrite) }

// HoldAll takes every lock: nobody can read or write until Release.
func (d *Database) HoldAll(ctx context.Context) error { return d.hold(ctx, lockFirst, lockLast) }

func (d *Database) hold(ctx context.Context, first, last int64) error {
	if d.file == nil {
		file, err := os.OpenFile(d.path+"-shm", os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("stage: open locks of the database: %w", err)
		}
		d.file = file
	}
	for at := first; at <= last; at++ {
		for d.lock(syscall.F_WRLCK, at, 1) != nil {
			if err := pause(ctx, time.Millisecond); err != nil {
				d.Release()
				return fmt.Errorf("stage: lock the database: %w", err)
			}
		}
	}
	return nil
}

func (d *Database) lock(kind int16, from, length int64) error {
	return syscall.FcntlFlock(d.file.Fd(), syscall.F_SETLK, &syscall.Flock_t{
		Type: kind, Whence: io.SeekStart, Start: from, Len: length,
	})
}

// Release gives all locks back.
func (d *Database) Release() {
	if d.file == nil {
		return
	}
	// Closing gives up every lock that this process has on the file.
	_ = d.file.Close()
	d.file = nil
}
