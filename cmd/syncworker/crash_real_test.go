//go:build real

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/handoff"
)

// killed is a server whose worker was killed with players on it, and another one
// that they join when the first one has a worker again.
type killed struct {
	n *network
	b *process
	// session is that of a player who played on a and was saved once; the
	// other one had been delivered and not confirmed.
	session string
}

// Players of a killed worker's server.
var (
	playedPlayer      = playerNumber(1)
	unconfirmedPlayer = playerNumber(2)
	foreignPlayer     = playerNumber(3)
)

func newKilled(t *testing.T, grace time.Duration) *killed {
	t.Helper()
	k := &killed{n: newNetwork(t, newRealServer(t, usual).withoutDenials())}
	k.n.change = func(c *config.Config) { c.Game.Grace = grace }
	a := k.n.played("a", "boot-a")
	k.b = k.n.played("b", "boot-b")
	k.session = a.enter(playedPlayer).SessionId
	if _, err := a.save(k.session, capturing("saved")); err != nil {
		t.Fatal(err)
	}
	k.b.mustQuit(k.b.enter(unconfirmedPlayer).SessionId, "left on b")
	wantData(t, a.join(unconfirmedPlayer), v1.Source_SOURCE_UPDATE, "left on b")
	k.b.enter(foreignPlayer)
	// A crash may leave the name of a player who is elsewhere by now.
	raw := k.n.redis.client()
	if err := raw.SAdd(context.Background(), k.n.space.Checkouts("a"), foreignPlayer.String()).Err(); err != nil {
		t.Fatal(err)
	}
	a.kill()
	return k
}

// released wants both players to get in with what was accepted last, and nobody
// else to have been touched.
func (k *killed) released(a *process) {
	k.n.t.Helper()
	wantData(k.n.t, k.b.join(playedPlayer), v1.Source_SOURCE_UPDATE, "saved")
	wantData(k.n.t, k.b.join(unconfirmedPlayer), v1.Source_SOURCE_UPDATE, "left on b")
	a.logs("sweep=start released=2 delisted=3 joined-meanwhile=0 left=0")
	k.held(foreignPlayer, "b")
	if phase := k.b.phase(foreignPlayer); phase != "present" {
		k.n.t.Errorf("the player of b is %q", phase)
	}
}

// held wants a server to have a player checked out.
func (k *killed) held(player handoff.PlayerID, server string) {
	k.n.t.Helper()
	got, err := k.n.redis.client().Get(context.Background(), k.n.space.Checkout(player)).Result()
	if err != nil || got != server {
		k.n.t.Errorf("the checkout of %s is %q, %v; want %q", player, got, err, server)
	}
}

// T21 and T22: a killed worker's players are released by its next start, and get
// what was accepted last. With no game attached that takes the grace.
func TestKilledWorkerWithoutGame(t *testing.T) {
	t.Parallel()
	k := newKilled(t, 2*time.Second)
	a := k.n.process("a")
	k.released(a)
	if a.status().GetGame().GetAttached() {
		t.Error("a game is attached")
	}
}

// With a restarted game attached it takes no grace at all: here that is ten
// minutes long.
func TestKilledWorkerWithRestartedGame(t *testing.T) {
	t.Parallel()
	k := newKilled(t, 10*time.Minute)
	a := k.n.process("a")
	a.settled()
	a.logs("an earlier run left players listed as checked out")
	k.held(playedPlayer, "a")
	k.held(unconfirmedPlayer, "a")
	answers := k.b.waiting(playedPlayer)
	a.attach("boot-a-2")
	k.b.got(answers)
	k.released(a)
	_, err := a.save(k.session, capturing("late"))
	wantRefused(t, err, connect.CodeNotFound, v1.ErrorReason_ERROR_REASON_NO_SESSION)
}

// crowd is a number of players who all quit at once.
type crowd struct {
	t        *testing.T
	first    int
	sessions []string
	// moment is how many final saves are acknowledged when the fault comes.
	moment int

	mu sync.Mutex
	// acknowledged are those whose final save was answered CURRENT.
	acknowledged map[int]bool
}

const crowdSize = 30

// enterCrowd lets players in and saves each of them once.
func enterCrowd(s *testServer, first int) *crowd {
	s.t.Helper()
	c := &crowd{t: s.t, first: first, moment: rand.IntN(crowdSize), acknowledged: map[int]bool{}}
	for i := range crowdSize {
		session := s.enter(playerNumber(first + i)).SessionId
		if _, err := s.save(session, capturing(c.before(i))); err != nil {
			s.t.Fatal(err)
		}
		c.sessions = append(c.sessions, session)
	}
	return c
}

func (c *crowd) player(i int) handoff.PlayerID { return playerNumber(c.first + i) }
func (c *crowd) before(i int) string           { return fmt.Sprint("before ", c.first+i) }
func (c *crowd) final(i int) string            { return fmt.Sprint("final ", c.first+i) }

