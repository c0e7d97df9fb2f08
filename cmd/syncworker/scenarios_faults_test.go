package main

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/go-hclog"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/lifecycle"
)

func testLogger(t *testing.T) hclog.Logger {
	t.Helper()
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Debug, Output: t.Output()})
}

func playEmptied(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	here, gone, fresh := playerNumber(1), playerNumber(2), playerNumber(3)
	session := a.enter(here).SessionId
	a.mustQuit(a.enter(gone).SessionId, "from the database")
	if err := n.redis.client().FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	// T11: the session goes on, and nobody else gets the player.
	_, err := b.tryJoin(here, 3*time.Second)
	if code := connect.CodeOf(err); code != connect.CodeDeadlineExceeded && code != connect.CodeUnavailable {
		t.Fatalf("the join of a player who plays elsewhere got %v", err)
	}
	wantData(t, b.enter(gone), v1.Source_SOURCE_DATABASE, "from the database")
	wantData(t, b.enter(fresh), v1.Source_SOURCE_NEW, "")
	answers := b.waiting(here)
	a.mustQuit(session, "still here")
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "still here")
}

func playRestartedEmpty(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	here, gone := playerNumber(1), playerNumber(2)
	session := a.enter(here).SessionId
	if _, err := a.save(session, capturing("saved")); err != nil {
		t.Fatal(err)
	}
	a.mustQuit(a.enter(gone).SessionId, "from the database")
	n.redis.restart(false)
	wantData(t, b.enter(gone), v1.Source_SOURCE_DATABASE, "from the database")
	answers := b.waiting(here)
	a.mustQuit(session, "still here")
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "still here")
}

func playRestartedWhileWaiting(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	answers := b.waiting(player)
	n.redis.restart(true)
	a.leaves(session, "sword")
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "sword")
}

// playOldUpdate puts an older data_update back behind the workers' backs, as an
// old dump does: the database has the newer one (rule R4).
func playOldUpdate(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	ctx := context.Background()
	raw := n.redis.client()
	a.mustQuit(a.enter(player).SessionId, "old")
	old, err := raw.Get(ctx, n.space.Update(player)).Result()
	if err != nil {
		t.Fatal(err)
	}
	fence := raw.Get(ctx, n.space.Fence(player)).Val()
	a.mustQuit(a.enter(player).SessionId, "new")
	if err := raw.MSet(ctx, n.space.Update(player), old, n.space.Fence(player), fence).Err(); err != nil {
		t.Fatal(err)
	}
	joined := b.enter(player)
	wantData(t, joined, v1.Source_SOURCE_DATABASE, "new")
	b.mustQuit(joined.SessionId, "newest")
	wantData(t, a.enter(player), v1.Source_SOURCE_UPDATE, "newest")
}

func playGameRestarted(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	if _, err := a.save(session, capturing("saved")); err != nil {
		t.Fatal(err)
	}
	answers := b.waiting(player)
	attached := a.attach("another-boot", session)
	if len(attached.Lost) != 1 || attached.Lost[0] != session {
		t.Errorf("attached with %+v", attached)
	}
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "saved")
	_, err := a.save(session, capturing("late"))
	wantRefused(t, err, connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_SESSION_LOST)
}

func playGameGone(t *testing.T, n *network) {
	n.change = func(c *config.Config) { c.Game.Grace = time.Second }
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	if _, err := a.save(session, capturing("saved")); err != nil {
		t.Fatal(err)
	}
	// A link that breaks and comes back in time costs nothing.
	a.hang()
	attached := a.attach("boot-a", session)
	if len(attached.Resumed) != 1 || attached.Resumed[0] != session {
		t.Fatalf("attached again with %+v", attached)
	}
	answers := b.waiting(player)
	a.hang()
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "saved")
	_, err := a.tryJoin(playerNumber(2), time.Second)
	wantRefused(t, err, connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_NOT_ATTACHED)
}

