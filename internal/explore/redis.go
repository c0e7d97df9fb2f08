package explore

import (
	"errors"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// redis is what Redis knows of the player, and the leases.
type redis struct {
	fence    handoff.Fence
	checkout handoff.ServerID
	update   *handoff.Snapshot
	// expiring: data_update runs out some day.
	expiring bool
	leases   [maxServers]lease
}

// lease is a server_lease key.
type lease struct {
	// incarnation of its owner, zero when the key is absent.
	incarnation uint8
	// end is when it ends; zero while its owner renews it.
	end time.Duration
}

var errNoAnswer = errors.New("no answer")

// runRedis performs one script as its header promises and returns the answer;
// nil where nobody waits for one.
func (w *World) runRedis(i int, action handoff.Action) handoff.Event {
	r := &w.redis
	me := w.id(i)
	switch a := action.(type) {
	case handoff.Claim:
		return w.runClaim(i, a)
	case handoff.CheckLease:
		present := r.leases[i].incarnation == w.servers[i].incarnation
		if !present {
			w.beginSettle(i)
			w.server(i).lost = true
		}
		return handoff.LeaseChecked{Attempt: a.Attempt, Present: present}
	case handoff.ReadLease:
		return w.runReadLease(i, a)
	case handoff.Update:
		return w.runWrite(i, a.Op, a.Snapshot, false)
	case handoff.CheckIn:
		return w.runWrite(i, a.Op, a.Snapshot, true)
	case handoff.Release:
		return w.runRelease(i, a)
	case handoff.Resume:
		return w.runResume(i, a)
	case handoff.Sweep:
		if r.checkout == me {
			w.checkRelease(i, r.fence)
			w.setCheckout("")
		}
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteDone}
	case handoff.Expire:
		if r.update != nil && r.update.Version == a.Version {
			r.expiring = true
		}
	case handoff.Petition:
		w.deliverPetition(i, a)
	}
	return nil
}

func (w *World) holder() handoff.Holder {
	return handoff.Holder{Server: w.redis.checkout, Fence: w.redis.fence}
}

// updateFence is the fence that data_update proves to have been granted.
func (r *redis) updateFence() handoff.Fence {
	if r.update == nil {
		return 0
	}
	return r.update.Version.Fence
}

// grant raises the fence above everything that Redis and the caller know.
func (w *World) grant(i int, a handoff.Claim, over bool) handoff.Event {
	r := &w.redis
	now := handoff.Fence(0)
	if !w.rules.behind {
		w.clock++
		now = handoff.Fence(w.clock * 10)
	}
	w.noteGrant(i, over)
	r.fence = max(now, r.fence+1, r.updateFence()+1, a.Floor+1)
	w.granted(i)
	w.setCheckout(w.id(i))
	return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimGranted, Fence: r.fence, Update: r.update, TakenOver: over}
}

func (w *World) runClaim(i int, a handoff.Claim) handoff.Event {
	r := &w.redis
	if a.Over.Server != "" && r.checkout == a.Over.Server && r.fence == a.Over.Fence {
		return w.grant(i, a, r.checkout != w.id(i))
	}
	if r.fence == 0 && (a.Over.Server != "" || !a.AllowUnknown) {
		return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimUnknown}
	}
	if r.checkout != "" && r.checkout != w.id(i) {
		return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimHeld, Holder: w.holder()}
	}
	return w.grant(i, a, false)
}

func (w *World) runReadLease(i int, a handoff.ReadLease) handoff.Event {
	owner := indexOf(a.Server)
	read := handoff.LeaseRead{Attempt: a.Attempt}
	if owner >= 0 && owner < w.count() {
		found := w.redis.leases[owner]
		read.Present = found.incarnation != 0
		if read.Present {
			read.Incarnation = string(a.Server) + "-" + string('0'+found.incarnation)
			read.Left = leaseTTL
			if found.end != 0 {
				read.Left = found.end - w.now
			}
		}
		w.noteLeaseRead(i, owner)
	}
	return read
}

