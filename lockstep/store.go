package lockstep

import (
	"slices"

	"github.com/syncworker/syncworker/internal/handoff"
)

// owe hands a snapshot to the database and answers the requests with the receipt
// when it is there (rule R5): only then does it survive the loss of any one part.
func (st *step) owe(snapshot *handoff.Snapshot, as handoff.StoredAs, requests []handoff.RequestID, receipt *handoff.Receipt) {
	kept := st.s.unstored
	if as == handoff.AsCurrent {
		// One that failed before has been answered as failed, and this one is
		// newer: there is no need to go on with it.
		kept = slices.DeleteFunc(slices.Clone(kept), func(o owed) bool { return o.waiting && o.as == handoff.AsCurrent })
	}
	st.s.unstored = with(kept, owed{snapshot: snapshot, as: as, requests: requests, receipt: receipt})
	st.do(handoff.Store{Snapshot: snapshot, As: as})
}

// keep stores a refused capture for people, as far as there is room; nobody was
// promised anything about it.
func (st *step) keep(snapshot *handoff.Snapshot, as handoff.StoredAs, refusal *handoff.Refusal) {
	if refusal.Reason == handoff.ReasonSuperseded {
		st.note(handoff.NoteSuperseded, snapshot.Version.String())
	}
	if len(st.s.unstored) < maxUnstored {
		st.owe(snapshot, as, nil, receiptFor(snapshot, handoff.StateHistory))
	}
}

// receiptFor is the receipt of a capture.
func receiptFor(snapshot *handoff.Snapshot, state handoff.SaveState) *handoff.Receipt {
	return &handoff.Receipt{Snapshot: snapshot.ID, Version: snapshot.Version, State: state}
}

// whenSafe answers that the session's newest version is current, as soon as the
// database has it. One that was loaded from Redis may be nowhere else: the server
// that saved it may have crashed before it reached the database.
func (st *step) whenSafe(requests []handoff.RequestID, receipt *handoff.Receipt) {
	s := st.s.session
	switch {
	case len(requests) == 0:
	case s.newest == nil || s.version == st.s.safe:
		st.replyAll(requests, receipt)
	case !st.joinOwed(requests, receipt.Version):
		st.owe(s.newest, handoff.AsCurrent, requests, receipt)
	}
}

// joinOwed lets requests wait for the version that is owed, or answers them when
// the local disk has it; false when it is not owed.
func (st *step) joinOwed(requests []handoff.RequestID, version handoff.Version) bool {
	at := slices.IndexFunc(st.s.unstored, func(o owed) bool {
		return o.as == handoff.AsCurrent && o.snapshot.Version == version
	})
	if at < 0 {
		return false
	}
	if o := st.s.unstored[at]; st.onDisk(o.snapshot.ID) {
		st.replyAll(requests, o.receipt)
		return true
	}
	st.changeOwed(at, func(o *owed) {
		o.requests = append(slices.Clone(o.requests), requests...)
		if o.waiting {
			o.waiting = false
			st.do(handoff.Store{Snapshot: o.snapshot, As: o.as})
		}
	})
	return true
}

func (st *step) changeOwed(at int, change func(*owed)) {
	st.s.unstored = slices.Clone(st.s.unstored)
	change(&st.s.unstored[at])
}

func (st *step) onStored(e handoff.Stored) {
	at := slices.IndexFunc(st.s.unstored, func(o owed) bool { return o.snapshot.ID == e.ID && !o.waiting && !o.spooling })
	if at < 0 {
		return
	}
	o := st.s.unstored[at]
	if e.Err != nil {
		st.storeFailed(at, e.Err)
		return
	}
	st.settled(at)
	st.unspoolOne(o.snapshot.ID)
	if o.as == handoff.AsCurrent {
		st.unspoolUpTo(o.snapshot.Version)
	}
	if e.Conflict && o.as == handoff.AsCurrent {
		st.conflict(o)
		return
	}
	st.replyAll(o.requests, o.receipt)
	if o.as != handoff.AsCurrent {
		return
	}
	st.isSafe(o.snapshot.Version)
	if !st.owesNewer(o.snapshot.Version) {
		st.do(handoff.Expire{Version: o.snapshot.Version})
	}
}

// settled drops what is owed no more, and with the last of it the player from
// the list that the next start would look at.
func (st *step) settled(at int) {
	st.s.unstored = slices.Delete(slices.Clone(st.s.unstored), at, at+1)
	if st.s.listed && st.s.session == nil && st.s.wait == nil {
		st.delist()
	}
}

