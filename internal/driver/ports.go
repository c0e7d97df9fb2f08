package driver

import (
	"context"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Ports are what the driver acts through. All are required. Every method that
// takes a context must return soon after the context ends, and all must be safe
// for concurrent use.
type Ports struct {
	Store   Store
	Archive Archive
	Codec   Codec
	Watcher Watcher
	Gate    Gate
	Game    Game
}

// Store is Redis. Attempt and Op of the answers are filled in by the driver.
type Store interface {
	// Claim runs the claim script; errors are inside, as ClaimFailed.
	Claim(ctx context.Context, player handoff.PlayerID, claim handoff.Claim) handoff.Claimed
	// CheckLease reports whether this worker's own lease is in Redis and
	// carries its own incarnation.
	CheckLease(ctx context.Context) (present bool, err error)
	// Update stores the packed snapshot as data_update.
	Update(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written
	// CheckIn is Update and the removal of the checkout.
	CheckIn(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written
	// Release removes the checkout of this fence, data untouched.
	Release(ctx context.Context, player handoff.PlayerID, fence handoff.Fence) handoff.Written
	// Resume puts checkout and fence back where Redis forgot them.
	Resume(ctx context.Context, player handoff.PlayerID, fence handoff.Fence) handoff.Written
	// Sweep removes a checkout that carries this server's ID, any fence.
	Sweep(ctx context.Context, player handoff.PlayerID) handoff.Written
	// Expire lets data_update of exactly this version run out.
	Expire(ctx context.Context, player handoff.PlayerID, version handoff.Version) error
	// Delist takes the player off server_checkouts.
	Delist(ctx context.Context, player handoff.PlayerID) error
}

// Archive is the database.
type Archive interface {
	// Newest returns the newest current snapshot. The error wraps
	// handoff.ErrNoSnapshot when there is none, handoff.ErrDamaged when it
	// cannot be decoded.
	Newest(ctx context.Context, player handoff.PlayerID) (*handoff.Snapshot, error)
	// Insert stores the snapshot; conflict reports that a row of a higher
	// fence made it AsConflict.
	Insert(ctx context.Context, snapshot *handoff.Snapshot, packed []byte, as handoff.StoredAs) (conflict bool, err error)
}

// Codec packs snapshots.
type Codec interface {
	// Pack returns the snapshot's envelope; the error wraps
	// handoff.ErrTooLarge when the snapshot exceeds the limit.
	Pack(snapshot *handoff.Snapshot) ([]byte, error)
}

// Watcher tells about changes of single keys.
type Watcher interface {
	// Watch calls look for every hint about the player's key until stop is
	// called, LookReady first. Neither Watch nor stop may wait for the
	// network or for a look that is running. Looks that arrive after stop
	// are ignored.
	Watch(player handoff.PlayerID, key handoff.Key, look func(handoff.LookCause)) (stop func())
}

// Gate is rule R1.
type Gate interface {
	// Settled reports whether claims may run, and else until when they may
	// not. It must begin to say no before Driver.VerifyAll is called for the
	// same reason. It must not block.
	Settled(now time.Time) (until time.Time, ok bool)
}

// Game is told what happened to its players.
type Game interface {
	// TellLost tells the game that a session is over. It must not block.
	TellLost(lost handoff.TellLost)
}

// GameFunc makes a Game of a function, for wiring where the game link is
// built after the driver.
type GameFunc func(lost handoff.TellLost)

// TellLost calls f.
func (f GameFunc) TellLost(lost handoff.TellLost) { f(lost) }
