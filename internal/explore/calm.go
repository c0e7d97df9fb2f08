package explore

// calmDown returns the world as it is without any further fault: what is broken
// is mended sooner or later, everything that can go on does, players leave.
func (w *World) calmDown() *World {
	fresh := w.clone()
	fresh.calm, fresh.calmSince = true, w.now
	fresh.left = budget{}
	for i := range w.count() {
		s := fresh.server(i)
		s.joins, s.saves = 0, 0
	}
	return fresh
}

// calmMove returns what happens next when nothing goes wrong, false at rest. It
// is a function of the world alone. Servers that are down, frozen or cut off
// stay so as long as somebody waits elsewhere: nobody may have to wait for them.
func (w *World) calmMove() (Move, bool) {
	if w.db != dbUp {
		return Move{Kind: moveDBUp}, true
	}
	for i := range w.count() {
		if kind, arg, ok := w.calmServer(i); ok {
			return Move{kind, uint8(i), arg}, true
		}
	}
	for i := range w.count() {
		if kind, ok := w.calmGame(i); ok {
			return Move{Kind: kind, Server: uint8(i)}, true
		}
	}
	if !w.somebodyWaits() {
		if w.away {
			return Move{Kind: moveBack}, true
		}
		for i := range w.count() {
			if kind, ok := w.calmReturn(i); ok {
				return Move{Kind: kind, Server: uint8(i)}, true
			}
		}
	}
	if w.mayTick() {
		return Move{Kind: moveTick}, true
	}
	return Move{}, false
}

func (w *World) calmServer(i int) (kind moveKind, arg uint8, ok bool) {
	s := w.servers[i]
	if !s.awake() {
		return 0, 0, false
	}
	switch {
	case s.cut:
	case s.woken:
		return moveRenew, 0, true
	case s.noticeBy != 0:
		return moveNotice, 0, true
	case s.begun:
		return moveCallbacks, 0, true
	}
	for l := range s.lanes {
		switch q := &s.lanes[l]; {
		case q.ran:
			return moveDeliver, uint8(l), true
		case len(q.queue) > 0:
			return moveRun, uint8(l), true
		}
	}
	for t, at := range s.timers {
		if at != 0 && at-1 <= w.now {
			return moveTimer, uint8(t), true
		}
	}
	switch {
	case s.look != 0:
		return moveLook, 0, true
	case s.petitions:
		return movePetition, 0, true
	case w.mayReplay(i):
		return moveReplay, 0, true
	case !s.attached && s.replayDone():
		return moveAttach, 0, true
	case s.maySweep():
		return moveSweep, 0, true
	}
	return 0, 0, false
}

// calmGame confirms what was delivered and then lets the player leave.
func (w *World) calmGame(i int) (moveKind, bool) {
	s := w.servers[i]
	switch {
	case !s.reaches() || !s.attached || s.session.IsZero() || !s.replayDone():
		return 0, false
	case s.asks(askConfirm):
		return 0, false
	case !s.confirmed:
		return moveConfirm, true
	case s.asks(askSave):
		return 0, false
	default:
		return moveQuit, true
	}
}

func (w *World) somebodyWaits() bool {
	for i := range w.count() {
		if s := w.servers[i]; s.reaches() && s.asks(askJoin) {
			return true
		}
	}
	return false
}

func (w *World) calmReturn(i int) (moveKind, bool) {
	s := w.servers[i]
	switch {
	case s.life == lifeDown && w.redis.leases[i].incarnation == 0:
		return moveRestart, true
	case s.life == lifeFrozen && w.redis.leases[i].incarnation == 0:
		return moveWake, true
	case s.cut && s.awake():
		return moveHeal, true
	}
	return 0, false
}

// rest is what is looked at when nothing is left to happen: nothing may have
// stayed behind, and on each server a player still gets in.
func (w *World) rest() (Move, bool) {
	w.checkRest()
	if w.violation != "" || w.probes >= w.count() {
		return Move{}, false
	}
	return Move{Kind: moveProbe, Server: uint8(w.probes)}, true
}
