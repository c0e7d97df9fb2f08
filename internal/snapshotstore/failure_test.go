package snapshotstore_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
)

func TestBadDSN(t *testing.T) {
	for _, dsn := range []string{
		"", ":memory:", "file::memory:", "file:", "file:///", "file:x.db?mode=memory", "file:x.db?_pragma=synchronous(0)",
		"file:x.db#part", "file://host/x.db", "file:%zz", "postgres://user:secret@host/db", "a\x00b",
	} {
		_, err := snapshotstore.OpenSQLite(t.Context(), dsn, newCodec(t), snapshotstore.Config{})
		if dsn == "file:///" {
			if !errors.Is(err, snapshotstore.ErrCannotOpen) {
				t.Errorf("OpenSQLite(%q) = %v, want ErrCannotOpen", dsn, err)
			}
			continue
		}
		if !errors.Is(err, snapshotstore.ErrBadDSN) || strings.Contains(err.Error(), "secret") {
			t.Errorf("OpenSQLite(%q) = %v, want ErrBadDSN", dsn, err)
		}
	}
}

func TestGoodDSN(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	for dsn, want := range map[string]string{
		"plain.db":                            "plain.db",
		"./sub.db":                            "sub.db",
		filepath.Join(folder, "absolute.db"):  "absolute.db",
		"file:url.db":                         "url.db",
		"file://" + folder + "/three.db":      "three.db",
		"file://localhost" + folder + "/l.db": "l.db",
		"with space % and ?mark#.db":          "with space % and ?mark#.db",
		"file:escaped%3Fmark.db":              "escaped?mark.db",
	} {
		store := open(t, dsn, newCodec(t), snapshotstore.Config{})
		if _, err := os.Stat(filepath.Join(folder, want)); err != nil {
			t.Errorf("OpenSQLite(%q): %v", dsn, err)
		}
		// Connections are opened later, too: they must find the same file.
		t.Chdir("/")
		mustPut(t, store, newSnapshot(1, 1, 1, handoff.Version{Fence: 1, Sequence: 1}))
		t.Chdir(folder)
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBadConfig(t *testing.T) {
	for _, config := range []snapshotstore.Config{
		{Keep: -1},
		{Keep: 100_001},
		{BackupFrequency: -time.Hour},
		{BackupFrequency: time.Millisecond},
		{MaxPacked: -1},
		{MaxPacked: 2e9},
		{MaxReaders: -1},
		{BusyTimeout: -1},
		{BusyTimeout: time.Microsecond},
	} {
		path := filepath.Join(t.TempDir(), "x.db")
		if _, err := snapshotstore.OpenSQLite(t.Context(), path, newCodec(t), config); !errors.Is(err, snapshotstore.ErrBadConfig) {
			t.Errorf("OpenSQLite(%+v) = %v, want ErrBadConfig", config, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("OpenSQLite(%+v) made a file", config)
		}
	}
	if _, err := snapshotstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "x.db"), nil, snapshotstore.Config{}); !errors.Is(err, snapshotstore.ErrBadConfig) {
		t.Errorf("OpenSQLite() without a codec = %v, want ErrBadConfig", err)
	}
	if err := (snapshotstore.Config{}).Validate(); err != nil {
		t.Errorf("Validate() of the zero Config = %v", err)
	}
}

// TestCannotOpen: each failure names the file and what to do.
func TestCannotOpen(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct {
		sentinel error
		mend     string
	}{
		filepath.Join(folder, "missing", "x.db"): {snapshotstore.ErrCannotOpen, "create it"},
		filepath.Join(file, "x.db"):              {snapshotstore.ErrCannotOpen, "is not a folder"},
		folder:                                   {snapshotstore.ErrCannotOpen, "it is a folder"},
		file:                                     {snapshotstore.ErrNotDatabase, "name another"},
	} {
		_, err := snapshotstore.OpenSQLite(t.Context(), path, newCodec(t), snapshotstore.Config{})
		if !errors.Is(err, want.sentinel) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want.mend) {
			t.Errorf("OpenSQLite(%q) = %v, want %v with %q", path, err, want.sentinel, want.mend)
		}
	}
	if content, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(content), "not a database") {
		t.Errorf("the foreign file was changed: %v", err)
	}
}

// TestNewerSchema: a file of a newer program is refused and left as it is.
func TestNewerSchema(t *testing.T) {
	store, path := newStore(t, snapshotstore.Config{})
	s := newSnapshot(1, 1, 1, handoff.Version{Fence: 1, Sequence: 1})
	mustPut(t, store, s)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	db := raw(t, path)
	if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, err := snapshotstore.OpenSQLite(t.Context(), path, newCodec(t), snapshotstore.Config{})
		if !errors.Is(err, snapshotstore.ErrNewerSchema) || !strings.Contains(err.Error(), "999") {
			t.Errorf("OpenSQLite() = %v, want ErrNewerSchema", err)
		}
	}
	if _, err := db.ExecContext(t.Context(), "DELETE FROM goose_db_version WHERE version_id = 999"); err != nil {
		t.Fatal(err)
	}
	again := open(t, path, newCodec(t), snapshotstore.Config{})
	defer func() { _ = again.Close() }()
	if got, err := again.Newest(t.Context(), s.Player); err != nil || got.ID != s.ID {
		t.Errorf("Newest() = %v, %v, want what was there", got, err)
	}
}

