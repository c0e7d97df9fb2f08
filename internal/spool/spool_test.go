package spool_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/spool"
)

func TestEntriesSurviveReopening(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "survival-1.spool")
	s := newSpool(t, spool.Config{Dir: dir})
	accepted, final, history, conflict := newItem(1, 7, 2, 100), newItem(1, 7, 10, 1), newItem(1, 6, 99, 5000), newItem(2, 1, 1, 64)
	accepted.Accepted, final.Final = true, true
	history.As, conflict.As = handoff.AsHistory, handoff.AsConflict
	all := []item{final, conflict, accepted, history}
	mustPut(t, s, all...)
	wantEntries(t, s, all...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = newSpool(t, spool.Config{Dir: dir})
	wantEntries(t, s, all...)
	if _, problems := s.Load(); len(problems) > 0 {
		t.Errorf("problems %v, want none", problems)
	}
	if err := s.Remove(accepted.Snapshot.Player, accepted.Snapshot.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(accepted.Snapshot.Player, accepted.Snapshot.ID); err != nil {
		t.Errorf("Remove(again) = %v, want nil", err)
	}
	if err := s.Remove(player(99), accepted.Snapshot.ID); err != nil {
		t.Errorf("Remove(unknown) = %v, want nil", err)
	}
	wantEntries(t, s, final, conflict, history)
	if _, err := s.Read(accepted.Snapshot.Player, accepted.Snapshot.ID); !errors.Is(err, spool.ErrNoEntry) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read(removed) = %v, want ErrNoEntry", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, newSpool(t, spool.Config{Dir: dir}), final, conflict, history)
}

func TestPutReplaces(t *testing.T) {
	dir := t.TempDir()
	s := newSpool(t, spool.Config{Dir: dir, MaxEntries: 1})
	one := newItem(1, 7, 2, 100)
	mustPut(t, s, one)
	one.Accepted, one.As, one.packed = true, handoff.AsConflict, []byte("packed in another way")
	mustPut(t, s, one)
	wantEntries(t, s, one)
	other := one
	moved := *one.Snapshot
	moved.Version.Sequence++
	other.Snapshot = &moved
	if err := s.Put(t.Context(), other.SpoolEntry, other.packed); !errors.Is(err, spool.ErrInvalid) {
		t.Errorf("Put(same id, other version) = %v, want ErrInvalid", err)
	}
	wantEntries(t, s, one)
	wantFiles(t, dir, ".entry", 1)
}

func TestPermissions(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "spool")
	mustPut(t, newSpool(t, spool.Config{Dir: dir}), newItem(1, 1, 1, 10))
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s, want it for its owner only", entry.Name(), info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBounds(t *testing.T) {
	for _, test := range []struct {
		name   string
		config spool.Config
		fits   int
	}{
		{"Entries", spool.Config{MaxEntries: 2}, 2},
		{"Bytes", spool.Config{MaxBytes: 3*(100+headerSize) + 171}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.config.Dir = t.TempDir()
			s := newSpool(t, test.config)
			var items []item
			for n := range test.fits {
				items = append(items, newItem(uint64(n), 1, 1, 100))
			}
			mustPut(t, s, items...)
			last := newItem(50, 1, 1, 100)
			err := s.Put(t.Context(), last.SpoolEntry, last.packed)
			if !errors.Is(err, spool.ErrFull) || !strings.Contains(err.Error(), test.config.Dir) || !strings.Contains(err.Error(), "spool.max_size") {
				t.Fatalf("Put() = %v, want ErrFull that names the folder and the mend", err)
			}
			wantEntries(t, s, items...)
			wantFiles(t, test.config.Dir, "new", 0)
			items[0].Accepted = true // What is there can change when the spool is full.
			mustPut(t, s, items[0])
			if err := s.Remove(items[1].Snapshot.Player, items[1].Snapshot.ID); err != nil {
				t.Fatal(err)
			}
			mustPut(t, s, last)
			items[1] = last
			wantEntries(t, s, items...)
		})
	}
}

// TestBoundLowered: what is there stays when the bound is lowered.
func TestBoundLowered(t *testing.T) {
	dir := t.TempDir()
	s := newSpool(t, spool.Config{Dir: dir})
	one, two := newItem(1, 1, 1, 100), newItem(2, 1, 1, 100)
	mustPut(t, s, one, two)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = newSpool(t, spool.Config{Dir: dir, MaxBytes: 10, MaxEntries: 1})
	wantEntries(t, s, one, two)
	if err := s.Put(t.Context(), newItem(3, 1, 1, 1).SpoolEntry, []byte{1}); !errors.Is(err, spool.ErrFull) {
		t.Errorf("Put() = %v, want ErrFull", err)
	}
}

func TestOneWorkerAtATime(t *testing.T) {
	dir := t.TempDir()
	first := newSpool(t, spool.Config{Dir: dir})
	mustPut(t, first, newItem(1, 1, 1, 10))
	second, err := spool.Open(spool.Config{Dir: dir})
	if !errors.Is(err, spool.ErrLocked) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "spool.dir") {
		t.Fatalf("Open(second) = %v, %v, want ErrLocked that names the folder and the mend", second, err)
	}
	wantEntries(t, first, newItem(1, 1, 1, 10))
	if err := errors.Join(first.Close(), first.Close()); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, newSpool(t, spool.Config{Dir: dir}), newItem(1, 1, 1, 10))
}

