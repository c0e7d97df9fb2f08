package lockstep

import "github.com/syncworker/syncworker/internal/handoff"

// onAdopt makes a session of an earlier incarnation live here again, as far as
// Redis still knows it: the game plays on, and its saves wait until Redis and the
// database have told what the session goes on from. The database is asked at the
// same time, since it may know a higher fence (rule R6).
func (st *step) onAdopt(e handoff.Adopt) {
	absent := st.s.phase == PhaseAbsent || st.s.phase == PhaseLost
	if !absent || e.Session.Player != st.s.player || (st.s.ended != nil && st.s.ended.session == e.Session) {
		return
	}
	if e.Name != "" {
		st.s.name = e.Name
	}
	// Others may have taken the session over since its worker ended (rule R7).
	st.s.session = &session{fence: e.Session.Fence, since: st.at, confirmed: true, suspect: true}
	st.s.adopting = &adopting{}
	st.startWrite(&write{kind: writeAdopt})
	st.readToAdopt()
}

func (st *step) readToAdopt() {
	attempt := st.nextOp()
	st.s.adopting = copied(st.s.adopting, func(a *adopting) { a.read = read{attempt: attempt} })
	st.do(handoff.ReadNewest{Attempt: attempt})
}

// adoptionConfirmed: Redis knows the session. A data_update that is damaged is
// passed over: the game has the living state, the database what came before, and
// the next save moves the damaged bytes aside.
func (st *step) adoptionConfirmed(e handoff.Written) {
	st.s.adopting = copied(st.s.adopting, func(a *adopting) { a.confirmed, a.update = true, e.Update })
	st.adopt()
}

func (st *step) readForAdoption(e handoff.NewestRead) {
	if e.Attempt != st.s.adopting.read.attempt {
		return
	}
	st.s.adopting = copied(st.s.adopting, func(a *adopting) {
		a.read.done, a.read.snapshot, a.read.err = true, e.Snapshot, e.Err
	})
	if e.Err == nil {
		st.isSafe(e.Snapshot.Version)
	}
	st.adopt()
}

// adopt goes on from the newest version there is, once both stores have told.
// Where the database cannot, data_update is enough: what this session saved is
// in it, and a higher fence would have been in Redis.
func (st *step) adopt() {
	a := st.s.adopting
	switch {
	case !a.confirmed || !a.read.done:
	case a.read.err != nil && !isAbsent(a.read.err) && a.update == nil:
		st.s.adopting = copied(a, func(a *adopting) { a.failures++ })
		st.s.write = copied(st.s.write, func(w *write) { w.op = 0 })
		st.setTimer(handoff.TimerRetry, backoff(st.s.adopting.failures, lastRetry))
	case a.read.err == nil && a.read.snapshot.Version.Fence > st.s.session.fence:
		st.overtaken(a.read.snapshot)
	default:
		st.adopted(newerOf(a.update, a.read.snapshot))
	}
}

// overtaken ends an adoption that Redis allows and the database does not: Redis
// has forgotten who came after this session. The checkout is given back.
func (st *step) overtaken(by *handoff.Snapshot) {
	refusal := &handoff.Refusal{Reason: handoff.ReasonSessionLost, Holder: by.Server}
	st.note(handoff.NoteFenced, by.Version.String())
	st.do(handoff.TellLost{Session: st.s.sessionID(), NewHolder: by.Server, Reason: refusal.Reason})
	st.s.adopting = nil
	st.release(nil, refusal)
}

// readAgainForAdoption repeats the reading that failed.
func (st *step) readAgainForAdoption() {
	if st.s.adopting.read.done {
		st.readToAdopt()
	}
}

func (st *step) adopted(newest *handoff.Snapshot) {
	st.s.write, st.s.adopting = nil, nil
	if newest != nil {
		if st.s.name == "" {
			st.s.name = newest.PlayerName
		}
		st.s.session = copied(st.s.session, func(s *session) {
			s.newest, s.base, s.version = newest, newest.Data, newest.Version
			if newest.Version.Fence == s.fence {
				s.tried, s.accepted = newest.Version.Sequence, newest.Version.Sequence
			}
		})
	}
	st.stayHere()
}

// newerOf returns the newer of two snapshots of which either may be absent.
func newerOf(update, row *handoff.Snapshot) *handoff.Snapshot {
	if update == nil || (row != nil && row.Version.Compare(update.Version) > 0) {
		return row
	}
	return update
}
