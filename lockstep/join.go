package lockstep

import "github.com/syncworker/syncworker/internal/handoff"

// onJoin takes a join in any phase. Only absent and lost start a claim; where a
// session is ending, the join waits for the end, so that a quick rejoin on the
// same server never sees the data before the save that is in flight.
func (st *step) onJoin(e handoff.Join) {
	if e.Name != "" {
		st.s.name = e.Name
	}
	switch st.s.phase {
	case PhaseAbsent, PhaseLost:
		st.setJoin(e)
		st.startWait()
	case PhaseClaiming, PhaseWaiting, PhaseLoading, PhaseCheckingIn, PhaseReleasing:
		st.setJoin(e)
	case PhaseDelivered:
		// The answer got lost on its way: the same again.
		st.s.session = copied(st.s.session, func(s *session) { s.request = e.Request })
		st.reply(e.Request, st.s.session.grant)
	case PhasePresent:
		st.reply(e.Request, &handoff.Refusal{Reason: handoff.ReasonAlreadyHere})
	case PhaseSaving, PhaseVerifying:
		if st.s.leaving() || !st.s.session.confirmed {
			st.setJoin(e)
			return
		}
		st.reply(e.Request, &handoff.Refusal{Reason: handoff.ReasonAlreadyHere})
	}
}

// setJoin makes e the join that waits; an older one is refused.
func (st *step) setJoin(e handoff.Join) {
	if st.s.join != nil {
		st.reply(st.s.join.request, &handoff.Refusal{Reason: handoff.ReasonReplaced})
	}
	st.s.join = &join{request: e.Request, since: st.at, deadline: e.Deadline}
	st.do(handoff.SetTimer{Timer: handoff.TimerDeadline, At: e.Deadline})
}

// startWait sends the first claim, and with it the database read: during a
// handoff the read costs nothing, and a fresh login needs it anyway.
func (st *step) startWait() {
	st.s.wait, st.s.listed = &wait{}, false
	st.claim()
	st.read()
}

// claim asks for the checkout. There is at most one question under way.
func (st *step) claim() {
	attempt := st.nextOp()
	enlist := !st.s.wait.enlisted
	st.s.wait = copied(st.s.wait, func(w *wait) {
		w.attempt, w.again, w.enlisted, w.polled, w.leaseSeen, w.allowing = attempt, false, true, false, false, false
		w.over, w.doubt, w.leaseRead = handoff.Holder{}, false, 0
	})
	st.s.phase = PhaseClaiming
	st.do(handoff.Claim{Attempt: attempt, Enlist: enlist, Floor: st.s.wait.floor})
}

// read asks the database, remembering which claim it was sent with.
func (st *step) read() {
	attempt := st.nextOp()
	st.s.wait = copied(st.s.wait, func(w *wait) { w.read = read{attempt: attempt, since: w.attempt} })
	st.do(handoff.ReadNewest{Attempt: attempt})
}

// onClaimed takes the answer to a claim. An answer is never ignored while its
// claim is the current one, even when the join behind it is gone: a grant must
// be given back.
func (st *step) onClaimed(e handoff.Claimed) {
	if st.s.phase != PhaseClaiming || e.Attempt != st.s.wait.attempt {
		return
	}
	switch e.Outcome {
	case handoff.ClaimGranted:
		st.granted(e)
	case handoff.ClaimHeld:
		st.held(e.Holder)
	case handoff.ClaimUnknown:
		st.unknown()
	case handoff.ClaimSettling:
		// The claim was not even sent, and its entry on the list neither.
		st.hold(func(w *wait) {
			w.enlisted, w.obstacle, w.problem, w.read.stale = false, handoff.ReasonSettling, nil, true
		})
		st.stayWaiting(func() { st.do(handoff.SetTimer{Timer: handoff.TimerLook, At: e.Until}) })
	case handoff.ClaimFailed:
		st.claimFailed(e.Err)
	}
}

func (st *step) claimFailed(err error) {
	st.hold(func(w *wait) {
		w.unsure, w.enlisted, w.obstacle, w.problem = true, false, handoff.ReasonRedis, err
		w.read.stale = true
		w.failures++
	})
	st.stayWaiting(func() { st.setTimer(handoff.TimerLook, backoff(st.s.wait.failures, lastRetry)) })
}

