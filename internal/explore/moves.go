package explore

import "github.com/syncworker/syncworker/internal/handoff"

// Move is one thing that can happen next.
type Move struct {
	Kind   moveKind
	Server uint8
	// Arg is a lane, a timer, or a variant, depending on the kind.
	Arg uint8
}

type moveKind uint8

const (
	_ moveKind = iota
	// Operations: performed and answered; performed with the answer on its way;
	// the answer arrives; not performed, or performed, and no answer.
	moveRun
	movePerform
	moveDeliver
	moveFail
	moveLose
	// Hints and clocks.
	moveLook
	moveLoseLook
	moveSpurious
	movePetition
	moveLosePetition
	moveTimer
	moveTick
	// The worker's own life.
	moveNotice
	moveRenew
	moveCallbacks
	moveSweep
	moveReplay
	moveAttach
	moveRestart
	moveWake
	moveHeal
	moveBack
	// The game.
	moveJoin
	moveConfirm
	moveRefuseData
	moveSave
	moveQuit
	moveQuitBare
	moveCancel
	moveHangUp
	moveRepeatJoin
	moveGameDies
	// Faults.
	moveCrash
	moveInPlace
	moveFreeze
	moveCut
	moveResync
	moveAway
	moveFlush
	moveDump
	moveRollback
	moveDBDown
	moveDBSlow
	moveDBUp
	moveExpire
	// The calm end.
	moveProbe
)

// faultSet says which faults a family plays.
type faultSet uint32

// The faults.
const (
	faultFail faultSet = 1 << iota
	faultLose
	faultLostLook
	faultSpurious
	faultCrash
	faultInPlace
	faultFreeze
	faultCut
	faultResync
	faultFlush
	faultRollback
	faultDBDown
	faultDBSlow
	faultStore
	faultSpool
	faultExpire
	// faultExpired is none: the notification that a lease ended comes at once.
	faultExpired
	faultAway
)

func (f faultSet) has(one faultSet) bool { return f&one != 0 }

// moves lists what can happen next, in a fixed order.
func (w *World) moves(list []Move) []Move {
	list = list[:0]
	for i := range w.count() {
		list = w.serverMoves(list, i)
	}
	if w.mayTick() {
		list = append(list, Move{Kind: moveTick})
	}
	if w.db != dbUp {
		list = append(list, Move{Kind: moveDBUp})
	}
	if w.away {
		list = append(list, Move{Kind: moveBack}, Move{Kind: moveBack, Arg: 1})
	}
	if w.left.faults > 0 {
		list = w.globalFaults(list)
	}
	return list
}

func (w *World) serverMoves(list []Move, i int) []Move {
	s := w.servers[i]
	add := func(kind moveKind, arg uint8) { list = append(list, Move{kind, uint8(i), arg}) }
	switch s.life {
	case lifeDown:
		if w.redis.leases[i].incarnation == 0 && !w.away {
			add(moveRestart, 0)
		}
		return list
	case lifeFrozen:
		for _, l := range []laneID{redisLane, storeLane} {
			if w.mayPerform(i, l) && s.lanes[l].sent() {
				add(movePerform, uint8(l))
			}
		}
		if w.redis.leases[i].incarnation == 0 {
			add(moveWake, 0)
		}
		return list
	default:
	}
	list = w.laneMoves(list, i)
	for t := range s.timers {
		if s.timers[t] != 0 && s.timers[t]-1 <= w.now {
			add(moveTimer, uint8(t))
		}
	}
	if s.look != 0 {
		add(moveLook, 0)
	}
	if s.petitions {
		add(movePetition, 0)
	}
	if s.cut {
		if !w.away {
			add(moveHeal, 0)
		}
	} else {
		if s.noticeBy != 0 {
			add(moveNotice, 0)
		}
		if s.woken {
			add(moveRenew, 0)
		}
		if s.begun {
			add(moveCallbacks, 0)
		}
	}
	if s.maySweep() {
		add(moveSweep, 0)
	}
	if w.mayReplay(i) {
		add(moveReplay, 0)
	}
	if !s.attached && s.replayDone() {
		add(moveAttach, 0)
	}
	list = w.gameMoves(list, i)
	if w.left.faults > 0 {
		list = w.serverFaults(list, i)
	}
	return list
}

// mayPerform: the head of the lane waits to be performed.
func (w *World) mayPerform(i int, l laneID) bool {
	q := &w.servers[i].lanes[l]
	return len(q.queue) > 0 && !q.ran && (l == spoolLane || l == redisLane || w.db != dbDown)
}

// sent: an operation that had left before the worker froze. A claim that had not
// passed the gate had not.
func (l *lane) sent() bool {
	_, claim := l.queue[0].(handoff.Claim)
	return !claim || l.gated
}

func (w *World) laneMoves(list []Move, i int) []Move {
	s := w.servers[i]
	for l := range laneCount {
		q := &s.lanes[l]
		add := func(kind moveKind) { list = append(list, Move{kind, uint8(i), uint8(l)}) }
		if len(q.queue) == 0 {
			continue
		}
		if q.ran {
			add(moveDeliver)
			if w.left.faults > 0 && w.rules.faults.has(faultLose) && l == redisLane {
				add(moveLose)
			}
			continue
		}
		add(moveRun)
		if l != spoolLane && w.left.delays > 0 && w.mayPerform(i, l) && (l != redisLane || !s.cut) {
			add(movePerform)
		}
		if w.left.faults > 0 && !s.cut {
			w.lossMoves(l, unanswered(q.queue[0]) != nil, add)
		}
	}
	return list
}

