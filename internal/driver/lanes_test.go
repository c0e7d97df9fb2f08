package driver_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// saver is a small machine with real operations: a join claims, a save updates
// Redis and then stores, a quit checks in and stores on the side.
func saver(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
	open, _ := s.notes.(map[string][]handoff.RequestID)
	next := maps.Clone(open)
	if next == nil {
		next = make(map[string][]handoff.RequestID)
	}
	snapshot := &handoff.Snapshot{ID: handoff.SnapshotID{1}, Player: s.player}
	var actions []handoff.Action
	settle := func(key string, result handoff.Result) {
		for _, request := range next[key] {
			actions = append(actions, handoff.Reply{Request: request, Result: result})
		}
		delete(next, key)
	}
	keep := func(key string, request handoff.RequestID) {
		next[key] = append(slices.Clone(next[key]), request)
	}
	switch e := event.(type) {
	case handoff.Join:
		keep("join", e.Request)
		actions = append(actions, handoff.Claim{Attempt: 7})
	case handoff.CancelJoin:
		next["join"] = slices.DeleteFunc(slices.Clone(next["join"]), func(r handoff.RequestID) bool { return r == e.Request })
	case handoff.Claimed:
		if e.Outcome == handoff.ClaimGranted {
			s.sum.Live = true
			settle("join", &handoff.Grant{Source: handoff.SourceNew, HandedOverBy: "a"})
		} else {
			settle("join", &handoff.Refusal{Reason: handoff.ReasonRedis, Err: e.Err})
		}
	case handoff.Save:
		keep("save", e.Request)
		actions = append(actions, handoff.Update{Op: 8, Snapshot: snapshot})
	case handoff.Quit:
		keep("quit", e.Request)
		actions = append(actions, handoff.CheckIn{Op: 9, Snapshot: snapshot})
	case handoff.Written:
		switch {
		case e.Outcome != handoff.WriteDone:
			settle("save", &handoff.Refusal{Reason: handoff.ReasonRedis, Err: e.Err})
			settle("quit", &handoff.Refusal{Reason: handoff.ReasonRedis, Err: e.Err})
		case e.Op == 9:
			s.sum.Live = false
			settle("quit", &handoff.Receipt{State: handoff.StateCurrent})
			actions = append(actions, handoff.Delist{})
		default:
			actions = append(actions, handoff.Store{Snapshot: snapshot, As: handoff.AsCurrent})
		}
	case handoff.Stored:
		settle("save", &handoff.Receipt{Snapshot: e.ID, State: handoff.StateCurrent})
	default:
		actions = append(actions, accept(event)...)
	}
	s.notes = next
	s.idle = !s.sum.Live && len(next["join"])+len(next["save"])+len(next["quit"]) == 0
	return s, actions
}

// hang blocks until the operation's context ends.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestHangingStoreDoesNotDelayRedis is law L7 inside one player: a database
// that hangs must not hold up the hand-over.
func TestHangingStoreDoesNotDelayRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(saver), driver.Config{})
		b.archive.hook = func(ctx context.Context, _ handoff.PlayerID, _ string) error { return hang(ctx) }
		mustJoin(t, b, 1)
		saved := make(chan error, 1)
		go func() {
			_, err := b.Save(t.Context(), sessionOf(1), nil)
			saved <- err
		}()
		synctest.Wait()

		begun := time.Now()
		if _, err := b.Quit(t.Context(), sessionOf(1), nil); err != nil {
			t.Fatalf("quit: %v", err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("quit took %v behind a hanging store, want 0s", took)
		}
		if err := <-saved; err != nil {
			t.Errorf("save: %v", err)
		}
		if took := time.Since(begun); took != driver.DefaultStoreTimeout {
			t.Errorf("the store ended after %v, want its timeout, %v", took, driver.DefaultStoreTimeout)
		}
	})
}

