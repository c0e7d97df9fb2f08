package lifecycle_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/snapshotstore"
	"github.com/syncworker/syncworker/lifecycle"
)

// TestReplayWaitsForRedis: joins wait while Redis is away, and the replay goes on
// by itself.
func TestReplayWaitsForRedis(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		id := player(1)
		fence := claim(t, s.here, id)
		snapshot, stored := snapshotOf(id, fence, 1), snapshotOf(player(2), fence, 1)
		s.keep(snapshot, final)
		s.keep(stored, accepted)
		b.dev.Halt()
		s.start()
		s.wantWaiting(id)
		// What Redis took before needs the database only.
		s.wantFree(player(2))
		s.wantRow(stored, handoff.AsCurrent)
		s.wantRow(snapshot, 0)
		s.wantFree(player(3))
		if got := s.recovery.Pending(); got != 1 {
			t.Errorf("Pending() = %d, want 1", got)
		}
		wantLogged(t, s.log, "still replaying the local spool: snapshots=")
		if err := b.dev.Restart(true); err != nil {
			t.Fatal(err)
		}
		s.wantFree(id)
		s.wantFinished()
		s.wantRow(snapshot, handoff.AsCurrent)
		s.wantRedis(id, "", snapshot.Version)
		wantLogged(t, s.log, "replayed the local spool")
		s.stop()
	})
}

// TestReplayWaitsForSettle: what Redis forgot is put back only when all live
// holders had the time to report (rule R1); others do not wait for that.
func TestReplayWaitsForSettle(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		forgotten, known := player(1), player(2)
		lost := snapshotOf(forgotten, 100, 1)
		kept := snapshotOf(known, claim(t, s.here, known), 1)
		s.keep(lost)
		s.keep(kept, final)
		s.door.set(true)
		s.start()
		s.wantFree(known)
		eventually(t, "the one that redis knows is stored", func() bool { return s.rows() == 1 })
		s.wantRow(kept, handoff.AsCurrent)
		s.wantWaiting(forgotten)
		s.wantRedis(forgotten, "", handoff.Version{})
		s.door.set(false)
		s.wantFree(forgotten)
		s.wantFinished()
		s.wantRow(lost, handoff.AsCurrent)
		s.wantRedis(forgotten, "lobby", lost.Version)
		s.stop()
	})
}

// TestReplayWithoutDatabase: a handoff does not wait for the database, unless
// Redis has lost what the database is to get.
func TestReplayWithoutDatabase(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		id, lostID, unknownID, goneID := player(1), player(2), player(3), player(4)
		gone := snapshotOf(goneID, claim(t, s.here, goneID), 1)
		s.here.CheckIn(t.Context(), gone, s.pack(gone))
		s.keep(gone, accepted)
		snapshot := snapshotOf(id, claim(t, s.here, id), 1)
		lost, unknown := snapshotOf(lostID, 100, 1), snapshotOf(unknownID, 100, 1)
		s.keep(snapshot, final)
		s.keep(lost, accepted)
		s.keep(unknown)
		s.ledger.fail(errInjected)
		s.start()
		s.wantFree(id)
		s.wantFree(goneID) // The player quit while the database was away: Redis has it all.
		s.wantRedis(id, "", snapshot.Version)
		s.wantWaiting(lostID)
		s.wantWaiting(unknownID)
		if got := s.recovery.Pending(); got != 4 {
			t.Errorf("Pending() = %d, want 4", got)
		}
		records, _ := s.spool.Load()
		if len(records) != 4 || records[0].Player != id || !records[0].Accepted {
			t.Errorf("spool: %+v, want it to say that redis has taken the first", records)
		}
		s.ledger.fail(nil)
		s.wantFree(lostID)
		s.wantFree(unknownID)
		s.wantFinished()
		for _, one := range []*handoff.Snapshot{snapshot, lost, unknown, gone} {
			s.wantRow(one, handoff.AsCurrent)
		}
		s.stop()
	})
}

