package driver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// TestIdlePlayersAreDropped is law L8: 10,000 players come, wait, and go, and
// nothing of them stays: no entry, watch, timer or goroutine. A goroutine or
// timer that stayed would keep the bubble from ending.
func TestIdlePlayersAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const players = 10_000
		registry := prometheus.NewRegistry()
		b := newBench(t, machine(comeAndGo), driver.Config{Registerer: registry})
		var group sync.WaitGroup
		for n := range players {
			group.Go(func() {
				if _, err := b.Join(t.Context(), playerNumber(n), "p", time.Duration(n)*time.Millisecond); err == nil {
					t.Error("got a grant, want a refusal")
				}
			})
		}
		synctest.Wait()
		if got := metric(t, registry, "syncworker_driver_players"); got != players-1 {
			t.Errorf("got %v players in the middle, want %d", got, players-1)
		}
		if got := b.watcher.watched(); got != players-1 {
			t.Errorf("got %v watches in the middle, want %d", got, players-1)
		}
		group.Wait()
		wantNothingLeft(t, b)
		if got := metric(t, registry, "syncworker_driver_players"); got != 0 {
			t.Errorf("got %v players at the end, want 0", got)
		}
		if left := b.WaitQuiet(t.Context()); left != nil {
			t.Errorf("got %d players not quiet", len(left))
		}
	})
}

// comeAndGo waits for a deadline with every kind of thing that could leak still
// on, also another timer far away.
func comeAndGo(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
	switch e := event.(type) {
	case handoff.Join:
		s.idle, s.notes = false, e.Request
		return s, []handoff.Action{
			handoff.Watch{Key: handoff.KeyCheckout},
			handoff.SetTimer{Timer: handoff.TimerLook, At: at.Add(time.Hour)},
			handoff.SetTimer{Timer: handoff.TimerDeadline, At: e.Deadline},
		}
	case handoff.TimerFired:
		s.idle = true
		return s, []handoff.Action{
			handoff.Reply{Request: s.notes.(handoff.RequestID), Result: &handoff.Refusal{Reason: handoff.ReasonHeld}},
			handoff.Delist{},
		}
	default:
		return s, accept(event)
	}
}

// TestTimersMoveAndStop sets, moves and stops the timers of one player.
func TestTimersMoveAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fired []string
		begun := time.Now()
		b := newBench(t, machine(func(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
			s.idle = false
			actions := accept(event)
			after := func(timer handoff.Timer, seconds int) handoff.SetTimer {
				return handoff.SetTimer{Timer: timer, At: begun.Add(time.Duration(seconds) * time.Second)}
			}
			switch e := event.(type) {
			case handoff.Confirm:
				actions = append(actions,
					after(handoff.TimerDeadline, 5), after(handoff.TimerLook, 3), after(handoff.TimerRetry, 4),
					after(handoff.TimerDeadline, 2), after(handoff.TimerLook, 6), handoff.StopTimer{Timer: handoff.TimerRetry},
					handoff.StopTimer{Timer: handoff.TimerStore})
			case handoff.TimerFired:
				fired = append(fired, fmt.Sprint(e.Timer, "@", at.Sub(begun)))
				if e.Timer == handoff.TimerDeadline {
					// One that is due already fires at once.
					actions = append(actions, after(handoff.TimerForget, 0))
				}
			}
			return s, actions
		}), driver.Config{})
		if err := b.Confirm(t.Context(), sessionOf(1), true, ""); err != nil {
			t.Fatalf("confirm: %v", err)
		}
		<-time.After(time.Minute)
		synctest.Wait()
		got := fmt.Sprint(fired)
		want := fmt.Sprint([]string{
			fmt.Sprint(handoff.TimerDeadline, "@2s"), fmt.Sprint(handoff.TimerForget, "@2s"), fmt.Sprint(handoff.TimerLook, "@6s"),
		})
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// TestUnwatchEndsLooks lets a look come after Unwatch, as a watcher may.
func TestUnwatchEndsLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks int
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			s.idle = false
			switch event.(type) {
			case handoff.Join:
				return s, append(accept(event), handoff.Watch{Key: handoff.KeyCheckout})
			case handoff.Look:
				looks++
				return s, []handoff.Action{handoff.Unwatch{Key: handoff.KeyCheckout}, handoff.Unwatch{Key: handoff.KeyUpdate}}
			}
			return s, accept(event)
		}), driver.Config{})
		mustJoin(t, b, 1)
		var late func(handoff.LookCause)
		for _, look := range b.watcher.looks {
			late = look
		}
		late(handoff.LookReady)
		synctest.Wait()
		late(handoff.LookChanged)
		synctest.Wait()
		if looks != 1 {
			t.Errorf("got %d looks, want 1", looks)
		}
	})
}

