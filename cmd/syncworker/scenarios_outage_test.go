package main

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
)

// playRedisAway is T08: saves and final saves are taken while Redis is away, and
// become what the next server gets, in their order, without the game's doing.
func playRedisAway(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	stays, leaves := playerNumber(1), playerNumber(2)
	session, left := a.enter(stays).SessionId, a.enter(leaves).SessionId
	a.mustSave(session, "before")
	a.mustSave(left, "before")
	n.redis.down()
	for _, value := range []string{"first", "second"} {
		saved, err := a.save(session, capturing(value))
		if err != nil {
			t.Fatalf("save without redis: %v", err)
		}
		wantState(t, saved.State, provisional)
	}
	final, err := a.quit(left, capturing("final"))
	if err != nil {
		t.Fatalf("quit without redis: %v", err)
	}
	wantState(t, final.State, provisional)
	if spool := a.status().GetSpool(); spool.GetEntries() == 0 || spool.GetBytes() == 0 {
		t.Errorf("the spool has %v", spool)
	}
	_, err = b.tryJoin(playerNumber(3), 300*time.Millisecond)
	wantUnavailable(t, err)
	n.redis.up()
	wantInventory(t, b.joinInTime(leaves), "final")
	a.emptied()
	a.eventually("the session goes on", func() bool { return a.phase(stays) == "present" })
	if again, err := a.quit(left, capturing("final")); err != nil || again.SnapshotId != final.SnapshotId {
		t.Errorf("the repeated quit got %v, %v", again, err)
	}
	if _, err := a.quit(session, nil); err != nil {
		t.Fatal(err)
	}
	wantInventory(t, b.joinInTime(stays), "second")
	if newest := n.newest(stays); newest != "second" {
		t.Errorf("the database has %q", newest)
	}
}

// wantUnavailable wants a join to be refused because Redis is away, or because it
// has only just come back.
func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Fatalf("got %v, want unavailable", err)
	}
}

// playRedisFrozen is T08 with a Redis that is silent for longer than all leases
// last, and has them ended when it answers again. The worker that has the player
// lives, so who waits elsewhere goes on waiting (rule R3).
func playRedisFrozen(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	a.mustSave(session, "before")
	answers := b.waiting(player)
	n.redis.freeze()
	saved, err := a.save(session, capturing("frozen"))
	n.redis.thaw()
	if err != nil {
		t.Fatalf("save with a silent redis: %v", err)
	}
	wantState(t, saved.State, provisional)
	a.emptied()
	a.eventually("the session goes on", func() bool { return a.phase(player) == "present" })
	b.settled()
	b.stillWaits(player)
	if _, err := a.quit(session, nil); err != nil {
		t.Fatal(err)
	}
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "frozen")
	if log := b.log.String(); strings.Contains(log, "kind=taken-over") {
		t.Errorf("b took the player over:\n%s", log)
	}
}

// playDatabaseLocked is T07: nobody can write to the database. The handoff does
// not wait for it, saves are current all the same, with the spool as the second
// place, and the database catches up.
func playDatabaseLocked(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	stays, leaves := playerNumber(1), playerNumber(2)
	session, left := a.enter(stays).SessionId, a.enter(leaves).SessionId
	a.mustSave(session, "before")
	answers := b.waiting(leaves)
	unlock := lockDatabase(t, filepath.Join(n.folder, "players.db"))
	defer unlock()
	states := make(chan saveState, 2)
	go func() {
		saved, err := a.save(session, capturing("saved"))
		if err != nil {
			t.Errorf("save with a locked database: %v", err)
		}
		states <- saved.GetState()
	}()
	go func() {
		final, err := a.quit(left, capturing("final"))
		if err != nil {
			t.Errorf("quit with a locked database: %v", err)
		}
		states <- final.GetState()
	}()
	joined := b.got(answers)
	wantData(t, joined, v1.Source_SOURCE_UPDATE, "final")
	for range 2 {
		wantState(t, <-states, current)
	}
	if entries := a.status().GetSpool().GetEntries(); entries != 2 {
		t.Errorf("%d entries in the spool, want 2", entries)
	}
	if newest := n.newest(stays); newest != "before" {
		t.Errorf("the locked database has %q", newest)
	}
	unlock()
	a.emptied()
	if first, second := n.newest(stays), n.newest(leaves); first != "saved" || second != "final" {
		t.Errorf("the database has %q and %q", first, second)
	}
	listed := func() []string {
		return n.redis.client().SMembers(context.Background(), n.space.Checkouts("a")).Val()
	}
	a.eventually("only who is there is listed", func() bool {
		members := listed()
		return len(members) == 1 && members[0] == stays.String()
	})
}

