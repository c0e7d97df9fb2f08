//go:build real

package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
)

// T05: a worker is killed while its players join another server. They get what
// was saved last, as soon as the dead worker's lease has ended and not before.
// T32: the same with 40,000 other keys that expire, so that the notification of
// the lease's end comes a minute late.
func TestKilledWorkerIsTakenOver(t *testing.T) {
	t.Parallel()
	for name, others := range map[string]int{"T05": 0, "T32-many-keys": 40_000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, newRealServer(t, usual).withoutDenials())
			metrics := freeAddress(t)
			n.change = func(c *config.Config) {
				if c.Server.ID == "b" {
					c.Metrics.Listen = metrics
				}
			}
			n.expiring(others)
			takeOver(t, n)
		})
	}
}

// expiring fills Redis with keys that belong to others and that expire.
func (n *network) expiring(keys int) {
	n.t.Helper()
	fill := n.redis.client().Pipeline()
	for i := range keys {
		fill.Set(context.Background(), fmt.Sprint("session:", i), "x", time.Duration(10+i%600)*time.Minute)
	}
	if _, err := fill.Exec(context.Background()); err != nil {
		n.t.Fatal(err)
	}
}

func takeOver(t *testing.T, n *network) {
	t.Helper()
	a, b := n.played("a", "boot-a"), n.played("b", "boot-b")
	const players = 4
	var answers []<-chan joinAnswer
	for i := range players {
		if i == 0 { // delivered and not confirmed (T22)
			b.mustQuit(b.enter(playerNumber(i)).SessionId, "newest")
			a.join(playerNumber(i))
		} else {
			session := a.enter(playerNumber(i)).SessionId
			a.mustSave(session, "older")
			a.mustSave(session, "newest")
		}
		answers = append(answers, b.waiting(playerNumber(i)))
	}
	incarnation := a.status().GetIncarnation()
	a.kill()
	killed := time.Now()
	left, err := n.redis.client().PTTL(context.Background(), n.space.Lease("a")).Result()
	if err != nil || left <= 0 {
		t.Fatalf("the dead worker's lease has %v left, %v", left, err)
	}
	var took time.Duration
	for i := range players {
		joined := b.got(answers[i])
		took = time.Since(killed)
		wantData(t, joined, v1.Source_SOURCE_UPDATE, "newest")
		if joined.GetHandedOverBy() != "a" {
			t.Errorf("handed over by %q", joined.GetHandedOverBy())
		}
		if took < left-earlier {
			t.Errorf("granted after %v, but the lease had %v left", took, left)
		}
	}
	t.Logf("taken over after %v of lease %v, of which %v were left when it died", took, n.config("a").Sync.Lockstep.LeaseTTL, left)
	ours := "server=b incarnation=" + b.status().GetIncarnation()
	for _, text := range []string{"kind=taken-over", "incarnation " + incarnation, ours} {
		b.eventually(fmt.Sprintf("the log has %q for each take-over", text), func() bool {
			return strings.Count(b.log.String(), text) == players
		})
	}
	if _, body := b.health()("/metrics"); !strings.Contains(body, fmt.Sprintf(`syncworker_driver_notes_total{kind="taken-over"} %d`, players)) {
		t.Errorf("the metrics do not count %d take-overs", players)
	}
}

// earlier is what a remaining time that Redis tells in milliseconds may be off.
const earlier = 5 * time.Millisecond

// T04: a worker is frozen for longer than its lease, and another server takes one
// of its players over. When it wakes, that session is lost: its saves are refused
// and kept for people, and its game is told who has the player. With Redis
// emptied meanwhile all of its sessions are lost (rule R7).
func TestFrozenThenBack(t *testing.T) {
	t.Parallel()
	for name, emptied := range map[string]bool{"T04": false, "R7-emptied": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, newRealServer(t, usual).withoutDenials())
			a, b := n.played("a", "boot-a"), n.played("b", "boot-b")
			taken, kept := playerNumber(1), playerNumber(2)
			lost, other := a.enter(taken).SessionId, a.enter(kept).SessionId
			a.mustSave(lost, "first")
			a.mustSave(other, "first")
			answers := b.waiting(taken)
			a.signal(syscall.SIGSTOP)
			joined := b.got(answers)
			wantData(t, joined, v1.Source_SOURCE_UPDATE, "first")
			if err := b.confirm(joined.SessionId, true); err != nil {
				t.Fatal(err)
			}
			b.mustSave(joined.SessionId, "second")
			if emptied {
				if err := n.redis.client().FlushAll(context.Background()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			a.signal(syscall.SIGCONT)
			if emptied {
				a.lostAll(lost, other)
			} else {
				a.wantLost(lost, b.testServer)
			}
			a.refusesLost(lost)
			n.wantConflict(a.testServer, taken, lateSave)
			b.leaves(joined.SessionId, "third")
			wantInventory(t, a.joinInTime(taken), "third")
			if !emptied {
				a.mustQuit(other, "last")
				wantInventory(t, b.joinInTime(kept), "last")
			}
		})
	}
}

// T04: a save that is on its way while its worker is frozen is refused by the
// fence when the worker wakes before it has looked at its lease.
func TestSaveOfFrozenWorker(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, newRealServer(t, usual).withoutDenials())
	a, b := n.played("a", "boot-a"), n.played("b", "boot-b")
	player := playerNumber(1)
	session := a.enter(player).SessionId
	a.mustSave(session, "first")
	answers := b.waiting(player)
	a.signal(syscall.SIGSTOP)
	refused := make(chan error, 1)
	go func() {
		_, err := a.save(session, capturing("from the past"))
		refused <- err
	}()
	joined := b.got(answers)
	if err := b.confirm(joined.SessionId, true); err != nil {
		t.Fatal(err)
	}
	b.mustSave(joined.SessionId, "second")
	a.signal(syscall.SIGCONT)
	wantRefused(t, <-refused, codeLost, v1.ErrorReason_ERROR_REASON_SESSION_LOST)
	a.wantLost(session, b.testServer)
	n.wantConflict(a.testServer, player, "from the past")
	if newest := n.newest(player); newest != "second" {
		t.Errorf("the database has %q", newest)
	}
}
