package lifecycle_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lifecycle"
)

// The scenarios that run on the Redis inside the process and on a real one.
var scenarios = map[string]func(*testing.T, *backend){
	"T18 drain":         drainScenario,
	"T20 two workers":   twoWorkersScenario,
	"T21 restart":       restartScenario,
	"lease and restart": emptyRestartScenario,
	"restart in place":  restartInPlaceScenario,
	"resume":            resumeScenario,
	"frozen":            frozenScenario,
	"T38 ghost":         ghostScenario,
	"unstored":          unstoredScenario,
}

func TestScenarios(t *testing.T) {
	for name, scenario := range scenarios {
		t.Run(name, func(t *testing.T) { bubble(t, scenario) })
	}
}

// slowStore is a Redis that takes its time with writes, and for some players
// for ever.
type slowStore struct {
	driver.Store
	delay time.Duration

	mu       sync.Mutex
	hung     map[handoff.PlayerID]bool
	released []handoff.PlayerID
}

func (s *slowStore) wait(ctx context.Context, id handoff.PlayerID) error {
	s.mu.Lock()
	delay := s.delay
	if s.hung[id] {
		delay = time.Hour
	}
	s.mu.Unlock()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(delay):
		return nil
	}
}

func (s *slowStore) Update(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written {
	if err := s.wait(ctx, snapshot.Player); err != nil {
		return handoff.Written{Outcome: handoff.WriteFailed, Err: err}
	}
	return s.Store.Update(ctx, snapshot, packed)
}

func (s *slowStore) CheckIn(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written {
	if err := s.wait(ctx, snapshot.Player); err != nil {
		return handoff.Written{Outcome: handoff.WriteFailed, Err: err}
	}
	return s.Store.CheckIn(ctx, snapshot, packed)
}

func (s *slowStore) Release(ctx context.Context, id handoff.PlayerID, fence handoff.Fence) handoff.Written {
	s.mu.Lock()
	s.released = append(s.released, id)
	s.mu.Unlock()
	if err := s.wait(ctx, id); err != nil {
		return handoff.Written{Outcome: handoff.WriteFailed, Err: err}
	}
	return s.Store.Release(ctx, id, fence)
}

func (s *slowStore) hang(list ...handoff.PlayerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hung = map[handoff.PlayerID]bool{}
	for _, id := range list {
		s.hung[id] = true
	}
}

// drainScenario is T18: SIGTERM with 100 players and slow stores. 90 of them
// quit with final data, 5 never do, and 5 have a save under way that does not
// come back.
func drainScenario(t *testing.T, b *backend) {
	slow := &slowStore{delay: b.settle / 60}
	w := newWorker(t, b, func(store driver.Store) driver.Store { slow.Store = store; return slow })
	w.archive.delay = b.settle / 30
	w.start()
	stream := w.attach("boot-1")
	sessions := w.join(players(0, 100)...)
	forAll(sessions, func(i int, session handoff.SessionID) {
		if _, err := w.driver.Save(t.Context(), session, capture(i, "before")); err != nil {
			t.Errorf("Save: %v", err)
		}
	})
	slow.hang(players(95, 100)...)
	var saving sync.WaitGroup
	for i, session := range sessions[95:] {
		saving.Go(func() {
			if _, err := w.driver.Save(t.Context(), session, capture(i, "lost")); err == nil {
				t.Error("a save that never reached redis was accepted")
			}
		})
	}
	eventually(t, "the saves are under way", func() bool { return busy(w) >= 5 })

	began := time.Now()
	w.signals <- os.Interrupt
	if told, ok := (<-stream.Events()).(gamelink.Draining); !ok || told.Deadline.Before(began) {
		t.Errorf("the game was told %+v, want the deadline of the drain", told)
	}
	forAll(sessions[:90], func(i int, session handoff.SessionID) {
		if _, err := w.driver.Quit(t.Context(), session, capture(i, "final!")); err != nil {
			t.Errorf("Quit: %v", err)
		}
	})
	err := <-w.ended
	saving.Wait()
	if took := time.Since(began); took > b.drain+15*time.Second {
		t.Errorf("took %v", took)
	}
	wantUndrained(t, w, err, players(95, 100))

	w.store.wantHolder(t, "", players(0, 95)...)
	w.store.wantHolder(t, "lobby", players(95, 100)...)
	w.store.wantListed(t, players(95, 100)...)
	for i, session := range sessions {
		want := "before"
		if i < 90 {
			want = "final!"
		}
		if got := string(w.archive.rows[session.Player].Data["inventory"]); got != want {
			t.Errorf("player %d has %q in the database, want %q", i, got, want)
		}
	}
	for _, id := range slow.released {
		if slices.Contains(players(0, 90), id) {
			t.Errorf("player %s was released apart from the final save (law L5)", id)
		}
	}
	w.wantLease(b, false)

	// The next run clears what this one had to leave.
	next := newWorker(t, b, nil)
	next.start()
	next.attach("boot-2")
	eventually(t, "the next run clears the rest", func() bool {
		left, err := next.store.Listed(t.Context())
		return err == nil && len(left) == 0
	})
	next.store.wantHolder(t, "", players(0, 100)...)
	if err := next.stop(); err != nil {
		t.Error(err)
	}
}

func wantUndrained(t *testing.T, w *worker, err error, want []handoff.PlayerID) {
	t.Helper()
	var undrained *lifecycle.UndrainedError
	if !errors.As(err, &undrained) {
		t.Fatalf("the group ended with %v, want UndrainedError", err)
	}
	var left []handoff.PlayerID
	for _, summary := range undrained.Players {
		left = append(left, summary.Player)
		wantLogged(t, w.log, "player was not drained: player="+summary.Player.String())
	}
	slices.SortFunc(left, func(a, b handoff.PlayerID) int { return slices.Compare(a[:], b[:]) })
	if !slices.Equal(left, want) {
		t.Errorf("undrained %v, want %v", left, want)
	}
}

func forAll(sessions []handoff.SessionID, do func(int, handoff.SessionID)) {
	var wg sync.WaitGroup
	for i, session := range sessions {
		wg.Go(func() { do(i, session) })
	}
	wg.Wait()
}

func busy(w *worker) (n int) {
	for _, summary := range w.driver.Summaries() {
		if summary.Busy {
			n++
		}
	}
	return n
}

// twoWorkersScenario is T20: a second worker with the server ID of a live one.
func twoWorkersScenario(t *testing.T, b *backend) {
	live := newWorker(t, b, nil)
	live.start()
	live.attach("boot-1")
	sessions := live.join(players(0, 10)...)

	second := newWorker(t, b, nil)
	if err := second.lease.Acquire(t.Context()); !errors.Is(err, lifecycle.ErrLeaseHeld) {
		t.Errorf("Acquire of the second worker: %v, want ErrLeaseHeld", err)
	}
	live.store.wantHolder(t, "lobby", players(0, 10)...)
	live.store.wantListed(t, players(0, 10)...)
	for i, session := range sessions {
		if _, err := live.driver.Quit(t.Context(), session, capture(i, "final")); err != nil {
			t.Errorf("Quit on the live worker: %v", err)
		}
	}
	if err := live.stop(); err != nil {
		t.Error(err)
	}
	if err := second.lease.Acquire(t.Context()); err != nil {
		t.Errorf("Acquire once the first worker has stopped: %v", err)
	}
	if err := second.lease.Drop(t.Context()); err != nil {
		t.Error(err)
	}
}

// restartScenario is T21: a worker starts again after a crash. What its own
// earlier run held is cleared, what others hold is not, and nothing searches the
// keyspace.
func restartScenario(t *testing.T, b *backend) {
	here, other := leave(t, b)
	dead := newWorker(t, b, nil)
	if err := dead.lease.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := newWorker(t, b, nil)
	w.start() // Waits for the dead one's lease.
	waiting := b.store(t, "arena", "arena")
	if claimed := waiting.Claim(t.Context(), player(5), handoff.Claim{}); claimed.Outcome != handoff.ClaimHeld {
		t.Errorf("claim before the sweep: %+v", claimed)
	}
	eventually(t, "the sweep after the grace", func() bool {
		left, err := here.Listed(t.Context())
		return err == nil && len(left) == 0
	})
	wantCleared(t, here, other)
	if claimed := waiting.Claim(t.Context(), player(5), handoff.Claim{}); claimed.Outcome != handoff.ClaimGranted {
		t.Errorf("claim after the sweep: %+v", claimed)
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	for _, name := range b.commands() {
		if name == "KEYS" || name == "SCAN" {
			t.Errorf("a worker ran %s", name)
		}
	}
}

// emptyRestartScenario: the lease is lost under a live worker, which takes it
// again before anybody can miss it.
func emptyRestartScenario(t *testing.T, b *backend) {
	w := newWorker(t, b, nil)
	w.start()
	w.attach("boot-1")
	w.join(players(0, 10)...)
	if err := w.store.client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sessions are resumed", func() bool {
		checkout, err := w.store.Inspect(t.Context(), player(9))
		return err == nil && checkout.Holder.Server == "lobby"
	})
	eventually(t, "the sessions are listed again", func() bool {
		listed, err := w.store.Listed(t.Context())
		return err == nil && len(listed) == 10
	})
	wantLogged(t, w.log, "cause=lease-missing")
	if !w.lease.Held() {
		t.Error("the lease is not held")
	}
	wantUnsaved(t, w.stop())
}
