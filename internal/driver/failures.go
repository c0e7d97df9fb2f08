package driver

import "github.com/syncworker/syncworker/internal/handoff"

// blankAnswer returns the event that answers the action, with nothing in it but
// what tells which action it answers; nil when nobody waits for one.
func blankAnswer(action handoff.Action) handoff.Event {
	switch a := action.(type) {
	case handoff.Claim:
		return handoff.Claimed{Attempt: a.Attempt}
	case handoff.CheckLease:
		return handoff.LeaseChecked{Attempt: a.Attempt}
	case handoff.ReadLease:
		return handoff.LeaseRead{Attempt: a.Attempt}
	case handoff.ReadNewest:
		return handoff.NewestRead{Attempt: a.Attempt}
	case handoff.Update:
		return handoff.Written{Op: a.Op}
	case handoff.CheckIn:
		return handoff.Written{Op: a.Op}
	case handoff.Release:
		return handoff.Written{Op: a.Op}
	case handoff.Resume:
		return handoff.Written{Op: a.Op}
	case handoff.Sweep:
		return handoff.Written{Op: a.Op}
	case handoff.Store:
		return handoff.Stored{ID: snapshotID(a.Snapshot)}
	case handoff.Spool:
		return handoff.Spooled{ID: snapshotID(a.Entry.Snapshot)}
	default:
		return nil
	}
}

// failed returns the answer as if the operation had come back without one:
// whether it took effect is unknown. It is nil for what answers no operation.
func failed(answer handoff.Event, err error) handoff.Event {
	switch e := answer.(type) {
	case handoff.Claimed:
		return handoff.Claimed{Attempt: e.Attempt, Outcome: handoff.ClaimFailed, Err: err}
	case handoff.LeaseChecked:
		return handoff.LeaseChecked{Attempt: e.Attempt, Err: err}
	case handoff.LeaseRead:
		return handoff.LeaseRead{Attempt: e.Attempt, Err: err}
	case handoff.NewestRead:
		return handoff.NewestRead{Attempt: e.Attempt, Err: err}
	case handoff.Written:
		return handoff.Written{Op: e.Op, Outcome: handoff.WriteFailed, Err: err}
	case handoff.Stored:
		return handoff.Stored{ID: e.ID, Err: err}
	case handoff.Spooled:
		return handoff.Spooled{ID: e.ID, Err: err}
	default:
		return nil
	}
}
