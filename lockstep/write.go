package lockstep

import (
	"errors"

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
	writeAdopt:   PhaseVerifying,
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
	st.s.write = copied(st.s.write, func(w *write) { w.op, w.doubtful = op, false })
	w := st.s.write
	switch {
	case w.kind == writeSweep:
		st.do(handoff.Sweep{Op: op})
	case w.kind == writeAdopt:
		st.do(handoff.Resume{Op: op, Fence: st.s.session.fence, Strict: true, Load: true})
	case w.resuming || w.kind == writeVerify:
		st.do(handoff.Resume{Op: op, Fence: st.s.session.fence, Strict: st.s.session.suspect})
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

// leave ends a session without a capture: what was accepted while Redis was
// away is checked in, else the checkout is given back.
func (st *step) leave(requests []handoff.RequestID, refusal *handoff.Refusal) {
	pending := st.s.session.pending
	if pending == nil {
		st.release(requests, refusal)
		return
	}
	st.do(handoff.StopTimer{Timer: handoff.TimerRetry})
	st.startWrite(&write{
		kind: writeCheckIn, snapshot: pending, spooled: true, early: true, requests: requests, refusal: refusal,
	})
}

func (st *step) onWritten(e handoff.Written) {
	w := st.s.write
	if w == nil || w.op == 0 || e.Op != w.op {
		return
	}
	switch e.Outcome {
	case handoff.WriteDone:
		st.written(e)
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

// written goes on after an operation that is done, which may have been a resume
// before the write itself.
func (st *step) written(e handoff.Written) {
	if st.s.session != nil {
		st.s.session = copied(st.s.session, func(s *session) { s.suspect = false })
	}
	switch w := st.s.write; {
	case w.kind == writeAdopt:
		st.adoptionConfirmed(e)
	case w.resuming && st.at.Before(w.notBefore):
		st.s.write = copied(w, func(w *write) { w.op, w.resuming, w.holding = 0, false, true })
		st.do(handoff.SetTimer{Timer: handoff.TimerRetry, At: w.notBefore})
	case w.resuming:
		st.s.write = copied(w, func(w *write) { w.resuming = false })
		st.send()
	default:
		st.writeDone()
	}
}

func (st *step) writeDone() {
	w := st.s.write
	st.s.write = nil
	switch w.kind {
	case writeUpdate:
		st.accept(w.snapshot)
		st.owe(w.snapshot, handoff.AsCurrent, w.requests, w.receipt())
		st.doubtLast(w)
		st.stayHere()
	case writeVerify:
		st.s.session = copied(st.s.session, func(s *session) { s.unverified = 0 })
		if st.s.session.pending != nil { // Redis is back: it gets what it missed.
			st.replay()
			return
		}
		st.stayHere()
	case writeCheckIn:
		st.checkedIn(w)
	case writeRelease, writeSweep:
		st.released(w)
	case writeAdopt:
	}
}

// checkedIn ends the session: the checkout is gone, and the data behind it was
// stored in the same step (law L5). The database follows.
func (st *step) checkedIn(w *write) {
	st.accept(w.snapshot)
	if w.refusal != nil {
		st.replyAll(w.requests, w.refusal)
		st.owe(w.snapshot, handoff.AsCurrent, nil, w.receipt())
		st.doubtLast(w)
		st.endSession(nil, w.refusal)
		return
	}
	st.owe(w.snapshot, handoff.AsCurrent, w.requests, w.receipt())
	st.doubtLast(w)
	st.endSession(w.receipt(), nil)
}

// released ends the session whose checkout was given back, if there was one.
func (st *step) released(w *write) {
	if st.s.session == nil {
		st.delist()
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
		s.pending, s.replays = nil, 0
	})
}

// stayHere returns to the phase that the session had before the write.
func (st *step) stayHere() {
	st.s.phase = PhaseDelivered
	if st.s.session.confirmed {
		st.s.phase = PhasePresent
	}
	if st.s.session.pending != nil && st.s.session.unverified == 0 {
		st.setTimer(handoff.TimerRetry, backoff(st.s.session.replays, lastRetry))
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
	st.s.session, st.s.write, st.s.adopting = nil, nil, nil
	st.do(handoff.StopTimer{Timer: handoff.TimerConfirm}, handoff.StopTimer{Timer: handoff.TimerRetry})
	st.delist()
	st.toAbsent()
	st.resumeDeferred()
}

// delist takes the player off server_checkouts, once nothing is owed to the
// database: the list is where the next start looks for what this one owed.
func (st *step) delist() {
	st.s.listed = st.owesNewer(handoff.Version{})
	if !st.s.listed {
		st.do(handoff.Delist{})
	}
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
	st.disown(refusal)
	if holder.Fence != 0 {
		st.note(handoff.NoteFenced, holder.Fence.String())
	}
	if pending := st.s.session.pending; pending != nil && pending != w.snapshot {
		st.keep(pending, handoff.AsConflict, refusal)
	}
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
	if st.s.session.pending == w.snapshot {
		st.s.session = copied(st.s.session, func(s *session) { s.pending, s.replays = nil, 0 })
	}
	if w.kind == writeCheckIn {
		st.leave(w.requests, refusal)
		return
	}
	st.replyAll(w.requests, refusal)
	st.stayHere()
}

// writeForgotten: nobody fenced us, Redis lost what it knew. Put it back and
// repeat; only a release has nothing left to lose.
func (st *step) writeForgotten() {
	w := st.s.write
	if w.kind == writeRelease {
		st.note(handoff.NoteForgotten, "")
		st.s.write = copied(w, func(w *write) { w.kind = writeSweep })
		st.send()
		return
	}
	if st.s.session.suspect || w.resuming || w.kind == writeVerify || w.kind == writeAdopt {
		// A resume only answers so when it was told that others may have taken
		// the session over before Redis forgot (rule R7).
		st.note(handoff.NoteSuspect, st.s.sessionID().String())
		st.lose(handoff.Holder{})
		return
	}
	st.note(handoff.NoteForgotten, "")
	if w.kind == writeCheckIn && w.unsure && w.notBefore.IsZero() {
		// Somebody may have been granted after it, before Redis forgot both. Our
		// checkout is put back, so that nobody else is granted; and it is held
		// until that one must have put its higher fence back.
		st.s.write = copied(w, func(w *write) { w.resuming, w.notBefore = true, st.at.Add(st.config.Settle) })
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

// writeFailed: no answer, so the write may have taken effect. A snapshot goes to
// the local disk before the game is answered; what ends a session is repeated
// until Redis answers, because nobody else can.
func (st *step) writeFailed(err error) {
	st.s.write = copied(st.s.write, func(w *write) { w.unsure = true })
	w := st.s.write
	refusal, final := refused(err, handoff.ReasonRedis)
	switch {
	case w.kind == writeVerify:
		st.s.write = nil
		// Others may claim when their settle period is over: several attempts
		// must fit in.
		st.s.session = copied(st.s.session, func(s *session) { s.unverified++ })
		st.setTimer(handoff.TimerRetry, backoff(st.s.session.unverified, st.config.Settle/4))
		st.stayHere()
	case w.snapshot != nil && final:
		st.replyAll(w.requests, refusal)
		st.s.write = nil
		st.stayHere()
	case w.snapshot != nil && !w.spooled:
		st.spoolWrite(refusal)
	case w.kind == writeUpdate:
		st.s.write = nil
		st.s.session = copied(st.s.session, func(s *session) { s.replays++ })
		st.stayHere()
	default:
		st.replyAll(w.requests, refusal)
		st.repeatLater()
	}
}

// sendAgain repeats the write, or, while it is too early for that, the resume that
// keeps the player from others.
func (st *step) sendAgain() {
	w := st.s.write
	if w.spooling {
		return
	}
	if st.at.Before(w.notBefore) {
		st.s.write = copied(w, func(w *write) { w.resuming = true })
	}
	st.send()
}

// repeatLater lets the write wait for its next attempt.
func (st *step) repeatLater() {
	st.s.write = copied(st.s.write, func(w *write) {
		w.op, w.resuming, w.holding, w.resumes, w.requests = 0, false, false, 0, nil
		w.failures++
	})
	st.setTimer(handoff.TimerRetry, backoff(st.s.write.failures, lastRetry))
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

// onRetry repeats a write that waits for it, or what is still owed to Redis.
func (st *step) onRetry() {
	w, s := st.s.write, st.s.session
	switch {
	case w != nil && w.kind == writeAdopt && st.s.adopting.confirmed:
		st.readAgainForAdoption()
	case w != nil && w.op == 0:
		if !w.holding || !st.at.Before(w.notBefore) {
			st.sendAgain()
		}
	case s == nil:
	case s.unverified > 0:
		// A save that is under way now may fail as well: then this comes after.
		st.onVerify(handoff.Verify{})
	case s.pending != nil && w == nil:
		st.replay()
	}
}