// TestReplayStops: what is left waits for the next run, with the verdicts.
func TestReplayStops(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		id := player(1)
		fence := claim(t, s.here, id)
		snapshot := snapshotOf(id, fence, 1)
		s.keep(snapshot, final)
		later := s.moveOn(id, fence)
		s.ledger.fail(errInjected)
		s.start()
		s.wantFree(id)
		eventually(t, "the verdict is noted", func() bool {
			records, _ := s.spool.Load()
			return len(records) == 1 && records[0].As == handoff.AsConflict
		})
		s.stop()
		wantLogged(t, s.log, "the replay of the local spool goes on at the next start: snapshots=1")

		s.open()
		s.forget() // The next run must not be told otherwise.
		s.ledger.fail(nil)
		s.start()
		s.wantFree(id)
		s.wantFinished()
		s.wantRow(snapshot, handoff.AsConflict)
		s.wantRedis(id, "", handoff.Version{})
		s.stop()
		if later <= fence {
			t.Errorf("fences %s, %s", fence, later)
		}
	})
}

func TestReplayInterruptedEarly(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		s.keep(snapshotOf(player(1), 100, 1))
		records, _ := s.spool.Load()
		recovery := lifecycle.NewRecovery(records, s.ports, lifecycle.RecoveryConfig{Logger: discard()})
		recovery.Interrupt(nil)
		if err := recovery.Execute(); err != nil {
			t.Errorf("Execute() = %v", err)
		}
		if err := recovery.Wait(t.Context(), player(1)); err == nil || recovery.Done(player(1)) {
			t.Errorf("Wait() = %v after the end, want an error", err)
		}
		if got := s.spool.Usage().Entries; got != 1 {
			t.Errorf("%d entries are left, want 1", got)
		}
	})
}

// TestReplayNothing: an empty spool is no news, and holds up nobody.
func TestReplayNothing(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		s.start()
		s.wantFree(player(1))
		s.stop()
		wantUnlogged(t, s.log, "spool")
	})
}

// TestReplayMany: some players at a time, whatever the number; one who cannot be
// replayed holds up nobody.
func TestReplayMany(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		const all = 300
		s := newSalvage(t, b)
		spy := &spyStore{store: s.here}
		s.ports.Store = spy
		for n := range all {
			fence := claim(t, s.here, player(n))
			s.keep(snapshotOf(player(n), fence, 1))
			s.keep(snapshotOf(player(n), fence, 2), final)
		}
		// A checkout of the wrong type is an error for good.
		const stuck = 30
		for n := range stuck {
			key := b.space.Fence(player(n))
			if err := s.here.client.Set(t.Context(), key, "no fence", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		s.start()
		for n := stuck; n < all; n++ {
			s.wantFree(player(n))
		}
		eventually(t, "all others are stored", func() bool { return s.recovery.Pending() == 2*stuck })
		for n := stuck; n < all; n++ {
			s.wantRedis(player(n), "", snapshotOf(player(n), s.fence(player(n)), 2).Version)
		}
		if spy.most > 8 {
			t.Errorf("%d writes at the same time, want at most 8", spy.most)
		}
		if s.recovery.Done(player(0)) {
			t.Error("a player whose fence cannot be read counts as replayed")
		}
		s.stop()
	})
}

// fence returns the highest fence of a player.
func (s *salvage) fence(id handoff.PlayerID) handoff.Fence {
	s.t.Helper()
	checkout, err := s.here.Inspect(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return checkout.Holder.Fence
}

// forgetful is a spool that does not come to remove anything: the run ends
// before.
type forgetful struct{ lifecycle.RecoverySpool }

func (forgetful) Remove(handoff.PlayerID, handoff.SnapshotID) error { return errInjected }

// TestReplayTwice: a run that ended between storing and forgetting leaves an entry
// that is replayed again, also when another session has come meanwhile. Nothing
// is stored twice, and nothing changes its role.
func TestReplayTwice(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		id := player(1)
		fence := claim(t, s.here, id)
		snapshot := snapshotOf(id, fence, 1)
		s.keep(snapshot)
		s.ports.Spool = forgetful{s.spool}
		s.start()
		s.wantFree(id)
		eventually(t, "the snapshot is stored", func() bool {
			return counted(t, s.registry, "syncworker_lifecycle_replayed_total") == 0 && s.rows() == 1
		})
		s.stop()
		s.moveOn(id, fence)
		s.open()
		// What the run before noted is gone, too.
		s.keep(snapshot)
		s.start()
		s.wantFree(id)
		s.wantFinished()
		s.wantRow(snapshot, handoff.AsCurrent)
		if got := s.rows(); got != 1 {
			t.Errorf("%d rows, want 1", got)
		}
		s.stop()
	})
}