// TestHangingPlayerDoesNotDelayOthers is T40: with one player's Redis and
// database calls hanging, 1,000 others join and quit in no time at all.
func TestHangingPlayerDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(saver), driver.Config{MaxClaims: 2, MaxRedisOps: 2, MaxStores: 2})
		hook := func(ctx context.Context, player handoff.PlayerID, _ string) error {
			if player == playerNumber(0) {
				return hang(ctx)
			}
			return nil
		}
		b.store.hook, b.archive.hook = hook, hook
		stuck := make(chan error, 1)
		go func() {
			_, err := b.Join(t.Context(), playerNumber(0), "stuck", time.Minute)
			stuck <- err
		}()
		synctest.Wait()

		begun := time.Now()
		for n := 1; n <= 1000; n++ {
			mustJoin(t, b, n)
			if _, err := b.Quit(t.Context(), sessionOf(n), nil); err != nil {
				t.Fatalf("quit: %v", err)
			}
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("others took %v, want 0s", took)
		}
		wantReason(t, <-stuck, handoff.ReasonRedis)
		if took := time.Since(begun); took != driver.DefaultRedisTimeout {
			t.Errorf("the hanging claim ended after %v, want %v", took, driver.DefaultRedisTimeout)
		}
	})
}

// TestHangingClaimsDoNotDelayQuits takes all slots of claims: who leaves must
// not wait behind who comes.
func TestHangingClaimsDoNotDelayQuits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(saver), driver.Config{MaxClaims: 2})
		mustJoin(t, b, 0)
		b.store.hook = func(ctx context.Context, _ handoff.PlayerID, operation string) error {
			if operation == "claim" {
				return hang(ctx)
			}
			return nil
		}
		for n := 1; n <= 10; n++ {
			go func() { _, _ = b.Join(t.Context(), playerNumber(n), "p", time.Minute) }()
		}
		synctest.Wait()
		begun := time.Now()
		if _, err := b.Quit(t.Context(), sessionOf(0), nil); err != nil {
			t.Errorf("quit: %v", err)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("quit took %v behind hanging claims, want 0s", took)
		}
	})
}

// TestOperationsAreBounded checks the bound over all players, one operation at
// a time per player and lane, and turns in the order of asking.
func TestOperationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bound, players, each = 3, 10, 4
		var running, most atomic.Int64
		var mine [players]atomic.Int64
		var order []int
		numbers := make(map[handoff.PlayerID]int)
		for n := range players {
			numbers[playerNumber(n)] = n
		}
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			actions := accept(event)
			if _, ok := event.(handoff.Confirm); ok {
				for range each {
					actions = append(actions, handoff.Delist{})
				}
			}
			return s, actions
		}), driver.Config{MaxRedisOps: bound})
		turn := make(chan struct{}, 1)
		turn <- struct{}{}
		b.store.hook = func(_ context.Context, player handoff.PlayerID, _ string) error {
			n := numbers[player]
			<-turn
			order = append(order, n)
			turn <- struct{}{}
			if mine[n].Add(1) > 1 {
				t.Error("one player has two operations in flight in one lane")
			}
			most.Store(max(most.Load(), running.Add(1)))
			<-time.After(time.Second)
			running.Add(-1)
			mine[n].Add(-1)
			return nil
		}
		for n := range players {
			if err := b.Confirm(t.Context(), sessionOf(n), true, ""); err != nil {
				t.Fatalf("confirm: %v", err)
			}
			synctest.Wait()
		}
		if left := b.WaitQuiet(t.Context()); left != nil {
			t.Fatalf("still busy: %v", left)
		}
		if got := most.Load(); got != bound {
			t.Errorf("got at most %d operations at once, want %d", got, bound)
		}
		wantTurns(t, order, players, each)
	})
}

// wantTurns checks that nobody got turn k+1 before everybody had had turn k-1:
// the queue of those who wait is fair.
func wantTurns(t *testing.T, order []int, players, each int) {
	t.Helper()
	if len(order) != players*each {
		t.Fatalf("got %d operations, want %d", len(order), players*each)
	}
	had := make([]int, players)
	for _, n := range order {
		had[n]++
		for other, count := range had {
			if had[n] > count+2 {
				t.Fatalf("player %d has had %d turns while player %d has had %d; order %v", n, had[n], other, count, order)
			}
		}
	}
}

