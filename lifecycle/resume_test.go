package lifecycle_test

import (
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
)

// resumeScenario: a worker dies under a game that plays on. The game names its
// sessions to the next one: they go on, except for the one that another server
// took over; whom it does not name is free at once.
func resumeScenario(t *testing.T, b *backend) {
	dead := newWorker(t, b, nil)
	dead.start()
	dead.attach("boot-1")
	sessions := dead.join(players(0, 10)...)
	forAll(sessions, func(i int, session handoff.SessionID) {
		if _, err := dead.driver.Save(t.Context(), session, capture(i, "before")); err != nil {
			t.Errorf("Save: %v", err)
		}
	})
	dead.kill()
	arena := b.store(t, "arena", "arena")
	eventually(t, "the dead worker's lease ends", func() bool {
		value, _, err := arena.ReadLease(t.Context(), lobby)
		return err == nil && value == ""
	})
	taken := arena.Claim(t.Context(), player(0), handoff.Claim{Over: handoff.Holder{Server: lobby, Fence: sessions[0].Fence}})
	if !taken.TakenOver {
		t.Fatalf("take-over: %+v", taken)
	}
	next := newWorker(t, b, nil)
	next.archive.rows = dead.archive.rows
	next.start()
	_, answer := next.reattach("boot-1", sessions[:8]...)
	if len(answer.Resumed) != 7 || len(answer.Lost) != 1 || answer.Lost[0] != sessions[0] {
		t.Errorf("resumed %d and lost %v, want all but the one taken over", len(answer.Resumed), answer.Lost)
	}
	eventually(t, "the players who were not named are free", func() bool {
		listed, err := next.store.Listed(t.Context())
		return err == nil && len(listed) == 7
	})
	next.store.wantHolder(t, "", players(8, 10)...)
	next.store.wantHolder(t, lobby, players(1, 8)...)
	next.store.wantHolder(t, "arena", player(0))
	for i, session := range sessions[1:8] {
		if _, err := next.driver.Quit(t.Context(), session, capture(i+100, "final")); err != nil {
			t.Errorf("Quit of a resumed session: %v", err)
		}
	}
	if _, err := next.driver.Save(t.Context(), sessions[0], capture(200, "stale")); !isRefusal(err, handoff.ReasonSessionLost) && !isRefusal(err, handoff.ReasonNoSession) {
		t.Errorf("Save of the session taken over: %v", err)
	}
	if err := next.stop(); err != nil {
		t.Error(err)
	}
}
