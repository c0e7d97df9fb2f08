package lifecycle_test

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lifecycle"
)

// leave makes the state of Redis after a crash of a worker of this server: some
// players checked out and listed, some listed only, some gone on to another
// server, and players of that server that were never here.
func leave(t *testing.T, b *backend) (here, other *store) {
	t.Helper()
	here, other = b.store(t, "lobby", "old"), b.store(t, "arena", "arena")
	here.claim(t, players(0, 20)...)
	for _, gone := range players(20, 30) {
		if err := here.Enlist(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	for _, moved := range players(30, 40) {
		if err := here.Enlist(t.Context(), moved); err != nil {
			t.Fatal(err)
		}
	}
	other.claim(t, players(30, 50)...)
	return here, other
}

func wantCleared(t *testing.T, here, other *store) {
	t.Helper()
	here.wantHolder(t, "", players(0, 30)...)
	here.wantListed(t)
	other.wantHolder(t, "arena", players(30, 50)...)
	other.wantListed(t, players(30, 50)...)
}

func TestOrphansAreSweptWhenAGameAttaches(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		here, other := leave(t, b)
		w := newWorker(t, b, nil)
		w.start()
		time.Sleep(10 * time.Second)
		here.wantHolder(t, "lobby", players(0, 20)...)
		began := time.Now()
		w.attach("boot-1")
		eventually(t, "the list is empty", func() bool {
			left, err := here.Listed(t.Context())
			return err == nil && len(left) == 0
		})
		if took := time.Since(began); took > time.Second {
			t.Errorf("swept %v after a game attached", took)
		}
		wantCleared(t, here, other)
		wantLogged(t, w.log, "checkouts cleared: sweep=start released=20 delisted=40 joined-meanwhile=0 left=0")
		if got := counted(t, w.registry, "syncworker_lifecycle_swept_total"); got != 60 {
			t.Errorf("swept counter %v, want 20 released + 40 delisted", got)
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestOrphansAreSweptAfterGrace(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		here, other := leave(t, b)
		w := newWorker(t, b, nil)
		w.start()
		time.Sleep(b.grace - time.Millisecond)
		here.wantHolder(t, "lobby", players(0, 20)...)
		time.Sleep(time.Second)
		wantCleared(t, here, other)
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestSweepWaitsForRedis(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		here, other := leave(t, b)
		w := newWorker(t, b, nil)
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.dev.Halt()
		ended, renewing := executed(w.sweeper.Execute), executed(w.lease.Execute)
		time.Sleep(b.grace + 5*time.Second)
		if err := b.dev.Restart(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		wantCleared(t, here, other)
		wantLogged(t, w.log, "cannot read which checkouts are listed")
		w.sweeper.Interrupt(nil)
		w.lease.Interrupt(nil)
		wantEnd(t, ended)
		wantEnd(t, renewing)
	})
}

// TestSweepSparesWhoJoins: players come back to this server while the sweep is
// between its read and its release, which is where a careless one would hit the
// new session.
func TestSweepSparesWhoJoins(t *testing.T) {
	for name, hook := range map[string]func(w *worker, f func(handoff.PlayerID) error){
		"before the read":    func(w *worker, f func(handoff.PlayerID) error) { w.store.onHolder = f },
		"before the release": func(w *worker, f func(handoff.PlayerID) error) { w.store.onRelease = f },
		"before the delist":  func(w *worker, f func(handoff.PlayerID) error) { w.store.onDelist = f },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *backend) {
				here, _ := leave(t, b)
				for _, moved := range players(30, 40) { // These are held elsewhere and cannot join.
					if err := here.Delist(t.Context(), moved); err != nil {
						t.Fatal(err)
					}
				}
				w := newWorker(t, b, nil)
				w.start()
				time.Sleep(b.settle)
				sessions := make(chan handoff.SessionID, 40)
				hook(w, func(id handoff.PlayerID) error {
					if _, known := w.driver.Summary(id); !known {
						sessions <- w.join(id)[0]
					}
					return nil
				})
				w.attach("boot-1")
				time.Sleep(time.Minute)
				joined := len(sessions)
				if joined < 20 {
					t.Fatalf("only %d players joined meanwhile", joined)
				}
				var inside []handoff.PlayerID
				for range joined {
					session := <-sessions
					inside = append(inside, session.Player)
					if _, err := w.driver.Save(t.Context(), session, capture(1, "data")); err != nil {
						t.Errorf("save of a player who joined during the sweep: %v", err)
					}
				}
				here.wantHolder(t, "lobby", inside...)
				here.wantListed(t, inside...)
				w.kill()
			})
		})
	}
}

