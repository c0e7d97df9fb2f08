package lockstep

import (
	"slices"

	"github.com/syncworker/syncworker/internal/handoff"
)

// onVerify is rule R1: after anything that Redis may have lost its memory by,
// every live session makes sure that its checkout is still there, before
// anybody else is granted one.
func (st *step) onVerify(e handoff.Verify) {
	if st.s.wait != nil {
		st.redisMayHaveForgotten()
	}
	if e.Lost || e.Suspect {
		st.doubtOwed()
	}
	if e.Suspect && st.s.session != nil {
		st.s.session = copied(st.s.session, func(s *session) { s.suspect = true })
	}
	switch st.s.phase {
	case PhaseDelivered, PhasePresent:
		st.startWrite(&write{kind: writeVerify})
	case PhaseLoading:
		st.startOver()
	case PhaseClaiming, PhaseSaving, PhaseVerifying:
		// What is under way may have been answered before the loss.
		st.deferOnce(e)
	case PhaseCheckingIn, PhaseReleasing:
		// What ends the session proves as much. It must not wait out the pause
		// that an outage has led to: others may claim by then.
		st.s.write = copied(st.s.write, func(w *write) { w.failures = 0 })
		if st.s.write.op == 0 && !st.s.write.spooling {
			st.do(handoff.StopTimer{Timer: handoff.TimerRetry})
			st.sendAgain()
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
		st.leave(nil, refusal)
	case PhaseSaving, PhaseVerifying:
		// Bound to this session: a join that comes meanwhile is not meant.
		st.deferOnce(handoff.End{Session: st.s.sessionID(), Reason: e.Reason})
	default:
	}
}
