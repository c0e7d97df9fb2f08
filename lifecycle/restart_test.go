package lifecycle_test

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lifecycle"
)

// restartInPlaceScenario: the worker is replaced under a game that plays on,
// with saves under way. No session is lost, no save that was answered, and
// nothing waits for a lease to end.
func restartInPlaceScenario(t *testing.T, b *backend) {
	slow := &slowStore{delay: b.settle / 2}
	w := newWorker(t, b, func(store driver.Store) driver.Store { slow.Store = store; return slow })
	w.start()
	stream := w.attach("boot-1")
	sessions := w.join(players(0, 20)...)
	gone := w.join(player(30))[0]
	var saving sync.WaitGroup
	for i, session := range sessions {
		saving.Go(func() {
			if _, err := w.driver.Save(t.Context(), session, capture(i, "before")); err != nil {
				t.Errorf("Save during the restart: %v", err)
			}
		})
	}
	eventually(t, "the saves are under way", func() bool { return busy(w) >= 20 })
	w.restart()
	saving.Wait()
	select {
	case event := <-stream.Events():
		t.Errorf("the game was told %+v", event)
	default:
	}
	if len(slow.released) > 0 {
		t.Errorf("%d players were released", len(slow.released))
	}
	w.store.wantHolder(t, lobby, append(players(0, 20), player(30))...)
	w.store.wantListed(t, append(players(0, 20), player(30))...)
	owner, left := w.leaseNow()
	if !owner.Restarting || left <= b.ttl || left > b.window {
		t.Errorf("the lease is of %v and lives for %v, want it restarting for %v", owner, left, b.window)
	}

	next := newWorker(t, b, nil)
	next.archive.rows = w.archive.rows
	began := time.Now()
	next.start()
	if took := time.Since(began); took > b.ttl/3 {
		t.Errorf("the next incarnation waited %v for the lease", took)
	}
	wantGate(t, next.settle, false) // As at every start.
	if owner, left := next.leaseNow(); owner.Restarting || left > b.ttl {
		t.Errorf("the lease is of %v and lives for %v after it was adopted", owner, left)
	}
	// The game does not name the player who left meanwhile.
	_, answer := next.reattach("boot-1", sessions...)
	if len(answer.Resumed) != 20 || len(answer.Lost) != 0 {
		t.Errorf("%d sessions resumed and %d lost, want all 20 resumed", len(answer.Resumed), len(answer.Lost))
	}
	forAll(sessions, func(i int, session handoff.SessionID) {
		if _, err := next.driver.Save(t.Context(), session, capture(i+100, "after")); err != nil {
			t.Errorf("Save after the restart: %v", err)
		}
		if got := next.archive.data(session.Player); got != "after" {
			t.Errorf("player %d has %q in the database", i, got)
		}
	})
	eventually(t, "the player who left is free", func() bool {
		checkout, err := next.store.Inspect(t.Context(), gone.Player)
		return err == nil && checkout.Holder.Server == ""
	})
	wantLogged(t, w.log, "restarting in place", "the server lease waits for the next incarnation")
	wantLogged(t, next.log, "its lease is adopted")
	forAll(sessions, func(i int, session handoff.SessionID) {
		if _, err := next.driver.Quit(t.Context(), session, capture(i+200, "final")); err != nil {
			t.Errorf("Quit: %v", err)
		}
	})
	if err := next.stop(); err != nil {
		t.Error(err)
	}
	next.store.wantHolder(t, "", players(0, 20)...)
}

// leaseNow returns what the lease in Redis says, and how long it lives.
func (w *worker) leaseNow() (lifecycle.Owner, time.Duration) {
	w.t.Helper()
	value, left, err := w.store.ReadLease(w.t.Context(), lobby)
	if err != nil {
		w.t.Fatal(err)
	}
	if value == "" {
		return lifecycle.Owner{}, 0
	}
	owner, err := lifecycle.ParseOwner(value)
	if err != nil {
		w.t.Fatal(err)
	}
	return owner, left
}

