package lockstep

import (
	"errors"

	"github.com/syncworker/syncworker/internal/handoff"
)

func isAbsent(err error) bool { return errors.Is(err, handoff.ErrNoSnapshot) }

// unreadable turns a read error into a refusal. It never becomes "no data".
func unreadable(err error) *handoff.Refusal {
	if errors.Is(err, handoff.ErrDamaged) {
		return &handoff.Refusal{Reason: handoff.ReasonDamaged, Err: err}
	}
	return &handoff.Refusal{Reason: handoff.ReasonDatabase, RetryAfter: lastRetry, Err: err}
}

// granted takes the checkout. From here on every way out gives it back.
func (st *step) granted(e handoff.Claimed) {
	if st.s.wait.polled && st.s.wait.watching {
		st.note(handoff.NoteSafetyPoll, "")
	}
	if e.TakenOver {
		st.tookOver(e.Fence)
	}
	st.unwatch()
	st.do(handoff.StopTimer{Timer: handoff.TimerLook})
	st.hold(func(w *wait) {
		w.unsure, w.granted, w.update = false, e.Attempt, e.Update
		w.obstacle, w.problem = 0, nil
	})
	st.s.session = &session{fence: e.Fence, since: st.at}
	st.s.phase = PhaseLoading
	switch {
	case st.s.join == nil:
		st.release(nil, &handoff.Refusal{Reason: handoff.ReasonCancelled})
	case e.Err != nil:
		st.refuseJoin(&handoff.Refusal{Reason: handoff.ReasonDamaged, Err: e.Err})
	case len(st.s.deferred) > 0:
		st.startOver()
	case st.s.wait.allowing:
		attempt := st.nextOp()
		st.hold(func(w *wait) { w.attempt = attempt })
		st.do(handoff.CheckLease{Attempt: attempt})
	default:
		st.load()
	}
}

// startOver gives a grant back that nobody has received, because Redis may have
// forgotten it, and lets the join start anew. To wait for the database first and
// verify then could take longer than the settle period, and others may claim
// after it.
func (st *step) startOver() {
	st.dropDeferred()
	st.release(nil, &handoff.Refusal{Reason: handoff.ReasonSettling, RetryAfter: st.config.Settle})
}

func (st *step) onNewestRead(e handoff.NewestRead) {
	if st.s.adopting != nil {
		st.readForAdoption(e)
		return
	}
	if st.s.wait == nil || e.Attempt != st.s.wait.read.attempt {
		return
	}
	st.hold(func(w *wait) {
		w.read.done, w.read.snapshot, w.read.err = true, e.Snapshot, e.Err
		if e.Err == nil {
			w.known = e.Snapshot
		}
	})
	if e.Err == nil {
		st.isSafe(e.Snapshot.Version)
	}
	switch {
	case st.s.phase == PhaseLoading:
		st.load()
	case st.s.phase == PhaseClaiming && st.s.wait.leaseSeen:
		st.claimUnknown()
	}
}

// load delivers the newest version that Redis and the database have together
// (law L2, rule R4), once both are known.
func (st *step) load() {
	w := st.s.wait
	switch {
	case w.allowing:
		return
	case !w.read.done:
		if w.update != nil {
			st.setTimer(handoff.TimerRead, st.config.ReadTimeout)
		}
	case w.read.since < w.granted && (w.update == nil || w.read.stale):
		// The read is older than the grant, and Redis has nothing or perhaps
		// something old: the holder may have stored something in between.
		st.read()
	case w.read.err == nil:
		st.loadNewer(w.update, w.read.snapshot)
	case isAbsent(w.read.err) && w.update == nil:
		st.deliver(handoff.SourceNew, nil)
	case isAbsent(w.read.err):
		st.loadNewer(w.update, nil)
	case errors.Is(w.read.err, handoff.ErrDamaged) || w.update == nil:
		st.refuseJoin(unreadable(w.read.err))
	default:
		st.loadUnchecked(w.read.err.Error())
	}
}

// onReadTimeout goes on without the database, when Redis has the data: the
// handoff does not wait for a slow one.
func (st *step) onReadTimeout() {
	if st.s.phase == PhaseLoading && !st.s.wait.allowing && !st.s.wait.read.done && st.s.wait.update != nil {
		st.loadUnchecked("it did not answer in time")
	}
}

