package driver

import (
	"context"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Ports are what the driver acts through; Spool and Suspects may be nil, the
// others are required. Every method that takes a context must return soon after
// the context ends, and all must be safe for concurrent use.
type Ports struct {
	Store   Store
	Archive Archive
	Codec   Codec
	Watcher Watcher
	Gate    Gate
	Game    Game
	// Spool is the local disk. Without it every handoff.Spool is answered with
	// ErrNoSpool.
	Spool Spool
	// Suspects is rule R7. Without it no session ever is.
	Suspects Suspects
}

// Store is Redis. Attempt and Op of the answers are filled in by the driver.
type Store interface {
	// Claim runs the claim script, or, when claim.Over names a holder, takes
	// the player over from exactly that one; errors are inside, as ClaimFailed.
	Claim(ctx context.Context, player handoff.PlayerID, claim handoff.Claim) handoff.Claimed
	// CheckLease reports whether this worker's own lease is in Redis and
	// carries its own incarnation.
	CheckLease(ctx context.Context) (present bool, err error)
	// ReadLease reads another server's lease; errors are inside.
	ReadLease(ctx context.Context, server handoff.ServerID) handoff.LeaseRead
	// Update stores the packed snapshot as data_update.
	Update(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written
	// CheckIn is Update and the removal of the checkout.
	CheckIn(ctx context.Context, snapshot *handoff.Snapshot, packed []byte) handoff.Written
	// Release removes the checkout of this fence, data untouched.
	Release(ctx context.Context, player handoff.PlayerID, fence handoff.Fence) handoff.Written
	// Resume puts checkout and fence back where Redis forgot them, as far as
	// the order allows.
	Resume(ctx context.Context, player handoff.PlayerID, resume handoff.Resume) handoff.Written
	// Sweep removes a checkout that carries this server's ID, any fence.
	Sweep(ctx context.Context, player handoff.PlayerID) handoff.Written
	// Expire lets data_update of exactly this version run out.
	Expire(ctx context.Context, player handoff.PlayerID, version handoff.Version) error
	// Delist takes the player off server_checkouts.
	Delist(ctx context.Context, player handoff.PlayerID) error
	// Petition tells another worker that this one waits for the player, and
	// the highest fence it saw. An error means that the hint is lost.
	Petition(ctx context.Context, to handoff.ServerID, player handoff.PlayerID, fence handoff.Fence) error
}

// Spool keeps on local disk what cannot be brought to where it belongs.
type Spool interface {
	// Put makes the entry durable, with the snapshot packed: when it returns
	// nil, the entry outlives a crash of the machine. Otherwise it may or may
	// not be there.
	Put(ctx context.Context, entry handoff.SpoolEntry, packed []byte) error
	// Remove drops the player's entry of this snapshot; that there is none is
	// no error. It must return soon.
	Remove(player handoff.PlayerID, id handoff.SnapshotID) error
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
	// called, LookReady first. For handoff.KeyLease the key is the lease of the
	// server; otherwise the server is empty. Neither Watch nor stop may wait for the
	// network or for a look that is running. Looks that arrive after stop
	// are ignored.
	Watch(player handoff.PlayerID, key handoff.Key, server handoff.ServerID, look func(handoff.LookCause)) (stop func())
}

// Gate is rule R1.
type Gate interface {
	// Settled reports whether claims may run, and else until when they may
	// not. It must begin to say no before Driver.VerifyAll is called for the
	// same reason. It must not block.
	Settled(now time.Time) (until time.Time, ok bool)
}

// Suspects is rule R7.
type Suspects interface {
	// Suspect reports whether this worker's lease may have ended while Redis
	// stayed up, so that others may have taken its sessions over. It is asked
	// before a machine hears that a snapshot is stored, and must not block.
	Suspect() bool
}

// Game is told what happened to its players. Its methods must not block.
type Game interface {
	// TellLost tells the game that a session is over.
	TellLost(lost handoff.TellLost)
	// AskCheckIn tells the game that another server waits for a player.
	AskCheckIn(asked handoff.AskCheckIn)
}
