package spool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Spool is an open spool. Its methods may be called by several goroutines at
// once.
type Spool struct {
	config  Config
	disk    disk
	lock    *os.File
	metrics *metrics
	folder  groupSync
	temp    atomic.Uint64
	// life is held by every call under way; Close takes it alone.
	life   sync.RWMutex
	closed bool
	// queues make the calls about one snapshot wait for each other.
	queues [64]sync.Mutex
	// aside makes the choice of names in the folder of damaged entries safe.
	aside    sync.Mutex
	problems []Problem

	mu    sync.Mutex
	index map[key]handoff.SpoolRecord
	// entries and bytes count what is there and what is being written.
	entries int
	bytes   int64
}

// key names an entry.
type key struct {
	player handoff.PlayerID
	id     handoff.SnapshotID
}

// Problem is an entry that was found damaged.
type Problem struct {
	// File is where it lies now.
	File string
	// Player is whose entry it was by the file's name; zero when that tells
	// nothing.
	Player handoff.PlayerID
	// Err wraps handoff.ErrDamaged.
	Err error
}

// Usage says how full a spool is.
type Usage struct {
	Entries, MaxEntries int
	Bytes, MaxBytes     int64
}

// Put writes an entry; it is durable once Put returned nil. An entry of the same
// snapshot is replaced, so that its role and flags can change. The context is
// looked at before the write begins; what has begun ends as fast as the disk
// allows. Errors wrap ErrFull, ErrInvalid, ErrClosed or the context's, or say
// what the file system refused; then the entry is not there, or as it was.
func (s *Spool) Put(ctx context.Context, entry handoff.SpoolEntry, packed []byte) error {
	began := time.Now()
	err := s.put(ctx, entry, packed)
	s.metrics.count(err)
	if err != nil {
		return fmt.Errorf("spool snapshot: %w", err)
	}
	s.metrics.seconds.Observe(time.Since(began).Seconds())
	return nil
}

func (s *Spool) put(ctx context.Context, entry handoff.SpoolEntry, packed []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if entry.Snapshot == nil {
		return fmt.Errorf("%w: no snapshot", ErrInvalid)
	}
	record := handoff.SpoolRecord{
		Player: entry.Snapshot.Player, ID: entry.Snapshot.ID, Version: entry.Snapshot.Version,
		As: entry.As, Accepted: entry.Accepted, Final: entry.Final, Size: int64(len(packed)),
	}
	if err := checkRecord(record); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	end, err := s.begin(record.ID)
	if err != nil {
		return err
	}
	defer end()
	before, err := s.reserve(record)
	if err != nil {
		return err
	}
	placed, err := s.write(record, packed, before != nil)
	if placed {
		s.mu.Lock()
		s.enter(record)
		s.mu.Unlock()
	} else {
		s.account(record, before, -1)
	}
	if err != nil {
		return s.explain(err)
	}
	return nil
}

// begin opens a call about one snapshot; the returned function ends it.
func (s *Spool) begin(id handoff.SnapshotID) (end func(), err error) {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return nil, ErrClosed
	}
	queue := &s.queues[int(id[len(id)-1])%len(s.queues)]
	queue.Lock()
	return func() {
		queue.Unlock()
		s.life.RUnlock()
	}, nil
}

// reserve makes room for a record and returns the one that it replaces.
func (s *Spool) reserve(record handoff.SpoolRecord) (before *handoff.SpoolRecord, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if present, found := s.index[key{record.Player, record.ID}]; found {
		if present.Version != record.Version {
			return nil, fmt.Errorf("%w: snapshot %s is spooled as version %s already", ErrInvalid, record.ID, present.Version)
		}
		before = &present
	}
	entries, size := s.change(record, before)
	const mend = "it empties when Redis and the database answer again; raise spool.max_size if it must hold more"
	switch {
	case entries > 0 && s.entries+entries > s.config.MaxEntries:
		return nil, fmt.Errorf("%w: %s holds %d entries of at most %d: %s", ErrFull, s.config.Dir, s.entries, s.config.MaxEntries, mend)
	case size > 0 && s.bytes+size > s.config.MaxBytes:
		return nil, fmt.Errorf("%w: %s holds %d bytes of at most %d and was to take %d more: %s", ErrFull, s.config.Dir, s.bytes, s.config.MaxBytes, size, mend)
	}
	s.entries += entries
	s.bytes += size
	return before, nil
}

// change says what a record adds to the counts.
func (s *Spool) change(record handoff.SpoolRecord, before *handoff.SpoolRecord) (entries int, size int64) {
	if before != nil {
		return 0, record.Size - before.Size
	}
	return 1, headerSize + record.Size
}

// account adds a record to the counts, or with -1 takes it off.
func (s *Spool) account(record handoff.SpoolRecord, before *handoff.SpoolRecord, sign int) {
	entries, size := s.change(record, before)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries += sign * entries
	s.bytes += int64(sign) * size
}

// write makes the file durable under its name, and reports whether it lies there.
// When it fails, the file is not there, or as it was, or, where it replaces one,
// there and perhaps not durable: the one before is durable then.
func (s *Spool) write(record handoff.SpoolRecord, packed []byte, replaces bool) (placed bool, err error) {
	temp := s.path(tempPrefix + strconv.FormatUint(s.temp.Add(1), 10))
	target := s.path(name(record))
	if err := s.writeFile(temp, header(record, packed), packed); err != nil {
		return false, err
	}
	if err := s.disk.rename(temp, target); err != nil {
		return false, errors.Join(err, s.discard(temp))
	}
	if err := s.folder.wait(); err != nil {
		if replaces {
			return true, err // Either content is the same snapshot.
		}
		return false, errors.Join(err, s.discard(target))
	}
	return true, nil
}