// TestFailedStep: a schema step that fails leaves nothing behind and is tried
// again at the next start.
func TestFailedStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "syncworker.db")
	db := raw(t, path)
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE snapshots (mine TEXT)"); err != nil {
		t.Fatal(err)
	}
	if store, err := snapshotstore.OpenSQLite(t.Context(), path, newCodec(t), snapshotstore.Config{}); err == nil {
		t.Fatalf("OpenSQLite() of another program's file = %v, want an error", store)
	}
	var tables int
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_schema WHERE name <> 'snapshots' AND name NOT LIKE 'sqlite_%'").Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables were left behind, %v", tables, err)
	}
	if _, err := db.ExecContext(t.Context(), "DROP TABLE snapshots"); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path, newCodec(t), snapshotstore.Config{}).Close(); err != nil {
		t.Error(err)
	}
}

// TestCorruptFile is T41: a file that lost one of its pages, whichever, may
// refuse to open or to answer, but it never reads as empty.
func TestCorruptFile(t *testing.T) {
	for _, tree := range []string{"snapshots", "snapshots_order", "sqlite_autoindex_snapshots_1", "goose_db_version"} {
		t.Run(tree, func(t *testing.T) {
			const players = 200
			store, path := newStore(t, snapshotstore.Config{})
			var made []*handoff.Snapshot
			for i := range uint64(players) {
				made = append(made, newSnapshot(1, i+1, i, handoff.Version{Fence: 1, Sequence: 1}))
				mustPut(t, store, made[i])
			}
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			wipeRoot(t, path, tree)
			failures := 0
			wantCorrupt := func(err error) {
				t.Helper()
				if err != nil && !errors.Is(err, snapshotstore.ErrCorrupt) {
					t.Fatalf("got %v, want ErrCorrupt or success", err)
				}
				if err != nil {
					failures++
				}
			}
			store, err := snapshotstore.OpenSQLite(t.Context(), path, newCodec(t), snapshotstore.Config{})
			if wantCorrupt(err); err == nil {
				defer func() { _ = store.Close() }()
				for _, s := range made {
					_, err := store.Newest(t.Context(), s.Player)
					wantCorrupt(err)
					_, _, err = store.ByID(t.Context(), s.ID)
					wantCorrupt(err)
					_, err = put(t.Context(), store, newCodec(t), s)
					wantCorrupt(err)
				}
			}
			if failures == 0 {
				t.Error("nothing noticed the damage")
			}
		})
	}
}

// wipeRoot overwrites the root page of a table or an index with zeros.
func wipeRoot(t *testing.T, path, tree string) {
	t.Helper()
	var size, root int64
	db := raw(t, path)
	if err := db.QueryRowContext(t.Context(), "PRAGMA page_size").Scan(&size); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRowContext(t.Context(), "SELECT rootpage FROM sqlite_schema WHERE name = ?", tree).Scan(&root); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteAt(make([]byte, size), (root-1)*size)
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestBusy: a lock that is held too long is an error, neither a hang nor an
// absence, and the call's context shortens the wait.
func TestBusy(t *testing.T) {
	store, path := newStore(t, snapshotstore.Config{BusyTimeout: 20 * time.Millisecond})
	s := newSnapshot(1, 1, 1, handoff.Version{Fence: 1, Sequence: 1})
	mustPut(t, store, s)
	db := raw(t, path)
	if _, err := db.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	later := newSnapshot(1, 2, 1, handoff.Version{Fence: 1, Sequence: 2})
	if _, err := put(t.Context(), store, newCodec(t), later); !errors.Is(err, snapshotstore.ErrBusy) {
		t.Errorf("Insert() = %v, want ErrBusy", err)
	}
	// Readers do not wait for writers.
	if got, err := store.Newest(t.Context(), s.Player); err != nil || got.ID != s.ID {
		t.Errorf("Newest() = %v, %v, want the newest", got, err)
	}
	patient := open(t, path, newCodec(t), snapshotstore.Config{BusyTimeout: time.Hour})
	defer func() { _ = patient.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := put(ctx, patient, newCodec(t), later); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Insert() = %v, want context.DeadlineExceeded", err)
	}
	if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	mustPut(t, store, later)
	mustPut(t, patient, later)
}

// TestExplain provokes failures that need a broken disk, in SQLite itself.
func TestExplain(t *testing.T) {
	store, path := newStore(t, snapshotstore.Config{})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	for pragma, want := range map[string]error{
		"PRAGMA max_page_count = 1": snapshotstore.ErrFull,
		"PRAGMA query_only = 1":     snapshotstore.ErrReadOnly,
	} {
		db := raw(t, path)
		if _, err := db.ExecContext(t.Context(), pragma); err != nil {
			t.Fatal(err)
		}
		_, err := db.ExecContext(t.Context(), "CREATE TABLE filler AS SELECT randomblob(1000000)")
		if got := snapshotstore.Explain(path, err); !errors.Is(got, want) || !strings.Contains(got.Error(), path) {
			t.Errorf("%s: %v, want %v", pragma, got, want)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, err := range []error{nil, sql.ErrNoRows, context.Canceled} {
		if got := snapshotstore.Explain(path, err); !errors.Is(got, err) {
			t.Errorf("Explain(%v) = %v, want it unchanged", err, got)
		}
	}
}
