package lockstep

import (
	"slices"

	"github.com/syncworker/syncworker/internal/handoff"
)

// strange returns why a request may not speak for the session it names, nil
// when that is the one that lives here.
func (st *step) strange(id handoff.SessionID) *handoff.Refusal {
	switch {
	case st.s.session != nil && st.s.sessionID() == id:
		return nil
	case st.s.ended == nil || st.s.ended.session != id:
		return &handoff.Refusal{Reason: handoff.ReasonNoSession}
	case st.s.ended.refusal != nil:
		return st.s.ended.refusal
	default:
		return &handoff.Refusal{Reason: handoff.ReasonSuperseded}
	}
}

// onSave takes a capture of a player who stays.
func (st *step) onSave(e handoff.Save) {
	if refusal := st.strange(e.Session); refusal != nil {
		st.refuseLate(e.Request, e.Session, e.Capture, refusal)
		return
	}
	switch st.s.phase {
	case PhasePresent:
		st.save(e)
	case PhaseSaving, PhaseVerifying:
		if st.s.session.confirmed {
			st.putOff(e.Request, e)
			return
		}
		st.reply(e.Request, &handoff.Refusal{Reason: handoff.ReasonNotConfirmed})
	case PhaseCheckingIn, PhaseReleasing:
		// Nothing is accepted after the final save (law L1).
		st.refuseCapture(e.Request, e.Capture, st.sequenceOf(e.Capture), st.lateRefusal())
	default:
		st.reply(e.Request, &handoff.Refusal{Reason: handoff.ReasonNotConfirmed})
	}
}

// lateRefusal is what a save hears while the session is ending.
func (st *step) lateRefusal() *handoff.Refusal {
	if st.s.write != nil && st.s.write.refusal != nil {
		return st.s.write.refusal
	}
	return &handoff.Refusal{Reason: handoff.ReasonSuperseded}
}

// save sends an accepted-to-be capture to Redis; one that is for history only
// goes to the database alone and can never become current.
func (st *step) save(e handoff.Save) {
	if len(st.s.unstored) >= maxUnstored {
		st.reply(e.Request, &handoff.Refusal{Reason: handoff.ReasonDatabase, RetryAfter: lastRetry})
		return
	}
	sequence := st.sequenceOf(e.Capture)
	if e.Capture.HistoryOnly {
		st.tried(sequence)
		snapshot := st.snapshot(e.Capture, sequence)
		st.owe(snapshot, handoff.AsHistory, []handoff.RequestID{e.Request}, receiptFor(snapshot, handoff.StateHistory))
		return
	}
	if sequence <= st.s.session.accepted {
		refusal := &handoff.Refusal{Reason: handoff.ReasonSuperseded}
		st.refuseCapture(e.Request, e.Capture, sequence, refusal)
		return
	}
	st.tried(sequence)
	st.startWrite(&write{
		kind:     writeUpdate,
		snapshot: st.snapshot(e.Capture, sequence),
		requests: []handoff.RequestID{e.Request},
	})
}

// sequenceOf returns the capture's own number, or the next one in the order of
// arrival.
func (st *step) sequenceOf(capture *handoff.Capture) uint64 {
	if capture.Sequence != 0 {
		return capture.Sequence
	}
	return st.s.session.tried + 1
}

func (st *step) tried(sequence uint64) {
	st.s.session = copied(st.s.session, func(s *session) { s.tried = max(s.tried, sequence) })
}

// snapshot lays the capture over what the session accepted last.
func (st *step) snapshot(capture *handoff.Capture, sequence uint64) *handoff.Snapshot {
	version := handoff.Version{Fence: st.s.session.fence, Sequence: sequence}
	return st.capturedAs(capture, version, st.s.session.base)
}

func (st *step) capturedAs(capture *handoff.Capture, version handoff.Version, base map[string][]byte) *handoff.Snapshot {
	return &handoff.Snapshot{
		ID:          capture.ID,
		Player:      st.s.player,
		PlayerName:  st.s.name,
		Server:      st.config.Server,
		Version:     version,
		SaveCause:   capture.SaveCause,
		CapturedAt:  capture.CapturedAt,
		CreatedAt:   capture.CreatedAt,
		Platform:    capture.Platform,
		GameVersion: capture.GameVersion,
		Pinned:      capture.Pinned,
		Data:        capture.Over(base),
	}
}