// TestMarkedLeaseIsLeftAlone: from the mark on the worker neither renews the
// lease nor takes it again, however long it still runs.
func TestMarkedLeaseIsLeftAlone(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		renewing, settling := executed(w.lease.Execute), executed(w.settle.Execute)
		time.Sleep(5 * time.Second)
		gate := lifecycle.NewGate(w.settle, w.lease)
		if _, open := gate.Settled(time.Now()); !open {
			t.Error("the gate is shut before the mark")
		}
		if err := w.lease.MarkRestarting(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, open := gate.Settled(time.Now()); open || w.lease.Held() || !w.lease.Restarting() {
			t.Errorf("after the mark: gate %v, held %v, restarting %v", open, w.lease.Held(), w.lease.Restarting())
		}
		if err := w.lease.Confirm(t.Context()); !errors.Is(err, lifecycle.ErrLeaseRestarting) {
			t.Errorf("Confirm() = %v, want ErrLeaseRestarting", err)
		}
		if err := w.lease.Drop(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Second)
		w.settle.Begin(lifecycle.CauseResync) // Asks for a renewal.
		w.lease.Renew()
		synctest.Wait()
		if _, left := w.leaseNow(); left != 10*time.Second {
			t.Errorf("the lease lives for %v, want what is left of the minute", left)
		}
		time.Sleep(time.Minute)
		w.wantLease(b, false)
		w.lease.Interrupt(nil)
		w.settle.Interrupt(nil)
		wantEnd(t, renewing)
		wantEnd(t, settling)
	})
}

// TestNobodyComesAfterTheRestart: the marked lease ends, and with it the claim
// to the players.
func TestNobodyComesAfterTheRestart(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, sessions := inside(t, b)
		w.attach("boot-1")
		w.restart()
		time.Sleep(b.window + time.Millisecond)
		w.wantLease(b, false)
		arena := b.store(t, "arena", "arena")
		taken := arena.Claim(t.Context(), player(3), handoff.Claim{Over: handoff.Holder{Server: lobby, Fence: sessions[3].Fence}})
		if !taken.TakenOver {
			t.Fatalf("take-over after the window: %+v", taken)
		}
		next := newWorker(t, b, nil)
		next.start()
		_, answer := next.reattach("boot-1", sessions...)
		if len(answer.Resumed) != 9 || len(answer.Lost) != 1 || answer.Lost[0] != sessions[3] {
			t.Errorf("resumed %d and lost %v, want all but the one taken over", len(answer.Resumed), answer.Lost)
		}
		next.kill()
	})
}

// TestTwoWorkersInTheWindow: whoever starts first has the lease; the other one
// finds a live worker.
func TestTwoWorkersInTheWindow(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, _ := inside(t, b)
		w.restart()
		first, second := newWorker(t, b, nil), newWorker(t, b, nil)
		results := make(chan error, 2)
		for _, one := range []*worker{first, second} {
			go func() {
				err := one.lease.Acquire(t.Context())
				if err == nil {
					go func() { _ = one.lease.Execute() }()
				}
				results <- err
			}()
		}
		if err := <-results; err != nil {
			t.Errorf("the first Acquire: %v", err)
		}
		if err := <-results; !errors.Is(err, lifecycle.ErrLeaseHeld) {
			t.Errorf("the second Acquire: %v, want ErrLeaseHeld", err)
		}
		if first.lease.Held() == second.lease.Held() {
			t.Errorf("held by the first: %v, by the second: %v", first.lease.Held(), second.lease.Held())
		}
		first.lease.Interrupt(nil)
		second.lease.Interrupt(nil)
	})
}

// TestLostAnswersAboutTheMark: whether a swap was done is not known when its
// answer gets lost; to try again must come to the same end.
func TestLostAnswersAboutTheMark(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		loseOne := func() func() error {
			lost := false
			return func() error {
				if lost {
					return nil
				}
				lost = true
				return errInjected
			}
		}
		w, _ := inside(t, b)
		w.store.swaps = loseOne()
		w.restart()
		wantLogged(t, w.log, "the server lease waits for the next incarnation")
		next := newWorker(t, b, nil)
		next.store.swaps = loseOne()
		began := time.Now()
		if err := next.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		if owner, _ := next.leaseNow(); owner.Restarting || !next.lease.Held() {
			t.Errorf("the lease is of %v, held: %v", owner, next.lease.Held())
		}
	})
}

// TestRestartWithoutRedis: the next incarnation would not serve until Redis is
// back, so this one goes on, and restarts when it is asked again.
func TestRestartWithoutRedis(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, sessions := inside(t, b)
		w.attach("boot-1")
		b.dev.Halt()
		w.restarts <- os.Interrupt
		eventually(t, "the worker says why it goes on", func() bool { return strings.Contains(w.log.String(), "not restarting") })
		if w.driver.Draining() {
			t.Error("joins are refused although the worker goes on")
		}
		if err := b.dev.Restart(true); err != nil {
			t.Fatal(err)
		}
		eventually(t, "redis is back", w.lease.Held)
		w.restart()
		next := newWorker(t, b, nil)
		next.start()
		_, answer := next.reattach("boot-1", sessions...)
		if len(answer.Resumed) != 10 {
			t.Errorf("%d sessions resumed, want 10", len(answer.Resumed))
		}
		next.kill()
	})
}

