//go:build real

package main

import (
	"context"
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
			if phase := b.phase(playerNumber(1)); phase != "waiting" {
				t.Errorf("the player is %q on b before the final save", phase)
			}
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

// A final save that cannot be finished, because Redis does not answer: the exit
// code says so, the log names the player, and the next start clears it.
func TestSIGTERMWithFrozenRedis(t *testing.T) {
	t.Parallel()
	server := newRealServer(t, usual).withoutDenials()
	n := newNetwork(t, server)
	a, b := n.played("a", "boot-a"), n.played("b", "boot-b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	if _, err := a.save(session, capturing("saved")); err != nil {
		t.Fatal(err)
	}
	server.Stop()
	answered := make(chan error, 1)
	go func() {
		_, err := a.quit(session, capturing("final"))
		answered <- err
	}()
	a.eventually("the final save is under way", func() bool { return a.phase(player) == "checking-in" })
	a.stop()
	a.exits(exitUndrained, "player was not drained: player="+player.String(), "stopped before every player was drained")
	if err := <-answered; err == nil {
		t.Error("a final save that was not stored is acknowledged")
	}
	server.Cont()
	n.played("a", "boot-a-2")
	joined := b.joinInTime(player)
	if got := string(joined.GetSnapshot().GetData()["inventory"]); got != "saved" && got != "final" {
		t.Errorf("got %q, want one of the saves", got)
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
