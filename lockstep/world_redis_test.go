package lockstep_test

import (
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// runRedis performs one script as its header promises it and returns the
// answer; nil where nobody waits for one.
func (w *world) runRedis(s *server, action handoff.Action) handoff.Event {
	r := &w.redis
	switch a := action.(type) {
	case handoff.Claim:
		return w.runClaim(s, a)
	case handoff.CheckLease:
		return handoff.LeaseChecked{Attempt: a.Attempt, Present: r.leases[s.id]}
	case handoff.ReadLease:
		// Both workers live, so a lease is missing only after Redis forgot.
		return handoff.LeaseRead{Attempt: a.Attempt, Present: r.leases[a.Server], Left: 10 * time.Second}
	case handoff.Update:
		return w.runUpdate(s, a.Op, a.Snapshot, false)
	case handoff.CheckIn:
		return w.runUpdate(s, a.Op, a.Snapshot, true)
	case handoff.Release:
		return w.runRelease(s, a)
	case handoff.Resume:
		if r.fence > a.Fence || (r.fence == a.Fence && r.checkout != "" && r.checkout != s.id) {
			return handoff.Written{Op: a.Op, Outcome: handoff.WriteFenced, Holder: w.holder()}
		}
		r.fence, r.checkout = a.Fence, s.id
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteDone, Update: r.update}
	case handoff.Sweep:
		if r.checkout == s.id {
			w.free()
		}
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteDone}
	default: // Expire and Delist change nothing that the laws speak of.
		return nil
	}
}

func (w *world) holder() handoff.Holder {
	return handoff.Holder{Server: w.redis.checkout, Fence: w.redis.fence}
}

func (w *world) runClaim(s *server, a handoff.Claim) handoff.Event {
	r := &w.redis
	if w.now.Before(s.settled) {
		return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimSettling, Until: s.settled}
	}
	over := a.Over.Server != "" && a.Over == w.holder()
	if r.fence == 0 && !a.AllowUnknown && !over {
		return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimUnknown}
	}
	if r.checkout != "" && r.checkout != s.id && !over {
		return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimHeld, Holder: w.holder()}
	}
	r.fence = max(r.fence+1, handoff.Fence(w.now.Sub(start)/1e3)+1, a.Floor+1)
	r.checkout = s.id
	return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimGranted, Fence: r.fence, Update: r.update, TakenOver: over}
}

func (w *world) runUpdate(s *server, op uint64, snapshot *handoff.Snapshot, checkIn bool) handoff.Event {
	r := &w.redis
	fence := snapshot.Version.Fence
	same := r.update != nil && r.update.Version == snapshot.Version
	switch {
	case r.fence > fence || (r.fence == fence && r.checkout != "" && r.checkout != s.id):
		return handoff.Written{Op: op, Outcome: handoff.WriteFenced, Holder: w.holder()}
	case checkIn && r.fence == fence && r.checkout == "" && same:
		return handoff.Written{Op: op, Outcome: handoff.WriteDone}
	case r.fence < fence || r.checkout == "":
		return handoff.Written{Op: op, Outcome: handoff.WriteForgotten}
	case r.update != nil && r.update.Version.Compare(snapshot.Version) > 0:
		return handoff.Written{Op: op, Outcome: handoff.WriteSuperseded}
	}
	r.update = snapshot
	if checkIn {
		w.free()
	}
	return handoff.Written{Op: op, Outcome: handoff.WriteDone}
}

func (w *world) runRelease(s *server, a handoff.Release) handoff.Event {
	r := &w.redis
	switch {
	case r.fence > a.Fence || (r.fence == a.Fence && r.checkout != "" && r.checkout != s.id):
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFenced, Holder: w.holder()}
	case r.fence < a.Fence:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteForgotten}
	}
	w.free()
	return handoff.Written{Op: a.Op, Outcome: handoff.WriteDone}
}

// free removes the checkout and tells whoever watches; the network may lose
// that, or tell it twice.
func (w *world) free() {
	if w.redis.checkout == "" {
		return
	}
	w.redis.checkout = ""
	for _, s := range w.servers {
		for range w.rnd.IntN(3) {
			if s.watches > 0 {
				s.hints = append(s.hints, handoff.Look{Cause: handoff.LookChanged})
			}
		}
	}
}

// runStore is the database with its second fence (rule R6).
func (w *world) runStore(a handoff.Store) handoff.Stored {
	stored := handoff.Stored{ID: a.Snapshot.ID}
	for _, r := range w.rows {
		if r.snapshot.ID == a.Snapshot.ID {
			stored.Conflict = r.as == handoff.AsConflict && a.As == handoff.AsCurrent
			return stored
		}
	}
	as := a.As
	if newest := w.newestRow(); as == handoff.AsCurrent && newest != nil && newest.Version.Fence > a.Snapshot.Version.Fence {
		as, stored.Conflict = handoff.AsConflict, true
	}
	w.rows = append(w.rows, row{snapshot: a.Snapshot, as: as})
	return stored
}

// failed is the answer that says that there was none.
func failed(action handoff.Action) handoff.Event {
	switch a := action.(type) {
	case handoff.Claim:
		return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimFailed, Err: errLost}
	case handoff.CheckLease:
		return handoff.LeaseChecked{Attempt: a.Attempt, Err: errLost}
	case handoff.ReadLease:
		return handoff.LeaseRead{Attempt: a.Attempt, Err: errLost}
	case handoff.Spool:
		return handoff.Spooled{ID: a.Entry.Snapshot.ID, Err: errLost}
	case handoff.Update:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFailed, Err: errLost}
	case handoff.CheckIn:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFailed, Err: errLost}
	case handoff.Release:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFailed, Err: errLost}
	case handoff.Resume:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFailed, Err: errLost}
	case handoff.Sweep:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFailed, Err: errLost}
	case handoff.ReadNewest:
		return handoff.NewestRead{Attempt: a.Attempt, Err: errLost}
	case handoff.Store:
		return handoff.Stored{ID: a.Snapshot.ID, Err: errLost}
	default:
		return nil
	}
}

// runLane performs the operation at the head of a lane.
func (w *world) runLane(s *server, lane int) {
	action := s.lanes[lane][0]
	s.lanes[lane] = s.lanes[lane][1:]
	chance := w.rnd.IntN(w.loss)
	if _, removal := action.(handoff.Unspool); !w.calm && chance == 0 && !removal { // It never got there.
		w.answer(s, failed(action))
		return
	}
	var event handoff.Event
	switch a := action.(type) {
	case handoff.ReadNewest:
		read := handoff.NewestRead{Attempt: a.Attempt, Snapshot: w.newestRow()}
		if read.Snapshot == nil {
			read.Err = handoff.ErrNoSnapshot
		}
		event = read
	case handoff.Store:
		event = w.runStore(a)
	case handoff.Spool:
		s.spool[a.Entry.Snapshot.ID] = true
		event = handoff.Spooled{ID: a.Entry.Snapshot.ID}
	case handoff.Unspool:
		delete(s.spool, a.ID)
	default:
		event = w.runRedis(s, action)
	}
	if _, disk := action.(handoff.Spool); !w.calm && chance == 1 && event != nil && !disk { // It did, its answer did not.
		event = failed(action)
	}
	w.answer(s, event)
}

func (w *world) answer(s *server, event handoff.Event) {
	if event != nil {
		w.log("   answer for %s: %T%+v", s.id, event, event)
		s.answers = append(s.answers, event)
	}
}
