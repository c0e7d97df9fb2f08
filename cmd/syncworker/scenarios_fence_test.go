package main

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/lifecycle"
)

// playCutOff is T04: a worker that Redis is out of reach for longer than its
// lease loses the player that another server took over meanwhile, and nobody
// else. Its game is told without asking.
func playCutOff(t *testing.T, n *network) {
	cable := n.cable("a")
	a, b := n.start("a"), n.start("b")
	taken, kept := playerNumber(1), playerNumber(2)
	lost, lives := a.enter(taken).SessionId, a.enter(kept).SessionId
	a.mustSave(lost, "first")
	a.mustSave(lives, "first")
	answers := b.waiting(taken)
	cable.cut()
	joined := b.got(answers)
	wantData(t, joined, v1.Source_SOURCE_UPDATE, "first")
	if joined.HandedOverBy != "a" {
		t.Errorf("handed over by %q", joined.HandedOverBy)
	}
	if err := b.confirm(joined.SessionId, true); err != nil {
		t.Fatal(err)
	}
	b.mustSave(joined.SessionId, "second")
	cable.mend()
	a.wantLost(lost, b)
	a.refusesLost(lost)
	n.wantConflict(a, taken, lateSave)
	b.mustQuit(joined.SessionId, "third")
	wantData(t, a.enter(taken), v1.Source_SOURCE_UPDATE, "third")
	// Nobody had asked for the other one.
	answers = b.waiting(kept)
	a.leaves(lives, "last")
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "last")
}

// playCutOffAndEmptied is rule R7: Redis has forgotten who took the player over,
// so a session whose worker was away for longer than its lease is lost, whoever
// has the player by now. The one that took over goes on.
func playCutOffAndEmptied(t *testing.T, n *network) {
	cable := n.cable("a")
	a, b := n.start("a"), n.start("b")
	taken, alone := playerNumber(1), playerNumber(2)
	lost, lostToo := a.enter(taken).SessionId, a.enter(alone).SessionId
	a.mustSave(lost, "first")
	a.mustSave(lostToo, "alone")
	answers := b.waiting(taken)
	cable.cut()
	joined := b.got(answers)
	if err := b.confirm(joined.SessionId, true); err != nil {
		t.Fatal(err)
	}
	if err := n.redis.client().FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	cable.mend()
	a.lostAll(lost, lostToo)
	a.refusesLost(lost)
	b.leaves(joined.SessionId, "second")
	wantInventory(t, a.joinInTime(taken), "second")
	wantInventory(t, b.joinInTime(alone), "alone")
}

// playSteal takes a player at the end of the wait, where that is the policy.
func playSteal(t *testing.T, n *network) {
	n.change = func(c *config.Config) {
		if c.Server.ID == "b" {
			c.Sync.OnTimeout = config.OnTimeoutSteal
		}
	}
	a, b, c := n.start("a"), n.start("b"), n.start("c")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	a.mustSave(session, "sword")
	_, err := c.tryJoin(player, time.Second)
	if detail := wantRefused(t, err, connect.CodeDeadlineExceeded, v1.ErrorReason_ERROR_REASON_HELD); detail.GetHolder() != "a" {
		t.Errorf("the holder is %q", detail.GetHolder())
	}
	joined, err := b.tryJoin(player, time.Second)
	if err != nil {
		t.Fatalf("the join that steals got %v", err)
	}
	wantData(t, joined, v1.Source_SOURCE_UPDATE, "sword")
	if joined.HandedOverBy != "a" {
		t.Errorf("handed over by %q", joined.HandedOverBy)
	}
	a.wantLost(session, b)
	a.refusesLost(session)
	n.wantConflict(a, player, lateSave)
	if log := b.log.String(); strings.Count(log, "kind=stolen") != 1 || strings.Contains(log, "kind=taken-over") {
		t.Errorf("b did not log one theft:\n%s", log)
	}
	if err := b.confirm(joined.SessionId, true); err != nil {
		t.Fatal(err)
	}
	b.mustQuit(joined.SessionId, "axe")
	wantData(t, a.enter(player), v1.Source_SOURCE_UPDATE, "axe")
}

// playRestartInPlace hands over to the next incarnation of the same worker. The
// game's sessions go on, and who waits elsewhere goes on waiting.
func playRestartInPlace(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	waitedFor, other := playerNumber(1), playerNumber(2)
	sessions := []string{a.enter(waitedFor).SessionId, a.enter(other).SessionId}
	a.mustSave(sessions[0], "before")
	if _, err := a.save(sessions[1], &v1.Capture{Data: map[string][]byte{"hat": []byte("red"), "inventory": []byte("before")}}); err != nil {
		t.Fatal(err)
	}
	answers := b.waiting(waitedFor)
	next := n.restartInPlace(a, sessions)
	b.stillWaits(waitedFor)
	if _, err := next.save(sessions[0], capturing("after")); err != nil {
		t.Fatal(err)
	}
	next.leaves(sessions[0], "last")
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "last")
	next.leaves(sessions[1], "last")
	joined := b.enter(other)
	wantData(t, joined, v1.Source_SOURCE_UPDATE, "last")
	if hat := string(joined.GetSnapshot().GetData()["hat"]); hat != "red" {
		t.Errorf("the hat of before the restart is %q, want it carried forward", hat)
	}
}

// restartInPlace restarts a worker in place and attaches its game again, whose
// sessions must all go on.
func (n *network) restartInPlace(s *testServer, sessions []string) *testServer {
	n.t.Helper()
	s.restarts <- syscall.SIGUSR1 // any
	if err := s.endedBy(); !errors.Is(err, lifecycle.ErrRestart) {
		n.t.Fatalf("the worker ended with %v, want it to restart", err)
	}
	next := n.startWorker(s.id)
	attached := next.attach("boot-"+s.id, sessions...)
	if len(attached.Resumed) != len(sessions) || len(attached.Lost) != 0 {
		n.t.Fatalf("attached with %v, want %d sessions resumed\n%s", attached, len(sessions), next.log)
	}
	return next
}
