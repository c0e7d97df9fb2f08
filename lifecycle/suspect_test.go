package lifecycle_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lifecycle"
)

// freezer keeps a worker from Redis, as far as its lease goes, like a process
// that is stopped, or a network that is cut.
type freezer struct {
	mu     sync.Mutex
	frozen chan struct{}
}

func (f *freezer) freeze() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = make(chan struct{})
}

func (f *freezer) wake() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.frozen)
	f.frozen = nil
}

// wait is a hook for renewals.
func (f *freezer) wait() error {
	f.mu.Lock()
	frozen := f.frozen
	f.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
	return nil
}

// rounds notes what each Round says, and holds up those that it is told to.
type rounds struct {
	seen chan lifecycle.Round

	mu   sync.Mutex
	hold chan struct{}
}

// holdUp makes each round from now on end when the channel has something, or is
// closed.
func (r *rounds) holdUp() chan<- struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold = make(chan struct{}, 10)
	return r.hold
}

func (r *rounds) note(round lifecycle.Round) {
	r.mu.Lock()
	hold := r.hold
	r.mu.Unlock()
	r.seen <- round
	if hold != nil {
		<-hold
	}
}

func watchRounds(w *worker) *rounds {
	r := &rounds{seen: make(chan lifecycle.Round, 100)}
	w.settle.OnBegin(r.note)
	return r
}

// suspects empties the channel and tells how many rounds were suspect.
func (r *rounds) suspects() (suspects, all int) {
	for {
		select {
		case round := <-r.seen:
			all++
			if round.Suspect {
				suspects++
			}
		default:
			return suspects, all
		}
	}
}

// leased starts what keeps a lease up, and what settles.
func leased(t *testing.T, b *backend) (w *worker, f *freezer, r *rounds, end func()) {
	t.Helper()
	w, f = newWorker(t, b, nil), &freezer{}
	w.store.renewals = f.wait
	r = watchRounds(w)
	if err := w.lease.Acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	renewing, settling := executed(w.lease.Execute), executed(w.settle.Execute)
	return w, f, r, func() {
		w.lease.Interrupt(nil)
		w.settle.Interrupt(nil)
		wantEnd(t, renewing)
		wantEnd(t, settling)
	}
}

// TestSuspectAfterFreeze is rule R7: the sessions of a worker that was frozen
// beyond its lease are suspect from the moment its own clock says so until every
// one of them has been told.
func TestSuspectAfterFreeze(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, f, r, end := leased(t, b)
		time.Sleep(20 * time.Second)
		r.suspects()
		gate := lifecycle.NewGate(w.settle, w.lease)
		if w.lease.Suspect() {
			t.Error("suspect with a lease that is renewed")
		}
		f.freeze()
		for w.lease.Held() {
			if w.lease.Suspect() {
				t.Fatal("suspect while the lease is held")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !w.lease.Suspect() {
			t.Error("not suspect although the term is over by our own clock")
		}
		if until, open := gate.Settled(time.Now()); open || !until.After(time.Now()) {
			t.Errorf("the gate is open: %v, shut until %v", open, until)
		}
		time.Sleep(20 * time.Second)
		w.wantLease(b, false)
		hold := r.holdUp()
		f.wake()
		began := time.Now()
		<-r.seen // The round has begun, and is held up.
		if took := time.Since(began); took > time.Second {
			t.Errorf("the round began %v after the worker woke up", took)
		}
		for !w.lease.Held() {
			time.Sleep(10 * time.Millisecond)
		}
		if !w.lease.Suspect() {
			t.Error("not suspect any more, although not every session has been told")
		}
		close(hold)
		synctest.Wait()
		if w.lease.Suspect() {
			t.Error("suspect after the round")
		}
		if got := counted(t, w.registry, "syncworker_lifecycle_lease_suspicions_total"); got != 1 {
			t.Errorf("%v suspicions counted, want 1", got)
		}
		wantLogged(t, w.log, "had ended while redis stayed up")
		end()
	})
}

// TestSuspicionPassesWhenTheLeaseWasThere: our clock counts less than the whole
// TTL; a lease that is still there after that never ended.
func TestSuspicionPassesWhenTheLeaseWasThere(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, f, r, end := leased(t, b)
		time.Sleep(10*time.Second + time.Millisecond) // Just renewed.
		r.suspects()
		f.freeze()
		time.Sleep(9100 * time.Millisecond)
		if !w.lease.Suspect() {
			t.Error("not suspect although the term is over by our own clock")
		}
		f.wake()
		for !w.lease.Held() {
			time.Sleep(time.Millisecond)
		}
		if suspect, rounds := r.suspects(); rounds > 0 || w.lease.Suspect() {
			t.Errorf("suspect: %v, %d rounds of which %d suspect, want none", w.lease.Suspect(), rounds, suspect)
		}
		end()
	})
}

// TestForgottenLeaseIsNotSuspect: what Redis forgot within our term, nobody can
// have taken over.
func TestForgottenLeaseIsNotSuspect(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, _, r, end := leased(t, b)
		time.Sleep(20 * time.Second)
		r.suspects()
		if err := w.store.client.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if suspect, all := r.suspects(); all == 0 || suspect > 0 || w.lease.Suspect() {
			t.Errorf("%d rounds, %d of them suspect, suspect now: %v; want rounds and no suspicion", all, suspect, w.lease.Suspect())
		}
		end()
	})
}