func TestClosed(t *testing.T) {
	s := newSpool(t, spool.Config{Dir: t.TempDir()})
	one := newItem(1, 1, 1, 10)
	mustPut(t, s, one)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, readErr := s.Read(one.Snapshot.Player, one.Snapshot.ID)
	for name, err := range map[string]error{
		"Put":    s.Put(t.Context(), one.SpoolEntry, one.packed),
		"Remove": s.Remove(one.Snapshot.Player, one.Snapshot.ID),
		"Reject": s.Reject(one.Snapshot.Player, one.Snapshot.ID, errors.ErrUnsupported),
		"Read":   readErr,
	} {
		if !errors.Is(err, spool.ErrClosed) {
			t.Errorf("%s = %v, want ErrClosed", name, err)
		}
	}
}

func TestInvalid(t *testing.T) {
	for _, config := range []spool.Config{{}, {Dir: "x", MaxBytes: -1}, {Dir: "x", MaxEntries: -1}} {
		if _, err := spool.Open(config); !errors.Is(err, spool.ErrBadConfig) {
			t.Errorf("Open(%+v) = %v, want ErrBadConfig", config, err)
		}
	}
	s := newSpool(t, spool.Config{Dir: t.TempDir()})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	one := newItem(1, 1, 1, 10)
	if err := s.Put(cancelled, one.SpoolEntry, one.packed); !errors.Is(err, context.Canceled) {
		t.Errorf("Put(cancelled) = %v", err)
	}
	if err := s.Put(t.Context(), handoff.SpoolEntry{As: handoff.AsCurrent}, []byte{1}); !errors.Is(err, spool.ErrInvalid) {
		t.Errorf("Put(no snapshot) = %v, want ErrInvalid", err)
	}
	for name, change := range map[string]func(*item){
		"no bytes":          func(i *item) { i.packed = nil },
		"no player":         func(i *item) { i.Snapshot.Player = handoff.PlayerID{} },
		"no id":             func(i *item) { i.Snapshot.ID = handoff.SnapshotID{} },
		"no fence":          func(i *item) { i.Snapshot.Version.Fence = 0 },
		"no sequence":       func(i *item) { i.Snapshot.Version.Sequence = 0 },
		"too high sequence": func(i *item) { i.Snapshot.Version.Sequence = handoff.MaxSequence + 1 },
		"no role":           func(i *item) { i.As = 0 },
		"unknown role":      func(i *item) { i.As = handoff.AsConflict + 1 },
	} {
		bad := newItem(1, 1, 1, 10)
		change(&bad)
		if err := s.Put(t.Context(), bad.SpoolEntry, bad.packed); !errors.Is(err, spool.ErrInvalid) {
			t.Errorf("Put(%s) = %v, want ErrInvalid", name, err)
		}
	}
	wantEntries(t, s)
}

func TestFolderIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "spool")
	if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(spool.Config{Dir: path}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open() = %v, want an error that names %s", err, path)
	}
}

// TestSideBySide: entries of many players come and go at the same time.
func TestSideBySide(t *testing.T) {
	dir := t.TempDir()
	registry := newRegistry()
	s := newSpool(t, spool.Config{Dir: dir, Registerer: registry})
	const players, each = 16, 8
	var group sync.WaitGroup
	for p := range uint64(players) {
		group.Go(func() {
			for n := range uint64(each) {
				one := newItem(p, 5, n+1, 300)
				if err := s.Put(t.Context(), one.SpoolEntry, one.packed); err != nil {
					t.Errorf("Put() = %v", err)
				}
				if n%2 == 0 {
					if err := s.Remove(one.Snapshot.Player, one.Snapshot.ID); err != nil {
						t.Errorf("Remove() = %v", err)
					}
				}
			}
		})
	}
	group.Wait()
	var want []item
	for p := range uint64(players) {
		for n := range uint64(each) {
			if n%2 == 1 {
				want = append(want, newItem(p, 5, n+1, 300))
			}
		}
	}
	wantEntries(t, s, want...)
	if got := measured(t, registry, "syncworker_spool_puts_total"); got != players*each {
		t.Errorf("puts counted: %v, want %d", got, players*each)
	}
	if got := measured(t, registry, "syncworker_spool_entries"); int(got) != len(want) {
		t.Errorf("entries measured: %v, want %d", got, len(want))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, newSpool(t, spool.Config{Dir: dir}), want...)
}

// ExampleOpen keeps a snapshot that Redis did not take, and finds it again.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := spool.Open(spool.Config{Dir: filepath.Join(dir, "survival-1.spool")})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Close() }()

	one := newItem(1, 1700000000000000, 3, 100)
	if err := s.Put(context.Background(), one.SpoolEntry, one.packed); err != nil {
		fmt.Println(err)
		return
	}
	records, problems := s.Load()
	for _, record := range records {
		packed, err := s.Read(record.Player, record.ID)
		fmt.Println(record.Version, record.As, len(packed), slices.Equal(packed, one.packed), err)
	}
	fmt.Println(len(problems), "damaged")
	// Output:
	// 1700000000000000/3 current 100 true <nil>
	// 0 damaged
}

// TestOwner: entries of another server, or of another cluster, are not replayed
// here; an empty folder changes hands.
func TestOwner(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "survival-1.spool")
	s := newSpool(t, spool.Config{Dir: dir, Owner: "main/survival-1"})
	one := newItem(1, 7, 2, 100)
	mustPut(t, s, one)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := spool.Open(spool.Config{Dir: dir, Owner: "test/survival-1"})
	if !errors.Is(err, spool.ErrForeign) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "main/survival-1") {
		t.Fatalf("Open(another owner) = %v, want ErrForeign naming folder and owner", err)
	}
	s = newSpool(t, spool.Config{Dir: dir, Owner: "main/survival-1"})
	wantEntries(t, s, one)
	if err := s.Remove(one.Snapshot.Player, one.Snapshot.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantEntries(t, newSpool(t, spool.Config{Dir: dir, Owner: "test/survival-1"}))
}
