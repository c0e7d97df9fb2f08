package lifecycle_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lifecycle"
	"github.com/syncworker/syncworker/snapshotcodec"
)

// ghostScenario is a part of T38: another server waits for a player who is
// checked out here without a session. The checkout goes at once, and only it.
func ghostScenario(t *testing.T, b *backend) {
	slow := &slowStore{}
	w := newWorker(t, b, func(store driver.Store) driver.Store { slow.Store = store; return slow })
	w.start()
	w.attach("boot-1")
	sessions := w.join(players(0, 2)...)
	ghosts := b.store(t, lobby, "ghosts")
	ghosts.claim(t, players(10, 30)...)
	other := b.store(t, "arena", "arena")
	other.claim(t, player(40))

	// A final save that takes its time, and one that is not there yet.
	slow.mu.Lock()
	slow.delay = b.settle
	slow.mu.Unlock()
	left := make(chan error, 1)
	go func() {
		_, err := w.driver.Quit(t.Context(), sessions[0], capture(1, "final"))
		left <- err
	}()
	eventually(t, "the final save is under way", func() bool { return busy(w) == 1 })
	for _, id := range append(append(players(0, 2), players(10, 30)...), player(40), player(50)) {
		w.sweeper.Ghost(id)
	}
	eventually(t, "the ghosts are free", func() bool {
		checkout, err := w.store.Inspect(t.Context(), player(29))
		listed, listErr := w.store.Listed(t.Context())
		return err == nil && listErr == nil && checkout.Holder.Server == "" && len(listed) <= 2
	})
	w.store.wantHolder(t, "", players(10, 30)...)
	w.store.wantHolder(t, lobby, player(1))
	w.store.wantHolder(t, "arena", player(40))
	if err := <-left; err != nil {
		t.Errorf("the final save that was under way: %v", err)
	}
	slow.mu.Lock()
	for _, id := range slow.released {
		t.Errorf("player %s was released by the driver", id)
	}
	slow.mu.Unlock()
	w.store.wantHolder(t, "", player(0))
	if _, err := w.driver.Quit(t.Context(), sessions[1], capture(2, "final")); err != nil {
		t.Errorf("Quit: %v", err)
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
}

// TestGhostsWaitForTheGrace: until a game has attached or the grace is over, the
// final saves of an earlier run's sessions may still come.
func TestGhostsWaitForTheGrace(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		w.sweeper.Ghost(player(3))
		w.start()
		time.Sleep(time.Second)
		orphans := b.store(t, lobby, "orphans")
		orphans.claim(t, players(0, 5)...)
		if err := orphans.Delist(t.Context(), player(3)); err != nil {
			t.Fatal(err)
		}
		w.sweeper.Ghost(player(3))
		time.Sleep(b.grace - 2*time.Second)
		w.store.wantHolder(t, lobby, player(3))
		time.Sleep(2 * time.Second)
		w.sweeper.Ghost(player(3))
		synctest.Wait()
		w.store.wantHolder(t, "", player(3))
		wantLogged(t, w.log, "sweep=petition released=1")
		w.kill()
	})
}

// TestGhostsDoNotWaitForStuckPlayers: one player whom the sweep cannot clear must
// not keep it from the others.
func TestGhostsDoNotWaitForStuckPlayers(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		leave(t, b)
		w := newWorker(t, b, nil)
		w.store.onHolder = func(id handoff.PlayerID) error {
			if id == player(7) {
				return errInjected
			}
			return nil
		}
		w.start()
		w.attach("boot-1")
		time.Sleep(5 * time.Minute)
		b.store(t, lobby, "ghosts").claim(t, player(60))
		w.sweeper.Ghost(player(7))
		w.sweeper.Ghost(player(60))
		synctest.Wait()
		w.store.wantHolder(t, "", player(60))
		wantLogged(t, w.log, "[WARN]  some players cannot be cleared yet: sweep=recheck players=1")
		w.kill()
	})
}

// TestGhostNeverBlocks: petitions come from other servers, in any number.
func TestGhostNeverBlocks(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		w.start()
		w.attach("boot-1")
		b.dev.Freeze()
		for n := range 100_000 {
			w.sweeper.Ghost(handoff.PlayerID{1, byte(n >> 16), byte(n >> 8), byte(n)})
		}
		b.dev.Thaw()
		time.Sleep(time.Minute)
		b.store(t, lobby, "ghosts").claim(t, player(60))
		w.sweeper.Ghost(player(60))
		synctest.Wait()
		w.store.wantHolder(t, "", player(60))
		w.kill()
	})
}

// TestNoGhostsWithoutLease: another worker may have our server ID by now.
func TestNoGhostsWithoutLease(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		ended := executed(w.sweeper.Execute)
		w.attach("boot-1")
		time.Sleep(b.ttl) // Nobody renews it.
		b.store(t, lobby, "ghosts").claim(t, player(1))
		w.sweeper.Ghost(player(1))
		time.Sleep(time.Minute)
		w.store.wantHolder(t, lobby, player(1))
		w.sweeper.Interrupt(nil)
		wantEnd(t, ended)
	})
}