// playSpoolFull is T08 with a full disk: what has no room is refused, the log
// names the folder, and nothing is claimed to be saved.
func playSpoolFull(t *testing.T, n *network) {
	n.change = func(c *config.Config) {
		c.Spool.MaxSize, c.Snapshots.MaxSize, c.Snapshots.Compression = 1<<20, 512<<10, "none"
	}
	a, b := n.start("a"), n.start("b")
	var sessions []string
	for i := range 3 {
		sessions = append(sessions, a.enter(playerNumber(i)).SessionId)
		a.mustSave(sessions[i], "before")
	}
	n.redis.down()
	for _, session := range sessions[:2] {
		saved, err := a.save(session, large())
		if err != nil {
			t.Fatalf("save without redis: %v", err)
		}
		wantState(t, saved.State, provisional)
	}
	_, err := a.save(sessions[2], large())
	wantRefused(t, err, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE)
	if text := "spool: full: " + n.config("a").Spool.Dir; !strings.Contains(a.log.String(), text) {
		t.Errorf("the log has no %q", text)
	}
	n.redis.up()
	a.emptied()
	a.eventually("the session goes on", func() bool { return a.phase(playerNumber(2)) == "present" })
	if _, err := a.save(sessions[2], capturing("after")); err != nil {
		t.Fatal(err)
	}
	a.leaves(sessions[2], "final")
	wantInventory(t, b.joinInTime(playerNumber(2)), "final")
	a.leaves(sessions[0], "final")
	joined := b.joinInTime(playerNumber(0))
	if got := len(joined.GetSnapshot().GetData()["chest"]); got != largeSize {
		t.Errorf("the save on disk came back with %d bytes, want %d", got, largeSize)
	}
}

const largeSize = 400 << 10

// large is a capture of which two fill the smallest spool.
func large() *v1.Capture {
	chest := make([]byte, largeSize)
	_, _ = rand.Read(chest) // never fails
	return &v1.Capture{Data: map[string][]byte{"chest": chest}}
}

// playEmptiedInPlay is T11 with two servers that both have players: each resumes
// its own, nobody gets anybody else's, and all play on.
func playEmptiedInPlay(t *testing.T, n *network) {
	servers := []*testServer{n.start("a"), n.start("b")}
	const players = 6
	sessions := make([]string, players)
	for i := range players {
		sessions[i] = servers[i%2].enter(playerNumber(i)).SessionId
		servers[i%2].mustSave(sessions[i], "before")
	}
	if err := n.redis.client().FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	refused := make(chan error, players)
	for i := range players {
		go func() {
			_, err := servers[1-i%2].tryJoin(playerNumber(i), 4*time.Second)
			refused <- err
		}()
	}
	for range players {
		if err := <-refused; connect.CodeOf(err) != connect.CodeDeadlineExceeded && connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("the join of a player who plays elsewhere got %v", err)
		}
	}
	for i := range players {
		servers[i%2].mustSave(sessions[i], "after")
	}
	for i := range players {
		answers := servers[1-i%2].waiting(playerNumber(i))
		servers[i%2].mustQuit(sessions[i], "final")
		wantData(t, servers[1-i%2].got(answers), v1.Source_SOURCE_UPDATE, "final")
	}
}
