package lifecycle_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/run"

	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lifecycle"
)

// inside starts a worker with some players on it.
func inside(t *testing.T, b *backend) (*worker, []handoff.SessionID) {
	t.Helper()
	w := newWorker(t, b, nil)
	w.start()
	return w, w.join(players(0, 10)...)
}

func (w *worker) wantLease(b *backend, present bool) {
	w.t.Helper()
	if n := w.store.client.Exists(w.t.Context(), b.space.Lease("lobby")).Val(); (n == 1) != present {
		w.t.Errorf("the lease is there: %v, want %v", n == 1, present)
	}
}

func TestDrainWithoutGame(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, _ := inside(t, b)
		began := time.Now()
		wantUnsaved(t, w.stop())
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v, waiting for saves that cannot come", took)
		}
		w.store.wantHolder(t, "", players(0, 10)...)
		w.store.wantListed(t)
		w.wantLease(b, false)
		wantLogged(t, w.log, "stopping: signal=interrupt", "player was released without a final save")
	})
}

// wantUnsaved fails unless everything was released, all ten players of these
// tests without a final save.
func wantUnsaved(t *testing.T, err error) {
	t.Helper()
	const unsaved = 10
	left, ok := errors.AsType[*lifecycle.UndrainedError](err)
	if !ok || len(left.Unsaved) != unsaved || len(left.Players) != 0 || left.Checkouts != 0 || left.Err != nil {
		t.Errorf("got %v, want %d players without a final save and nothing else", err, unsaved)
	}
}

func TestDrainGameThatDoesNotReact(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, sessions := inside(t, b)
		w.attach("boot-1")
		if _, err := w.driver.Save(t.Context(), sessions[0], capture(0, "saved")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		wantUnsaved(t, w.stop())
		if took := time.Since(began); took < b.drain || took > b.drain+time.Second {
			t.Errorf("took %v, want the drain timeout", took)
		}
		w.store.wantHolder(t, "", players(0, 10)...)
		if row := w.archive.rows[sessions[0].Player]; row == nil || string(row.Data["inventory"]) != "saved" {
			t.Errorf("the last accepted save is %+v", row)
		}
	})
}

func TestDrainEndsWithTheLastQuit(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, sessions := inside(t, b)
		stream := w.attach("boot-1")
		began := time.Now()
		go func() {
			<-stream.Events()
			for i, session := range sessions {
				time.Sleep(100 * time.Millisecond)
				if _, err := w.driver.Quit(t.Context(), session, capture(i, "final")); err != nil {
					t.Errorf("Quit: %v", err)
				}
			}
		}()
		if err := w.stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 1100*time.Millisecond {
			t.Errorf("took %v, the last player quit after 1 s", took)
		}
		if _, err := w.driver.Join(t.Context(), player(99), "", time.Second); !isRefusal(err, handoff.ReasonDraining) {
			t.Errorf("Join after the drain: %v", err)
		}
	})
}

func isRefusal(err error, reason handoff.Reason) bool {
	var refusal *handoff.Refusal
	return errors.As(err, &refusal) && refusal.Reason == reason
}

func TestSecondSignal(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, _ := inside(t, b)
		w.attach("boot-1")
		began := time.Now()
		w.signals <- os.Interrupt
		time.Sleep(time.Second)
		w.signals <- os.Interrupt
		if err := <-w.ended; !errors.Is(err, lifecycle.ErrAborted) {
			t.Errorf("the group ended with %v, want ErrAborted", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		w.store.wantHolder(t, "lobby", players(0, 10)...)
		w.store.wantListed(t, players(0, 10)...)
		w.wantLease(b, true)
		wantLogged(t, w.log, "second signal")
	})
}

// TestSecondSignalWhileRedisHangs: also a call that does not return cannot hold
// up the end.
func TestSecondSignalWhileRedisHangs(t *testing.T) {
	for _, moment := range []time.Duration{time.Second, 11 * time.Second, 12500 * time.Millisecond} {
		bubble(t, func(t *testing.T, b *backend) {
			w := newWorker(t, b, nil)
			if err := w.lease.Acquire(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.join(players(0, 10)...)
			b.dev.Freeze()
			ended := executed(w.drain.Execute)
			w.signals <- os.Interrupt
			time.Sleep(moment)
			began := time.Now()
			w.signals <- os.Interrupt
			if err := <-ended; !errors.Is(err, lifecycle.ErrAborted) {
				t.Errorf("Execute() = %v, want ErrAborted", err)
			}
			if took := time.Since(began); took > 500*time.Millisecond {
				t.Errorf("the second signal took %v", took)
			}
			b.dev.Thaw()
			time.Sleep(time.Minute)
			w.link.Close()
			w.driver.Close()
			w.wantLease(b, false) // It ran out; nobody dropped it.
		})
	}
}

// TestAnotherActorFails: the API is going away at the same moment, so nobody
// can send final saves; everything else is done.
func TestAnotherActorFails(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		fail := make(chan struct{})
		w.group.Add(func() error { <-fail; return errInjected }, func(error) {})
		w.start()
		w.attach("boot-1")
		w.join(players(0, 10)...)
		began := time.Now()
		close(fail)
		if err := <-w.ended; !errors.Is(err, errInjected) {
			t.Errorf("the group ended with %v, want the actor's error", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %v, waiting for saves that cannot come", took)
		}
		w.store.wantHolder(t, "", players(0, 10)...)
		w.wantLease(b, false)
		wantLogged(t, w.log, "because a part of the worker ended", "injected fault")
	})
}

