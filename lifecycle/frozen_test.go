package lifecycle_test

import (
	"context"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lifecycle"
)

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