// leaveUnstored makes Redis hold data of players that no database has, as a worker
// leaves it that dies in the middle of a save.
func leaveUnstored(t *testing.T, s *store, list ...handoff.PlayerID) {
	t.Helper()
	codec, err := snapshotcodec.New(snapshotcodec.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for n, id := range list {
		claimed := s.Claim(t.Context(), id, handoff.Claim{Enlist: true, AllowUnknown: true})
		snapshot := &handoff.Snapshot{
			ID: handoff.SnapshotID{7, byte(n)}, Player: id, Server: lobby, SaveCause: "TEST",
			Version:    handoff.Version{Fence: claimed.Fence, Sequence: 1},
			CapturedAt: time.Unix(1, 0), CreatedAt: time.Unix(1, 0), Data: map[string][]byte{"inventory": []byte("accepted")},
		}
		packed, err := codec.Pack(snapshot)
		if err != nil {
			t.Fatal(err)
		}
		if written := s.Update(t.Context(), snapshot, packed); written.Outcome != handoff.WriteDone {
			t.Fatalf("update %s: %+v", id, written)
		}
	}
}

// unstoredScenario: what a worker had not brought to the database when it died,
// the next one copies; then it may run out in Redis.
func unstoredScenario(t *testing.T, b *backend) {
	here := b.store(t, lobby, "old")
	leaveUnstored(t, here, players(0, 20)...)
	b.store(t, "arena", "arena").claim(t, player(30))
	if err := here.Enlist(t.Context(), player(30)); err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, b, nil)
	w.start()
	// One of them is back before the sweep: the session goes on from that data,
	// and the copy is made all the same.
	session := w.join(player(0))[0]
	w.attach("boot-1")
	eventually(t, "everybody is cleared but who joined", func() bool {
		listed, err := here.Listed(t.Context())
		return err == nil && len(listed) == 1
	})
	eventually(t, "the copy of who joined", func() bool {
		_, left, err := here.Unstored(t.Context(), player(0))
		return err == nil && left > 0
	})
	for n, id := range players(0, 20) {
		if got := w.archive.data(id); got != "accepted" {
			t.Errorf("the database has %q of player %d", got, n)
		}
		if _, left, err := here.Unstored(t.Context(), id); err != nil || left <= 0 {
			t.Errorf("data_update of player %d lives for %v, %v; want it to run out", n, left, err)
		}
	}
	here.wantHolder(t, "", players(1, 20)...)
	here.wantHolder(t, "arena", player(30))
	if _, err := w.driver.Quit(t.Context(), session, capture(1, "final")); err != nil {
		t.Errorf("Quit: %v", err)
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
}

// TestUnstoredWhileTheDatabaseIsAway: nobody waits for the database, and nobody
// is forgotten by it.
func TestUnstoredWhileTheDatabaseIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		here := b.store(t, lobby, "old")
		leaveUnstored(t, here, players(0, 50)...)
		w := newWorker(t, b, nil)
		w.archive.fail(errInjected, 30*time.Second) // It hangs, too.
		w.start()
		w.attach("boot-1")
		time.Sleep(5 * time.Second)
		here.wantHolder(t, "", players(0, 50)...)
		here.wantListed(t, players(0, 50)...)
		time.Sleep(2 * time.Minute)
		here.wantListed(t, players(0, 50)...)
		wantLogged(t, w.log, "the database does not take what redis has")
		w.archive.fail(nil, 0)
		time.Sleep(time.Minute)
		here.wantListed(t)
		for n, id := range players(0, 50) {
			if got := w.archive.data(id); got != "accepted" {
				t.Errorf("the database has %q of player %d", got, n)
			}
		}
		wantLogged(t, w.log, "stored=50")
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestDamagedUpdateIsLeft: it is never deleted, and stays on the list so that
// each start names it.
func TestDamagedUpdateIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		here := b.store(t, lobby, "old")
		leaveUnstored(t, here, players(0, 3)...)
		here.client.Set(t.Context(), b.space.Update(player(1)), "damaged", 0)
		other := here.client.Get(t.Context(), b.space.Update(player(0))).Val()
		here.client.Set(t.Context(), b.space.Update(player(2)), other, 0)
		w := newWorker(t, b, nil)
		w.start()
		w.attach("boot-1")
		time.Sleep(time.Minute)
		here.wantHolder(t, "", players(0, 3)...)
		here.wantListed(t, players(1, 3)...)
		if value := here.client.Get(t.Context(), b.space.Update(player(1))).Val(); value != "damaged" {
			t.Errorf("data_update is %q now", value)
		}
		if w.archive.data(player(1)) != "" || w.archive.data(player(2)) != "" {
			t.Error("damaged data was stored")
		}
		wantLogged(t, w.log, "an operator must decide", "left=2")
		if err := w.stop(); err != nil { // No checkout is left.
			t.Error(err)
		}
	})
}

// TestSweepWaitsForTheSpool: what is on the local disk may be the session's final
// save, which must come before the checkout goes.
func TestSweepWaitsForTheSpool(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		here, _ := leave(t, b)
		w := newWorker(t, b, nil)
		w.spool.set(player(3))
		var looked atomic.Int64
		w.store.onHolder = func(id handoff.PlayerID) error {
			if id == player(3) {
				looked.Add(1)
			}
			return nil
		}
		w.start()
		w.attach("boot-1")
		time.Sleep(5 * time.Minute)
		w.sweeper.Ghost(player(3))
		synctest.Wait()
		here.wantHolder(t, lobby, player(3))
		here.wantListed(t, player(3))
		if looked.Load() > 0 {
			t.Error("the player was looked at while the spool was replayed")
		}
		w.spool.set()
		time.Sleep(2 * time.Second)
		here.wantHolder(t, "", player(3))
		here.wantListed(t)
		w.kill()
	})
}

var _ lifecycle.Replayed = (*spool)(nil)
