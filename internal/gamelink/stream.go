package gamelink

import (
	"errors"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Errors that say why a stream ended. Stream.Err returns one of them.
var (
	// ErrReplaced is returned when the same game attached again: the newer
	// stream is the one that counts.
	ErrReplaced = errors.New("gamelink: replaced by a newer stream of the same game")
	// ErrOtherGame is returned when a game with another boot id attached.
	ErrOtherGame = errors.New("gamelink: another game attached")
	// ErrOverrun is returned when the reader was too slow for the buffer. The
	// game is to attach again; nothing was dropped.
	ErrOverrun = errors.New("gamelink: the reader is too slow for the events: attach again")
	// ErrDetached is returned after Stream.Close.
	ErrDetached = errors.New("gamelink: detached")
	// ErrClosed is returned when the link itself was closed, by streams and by
	// Attach.
	ErrClosed = errors.New("gamelink: closed")
)

// Event is something the worker tells the game. The set is closed.
type Event interface{ isEvent() }

// The events.
type (
	// SessionLost says that a session is over and its player must be removed.
	SessionLost struct {
		Session handoff.SessionID
		Reason  handoff.Reason
		// NewHolder is the server that has the player now; may be empty.
		NewHolder handoff.ServerID
	}
	// Draining says that the worker is stopping: no join is taken any more,
	// and final saves are awaited until the deadline.
	Draining struct{ Deadline time.Time }
	// CheckInRequested says that another server waits for the player of a
	// session: save and quit, if the player is not really here.
	CheckInRequested struct {
		Session handoff.SessionID
		// By is the server that waits.
		By handoff.ServerID
	}
)

func (SessionLost) isEvent()      {}
func (Draining) isEvent()         {}
func (CheckInRequested) isEvent() {}

// Stream is one open link. Whoever got it from Attach reads Events until Done,
// and calls Close when the other end is gone.
type Stream struct {
	link   *Link
	events chan Event
	done   chan struct{}
	// err is written before done is closed and never afterwards.
	err error
}

// Events returns the events in order. The channel is never closed: select on
// Done too.
func (s *Stream) Events() <-chan Event { return s.events }

// Done is closed when the stream has ended, from either side.
func (s *Stream) Done() <-chan struct{} { return s.done }

// Err returns why the stream ended (ErrReplaced, ErrOtherGame, ErrOverrun,
// ErrDetached or ErrClosed), nil while it is open.
func (s *Stream) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Close reports that the other end is gone; from here on game.grace counts. It
// does nothing to a stream that has ended already.
func (s *Stream) Close() { s.link.detach(s) }