func (w *World) lossMoves(l laneID, answered bool, add func(moveKind)) {
	f := w.rules.faults
	switch {
	case !answered:
	case l == redisLane && f.has(faultFail), l == spoolLane && f.has(faultSpool), (l == storeLane || l == readLane) && f.has(faultStore):
		add(moveFail)
	}
	switch {
	case !answered:
	case l == redisLane && f.has(faultLose), l == storeLane && f.has(faultStore):
		add(moveLose)
	}
}

func (w *World) gameMoves(list []Move, i int) []Move {
	s := w.servers[i]
	add := func(kind moveKind) { list = append(list, Move{kind, uint8(i), 0}) }
	if !s.attached || !s.replayDone() {
		return list
	}
	odd := w.left.odd > 0
	switch {
	case s.session.IsZero() && s.asks(askJoin):
		if odd {
			add(moveCancel)
		}
	case s.session.IsZero():
		if s.joins > 0 {
			add(moveJoin)
		}
	case !s.confirmed:
		if !s.asks(askConfirm) {
			add(moveConfirm)
			if odd {
				add(moveRefuseData)
				add(moveHangUp)
				add(moveRepeatJoin)
				add(moveQuitBare)
			}
		}
	default:
		if s.saves > 0 && !s.asks(askSave) {
			add(moveSave)
		}
		add(moveQuit)
		if odd {
			add(moveQuitBare)
		}
	}
	if odd && (!s.session.IsZero() || s.asks(askJoin)) {
		add(moveGameDies)
	}
	return list
}

func (w *World) serverFaults(list []Move, i int) []Move {
	s, f := w.servers[i], w.rules.faults
	add := func(kind moveKind, arg uint8) { list = append(list, Move{kind, uint8(i), arg}) }
	if s.look != 0 && f.has(faultLostLook) {
		add(moveLoseLook, 0)
	}
	if s.petitions && f.has(faultLostLook) {
		add(moveLosePetition, 0)
	}
	if s.look == 0 && s.watchesAny() && f.has(faultSpurious) {
		add(moveSpurious, 0)
	}
	if f.has(faultCrash) {
		for arg := range uint8(4) {
			if w.variant(i, arg) {
				add(moveCrash, arg)
			}
		}
	}
	if f.has(faultInPlace) && !s.cut && w.still(i) {
		add(moveInPlace, 0)
	}
	if f.has(faultFreeze) && !s.cut && !s.lapsed {
		add(moveFreeze, 0)
		if w.claimPasses(i) {
			add(moveFreeze, 1)
		}
	}
	if f.has(faultCut) && !s.cut {
		add(moveCut, 0)
	}
	if f.has(faultResync) && !s.cut && !s.begun {
		add(moveResync, 0)
	}
	return list
}

// variant: a crash may come just after the heads of lanes were performed.
func (w *World) variant(i int, arg uint8) bool {
	return (arg&1 == 0 || w.mayPerform(i, redisLane) && !w.servers[i].cut && (w.servers[i].lanes[redisLane].sent() || w.claimPasses(i))) &&
		(arg&2 == 0 || w.mayPerform(i, storeLane))
}

// claimPasses: a claim at the head of the lane may pass the gate now.
func (w *World) claimPasses(i int) bool {
	q := &w.servers[i].lanes[redisLane]
	if len(q.queue) == 0 || q.ran || q.gated {
		return false
	}
	_, claim := q.queue[0].(handoff.Claim)
	_, open := w.gateOpen(i)
	return claim && open
}

// still: nothing of the player is under way on the server.
func (w *World) still(i int) bool {
	for l := range w.servers[i].lanes {
		if len(w.servers[i].lanes[l].queue) > 0 {
			return false
		}
	}
	return true
}

func (w *World) globalFaults(list []Move) []Move {
	f := w.rules.faults
	if f.has(faultFlush) && !w.away && w.redis.fence != 0 && !w.lastCopy() {
		list = append(list, Move{Kind: moveFlush})
		for i := range w.count() {
			if w.servers[i].awake() && w.claimPasses(i) {
				list = append(list, Move{Kind: moveFlush, Arg: 1})
				break
			}
		}
	}
	if f.has(faultRollback) && w.left.dumps > 0 {
		list = append(list, Move{Kind: moveDump})
	}
	if f.has(faultRollback) && !w.away && w.dump != nil && !w.lastCopy() && (w.rules.haunted || !w.haunted()) {
		list = append(list, Move{Kind: moveRollback})
	}
	if f.has(faultAway) && !w.away {
		list = append(list, Move{Kind: moveAway})
	}
	if f.has(faultDBDown) && w.db == dbUp {
		list = append(list, Move{Kind: moveDBDown})
	}
	if f.has(faultDBSlow) && w.db == dbUp {
		list = append(list, Move{Kind: moveDBSlow})
	}
	if f.has(faultExpire) && w.redis.expiring && w.redis.update != nil && !w.urgent() && !w.anybodyWaits() {
		list = append(list, Move{Kind: moveExpire})
	}
	return list
}
