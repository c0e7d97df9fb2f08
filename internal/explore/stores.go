package explore

import (
	"fmt"
	"slices"

	"github.com/syncworker/syncworker/internal/handoff"
)

// newestRow is the highest version among the current rows.
func (w *World) newestRow() *handoff.Snapshot {
	var newest *handoff.Snapshot
	for _, r := range w.rows {
		if r.as == handoff.AsCurrent && (newest == nil || r.snapshot.Version.Compare(newest.Version) > 0) {
			newest = r.snapshot
		}
	}
	return newest
}

func (w *World) runRead(a handoff.ReadNewest) handoff.Event {
	read := handoff.NewestRead{Attempt: a.Attempt, Snapshot: w.newestRow()}
	if read.Snapshot == nil {
		read.Err = handoff.ErrNoSnapshot
	}
	return read
}

// errReused is what the database answers to an ID that it has already, in
// another role or with another version.
var errReused = fmt.Errorf("the id is taken: %w", handoff.ErrUnacceptable)

// insert is the database with its second fence (rule R6). The same snapshot
// again is answered as before.
func (w *World) insert(snapshot *handoff.Snapshot, as handoff.StoredAs) (conflict bool, err error) {
	at := slices.IndexFunc(w.rows, func(r row) bool { return r.snapshot.ID == snapshot.ID })
	if at >= 0 {
		there := w.rows[at]
		conflict = as == handoff.AsCurrent && there.as == handoff.AsConflict
		if there.as != as && !conflict || there.snapshot.Version != snapshot.Version {
			return false, errReused
		}
		return conflict, nil
	}
	newest := w.newestRow()
	if as == handoff.AsCurrent && newest != nil && newest.Version.Fence > snapshot.Version.Fence {
		as, conflict = handoff.AsConflict, true
	}
	w.rows = with(w.rows, row{snapshot: snapshot, as: as})
	slices.SortStableFunc(w.rows, func(a, b row) int { return a.snapshot.Version.Compare(b.snapshot.Version) })
	return conflict, nil
}

func (w *World) runStore(a handoff.Store) handoff.Event {
	conflict, err := w.insert(a.Snapshot, a.As)
	return handoff.Stored{ID: a.Snapshot.ID, Conflict: conflict, Err: err}
}

// insertAnyway is what the recovery does: a snapshot that is there already in
// another role is done with.
func (w *World) insertAnyway(snapshot *handoff.Snapshot, as handoff.StoredAs) {
	if _, err := w.insert(snapshot, as); err != nil {
		w.say("  it is there already")
	}
}

func (w *World) hasCurrent(version handoff.Version) bool {
	return slices.ContainsFunc(w.rows, func(r row) bool {
		return r.as == handoff.AsCurrent && r.snapshot.Version == version
	})
}

// runSpool is the local disk of a server.
func (w *World) runSpool(i int, action handoff.Action) handoff.Event {
	s := w.server(i)
	switch a := action.(type) {
	case handoff.Spool:
		s.unspool(a.Entry.Snapshot.ID)
		s.spool = with(s.spool, a.Entry)
		return handoff.Spooled{ID: a.Entry.Snapshot.ID}
	case handoff.Unspool:
		s.unspool(a.ID)
	}
	return nil
}

func (s *server) unspool(id handoff.SnapshotID) {
	at := slices.IndexFunc(s.spool, func(e handoff.SpoolEntry) bool { return e.Snapshot.ID == id })
	if at >= 0 {
		s.spool = without(s.spool, at)
	}
}

// find returns the snapshot that the database has as current, or a spool.
func (w *World) find(version handoff.Version) *handoff.Snapshot {
	for _, r := range w.rows {
		if r.as == handoff.AsCurrent && r.snapshot.Version == version {
			return r.snapshot
		}
	}
	for i := range w.count() {
		for _, e := range w.servers[i].spool {
			if e.Snapshot.Version == version {
				return e.Snapshot
			}
		}
	}
	return nil
}

// spooled reports whether a server has the version on its disk.
func (w *World) spooled(version handoff.Version) bool {
	for i := range w.count() {
		if slices.ContainsFunc(w.servers[i].spool, func(e handoff.SpoolEntry) bool { return e.Snapshot.Version == version }) {
			return true
		}
	}
	return false
}
