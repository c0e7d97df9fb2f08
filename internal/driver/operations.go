package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

var (
	// ErrNoSpool is the error of every handoff.Spool of a driver without a
	// spool.
	ErrNoSpool = errors.New("driver: no local spool is configured")

	// errPanicked is the error of an operation whose port panicked.
	errPanicked = errors.New("driver: operation panicked")
)

// execute runs one operation on its port. The event is nil when nobody waits
// for the outcome; the error is for log and metrics, since the event carries it
// too.
func (d *Driver) execute(ctx context.Context, p *player, action handoff.Action) (event handoff.Event, err error) {
	defer func() {
		if value := recover(); value != nil {
			d.reportPanic(p, operationOf(action).String(), value)
			event, err = failed(blankAnswer(action), errPanicked), errPanicked
		}
	}()
	store := d.ports.Store
	switch a := action.(type) {
	case handoff.Claim:
		claimed := d.claim(ctx, p, a)
		claimed.Attempt = a.Attempt
		return claimed, claimed.Err
	case handoff.CheckLease:
		present, err := store.CheckLease(ctx)
		return handoff.LeaseChecked{Attempt: a.Attempt, Present: present, Err: err}, err
	case handoff.ReadLease:
		read := store.ReadLease(ctx, a.Server)
		read.Attempt = a.Attempt
		return read, read.Err
	case handoff.Update:
		return d.write(ctx, p, a.Op, a.Snapshot, store.Update)
	case handoff.CheckIn:
		return d.write(ctx, p, a.Op, a.Snapshot, store.CheckIn)
	case handoff.Release:
		return written(a.Op, store.Release(ctx, p.id, a.Fence))
	case handoff.Resume:
		return written(a.Op, store.Resume(ctx, p.id, a))
	case handoff.Sweep:
		return written(a.Op, store.Sweep(ctx, p.id))
	case handoff.Expire:
		return nil, store.Expire(ctx, p.id, a.Version)
	case handoff.Delist:
		return nil, store.Delist(ctx, p.id)
	case handoff.Petition:
		return nil, store.Petition(ctx, a.To, p.id, a.Fence)
	case handoff.ReadNewest:
		snapshot, err := d.ports.Archive.Newest(ctx, p.id)
		return handoff.NewestRead{Attempt: a.Attempt, Snapshot: snapshot, Err: err}, unlessAbsent(err)
	case handoff.Store:
		return d.insert(ctx, p, a)
	case handoff.Spool:
		return d.spool(ctx, p, a)
	case handoff.Unspool:
		return nil, d.unspool(p, a)
	default:
		return nil, fmt.Errorf("driver: no such operation: %T", action)
	}
}

func written(op uint64, answer handoff.Written) (handoff.Event, error) {
	answer.Op = op
	return answer, answer.Err
}

// claim asks the Gate, as late as can be, and then Redis (rule R1). A take-over
// is a claim.
func (d *Driver) claim(ctx context.Context, p *player, a handoff.Claim) handoff.Claimed {
	if until, ok := d.ports.Gate.Settled(time.Now()); !ok {
		return handoff.Claimed{Outcome: handoff.ClaimSettling, Until: until}
	}
	return d.ports.Store.Claim(ctx, p.id, a)
}

// write packs the snapshot and hands it to one of the writing scripts.
func (d *Driver) write(ctx context.Context, p *player, op uint64, s *handoff.Snapshot, script func(context.Context, *handoff.Snapshot, []byte) handoff.Written) (handoff.Event, error) {
	packed, err := d.pack(p, s)
	if err != nil {
		return written(op, handoff.Written{Outcome: handoff.WriteFailed, Err: err})
	}
	return written(op, script(ctx, s, packed))
}

// insert packs the snapshot, if that was not done before, and stores it.
func (d *Driver) insert(ctx context.Context, p *player, a handoff.Store) (handoff.Event, error) {
	packed, err := d.pack(p, a.Snapshot)
	if err != nil {
		return handoff.Stored{ID: snapshotID(a.Snapshot), Err: err}, err
	}
	conflict, err := d.ports.Archive.Insert(ctx, a.Snapshot, packed, a.As)
	if err == nil {
		p.dropBytes(a.Snapshot)
	}
	return handoff.Stored{ID: a.Snapshot.ID, Conflict: conflict, Err: err}, err
}

// spool packs the snapshot, if that was not done before, and keeps it on disk.
func (d *Driver) spool(ctx context.Context, p *player, a handoff.Spool) (handoff.Event, error) {
	err := d.put(ctx, p, a.Entry)
	return handoff.Spooled{ID: snapshotID(a.Entry.Snapshot), Err: err}, err
}

func (d *Driver) put(ctx context.Context, p *player, entry handoff.SpoolEntry) error {
	if d.ports.Spool == nil {
		return ErrNoSpool
	}
	packed, err := d.pack(p, entry.Snapshot)
	if err != nil {
		return err
	}
	return d.ports.Spool.Put(ctx, entry, packed)
}

func (d *Driver) unspool(p *player, a handoff.Unspool) error {
	if d.ports.Spool == nil {
		return nil
	}
	return d.ports.Spool.Remove(p.id, a.ID)
}

// unlessAbsent keeps a player who is new from being counted as an error.
func unlessAbsent(err error) error {
	if errors.Is(err, handoff.ErrNoSnapshot) {
		return nil
	}
	return err
}

func snapshotID(s *handoff.Snapshot) handoff.SnapshotID {
	if s == nil {
		return handoff.SnapshotID{}
	}
	return s.ID
}