// runWrite is update and check_in.
func (w *World) runWrite(i int, op uint64, snapshot *handoff.Snapshot, checkIn bool) handoff.Event {
	r := &w.redis
	me, ours := w.id(i), snapshot.Version.Fence
	same := r.update != nil && r.update.Version == snapshot.Version
	givenBack := same && r.fence != 0 && (r.fence > ours || r.fence == ours && r.checkout == "")
	written := handoff.Written{Op: op, Outcome: handoff.WriteDone}
	switch {
	case checkIn && givenBack:
		return written
	case max(r.fence, r.updateFence()) > ours:
		return handoff.Written{Op: op, Outcome: handoff.WriteFenced, Holder: w.highest()}
	case r.fence < ours:
		return handoff.Written{Op: op, Outcome: handoff.WriteForgotten}
	case r.checkout != "" && r.checkout != me:
		return handoff.Written{Op: op, Outcome: handoff.WriteFenced, Holder: w.holder()}
	case r.updateFence() == ours && r.update.Version.Sequence > snapshot.Version.Sequence:
		return handoff.Written{Op: op, Outcome: handoff.WriteSuperseded}
	case r.checkout == "":
		return handoff.Written{Op: op, Outcome: handoff.WriteForgotten}
	}
	w.accepted(i, snapshot, checkIn)
	r.update, r.expiring = snapshot, false
	if checkIn {
		w.setCheckout("")
	}
	return written
}

// highest is the holder with the highest fence that Redis can prove.
func (w *World) highest() handoff.Holder {
	return handoff.Holder{Server: w.redis.checkout, Fence: max(w.redis.fence, w.redis.updateFence())}
}

func (w *World) runRelease(i int, a handoff.Release) handoff.Event {
	r := &w.redis
	me := w.id(i)
	switch {
	case r.fence > a.Fence:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFenced, Holder: w.holder()}
	case r.fence < a.Fence:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteForgotten}
	case r.checkout != "" && r.checkout != me:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFenced, Holder: w.holder()}
	}
	w.checkRelease(i, a.Fence)
	w.setCheckout("")
	return handoff.Written{Op: a.Op, Outcome: handoff.WriteDone}
}

func (w *World) runResume(i int, a handoff.Resume) handoff.Event {
	r := &w.redis
	me := w.id(i)
	strict := a.Strict || w.suspects(i)
	written := handoff.Written{Op: a.Op, Outcome: handoff.WriteDone}
	switch {
	case max(r.fence, r.updateFence()) > a.Fence:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFenced, Holder: w.highest()}
	case r.fence == a.Fence && r.checkout != "" && r.checkout != me:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteFenced, Holder: w.holder()}
	case r.fence < a.Fence && strict:
		return handoff.Written{Op: a.Op, Outcome: handoff.WriteForgotten}
	}
	r.fence = a.Fence
	if r.checkout != me {
		w.setCheckout(me)
	}
	w.resumed(i)
	if a.Load {
		written.Update = r.update
	}
	return written
}

// setCheckout writes the key and tells whoever watches it.
func (w *World) setCheckout(holder handoff.ServerID) {
	if w.redis.checkout == holder {
		return
	}
	w.redis.checkout = holder
	for i := range w.count() {
		s := w.servers[i]
		if s.watches[handoff.KeyCheckout].on && s.life != lifeDown {
			w.server(i).notified()
		}
	}
}

// notified takes a notification, which is lost while the connection is cut.
func (s *server) notified() {
	if !s.cut {
		s.hint(handoff.LookChanged)
	}
}

// deliverPetition publishes to the worker that is asked; it is lost when that
// one does not listen.
func (w *World) deliverPetition(from int, a handoff.Petition) {
	to := indexOf(a.To)
	if to < 0 || to >= w.count() || to == from {
		return
	}
	if s := w.servers[to]; s.life == lifeDown || s.cut {
		return
	}
	s := w.server(to)
	s.petition = handoff.Petitioned{By: w.id(from), Fence: max(a.Fence, s.petition.Fence)}
	s.petitions = true
}

// unanswered is the answer that says that there was none.
func unanswered(action handoff.Action) handoff.Event {
	failed := func(op uint64) handoff.Event {
		return handoff.Written{Op: op, Outcome: handoff.WriteFailed, Err: errNoAnswer}
	}
	switch a := action.(type) {
	case handoff.Claim:
		return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimFailed, Err: errNoAnswer}
	case handoff.CheckLease:
		return handoff.LeaseChecked{Attempt: a.Attempt, Err: errNoAnswer}
	case handoff.ReadLease:
		return handoff.LeaseRead{Attempt: a.Attempt, Err: errNoAnswer}
	case handoff.Update:
		return failed(a.Op)
	case handoff.CheckIn:
		return failed(a.Op)
	case handoff.Release:
		return failed(a.Op)
	case handoff.Resume:
		return failed(a.Op)
	case handoff.Sweep:
		return failed(a.Op)
	case handoff.ReadNewest:
		return handoff.NewestRead{Attempt: a.Attempt, Err: errNoAnswer}
	case handoff.Store:
		return handoff.Stored{ID: a.Snapshot.ID, Err: errNoAnswer}
	case handoff.Spool:
		return handoff.Spooled{ID: a.Entry.Snapshot.ID, Err: errNoAnswer}
	default:
		return nil
	}
}
