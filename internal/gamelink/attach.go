package gamelink

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Attach opens a stream for the game and sorts the sessions that it believes to
// have. A stream that is open is ended first; with another boot id, so are all
// sessions. It returns ErrBadGame or ErrClosed.
//
// Losses that happen after Attach was called arrive on the stream, also for
// sessions that the answer calls resumed.
func (l *Link) Attach(game Game, resume []handoff.SessionID) (*Stream, Attached, error) {
	if err := game.validate(); err != nil {
		return nil, Attached{}, err
	}
	l.turn.Lock()
	defer l.turn.Unlock()

	former, goesOn, err := l.displace(game)
	if err != nil {
		return nil, Attached{}, err
	}
	if former != "" && !goesOn {
		// Before the new game is announced, so that none of its joins can be
		// among the sessions that end here. When grace has passed they were
		// ended already; a join that slipped in at that moment is ended now.
		l.sessions.EndAll(endReason(former, game.Boot))
	}
	if former == "" {
		// Before the first game is announced, so that whoever waits for that
		// finds the sessions live.
		l.adopt(resume)
		goesOn = true
	}
	stream, kept := l.open(game)
	answer := l.sort(resume, kept, goesOn)
	l.log.Info("game attached", "boot-id", game.Boot, "platform", game.Platform, "game-version", game.Version,
		"resumed", len(answer.Resumed), "lost", len(answer.Lost))
	return stream, answer, nil
}

// adopt asks for the sessions that the first game of this worker had on an
// earlier one, and waits for a bounded time until they are confirmed or not.
// Those that are undecided then are live, and lost later if they must be. The
// turn is held, so no other game comes in between; mu is not, so losses do.
func (l *Link) adopt(resume []handoff.SessionID) {
	sessions := l.adoptable(resume)
	if l.adopter == nil || len(sessions) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(l.closing, l.wait)
	defer cancel()
	l.adopter.Adopt(ctx, sessions)
}

// adoptable returns the sessions that do not live here; of two that are of one
// player the later one, since the earlier one is over.
func (l *Link) adoptable(resume []handoff.SessionID) []handoff.SessionID {
	newest := make(map[handoff.PlayerID]handoff.SessionID, len(resume))
	for _, session := range resume {
		if session.Fence > newest[session.Player].Fence && !l.lives(session) {
			newest[session.Player] = session
		}
	}
	return slices.Collect(maps.Values(newest))
}

func endReason(former, boot string) handoff.EndReason {
	if former == boot {
		return handoff.EndGameGone
	}
	return handoff.EndGameRestarted
}

// displace ends what is in the new game's way. It returns the boot id of the
// game that attached last and whether its sessions go on in the new stream.
func (l *Link) displace(game Game) (former string, goesOn bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return "", false, ErrClosed
	}
	l.stopTimer()
	former, wasOpen := l.game.Boot, l.stream != nil
	same := former == game.Boot
	if wasOpen && same {
		l.log.Info("the same game attached again, its older stream is ended", "boot-id", game.Boot)
		l.endStream(ErrReplaced)
	}
	if wasOpen && !same {
		l.endStream(ErrOtherGame)
	}
	goesOn = same && l.alive
	if former == "" || same {
		return former, goesOn, nil
	}
	if wasOpen {
		l.log.Warn("another game attached while one was attached: its sessions end now; "+
			"if this repeats, two game servers use this worker by mistake, and each needs one of its own",
			"old-boot-id", former, "new-boot-id", game.Boot)
	} else {
		l.log.Info("the game was restarted, sessions of its earlier run end now",
			"old-boot-id", former, "new-boot-id", game.Boot)
	}
	// Between two games there is none: a join is refused until the new one is
	// announced. The losses of the old one mean nothing to the new one.
	l.alive = false
	l.forget()
	return former, false, nil
}

// open announces the game and returns the losses that wait for it.
func (l *Link) open(game Game) (*Stream, []handoff.SessionID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	stream := &Stream{link: l, events: make(chan Event, l.buffer), done: make(chan struct{})}
	var kept []handoff.SessionID
	if l.game.Boot == game.Boot {
		// Otherwise whatever was kept since displace is of the old game.
		kept = slices.Collect(maps.Keys(l.kept))
	}
	l.forget()
	l.game, l.alive, l.stream, l.since = game, true, stream, time.Now()
	l.epoch++
	l.Seen()
	if !l.deadline.IsZero() {
		l.push(Draining{Deadline: l.deadline})
	}
	select {
	case <-l.first:
	default:
		close(l.first)
	}
	return stream, kept
}

// sort answers for the sessions that the game named and for those lost while it
// was away. The stream is open by now, so whatever changes from here on arrives
// there.
func (l *Link) sort(resume, kept []handoff.SessionID, goesOn bool) Attached {
	var answer Attached
	seen := make(map[handoff.SessionID]bool, len(resume)+len(kept))
	for _, session := range kept {
		seen[session] = true
		answer.Lost = append(answer.Lost, session)
	}
	for _, session := range resume {
		if seen[session] {
			continue
		}
		seen[session] = true
		if goesOn && l.lives(session) {
			answer.Resumed = append(answer.Resumed, session)
		} else {
			answer.Lost = append(answer.Lost, session)
		}
	}
	return answer
}

func (l *Link) lives(session handoff.SessionID) bool {
	summary, ok := l.sessions.Summary(session.Player)
	return ok && summary.Live && summary.Session == session
}

// detach ends a stream whose other end is gone.
func (l *Link) detach(stream *Stream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream != stream {
		return
	}
	l.Seen()
	l.endStream(ErrDetached)
	l.startGrace()
	level := hclog.Warn
	if !l.deadline.IsZero() { // A game that stops with its worker is no news.
		level = hclog.Info
	}
	l.log.Log(level, "the game's stream ended", "boot-id", l.game.Boot, "grace", l.grace)
}

// startGrace makes the sessions end unless the game attaches again in time.
// Callers hold mu.
func (l *Link) startGrace() {
	epoch := l.epoch
	l.timer = time.AfterFunc(l.grace, func() { l.expire(epoch) })
}

// stopTimer keeps a timer that has not fired from firing. Callers hold mu.
func (l *Link) stopTimer() {
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// expire ends the sessions of a game that has been away for game.grace.
func (l *Link) expire(epoch uint64) {
	l.turn.Lock()
	defer l.turn.Unlock()
	boot, due := l.giveUp(epoch)
	if !due {
		return
	}
	// A game that comes back late under the same boot id must learn what it
	// lost, even when it names nothing.
	var live []handoff.SessionID
	for _, summary := range l.sessions.Summaries() {
		if summary.Live {
			live = append(live, summary.Session)
		}
	}
	l.mu.Lock()
	for _, session := range live {
		l.keep(session)
	}
	l.mu.Unlock()
	l.log.Warn("the game did not come back, its sessions end now", "boot-id", boot, "sessions", len(live), "grace", l.grace)
	l.sessions.EndAll(handoff.EndGameGone)
}

// giveUp declares the game gone, unless something happened since the timer of
// this epoch was set.
func (l *Link) giveUp(epoch uint64) (boot string, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.epoch != epoch {
		return "", false
	}
	l.alive = false
	return l.game.Boot, true
}
