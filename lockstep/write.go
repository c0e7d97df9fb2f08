package lockstep

import (
	"errors"
	"slices"

	"github.com/syncworker/syncworker/internal/handoff"
)

// errForgetful ends a write that had to be resumed over and over.
var errForgetful = errors.New("redis keeps forgetting the session")

var writePhases = [...]Phase{
	writeUpdate:  PhaseSaving,
	writeCheckIn: PhaseCheckingIn,
	writeRelease: PhaseReleasing,
	writeVerify:  PhaseVerifying,
	writeSweep:   PhaseReleasing,
}

// startWrite makes w the operation that the player waits for.
func (st *step) startWrite(w *write) {
	st.s.write = w
	st.s.phase = writePhases[w.kind]
	st.send()
}

// send performs the current write once more, or the resume that must precede
// it.
func (st *step) send() {
	op := st.nextOp()
	st.s.write = copied(st.s.write, func(w *write) { w.op = op })
	w := st.s.write
	switch {
	case w.kind == writeSweep:
		st.do(handoff.Sweep{Op: op})
	case w.resuming || w.kind == writeVerify:
		st.do(handoff.Resume{Op: op, Fence: st.s.session.fence})
	case w.kind == writeUpdate:
		st.do(handoff.Update{Op: op, Snapshot: w.snapshot})
	case w.kind == writeCheckIn:
		st.do(handoff.CheckIn{Op: op, Snapshot: w.snapshot})
	case w.kind == writeRelease:
		st.do(handoff.Release{Op: op, Fence: st.s.session.fence})
	}
}

// release gives the checkout back, data untouched. The requests hear the
// refusal, or a receipt for the version last accepted.
func (st *step) release(requests []handoff.RequestID, refusal *handoff.Refusal) {
	st.s.wait = nil
	st.do(handoff.StopTimer{Timer: handoff.TimerConfirm}, handoff.StopTimer{Timer: handoff.TimerRead})
	st.startWrite(&write{kind: writeRelease, requests: requests, refusal: refusal})
}

func (st *step) onWritten(e handoff.Written) {
	w := st.s.write
	if w == nil || w.op == 0 || e.Op != w.op {
		return
	}
	switch e.Outcome {
	case handoff.WriteDone:
		if w.resuming {
			st.s.write = copied(w, func(w *write) { w.resuming = false })
			st.send()
			return
		}
		st.writeDone()
	case handoff.WriteFenced:
		st.lose(e.Holder)
	case handoff.WriteSuperseded:
		st.writeSuperseded()
	case handoff.WriteForgotten:
		st.writeForgotten()
	case handoff.WriteFailed:
		st.writeFailed(e.Err)
	}
}

func (st *step) writeDone() {
	w := st.s.write
	st.s.write = nil
	switch w.kind {
	case writeUpdate:
		st.accept(w.snapshot)
		st.owe(w.snapshot, handoff.AsCurrent, w.requests, receiptFor(w.snapshot, handoff.StateCurrent))
		st.stayHere()
	case writeVerify:
		st.s.session = copied(st.s.session, func(s *session) { s.unverified = 0 })
		st.stayHere()
	case writeCheckIn:
		// The checkout is gone; the data behind it was stored in the same step
		// (law L5). The database follows.
		st.accept(w.snapshot)
		receipt := receiptFor(w.snapshot, handoff.StateCurrent)
		st.owe(w.snapshot, handoff.AsCurrent, w.requests, receipt)
		st.endSession(receipt, nil)
	case writeRelease, writeSweep:
		st.released(w)
	}
}

// released ends the session whose checkout was given back, if there was one.
func (st *step) released(w *write) {
	if st.s.session == nil {
		st.do(handoff.Delist{})
		st.toAbsent()
		return
	}
	if w.refusal != nil {
		st.replyAll(w.requests, w.refusal)
		st.endSession(nil, w.refusal)
		return
	}
	receipt := &handoff.Receipt{Version: st.s.session.version, State: handoff.StateCurrent}
	st.whenSafe(w.requests, receipt)
	st.endSession(receipt, nil)
}