func TestAnotherActorFailsDuringTheDrain(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w := newWorker(t, b, nil)
		fail := make(chan struct{})
		w.group.Add(func() error { <-fail; return errInjected }, func(error) {})
		w.start()
		w.attach("boot-1")
		w.join(players(0, 10)...)
		began := time.Now()
		w.signals <- os.Interrupt
		time.Sleep(time.Second)
		w.store.wantHolder(t, "lobby", players(0, 10)...)
		close(fail)
		if err := <-w.ended; !errors.Is(err, errInjected) {
			t.Errorf("the group ended with %v, want the actor's error", err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v, waiting for saves that cannot come", took)
		}
		w.store.wantHolder(t, "", players(0, 10)...)
		w.wantLease(b, false)
	})
}

// TestDrainUnderForeignLease: another worker has our server ID by now; what is
// on the list may be its sessions.
func TestDrainUnderForeignLease(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		leave(t, b)
		w := newWorker(t, b, nil)
		if err := w.lease.Acquire(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.store.client.Set(t.Context(), b.space.Lease("lobby"), `{"incarnation":"other"}`, time.Minute)
		ended := executed(w.drain.Execute)
		w.signals <- os.Interrupt
		if err := <-ended; !errors.Is(err, lifecycle.ErrLeaseForeign) || !errors.Is(err, lifecycle.ErrUndrained) {
			t.Errorf("Execute() = %v, want ErrUndrained because of ErrLeaseForeign", err)
		}
		w.store.wantHolder(t, "lobby", players(0, 20)...)
		w.wantLease(b, true)
	})
}

func TestDrainWithoutRedis(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, _ := inside(t, b)
		b.dev.Halt()
		began := time.Now()
		err := w.stop()
		var undrained *lifecycle.UndrainedError
		if !errors.As(err, &undrained) || len(undrained.Players) != 10 || undrained.Err == nil {
			t.Fatalf("the group ended with %v, want 10 players and a cause", err)
		}
		if text := err.Error(); !strings.Contains(text, player(3).String()) {
			t.Errorf("the error names no player: %s", text)
		}
		if took := time.Since(began); took > b.drain+10*time.Second {
			t.Errorf("took %v", took)
		}
		wantLogged(t, w.log, "player was not drained", "checkout-left=true")
		if got := counted(t, w.registry, "syncworker_lifecycle_undrained_total"); got != 10 {
			t.Errorf("undrained counter %v, want 10", got)
		}
	})
}

// TestDrainRidesOutAHiccup: a Redis that is away for a moment at the stop must
// not leave everything behind.
func TestDrainRidesOutAHiccup(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		w, _ := inside(t, b)
		b.dev.Halt()
		time.AfterFunc(3*time.Second, func() {
			if err := b.dev.Restart(true); err != nil {
				t.Error(err)
			}
		})
		wantUnsaved(t, w.stop())
		w.store.wantHolder(t, "", players(0, 10)...)
		w.wantLease(b, false)
	})
}

// TestStartStopStress interrupts the actors at every moment of their lives,
// before Execute included. A goroutine left behind fails the bubble.
func TestStartStopStress(t *testing.T) {
	for round := range 60 {
		bubble(t, func(t *testing.T, b *backend) {
			if round%3 == 0 {
				leave(t, b)
			}
			if round%4 == 1 {
				b.dev.Intercept(func(devredis.Command) devredis.Verdict {
					return [...]devredis.Verdict{devredis.Pass, devredis.Pass, devredis.LoseAnswer, devredis.Lose}[time.Now().UnixNano()/1e6%4]
				})
			}
			w := newWorker(t, b, nil)
			if round%2 == 0 {
				if err := w.lease.Acquire(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if round%5 == 2 {
				w.restarts <- os.Interrupt
			}
			var group run.Group
			group.Add(w.settle.Execute, w.settle.Interrupt)
			group.Add(w.lease.Execute, w.lease.Interrupt)
			group.Add(w.sweeper.Execute, w.sweeper.Interrupt)
			group.Add(w.drain.Execute, w.drain.Interrupt)
			group.Add(func() error {
				var wg sync.WaitGroup
				for range 4 {
					wg.Go(func() {
						w.settle.Begin(lifecycle.CauseResync)
						w.lease.Renew()
						w.lease.Held()
						w.lease.Suspect()
						w.sweeper.Recheck()
						w.sweeper.Ghost(player(round))
					})
				}
				wg.Wait()
				time.Sleep(time.Duration(round*round*round) * 100 * time.Microsecond)
				return errInjected
			}, func(error) {})
			if err := group.Run(); !errors.Is(err, errInjected) && !errors.Is(err, lifecycle.ErrRestart) {
				t.Errorf("round %d: the group ended with %v", round, err)
			}
			w.link.Close()
			w.driver.Close()
		})
	}
}

func ExampleDrain() {
	// Whatever its error says, the worker has stopped; main chooses the exit
	// code by it.
	left := &lifecycle.UndrainedError{
		Players: []handoff.Summary{{Player: player(1), Phase: "saving"}},
		Err:     errors.New("redis does not answer"),
	}
	fmt.Println(errors.Is(left, lifecycle.ErrUndrained))
	fmt.Println(left)
	// Output:
	// true
	// lifecycle: stopped with work left: 1 players not drained (01000000-0000-0000-0000-000000000001), 0 checkouts not cleared: redis does not answer
}
