package handoff

import "time"

// RequestID ties a Reply to the call that waits for it. Zero means that nobody
// waits.
type RequestID uint64

// Event is something that happened to one player. The set is closed: only this
// package defines events.
type Event interface{ isEvent() }

// Requests of the game server.
type (
	// Join asks for the player's data and for the right to change it.
	Join struct {
		Request RequestID
		// Name is the player's name, for people.
		Name string
		// Deadline ends the wait; then the join is refused.
		Deadline time.Time
	}
	// CancelJoin withdraws a Join: the player left before it was answered, or
	// the caller hung up.
	CancelJoin struct{ Request RequestID }
	// Confirm reports whether the game applied what Join delivered.
	Confirm struct {
		Request RequestID
		Session SessionID
		Applied bool
		// Problem is the game's own words when Applied is false.
		Problem string
	}
	// Save hands in a capture of a player who stays.
	Save struct {
		Request RequestID
		Session SessionID
		Capture *Capture
	}
	// Quit ends the session, with a final capture or, when Capture is nil,
	// with the data last accepted.
	Quit struct {
		Request RequestID
		Session SessionID
		Capture *Capture
	}
	// End takes the player off this server without a save: any wait is
	// cancelled and any session released with its data untouched.
	End struct {
		// Session limits the order to one session; zero means whatever is there.
		Session SessionID
		Reason  EndReason
	}
)

// EndReason says why a session was ended from outside.
type EndReason uint8

// The reasons of End.
const (
	// EndGameGone: the game link broke and nobody re-attached in game.grace.
	EndGameGone EndReason = iota + 1
	// EndGameRestarted: a game with another boot id attached.
	EndGameRestarted
	// EndDraining: the worker is stopping.
	EndDraining
	// EndOperator: an operator released the checkout.
	EndOperator
	// EndConflict: the database knows a session with a higher fence (rule R6).
	EndConflict
)

// Adopt asks for a session of an earlier incarnation of this worker, which the
// game that has attached still plays. The session is live from then on, and
// lost again when Redis does not confirm it.
type Adopt struct {
	Session SessionID
	// Name is the player's name, for people; may be empty.
	Name string
}

// Doubt says that Redis may have lost its memory, or that others may have taken
// this worker's sessions over, as far as anybody here knows at the moment: what
// has no second copy yet must not be called current.
type Doubt struct{}

// Petitioned says that another server waits for the player. It proves nothing.
type Petitioned struct {
	By ServerID
	// Fence is the highest that the petitioner saw.
	Fence Fence
}

// String returns the reason as logs show it.
func (r EndReason) String() string {
	switch r {
	case EndGameGone:
		return "game-gone"
	case EndGameRestarted:
		return "game-restarted"
	case EndDraining:
		return "draining"
	case EndOperator:
		return "operator"
	case EndConflict:
		return "conflict"
	default:
		return "invalid"
	}
}

// Outcomes of actions.
type (
	// Claimed answers Claim.
	Claimed struct {
		Attempt uint64
		Outcome ClaimOutcome
		// Fence is the fence granted (ClaimGranted).
		Fence Fence
		// Update is the data_update that came with the grant, nil when Redis
		// has none.
		Update *Snapshot
		// Holder has the player (ClaimHeld).
		Holder Holder
		// TakenOver means that the grant took the player from Claim.Over;
		// without it, the checkout was free or ours (ClaimGranted).
		TakenOver bool
		// Until is when the settle period ends (ClaimSettling).
		Until time.Time
		// Err is why the claim failed (ClaimFailed), or why Update could not
		// be unpacked (ClaimGranted; then it wraps ErrDamaged).
		Err error
	}
	// NewestRead answers ReadNewest. Err is nil, or wraps ErrNoSnapshot when
	// the database has nothing, or ErrDamaged, or is any other failure.
	NewestRead struct {
		Attempt  uint64
		Snapshot *Snapshot
		Err      error
	}
	// LeaseChecked answers CheckLease: whether this worker's own lease is in
	// Redis, carrying its own incarnation.
	LeaseChecked struct {
		Attempt uint64
		Present bool
		Err     error
	}
	// LeaseRead answers ReadLease.
	LeaseRead struct {
		Attempt uint64
		// Present means that the lease is in Redis.
		Present bool
		// Incarnation is that of its owner; empty when the value names none.
		Incarnation string
		// Left is how long it lives unless renewed; below 0 for ever.
		Left time.Duration
		Err  error
	}
	// Spooled answers Spool. Err is why the disk did not take the entry.
	Spooled struct {
		ID  SnapshotID
		Err error
	}
	// Written answers Update, CheckIn, Release, Resume and Sweep.
	Written struct {
		Op      uint64
		Outcome WriteOutcome
		// Holder is who holds a higher fence (WriteFenced).
		Holder Holder
		// Update is data_update, nil when Redis has none (Resume.Load).
		Update *Snapshot
		// Err is why the write failed (WriteFailed); then it may or may not
		// have taken effect, unless it wraps ErrTooLarge. With WriteDone it
		// wraps ErrDamaged: data_update is there and cannot be read
		// (Resume.Load).
		Err error
	}
	// Stored answers Store.
	Stored struct {
		ID SnapshotID
		// Conflict means that the database has a row of a higher fence: the
		// snapshot was kept as AsConflict (rule R6).
		Conflict bool
		// Err is why nothing was stored; nil otherwise.
		Err error
	}
)

