package lifecycle

import (
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// doubt is rule R7: whether others may have taken our sessions over, because
// our lease had ended while Redis stayed up.
//
// It arises by our own clock, before anybody here can have asked Redis: a worker
// that was frozen wakes up with it. It passes when the lease turns out to have
// been there all the time; when Redis is another process by then, so that it was
// away and whatever is missing was forgotten by it; or else when every session
// has been told to verify itself under it.
type doubt struct {
	// last is the term that was granted last, and generation the Redis process
	// that granted it.
	last       term
	generation uint64
	// raised counts the times the lease was found to have ended; passed is how
	// many of these every session has been told of.
	raised, passed uint64
	// lingers is until when orders to resume stay strict after a round: one that
	// was queued before it may reach Redis only now.
	lingers time.Time
}

// trust notes that Redis has just granted a term.
func (d *doubt) trust(granted term, generation uint64) {
	d.last, d.generation = granted, generation
}

// arises reports whether the last term is over on the same Redis process.
func (d *doubt) arises(now time.Time, generation uint64) bool {
	return d.last != (term{}) && !d.last.valid(now) && d.generation == generation
}

// holds reports whether sessions are suspect.
func (d *doubt) holds(now time.Time, generation uint64) bool {
	return d.raised > d.passed || d.arises(now, generation)
}

// Suspect reports whether other workers may have taken our sessions over without
// leaving a trace, so that a session which Redis has forgotten is lost (rule
// R7): our lease had ended by our own clock, on a Redis process that is still
// the same. It stays so until the lease turns out never to have ended, or until
// a Round has told every session and its settle period is over. It never blocks.
func (l *Lease) Suspect() bool {
	generation := l.generation()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return l.doubt.holds(now, generation) || l.doubt.generation == generation && now.Before(l.doubt.lingers)
}

// Resume runs the order to put a session back, strictly while sessions are
// suspect. A worker that has been without Redis for long cannot know beforehand
// which process will answer it. When that turns out to be another one than the
// doubt was about, so that it forgot by itself, the order is run again as it was
// meant.
func (l *Lease) Resume(order handoff.Resume, run func(handoff.Resume) handoff.Written) handoff.Written {
	before := l.generation()
	if order.Strict || !l.Suspect() {
		return run(order)
	}
	strict := order
	strict.Strict = true
	written := run(strict)
	if written.Outcome != handoff.WriteForgotten || l.generation() == before || l.Suspect() {
		return written
	}
	return run(order)
}

// suspicion is Suspect for one Round, and what to call at its end. A doubt that
// is raised during the round is left for the next one.
func (l *Lease) suspicion() (suspect bool, passed func()) {
	generation := l.generation()
	l.mu.Lock()
	defer l.mu.Unlock()
	raised := l.doubt.raised
	suspect = l.doubt.holds(time.Now(), generation)
	return suspect, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.doubt.passed = max(l.doubt.passed, raised)
		if suspect {
			l.doubt.lingers = time.Now().Add(l.settle.period)
		}
	}
}

// doubtSessions notes that Redis has no lease of ours. From here on no term
// tells any more whether it ended or was forgotten, so that is decided now.
func (l *Lease) doubtSessions() {
	generation := l.generation()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.term = term{}
	if !l.doubt.arises(time.Now(), generation) {
		return
	}
	if l.doubt.raised == l.doubt.passed {
		l.metrics.suspicions.Inc()
		l.log.Warn("the server lease had ended while redis stayed up, sessions that others took over or that redis forgot are lost",
			"key", l.key, "since", time.Since(l.doubt.last.until()).Round(time.Millisecond))
	}
	l.doubt.raised++
}