// doubtOwed is called when Redis may have lost its memory: what the database does
// not have yet may be missing from what the next session is given, so it can no
// longer be called current. It is durable all the same.
func (st *step) doubtOwed() {
	if st.s.write != nil {
		st.s.write = copied(st.s.write, func(w *write) { w.doubtful = true })
	}
	for at, o := range st.s.unstored {
		if o.as != handoff.AsCurrent || o.doubtful || st.onDisk(o.snapshot.ID) {
			continue
		}
		doubted := receiptFor(o.snapshot, handoff.StateProvisional)
		st.changeOwed(at, func(o *owed) { o.doubtful, o.receipt = true, doubted })
		if past := st.s.ended; past != nil && past.receipt != nil && past.receipt.Snapshot == o.snapshot.ID {
			st.s.ended = copied(past, func(p *ended) { p.receipt = doubted })
		}
	}
}

// receipt is what a write that Redis has taken is answered with.
func (w *write) receipt() *handoff.Receipt {
	if w.doubtful {
		return receiptFor(w.snapshot, handoff.StateProvisional)
	}
	return receiptFor(w.snapshot, handoff.StateCurrent)
}

// doubtLast passes a write's doubt on to what is owed for it, the last entry.
func (st *step) doubtLast(w *write) {
	if w.doubtful {
		st.changeOwed(len(st.s.unstored)-1, func(o *owed) { o.doubtful = true })
	}
}

// disown answers for what a lost session still owes to the database: whoever took
// over may not have it.
func (st *step) disown(refusal *handoff.Refusal) {
	for at, o := range st.s.unstored {
		if o.as == handoff.AsCurrent && o.snapshot.Version.Fence == st.s.session.fence && len(o.requests) > 0 {
			st.replyAll(o.requests, refusal)
			st.changeOwed(at, func(o *owed) { o.requests = nil })
		}
	}
}

// isSafe notes that the database has a version as current.
func (st *step) isSafe(version handoff.Version) {
	if version.Compare(st.s.safe) > 0 {
		st.s.safe = version
	}
	if past := st.s.ended; past != nil && past.receipt != nil && past.receipt.Version == version {
		st.s.ended = copied(past, func(p *ended) { p.safe = true })
	}
}

func (st *step) owesNewer(version handoff.Version) bool {
	return slices.ContainsFunc(st.s.unstored, func(o owed) bool {
		return o.as == handoff.AsCurrent && o.snapshot.Version.Compare(version) > 0
	})
}

// storeFailed takes the snapshot to the local disk, which is the second copy
// that the answer needs (rule R5). What a game asked to keep as history is left
// to the game to repeat.
func (st *step) storeFailed(at int, err error) {
	o := st.s.unstored[at]
	refusal, final := refused(err, handoff.ReasonDatabase)
	switch {
	case final || (o.as == handoff.AsHistory && len(o.requests) > 0):
		st.replyAll(o.requests, refusal)
		st.settled(at)
		st.unspoolOne(o.snapshot.ID)
	case st.onDisk(o.snapshot.ID):
		st.replyAll(o.requests, o.receipt)
		st.storeLater(at, err)
	default:
		st.changeOwed(at, func(o *owed) { o.spooling, o.problem = true, refusal })
		st.do(handoff.Spool{Entry: handoff.SpoolEntry{Snapshot: o.snapshot, As: o.as, Accepted: true}})
	}
}

// storeLater lets the snapshot wait for its next attempt; it stays in Redis
// without an expiry until then. One that a newer one follows is let go.
func (st *step) storeLater(at int, err error) {
	o := st.s.unstored[at]
	if o.as == handoff.AsCurrent && st.owesNewer(o.snapshot.Version) {
		st.settled(at)
		return
	}
	st.note(handoff.NoteStoreRetry, err.Error())
	st.changeOwed(at, func(o *owed) {
		o.requests, o.waiting, o.spooling, o.problem = nil, true, false, nil
		o.failures++
	})
	st.setTimer(handoff.TimerStore, backoff(o.failures+1, lastStoreRetry))
}

func (st *step) onStoreRetry() {
	for at, o := range st.s.unstored {
		if o.waiting {
			st.changeOwed(at, func(o *owed) { o.waiting = false })
			st.do(handoff.Store{Snapshot: o.snapshot, As: o.as})
		}
	}
}

// conflict: the database knows a session with a higher fence, which Redis has
// forgotten, or which was faster to the database than this one. Its word counts
// (rule R6).
func (st *step) conflict(o owed) {
	st.replyAll(o.requests, &handoff.Refusal{Reason: handoff.ReasonSessionLost})
	st.note(handoff.NoteFenced, o.snapshot.Version.String())
	id := handoff.SessionID{Player: st.s.player, Fence: o.snapshot.Version.Fence}
	st.onEnd(handoff.End{Session: id, Reason: handoff.EndConflict})
	if past := st.s.ended; past != nil && past.session == id && past.refusal == nil {
		st.s.ended = copied(past, func(p *ended) {
			p.receipt, p.refusal = nil, &handoff.Refusal{Reason: handoff.ReasonSessionLost}
		})
	}
}
