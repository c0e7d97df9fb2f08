package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/syncworker/syncworker/internal/handoff"
)

// What lies in the folder beside the entries.
const (
	lockName      = "lock"
	damagedFolder = "damaged"
	tempPrefix    = ".new-"
)

// Open opens the folder, creates it when it is missing, checks every entry in it
// and moves damaged ones aside; Load tells which. Errors wrap ErrBadConfig,
// ErrLocked or ErrForeign, or say what the file system refused: an entry that cannot be read
// might be a player's newest, so the worker must not start without it.
func Open(config Config) (*Spool, error) { return open(config, realDisk{}) }

func open(config Config, through disk) (*Spool, error) {
	config, err := config.validated()
	if err != nil {
		return nil, err
	}
	if config.Dir, err = filepath.Abs(config.Dir); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	s := &Spool{config: config, disk: through, index: make(map[key]handoff.SpoolRecord)}
	s.folder = groupSync{sync: func() error { return through.syncFolder(config.Dir) }}
	if err := makeFolder(config.Dir); err != nil {
		return nil, fmt.Errorf("open spool: create its folder (see spool.dir): %w", err)
	}
	s.lock, err = lockFile(filepath.Join(config.Dir, lockName))
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w: %s: another worker runs on it: stop that one, or give this one a spool.dir of its own", ErrLocked, config.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open spool: let the worker's user write %s: %w", config.Dir, err)
	}
	s.metrics = newMetrics(s, config.Registerer)
	if err := s.scan(); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool: %w", err), s.Close())
	}
	if err := s.claim(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// claim writes the owner into the lock file. Entries of another owner would be
// replayed into the wrong cluster, or under the wrong server's fences.
func (s *Spool) claim() error {
	path := filepath.Join(s.config.Dir, lockName)
	written, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("open spool: read its owner: %w", err)
	}
	before := strings.TrimSpace(string(written))
	switch {
	case s.config.Owner == "" || before == s.config.Owner:
		return nil
	case before != "" && s.entries > 0:
		return fmt.Errorf("%w: %s holds %d entries of %q, and this worker is %q: start that one on it, or give this one a spool.dir of its own",
			ErrForeign, s.config.Dir, s.entries, before, s.config.Owner)
	}
	if err := os.WriteFile(path, []byte(s.config.Owner+"\n"), 0o600); err != nil {
		return fmt.Errorf("open spool: write its owner: %w", err)
	}
	return nil
}

// makeFolder creates a folder so that it survives a crash.
func makeFolder(path string) error {
	switch info, err := os.Stat(path); {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return fmt.Errorf("%s is not a folder", path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// scan reads what is there. Nobody else uses the spool yet.
func (s *Spool) scan() error {
	files, err := os.ReadDir(s.config.Dir)
	if err != nil {
		return err
	}
	for _, found := range files {
		switch base := found.Name(); {
		case found.IsDir():
		case strings.HasPrefix(base, tempPrefix):
			// Its Put never returned.
			if err := os.Remove(s.path(base)); err != nil {
				return fmt.Errorf("remove an unfinished file: %w", err)
			}
		case strings.HasSuffix(base, suffix):
			if err := s.adopt(base); err != nil {
				return err
			}
		}
	}
	return syncFolder(s.config.Dir)
}

// adopt takes one file into the index, or moves it aside.
func (s *Spool) adopt(base string) error {
	record, err := s.inspect(base)
	if err == nil && name(record) != base {
		err = fmt.Errorf("%w: the file is named unlike its content", errNotEntry)
	}
	if errors.Is(err, handoff.ErrDamaged) {
		player, _ := playerOf(base)
		kept, moveErr := s.setAside(base, player, err)
		if moveErr != nil {
			return moveErr
		}
		s.problems = append(s.problems, Problem{File: kept, Player: player, Err: err})
		return nil
	}
	if err != nil {
		return fmt.Errorf("read an entry: let the worker's user read it, or look at the disk: %w", err)
	}
	s.enter(record)
	s.entries++
	s.bytes += headerSize + record.Size
	return nil
}

// inspect verifies one file.
func (s *Spool) inspect(base string) (record handoff.SpoolRecord, err error) {
	opened, err := os.Open(s.path(base))
	if err != nil {
		return record, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	info, err := opened.Stat()
	if err != nil {
		return record, err
	}
	return verify(opened, info.Size())
}

// setAside moves a file to the folder of damaged ones and returns its new path.
func (s *Spool) setAside(base string, player handoff.PlayerID, cause error) (string, error) {
	folder := s.path(damagedFolder)
	if err := makeFolder(folder); err != nil {
		return "", fmt.Errorf("keep a damaged entry: %w", err)
	}
	s.aside.Lock()
	defer s.aside.Unlock()
	target := filepath.Join(folder, base)
	for n := 2; ; n++ {
		if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return "", fmt.Errorf("keep a damaged entry: %w", err)
		}
		target = filepath.Join(folder, fmt.Sprintf("%s.%d", base, n))
	}
	if err := os.Rename(s.path(base), target); err != nil {
		return "", fmt.Errorf("keep a damaged entry: %w", err)
	}
	if err := errors.Join(syncFolder(folder), syncFolder(s.config.Dir)); err != nil {
		return "", fmt.Errorf("keep a damaged entry: %w", err)
	}
	s.metrics.damaged.Inc()
	s.config.Logger.Error("a spooled snapshot cannot be replayed and was moved aside, nothing else has it",
		"player", player, "file", target, "error", cause)
	return target, nil
}