func TestSweepRetriesAndGivesUpWithoutFence(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		here, _ := leave(t, b)
		here.client.Del(t.Context(), b.space.Fence(player(3)))
		w := newWorker(t, b, nil)
		var faults atomic.Int64
		fail := func(handoff.PlayerID) error {
			if faults.Add(1)%3 == 0 {
				return errInjected
			}
			return nil
		}
		w.store.onHolder, w.store.onRelease, w.store.onDelist = fail, fail, fail
		w.start()
		w.attach("boot-1")
		time.Sleep(5 * time.Minute)
		here.wantHolder(t, "", append(players(0, 3), players(4, 20)...)...)
		here.wantHolder(t, "lobby", player(3))
		here.wantListed(t, player(3))
		wantLogged(t, w.log, "checkout has no fence any more", "left=1")
		w.kill()
	})
}

// TestNoSweepWithoutLease: while the lease is uncertain another worker may have
// our server ID, and its sessions would look like orphans.
func TestNoSweepWithoutLease(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		here, other := leave(t, b)
		w := newWorker(t, b, nil)
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(b.ttl) // Nobody renews it.
		ended := executed(w.sweeper.Execute)
		w.attach("boot-1")
		time.Sleep(time.Minute)
		here.wantHolder(t, "lobby", players(0, 20)...)
		renewing := executed(w.lease.Execute)
		time.Sleep(time.Minute)
		wantCleared(t, here, other)
		w.sweeper.Interrupt(nil)
		w.lease.Interrupt(nil)
		wantEnd(t, ended)
		wantEnd(t, renewing)
	})
}

func TestSweeperInterruptedEarly(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		leave(t, b)
		for _, moment := range []time.Duration{0, time.Millisecond, time.Second, time.Hour} {
			w := newWorker(t, b, nil)
			time.AfterFunc(moment, func() { w.sweeper.Interrupt(nil) })
			ended := executed(w.sweeper.Execute)
			if err := <-ended; err != nil {
				t.Errorf("Execute() = %v", err)
			}
		}
		synctest.Wait()
	})
}

// TestSweepStopEndsTheFirstSweep: a worker that stops in its first seconds does
// not wait for game.grace.
func TestSweepStopEndsTheFirstSweep(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		here, other := leave(t, b)
		w := newWorker(t, b, nil)
		w.start()
		time.Sleep(time.Second)
		began := time.Now()
		w.signals <- os.Interrupt
		if err := <-w.ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the stop took %v", took)
		}
		wantCleared(t, here, other)
		wantLogged(t, w.log, "sweep=stop released=20")
	})
}

func TestSweepStopReportsWhatIsLeft(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		leave(t, b)
		w := newWorker(t, b, nil)
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.store.onRelease = func(id handoff.PlayerID) error {
			if id == player(7) {
				return errInjected
			}
			return nil
		}
		left, err := w.sweeper.SweepStop(t.Context())
		if left != 1 || err == nil {
			t.Errorf("SweepStop() = %d, %v; want 1 left and why", left, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.sweeper.SweepStop(ctx); err == nil {
			t.Error("SweepStop with a cancelled context returned no error")
		}
	})
}

// TestOldDump: Redis comes back with checkouts of players who have left since,
// and without those of players who have come since.
func TestOldDump(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		w.start()
		w.attach("boot-1")
		w.join(players(0, 5)...)
		// What the dump holds instead of what was there a moment ago.
		ghosts := b.store(t, "lobby", "ghosts")
		if err := w.store.client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		ghosts.claim(t, players(10, 20)...)
		time.Sleep(time.Minute)
		w.store.wantHolder(t, "lobby", players(0, 5)...)
		w.store.wantHolder(t, "", players(10, 20)...)
		w.store.wantListed(t, players(0, 5)...)
		wantLogged(t, w.log, "sweep=recheck released=10")
		w.kill()
	})
}

// TestStuckPlayerHoldsUpNobody: one key that cannot be read must not keep later
// sweeps from what they are for.
func TestStuckPlayerHoldsUpNobody(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		leave(t, b)
		w := newWorker(t, b, nil)
		var mended atomic.Bool
		w.store.onHolder = func(id handoff.PlayerID) error {
			if id == player(7) && !mended.Load() {
				return errInjected
			}
			return nil
		}
		w.start()
		w.attach("boot-1")
		w.join(players(60, 65)...)
		time.Sleep(5 * time.Minute)
		if err := w.store.client.Del(t.Context(), b.space.Checkouts(lobby)).Err(); err != nil {
			t.Fatal(err)
		}
		w.settle.Begin(lifecycle.CauseResync)
		time.Sleep(time.Minute)
		w.store.wantListed(t, players(60, 65)...)
		w.store.wantHolder(t, "lobby", player(7))
		mended.Store(true)
		time.Sleep(time.Minute)
		w.store.wantHolder(t, "", player(7))
		w.kill()
	})
}