// TestWaitQuiet waits for a save under way, and gives up with a list.
func TestWaitQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(saver), driver.Config{})
		mustJoin(t, b, 1)
		mustJoin(t, b, 2)
		b.store.hook = func(context.Context, handoff.PlayerID, string) error {
			<-time.After(2 * time.Second)
			return nil
		}
		go func() { _, _ = b.Quit(t.Context(), sessionOf(1), nil) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if left := b.WaitQuiet(ctx); len(left) != 2 {
			t.Errorf("got %d players left, want 2", len(left))
		}
		go func() { _, _ = b.Quit(t.Context(), sessionOf(2), nil) }()
		begun := time.Now()
		if left := b.WaitQuiet(t.Context()); left != nil {
			t.Errorf("got %v left, want none", left)
		}
		// Check-in and delisting of player 2, one after the other.
		if took := time.Since(begun); took != 4*time.Second {
			t.Errorf("quiet after %v, want 4s", took)
		}
	})
}

// TestBroadcasts checks who hears of End, EndAll and VerifyAll.
func TestBroadcasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const players = 1000
		var mu sync.Mutex
		heard := make(map[string]int)
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			s.idle, s.sum.Live = false, true
			mu.Lock()
			defer mu.Unlock()
			switch e := event.(type) {
			case handoff.Verify:
				heard["verify"]++
			case handoff.End:
				heard[e.Reason.String()]++
				s.idle, s.sum.Live = true, false
				lost := handoff.TellLost{Session: handoff.SessionID{Player: s.player, Fence: 1}, Reason: handoff.ReasonSessionLost}
				return s, []handoff.Action{lost}
			}
			return s, accept(event)
		}), driver.Config{})
		for n := range players {
			mustJoin(t, b, n)
		}
		b.VerifyAll(handoff.Verify{})
		b.End(sessionOf(1), handoff.EndOperator)
		b.End(sessionOf(players+1), handoff.EndOperator)
		synctest.Wait()
		if _, known := b.Summary(playerNumber(1)); known {
			t.Error("player 1 is still known after End")
		}
		if sum, known := b.Summary(playerNumber(2)); !known || sum.Player != playerNumber(2) {
			t.Errorf("got %+v, %v for player 2, want its summary", sum, known)
		}
		b.EndAll(handoff.EndGameGone)
		wantNothingLeft(t, b)
		got := fmt.Sprint(heard)
		if want := fmt.Sprintf("map[game-gone:%d operator:1 verify:%d]", players-1, players); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := len(b.game.lost); got != players {
			t.Errorf("the game was told of %d losses, want %d", got, players)
		}
	})
}

// TestClose closes with joins waiting, operations in flight and others queued.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		b := newBench(t, waiter(&seen), driver.Config{MaxClaims: 1})
		refused := make(chan error, 2)
		go func() {
			_, err := b.Join(t.Context(), playerNumber(1), "p", time.Minute)
			refused <- err
		}()
		synctest.Wait()
		quiet := make(chan []handoff.Summary, 1)
		b.Close()
		wantReason(t, <-refused, handoff.ReasonDraining)
		_, err := b.Quit(t.Context(), sessionOf(1), nil)
		wantReason(t, err, handoff.ReasonDraining)
		go func() { quiet <- b.WaitQuiet(t.Context()) }()
		<-quiet
		b.Close()
		b.VerifyAll(handoff.Verify{})
		b.End(sessionOf(1), handoff.EndOperator)
		b.watcher.tell(handoff.LookResync)
		<-time.After(time.Hour)
		if got := fmt.Sprint(seen); got != "[join]" {
			t.Errorf("got %s, want nothing stepped after Close", got)
		}
		if got := b.watcher.watched(); got != 0 {
			t.Errorf("got %d watches after Close, want 0", got)
		}
		if got := len(b.Summaries()); got != 1 {
			t.Errorf("got %d summaries after Close, want the one that was left", got)
		}
	})
}