// TestRestartedRedisIsNotSuspect: Redis was away, and is another process: what it
// does not know, it has forgotten.
func TestRestartedRedisIsNotSuspect(t *testing.T) {
	for name, keep := range map[string]bool{"empty": false, "with its data": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *backend) {
				w, _, r, end := leased(t, b)
				time.Sleep(20 * time.Second)
				r.suspects()
				b.dev.Halt()
				time.Sleep(time.Minute)
				if !w.lease.Suspect() {
					t.Error("not suspect although nobody knows yet why redis is silent")
				}
				if err := b.dev.Restart(keep); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				if suspect, all := r.suspects(); all == 0 || suspect > 0 || w.lease.Suspect() {
					t.Errorf("%d rounds, %d of them suspect, suspect now: %v; want rounds and no suspicion", all, suspect, w.lease.Suspect())
				}
				end()
			})
		})
	}
}

// TestSuspicionDuringARound: a round that began before the suspicion has not
// told anybody of it.
func TestSuspicionDuringARound(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, f, r, end := leased(t, b)
		time.Sleep(20 * time.Second)
		r.suspects()
		hold := r.holdUp()
		w.settle.Begin(lifecycle.CauseResync)
		if round := <-r.seen; round.Suspect {
			t.Error("suspect before the freeze")
		}
		f.freeze()
		time.Sleep(30 * time.Second)
		f.wake()
		for !w.lease.Held() {
			time.Sleep(10 * time.Millisecond)
		}
		hold <- struct{}{} // The round from before the freeze ends now.
		if round := <-r.seen; !round.Suspect {
			t.Error("the round after it is not suspect")
		}
		if !w.lease.Suspect() {
			t.Error("the round from before the freeze ended the suspicion")
		}
		close(hold)
		synctest.Wait()
		if w.lease.Suspect() {
			t.Error("suspect after the round")
		}
		end()
	})
}

// frozenScenario: a worker is frozen beyond its lease. Meanwhile another server
// takes some of its players over, and Redis forgets others, so that a take-over
// of those would have left no trace. Whom nobody touched plays on.
func frozenScenario(t *testing.T, b *backend) {
	f := &freezer{}
	w := newWorker(t, b, nil)
	w.store.renewals = f.wait
	w.start()
	stream := w.attach("boot-1")
	sessions := w.join(players(0, 9)...)
	f.freeze()
	arena := b.store(t, "arena", "arena")
	eventually(t, "the lease ends", func() bool {
		value, _, err := arena.ReadLease(t.Context(), lobby)
		return err == nil && value == ""
	})
	for i, session := range sessions[:3] {
		taken := arena.Claim(t.Context(), session.Player, handoff.Claim{Over: handoff.Holder{Server: lobby, Fence: session.Fence}})
		if !taken.TakenOver {
			t.Errorf("take-over of player %d: %+v", i, taken)
		}
	}
	for _, id := range players(3, 6) {
		w.store.client.Del(t.Context(), b.space.Checkout(id), b.space.Fence(id))
	}
	f.wake()
	lost := map[handoff.PlayerID]handoff.ServerID{}
	for len(lost) < 6 {
		select {
		case event := <-stream.Events():
			if told, ok := event.(gamelink.SessionLost); ok {
				lost[told.Session.Player] = told.NewHolder
			}
		case <-time.After(time.Minute):
			t.Fatalf("the game was told of the loss of %v, want players 0 to 5", lost)
		}
	}
	for n, id := range players(0, 6) {
		want := handoff.ServerID("arena")
		if n >= 3 {
			want = ""
		}
		if by, told := lost[id]; !told || by != want {
			t.Errorf("loss of player %d: told %v, by %q, want by %q", n, told, by, want)
		}
	}
	w.store.wantHolder(t, "arena", players(0, 3)...)
	w.store.wantHolder(t, "", players(3, 6)...)
	w.store.wantHolder(t, lobby, players(6, 9)...)
	for i, session := range sessions[6:] {
		if _, err := w.driver.Quit(t.Context(), session, capture(i, "final")); err != nil {
			t.Errorf("Quit of a session nobody touched: %v", err)
		}
	}
	if err := w.stop(); err != nil {
		t.Error(err)
	}
}

// TestEmptyRedisAfterLongOutage: Redis was away for longer than the lease and
// comes back empty. It forgot, nobody took anything over: the sessions go on.
func TestEmptyRedisAfterLongOutage(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, sessions := inside(t, b)
		stream := w.attach("boot-1")
		b.dev.Halt()
		w.settle.Begin(lifecycle.CauseResync) // It had been back for a moment.
		time.Sleep(3 * b.ttl)
		if err := b.dev.Restart(false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		select {
		case event := <-stream.Events():
			t.Errorf("the game was told %+v", event)
		default:
		}
		w.store.wantHolder(t, lobby, players(0, 10)...)
		for i, session := range sessions {
			if _, err := w.driver.Quit(context.Background(), session, capture(i, "final")); err != nil {
				t.Errorf("Quit: %v", err)
			}
		}
		if err := w.stop(); err != nil {
			t.Error(err)
		}
	})
}
