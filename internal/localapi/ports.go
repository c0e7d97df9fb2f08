package localapi

import (
	"context"
	"errors"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Errors by which a Stream says why it ended.
var (
	// ErrAttachReplaced is returned by Stream.Next when another Attach took
	// the stream's place.
	ErrAttachReplaced = errors.New("localapi: another attach took this one's place")
	// ErrAttachOverrun is returned by Stream.Next when the game read too
	// slowly. It is to attach again.
	ErrAttachOverrun = errors.New("localapi: the game reads its events too slowly")
)

// Sessions is what the API needs of the driver. Every method returns a
// *handoff.Refusal or, when ctx ended first, ctx's error; what a Save, Quit or
// Confirm has begun goes on then, while a Join is withdrawn.
type Sessions interface {
	// Join waits for the player's data for at most wait.
	Join(ctx context.Context, player handoff.PlayerID, name string, wait time.Duration) (*handoff.Grant, error)
	// Confirm reports whether the game applied the data.
	Confirm(ctx context.Context, session handoff.SessionID, applied bool, problem string) error
	// Save hands in a capture of a player who stays.
	Save(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error)
	// Quit ends a session; capture may be nil.
	Quit(ctx context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error)
	// Summaries describes every player here, in any order.
	Summaries() []handoff.Summary
	// Summary describes one player, false when there is nothing to say.
	Summary(player handoff.PlayerID) (handoff.Summary, bool)
}

// GameLink is what the API needs of the link to the game server.
type GameLink interface {
	// Attach opens the link for a game. It returns a *handoff.Refusal.
	Attach(game Game, resume []handoff.SessionID) (Stream, Attached, error)
	// State describes the link.
	State() GameState
	// Seen notes a sign of life of the game.
	Seen()
}

// Stream is one open link.
type Stream interface {
	// Next waits for the next event. It returns ErrAttachReplaced,
	// ErrAttachOverrun, a *handoff.Refusal or ctx's error.
	Next(ctx context.Context) (GameEvent, error)
	// Close reports that the game's end of the stream is gone.
	Close()
}

// Game is what a game server says of itself.
type Game struct {
	// Boot names one run of the game server.
	Boot string
	// Platform and Version may be empty.
	Platform string
	Version  string
}

// Attached is the answer to an Attach.
type Attached struct {
	// Resumed sessions go on.
	Resumed []handoff.SessionID
	// Lost sessions are over.
	Lost []handoff.SessionID
}

// GameState describes the game link.
type GameState struct {
	// Open means that a stream is open.
	Open bool
	// Attached means that a stream is open, or was within game.grace.
	Attached bool
	// Game attached last; zero when none ever did.
	Game Game
}

// GameEvent is something to tell the game. The set is closed.
type GameEvent interface{ isGameEvent() }

// The events.
type (
	// SessionLost says that a session is over.
	SessionLost struct {
		Session handoff.SessionID
		Reason  handoff.Reason
		// NewHolder may be empty.
		NewHolder handoff.ServerID
	}
	// CheckInRequested says that another server waits for the player.
	CheckInRequested struct {
		Session handoff.SessionID
		// By may be empty.
		By handoff.ServerID
	}
	// Draining says that the worker is stopping.
	Draining struct{ Deadline time.Time }
)

func (SessionLost) isGameEvent()      {}
func (CheckInRequested) isGameEvent() {}
func (Draining) isGameEvent()         {}

// Worker tells operators how the worker is.
type Worker interface {
	// Status looks; ctx bounds how long.
	Status(ctx context.Context) Status
}

// Status is how a worker is.
type Status struct {
	// Cluster, Mode, Version and Incarnation are names.
	Cluster, Mode, Version, Incarnation string
	// Started is when the worker did.
	Started time.Time
	// LeaseHeld means that the worker's lease is in Redis.
	LeaseHeld bool
	// LeaseRestarting means that the lease is kept for the next start, because
	// the worker restarts in place.
	LeaseRestarting bool
	// LeaseSuspect means that the lease had ended while Redis was there (rule
	// R7), and that the sessions are still being verified.
	LeaseSuspect bool
	// Redis and Database say what is wrong; nil when nothing is.
	Redis, Database error
	// ReadsPaused and WritesPaused mean that the database is not asked at the
	// moment, because it did not answer, or too slowly.
	ReadsPaused, WritesPaused bool
	// Spool is what waits on the local disk.
	Spool Spool
	// Events means that keyspace events wake the worker; false means that it
	// polls, for the reason given.
	Events       bool
	EventsReason string
	// SettleUntil is when the worker begins to grant joins; zero when it does.
	SettleUntil time.Time
	// Draining means that the worker is about to stop.
	Draining bool
}

// Spool is what waits on the local disk.
type Spool struct {
	// Entries counts the snapshots, Bytes is their size.
	Entries int
	Bytes   int64
	// MaxBytes is the largest size allowed.
	MaxBytes int64
	// Recovering counts those of the entries that an earlier run left and that
	// are still to be replayed.
	Recovering int
}

// Checkouts is what operators need of Redis.
type Checkouts interface {
	// Inspect reads what Redis knows of a player.
	Inspect(ctx context.Context, player handoff.PlayerID) (Checkout, error)
	// CheckLease reports whether this worker's own lease is in Redis, carrying
	// its own incarnation.
	CheckLease(ctx context.Context) (present bool, err error)
	// Free deletes the checkout and raises the fence, so that the old session
	// can no longer write; WriteDone only if holder and fence were still as
	// seen.
	Free(ctx context.Context, player handoff.PlayerID, seen handoff.Holder) handoff.Written
	// Notify tells the worker of the holder, which may be this one, that the
	// player's fence was raised to fence or above, so that it looks at once
	// whether it still has the player. It is a hint and may get lost.
	Notify(ctx context.Context, holder handoff.ServerID, player handoff.PlayerID, fence handoff.Fence) error
}

// Releases is the record of the releases that operators ordered, which the whole
// cluster shares and which outlives every worker.
type Releases interface {
	// Record keeps one; it is durable when nil is returned.
	Record(ctx context.Context, release Release) error
	// List returns the newest ones first, limit at most; those of one player,
	// or of all when player is zero.
	List(ctx context.Context, player handoff.PlayerID, limit int) ([]Release, error)
}

// Release is an order to release a checkout.
type Release struct {
	Player handoff.PlayerID
	// Holder had the player, with a session of this fence.
	Holder handoff.ServerID
	Fence  handoff.Fence
	// Reason is the operator's own, 1 to 256 bytes.
	Reason string
	// Forced means that the holder was alive.
	Forced bool
	// By names the operator, as far as known, and the worker; up to 128 bytes.
	By string
	// At is the worker's clock.
	At time.Time
}

// Checkout is what Redis knows of a player.
type Checkout struct {
	// Holder has the player; its Server is empty when nobody has.
	Holder handoff.Holder
	// Lease is the holder's; nil when it has none.
	Lease *Lease
	// Update is data_update; nil when there is none.
	Update *StoredUpdate
}

// Lease shows that a worker lives.
type Lease struct {
	// Incarnation, Host and PID name the worker's process.
	Incarnation string
	Host        string
	PID         int
	// ExpiresIn is how long it lasts unless renewed.
	ExpiresIn time.Duration
	// Restarting means that the worker is restarting in place.
	Restarting bool
}

// StoredUpdate describes a data_update.
type StoredUpdate struct {
	Version handoff.Version
	// Size as stored, in bytes.
	Size int64
	// ExpiresIn is zero when it stays until the database has it.
	ExpiresIn time.Duration
}

// Gate tells whether the worker may grant anything yet (rule R1).
type Gate interface {
	Settled(now time.Time) (until time.Time, ok bool)
}
