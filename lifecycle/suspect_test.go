package lifecycle_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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
		if !w.lease.Suspect() {
			t.Error("an order to resume that was queued before the round would not be strict")
		}
		time.Sleep(5 * time.Second)
		if w.lease.Suspect() {
			t.Error("suspect after the settle period of the round")
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
		synctest.Wait()
		// Redis was silent for nearly a lease, which is a reason to settle.
		if suspect, rounds := r.suspects(); rounds != 1 || suspect > 0 || w.lease.Suspect() {
			t.Errorf("suspect: %v, %d rounds of which %d suspect, want one and none", w.lease.Suspect(), rounds, suspect)
		}
		if _, ok := w.settle.Settled(time.Now()); ok {
			t.Error("others' leases may have ended in the silence, and the gate is open")
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
		if !w.lease.Suspect() {
			t.Error("an order to resume that was queued before the round would not be strict")
		}
		time.Sleep(5 * time.Second)
		if w.lease.Suspect() {
			t.Error("suspect after the settle period of the round")
		}
		end()
	})
}

// TestResumeUnderSuspicion: which orders reach Redis.
func TestResumeUnderSuspicion(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		var generation atomic.Uint64
		w := newWorker(t, b, nil)
		lease, err := lifecycle.NewLease(w.store, w.settle, lifecycle.LeaseConfig{
			Owner: lifecycle.Owner{Incarnation: "i"}, Generation: generation.Load, Logger: discard(), Metrics: lifecycle.NewMetrics(nil),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		// ask resumes a session that Redis has forgotten: a strict order finds
		// that out. It returns how strict the orders were.
		ask := func(strict, restarts bool) (orders []bool) {
			lease.Resume(handoff.Resume{Strict: strict}, func(order handoff.Resume) handoff.Written {
				orders = append(orders, order.Strict)
				if restarts {
					generation.Add(1)
				}
				if order.Strict {
					return handoff.Written{Outcome: handoff.WriteForgotten}
				}
				return handoff.Written{Outcome: handoff.WriteDone}
			})
			return orders
		}
		want := func(what string, got []bool, want ...bool) {
			t.Helper()
			if !slices.Equal(got, want) {
				t.Errorf("%s: strict orders %v, want %v", what, got, want)
			}
		}
		want("a held lease", ask(false, false), false)
		want("a held lease, strict order", ask(true, false), true)
		time.Sleep(time.Minute) // Nobody renews it.
		want("suspect", ask(false, false), true)
		want("suspect, strict order while redis restarts", ask(true, true), true)
		generation.Store(0)
		want("suspect, and redis turns out to have restarted", ask(false, true), true, false)
		want("redis had restarted", ask(false, false), false)
		generation.Store(0)
		if err := lease.Confirm(t.Context()); err != nil { // Finds it missing.
			t.Fatal(err)
		}
		want("suspect until every session has been told, whatever redis does", ask(false, true), true)
	})
}
