package snapshotstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// raw opens the file past the store.
func raw(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", path+"?_busy_timeout=5000")
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// wantIntact has SQLite check the whole file.
func wantIntact(t *testing.T, path string) {
	t.Helper()
	var verdict string
	if err := raw(t, path).QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Fatalf("integrity_check = %q, %v, want ok", verdict, err)
	}
}

// wantHistory checks that the rows could have come about one after the other
// (rule R6): in order of arrival, no current row is below an earlier current one,
// each conflict is, and each row is as its saver was told.
func wantHistory(t *testing.T, path string, acks []ack) {
	t.Helper()
	rows, err := raw(t, path).QueryContext(t.Context(), "SELECT id, player, fence, stored_as FROM snapshots ORDER BY ord")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	top := make(map[string]int64)
	roles := make(map[string]string)
	for rows.Next() {
		var (
			id, player, role string
			fence            int64
		)
		if err := rows.Scan(&id, &player, &fence, &role); err != nil {
			t.Fatal(err)
		}
		roles[id] = role
		if want := fence < top[player]; want != (role == "conflict") {
			t.Fatalf("row %s of fence %d is %s after fence %d", id, fence, role, top[player])
		}
		if role == "current" {
			top[player] = fence
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for _, one := range acks {
		if got := roles[one.id.String()]; got == "" || one.conflict != (got == "conflict") {
			t.Fatalf("snapshot %s was acknowledged with conflict %t and is %q", one.id, one.conflict, got)
		}
	}
}

// TestTwoProcesses is rule R6 between workers of one host, in the manner of T01.
func TestTwoProcesses(t *testing.T) {
	const each = 1000
	path := filepath.Join(t.TempDir(), "syncworker.db")
	first := startHelper(t, "save", path, 1, each)
	second := startHelper(t, "save", path, 2, each)
	acks := append(first.read(t, each), second.read(t, each)...)
	first.wait(t)
	second.wait(t)
	if len(acks) != 2*each {
		t.Fatalf("%d inserts were acknowledged, want %d", len(acks), 2*each)
	}
	conflicts := 0
	for _, one := range acks {
		if one.conflict {
			conflicts++
		}
	}
	if conflicts == 0 || conflicts == len(acks) {
		t.Errorf("%d of %d inserts were conflicts, want some", conflicts, len(acks))
	}
	wantHistory(t, path, acks)
	wantIntact(t, path)
}

// TestKilled: savers killed in the middle of their writes, again and again on one
// file, lose nothing that was acknowledged, and harm neither the file nor the
// worker beside them (law L6).
func TestKilled(t *testing.T) {
	const rounds, endless = 5, 1 << 20
	path := filepath.Join(t.TempDir(), "syncworker.db")
	survivor := open(t, path, newCodec(t), snapshotstore.Config{})
	defer func() { _ = survivor.Close() }()
	var acks []ack
	for round := range uint64(rounds) {
		first := startHelper(t, "save", path, 10+round, endless)
		second := startHelper(t, "save", path, 20+round, endless)
		acks = append(acks, first.read(t, 60)...)
		acks = append(acks, second.read(t, 20)...)
		acks = append(acks, first.kill(t)...)
		mustPut(t, survivor, newSnapshot(30, round+1, 1000, handoff.Version{Fence: 1, Sequence: round + 1}))
		acks = append(acks, second.kill(t)...)
		for _, one := range acks {
			if _, _, err := survivor.ByID(t.Context(), one.id); err != nil {
				t.Fatalf("round %d: ByID(acknowledged) = %v", round, err)
			}
		}
		wantIntact(t, path)
	}
	wantHistory(t, path, acks)
	t.Logf("%d acknowledged inserts survived %d kills", len(acks), 2*rounds)
}

// TestConcurrentStart: workers that start together on a file that is not there
// yet, in one process and in several, all come up, and the schema is made once.
func TestConcurrentStart(t *testing.T) {
	for round := range 3 {
		path := filepath.Join(t.TempDir(), "syncworker.db")
		var helpers []*helper
		for maker := range uint64(3) {
			helpers = append(helpers, startHelper(t, "save", path, maker+1, 4))
		}
		var group sync.WaitGroup
		for i := range uint64(6) {
			group.Go(func() {
				store, err := snapshotstore.OpenSQLite(t.Context(), path, newCodec(t), snapshotstore.Config{Keep: 100})
				if err != nil {
					t.Errorf("OpenSQLite() = %v", err)
					return
				}
				_, err = put(t.Context(), store, newCodec(t), newSnapshot(10+i, 1, 7, handoff.Version{Fence: 1, Sequence: 1}))
				if err := errors.Join(err, store.Close()); err != nil {
					t.Errorf("Insert() = %v", err)
				}
			})
		}
		group.Wait()
		for _, h := range helpers {
			h.read(t, 1<<30)
			h.wait(t)
		}
		var rows, repeated int
		query := "SELECT (SELECT count(*) FROM snapshots), (SELECT count(*) - count(DISTINCT version_id) FROM goose_db_version)"
		if err := raw(t, path).QueryRowContext(t.Context(), query).Scan(&rows, &repeated); err != nil {
			t.Fatal(err)
		}
		if rows != 3*4+6 || repeated != 0 {
			t.Errorf("round %d: %d rows and %d repeated schema steps, want 18 and 0", round, rows, repeated)
		}
	}
}

// TestReopen: what was stored is there after a restart, and opening a file whose
// schema is in place says nothing.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "syncworker.db")
	s := newSnapshot(1, 1, 1, handoff.Version{Fence: 1, Sequence: 1})
	for round, wantLog := range []bool{true, false} {
		var log lines
		store := open(t, "file://"+path, newCodec(t), snapshotstore.Config{Logger: hclog.New(&hclog.LoggerOptions{Output: &log})})
		if (len(log) > 0) != wantLog {
			t.Errorf("round %d logged %q", round, log)
		}
		mustPut(t, store, s)
		if got, err := store.Newest(t.Context(), s.Player); err != nil || got.ID != s.ID {
			t.Fatalf("Newest() = %v, %v", got, err)
		}
		for range 2 {
			if err := store.Close(); err != nil {
				t.Fatalf("Close() = %v", err)
			}
		}
	}
	if left, err := filepath.Glob(path + "-*"); err != nil || len(left) != 0 {
		t.Errorf("files left behind after Close: %v, %v", left, err)
	}
}

// lines collects what a logger writes.
type lines []string

func (l *lines) Write(line []byte) (int, error) {
	*l = append(*l, string(line))
	return len(line), nil
}

// TestReplaced: a file that is deleted, moved or replaced under a worker is
// neither read as empty nor written into oblivion (laws L3 and L6).
func TestReplaced(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"deleted": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			other, err := snapshotstore.OpenSQLite(t.Context(), path+".new", newCodec(t), snapshotstore.Config{})
			if err != nil {
				return err
			}
			return errors.Join(other.Close(), os.Rename(path+".new", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, path := newStore(t, snapshotstore.Config{})
			s := newSnapshot(1, 1, 1, handoff.Version{Fence: 1, Sequence: 1})
			mustPut(t, store, s)
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			for _, of := range []uint64{1, 2} {
				if got, err := store.Newest(t.Context(), playerID(of)); !errors.Is(err, snapshotstore.ErrReplaced) || errors.Is(err, handoff.ErrNoSnapshot) {
					t.Errorf("Newest() = %v, %v, want ErrReplaced", got, err)
				}
			}
			later := newSnapshot(1, 2, 1, handoff.Version{Fence: 1, Sequence: 2})
			if _, err := put(t.Context(), store, newCodec(t), later); !errors.Is(err, snapshotstore.ErrReplaced) {
				t.Errorf("Insert() = %v, want ErrReplaced", err)
			}
			if err := store.Ping(t.Context()); !errors.Is(err, snapshotstore.ErrReplaced) {
				t.Errorf("Ping() = %v, want ErrReplaced", err)
			}
		})
	}
}

