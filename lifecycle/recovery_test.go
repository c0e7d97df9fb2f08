package lifecycle_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
)

// replayCase is one answer that a spooled snapshot can get.
type replayCase struct {
	name   string
	change []func(*handoff.SpoolEntry)
	// before prepares Redis and database for the session of that fence.
	before func(s *salvage, id handoff.PlayerID, fence handoff.Fence)
	as     handoff.StoredAs
	holder handoff.ServerID
	// update is whether data_update is the snapshot's afterwards.
	update    bool
	rechecked int
}

func asHistory(e *handoff.SpoolEntry) { e.As = handoff.AsHistory }

func replayCases() []replayCase {
	return []replayCase{
		{name: "Update", as: handoff.AsCurrent, holder: "lobby", update: true},
		{name: "CheckIn", change: []func(*handoff.SpoolEntry){final}, as: handoff.AsCurrent, update: true},
		{name: "Fenced", change: []func(*handoff.SpoolEntry){final}, before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			s.moveOn(id, fence)
		}, as: handoff.AsConflict, holder: "arena"},
		{name: "Superseded", before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			s.write(id, fence, 9)
		}, as: handoff.AsHistory, holder: "lobby"},
		{name: "Forgotten", before: func(s *salvage, _ handoff.PlayerID, _ handoff.Fence) {
			s.forget()
		}, as: handoff.AsCurrent, holder: "lobby", update: true, rechecked: 1},
		{name: "ForgottenCheckIn", change: []func(*handoff.SpoolEntry){final}, before: func(s *salvage, _ handoff.PlayerID, _ handoff.Fence) {
			s.forget()
		}, as: handoff.AsCurrent, update: true},
		{name: "ReleasedMeanwhile", change: []func(*handoff.SpoolEntry){final}, before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			s.here.Release(s.t.Context(), id, fence)
		}, as: handoff.AsCurrent, update: true},
		{name: "ForgottenDatabaseNewer", before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			s.forget()
			_, _ = s.ledger.Insert(s.t.Context(), snapshotOf(id, fence+1, 1), nil, handoff.AsCurrent)
		}, as: handoff.AsConflict},
		{name: "ForgottenDatabaseOlder", before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			s.forget()
			_, _ = s.ledger.Insert(s.t.Context(), snapshotOf(id, fence, 1), nil, handoff.AsCurrent)
		}, as: handoff.AsCurrent, holder: "lobby", update: true, rechecked: 1},
		{name: "ForgottenDatabaseHasIt", before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			s.forget()
			_, _ = s.ledger.Insert(s.t.Context(), snapshotOf(id, fence, 2), nil, handoff.AsCurrent)
		}, as: handoff.AsCurrent},
		{name: "ForgottenDatabaseGoesFurther", before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			s.forget()
			_, _ = s.ledger.Insert(s.t.Context(), snapshotOf(id, fence, 3), nil, handoff.AsCurrent)
		}, as: handoff.AsHistory},
		{name: "ForgottenOtherIsBack", before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			later := s.moveOn(id, fence)
			s.forget()
			s.other.Resume(s.t.Context(), id, handoff.Resume{Fence: later})
		}, as: handoff.AsConflict, holder: "arena"},
		{name: "Accepted", change: []func(*handoff.SpoolEntry){accepted}, before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			s.write(id, fence, 2)
		}, as: handoff.AsCurrent, holder: "lobby", update: true},
		{name: "AcceptedThenGone", change: []func(*handoff.SpoolEntry){accepted, final}, before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			snapshot := snapshotOf(id, fence, 2)
			s.here.CheckIn(s.t.Context(), snapshot, s.pack(snapshot))
			claim(s.t, s.other, id)
		}, as: handoff.AsCurrent, holder: "arena", update: true},
		{name: "AcceptedThenQuit", change: []func(*handoff.SpoolEntry){accepted}, before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			snapshot := snapshotOf(id, fence, 2)
			s.here.CheckIn(s.t.Context(), snapshot, s.pack(snapshot))
		}, as: handoff.AsCurrent, update: true},
		{name: "SavedThenQuit", before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			snapshot := snapshotOf(id, fence, 2)
			s.here.CheckIn(s.t.Context(), snapshot, s.pack(snapshot))
		}, as: handoff.AsCurrent, update: true},
		{name: "AcceptedForgotten", change: []func(*handoff.SpoolEntry){accepted}, before: func(s *salvage, _ handoff.PlayerID, _ handoff.Fence) {
			s.forget()
		}, as: handoff.AsCurrent},
		{name: "AcceptedDatabaseNewer", change: []func(*handoff.SpoolEntry){accepted}, before: func(s *salvage, id handoff.PlayerID, fence handoff.Fence) {
			s.moveOn(id, fence)
			_, _ = s.ledger.Insert(s.t.Context(), snapshotOf(id, fence+1, 1), nil, handoff.AsCurrent)
		}, as: handoff.AsConflict, holder: "arena"},
		{name: "History", change: []func(*handoff.SpoolEntry){asHistory}, as: handoff.AsHistory, holder: "lobby"},
	}
}