func (st *step) held(holder handoff.Holder) {
	st.hold(func(w *wait) {
		w.holder, w.handedBy = holder, holder.Server
		w.unsure, w.failures = false, 0
		w.obstacle, w.problem = handoff.ReasonHeld, nil
	})
	st.stayWaiting(func() {
		switch {
		case st.s.wait.again:
			st.claim()
		case st.s.wait.stealing:
			st.takeOver()
		case !st.s.wait.watching:
			st.hold(func(w *wait) { w.watching = true })
			st.do(handoff.Watch{Key: handoff.KeyCheckout})
		default:
			st.readLease()
		}
	})
}

// hold copies the wait with a change.
func (st *step) hold(change func(*wait)) { st.s.wait = copied(st.s.wait, change) }

// stayWaiting goes on waiting, or gives up when the join is gone. Whatever was
// put off for the grant's sake is pointless now: there was none.
func (st *step) stayWaiting(then func()) {
	st.dropDeferred()
	st.s.phase = PhaseWaiting
	if st.s.join == nil {
		st.abandon()
		return
	}
	then()
}

// unknown is rule R2: Redis knows no fence of this player, so either the player
// is new or Redis has forgotten. Our own lease tells: Redis that forgets one
// forgets the other.
func (st *step) unknown() {
	st.dropDeferred() // The lease is looked at from here on.
	st.hold(func(w *wait) {
		w.unsure, w.failures, w.attempt = false, 0, st.nextOp()
		w.over, w.obstacle, w.problem = handoff.Holder{}, handoff.ReasonSettling, nil
		if w.unknownSince.IsZero() {
			w.unknownSince = st.at
		}
	})
	if st.s.join == nil {
		st.abandon()
		return
	}
	st.do(handoff.CheckLease{Attempt: st.s.wait.attempt})
}

func (st *step) onLeaseChecked(e handoff.LeaseChecked) {
	if st.s.wait == nil || e.Attempt != st.s.wait.attempt {
		return
	}
	switch {
	case st.s.phase == PhaseLoading:
		st.leaseSeenAgain(e)
	case st.s.phase != PhaseClaiming:
	case e.Err != nil:
		st.claimFailed(e.Err)
	case !e.Present:
		// Redis forgot everything. Whoever holds players has until the end of
		// the settle period to say so.
		st.hold(func(w *wait) { w.unknownSince, w.enlisted = st.at, false })
		st.stayWaiting(func() { st.setTimer(handoff.TimerLook, st.config.Settle) })
	case st.s.wait.over.Server != "":
		st.claimOver()
	default:
		st.hold(func(w *wait) { w.leaseSeen = true })
		st.claimUnknown()
	}
}

// leaseSeenAgain decides about a grant that created a fence. When Redis was
// emptied between the first look at our lease and that claim, a holder may be
// about to resume: the grant is given back.
func (st *step) leaseSeenAgain(e handoff.LeaseChecked) {
	switch {
	case e.Err != nil:
		st.refuseJoin(&handoff.Refusal{Reason: handoff.ReasonRedis, RetryAfter: lastRetry, Err: e.Err})
	case !e.Present:
		st.startOver()
	default:
		st.hold(func(w *wait) { w.allowing = false })
		st.load()
	}
}

// claimUnknown goes on after unknown once both the lease and the database have
// answered: a player without rows is new, one with rows may have a holder who
// needs time to resume.
func (st *step) claimUnknown() {
	w := st.s.wait
	switch {
	case st.s.join == nil:
		st.s.phase = PhaseWaiting
		st.abandon()
	case !w.read.done:
		// onNewestRead comes back here.
	case w.read.err != nil && !isAbsent(w.read.err):
		st.refuseJoin(unreadable(w.read.err))
	case w.read.err == nil && st.at.Before(w.unknownSince.Add(st.config.Settle)):
		st.s.phase = PhaseWaiting
		st.do(handoff.SetTimer{Timer: handoff.TimerLook, At: w.unknownSince.Add(st.config.Settle)})
	default:
		st.claimAllowingUnknown()
	}
}

func (st *step) claimAllowingUnknown() {
	attempt := st.nextOp()
	st.hold(func(w *wait) {
		w.attempt, w.again, w.enlisted, w.leaseSeen, w.allowing = attempt, false, true, false, true
		if w.read.snapshot != nil {
			w.floor = max(w.floor, w.read.snapshot.Version.Fence)
		}
	})
	st.do(handoff.Claim{Attempt: attempt, Enlist: true, AllowUnknown: true, Floor: st.s.wait.floor})
}

