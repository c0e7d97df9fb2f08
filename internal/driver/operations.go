package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// errPanicked is the error of an operation whose port panicked.
var errPanicked = errors.New("driver: operation panicked")

// execute runs one operation on its port. The event is nil when nobody waits
// for the outcome; the error is for log and metrics, since the event carries it
// too.
func (d *Driver) execute(ctx context.Context, p *player, action handoff.Action) (event handoff.Event, err error) {
	defer func() {
		if value := recover(); value != nil {
			d.reportPanic(p, operationOf(action).String(), value)
			event, err = outcomeOfFault(action)
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
	case handoff.Update:
		return d.write(ctx, p, a.Op, a.Snapshot, store.Update)
	case handoff.CheckIn:
		return d.write(ctx, p, a.Op, a.Snapshot, store.CheckIn)
	case handoff.Release:
		return written(a.Op, store.Release(ctx, p.id, a.Fence))
	case handoff.Resume:
		return written(a.Op, store.Resume(ctx, p.id, a.Fence))
	case handoff.Sweep:
		return written(a.Op, store.Sweep(ctx, p.id))
	case handoff.Expire:
		return nil, store.Expire(ctx, p.id, a.Version)
	case handoff.Delist:
		return nil, store.Delist(ctx, p.id)
	case handoff.ReadNewest:
		snapshot, err := d.ports.Archive.Newest(ctx, p.id)
		return handoff.NewestRead{Attempt: a.Attempt, Snapshot: snapshot, Err: err}, unlessAbsent(err)
	case handoff.Store:
		return d.insert(ctx, p, a)
	default:
		return nil, fmt.Errorf("driver: no such operation: %T", action)
	}
}

// outcomeOfFault answers an operation that panicked: whether it took effect is
// unknown.
func outcomeOfFault(action handoff.Action) (handoff.Event, error) {
	unknown := handoff.Written{Outcome: handoff.WriteFailed, Err: errPanicked}
	switch a := action.(type) {
	case handoff.Claim:
		return handoff.Claimed{Attempt: a.Attempt, Outcome: handoff.ClaimFailed, Err: errPanicked}, errPanicked
	case handoff.CheckLease:
		return handoff.LeaseChecked{Attempt: a.Attempt, Err: errPanicked}, errPanicked
	case handoff.ReadNewest:
		return handoff.NewestRead{Attempt: a.Attempt, Err: errPanicked}, errPanicked
	case handoff.Store:
		return handoff.Stored{ID: snapshotID(a.Snapshot), Err: errPanicked}, errPanicked
	case handoff.Update:
		return written(a.Op, unknown)
	case handoff.CheckIn:
		return written(a.Op, unknown)
	case handoff.Release:
		return written(a.Op, unknown)
	case handoff.Resume:
		return written(a.Op, unknown)
	case handoff.Sweep:
		return written(a.Op, unknown)
	default:
		return nil, errPanicked
	}
}

func written(op uint64, answer handoff.Written) (handoff.Event, error) {
	answer.Op = op
	return answer, answer.Err
}

// claim asks the Gate, as late as can be, and then Redis (rule R1).
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
