package handoff

import "time"

// Machine is one sync mode. Its Step is pure: the same state, time and event
// give the same result, nothing is read or written elsewhere, and the state
// passed in stays as it was. That makes every interleaving explorable and every
// fault replayable.
type Machine interface {
	// Mode is the name that sync.mode carries.
	Mode() string
	// Start returns the state of a player nobody has asked for yet.
	Start(player PlayerID) State
	// Step takes one event at one moment. The state must come from the same
	// machine.
	Step(state State, at time.Time, event Event) (State, []Action)
}

// State is the state of one player's machine: an immutable value.
type State interface {
	// Idle reports whether nothing is left to remember or to wait for; the
	// driver then drops the state.
	Idle() bool
	// Summary describes the state for people and for the lifecycle actors.
	Summary() Summary
}

// Summary is what the outside may know of a player's state.
type Summary struct {
	Player PlayerID
	Name   string
	// Phase is the machine's own word for where the player is.
	Phase string
	// Session is zero when there is none.
	Session SessionID
	// Live means that a checkout is held for a session, confirmed or not.
	Live bool
	// Confirmed means that the game applied the data.
	Confirmed bool
	// Leaving means that the session is ending: its final save, or its release,
	// is under way.
	Leaving bool
	// Busy means that a write is under way or owed, to Redis or the database.
	Busy bool
	// Unstored counts accepted snapshots that the database does not have yet.
	Unstored int
	// Since is when the phase began that people care about: the wait, or the
	// session.
	Since time.Time
	// Version is the newest accepted one.
	Version Version
	// Holder is who is waited for; empty when nobody is.
	Holder ServerID
}

// Idles reports whether nothing happens to the player here: an ended session is
// remembered for late calls, and that is all.
func (s Summary) Idles() bool { return !s.Live && !s.Busy && s.Since.IsZero() }
