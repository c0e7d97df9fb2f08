package lockstep

import (
	"slices"

	"github.com/syncworker/syncworker/internal/handoff"
)

// spoolWrite takes a capture that Redis gave no answer for to the local disk.
// Until the disk has answered, nothing more of this player is written.
func (st *step) spoolWrite(problem *handoff.Refusal) {
	w := st.s.write
	st.s.write = copied(w, func(w *write) {
		w.op, w.resuming, w.resumes = 0, false, 0
		w.spooling, w.problem = true, problem
	})
	st.do(handoff.Spool{Entry: handoff.SpoolEntry{
		Snapshot: w.snapshot, As: handoff.AsCurrent, Final: w.kind == writeCheckIn,
	}})
}

// onSpooled takes the disk's answer, about the write under way or about what the
// database did not take.
func (st *step) onSpooled(e handoff.Spooled) {
	if w := st.s.write; w != nil && w.spooling && w.snapshot.ID == e.ID {
		st.writeSpooled(e)
		return
	}
	at := slices.IndexFunc(st.s.unstored, func(o owed) bool { return o.snapshot.ID == e.ID && o.spooling })
	if at < 0 {
		return
	}
	o := st.s.unstored[at]
	if e.Err != nil {
		st.note(handoff.NoteSpoolFailed, e.Err.Error())
		st.replyAll(o.requests, alsoUnspooled(o.problem, e.Err))
		st.storeLater(at, o.problem)
		return
	}
	st.isOnDisk(o.snapshot)
	st.replyAll(o.requests, o.receipt)
	st.storeLater(at, o.problem)
}

func (st *step) writeSpooled(e handoff.Spooled) {
	w := st.s.write
	if e.Err != nil {
		st.note(handoff.NoteSpoolFailed, e.Err.Error())
		st.replyAll(w.requests, alsoUnspooled(w.problem, e.Err))
	} else {
		st.isOnDisk(w.snapshot)
		st.replyAll(w.requests, receiptFor(w.snapshot, handoff.StateProvisional))
	}
	switch {
	case w.kind == writeCheckIn:
		st.s.write = copied(w, func(w *write) { w.spooling, w.spooled, w.problem = false, e.Err == nil, nil })
		st.repeatLater()
	case e.Err != nil:
		st.s.write = nil
		st.stayHere()
	default:
		st.s.write = nil
		st.s.session = copied(st.s.session, func(s *session) {
			s.pending, s.replays = w.snapshot, 1
			s.base, s.accepted = w.snapshot.Data, w.snapshot.Version.Sequence
		})
		st.stayHere()
	}
}

// alsoUnspooled is what a game hears when the disk failed as well.
func alsoUnspooled(problem *handoff.Refusal, err error) *handoff.Refusal {
	told := *problem
	told.Err = err
	return &told
}

// replay sends Redis what it missed.
func (st *step) replay() {
	st.startWrite(&write{kind: writeUpdate, snapshot: st.s.session.pending, spooled: true})
}

// isOnDisk notes an entry of the spool, which makes older ones of the session
// pointless: this one was laid over them.
func (st *step) isOnDisk(snapshot *handoff.Snapshot) {
	st.note(handoff.NoteSpooled, snapshot.Version.String())
	st.unspoolUpTo(snapshot.Version)
	st.s.spooled = with(st.s.spooled, spooled{id: snapshot.ID, version: snapshot.Version})
}

func (st *step) onDisk(id handoff.SnapshotID) bool {
	return slices.ContainsFunc(st.s.spooled, func(s spooled) bool { return s.id == id })
}

// unspoolUpTo removes the entries that a version which is safe makes pointless:
// those it was laid over, of its own session or of earlier ones. What is kept for
// people, or of an earlier session and still owed, stays.
func (st *step) unspoolUpTo(version handoff.Version) {
	st.unspool(func(s spooled) bool {
		return s.version.Compare(version) <= 0 && !slices.ContainsFunc(st.s.unstored, func(o owed) bool {
			return o.snapshot.ID == s.id && (o.as != handoff.AsCurrent || s.version.Fence != version.Fence)
		})
	})
}

func (st *step) unspoolOne(id handoff.SnapshotID) {
	st.unspool(func(s spooled) bool { return s.id == id })
}

func (st *step) unspool(which func(spooled) bool) {
	if len(st.s.spooled) == 0 {
		return
	}
	var kept []spooled
	for _, entry := range st.s.spooled {
		if which(entry) {
			st.do(handoff.Unspool{ID: entry.id})
		} else {
			kept = append(kept, entry)
		}
	}
	st.s.spooled = kept
}