// quitAll sends all final saves, does something at the moment chosen, and returns
// when each is answered.
func (c *crowd) quitAll(s *testServer, quit func(i int) error, do func()) {
	c.t.Helper()
	c.t.Logf("fault after %d of %d acknowledged quits", c.moment, crowdSize)
	reached := make(chan struct{})
	if c.moment == 0 {
		close(reached)
	}
	var all sync.WaitGroup
	for i := range crowdSize {
		all.Go(func() {
			if quit(i) != nil {
				return
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.acknowledged[i] = true
			if len(c.acknowledged) == c.moment {
				close(reached)
			}
		})
	}
	select {
	case <-reached:
	case <-time.After(patience):
		c.t.Errorf("only %d quits were acknowledged\n%s", len(c.acknowledged), s.log)
	}
	do()
	all.Wait()
}

// quitOnce sends one final save; only CURRENT is no error.
func (c *crowd) quitOnce(s *testServer, i int) error {
	left, err := s.quit(c.sessions[i], capturing(c.final(i)))
	if err == nil && left.State != v1.SaveState_SAVE_STATE_CURRENT {
		err = fmt.Errorf("answered %v", left.State)
	}
	return err
}

// checkOn lets every second player in, all at once, beginning with one. An
// acknowledged final save is what is loaded; of another player it is that or the
// save before, and never nothing (law L6).
func (c *crowd) checkOn(s *testServer, first int) {
	c.t.Helper()
	var all sync.WaitGroup
	for i := first; i < crowdSize; i += 2 {
		want := []string{c.final(i)}
		if !c.acknowledged[i] {
			want = append(want, c.before(i))
		}
		all.Go(func() {
			joined, err := s.tryJoin(c.player(i), patience)
			got := string(joined.GetSnapshot().GetData()["inventory"])
			if err != nil || !slices.Contains(want, got) {
				c.t.Errorf("player %d: got %q, %v; want %q", c.first+i, got, err, strings.Join(want, " or "))
			}
		})
	}
	all.Wait()
}

// A worker is killed while final saves are under way, and the game plays on. It
// attaches to the next worker, names all of them, and repeats what is resumed. A
// session that is lost without anybody else having asked for its player had been
// stored. So every final save is what the next server loads, from Redis, and
// from the database when Redis is emptied later.
func TestKilledWhileQuitting(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, newRealServer(t, usual).withoutDenials())
	a, b := n.played("a", "boot-a"), n.played("b", "boot-b")
	var crowds []*crowd
	for round := range 3 {
		c := enterCrowd(a.testServer, round*crowdSize)
		crowds = append(crowds, c)
		if round == 0 {
			c.moment = 0 // Most of the final saves never reach the worker then.
		}
		dying := a
		c.quitAll(dying.testServer, func(i int) error { return c.quitOnce(dying.testServer, i) }, dying.kill)
		a = n.process("a")
		attached := a.attach("boot-a", c.sessions...)
		c.resume(a.testServer, attached)
		a.settled()
		c.checkOn(b.testServer, 0)
	}
	n.redis.restart(false)
	for _, c := range crowds {
		c.checkOn(b.testServer, 1)
	}
}

// resume repeats the final saves of the sessions that go on. No session whose
// final save was acknowledged may be among them.
func (c *crowd) resume(s *testServer, attached *v1.Attached) {
	c.t.Helper()
	if len(attached.Lost)+len(attached.Resumed) != crowdSize {
		c.t.Errorf("attached with %d sessions lost and %d resumed, want %d", len(attached.Lost), len(attached.Resumed), crowdSize)
	}
	c.t.Logf("%d of %d acknowledged, %d resumed", len(c.acknowledged), crowdSize, len(attached.Resumed))
	for i, session := range c.sessions {
		switch {
		case slices.Contains(attached.Lost, session):
		case c.acknowledged[i]:
			c.t.Errorf("session %s was resumed, whose final save was acknowledged", session)
		default:
			s.leaves(session, c.final(i))
		}
		c.acknowledged[i] = true
	}
}

// redis-server is killed while final saves are under way and comes back empty.
// The game repeats what was not acknowledged; nobody gets anything older.
func TestRedisKilledWhileQuitting(t *testing.T) {
	t.Parallel()
	server := newRealServer(t, usual).withoutDenials()
	n := newNetwork(t, server)
	a, b := n.played("a", "boot-a"), n.played("b", "boot-b")
	c := enterCrowd(a.testServer, 0)
	c.quitAll(a.testServer, func(i int) error {
		// Every answer is final: PROVISIONAL is what redis may have lost again.
		err := a.quitInTime(c.sessions[i], c.final(i))
		if err != nil {
			t.Errorf("quit %d got %v", i, err)
		}
		return err
	}, func() {
		server.Kill()
		server.Restart(false)
	})
	c.checkOn(b.testServer, 0)
	c.checkOn(b.testServer, 1)
}