// writeFile writes and syncs a new file, or leaves none.
func (s *Spool) writeFile(path string, parts ...[]byte) error {
	created, err := s.disk.create(path)
	if err != nil {
		return err
	}
	for _, part := range parts {
		if _, err = created.Write(part); err != nil {
			break
		}
	}
	if err == nil {
		err = created.Sync()
	}
	if err = errors.Join(err, created.Close()); err != nil {
		return errors.Join(err, s.discard(path))
	}
	return nil
}

// discard removes what no caller was told of.
func (s *Spool) discard(path string) error {
	if err := s.disk.remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// explain names the folder, and the mend where there is one.
func (s *Spool) explain(err error) error {
	if isDiskFull(err) {
		return fmt.Errorf("%w: the disk of %s has no room left: free some; or stop the worker, move the folder with what is in it to another disk, and let spool.dir name it: %w", ErrFull, s.config.Dir, err)
	}
	return fmt.Errorf("write to %s: %w", s.config.Dir, err)
}

// Remove takes an entry away, for its snapshot is safe elsewhere. No such entry
// is no error.
func (s *Spool) Remove(player handoff.PlayerID, id handoff.SnapshotID) error {
	end, err := s.begin(id)
	if err != nil {
		return fmt.Errorf("remove spooled snapshot %s: %w", id, err)
	}
	defer end()
	record, found := s.record(player, id)
	if !found {
		return nil
	}
	if err := s.discard(s.path(name(record))); err != nil {
		return fmt.Errorf("remove spooled snapshot %s: %w", id, err)
	}
	s.forget(record)
	return nil
}

// Read returns the packed bytes of an entry. Errors wrap ErrNoEntry, or
// handoff.ErrDamaged when the bytes are not what was written, or say what the
// file system refused.
func (s *Spool) Read(player handoff.PlayerID, id handoff.SnapshotID) ([]byte, error) {
	end, err := s.begin(id)
	if err != nil {
		return nil, fmt.Errorf("read spooled snapshot %s: %w", id, err)
	}
	defer end()
	record, found := s.record(player, id)
	if !found {
		return nil, fmt.Errorf("%w: snapshot %s of player %s", ErrNoEntry, id, player)
	}
	content, err := os.ReadFile(s.path(name(record)))
	if errors.Is(err, fs.ErrNotExist) {
		s.forget(record)
		return nil, fmt.Errorf("%w: its file was taken away: %w", ErrNoEntry, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read spooled snapshot %s: %w", id, err)
	}
	stored, packed, err := unwrap(content)
	if err == nil && stored != record {
		err = fmt.Errorf("%w: the file changed meanwhile", errNotEntry)
	}
	if err != nil {
		return nil, fmt.Errorf("read spooled snapshot %s: %w", id, err)
	}
	return packed, nil
}

// Reject moves an entry that can never be replayed to the folder of damaged
// ones, and logs the cause. It returns ErrNoEntry when there is none.
func (s *Spool) Reject(player handoff.PlayerID, id handoff.SnapshotID, cause error) error {
	end, err := s.begin(id)
	if err != nil {
		return fmt.Errorf("set spooled snapshot %s aside: %w", id, err)
	}
	defer end()
	record, found := s.record(player, id)
	if !found {
		return fmt.Errorf("%w: snapshot %s of player %s", ErrNoEntry, id, player)
	}
	if _, err := s.setAside(name(record), player, cause); err != nil {
		return fmt.Errorf("set spooled snapshot %s aside: %w", id, err)
	}
	s.forget(record)
	return nil
}

// Load returns what is in the spool, each player's entries together and in the
// order of their versions, and what Open found damaged.
func (s *Spool) Load() ([]handoff.SpoolRecord, []Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]handoff.SpoolRecord, 0, s.entries)
	for _, record := range s.index {
		all = append(all, record)
	}
	slices.SortFunc(all, func(a, b handoff.SpoolRecord) int {
		return cmp.Or(bytes.Compare(a.Player[:], b.Player[:]), a.Version.Compare(b.Version), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return all, slices.Clone(s.problems)
}

// Usage returns how full the spool is.
func (s *Spool) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Usage{Entries: s.entries, MaxEntries: s.config.MaxEntries, Bytes: s.bytes, MaxBytes: s.config.MaxBytes}
}

// Close waits for the calls under way and gives the folder back. Later calls
// fail with ErrClosed, another Close does nothing.
func (s *Spool) Close() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.lock.Close(); err != nil {
		return fmt.Errorf("close spool: %w", err)
	}
	return nil
}

func (s *Spool) path(base string) string { return filepath.Join(s.config.Dir, base) }

// record returns what is known of an entry.
func (s *Spool) record(player handoff.PlayerID, id handoff.SnapshotID) (handoff.SpoolRecord, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	record, found := s.index[key{player, id}]
	return record, found
}

// enter puts a record into the index. Callers hold mu, or are alone.
func (s *Spool) enter(record handoff.SpoolRecord) {
	s.index[key{record.Player, record.ID}] = record
}

// forget takes a record off the index and the counts.
func (s *Spool) forget(record handoff.SpoolRecord) {
	s.mu.Lock()
	delete(s.index, key{record.Player, record.ID})
	s.mu.Unlock()
	s.account(record, nil, -1)
}