// TestDurable: what law L6 rests on is switched on.
func TestDurable(t *testing.T) {
	_, path := newStore(t, snapshotstore.Config{})
	var mode string
	if err := raw(t, path).QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal_mode = %q, %v, want wal", mode, err)
	}
	for access, dsn := range snapshotstore.ConnectDSNs(path) {
		db, err := sql.Open("sqlite", dsn)
		if err != nil {
			t.Fatal(err)
		}
		var synchronous int
		if err := db.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&synchronous); err != nil || synchronous != 2 {
			t.Errorf("synchronous of connection %d = %d, %v, want 2 (FULL)", access, synchronous, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPinColumn: the pin is a column. Setting it decodes nothing (T42), counts
// at once, and does not make the snapshot another one.
func TestPinColumn(t *testing.T) {
	store, path := newStore(t, snapshotstore.Config{Keep: 1})
	s := newSnapshot(1, 1, 1, handoff.Version{Fence: 1, Sequence: 1})
	mustPut(t, store, s)
	broken := newSnapshot(1, 2, 2, handoff.Version{Fence: 1, Sequence: 1})
	if _, err := store.Insert(t.Context(), broken, []byte("garbage"), handoff.AsCurrent); err != nil {
		t.Fatal(err)
	}
	if _, err := raw(t, path).ExecContext(t.Context(), "UPDATE snapshots SET pinned = 1"); err != nil {
		t.Fatal(err)
	}
	if got, err := store.Newest(t.Context(), s.Player); err != nil || !got.Pinned {
		t.Errorf("Newest() = %+v, %v, want it pinned", got, err)
	}
	mustPut(t, store, s)
	for _, of := range []uint64{1, 2} {
		for sequence := range uint64(3) {
			mustPut(t, store, newSnapshot(2+of, sequence+1, of, handoff.Version{Fence: 2, Sequence: sequence + 1}))
		}
		entries, _, err := store.List(t.Context(), playerID(of), snapshotstore.Cursor{}, 9)
		if err != nil || len(entries) != 2 || !entries[1].Pinned {
			t.Errorf("List() = %+v, %v, want the newest and the pinned one", entries, err)
		}
	}
}

// TestPlans: no query of a player's rows reads the table, where the packed bytes
// are, before it knows which row it wants (W31).
func TestPlans(t *testing.T) {
	_, path := newStore(t, snapshotstore.Config{})
	db := raw(t, path)
	for _, test := range []struct {
		query string
		args  []any
		want  string
	}{
		{snapshotstore.SelectUnpinned, []any{"p"}, "COVERING INDEX snapshots_order (player=?)"},
		{snapshotstore.SelectNewestCurrent, []any{"p"}, "COVERING INDEX snapshots_order (player=?)"},
		{snapshotstore.SelectNewest, []any{1, "p"}, "INDEX snapshots_order (player=?)"},
		{snapshotstore.SelectPage, []any{"p", 1, 1, 1, 1}, "INDEX snapshots_order (player=? AND (fence,sequence)<(?,?))"},
	} {
		var (
			steps              int
			id, parent, unused int
			plan               string
		)
		rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+test.query, test.args...)
		if err != nil {
			t.Fatal(err)
		}
		for ; rows.Next(); steps++ {
			if err := rows.Scan(&id, &parent, &unused, &plan); err != nil {
				t.Fatal(err)
			}
		}
		// A second step would be a sort.
		if err := errors.Join(rows.Err(), rows.Close()); err != nil || steps != 1 || plan != "SEARCH snapshots USING "+test.want {
			t.Errorf("plan of %q has %d steps, the last is %q, %v, want %q", test.query, steps, plan, err, test.want)
		}
	}
}

// ExampleOpenSQLite stores a player's state and reads it back.
func ExampleOpenSQLite() {
	folder, err := os.MkdirTemp("", "snapshotstore")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(folder) }()
	ctx, c := context.Background(), mustCodec(snapshotcodec.Zstd)
	store, err := snapshotstore.OpenSQLite(ctx, filepath.Join(folder, "syncworker.db"), c, snapshotstore.Config{
		BackupFrequency: snapshotstore.DefaultBackupFrequency,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = store.Close() }()

	s := newSnapshot(1, 1, 1, handoff.Version{Fence: 1700000000000000, Sequence: 3})
	if _, err := store.Newest(ctx, s.Player); errors.Is(err, handoff.ErrNoSnapshot) {
		fmt.Println("new player")
	}
	packed, err := c.Pack(s)
	if err != nil {
		fmt.Println(err)
		return
	}
	conflict, err := store.Insert(ctx, s, packed, handoff.AsCurrent)
	fmt.Println("conflict:", conflict, err)
	newest, err := store.Newest(ctx, s.Player)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("newest:", newest.Version)
	// Output:
	// new player
	// conflict: false <nil>
	// newest: 1700000000000000/3
}
