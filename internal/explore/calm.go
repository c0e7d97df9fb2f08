package explore

// calmDown returns the world as it is without any further fault: what is broken
// is mended sooner or later, everything that can go on does, players leave.
func (w *World) calmDown(kind calmness) *World {
	fresh := w.clone()
	fresh.calm, fresh.calmSince = kind, w.now
	fresh.left = budget{}
	for i := range w.count() {
		s := fresh.server(i)
		s.joins, s.saves = 0, 0
		if kind == calmLazy && s.session.IsZero() && !s.asks(askJoin) {
			s.joins = 1
		}
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
	for k := range w.count() {
		i := w.turn(k)
		if kind, arg, ok := w.calmServer(i); ok {
			return Move{kind, uint8(i), arg}, true
		}
	}
	for k := range w.count() {
		i := w.turn(k)
		if kind, ok := w.calmGame(i); ok {
			return Move{Kind: kind, Server: uint8(i)}, true
		}
	}
	if !w.somebodyWaits() {
		if w.away {
			return Move{Kind: moveBack, Arg: uint8(w.calm) - uint8(calmEager)}, true
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
	if w.calm == calmLazy {
		return w.lastQuit()
	}
	return Move{}, false
}

// turn is whose turn it is: the lazy course begins with those who wait.
func (w *World) turn(k int) int {
	if w.calm == calmLazy {
		return w.count() - 1 - k
	}
	return k
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
	case s.noticeBy != 0 && (w.calm != calmLazy || s.noticeBy <= w.now):
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

// calmGame confirms what was delivered and then, unless players stay, lets the
// player leave.
func (w *World) calmGame(i int) (moveKind, bool) {
	s := w.servers[i]
	switch {
	case !s.reaches() || !s.attached || !s.replayDone() || s.asks(askConfirm):
		return 0, false
	case s.session.IsZero():
		return moveJoin, s.joins > 0 && !s.asks(askJoin)
	case !s.confirmed:
		return moveConfirm, true
	default:
		return moveQuit, w.calm != calmLazy && !s.asks(askSave)
	}
}

// lastQuit lets the players leave who stayed while anything else could happen.
func (w *World) lastQuit() (Move, bool) {
	for i := range w.count() {
		if s := w.servers[i]; s.reaches() && !s.session.IsZero() && s.confirmed && s.attached {
			return Move{Kind: moveQuit, Server: uint8(i)}, true
		}
	}
	return Move{}, false
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
	if w.violation != "" || w.calm == calmLazy || w.probes >= w.count() {
		return Move{}, false
	}
	return Move{Kind: moveProbe, Server: uint8(w.probes)}, true
}