func TestReplay(t *testing.T) {
	for _, test := range replayCases() {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *backend) { test.run(t, b) })
		})
	}
}

func (c replayCase) run(t *testing.T, b *backend) {
	s := newSalvage(t, b)
	id := player(1)
	fence := claim(t, s.here, id)
	snapshot := snapshotOf(id, fence, 2)
	s.keep(snapshot, c.change...)
	if c.before != nil {
		c.before(s, id, fence)
	}
	s.start()
	s.wantFree(id)
	s.wantFinished()
	s.wantRow(snapshot, c.as)
	var update handoff.Version
	if c.update {
		update = snapshot.Version
	} else if c.name == "Superseded" {
		update = handoff.Version{Fence: fence, Sequence: 9}
	}
	s.wantRedis(id, c.holder, update)
	if s.rechecked != c.rechecked {
		t.Errorf("asked for %d sweeps, want %d", s.rechecked, c.rechecked)
	}
	if got := counted(t, s.registry, "syncworker_lifecycle_replayed_total"); got != 1 {
		t.Errorf("replayed counter %v, want 1", got)
	}
	s.stop()
}

func TestReplayDamaged(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		id := player(1)
		fence := claim(t, s.here, id)
		good, bad := snapshotOf(id, fence, 1), snapshotOf(id, fence, 2)
		s.keep(good)
		if err := s.spool.Put(t.Context(), handoff.SpoolEntry{Snapshot: bad, As: handoff.AsCurrent}, []byte("no envelope")); err != nil {
			t.Fatal(err)
		}
		other := snapshotOf(id, fence, 3)
		if err := s.spool.Put(t.Context(), handoff.SpoolEntry{Snapshot: other, As: handoff.AsCurrent}, s.pack(good)); err != nil {
			t.Fatal(err)
		}
		s.start()
		s.wantFree(id)
		s.wantFinished()
		s.wantRow(good, handoff.AsCurrent)
		s.wantRow(bad, 0)
		s.wantRow(other, 0)
		s.wantRedis(id, "lobby", good.Version)
		kept, err := filepath.Glob(filepath.Join(s.dir, "damaged", "*"))
		if err != nil || len(kept) != 2 {
			t.Errorf("set aside: %v, %v, want two", kept, err)
		}
		s.stop()
	})
}

// TestReplayOrder: several sessions of one player, in order, and the player is
// not given back before the last.
func TestReplayOrder(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		id := player(1)
		first := claim(t, s.here, id)
		second := first + 5
		all := []*handoff.Snapshot{snapshotOf(id, first, 1), snapshotOf(id, first, 2), snapshotOf(id, second, 1), snapshotOf(id, second, 2)}
		s.keep(all[3], final)
		s.keep(all[1], final)
		s.keep(all[2], accepted)
		s.keep(all[0])
		spy := &spyStore{store: s.here}
		s.ports.Store = spy
		s.forget()
		s.start()
		s.wantFree(id)
		s.wantFinished()
		want := []string{"update", "resume", "update", "update", "update", "check-in", "resume", "check-in"}
		if !slices.Equal(spy.calls, want) {
			t.Errorf("redis was asked to %v, want %v", spy.calls, want)
		}
		s.wantRedis(id, "", all[3].Version)
		for _, snapshot := range all {
			s.wantRow(snapshot, handoff.AsCurrent)
		}
		if !slices.IsSortedFunc(s.ledger.order, handoff.Version.Compare) {
			t.Errorf("stored in the order %v", s.ledger.order)
		}
		s.stop()
	})
}
