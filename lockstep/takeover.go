package lockstep

import (
	"fmt"

	"github.com/syncworker/syncworker/internal/handoff"
)

// readLease asks whether the worker of the server in the way still lives. Nothing
// depends on being told of the lease's end: Redis tells that seconds late when
// other keys have a TTL.
func (st *step) readLease() {
	attempt := st.nextOp()
	st.hold(func(w *wait) { w.leaseRead = attempt })
	st.do(handoff.ReadLease{Attempt: attempt, Server: st.s.wait.holder.Server})
}

func (st *step) onLeaseRead(e handoff.LeaseRead) {
	w := st.s.wait
	if w == nil || st.s.phase != PhaseWaiting || w.leaseRead == 0 || e.Attempt != w.leaseRead {
		return
	}
	st.hold(func(w *wait) { w.leaseRead = 0 })
	switch {
	case e.Err != nil:
		st.setTimer(handoff.TimerLook, lastRetry)
	case !e.Present:
		st.takeOver()
	default:
		st.holderLives(e)
	}
}

// holderLives waits for the end of the holder's lease, should it come, and asks
// the holder to hurry.
func (st *step) holderLives(e handoff.LeaseRead) {
	holder := st.s.wait.holder
	if st.s.wait.watched != holder.Server {
		st.do(handoff.Watch{Key: handoff.KeyLease, Server: holder.Server})
	}
	st.hold(func(w *wait) { w.watched, w.incarnation = holder.Server, e.Incarnation })
	if e.Left >= 0 {
		st.setTimer(handoff.TimerLook, e.Left+leaseMargin)
	}
	st.petition(holder)
}

func (st *step) petition(holder handoff.Holder) {
	w := st.s.wait
	if !st.config.Petitions || (w.petitioned == holder && st.at.Before(w.petitionedAt.Add(petitionPause))) {
		return
	}
	st.hold(func(w *wait) { w.petitioned, w.petitionedAt = holder, st.at })
	st.do(handoff.Petition{To: holder.Server, Fence: holder.Fence})
}

// takeOver begins to take the player from the holder last seen. Our own lease is
// looked at first (rule R2): Redis that forgot the holder's forgot ours too.
func (st *step) takeOver() {
	attempt := st.nextOp()
	st.hold(func(w *wait) {
		w.attempt, w.over, w.leaseSeen, w.allowing, w.again = attempt, w.holder, false, false, false
	})
	st.s.phase = PhaseClaiming
	st.do(handoff.CheckLease{Attempt: attempt})
}

// claimOver takes the player over, unless something happened since the holder's
// lease was read that Redis may have lost it by.
func (st *step) claimOver() {
	switch w := st.s.wait; {
	case st.s.join == nil:
		st.s.phase = PhaseWaiting
		st.abandon()
	case w.doubt:
		st.dropDeferred()
		st.claim()
	default:
		attempt := st.nextOp()
		st.hold(func(w *wait) { w.attempt, w.enlisted = attempt, true })
		st.do(handoff.Claim{Attempt: attempt, Enlist: true, Over: w.over, Floor: w.floor})
	}
}

// tookOver reports a take-over, and tells the former holder, should it live, to
// look at its session.
func (st *step) tookOver(fence handoff.Fence) {
	st.hold(func(w *wait) { w.tookOver = true })
	w := st.s.wait
	kind, incarnation := handoff.NoteTakenOver, w.incarnation
	if w.stealing {
		kind = handoff.NoteStolen
	}
	if incarnation == "" {
		incarnation = "not seen"
	}
	st.note(kind, fmt.Sprintf("from server %s, incarnation %s, fence %s; fence now %s",
		w.over.Server, incarnation, w.over.Fence, fence))
	st.do(handoff.Petition{To: w.over.Server, Fence: fence})
}

// maySteal reports whether a join whose wait is over may take the player from a
// holder that lives.
func (st *step) maySteal() bool {
	w := st.s.wait
	return st.config.Steal && w != nil && !w.stealing && w.obstacle == handoff.ReasonHeld &&
		(st.s.phase == PhaseWaiting || st.s.phase == PhaseClaiming)
}

// steal takes the player although the holder lives, or as soon as the question
// under way is answered.
func (st *step) steal() {
	st.hold(func(w *wait) { w.stealing = true })
	deadline := st.at.Add(stealTime)
	st.s.join = copied(st.s.join, func(j *join) { j.deadline = deadline })
	st.do(handoff.SetTimer{Timer: handoff.TimerDeadline, At: deadline})
	if st.s.phase == PhaseWaiting {
		st.takeOver()
	}
}

// onPetitioned takes another server's request to hurry. A save that is in flight
// is never cut short for it.
func (st *step) onPetitioned(e handoff.Petitioned) {
	s := st.s.session
	switch {
	case s == nil || st.s.wait != nil:
	case e.Fence != 0 && e.Fence < s.fence:
		// Meant for an earlier session, or for another network's server.
	case e.Fence > s.fence:
		// Somebody was granted above us, or Redis is older than we are.
		st.onVerify(handoff.Verify{})
	case st.s.phase == PhaseCheckingIn || st.s.phase == PhaseReleasing:
		st.onRetry()
	default:
		st.do(handoff.AskCheckIn{Session: st.s.sessionID(), By: e.By})
	}
}
