package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lifecycle"
)

// ghost makes a checkout that no session of the server stands behind, for a
// player who is nowhere.
func (n *network) ghost(player handoff.PlayerID, server string) {
	n.t.Helper()
	fence := n.redis.client().Get(context.Background(), n.space.Fence(player)).Val()
	if fence == "" {
		fence = "7"
	}
	if err := n.redis.client().MSet(context.Background(), n.space.Checkout(player), server, n.space.Fence(player), fence).Err(); err != nil {
		n.t.Fatal(err)
	}
}

// playGhost is T38: a checkout on a live server that nobody plays with is given
// back when somebody waits. The server's lease is renewed all the time.
func playGhost(t *testing.T, n *network) {
	n.change = func(c *config.Config) { c.Sync.Lockstep.Petitions = c.Server.ID != "c" }
	a, b, c := n.start("a"), n.start("b"), n.start("c")
	known, unknown := playerNumber(1), playerNumber(2)
	a.mustQuit(a.enter(known).SessionId, "sword")
	n.ghost(known, "a")
	n.ghost(unknown, "a")
	_, err := c.tryJoin(known, time.Second) // c asks nobody
	wantRefused(t, err, connect.CodeDeadlineExceeded, v1.ErrorReason_ERROR_REASON_HELD)
	wantData(t, b.join(known), v1.Source_SOURCE_UPDATE, "sword")
	wantData(t, b.join(unknown), v1.Source_SOURCE_NEW, "")
	if log := b.log.String(); strings.Contains(log, "taken-over") || strings.Contains(log, "stolen") {
		t.Errorf("b took the players over:\n%s", log)
	}
}

// playPetition is T38 with a live session: the game is asked, and its answer lets
// the other server in.
func playPetition(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	answers := b.waiting(player)
	asked := a.tells(func(told *v1.AttachResponse) bool { return told.GetCheckinRequested() != nil }).GetCheckinRequested()
	if asked.GetSessionId() != session || asked.GetByServer() != "b" || asked.GetPlayerId() != player.String() {
		t.Errorf("the game was asked %v", asked)
	}
	b.stillWaits(player)
	a.mustQuit(session, "sword")
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "sword")
}

// TestPetitionWhileSaving is T38 with a save in flight: however often somebody
// asks, the player is not given away before it is stored.
func TestPetitionWhileSaving(t *testing.T) {
	t.Parallel()
	for name, final := range map[string]bool{"save": false, "quit": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newDevServer(t)
			n := newNetwork(t, server)
			a, b := n.start("a"), n.start("b")
			player, marker := playerNumber(1), playerNumber(2)
			session := a.enter(player).SessionId
			answers := b.waiting(player)
			released := make(chan struct{})
			server.server.Intercept(func(c devredis.Command) devredis.Verdict {
				if slices.ContainsFunc(c.Args, func(arg string) bool { return strings.HasPrefix(arg, "SWS") }) {
					<-released // a script that stores a snapshot
				}
				return devredis.Pass
			})
			done := make(chan error, 1)
			go func() {
				var err error
				if final {
					_, err = a.quit(session, capturing("newest"))
				} else {
					_, err = a.save(session, capturing("newest"))
				}
				done <- err
			}()
			a.eventually("the save is in flight", func() bool { return a.session(player).GetBusy() })
			fence := server.client().Get(context.Background(), n.space.Fence(player)).Val()
			for range 20 {
				n.petition("a", fmt.Sprintf("%s %s b", player, fence))
			}
			// Petitions are read in order: when the ghost is gone, all were.
			n.ghost(marker, "a")
			n.petition("a", fmt.Sprintf("%s 7 b", marker))
			a.eventually("the petitions were read", func() bool {
				return server.client().Exists(context.Background(), n.space.Checkout(marker)).Val() == 0
			})
			if holder := server.client().Get(context.Background(), n.space.Checkout(player)).Val(); holder != "a" {
				t.Errorf("the checkout is %q while the save is in flight", holder)
			}
			close(released)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if !final {
				a.mustQuit(session, "newest")
			}
			wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "newest")
		})
	}
}

// petition sends a petition behind the workers' backs.
func (n *network) petition(to handoff.ServerID, text string) {
	n.t.Helper()
	heard, err := n.redis.client().Publish(context.Background(), n.space.Petitions(to), text).Result()
	if err != nil || heard != 1 {
		n.t.Errorf("%d workers heard the petition, %v", heard, err)
	}
}

// playHungGame is T19: the game keeps its link and never saves or quits. The
// worker stops all the same, and who waits gets what was accepted last.
func playHungGame(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player, unsaved := playerNumber(1), playerNumber(2)
	session := a.enter(player).SessionId
	a.mustSave(session, "autosave")
	a.enter(unsaved)
	answers, others := b.waiting(player), b.waiting(unsaved)
	a.stop.Do(func() { a.signals <- os.Interrupt })
	wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "autosave")
	wantData(t, b.got(others), v1.Source_SOURCE_NEW, "")
	if left, ok := errors.AsType[*lifecycle.UndrainedError](a.end()); !ok || len(left.Unsaved) != 2 || len(left.Players) != 0 {
		t.Errorf("the worker ended with %v, want the players named who were not saved", left)
	}
}

// playDamaged is T23: what cannot be decoded is neither delivered nor replaced nor
// deleted; the player is free for whoever mends it.
func playDamaged(t *testing.T, n *network) {
	a, b := n.start("a"), n.start("b")
	player := playerNumber(1)
	ctx, raw, key := context.Background(), n.redis.client(), n.space.Update(player)
	a.mustQuit(a.enter(player).SessionId, "sword")
	whole, err := raw.Get(ctx, key).Result()
	if err != nil {
		t.Fatal(err)
	}
	flipped := whole[:len(whole)-20] + string(whole[len(whole)-20]^1) + whole[len(whole)-19:]
	for _, damaged := range []string{"no snapshot at all", whole[:len(whole)/2], flipped} {
		if err := raw.Set(ctx, key, damaged, 0).Err(); err != nil {
			t.Fatal(err)
		}
		_, err := b.tryJoin(player, patience)
		wantRefused(t, err, connect.CodeDataLoss, v1.ErrorReason_ERROR_REASON_DAMAGED)
		if got := raw.Get(ctx, key).Val(); got != damaged {
			t.Errorf("data_update was changed to %q", got)
		}
		b.eventually("the player is free", func() bool { return raw.Exists(ctx, n.space.Checkout(player)).Val() == 0 })
	}
	// In the database, with nothing in Redis.
	if err := raw.Del(ctx, key).Err(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(n.folder, "players.db")
	execSQL(t, file, "CREATE TABLE aside AS SELECT * FROM snapshots; UPDATE snapshots SET packed = x'0102'")
	_, err = b.tryJoin(player, patience)
	wantRefused(t, err, connect.CodeDataLoss, v1.ErrorReason_ERROR_REASON_DAMAGED)
	b.eventually("the player is free", func() bool { return raw.Exists(ctx, n.space.Checkout(player)).Val() == 0 })
	execSQL(t, file, "UPDATE snapshots SET packed = (SELECT packed FROM aside WHERE aside.id = snapshots.id)")
	wantData(t, b.join(player), v1.Source_SOURCE_DATABASE, "sword")
}
