package spool

import (
	"os"
	"sync"
)

// disk is what an entry is written through. Tests put one in that fails.
type disk interface {
	// create makes a file that must not be there yet.
	create(path string) (file, error)
	rename(from, to string) error
	remove(path string) error
	// syncFolder makes the names in a folder durable.
	syncFolder(path string) error
}

// file is a file being written.
type file interface {
	Write(content []byte) (int, error)
	Sync() error
	Close() error
}

// realDisk is the operating system's.
type realDisk struct{}

func (realDisk) create(path string) (file, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
}

func (realDisk) rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) remove(path string) error { return os.Remove(path) }

func (realDisk) syncFolder(path string) error { return syncFolder(path) }

// groupSync syncs a folder for several callers at once. A caller's changes are
// made before it calls; the sync that answers it begins after that.
type groupSync struct {
	sync func() error
	// turn is held by the caller that syncs.
	turn sync.Mutex

	mu   sync.Mutex
	next *syncRound
}

// syncRound is one sync to come, and then its result.
type syncRound struct {
	done bool // guarded by turn
	err  error
}

func (g *groupSync) wait() error {
	g.mu.Lock()
	if g.next == nil {
		g.next = &syncRound{}
	}
	mine := g.next
	g.mu.Unlock()

	g.turn.Lock()
	defer g.turn.Unlock()
	if mine.done { // Another caller of the same round was first.
		return mine.err
	}
	g.mu.Lock()
	g.next = nil
	g.mu.Unlock()
	mine.err = g.sync()
	mine.done = true
	return mine.err
}