// onQuit takes the final capture, or ends the session with the data last
// accepted.
func (st *step) onQuit(e handoff.Quit) {
	if refusal := st.strange(e.Session); refusal != nil {
		st.lateQuit(e, refusal)
		return
	}
	switch st.s.phase {
	case PhaseDelivered:
		st.quitUnconfirmed(e)
	case PhasePresent:
		st.quit(e)
	case PhaseSaving, PhaseVerifying:
		st.putOff(e.Request, e)
	case PhaseCheckingIn, PhaseReleasing:
		early := st.s.phase == PhaseReleasing || st.s.write.early
		if early && st.s.session != nil && st.s.session.confirmed && e.Capture != nil {
			// The session ends without a final save: this one is too late for it.
			st.refuseCapture(e.Request, e.Capture, st.sequenceOf(e.Capture), st.lateRefusal())
			return
		}
		// The same again, because the answer is late or got lost.
		if st.s.write.spooled {
			st.reply(e.Request, receiptFor(st.s.write.snapshot, handoff.StateProvisional))
		} else {
			st.s.write = copied(st.s.write, func(w *write) { w.requests = with(w.requests, e.Request) })
		}
		st.onRetry()
	default:
		st.reply(e.Request, &handoff.Refusal{Reason: handoff.ReasonNotConfirmed})
	}
}

// quitUnconfirmed gives the checkout back. A capture of a player whose data was
// never applied holds whatever the game started with: it is not taken.
func (st *step) quitUnconfirmed(e handoff.Quit) {
	requests := []handoff.RequestID{e.Request}
	if e.Capture != nil {
		st.release(requests, &handoff.Refusal{Reason: handoff.ReasonNotConfirmed})
		return
	}
	st.release(requests, nil)
}

func (st *step) quit(e handoff.Quit) {
	requests := []handoff.RequestID{e.Request}
	if e.Capture == nil {
		st.leave(requests, nil)
		return
	}
	sequence := st.sequenceOf(e.Capture)
	if sequence <= st.s.session.accepted {
		// The newer capture is stored already; the player leaves all the same.
		refusal := &handoff.Refusal{Reason: handoff.ReasonSuperseded}
		st.refuseCapture(0, e.Capture, sequence, refusal)
		st.leave(requests, refusal)
		return
	}
	st.tried(sequence)
	st.startWrite(&write{kind: writeCheckIn, snapshot: st.snapshot(e.Capture, sequence), requests: requests})
}

// lateQuit answers for a session that is over: the same final save twice is
// answered twice and stored once. One that brings data after an end without any
// comes too late, and so does one whose data never reached the database and
// has been overtaken by a later session.
func (st *step) lateQuit(e handoff.Quit, refusal *handoff.Refusal) {
	past := st.s.ended
	again := past != nil && past.session == e.Session && past.receipt != nil &&
		(e.Capture == nil || !past.receipt.Snapshot.IsZero())
	switch {
	case again && past.safe:
		st.reply(e.Request, past.receipt)
	case again && st.joinOwed([]handoff.RequestID{e.Request}, past.receipt.Version):
	default:
		st.refuseLate(e.Request, e.Session, e.Capture, refusal)
	}
}

// refuseLate answers a capture for a session that is over, and keeps it as
// evidence where the session is still remembered.
func (st *step) refuseLate(request handoff.RequestID, id handoff.SessionID, capture *handoff.Capture, refusal *handoff.Refusal) {
	past := st.s.ended
	if capture == nil || past == nil || past.session != id {
		st.reply(request, refusal)
		return
	}
	sequence := capture.Sequence
	if sequence == 0 {
		sequence = past.tried + 1
	}
	as := handoff.AsHistory
	if refusal.Reason == handoff.ReasonSessionLost {
		as = handoff.AsConflict
	}
	version := handoff.Version{Fence: id.Fence, Sequence: sequence}
	st.keep(st.capturedAs(capture, version, past.base), as, refusal)
	st.reply(request, refusal)
}

// refuseCapture answers a capture of the living session that comes too late,
// and keeps it for people to look at, never as current.
func (st *step) refuseCapture(request handoff.RequestID, capture *handoff.Capture, sequence uint64, refusal *handoff.Refusal) {
	st.keep(st.snapshot(capture, sequence), handoff.AsHistory, refusal)
	st.reply(request, refusal)
}

// putOff lets an event wait for the write under way. Orders without a request
// are few and are always taken.
func (st *step) putOff(request handoff.RequestID, event handoff.Event) {
	if request != 0 && len(st.s.deferred) >= maxDeferred {
		st.reply(request, &handoff.Refusal{Reason: handoff.ReasonBusy, RetryAfter: firstRetry})
		return
	}
	st.s.deferred = with(st.s.deferred, event)
}

// resumeDeferred takes the events that waited, in order; one that starts a
// write makes those behind it wait again.
func (st *step) resumeDeferred() {
	events := st.s.deferred
	st.s.deferred = nil
	for _, event := range events {
		st.take(event)
	}
}

// dropDeferred forgets events that have become pointless; while a join waits
// these can only be orders that nobody awaits an answer to.
func (st *step) dropDeferred() { st.s.deferred = nil }

// with returns a new slice with one more element, since states share theirs.
func with[T any](list []T, element T) []T {
	return append(slices.Clip(list), element)
}
