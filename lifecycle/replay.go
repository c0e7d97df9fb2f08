package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Why a session cannot be resumed, or ended, at the moment.
var (
	errUnsettled = errors.New("the settle period is not over")
	errHeld      = errors.New("the player is held until a later session has had the time to report")
)

// judge sends a player's entries through the fence in Redis, oldest first. It
// returns nil when Redis has answered for all of them.
func (r *Recovery) judge(p *replay) error {
	for i, entry := range p.entries {
		if entry.gone || entry.judged {
			continue
		}
		snapshot, packed, err := r.load(entry)
		if err != nil {
			return err
		}
		if entry.gone {
			continue
		}
		if err := r.judgeOne(p, entry, snapshot, packed, p.isLast(i)); err != nil {
			return err
		}
		if entry.gone {
			continue
		}
		entry.judged = true
		if entry.As == handoff.AsCurrent && !entry.lost {
			p.outdate(i)
		}
	}
	p.release()
	if p.restored && r.ports.Recheck != nil {
		p.restored = false
		r.ports.Recheck()
	}
	return nil
}

// isLast reports whether no current snapshot comes after an entry. The player is
// given back with the last one only: in between, another server could take the
// player, and what follows would be fenced.
func (p *replay) isLast(i int) bool {
	for _, later := range p.entries[i+1:] {
		if !later.gone && later.As == handoff.AsCurrent {
			return false
		}
	}
	return true
}

// outdate notes that Redis has an entry's snapshot, so that nobody has to wait
// for an older one.
func (p *replay) outdate(i int) {
	for _, older := range p.entries[:i] {
		older.lost = false
	}
}

// judgeOne finds out what becomes of one snapshot. It returns an error when that
// is not known yet.
func (r *Recovery) judgeOne(p *replay, entry *replayed, snapshot *handoff.Snapshot, packed []byte, last bool) error {
	endsSession := entry.Final && last
	if endsSession && time.Now().Before(entry.heldUntil) {
		return errHeld
	}
	for range 2 { // The second round is for a session that was resumed.
		written := r.write(snapshot, packed, endsSession)
		switch written.Outcome {
		case handoff.WriteDone:
			entry.settle(entry.As)
			return nil
		case handoff.WriteFenced:
			entry.settle(handoff.AsConflict)
			return nil
		case handoff.WriteSuperseded:
			entry.settle(handoff.AsHistory)
			return nil
		case handoff.WriteForgotten:
			taken, err := r.taken(entry)
			switch {
			case err != nil:
				return err
			case taken:
				entry.settle(entry.As)
				return nil
			case entry.Accepted:
				entry.lost = true
				return nil
			}
			if decided, err := r.putBack(p, entry, endsSession); decided || err != nil {
				return err
			}
		default:
			if errors.Is(written.Err, handoff.ErrTooLarge) {
				return r.reject(entry, written.Err)
			}
			return errors.Join(errNoAnswer, written.Err)
		}
	}
	return errMoved
}

// taken reports whether Redis has this very version: then it took it before the
// session ended, and the checkout is not forgotten but given back.
func (r *Recovery) taken(entry *replayed) (bool, error) {
	ctx, cancel := context.WithTimeout(r.stop, recoveryCall)
	defer cancel()
	packed, _, err := r.ports.Store.Unstored(ctx, entry.Player)
	if err != nil {
		return false, errors.Join(errNoAnswer, err)
	}
	if packed == nil {
		return false, nil
	}
	there, err := r.ports.Meta(packed)
	return err == nil && there.Version == entry.Version, nil //nolint:nilerr // What is damaged is not this version.
}

// putBack resumes a session that Redis forgot, or decides about its snapshot when
// there is nothing to resume. A session that ends is not ended at once: its final
// save may have been taken before, and somebody granted after it, before Redis
// forgot both. That one has a settle period to put its higher fence back.
func (r *Recovery) putBack(p *replay, entry *replayed, endsSession bool) (decided bool, err error) {
	as, err := r.resume(entry)
	switch {
	case err != nil:
		return false, err
	case as != 0:
		entry.settle(as)
		return true, nil
	case endsSession && entry.heldUntil.IsZero():
		entry.heldUntil = time.Now().Add(r.hold)
		return false, errHeld
	}
	p.restored = p.restored || !endsSession
	return false, nil
}

// settle notes the role that Redis decided on. What it had accepted before keeps
// its own; the database compares fences, too.
func (e *replayed) settle(as handoff.StoredAs) {
	if e.Accepted {
		return
	}
	e.As, e.Accepted, e.changed = as, true, true
}

func (r *Recovery) write(snapshot *handoff.Snapshot, packed []byte, endsSession bool) handoff.Written {
	ctx, cancel := context.WithTimeout(r.stop, recoveryCall)
	defer cancel()
	if endsSession {
		return r.ports.Store.CheckIn(ctx, snapshot, packed)
	}
	return r.ports.Store.Update(ctx, snapshot, packed)
}

// resume puts back what Redis forgot of an entry's session. When nothing is to be
// put back, by what the database and Redis know, it returns the role that is left
// for the snapshot.
func (r *Recovery) resume(entry *replayed) (as handoff.StoredAs, err error) {
	ctx, cancel := context.WithTimeout(r.stop, recoveryCall)
	defer cancel()
	newest, err := r.ports.Archive.Newest(ctx, entry.Player)
	switch {
	case errors.Is(err, handoff.ErrNoSnapshot):
	case err != nil:
		return 0, fmt.Errorf("ask the database: %w", err)
	case newest.Version.Fence > entry.Version.Fence:
		return handoff.AsConflict, nil
	case newest.ID == entry.ID:
		return handoff.AsCurrent, nil
	case newest.Version.Compare(entry.Version) >= 0:
		return handoff.AsHistory, nil
	}
	// Asked after everything that takes time: see rule R1.
	if _, ok := r.ports.Gate.Settled(time.Now()); !ok {
		return 0, errUnsettled
	}
	switch written := r.ports.Store.Resume(ctx, entry.Player, handoff.Resume{Fence: entry.Version.Fence}); written.Outcome {
	case handoff.WriteDone:
		r.log.Info("resumed a session that redis had forgotten, to replay its snapshot", "player", entry.Player, "version", entry.Version)
		return 0, nil
	case handoff.WriteFenced:
		return handoff.AsConflict, nil
	default:
		return 0, errors.Join(errNoAnswer, written.Err)
	}
}

