package explore

import (
	"slices"

	"github.com/syncworker/syncworker/internal/handoff"
)

// replayDone is Recovery.Done: joins, adoptions and sweeps need not wait.
func (s *server) replayDone() bool {
	return !slices.ContainsFunc(s.recovery, func(r replayed) bool { return !r.judged || r.lost })
}

// unjudged is the first entry that Redis has not answered for, -1 for none.
func (s *server) unjudged() int {
	return slices.IndexFunc(s.recovery, func(r replayed) bool { return !r.judged })
}

// mayReplay reports whether lifecycle.Recovery can take its next step.
func (w *World) mayReplay(i int) bool {
	s := w.servers[i]
	if len(s.recovery) == 0 || !s.awake() {
		return false
	}
	return w.mayJudge(i) || w.mayStore(i)
}

func (w *World) mayJudge(i int) bool {
	s := w.servers[i]
	at := s.unjudged()
	if at < 0 || s.cut || w.away || w.now < s.recovery[at].heldUntil {
		return false
	}
	e := s.recovery[at].entry
	if e.Accepted || w.redis.fence >= e.Snapshot.Version.Fence && w.redis.checkout != "" {
		return true
	}
	// Redis may have forgotten: the database is asked, and the gate.
	_, open := w.gateOpen(i)
	return w.db != dbDown && open
}

func (w *World) mayStore(i int) bool {
	r := w.servers[i].recovery[0]
	return w.db != dbDown && (r.judged || r.entry.Accepted)
}

// replayOne is one step: entries go through the fence in Redis, all of them
// before the first goes to the database.
func (w *World) replayOne(i int) {
	if w.mayJudge(i) {
		w.judge(i)
		return
	}
	s := w.server(i)
	e := s.recovery[0].entry
	w.say("  %s recovers %v as %v", w.id(i), e.Snapshot.Version, e.As)
	w.insertAnyway(e.Snapshot, e.As)
	s.unspool(e.Snapshot.ID)
	s.recovery = s.recovery[1:]
}

// judge finds out what becomes of an entry.
func (w *World) judge(i int) {
	s := w.server(i)
	at := s.unjudged()
	s.recovery = slices.Clone(s.recovery)
	r := &s.recovery[at]
	final := r.entry.Final && at == len(s.recovery)-1
	for range 2 {
		written := w.runWrite(i, 0, r.entry.Snapshot, final).(handoff.Written)
		w.say("  %s replays %v: %v", w.id(i), r.entry.Snapshot.Version, show(written))
		switch written.Outcome {
		case handoff.WriteDone:
			r.settle(handoff.AsCurrent)
			for k := range at {
				s.recovery[k].lost = false
			}
		case handoff.WriteFenced:
			r.settle(handoff.AsConflict)
		case handoff.WriteSuperseded:
			r.settle(handoff.AsHistory)
		case handoff.WriteForgotten:
			if w.judgeForgotten(i, r) {
				if final && r.heldUntil == 0 {
					r.heldUntil = w.now + settlePeriod
					return
				}
				s.recheck = s.recheck || !final
				continue
			}
		default: // There is always an answer.
		}
		break
	}
	r.judged = true
	if w.db == dbDown { // What was decided is written down.
		s.unspool(r.entry.Snapshot.ID)
		s.spool = with(s.spool, r.entry)
	}
}

// judgeForgotten resumes the session, unless somebody came after it; true when
// the write is to be repeated.
func (w *World) judgeForgotten(i int, r *replayed) (again bool) {
	v := r.entry.Snapshot.Version
	if u := w.redis.update; u != nil && u.Version == v {
		r.settle(handoff.AsCurrent) // It was taken, and the player given back.
		return false
	}
	if r.entry.Accepted {
		r.lost = true
		return false
	}
	newest := w.newestRow()
	switch {
	case newest != nil && newest.Version.Fence > v.Fence:
	case newest != nil && newest.ID == r.entry.Snapshot.ID:
		r.settle(handoff.AsCurrent)
	case newest != nil && newest.Version.Compare(v) >= 0:
		r.settle(handoff.AsHistory)
	default:
		resumed := w.runResume(i, handoff.Resume{Fence: r.entry.Snapshot.Version.Fence}).(handoff.Written)
		if resumed.Outcome == handoff.WriteDone {
			return true
		}
	}
	r.settle(handoff.AsConflict)
	return false
}

// settle notes the role that Redis decided on; what it had accepted keeps its own.
func (r *replayed) settle(as handoff.StoredAs) {
	if !r.entry.Accepted {
		r.entry.As, r.entry.Accepted = as, true
	}
}
