//go:build real

package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
)

// SIGTERM with players: final saves are taken, each player is free after its own
// save, and nothing is left behind (T18). A player whose final save never came
// is released with the data accepted last, and named.
func TestSIGTERMDrains(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		allQuit bool
		code    int
		texts   []string
	}{
		"all-saved": {true, exitOK, []string{"drained: took="}},
		"one-stays": {false, exitUndrained, []string{
			"player was released without a final save: player=" + playerNumber(2).String(),
			"stopped before every player was drained",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, newRealServer(t, usual).withoutDenials())
			n.change = func(c *config.Config) { c.Shutdown.DrainTimeout = 3 * time.Second }
			a, b := n.played("a", "boot-a"), n.played("b", "boot-b")
			first, second := a.enter(playerNumber(1)).SessionId, a.enter(playerNumber(2)).SessionId
			if _, err := a.save(second, capturing("autosave")); err != nil {
				t.Fatal(err)
			}
			waitsFirst, waitsSecond := b.waiting(playerNumber(1)), b.waiting(playerNumber(2))
			a.stop()
			a.drains()
			b.stillWaits(playerNumber(1))
			a.mustQuit(first, "final")
			wantData(t, b.got(waitsFirst), v1.Source_SOURCE_UPDATE, "final")
			want := "autosave"
			if test.allQuit {
				want = "final, too"
				a.mustQuit(second, want)
			}
			wantData(t, b.got(waitsSecond), v1.Source_SOURCE_UPDATE, want)
			a.exits(test.code, test.texts...)
			for _, key := range []string{n.space.Lease("a"), n.space.Checkouts("a")} {
				if n.redis.client().Exists(context.Background(), key).Val() != 0 {
					t.Errorf("%s was left behind", key)
				}
			}
		})
	}
}

// A final save that Redis does not answer is on disk before it is answered. The
// exit code says that it has not arrived, the log names the player, and the next
// start replays it before anybody gets the player (T08).
func TestSIGTERMWithFrozenRedis(t *testing.T) {
	t.Parallel()
	server := newRealServer(t, usual).withoutDenials()
	n := newNetwork(t, server)
	a, b := n.played("a", "boot-a"), n.played("b", "boot-b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	a.mustSave(session, "saved")
	server.Stop()
	answered := make(chan error, 1)
	go func() {
		left, err := a.quit(session, capturing("final"))
		if err == nil && left.State != provisional {
			err = fmt.Errorf("answered %v", left.State)
		}
		answered <- err
	}()
	a.eventually("the final save is under way", func() bool { return a.phase(player) == "checking-in" })
	a.stop()
	a.exits(exitUndrained, "player was not drained: player="+player.String(), "stopped before every player was drained")
	if err := <-answered; err != nil {
		t.Errorf("the final save got %v", err)
	}
	server.Cont()
	n.played("a", "boot-a-2").emptied()
	wantInventory(t, b.joinInTime(player), "final")
	if newest := n.newest(player); newest != "final" {
		t.Errorf("the database has %q", newest)
	}
}

// A second signal ends a worker at once that would wait for its players for ten
// minutes. It gives nothing back.
func TestSecondSIGTERMEndsAtOnce(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, newRealServer(t, usual).withoutDenials())
	n.change = func(c *config.Config) { c.Shutdown.DrainTimeout = 10 * time.Minute }
	a := n.played("a", "boot-a")
	player := playerNumber(1)
	a.enter(player)
	a.stop()
	a.drains()
	a.stop()
	a.exits(exitAborted, "second signal", "ended at once by a second signal")
	if got := n.redis.client().Get(context.Background(), n.space.Checkout(player)).Val(); got != "a" {
		t.Errorf("the checkout is %q, want it untouched", got)
	}
}