func TestRestartWithoutLease(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, _ := inside(t, b)
		w.store.client.Del(t.Context(), b.space.Lease(lobby))
		w.restart()
		wantLogged(t, w.log, "server lease was missing in redis, taken again")
		w.wantLease(b, true) // It waits for the next incarnation.
	})
}

// TestRestartUnderForeignLease: another worker has the server ID; to start again
// would only find that out.
func TestRestartUnderForeignLease(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, _ := inside(t, b)
		w.store.client.Set(t.Context(), b.space.Lease(lobby), `{"incarnation":"other","host":"h2"}`, time.Minute)
		w.restarts <- os.Interrupt
		if err := <-w.ended; !errors.Is(err, lifecycle.ErrLeaseForeign) || !strings.Contains(err.Error(), "h2") {
			t.Errorf("the group ended with %v, want ErrLeaseForeign naming h2", err)
		}
		w.wantLease(b, true)
	})
}

// TestStopDuringRestart: until the lease is marked, a signal to stop turns the
// restart into a drain.
func TestStopDuringRestart(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		slow := &slowStore{delay: 3 * time.Second}
		w := newWorker(t, b, func(store driver.Store) driver.Store { slow.Store = store; return slow })
		w.start()
		session := w.join(player(1))[0]
		saved := make(chan error, 1)
		go func() {
			_, err := w.driver.Save(t.Context(), session, capture(1, "saved"))
			saved <- err
		}()
		synctest.Wait()
		w.restarts <- os.Interrupt
		time.Sleep(time.Second)
		w.signals <- os.Interrupt
		err := <-w.ended
		if left, ok := errors.AsType[*lifecycle.UndrainedError](err); !ok || len(left.Unsaved) != 1 || len(left.Players) != 0 {
			t.Errorf("the group ended with %v, want a drain with one player without a final save", err)
		}
		if err := <-saved; err != nil {
			t.Errorf("Save: %v", err)
		}
		w.store.wantHolder(t, "", player(1))
		w.wantLease(b, false)
	})
}

// TestStopWhileTheLeaseIsMarked: it is too late to drain, and to start again is
// not what is wanted any more.
func TestStopWhileTheLeaseIsMarked(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, _ := inside(t, b)
		w.store.swaps = func() error { w.signals <- os.Interrupt; return nil }
		w.restarts <- os.Interrupt
		if err := <-w.ended; !errors.Is(err, lifecycle.ErrAborted) {
			t.Errorf("the group ended with %v, want ErrAborted", err)
		}
		w.store.wantHolder(t, lobby, players(0, 10)...)
	})
}

// TestFailureDuringRestart: without an API nobody can be handed over to.
func TestFailureDuringRestart(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, func(store driver.Store) driver.Store {
			return &slowStore{Store: store, delay: 3 * time.Second}
		})
		fail := make(chan struct{})
		w.group.Add(func() error { <-fail; return errInjected }, func(error) {})
		w.start()
		session := w.join(player(1))[0]
		go func() { _, _ = w.driver.Save(t.Context(), session, capture(1, "saved")) }()
		synctest.Wait()
		w.restarts <- os.Interrupt
		synctest.Wait()
		close(fail)
		if err := <-w.ended; !errors.Is(err, errInjected) {
			t.Errorf("the group ended with %v, want the actor's error", err)
		}
		w.store.wantHolder(t, "", player(1))
		w.wantLease(b, false)
	})
}

// TestRestartGivesUpWaiting: a write that does not come back must not keep the
// worker from its upgrade.
func TestRestartGivesUpWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		b.drain = 2 * time.Second
		slow := &slowStore{}
		w := newWorker(t, b, func(store driver.Store) driver.Store { slow.Store = store; return slow })
		w.start()
		session := w.join(player(1))[0]
		slow.hang(player(1))
		go func() { _, _ = w.driver.Save(t.Context(), session, capture(1, "lost")) }()
		synctest.Wait()
		w.restart()
		w.store.wantHolder(t, lobby, player(1))
		wantLogged(t, w.log, "restarting although operations are under way", "players=1 waited=2s")
	})
}

var _ gamelink.Adopter = (*worker)(nil)
