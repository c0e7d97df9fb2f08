package spool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/spool"
)

// onlyEntry returns the path of the one entry in a folder.
func onlyEntry(t *testing.T, dir string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*.entry"))
	if err != nil || len(found) != 1 {
		t.Fatalf("entries %v, %v, want one", found, err)
	}
	return found[0]
}

// TestDamagedIsNeverReplayed: a file cut anywhere, or with any byte changed, is
// moved aside and reported, whole, and the others stay.
func TestDamagedIsNeverReplayed(t *testing.T) {
	seed := t.TempDir()
	one, other := newItem(1, 7, 2, 9), newItem(2, 7, 2, 9)
	s := newSpool(t, spool.Config{Dir: seed})
	mustPut(t, s, one)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := onlyEntry(t, seed)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var broken [][]byte
	for n := range sound {
		broken = append(broken, sound[:n])
		flipped := bytes.Clone(sound)
		flipped[n] ^= 1
		broken = append(broken, flipped)
	}
	broken = append(broken, append(bytes.Clone(sound), 0), bytes.Repeat([]byte{0}, len(sound)))
	for n, content := range broken {
		dir := t.TempDir()
		log := &bytes.Buffer{}
		s := newSpool(t, spool.Config{Dir: dir})
		mustPut(t, s, other)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(path)), content, 0o600); err != nil {
			t.Fatal(err)
		}
		s = newSpool(t, spool.Config{Dir: dir, Logger: hclog.New(&hclog.LoggerOptions{Output: log})})
		wantEntries(t, s, other)
		_, problems := s.Load()
		if len(problems) != 1 || problems[0].Player != one.Snapshot.Player || !errors.Is(problems[0].Err, handoff.ErrDamaged) {
			t.Fatalf("damage %d: problems %v, want one of player %s", n, problems, one.Snapshot.Player)
		}
		if kept, err := os.ReadFile(problems[0].File); err != nil || !bytes.Equal(kept, content) || filepath.Dir(problems[0].File) != filepath.Join(dir, "damaged") {
			t.Fatalf("damage %d: %s holds %d bytes, %v, want them as they were, under damaged", n, problems[0].File, len(kept), err)
		}
		if !strings.Contains(log.String(), one.Snapshot.Player.String()) {
			t.Fatalf("damage %d: logged %q, want the player named", n, log)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSwappedFiles: a sound entry under the name of another is not that one.
func TestSwappedFiles(t *testing.T) {
	dir := t.TempDir()
	s := newSpool(t, spool.Config{Dir: dir})
	mustPut(t, s, newItem(1, 7, 2, 9))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	path := onlyEntry(t, dir)
	if err := os.Rename(path, strings.Replace(path, "0000000000000002", "0000000000000003", 1)); err != nil {
		t.Fatal(err)
	}
	s = newSpool(t, spool.Config{Dir: dir})
	wantEntries(t, s)
	if _, problems := s.Load(); len(problems) != 1 {
		t.Errorf("problems %v, want one", problems)
	}
}

// TestDamagedLater: bytes that change after the start are not delivered, and
// several damaged entries of one name are all kept.
func TestDamagedLater(t *testing.T) {
	dir := t.TempDir()
	registry := newRegistry()
	s := newSpool(t, spool.Config{Dir: dir, Registerer: registry})
	one := newItem(1, 7, 2, 9)
	for range 3 {
		mustPut(t, s, one)
		if err := os.WriteFile(onlyEntry(t, dir), []byte("not an entry"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Read(one.Snapshot.Player, one.Snapshot.ID)
		if !errors.Is(err, handoff.ErrDamaged) {
			t.Fatalf("Read() = %v, want ErrDamaged", err)
		}
		if err := s.Reject(one.Snapshot.Player, one.Snapshot.ID, err); err != nil {
			t.Fatal(err)
		}
		wantEntries(t, s)
	}
	wantFiles(t, filepath.Join(dir, "damaged"), ".entry", 3)
	if got := measured(t, registry, "syncworker_spool_damaged_total"); got != 3 {
		t.Errorf("damaged counted: %v, want 3", got)
	}
	if err := s.Reject(one.Snapshot.Player, one.Snapshot.ID, handoff.ErrDamaged); !errors.Is(err, spool.ErrNoEntry) {
		t.Errorf("Reject(again) = %v, want ErrNoEntry", err)
	}
}

// TestTakenAway: an operator moved an entry away while the worker ran.
func TestTakenAway(t *testing.T) {
	dir := t.TempDir()
	s := newSpool(t, spool.Config{Dir: dir})
	one := newItem(1, 7, 2, 9)
	mustPut(t, s, one)
	if err := os.Remove(onlyEntry(t, dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(one.Snapshot.Player, one.Snapshot.ID); !errors.Is(err, spool.ErrNoEntry) {
		t.Errorf("Read() = %v, want ErrNoEntry", err)
	}
	wantEntries(t, s)
}

// TestOtherFilesStay: what is not the spool's is left alone, and what a killed
// writer left is cleared.
func TestOtherFilesStay(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"notes.txt", ".new-1", ".new-77"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("SWQ"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := newSpool(t, spool.Config{Dir: dir})
	wantEntries(t, s)
	wantFiles(t, dir, ".new-", 0)
	wantFiles(t, dir, "notes.txt", 1)
	mustPut(t, s, newItem(1, 1, 1, 5))
}

// TestDiskFails: whichever step of a write fails, Put says so, nothing partial
// stays, and what was acknowledged before is there after a restart (law L6).
func TestDiskFails(t *testing.T) {
	steps := []string{"create", "write", "write", "sync", "close", "rename", "sync-folder"}
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		for failing := range steps {
			for _, replaces := range []bool{false, true} {
				t.Run(steps[failing]+"/"+cause.Error(), func(t *testing.T) {
					testDiskFails(t, failing, cause, replaces, steps)
				})
			}
		}
	}
}

func testDiskFails(t *testing.T, failing int, cause error, replaces bool, steps []string) {
	dir := t.TempDir()
	faults := &spool.Faults{}
	s, err := spool.OpenFaulty(spool.Config{Dir: dir}, faults)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	first, second := newItem(1, 7, 1, 50), newItem(1, 7, 2, 50)
	mustPut(t, s, first, second)
	if got := faults.Steps(); strings.Join(got, " ") != strings.Join(append(steps, steps...), " ") {
		t.Fatalf("two writes took the steps %v, want %v for each", got, steps)
	}
	refused := newItem(1, 7, 3, 50)
	if replaces {
		refused = second
		refused.Accepted = true
	}
	n := 0
	faults.Fail = func(string) error {
		if n++; n == failing+1 {
			return cause
		}
		return nil
	}
	err = s.Put(t.Context(), refused.SpoolEntry, refused.packed)
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), dir) {
		t.Fatalf("Put() = %v, want %v and the folder named", err, cause)
	}
	if full := !errors.Is(cause, syscall.EIO); errors.Is(err, spool.ErrFull) != full || full && !strings.Contains(err.Error(), "spool.dir") {
		t.Fatalf("Put() = %v, want ErrFull with its mend: %t", err, full)
	}
	if replaces && failing == len(steps)-1 {
		second = refused // It lies there; only a crash could bring the old one back.
	}
	wantEntries(t, s, first, second)
	wantFiles(t, dir, ".new-", 0)
	faults.Fail = nil
	mustPut(t, s, newItem(1, 7, 4, 50))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, newSpool(t, spool.Config{Dir: dir}), first, second, newItem(1, 7, 4, 50))
}

// TestDiskFailsForGood: when not even the unfinished file can be removed, the
// next start clears it.
func TestDiskFailsForGood(t *testing.T) {
	dir := t.TempDir()
	faults := &spool.Faults{}
	s, err := spool.OpenFaulty(spool.Config{Dir: dir}, faults)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	faults.Fail = func(step string) error {
		if step == "create" {
			return nil
		}
		return syscall.EIO
	}
	one := newItem(1, 1, 1, 50)
	if err := s.Put(t.Context(), one.SpoolEntry, one.packed); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Put() = %v, want EIO", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, ".new-", 1)
	wantEntries(t, newSpool(t, spool.Config{Dir: dir}))
	wantFiles(t, dir, ".new-", 0)
}

// FuzzUnwrap: no bytes harm the reader, and what it accepts is whole.
func FuzzUnwrap(f *testing.F) {
	dir := f.TempDir()
	s := newSpool(f, spool.Config{Dir: dir})
	mustPut(f, s, newItem(1, 7, 2, 9))
	found, err := filepath.Glob(filepath.Join(dir, "*.entry"))
	if err != nil || len(found) != 1 {
		f.Fatal(found, err)
	}
	sound, err := os.ReadFile(found[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound)
	f.Add(sound[:72])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		record, packed, err := spool.Unwrap(content)
		switch {
		case err != nil && !errors.Is(err, handoff.ErrDamaged):
			t.Errorf("Unwrap() = %v, want ErrDamaged", err)
		case err == nil && (record.Size != int64(len(packed)) || len(packed) != len(content)-headerSize):
			t.Errorf("Unwrap() = %d bytes of %d, want %d", len(packed), record.Size, len(content)-headerSize)
		}
	})
}