func (st *step) accept(snapshot *handoff.Snapshot) {
	st.s.session = copied(st.s.session, func(s *session) {
		s.newest, s.base, s.version, s.accepted = snapshot, snapshot.Data, snapshot.Version, snapshot.Version.Sequence
	})
}

// stayHere returns to the phase that the session had before the write.
func (st *step) stayHere() {
	st.s.phase = PhaseDelivered
	if st.s.session.confirmed {
		st.s.phase = PhasePresent
	}
	st.resumeDeferred()
	if st.s.join == nil || st.s.write != nil {
		return
	}
	// The join waited for an end that did not come.
	waiting := st.s.join
	st.s.join = nil
	st.do(handoff.StopTimer{Timer: handoff.TimerDeadline})
	st.onJoin(handoff.Join{Request: waiting.request, Deadline: waiting.deadline})
}

// endSession forgets the session but for its last words, and takes the player
// off the list of those this server may hold.
func (st *step) endSession(receipt *handoff.Receipt, refusal *handoff.Refusal) {
	s := st.s.session
	if s.grant != nil || s.confirmed { // Nobody calls late for what was never delivered.
		st.s.ended = &ended{
			session: st.s.sessionID(), base: s.base, tried: s.tried, receipt: receipt, refusal: refusal,
			safe: s.newest == nil || s.version == st.s.safe,
		}
		st.setTimer(handoff.TimerForget, st.config.Remember)
	}
	st.s.session, st.s.write = nil, nil
	st.do(handoff.StopTimer{Timer: handoff.TimerConfirm}, handoff.StopTimer{Timer: handoff.TimerRetry}, handoff.Delist{})
	st.toAbsent()
	st.resumeDeferred()
}

// lose ends a session that another one has fenced off. What it wanted to write
// is kept as a conflict.
func (st *step) lose(holder handoff.Holder) {
	w := st.s.write
	if st.s.session == nil { // A sweep holds no fence and cannot be fenced.
		st.released(w)
		return
	}
	refusal := &handoff.Refusal{Reason: handoff.ReasonSessionLost, Holder: holder.Server}
	st.note(handoff.NoteFenced, holder.Fence.String())
	if w.snapshot != nil {
		st.keep(w.snapshot, handoff.AsConflict, refusal)
	}
	st.replyAll(w.requests, refusal)
	if w.kind != writeRelease && w.kind != writeSweep {
		st.do(handoff.TellLost{Session: st.s.sessionID(), NewHolder: holder.Server, Reason: handoff.ReasonSessionLost})
	}
	st.endSession(nil, refusal)
}

// writeSuperseded: Redis has a newer capture of this very session.
func (st *step) writeSuperseded() {
	w := st.s.write
	refusal := &handoff.Refusal{Reason: handoff.ReasonSuperseded}
	if w.snapshot != nil {
		st.keep(w.snapshot, handoff.AsHistory, refusal)
	}
	st.s.write = nil
	if w.kind == writeCheckIn {
		st.release(w.requests, refusal)
		return
	}
	st.replyAll(w.requests, refusal)
	st.stayHere()
}

// writeForgotten: nobody fenced us, Redis lost what it knew. Put it back and
// repeat; only a release has nothing left to lose.
func (st *step) writeForgotten() {
	st.note(handoff.NoteForgotten, "")
	w := st.s.write
	if w.kind == writeRelease {
		st.s.write = copied(w, func(w *write) { w.kind = writeSweep })
		st.send()
		return
	}
	if w.resumes >= maxResumes {
		st.writeFailed(errForgetful)
		return
	}
	st.s.write = copied(w, func(w *write) { w.resuming, w.resumes = true, w.resumes+1 })
	st.send()
}