// onLook takes a hint. It proves nothing; it makes a waiting join ask again,
// and a question under way be repeated (law L9).
func (st *step) onLook(e handoff.Look) {
	if e.Cause == handoff.LookResync && st.s.wait != nil {
		st.redisMayHaveForgotten()
	}
	switch st.s.phase {
	case PhaseWaiting:
		st.claim()
		st.hold(func(w *wait) { w.polled = e.Cause == handoff.LookPoll })
	case PhaseClaiming:
		st.hold(func(w *wait) { w.again = true })
	default:
	}
}

// redisMayHaveForgotten is called while a join waits: the set that names the
// player may be gone, and data_update may be older than the database was when
// it was read.
func (st *step) redisMayHaveForgotten() {
	st.hold(func(w *wait) { w.enlisted, w.read.stale, w.doubt = false, true, true })
}

// onCancelJoin withdraws a join. A grant that nobody received is given back:
// whoever joins next is served as if nothing had happened.
func (st *step) onCancelJoin(e handoff.CancelJoin) {
	switch {
	case st.s.join != nil && st.s.join.request == e.Request:
		st.refuseJoin(&handoff.Refusal{Reason: handoff.ReasonCancelled})
	case st.s.session == nil || st.s.session.confirmed || st.s.session.request != e.Request:
	case st.s.phase == PhaseDelivered:
		st.release(nil, &handoff.Refusal{Reason: handoff.ReasonCancelled})
	case st.s.phase == PhaseVerifying:
		st.putOff(0, e)
	}
}

// onDeadline ends the wait with the reason that stood in the way last.
func (st *step) onDeadline() {
	if st.s.join == nil || st.at.Before(st.s.join.deadline) {
		return
	}
	if st.maySteal() {
		st.steal()
		return
	}
	refusal := &handoff.Refusal{Reason: handoff.ReasonRedis, RetryAfter: lastRetry}
	if w := st.s.wait; w != nil {
		refusal.Err = w.problem
		if w.obstacle != 0 {
			refusal.Reason = w.obstacle
		}
		if w.obstacle == handoff.ReasonHeld {
			refusal.Holder = w.holder.Server
		}
		if st.s.phase == PhaseLoading {
			refusal.Reason = handoff.ReasonDatabase
		}
	}
	st.refuseJoin(refusal)
}

// refuseJoin answers the waiting join and gives up what was gained for it.
func (st *step) refuseJoin(refusal *handoff.Refusal) {
	if st.s.join != nil {
		st.reply(st.s.join.request, refusal)
		st.s.join = nil
		st.do(handoff.StopTimer{Timer: handoff.TimerDeadline})
	}
	switch st.s.phase {
	case PhaseClaiming:
		if st.questionOpen() {
			return // Its answer decides what there is to give back.
		}
		st.abandon()
	case PhaseWaiting:
		st.abandon()
	case PhaseLoading:
		st.release(nil, refusal)
	default:
	}
}

// questionOpen reports whether Redis still owes the answer of a claim or of a
// lease check; it does not while claimUnknown waits for the database alone.
func (st *step) questionOpen() bool { return !st.s.wait.leaseSeen }

// abandon ends a wait that gained nothing. A claim without an answer may have
// gained something all the same: then the checkout is swept first.
func (st *step) abandon() {
	w := st.s.wait
	st.endWait()
	st.dropDeferred()
	if w.unsure {
		st.note(handoff.NoteClaimLost, "")
		st.startWrite(&write{kind: writeSweep})
		return
	}
	st.delist()
	st.toAbsent()
}

// endWait drops the wait and what it had set up around the player.
func (st *step) endWait() {
	st.unwatch()
	st.do(handoff.StopTimer{Timer: handoff.TimerLook})
	st.s.wait = nil
}

// unwatch ends the subscriptions of a wait.
func (st *step) unwatch() {
	if st.s.wait.watching {
		st.do(handoff.Unwatch{Key: handoff.KeyCheckout})
	}
	if st.s.wait.watched != "" {
		st.do(handoff.Unwatch{Key: handoff.KeyLease})
	}
	st.hold(func(w *wait) { w.watching, w.watched = false, "" })
}

// toAbsent enters the phase without a session, from which a waiting join
// starts at once.
func (st *step) toAbsent() {
	st.s.phase = PhaseAbsent
	if e := st.s.ended; e != nil && e.refusal != nil && e.refusal.Reason == handoff.ReasonSessionLost {
		st.s.phase = PhaseLost
	}
	if st.s.join != nil {
		st.startWait()
	}
}

// copied returns a pointer to a changed copy, since states are immutable.
func copied[T any](old *T, change func(*T)) *T {
	fresh := *old
	change(&fresh)
	return &fresh
}
