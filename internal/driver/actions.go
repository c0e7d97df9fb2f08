package driver

import (
	"fmt"

	"github.com/syncworker/syncworker/internal/handoff"
)

// perform takes up one action: operations go to their lane, the rest is done at
// once.
func (d *Driver) perform(p *player, action handoff.Action) {
	if op := operationOf(action); op != notAnOperation {
		d.assign(p, op, action)
		return
	}
	switch a := action.(type) {
	case handoff.Reply:
		d.reply(p, a)
	case handoff.SetTimer:
		d.setTimer(p, a.Timer, a.At)
	case handoff.StopTimer:
		d.stopTimer(p, a.Timer)
	case handoff.Watch:
		d.startWatch(p, a)
	case handoff.Unwatch:
		d.stopWatch(p, a.Key)
	case handoff.TellLost:
		d.log.Info("session lost", "player", p.id.String(), "session", a.Session.String(), "reason", a.Reason.String(), "new-holder", a.NewHolder)
		d.ports.Game.TellLost(a)
	case handoff.AskCheckIn:
		d.log.Debug("another server waits for a player", "player", p.id.String(), "session", a.Session.String(), "by", a.By)
		d.ports.Game.AskCheckIn(a)
	case handoff.Note:
		d.note(p, a)
	default:
		d.log.Error("machine asked for an unknown action", "player", p.id.String(), "action", fmt.Sprintf("%T", action))
	}
}