// loadUnchecked goes on although the database did not tell what it has now: the
// one exception of law L2, which operators count. What it told earlier in this
// wait it still has, or something newer.
func (st *step) loadUnchecked(why string) {
	st.note(handoff.NoteWithoutDatabase, why)
	st.loadNewer(st.s.wait.update, st.s.wait.known)
}

// loadNewer picks the newer of the two; at least one is there.
func (st *step) loadNewer(update, row *handoff.Snapshot) {
	source, newest := handoff.SourceUpdate, update
	if update == nil || (row != nil && row.Version.Compare(update.Version) > 0) {
		source, newest = handoff.SourceDatabase, row
		if update != nil {
			st.note(handoff.NoteDatabaseNewer, row.Version.String())
		}
	}
	if newest.Version.Fence >= st.s.session.fence {
		st.raise(newest.Version.Fence)
		return
	}
	st.deliver(source, newest)
}

// raise claims once more, above a fence that Redis must have forgotten: what
// this session saves has to be newer than everything there is, in the database
// too (rule R6).
func (st *step) raise(floor handoff.Fence) {
	st.s.session = nil
	st.do(handoff.StopTimer{Timer: handoff.TimerRead})
	st.hold(func(w *wait) { w.floor, w.unsure = floor, true })
	st.claim()
}

// deliver answers the join.
func (st *step) deliver(source handoff.Source, snapshot *handoff.Snapshot) {
	j, w := st.s.join, st.s.wait
	grant := &handoff.Grant{
		Session:      st.s.sessionID(),
		Source:       source,
		Snapshot:     snapshot,
		Waited:       st.at.Sub(j.since),
		HandedOverBy: w.handedBy,
	}
	st.s.session = copied(st.s.session, func(s *session) {
		s.grant, s.request = grant, j.request
		if snapshot != nil {
			s.newest, s.base, s.version = snapshot, snapshot.Data, snapshot.Version
		}
	})
	st.reply(j.request, grant)
	if w.tookOver && source == handoff.SourceUpdate && snapshot.Version != st.s.safe {
		// Its server may never bring it to the database, and Redis alone is not
		// enough for what a player has seen.
		st.owe(snapshot, handoff.AsCurrent, nil, receiptFor(snapshot, handoff.StateCurrent))
	}
	st.do(handoff.StopTimer{Timer: handoff.TimerDeadline}, handoff.StopTimer{Timer: handoff.TimerRead})
	st.setTimer(handoff.TimerConfirm, st.config.ConfirmTimeout)
	st.s.join, st.s.wait = nil, nil
	st.s.phase = PhaseDelivered
}

// onConfirm takes the game's word on whether the data was applied.
func (st *step) onConfirm(e handoff.Confirm) {
	if refusal := st.strange(e.Session); refusal != nil {
		st.reply(e.Request, refusal)
		return
	}
	switch st.s.phase {
	case PhaseDelivered:
		st.confirm(e)
	case PhaseVerifying:
		st.putOff(e.Request, e)
	case PhasePresent, PhaseSaving:
		if e.Applied {
			st.reply(e.Request, handoff.Accepted{})
			return
		}
		st.reply(e.Request, &handoff.Refusal{Reason: handoff.ReasonAlreadyHere})
	default:
		st.reply(e.Request, &handoff.Refusal{Reason: handoff.ReasonNoSession})
	}
}

func (st *step) confirm(e handoff.Confirm) {
	st.reply(e.Request, handoff.Accepted{})
	st.do(handoff.StopTimer{Timer: handoff.TimerConfirm})
	if !e.Applied {
		st.note(handoff.NoteApplyRefused, e.Problem)
		st.release(nil, &handoff.Refusal{Reason: handoff.ReasonApplyRefused})
		return
	}
	st.s.session = copied(st.s.session, func(s *session) { s.confirmed, s.grant, s.request = true, nil, 0 })
	st.s.phase = PhasePresent
}

func (st *step) onConfirmTimeout() {
	switch {
	case st.s.session == nil || st.s.session.confirmed:
	case st.s.phase == PhaseDelivered:
		st.note(handoff.NoteNotConfirmed, "")
		st.do(handoff.TellLost{Session: st.s.sessionID(), Reason: handoff.ReasonNotConfirmedInTime})
		st.release(nil, &handoff.Refusal{Reason: handoff.ReasonNotConfirmedInTime})
	case st.s.phase == PhaseVerifying:
		st.putOff(0, handoff.TimerFired{Timer: handoff.TimerConfirm})
	}
}
