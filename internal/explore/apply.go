package explore

import "github.com/syncworker/syncworker/internal/handoff"

// apply makes the move. The world must be a clone.
func (w *World) apply(m Move) {
	w.say("%v", w.describe(m))
	i := int(m.Server)
	switch m.Kind {
	case moveRun, movePerform, moveDeliver, moveFail, moveLose:
		w.applyLane(m)
	case moveLook, moveLoseLook, moveSpurious, movePetition, moveLosePetition:
		w.applyHint(m)
	case moveTimer:
		s := w.server(i)
		s.timers[m.Arg] = 0
		w.post(i, handoff.TimerFired{Timer: handoff.Timer(m.Arg)})
	case moveTick:
		w.tick()
	case moveNotice, moveRenew:
		w.renew(i)
	case moveCallbacks:
		w.callbacks(i)
	case moveSweep:
		w.sweep(i)
	case moveReplay:
		w.replayOne(i)
	case moveAttach:
		w.attach(i)
	case moveRestart:
		w.restart(i)
	case moveWake, moveHeal:
		w.comeBack(i)
	case moveBack:
		w.away = false
		for j := range w.count() {
			switch {
			case !w.servers[j].cut:
			case m.Arg == 1:
				w.speakAgain(j)
			default:
				w.comeBack(j)
			}
		}
	case moveDBUp:
		w.db = dbUp
	case moveProbe:
		w.probes++
		w.join(i)
	default:
		if m.Kind >= moveCrash {
			w.applyFault(m)
		} else {
			w.applyGame(m)
		}
	}
	w.checkExclusion()
}

func (w *World) applyHint(m Move) {
	i := int(m.Server)
	s := w.server(i)
	switch m.Kind {
	case moveLook:
		cause := s.look
		s.look = 0
		if s.watchesAny() {
			w.post(i, handoff.Look{Cause: cause})
		}
	case moveLoseLook:
		w.left.faults--
		s.look = 0
		s.pollAt = w.now + safetyPoll
	case moveSpurious:
		w.left.faults--
		s.hint(handoff.LookChanged)
	case movePetition:
		petition := s.petition
		s.petition, s.petitions = handoff.Petitioned{}, false
		w.post(i, petition)
	case moveLosePetition:
		w.left.faults--
		s.petition, s.petitions = handoff.Petitioned{}, false
	default:
	}
}

func (w *World) applyGame(m Move) {
	i := int(m.Server)
	s := w.server(i)
	switch m.Kind {
	case moveConfirm:
		w.confirm(i, true)
		return
	case moveJoin:
		s.joins--
		w.join(i)
		return
	case moveSave:
		s.saves--
		w.save(i)
		return
	case moveQuit:
		w.quit(i, true)
		return
	default:
	}
	if w.calm == notCalm {
		w.left.odd--
	}
	switch m.Kind {
	case moveRefuseData:
		w.confirm(i, false)
	case moveQuitBare:
		w.quit(i, false)
	case moveCancel:
		w.cancel(i)
	case moveHangUp:
		w.hangUp(i)
	case moveRepeatJoin:
		w.join(i)
	case moveGameDies:
		w.gameDies(i)
	default:
	}
}

// applyLane lets an operation go on.
func (w *World) applyLane(m Move) {
	i, id := int(m.Server), laneID(m.Arg)
	s := w.server(i)
	l := &s.lanes[id]
	action := l.queue[0]
	switch m.Kind {
	case moveRun:
		w.carryOut(i, id)
		w.deliver(i, id)
	case movePerform:
		if s.awake() {
			w.left.delays--
		}
		w.carryOut(i, id)
	case moveDeliver:
		w.deliver(i, id)
	case moveFail:
		w.left.faults--
		l.ran, l.answer = true, unanswered(action)
		w.deliver(i, id)
	case moveLose:
		w.left.faults--
		if !l.ran {
			w.carryOut(i, id)
		}
		w.server(i).lanes[id].answer = unanswered(action)
		w.deliver(i, id)
	default:
	}
}

// carryOut performs the operation at the head of a lane.
func (w *World) carryOut(i int, id laneID) {
	s := w.server(i)
	l := &s.lanes[id]
	action := l.queue[0]
	var answer handoff.Event
	switch id {
	case readLane, storeLane:
		answer = w.askDatabase(action)
	case spoolLane:
		answer = w.runSpool(i, action)
	default:
		answer = w.askRedis(i, l, action)
	}
	l = &w.server(i).lanes[id]
	l.ran, l.answer = true, answer
}

func (w *World) askDatabase(action handoff.Action) handoff.Event {
	if w.db == dbDown {
		return unanswered(action)
	}
	if a, ok := action.(handoff.ReadNewest); ok {
		return w.runRead(a)
	}
	return w.runStore(action.(handoff.Store))
}

// askRedis asks the gate before a claim, as late as can be (rule R1).
func (w *World) askRedis(i int, l *lane, action handoff.Action) handoff.Event {
	claim, isClaim := action.(handoff.Claim)
	if isClaim && !l.gated {
		l.verified, l.suspected = false, false
		if until, open := w.gateOpen(i); !open {
			return handoff.Claimed{Attempt: claim.Attempt, Outcome: handoff.ClaimSettling, Until: epoch.Add(until)}
		}
	}
	if w.servers[i].cut || w.away {
		return unanswered(action)
	}
	return w.runRedis(i, action)
}

// deliver brings the answer of a lane's head to the machine. A grant that comes
// when a settle period has begun meanwhile is verified at once.
func (w *World) deliver(i int, id laneID) {
	s := w.server(i)
	l := &s.lanes[id]
	if !l.ran {
		return
	}
	action := l.queue[0]
	answer, verified, suspected := l.answer, l.verified, l.suspected
	*l = lane{queue: l.queue[1:]}
	if len(l.queue) == 0 {
		l.queue = nil
	}
	if answer == nil {
		return
	}
	switch answer.(type) {
	case handoff.Stored, handoff.Spooled:
		// Nothing is called current by a worker that was frozen and has not
		// found out yet (rule R7).
		if w.suspects(i) {
			w.post(i, handoff.Doubt{})
		}
	default:
	}
	if written, ok := answer.(handoff.Written); ok && written.Outcome == handoff.WriteForgotten {
		switch action.(type) {
		case handoff.Update, handoff.CheckIn:
			w.server(i).noticeBy = w.now // The lease is looked at, too.
		default:
		}
	}
	w.post(i, answer)
	if claimed, ok := answer.(handoff.Claimed); ok && claimed.Outcome == handoff.ClaimGranted {
		if _, open := w.gateOpen(i); !open || verified {
			w.post(i, handoff.Verify{Suspect: suspected})
		}
	}
}

// urgent: something is left to do that takes no time.
func (w *World) urgent() bool {
	for i := range w.count() {
		s := w.servers[i]
		if !s.awake() {
			continue
		}
		if s.look != 0 || s.petitions || s.sweeps == sweepAct && s.reaches() {
			return true
		}
		if !s.cut && (s.begun || s.woken || s.noticeBy != 0 && s.noticeBy <= w.now) {
			return true
		}
		for l := range s.lanes {
			slow := w.db == dbSlow && (laneID(l) == readLane || laneID(l) == storeLane)
			if q := &s.lanes[l]; len(q.queue) > 0 && !slow {
				return true
			}
		}
		for _, t := range s.timers {
			if t != 0 && t-1 <= w.now {
				return true
			}
		}
	}
	return false
}
