package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/devredis"
)

// playStuckDatabase is T40: somebody holds the database's lock, so one player's
// save is stuck; another player's handoff goes through all the same, and what
// the database missed is caught up.
func playStuckDatabase(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	stuck, other := playerNumber(1), playerNumber(2)
	stuckSession, otherSession := a.enter(stuck).SessionId, a.enter(other).SessionId
	answers := b.waiting(other)

	unlock := lockDatabase(t, filepath.Join(n.folder, "players.db"))
	defer unlock()
	saved := make(chan error, 1)
	go func() {
		_, err := a.save(stuckSession, capturing("stuck"))
		saved <- err
	}()
	a.eventually("the save waits for the database", func() bool { return a.session(stuck).GetUnstored() == 1 })
	left := make(chan error, 1)
	go func() {
		err := a.quitInTime(otherSession, "sword")
		left <- err
	}()
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "sword")
	select {
	case err := <-saved:
		t.Errorf("the stuck save was answered (%v) before the other player was handed over", err)
		saved <- err
	default:
	}

	unlock()
	if err := <-left; err != nil {
		t.Errorf("the quit that waited for the database got %v", err)
	}
	a.eventually("the database has the save", func() bool { return a.session(stuck).GetUnstored() == 0 })
	_ = <-saved // CURRENT, or UNAVAILABLE when the lock outlasted its patience.
	a.mustQuit(stuckSession, "free")
	wantData(t, b.enter(stuck), v1.Source_SOURCE_UPDATE, "free")
}

// TestStuckPlayer is T40 as well: Redis answers nothing about one player, as a
// huge value or a bug in a script could bring about. All others go on.
func TestStuckPlayer(t *testing.T) {
	t.Parallel()
	server := newDevServer(t)
	n := newNetwork(t, server)
	a, b := n.start("a"), n.start("b")
	stuck := playerNumber(1)
	session := a.enter(stuck).SessionId
	released := make(chan struct{})
	server.server.Intercept(func(c devredis.Command) devredis.Verdict {
		if strings.Contains(strings.Join(c.Args, " "), stuck.String()) {
			<-released
		}
		return devredis.Pass
	})
	left := make(chan error, 1)
	go func() {
		_, err := a.quit(session, capturing("sword"))
		left <- err
	}()
	a.eventually("the final save is stuck", func() bool { return a.phase(stuck) == "checking-in" })
	for i := range 10 {
		player := playerNumber(100 + i)
		session := a.enter(player).SessionId
		answers := b.waiting(player)
		a.mustQuit(session, "axe")
		wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "axe")
	}
	select {
	case err := <-left:
		t.Errorf("the stuck save was given up (%v) before the others were handed over", err)
	default:
	}
	close(released)
	if err := a.quitInTime(session, "sword"); err != nil {
		t.Errorf("the stuck quit got %v", err)
	}
	wantData(t, b.enter(stuck), v1.Source_SOURCE_UPDATE, "sword")
}

// lockDatabase takes the write lock of a database as another program could, and
// returns what gives it back.
func lockDatabase(t *testing.T, file string) (unlock func()) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(context.Background(), "PRAGMA busy_timeout=10000; BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	// Closing the connection rolls back and gives the lock back; twice does no harm.
	return func() { _, _ = conn.Close(), db.Close() }
}
