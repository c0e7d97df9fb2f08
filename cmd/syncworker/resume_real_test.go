//go:build real

package main

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
)

// A worker is killed and started again while its game plays on. The sessions
// that the game names go on, with all that was saved before; but not that of a
// player who is on another server by now. Whom the game does not name is free.
func TestResumedAfterKill(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, newRealServer(t, usual).withoutDenials())
	n.change = func(c *config.Config) { c.Game.Grace = 10 * time.Minute }
	a, b := n.played("a", "boot-a"), n.played("b", "boot-b")
	stays, taken, gone := playerNumber(1), playerNumber(2), playerNumber(3)
	session, lost, unnamed := a.enter(stays).SessionId, a.enter(taken).SessionId, a.enter(gone).SessionId
	if _, err := a.save(session, &v1.Capture{Data: map[string][]byte{"hat": []byte("red"), "inventory": []byte("first")}}); err != nil {
		t.Fatal(err)
	}
	a.mustSave(lost, "first")
	a.mustSave(unnamed, "first")
	answers := b.waiting(taken)
	a.kill()
	joined := b.got(answers)
	wantData(t, joined, v1.Source_SOURCE_UPDATE, "first")
	if err := b.confirm(joined.SessionId, true); err != nil {
		t.Fatal(err)
	}
	a = n.process("a")
	answers = b.waiting(gone)
	attached := a.attach("boot-a", session, lost)
	if !slices.Equal(attached.Resumed, []string{session}) || !slices.Equal(attached.Lost, []string{lost}) {
		t.Fatalf("attached with %v, want %s resumed and %s lost", attached, session, lost)
	}
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "first")
	a.refusesLost(lost)
	b.mustQuit(joined.SessionId, "second")
	wantInventory(t, a.joinInTime(taken), "second")
	a.mustSave(session, "second")
	a.mustQuit(session, "third")
	again := b.joinInTime(stays)
	wantInventory(t, again, "third")
	if hat := string(again.GetSnapshot().GetData()["hat"]); hat != "red" {
		t.Errorf("the hat of before the crash is %q, want it carried forward", hat)
	}
}

// persistent is a redis-server that loses nothing when it is killed.
var persistent = realOptions{mending: true, args: []string{"--appendonly", "yes", "--appendfsync", "always"}}

// T08: what was answered PROVISIONAL survives that the worker is killed while
// Redis is away. Its next start replays it before anybody gets the player there.
func TestProvisionalSurvivesKill(t *testing.T) {
	t.Parallel()
	server := newRealServer(t, persistent).withoutDenials()
	n := newNetwork(t, server)
	session := provisionalsOfKilled(t, n, server)
	a := n.launch("a") // and waits for Redis
	a.eventually("the next worker waits for redis", func() bool { return len(a.log.String()) > 0 })
	server.Restart(true)
	a.listens()
	attached := a.attach("boot-a", session)
	wantInventory(t, a.joinInTime(playerNumber(2)), "final")
	if len(attached.Resumed) != 1 {
		t.Fatalf("attached with %v, want the session resumed", attached)
	}
	a.emptied()
	if first, second := n.newest(playerNumber(1)), n.newest(playerNumber(2)); first != "second" || second != "final" {
		t.Errorf("the database has %q and %q", first, second)
	}
	a.eventually("the session goes on", func() bool { return a.phase(playerNumber(1)) == "present" })
	if _, err := a.quit(session, nil); err != nil {
		t.Fatal(err)
	}
	b := n.played("b", "boot-b")
	wantInventory(t, b.joinInTime(playerNumber(1)), "second")
}

// T08: when another server has taken the players over before the replay, what
// was PROVISIONAL is kept as a conflict, and changes nothing.
func TestProvisionalComesTooLate(t *testing.T) {
	t.Parallel()
	server := newRealServer(t, persistent).withoutDenials()
	n := newNetwork(t, server)
	session := provisionalsOfKilled(t, n, server)
	server.Restart(true)
	b := n.played("b", "boot-b")
	var newer []string
	for i := 1; i <= 2; i++ {
		joined := b.joinInTime(playerNumber(i))
		wantInventory(t, joined, "before")
		if err := b.confirm(joined.SessionId, true); err != nil {
			t.Fatal(err)
		}
		b.mustSave(joined.SessionId, "newer")
		newer = append(newer, joined.SessionId)
	}
	a := n.process("a")
	if attached := a.attach("boot-a", session); !slices.Equal(attached.Lost, []string{session}) {
		t.Errorf("attached with %v, want the session lost", attached)
	}
	a.emptied()
	if kept := n.stored(playerNumber(1), "conflict"); !slices.Equal(kept, []string{"first", "second"}) && !slices.Equal(kept, []string{"second"}) {
		t.Errorf("kept as conflict: %q", kept)
	}
	n.wantConflict(a.testServer, playerNumber(2), "final")
	for i, session := range newer {
		if newest := n.newest(playerNumber(i + 1)); newest != "newer" {
			t.Errorf("the database has %q", newest)
		}
		if _, err := b.quit(session, nil); err != nil {
			t.Fatal(err)
		}
		wantInventory(t, a.joinInTime(playerNumber(i+1)), "newer")
	}
}

// provisionalsOfKilled kills Redis, saves player 1 twice and lets player 2 quit,
// and kills the worker then.
func provisionalsOfKilled(t *testing.T, n *network, server *realServer) (session string) {
	t.Helper()
	a := n.played("a", "boot-a")
	session, left := a.enter(playerNumber(1)).SessionId, a.enter(playerNumber(2)).SessionId
	a.mustSave(session, "before")
	a.mustSave(left, "before")
	server.Kill()
	for _, value := range []string{"first", "second"} {
		saved, err := a.save(session, capturing(value))
		if err != nil {
			t.Fatal(err)
		}
		wantState(t, saved.State, provisional)
	}
	final, err := a.quit(left, capturing("final"))
	if err != nil {
		t.Fatal(err)
	}
	wantState(t, final.State, provisional)
	a.kill()
	return session
}

// T07: a worker is killed after Redis has taken a final save and before the
// database or the disk has. Its next start copies the save to the database.
func TestUnstoredIsCopiedAfterKill(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, newRealServer(t, usual).withoutDenials())
	a := n.played("a", "boot-a")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	a.mustSave(session, "before")
	unlock := lockDatabase(t, filepath.Join(n.folder, "players.db"))
	defer unlock()
	ctx, raw := context.Background(), n.redis.client()
	answered := make(chan error, 1)
	go func() {
		_, err := a.quit(session, capturing("final"))
		answered <- err
	}()
	a.eventually("redis has the final save", func() bool { return raw.Exists(ctx, n.space.Checkout(player)).Val() == 0 })
	a.kill()
	if err := <-answered; err == nil {
		t.Error("the final save was acknowledged, which only redis has")
	}
	spooled, err := filepath.Glob(filepath.Join(n.config("a").Spool.Dir, "*"+player.String()+"*"))
	if newest := n.newest(player); newest != "before" || len(spooled) != 0 || err != nil {
		t.Fatalf("the database has %q, the disk %q, %v", newest, spooled, err)
	}
	unlock()
	a = n.process("a")
	a.attach("boot-a-2")
	a.eventually("the database has the final save", func() bool { return n.newest(player) == "final" })
	a.eventually("nobody is listed, and data_update may run out", func() bool {
		return raw.Exists(ctx, n.space.Checkouts("a")).Val() == 0 && raw.PTTL(ctx, n.space.Update(player)).Val() > 0
	})
}