func (s *salvage) rows() int {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return len(s.ledger.rows)
}

// verdict is a Redis that always gives one answer.
type verdict struct {
	mu     sync.Mutex
	answer handoff.Written
}

func (v *verdict) say() handoff.Written {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.answer
}

func (v *verdict) Update(context.Context, *handoff.Snapshot, []byte) handoff.Written { return v.say() }

func (v *verdict) CheckIn(context.Context, *handoff.Snapshot, []byte) handoff.Written { return v.say() }

func (v *verdict) Resume(context.Context, handoff.PlayerID, handoff.Resume) handoff.Written {
	return v.say()
}

func (v *verdict) Expire(context.Context, handoff.PlayerID, handoff.Version) error {
	return errInjected
}

func (v *verdict) Unstored(context.Context, handoff.PlayerID) (packed []byte, ttl time.Duration, err error) {
	return nil, 0, nil
}

// TestReplayIntoSQLite: the roles of the real database, each of them stored by a
// run before and found again, whatever Redis says now.
func TestReplayIntoSQLite(t *testing.T) {
	for _, before := range []handoff.StoredAs{handoff.AsCurrent, handoff.AsHistory, handoff.AsConflict} {
		for _, now := range []handoff.WriteOutcome{handoff.WriteDone, handoff.WriteFenced, handoff.WriteSuperseded} {
			s := newSalvageOn(t, &verdict{answer: handoff.Written{Outcome: now}})
			archive, err := snapshotstore.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "syncworker.db"), s.codec, snapshotstore.Config{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { archive.Close() })
			s.ports.Archive = archive
			snapshot := snapshotOf(player(1), 100, 1)
			if _, err := archive.Insert(t.Context(), snapshot, s.pack(snapshot), before); err != nil {
				t.Fatal(err)
			}
			s.keep(snapshot)
			s.start()
			s.wantFinished()
			if _, as, err := archive.ByID(t.Context(), snapshot.ID); err != nil || as != before {
				t.Errorf("stored as %s, then told %d: %s, %v, want it to stay", before, now, as, err)
			}
			wantUnlogged(t, s.log, "never")
			s.stop()
			if kept, err := filepath.Glob(filepath.Join(s.dir, "damaged", "*")); err != nil || len(kept) > 0 {
				t.Errorf("set aside: %v, %v, want none", kept, err)
			}
		}
	}
}

// TestReplayRefusedForGood: what can never be stored is set aside and kept.
func TestReplayRefusedForGood(t *testing.T) {
	s := newSalvageOn(t, &verdict{answer: handoff.Written{Outcome: handoff.WriteDone}})
	s.ledger.fail(errors.Join(handoff.ErrTooLarge, errInjected))
	s.keep(snapshotOf(player(1), 100, 1))
	s.start()
	s.wantFinished()
	s.wantFree(player(1))
	s.stop()
	if kept, err := filepath.Glob(filepath.Join(s.dir, "damaged", "*")); err != nil || len(kept) != 1 {
		t.Errorf("set aside: %v, %v, want one", kept, err)
	}
}

// TestReplayNotEndless: a Redis that forgets again and again is asked at a pace.
func TestReplayNotEndless(t *testing.T) {
	bubble(t, func(t *testing.T, b *backend) {
		s := newSalvage(t, b)
		spy := &forgetter{}
		s.ports.Store = spy
		s.keep(snapshotOf(player(1), 100, 1))
		s.start()
		<-time.After(time.Minute)
		s.wantRow(snapshotOf(player(1), 100, 1), 0)
		s.stop()
		if spy.resumed < 5 || spy.resumed > 100 {
			t.Errorf("resumed %d times in a minute", spy.resumed)
		}
	})
}

// forgetter resumes and forgets.
type forgetter struct {
	verdict
	resumed int
}

func (f *forgetter) Update(context.Context, *handoff.Snapshot, []byte) handoff.Written {
	return handoff.Written{Outcome: handoff.WriteForgotten}
}

func (f *forgetter) Resume(context.Context, handoff.PlayerID, handoff.Resume) handoff.Written {
	f.resumed++
	return handoff.Written{Outcome: handoff.WriteDone}
}
