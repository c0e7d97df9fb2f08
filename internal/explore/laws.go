package explore

import (
	"fmt"
	"slices"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// truth is what only the checker knows.
type truth struct {
	// delivered is the highest fence that a game ever got, and what it got.
	delivered handoff.Fence
	loaded    handoff.Version
	// acknowledged is the snapshot that a game heard CURRENT for last.
	acknowledged promise
	// accepted are the newest versions that Redis took of each session, and
	// final those that ended one.
	accepted []handoff.Version
	final    []handoff.Version
	// provisional are the snapshots answered PROVISIONAL.
	provisional []promise
	// unsaved were accepted by Redis alone when it lost its memory: the database
	// had not taken them yet. A further fault that keeps it from doing so until
	// somebody else was granted is outside the promise.
	unsaved []handoff.Version
	// emptied: Redis has lost its memory at least once. Strayed: of a player who
	// has no data at all a grant was given back after that, and left its fence.
	emptied, strayed bool
	// amnesia: Redis has lost its memory since the last delivery.
	amnesia bool
	// ended: the lease of the server has ended by time and not by the loss of
	// Redis's memory. saw: the last lease a server read had ended like that.
	ended, saw [maxServers]bool
	// doubt: Redis has lost its memory and the server has not verified its
	// sessions since.
	doubt [maxServers]bool
	// fenced: sessions of the server below this fence were taken over as the
	// laws allow; they believe in themselves until they hear of it.
	fenced [maxServers]handoff.Fence
}

// promise is a snapshot that a game was told is kept.
type promise struct {
	server  int
	version handoff.Version
	id      handoff.SnapshotID
}

func (p promise) isZero() bool { return p.version.IsZero() }

// in reports whether the snapshot is the promised one or was built on it.
func (p promise) in(s *handoff.Snapshot) bool {
	if s == nil {
		return false
	}
	_, ok := s.Data[mark(p.id)]
	return ok
}

func (w *World) broken(format string, args ...any) {
	if w.violation == "" {
		w.violation = fmt.Sprintf(format, args...)
		w.say("VIOLATION %s", w.violation)
	}
}

// livesOn returns the fence of the session that a server, or the game beside it,
// takes for alive; zero for none.
func (w *World) livesOn(i int) handoff.Fence {
	s := w.servers[i]
	if s.life == lifeDown || !s.attached {
		// The game plays on; it will ask for the session when a worker is back.
		return s.session.Fence
	}
	sum := s.state.Summary()
	switch sum.Phase {
	case "loading", "checking-in", "releasing":
		return 0
	}
	if !sum.Live || sum.Leaving {
		return 0
	}
	return sum.Session.Fence
}

// checkExclusion is law L4: at most one live session that is not fenced.
func (w *World) checkExclusion() {
	live, first := 0, handoff.ServerID("")
	for i := range w.count() {
		fence := w.livesOn(i)
		if fence == 0 || fence < w.truth.fenced[i] {
			continue
		}
		live++
		if live > 1 {
			w.broken("L4: two live sessions, on %s and %s", first, w.id(i))
		}
		first = w.id(i)
	}
}

// noted takes what a machine says of itself.
func (w *World) noted(i int, kind handoff.NoteKind) {
	switch kind {
	case handoff.NoteWithoutDatabase:
		w.unchecked = true
	case handoff.NoteSuspect:
		// Rule R7: what Redis has forgotten of a suspect session is lost, as if
		// it had been taken over.
		w.truth.fenced[i] = max(w.truth.fenced[i], w.speaking+1)
	default:
	}
}

// noteLeaseRead remembers whether a lease that was read had ended by time.
func (w *World) noteLeaseRead(i, owner int) {
	w.truth.saw[i] = w.redis.leases[owner].incarnation == 0 && w.truth.ended[owner]
}

// noteGrant is called before a grant raises the fence.
func (w *World) noteGrant(i int, over bool) {
	holder := indexOf(w.redis.checkout)
	// A known limit of rule R2: such a fence hides that Redis has forgotten a
	// session which has saved nothing yet.
	limit := w.truth.strayed && w.nothingSaved()
	legal := over && (w.truth.saw[i] || w.rules.steal)
	for j := range w.count() {
		if j == i {
			continue
		}
		unreachable := w.truth.doubt[j] && (w.servers[j].life != lifeUp || w.servers[j].cut)
		if legal && j == holder || unreachable || limit {
			w.truth.fenced[j] = -1 // Set to the new fence by granted.
		}
	}
}

func (w *World) granted(int) {
	for j := range w.count() {
		if w.truth.fenced[j] == -1 {
			w.truth.fenced[j] = w.redis.fence
		}
	}
}

// resumed: Redis has confirmed a session of the server.
func (w *World) resumed(i int) {
	if !w.servers[i].begun && w.servers[i].noticeBy == 0 {
		w.truth.doubt[i] = false
	}
}

// noteVerified: the server has heard of the loss; without a session there is
// nothing that Redis would have to be told.
func (w *World) noteVerified(i int) {
	if sum := w.servers[i].state.Summary(); !sum.Live {
		w.truth.doubt[i] = false
	}
}

// accepted is law L1, checked when Redis takes a snapshot.
func (w *World) accepted(i int, s *handoff.Snapshot, final bool) {
	t := &w.truth
	v := s.Version
	at := slices.IndexFunc(t.accepted, func(a handoff.Version) bool { return a.Fence == v.Fence })
	if at >= 0 && v.Compare(t.accepted[at]) <= 0 {
		return // It was accepted before.
	}
	if v.Fence < t.delivered && !t.amnesia && !w.rules.haunted {
		w.broken("L1: redis took %s of %s, although a session with fence %d was granted", v, w.id(i), t.delivered)
	}
	if slices.ContainsFunc(t.final, func(f handoff.Version) bool { return f.Fence == v.Fence }) {
		w.broken("L1: redis took %s of %s after the session's final save", v, w.id(i))
	}
	if at < 0 {
		t.accepted = with(t.accepted, v)
	} else {
		t.accepted = slices.Clone(t.accepted)
		t.accepted[at] = v
	}
	if final {
		t.final = with(t.final, v)
	}
}

func (w *World) nothingSaved() bool { return w.redis.update == nil && len(w.rows) == 0 }

// checkRelease is law L5: a checkout goes away only after the data that it
// protects is stored.
func (w *World) checkRelease(i int, fence handoff.Fence) {
	s := w.servers[i]
	if w.truth.emptied && w.nothingSaved() && fence > w.truth.delivered {
		w.truth.strayed = true
	}
	for _, action := range s.lanes[redisLane].queue {
		var waiting *handoff.Snapshot
		switch a := action.(type) {
		case handoff.Update:
			waiting = a.Snapshot
		case handoff.CheckIn:
			waiting = a.Snapshot
		default:
			continue
		}
		if waiting.Version.Fence == fence {
			w.broken("L5: %s gives the checkout of fence %d back before %v is stored", w.id(i), fence, waiting.Version)
		}
	}
	for _, e := range s.spool {
		v := e.Snapshot.Version
		if e.As == handoff.AsCurrent && !e.Accepted && v.Fence == fence && (w.redis.update == nil || w.redis.update.Version.Compare(v) < 0) {
			w.broken("L5: %s gives the checkout of fence %d back before %v, on its disk, is in redis", w.id(i), fence, v)
		}
	}
}

// checkDelivery is laws L2, L3 and L6: what is delivered is the newest there is,
// a player is new only when there is nothing, and nothing that was acknowledged
// is missing.
func (w *World) checkDelivery(grant *handoff.Grant) {
	t := &w.truth
	var got handoff.Version
	if grant.Snapshot != nil {
		got = grant.Snapshot.Version
	}
	newest := w.newestRow()
	if u := w.redis.update; u != nil && (newest == nil || u.Version.Compare(newest.Version) > 0) {
		newest = u
	}
	switch {
	case w.unchecked: // The one exception of L2: the machine said so.
	case grant.Snapshot == nil && newest != nil:
		w.broken("L3: delivered as a new player, although %v exists", newest.Version)
	case newest != nil && got.Compare(newest.Version) < 0:
		w.broken("L2: delivered %v, the newest is %v", got, newest.Version)
	case !t.acknowledged.isZero() && !t.acknowledged.in(grant.Snapshot):
		w.broken("L6: delivered %v, but %v was acknowledged", got, t.acknowledged.version)
	}
	for _, p := range t.provisional {
		if !w.unchecked && !p.in(grant.Snapshot) && p.version.Fence >= t.fenced[p.server] && p.version.Fence < grant.Session.Fence {
			w.broken("L6: delivered %v, but %v was answered PROVISIONAL and nobody took over", got, p.version)
		}
	}
	if grant.Session.Fence >= t.delivered {
		t.delivered, t.loaded, t.amnesia = grant.Session.Fence, got, false
	}
}

// checkReceipt is law L6 with rule R5: CURRENT means that the database or the
// spool has it, and that it was built on what was acknowledged before.
func (w *World) checkReceipt(i int, question asked, r *handoff.Receipt) {
	t := &w.truth
	if r.Version.IsZero() {
		return
	}
	s := w.find(r.Version)
	switch {
	case s == nil:
		w.broken("L6: %s answers %v for %v, which is neither in the database nor in a spool", w.id(i), stateNames[r.State], r.Version)
	case t.wasUnsaved(r.Version):
	case r.State == handoff.StateProvisional:
		t.provisional = with(t.provisional, promise{server: i, version: r.Version, id: s.ID})
	case r.State == handoff.StateCurrent:
		if r.Version.Fence == question.session.Fence && r.Version.Fence < t.delivered && t.loaded.Compare(r.Version) < 0 {
			w.broken("L6: %s answers CURRENT for %v, but fence %d was granted %v", w.id(i), r.Version, t.delivered, t.loaded)
		}
		if r.Version.Compare(t.acknowledged.version) <= 0 {
			return
		}
		if !t.acknowledged.isZero() && !t.acknowledged.in(s) {
			w.broken("L6: %s answers CURRENT for %v, which was not built on %v, acknowledged before", w.id(i), r.Version, t.acknowledged.version)
		}
		t.acknowledged = promise{server: i, version: r.Version, id: s.ID}
	}
}

var stateNames = [...]string{handoff.StateCurrent: "CURRENT", handoff.StateHistory: "HISTORY", handoff.StateProvisional: "PROVISIONAL"}

// wasUnsaved: Redis alone had the version, or one that the same session laid over
// it, when it lost its memory.
func (t *truth) wasUnsaved(v handoff.Version) bool {
	return slices.ContainsFunc(t.unsaved, func(u handoff.Version) bool { return u.Fence == v.Fence && v.Sequence <= u.Sequence })
}

// checkRefusal is the second half of law L7: when nothing is wrong any more, a
// join is granted.
func (w *World) checkRefusal(i int, question asked, r *handoff.Refusal) {
	if question.kind != askJoin || w.calm != calmEager {
		return
	}
	switch r.Reason {
	case handoff.ReasonHeld, handoff.ReasonSettling, handoff.ReasonRedis, handoff.ReasonDatabase:
	default:
		return
	}
	if w.now-max(w.calmSince, question.since) >= patience {
		w.broken("L7: a join on %s is refused as %v, %v after everything was well", w.id(i), r.Reason, w.now-max(w.calmSince, question.since))
	}
}

// checkRest is laws L7 and L8 at the end: nothing waits, nothing is left behind.
func (w *World) checkRest() {
	for i := range w.count() {
		s := w.servers[i]
		if len(s.waiting) > 0 {
			w.broken("L7: %s never answers request %d", w.id(i), s.waiting[0].request)
		}
		if !s.state.Idle() {
			w.broken("L8: %s keeps %+v", w.id(i), s.state.Summary())
		}
		if s.watchesAny() || s.timers != [maxTimers]time.Duration{} {
			w.broken("L8: %s keeps a watch or a timer: %v %v", w.id(i), s.watches, s.timers)
		}
		if len(s.spool) > 0 {
			w.broken("L8: %s keeps %v in its spool", w.id(i), s.spool[0].Snapshot.Version)
		}
	}
	if w.redis.checkout != "" {
		w.broken("L8: the checkout of %s is left behind", w.redis.checkout)
	}
	for _, p := range w.truth.provisional {
		w.checkPromise(p)
	}
}

// checkPromise: a PROVISIONAL snapshot becomes current, itself or as what the next
// one was built on, unless another server has taken over; then it is kept.
func (w *World) checkPromise(p promise) {
	if p.in(w.newestRow()) || p.in(w.redis.update) {
		return
	}
	kept := slices.ContainsFunc(w.rows, func(r row) bool { return p.in(r.snapshot) })
	switch {
	case !kept:
		w.broken("L6: %v was answered PROVISIONAL and is nowhere", p.version)
	case w.truth.fenced[p.server] <= p.version.Fence:
		w.broken("L6: %v was answered PROVISIONAL and is not current, though nobody took over", p.version)
	}
}