// writeFailed: no answer, so the write may have taken effect. Updates are given
// back to the game, which saves again; what ends a session is repeated here
// until Redis answers, because nobody else can.
func (st *step) writeFailed(err error) {
	w := st.s.write
	refusal, final := refused(err, handoff.ReasonRedis)
	st.replyAll(w.requests, refusal)
	switch {
	case w.kind == writeVerify:
		st.s.write = nil
		// Others may claim when their settle period is over: several attempts
		// must fit in.
		st.s.session = copied(st.s.session, func(s *session) { s.unverified++ })
		st.setTimer(handoff.TimerRetry, backoff(st.s.session.unverified, st.config.Settle/4))
		st.stayHere()
	case w.kind == writeUpdate, final:
		st.s.write = nil
		st.stayHere()
	default:
		st.s.write = copied(w, func(w *write) {
			w.op, w.resuming, w.resumes, w.requests = 0, false, 0, nil
			w.failures++
		})
		st.setTimer(handoff.TimerRetry, backoff(st.s.write.failures, lastRetry))
	}
}

// refused turns an error into a refusal; final means that trying the same again
// cannot help. The reason is what is to be said of all other errors.
func refused(err error, reason handoff.Reason) (refusal *handoff.Refusal, final bool) {
	switch {
	case errors.Is(err, handoff.ErrTooLarge):
		return &handoff.Refusal{Reason: handoff.ReasonTooLarge, Err: err}, true
	case errors.Is(err, handoff.ErrUnacceptable):
		return &handoff.Refusal{Reason: handoff.ReasonUnacceptable, Err: err}, true
	default:
		return &handoff.Refusal{Reason: reason, RetryAfter: lastRetry, Err: err}, false
	}
}

// onRetry repeats a write that waits for it, or a verification still owed.
func (st *step) onRetry() {
	switch {
	case st.s.write != nil && st.s.write.op == 0:
		st.send()
	case st.s.session != nil && st.s.session.unverified > 0:
		// A save that is under way now may fail as well: then this comes after.
		st.onVerify()
	}
}

// onVerify is rule R1: after anything that Redis may have lost its memory by,
// every live session makes sure that its checkout is still there, before
// anybody else is granted one.
func (st *step) onVerify() {
	if st.s.wait != nil {
		st.redisMayHaveForgotten()
	}
	switch st.s.phase {
	case PhaseDelivered, PhasePresent:
		st.startWrite(&write{kind: writeVerify})
	case PhaseLoading:
		st.startOver()
	case PhaseClaiming, PhaseSaving, PhaseVerifying:
		// What is under way may have been answered before the loss.
		st.deferOnce(handoff.Verify{})
	case PhaseCheckingIn, PhaseReleasing:
		// What ends the session proves as much. It must not wait out the pause
		// that an outage has led to: others may claim by then.
		st.s.write = copied(st.s.write, func(w *write) { w.failures = 0 })
		if st.s.write.op == 0 {
			st.do(handoff.StopTimer{Timer: handoff.TimerRetry})
			st.send()
		}
	default:
	}
}

func (st *step) deferOnce(event handoff.Event) {
	if !slices.Contains(st.s.deferred, event) {
		st.putOff(0, event)
	}
}

// onEnd takes the player off this server by order.
func (st *step) onEnd(e handoff.End) {
	if !e.Session.IsZero() && (st.s.session == nil || st.s.sessionID() != e.Session) {
		return
	}
	if st.s.join != nil && e.Session.IsZero() {
		reason := handoff.ReasonCancelled
		if e.Reason == handoff.EndDraining {
			reason = handoff.ReasonDraining
		}
		st.refuseJoin(&handoff.Refusal{Reason: reason})
	}
	switch st.s.phase {
	case PhaseDelivered, PhasePresent:
		refusal := &handoff.Refusal{Reason: handoff.ReasonSessionLost}
		if e.Reason != handoff.EndGameGone && e.Reason != handoff.EndGameRestarted {
			st.do(handoff.TellLost{Session: st.s.sessionID(), Reason: refusal.Reason})
		}
		st.release(nil, refusal)
	case PhaseSaving, PhaseVerifying:
		// Bound to this session: a join that comes meanwhile is not meant.
		st.deferOnce(handoff.End{Session: st.s.sessionID(), Reason: e.Reason})
	default:
	}
}
