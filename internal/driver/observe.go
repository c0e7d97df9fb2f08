package driver

import (
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// stepped counts one event that reached a machine.
func (m *metrics) stepped(event handoff.Event) { m.eventOf[kindOf(event)].Inc() }

// noted counts one report of a machine.
func (m *metrics) noted(kind handoff.NoteKind) { m.notes.WithLabelValues(kind.String()).Inc() }

// live counts a session that began or ended.
func (m *metrics) live(begun bool) {
	if begun {
		m.sessionsLive.Inc()
	} else {
		m.sessionsLive.Dec()
	}
}

// begin counts an operation as running until the returned function is called.
func (m *metrics) begin(op operation) (end func(error)) {
	running := m.inFlightOf[operationTable[op].lane]
	running.Inc()
	begun := time.Now()
	return func(err error) {
		running.Dec()
		m.secondsOf[op].Observe(time.Since(begun).Seconds())
		if err != nil {
			m.errorsOf[op].Inc()
		}
	}
}

// answered counts the answer to a request; nil when there was none (ErrInternal).
func (m *metrics) answered(r *request, result handoff.Result) {
	switch r.kind {
	case joinRequest:
		m.joined(r, result)
	case saveRequest, quitRequest:
		if refusal, ok := result.(*handoff.Refusal); ok {
			m.refused.WithLabelValues(refusal.Reason.String()).Inc()
		}
	case confirmRequest:
	}
}

// joined counts the answer to a join.
func (m *metrics) joined(r *request, result handoff.Result) {
	outcome := "internal"
	switch answer := result.(type) {
	case *handoff.Grant:
		m.granted(answer, time.Since(r.begun))
		return
	case *handoff.Refusal:
		outcome = answer.Reason.String()
	}
	m.joins.WithLabelValues("", outcome).Inc()
}

// granted observes the wait of a join that was granted.
func (m *metrics) granted(grant *handoff.Grant, waited time.Duration) {
	m.joins.WithLabelValues(grant.Source.String(), "granted").Inc()
	m.joinWait.Observe(waited.Seconds())
	if grant.HandedOverBy != "" {
		m.handoff.Observe(waited.Seconds())
	}
}

// abandoned counts a join whose caller hung up.
func (m *metrics) abandoned() { m.joins.WithLabelValues("", "abandoned").Inc() }
