package explore

import (
	"slices"

	"github.com/syncworker/syncworker/internal/handoff"
)

// leave forgets the session.
func (g *game) leave() {
	g.session, g.confirmed, g.grantedTo = handoff.SessionID{}, false, 0
}

func (g *game) asks(kind requestKind) bool {
	return slices.ContainsFunc(g.waiting, func(a asked) bool { return a.kind == kind })
}

// request sends a call of the game to its worker.
func (w *World) request(i int, a asked, event func(handoff.RequestID) handoff.Event) {
	s := w.server(i)
	s.requests++
	a.request, a.since = s.requests, w.now
	s.waiting = with(s.waiting, a)
	w.post(i, event(a.request))
}

func (w *World) join(i int) {
	w.request(i, asked{kind: askJoin}, func(r handoff.RequestID) handoff.Event {
		return handoff.Join{Request: r, Deadline: w.at().Add(w.rules.wait)}
	})
}

func (w *World) confirm(i int, applied bool) {
	session := w.servers[i].session
	w.request(i, asked{kind: askConfirm, session: session, applied: applied}, func(r handoff.RequestID) handoff.Event {
		return handoff.Confirm{Request: r, Session: session, Applied: applied}
	})
}

// mark is the data that a capture brings: keys that a capture does not mention
// are carried forward, so a snapshot names all that it was built on.
func mark(id handoff.SnapshotID) string { return string(id[14:]) }

func (w *World) capture() *handoff.Capture {
	w.snapshots++
	n := w.snapshots
	id := handoff.SnapshotID{14: byte(n >> 8), 15: byte(n)}
	return &handoff.Capture{ID: id, Data: map[string][]byte{mark(id): nil}}
}

func (w *World) save(i int) {
	session := w.servers[i].session
	capture := w.capture()
	w.request(i, asked{kind: askSave, session: session}, func(r handoff.RequestID) handoff.Event {
		return handoff.Save{Request: r, Session: session, Capture: capture}
	})
}

// quit: the player leaves; the game forgets the session whatever comes of it.
func (w *World) quit(i int, data bool) {
	s := w.server(i)
	session := s.session
	s.leave()
	var capture *handoff.Capture
	if data {
		capture = w.capture()
	}
	w.request(i, asked{kind: askQuit, session: session}, func(r handoff.RequestID) handoff.Event {
		return handoff.Quit{Request: r, Session: session, Capture: capture}
	})
}

// cancel withdraws the join that waits; its answer may still come.
func (w *World) cancel(i int) {
	s := w.server(i)
	at := slices.IndexFunc(s.waiting, func(a asked) bool { return a.kind == askJoin })
	request := s.waiting[at].request
	s.waiting = without(s.waiting, at)
	s.hungUp = with(s.hungUp, request)
	w.post(i, handoff.CancelJoin{Request: request})
}

// hangUp: the grant was on its way when the caller gave up.
func (w *World) hangUp(i int) {
	s := w.server(i)
	request := s.grantedTo
	s.leave()
	w.post(i, handoff.CancelJoin{Request: request})
}

// gameDies: another boot attaches at once, so every session is ended.
func (w *World) gameDies(i int) {
	s := w.server(i)
	s.leave()
	for _, a := range s.waiting {
		s.hungUp = with(s.hungUp, a.request)
	}
	s.waiting = nil
	w.post(i, handoff.End{Reason: handoff.EndGameRestarted})
}

// replied is the game's side of an answer.
func (w *World) replied(i int, a handoff.Reply) {
	s := w.server(i)
	if at := slices.Index(s.hungUp, a.Request); at >= 0 {
		s.hungUp = without(s.hungUp, at)
		return
	}
	at := slices.IndexFunc(s.waiting, func(q asked) bool { return q.request == a.Request })
	if at < 0 {
		w.broken("L8: %s answers request %d twice, or nobody asked", w.id(i), a.Request)
		return
	}
	question := s.waiting[at]
	s.waiting = without(s.waiting, at)
	switch r := a.Result.(type) {
	case *handoff.Grant:
		s.session, s.confirmed, s.grantedTo = r.Session, false, a.Request
		w.checkDelivery(r)
	case *handoff.Receipt:
		w.checkReceipt(i, question, r)
	case handoff.Accepted:
		s.answered(question)
	case *handoff.Refusal:
		s.refused(question, r)
		w.checkRefusal(i, question, r)
	}
}

func (s *server) answered(question asked) {
	if question.session != s.session {
		return
	}
	s.confirmed, s.grantedTo = question.applied, 0
	if !question.applied {
		s.leave()
	}
}

func (s *server) refused(question asked, r *handoff.Refusal) {
	if question.kind == askJoin || question.session != s.session {
		return
	}
	switch r.Reason {
	case handoff.ReasonSessionLost, handoff.ReasonNoSession, handoff.ReasonNotConfirmedInTime,
		handoff.ReasonApplyRefused, handoff.ReasonCancelled:
		s.leave()
	default:
	}
}