// TestCloseWaitsForOperations has one operation in flight and one queued.
func TestCloseWaitsForOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(saver), driver.Config{MaxClaims: 1})
		b.store.hook = func(ctx context.Context, _ handoff.PlayerID, _ string) error { return hang(ctx) }
		refused := make(chan error, 2)
		for n := range 2 {
			go func() {
				_, err := b.Join(t.Context(), playerNumber(n), "p", time.Minute)
				refused <- err
			}()
		}
		synctest.Wait()
		left := make(chan int, 1)
		go func() { left <- len(b.WaitQuiet(t.Context())) }()
		synctest.Wait()
		begun := time.Now()
		closed := make(chan struct{})
		go func() {
			b.Close()
			close(closed)
		}()
		wantReason(t, <-refused, handoff.ReasonDraining)
		wantReason(t, <-refused, handoff.ReasonDraining)
		if got := <-left; got != 2 {
			t.Errorf("WaitQuiet returned %d players, want 2", got)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("callers waited %v for Close, want 0s", took)
		}
		<-closed
		if took := time.Since(begun); took != driver.DefaultRedisTimeout {
			t.Errorf("Close took %v, want the operation's timeout, %v", took, driver.DefaultRedisTimeout)
		}
		if got := len(b.store.log()); got != 1 {
			t.Errorf("got %d operations, want 1: the queued one must not begin", got)
		}
	})
}

// TestCloseDuringEverything closes in the middle of a random load; every
// request must be answered and nothing may be left. Run it with -race.
func TestCloseDuringEverything(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) { closeDuringEverything(t, seed) })
	}
}

func closeDuringEverything(t *testing.T, seed uint64) {
	b := newBench(t, machine(restless), driver.Config{MaxClaims: 2, MaxRedisOps: 2, MaxStores: 2})
	slow := func(ctx context.Context, _ handoff.PlayerID, _ string) error {
		select {
		case <-time.After(rand.N(20 * time.Millisecond)):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.store.hook, b.archive.hook = slow, slow
	var group sync.WaitGroup
	for caller := range 50 {
		group.Go(func() { hop(b, rand.New(rand.NewPCG(seed, uint64(caller)))) })
	}
	group.Go(func() {
		for range 50 {
			<-time.After(rand.N(10 * time.Millisecond))
			b.watcher.tell(handoff.LookResync)
			b.VerifyAll(handoff.Verify{})
			b.Summaries()
			b.Petition(playerNumber(rand.IntN(20)), handoff.Petitioned{By: "lobby", Fence: 1})
			b.Adopt(sessionOf(rand.IntN(20)), "p")
		}
	})
	<-time.After(200 * time.Millisecond)
	b.StopJoins()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b.WaitWrites(ctx)
	b.WaitQuiet(ctx)
	b.EndAll(handoff.EndDraining)
	b.Close()
	group.Wait()
	if got := b.watcher.watched(); got != 0 {
		t.Errorf("seed %d: got %d watches after Close, want 0", seed, got)
	}
}

// restless is saver with watches and timers that come and go, and with a bug.
func restless(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
	s, actions := saver(s, at, event)
	switch e := event.(type) {
	case handoff.Join:
		actions = append(actions, handoff.Watch{Key: handoff.KeyCheckout}, handoff.ReadNewest{},
			handoff.SetTimer{Timer: handoff.TimerLook, At: at.Add(rand.N(30 * time.Millisecond))})
	case handoff.Claimed:
		actions = append(actions, handoff.Unwatch{Key: handoff.KeyCheckout}, handoff.StopTimer{Timer: handoff.TimerLook})
	case handoff.TimerFired:
		actions = append(actions, handoff.SetTimer{Timer: e.Timer, At: at.Add(time.Millisecond)})
	case handoff.Written:
		spooled := &handoff.Snapshot{ID: handoff.SnapshotID{1}, Player: s.player}
		actions = append(actions, handoff.Spool{Entry: handoff.SpoolEntry{Snapshot: spooled}}, handoff.Unspool{})
		if rand.IntN(20) == 0 {
			panic("now and then, at an answer")
		}
	case handoff.Look:
		if rand.IntN(20) == 0 {
			panic("now and then")
		}
	}
	return s, actions
}

// hop joins, saves and quits random players until the driver drains.
func hop(b *bench, random *rand.Rand) {
	for {
		// Somebody must rest, or the bubble's clock stands still.
		<-time.After(time.Millisecond)
		n := random.IntN(20)
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(100))*time.Millisecond)
		_, err := b.Join(ctx, playerNumber(n), "p", time.Minute)
		cancel()
		if isReason(err, handoff.ReasonDraining) {
			return
		}
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(random.IntN(100))*time.Millisecond)
		_, _ = b.Save(ctx, sessionOf(n), nil)
		_, _ = b.Quit(ctx, sessionOf(n), nil)
		cancel()
	}
}