// TestLanesKeepOrder checks that one lane's operations run as they were asked
// for, and that their outcomes come back in that order with their numbers.
func TestLanesKeepOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var outcomes []string
		snapshot := &handoff.Snapshot{ID: handoff.SnapshotID{5}, Player: playerNumber(1)}
		b := newBench(t, machine(func(s state, _ time.Time, event handoff.Event) (state, []handoff.Action) {
			actions := accept(event)
			switch e := event.(type) {
			case handoff.Confirm:
				actions = append(actions, handoff.CheckLease{Attempt: 1}, handoff.Claim{Attempt: 2},
					handoff.Update{Op: 3, Snapshot: snapshot}, handoff.CheckIn{Op: 4, Snapshot: snapshot},
					handoff.Release{Op: 5}, handoff.Resume{Op: 6}, handoff.Sweep{Op: 7}, handoff.Expire{}, handoff.Delist{},
					handoff.Petition{To: "lobby", Fence: 8}, handoff.ReadLease{Attempt: 9, Server: "lobby"},
					handoff.ReadNewest{Attempt: 10}, handoff.Store{Snapshot: snapshot, As: handoff.AsHistory})
			case handoff.LeaseChecked:
				outcomes = append(outcomes, fmt.Sprint("lease ", e.Attempt, e.Present))
			case handoff.Claimed:
				outcomes = append(outcomes, fmt.Sprint("claimed ", e.Attempt))
			case handoff.Written:
				outcomes = append(outcomes, fmt.Sprint("written ", e.Op))
			case handoff.LeaseRead:
				outcomes = append(outcomes, fmt.Sprint("lease read ", e.Attempt, e.Present, " ", e.Incarnation))
			case handoff.NewestRead:
				if e.Attempt != 10 || !errors.Is(e.Err, handoff.ErrNoSnapshot) {
					t.Errorf("got %+v, want attempt 10 and ErrNoSnapshot", e)
				}
			case handoff.Stored:
				if e.ID != snapshot.ID || e.Err != nil {
					t.Errorf("got %+v, want snapshot %v and no error", e, snapshot.ID)
				}
			}
			return s, actions
		}), driver.Config{})
		// Redis is slow, so that everything is queued while the first one runs.
		b.store.hook = func(context.Context, handoff.PlayerID, string) error {
			<-time.After(time.Millisecond)
			return nil
		}
		if err := b.Confirm(t.Context(), sessionOf(1), true, ""); err != nil {
			t.Fatalf("confirm: %v", err)
		}
		if left := b.WaitQuiet(t.Context()); left != nil {
			t.Fatalf("still busy: %v", left)
		}
		got := fmt.Sprint(b.store.log())
		want := "[check-lease claim update check-in release resume sweep expire delist petition lobby 8 read-lease]"
		if got != want {
			t.Errorf("got operations %s\nwant %s", got, want)
		}
		got = fmt.Sprintf("%q", outcomes)
		want = `["lease 1 true" "claimed 2" "written 3" "written 4" "written 5" "written 6" "written 7" "lease read 9 true of lobby"]`
		if got != want {
			t.Errorf("got outcomes %s\nwant %s", got, want)
		}
	})
}

// TestSnapshotsArePackedOnce checks that the database gets the bytes that Redis
// got, and that a player at rest keeps none.
func TestSnapshotsArePackedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(saver), driver.Config{})
		mustJoin(t, b, 1)
		for range 2 {
			if _, err := b.Save(t.Context(), sessionOf(1), nil); err != nil {
				t.Fatalf("save: %v", err)
			}
			synctest.Wait()
		}
		if got := b.codec.packs.Load(); got != 2 {
			t.Errorf("got %d packs for two saves, want 2", got)
		}
		if got := len(b.archive.stored); got != 2 {
			t.Errorf("got %d stored, want 2", got)
		}
	})
}

// TestPackingErrorsSpareRedis is T31: what cannot be packed never gets near
// Redis, and the machine learns why.
func TestPackingErrorsSpareRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, machine(saver), driver.Config{})
		mustJoin(t, b, 1)
		b.codec.err = fmt.Errorf("pack: %w", handoff.ErrTooLarge)
		_, err := b.Save(t.Context(), sessionOf(1), nil)
		if !errors.Is(err, handoff.ErrTooLarge) {
			t.Errorf("got %v, want an error that wraps ErrTooLarge", err)
		}
		if got := fmt.Sprint(b.store.log()); got != "[claim]" {
			t.Errorf("got operations %s, want [claim]", got)
		}
	})
}
