package chaos

import (
	"slices"
	"time"
)

// aftermath is how long after its repair a fault still explains that a session
// was lost: links are opened again and leases taken again by then.
const aftermath = 5 * time.Second

// cause is a fault that may cost sessions.
type cause struct {
	// server is the one concerned; empty for all.
	server     string
	begin, end time.Duration
}

// Costly are the faults of a server that may cost its sessions: others may take
// over from a worker that is gone, frozen or cut off, and the sessions of a game
// that dies end. A fault that is not named here costs none: whatever happens to
// Redis, a worker that lives puts its sessions back.
var Costly = []string{"kill", "freeze", "stop", "restart", "cut", "slow", "game"}

// Stall is the fault of a machine that stood still, which freezes all workers.
const Stall = "stall"

// causes lists the faults, those that have not ended included.
func causes(history []Entry) []cause {
	var found []cause
	for _, e := range history {
		if e.Kind != KindFault && e.Kind != KindNote {
			continue
		}
		c := cause{server: e.Server, begin: e.Start, end: e.End + aftermath}
		switch {
		case e.Reason == Stall:
		case !slices.Contains(Costly, e.Reason):
			continue
		}
		if e.Kind == KindNote && !slices.ContainsFunc(history, func(f Entry) bool {
			return f.Kind == KindFault && f.Reason == e.Reason && f.Server == e.Server && f.Start == e.Start
		}) {
			c.end = history[len(history)-1].End // it has begun and not ended
		}
		found = append(found, c)
	}
	return found
}

// judgeLosses wants that nobody loses a session for nothing (law L4): to a game
// whose worker is well, no session is called lost. A save or quit that the
// database takes only after the next server has saved hears so, too; but then the
// next server was delivered that very capture or a later one of the session, and
// nobody has lost anything.
func (v *Verdict) judgeLosses(history []Entry, x *index) {
	known := causes(history)
	told := map[string]bool{}
	for _, e := range history {
		lost := e.Reason == "SESSION_LOST" || e.Reason == "NO_SESSION"
		if !lost || e.Session == "" || told[e.Session] || e.Kind == KindFault || e.Kind == KindNote {
			continue
		}
		told[e.Session] = true
		if x.unsaved(e.Player, e.Fence) || x.delivered(e) || slices.ContainsFunc(known, func(c cause) bool {
			return (c.server == "" || c.server == e.Server) && c.begin <= e.End && e.End <= c.end
		}) {
			continue
		}
		v.add(Duplicated, e.Player, e.End, []int{e.N}, "session %d was taken from %s (%s: %s), which was well and so was its worker",
			e.Fence, e.Server, e.Kind, e.Reason)
	}
}

// longest is a time after which every call must have been answered, one way or
// the other: games wait longer than that.
const longest = 5 * time.Second

// judgeAnswers wants an answer to every call to a worker that lives (law L7).
func (v *Verdict) judgeAnswers(history []Entry) {
	known := causes(history)
	for _, e := range history {
		if e.Outcome != Unknown || e.Reason == HungUp || e.End-e.Start < longest || slices.ContainsFunc(known, func(c cause) bool {
			return (c.server == "" || c.server == e.Server) && c.begin <= e.End && e.Start <= c.end
		}) {
			continue
		}
		v.add(Broken, e.Player, e.End, []int{e.N}, "%s gave no answer to a %s within %v, though nothing was done to it",
			e.Server, e.Kind, (e.End - e.Start).Round(time.Millisecond))
	}
}

// unsaved reports whether a session began with nothing and nothing of it was
// answered CURRENT: such a player is new to whoever comes, once Redis has
// forgotten the session.
func (x *index) unsaved(player int, fence int64) bool {
	i := slices.IndexFunc(x.lives, func(l *life) bool { return l.player == player })
	if i < 0 {
		return false
	}
	l := x.lives[i]
	isNew := slices.ContainsFunc(l.joins, func(j Entry) bool { return j.Fence == fence && j.Outcome == New })
	return isNew && !slices.ContainsFunc(l.writes, func(w *write) bool { return w.fence == fence && w.acked })
}

// delivered reports whether the next session began with the capture of a save or
// quit, or with a later one of the same session.
func (x *index) delivered(e Entry) bool {
	i := slices.IndexFunc(x.lives, func(l *life) bool { return l.player == e.Player })
	if i < 0 || e.Mark == "" {
		return false
	}
	next, found := x.lives[i].after(e.Fence)
	w := x.marks[next.Mark]
	return found && w != nil && w.session == e.Session && w.capture >= e.Capture
}