// playDrain stops a worker with players on it: final saves are taken, the rest
// is released with what was accepted last (laws L5 and L6, T18).
func playDrain(t *testing.T, n *network) {
	n.change = func(c *config.Config) { c.Shutdown.DrainTimeout = 3 * time.Second }
	a, b := n.start("a"), n.start("b")
	saved, unsaved := playerNumber(1), playerNumber(2)
	session, other := a.enter(saved).SessionId, a.enter(unsaved).SessionId
	if _, err := a.save(other, capturing("autosave")); err != nil {
		t.Fatal(err)
	}
	waitsSaved, waitsUnsaved := b.waiting(saved), b.waiting(unsaved)
	a.stop.Do(func() { a.signals <- os.Interrupt })
	a.drains()
	_, err := a.tryJoin(playerNumber(3), time.Second)
	wantRefused(t, err, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DRAINING)
	a.mustQuit(session, "final")
	wantData(t, b.got(waitsSaved), v1.Source_SOURCE_UPDATE, "final")
	wantData(t, b.got(waitsUnsaved), v1.Source_SOURCE_UPDATE, "autosave")
	err = a.end()
	if left, ok := errors.AsType[*lifecycle.UndrainedError](err); !ok || len(left.Unsaved) != 1 ||
		left.Unsaved[0].Player != unsaved || len(left.Players)+left.Checkouts != 0 {
		t.Errorf("the worker ended with %v, want the player named who was not saved", err)
	}
	for _, key := range []string{n.space.Lease("a"), n.space.Checkouts("a")} {
		if n.redis.client().Exists(context.Background(), key).Val() != 0 {
			t.Errorf("%s was left behind", key)
		}
	}
}

func playOperatorRelease(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	ctx := context.Background()
	player := playerNumber(1)
	a.enter(player)
	get := &v1.GetCheckoutRequest{PlayerId: player.String()}
	checkout, err := b.admin.GetCheckout(ctx, get)
	if err != nil || checkout.GetHolder() != "a" {
		t.Fatalf("got %v, %v", checkout, err)
	}
	release := &v1.ReleaseCheckoutRequest{PlayerId: player.String(), Reason: "test"}
	_, err = b.admin.ReleaseCheckout(ctx, release)
	if connect.CodeOf(err) != connect.CodeFailedPrecondition {
		t.Errorf("releasing a live holder's checkout got %v", err)
	}
	release.Force = true
	freed, err := b.admin.ReleaseCheckout(ctx, release)
	if err != nil || !freed.GetForced() || freed.GetHolder() != "a" {
		t.Errorf("releasing it by force got %v, %v", freed, err)
	}
	lost := a.tells(func(event *v1.AttachResponse) bool { return event.GetSessionLost() != nil }).GetSessionLost()
	if lost.GetPlayerId() != player.String() {
		t.Errorf("the old holder's game was told %v", lost)
	}
	_, err = a.save(lost.GetSessionId(), capturing("sword"))
	wantRefused(t, err, connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_SESSION_LOST)
	b.enter(player)
	kept, err := a.admin.ListReleases(ctx, &v1.ListReleasesRequest{PlayerId: player.String()})
	if err != nil || len(kept.GetReleases()) != 1 || !kept.GetReleases()[0].GetForced() || kept.GetReleases()[0].GetReason() != "test" {
		t.Errorf("the record has %v (%v)", kept, err)
	}
	// A checkout of a server that has no worker any more.
	dead := playerNumber(2)
	raw := n.redis.client()
	if err := raw.MSet(ctx, n.space.Checkout(dead), "dead", n.space.Fence(dead), "7").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.admin.ReleaseCheckout(ctx, &v1.ReleaseCheckoutRequest{PlayerId: dead.String(), Reason: "test"}); err != nil {
		t.Fatal(err)
	}
	if raw.Exists(ctx, n.space.Checkout(dead)).Val() != 0 {
		t.Error("the released checkout is still there")
	}
}

// TestReadErrorIsNotAbsence is T41: a database that cannot be read at the login
// of an existing player never makes a new player of them (law L3).
func TestReadErrorIsNotAbsence(t *testing.T) {
	t.Parallel()
	server := newDevServer(t)
	n := newNetwork(t, server)
	a := n.start("a")
	player := playerNumber(1)
	a.mustQuit(a.enter(player).SessionId, "sword")
	// The packed copy is gone from Redis, and the table from the database.
	if err := server.client().Del(context.Background(), n.space.Update(player)).Err(); err != nil {
		t.Fatal(err)
	}
	execSQL(t, filepath.Join(n.folder, "players.db"), "ALTER TABLE snapshots RENAME TO hidden")
	_, err := a.tryJoin(player, time.Second)
	wantRefused(t, err, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DATABASE_UNAVAILABLE)
	execSQL(t, filepath.Join(n.folder, "players.db"), "ALTER TABLE hidden RENAME TO snapshots")
	wantData(t, a.enter(player), v1.Source_SOURCE_DATABASE, "sword")
}

// execSQL changes the database behind the workers' backs.
func execSQL(t *testing.T, file, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.Exec("PRAGMA busy_timeout=10000; " + statement); err != nil {
		t.Fatal(err)
	}
}
