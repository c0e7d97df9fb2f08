package explore

import (
	"fmt"

	"github.com/syncworker/syncworker/internal/handoff"
)

var moveNames = [...]string{
	moveRun: "runs", movePerform: "runs, its answer is delayed:", moveDeliver: "gets its answer:",
	moveFail: "loses an operation:", moveLose: "loses the answer of", moveLook: "looks",
	moveLoseLook: "loses a notification", moveSpurious: "gets a notification of nothing",
	movePetition: "gets a petition", moveLosePetition: "loses a petition", moveTimer: "timer fires:",
	moveTick: "time passes", moveNotice: "renews its lease", moveRenew: "renews its lease after it has woken",
	moveCallbacks: "begins to settle", moveSweep: "sweeps", moveReplay: "replays its spool",
	moveAttach: "game attaches", moveRestart: "restarts", moveWake: "wakes", moveHeal: "reaches redis again",
	moveJoin: "player joins", moveConfirm: "game confirms", moveRefuseData: "game cannot apply the data",
	moveSave: "game saves", moveQuit: "player quits", moveQuitBare: "player quits without data",
	moveCancel: "join is cancelled", moveHangUp: "grant is not received", moveRepeatJoin: "game repeats its join",
	moveGameDies: "game restarts", moveCrash: "crashes", moveInPlace: "restarts in place", moveFreeze: "freezes",
	moveCut: "is cut off from redis", moveResync: "loses its connection and has it back", moveAway: "redis goes away", moveBack: "redis is back with all it had",
	moveFlush: "redis is emptied",
	moveDump:  "redis writes its dump", moveRollback: "redis restarts with its dump", moveDBDown: "the database goes away",
	moveDBSlow: "the database becomes slow", moveDBUp: "the database is back", moveExpire: "data_update runs out",
	moveProbe: "player joins after all",
}

// describe tells the move for transcripts.
func (w *World) describe(m Move) string {
	name := moveNames[m.Kind]
	switch m.Kind {
	case moveTick, moveDBUp, moveAway, moveBack, moveFlush, moveDump, moveRollback, moveDBDown, moveDBSlow, moveExpire:
		if m.Kind == moveFlush && m.Arg == 1 {
			name += ", claims that have passed the gate are on their way"
		}
		if m.Kind == moveBack && m.Arg == 1 {
			name += "; no connection has broken"
		}
		return name
	default:
	}
	text := fmt.Sprintf("%s %s", w.id(int(m.Server)), name)
	switch m.Kind {
	case moveRun, movePerform, moveFail, moveLose:
		text += fmt.Sprint(" ", show(w.servers[m.Server].lanes[m.Arg].queue[0]))
	case moveTimer:
		text += " " + timerName(handoff.Timer(m.Arg))
	case moveCrash:
		if m.Arg != 0 {
			text += ", what it had sent is performed"
		}
	case moveFreeze:
		if m.Arg != 0 {
			text += ", its claim is on its way"
		}
	default:
	}
	return text
}