// store takes a player's judged entries to the database, oldest first. It
// returns nil when none of the player's entries is left.
func (r *Recovery) store(p *replay) error {
	for _, entry := range p.entries {
		if entry.gone {
			continue
		}
		if !entry.judged && !entry.Accepted {
			return errBusy
		}
		snapshot, packed, err := r.load(entry)
		if err != nil {
			return err
		}
		if entry.gone {
			continue
		}
		if err := r.storeOne(entry, snapshot, packed); err != nil {
			r.keep(entry, snapshot, packed)
			return err
		}
	}
	p.release()
	return nil
}

// storeOne stores one snapshot and takes its entry out of the spool.
func (r *Recovery) storeOne(entry *replayed, snapshot *handoff.Snapshot, packed []byte) error {
	ctx, cancel := context.WithTimeout(r.stop, recoveryCall)
	defer cancel()
	conflict, err := r.insert(ctx, snapshot, packed, entry.As)
	if errors.Is(err, handoff.ErrUnacceptable) || errors.Is(err, handoff.ErrTooLarge) {
		return r.reject(entry, err)
	}
	if err != nil {
		return fmt.Errorf("store in the database: %w", err)
	}
	if entry.As == handoff.AsCurrent {
		// Only a hint: data_update would stay longer than it must.
		if err := r.ports.Store.Expire(ctx, entry.Player, entry.Version); err != nil {
			r.log.Debug("cannot let data_update expire", "player", entry.Player, "error", err)
		}
	}
	if err := r.ports.Spool.Remove(entry.Player, entry.ID); err != nil {
		return fmt.Errorf("take out of the spool: %w", err)
	}
	outcome := entry.As
	if conflict {
		outcome = handoff.AsConflict
	}
	r.finish(entry, outcome.String())
	switch outcome {
	case handoff.AsConflict:
		r.log.Warn("a snapshot from the local spool came too late and was kept as conflict: another session came after it",
			"player", entry.Player, "version", entry.Version, "snapshot", entry.ID)
	default:
		r.log.Debug("replayed a snapshot", "player", entry.Player, "version", entry.Version, "as", outcome)
	}
	return nil
}

// insert stores a snapshot in its role. It may be there in another one: stored by
// the run before, and judged again since that run did not come to forget it.
// Asking for each role finds it, and adds none.
func (r *Recovery) insert(ctx context.Context, snapshot *handoff.Snapshot, packed []byte, as handoff.StoredAs) (conflict bool, err error) {
	conflict, err = r.ports.Archive.Insert(ctx, snapshot, packed, as)
	if !errors.Is(err, handoff.ErrUnacceptable) {
		return conflict, err
	}
	for _, other := range [...]handoff.StoredAs{handoff.AsCurrent, handoff.AsHistory} {
		if other == as {
			continue
		}
		if conflict, otherErr := r.ports.Archive.Insert(ctx, snapshot, packed, other); otherErr == nil {
			return conflict, nil
		}
	}
	return false, err
}

// keep writes down what Redis decided, as the database does not take the
// snapshot now and a later run would be told something else.
func (r *Recovery) keep(entry *replayed, snapshot *handoff.Snapshot, packed []byte) {
	if !entry.changed || entry.gone {
		return
	}
	noted := handoff.SpoolEntry{Snapshot: snapshot, As: entry.As, Accepted: entry.Accepted, Final: entry.Final}
	if err := r.ports.Spool.Put(r.stop, noted, packed); err != nil {
		r.log.Debug("cannot note in the spool what became of a snapshot", "player", entry.Player, "error", err)
		return
	}
	entry.changed = false
}

// load reads an entry's snapshot. An entry that can never be replayed is done
// with: it is then gone, and no error is returned.
func (r *Recovery) load(entry *replayed) (*handoff.Snapshot, []byte, error) {
	packed, err := r.ports.Spool.Read(entry.Player, entry.ID)
	if errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("a snapshot disappeared from the local spool", "player", entry.Player, "version", entry.Version, "error", err)
		r.finish(entry, "missing")
		return nil, nil, nil
	}
	if errors.Is(err, handoff.ErrDamaged) {
		return nil, nil, r.reject(entry, err)
	}
	if err != nil {
		return nil, nil, err
	}
	snapshot, err := r.ports.Meta(packed)
	switch {
	case err != nil:
		return nil, nil, r.reject(entry, err)
	case snapshot.ID != entry.ID || snapshot.Player != entry.Player || snapshot.Version != entry.Version:
		return nil, nil, r.reject(entry, fmt.Errorf("%w: the entry holds another snapshot", handoff.ErrDamaged))
	}
	return snapshot, packed, nil
}

// reject sets an entry aside.
func (r *Recovery) reject(entry *replayed, cause error) error {
	if err := r.ports.Spool.Reject(entry.Player, entry.ID, cause); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r.finish(entry, "rejected")
	return nil
}

// finish is done with an entry.
func (r *Recovery) finish(entry *replayed, outcome string) {
	entry.gone = true
	entry.lost = false
	r.pending.Add(-1)
	r.outcomes.WithLabelValues(outcome).Inc()
}