// Hints and orders from around the player.
type (
	// Look says that something may have changed: a notification, a fresh
	// subscription, a poll. It proves nothing (law L9).
	Look struct{ Cause LookCause }
	// TimerFired says that a timer set by SetTimer ran out.
	TimerFired struct{ Timer Timer }
	// Verify asks every live session to make sure that Redis still knows it
	// (rule R1).
	Verify struct {
		// Suspect means that this worker's lease had ended while Redis stayed
		// up: others may have taken the sessions over, so what Redis has
		// forgotten is lost (rule R7).
		Suspect bool
		// Lost means that Redis may have lost its memory, as another process
		// answers or our own lease is gone. A connection that broke is no sign
		// of that.
		Lost bool
	}
)

// LookCause says what made the worker look.
type LookCause uint8

// The causes of Look.
const (
	// LookReady: the subscription that Watch asked for is confirmed.
	LookReady LookCause = iota + 1
	// LookChanged: a notification arrived for the watched key.
	LookChanged
	// LookResync: the subscription was lost and is there again; anything may
	// have happened in between.
	LookResync
	// LookPoll: the safety poll.
	LookPoll
)

// String returns the cause as logs and metrics show it.
func (c LookCause) String() string {
	switch c {
	case LookReady:
		return "ready"
	case LookChanged:
		return "changed"
	case LookResync:
		return "resync"
	case LookPoll:
		return "poll"
	default:
		return "invalid"
	}
}

// ClaimOutcome is what the claim script answered, or why it was not asked.
type ClaimOutcome uint8

// The outcomes of Claim.
const (
	// ClaimGranted: the checkout is ours.
	ClaimGranted ClaimOutcome = iota + 1
	// ClaimHeld: another server has it.
	ClaimHeld
	// ClaimUnknown: Redis knows no fence of this player and nothing was
	// changed; either the player is new or Redis forgot (rule R2).
	ClaimUnknown
	// ClaimSettling: the worker grants nothing yet (rule R1).
	ClaimSettling
	// ClaimFailed: no answer; the claim may or may not have taken effect.
	ClaimFailed
)

// WriteOutcome is what a writing script answered.
type WriteOutcome uint8

// The outcomes of writing scripts.
const (
	// WriteDone: it is so, now or already before.
	WriteDone WriteOutcome = iota + 1
	// WriteFenced: the stored fence is higher; the session is over.
	WriteFenced
	// WriteSuperseded: Redis has a newer version of this session's data.
	WriteSuperseded
	// WriteForgotten: the stored fence is lower or gone, or the checkout is
	// gone at our own fence. Nobody fenced us: resume, then repeat.
	WriteForgotten
	// WriteFailed: no answer.
	WriteFailed
)

// Holder is who has a player checked out.
type Holder struct {
	// Server holds the checkout; empty when it is free at a higher fence.
	Server ServerID
	// Fence is the highest fence granted.
	Fence Fence
}

// Timer names the timers a machine may set; each player has one of each.
type Timer uint8

// The timers.
const (
	// TimerDeadline ends a join's wait.
	TimerDeadline Timer = iota + 1
	// TimerLook makes a waiting join look again.
	TimerLook
	// TimerRetry repeats a write that got no answer.
	TimerRetry
	// TimerStore repeats a database write that failed.
	TimerStore
	// TimerForget drops what is remembered of an ended session.
	TimerForget
	// TimerConfirm releases a delivered session that the game never confirmed.
	TimerConfirm
	// TimerRead ends the wait for the database where Redis has the data.
	TimerRead
)

func (Join) isEvent()         {}
func (CancelJoin) isEvent()   {}
func (Confirm) isEvent()      {}
func (Save) isEvent()         {}
func (Quit) isEvent()         {}
func (End) isEvent()          {}
func (Claimed) isEvent()      {}
func (NewestRead) isEvent()   {}
func (Doubt) isEvent()        {}
func (LeaseChecked) isEvent() {}
func (LeaseRead) isEvent()    {}
func (Spooled) isEvent()      {}
func (Adopt) isEvent()        {}
func (Petitioned) isEvent()   {}
func (Written) isEvent()      {}
func (Stored) isEvent()       {}
func (Look) isEvent()         {}
func (TimerFired) isEvent()   {}
func (Verify) isEvent()       {}
