package devredis

import (
	"cmp"
	"container/heap"
	"slices"
	"strconv"
	"time"
)

// dbKey names one key of the server.
type dbKey struct {
	db  int
	key string
}

// expireKey removes a key of the call's database if it has run out.
func (s *Server) expireKey(c *call, key string) {
	at, ok := s.deadlines.of(dbKey{*c.db, key})
	if !ok || !due(at, c.now) {
		return
	}
	s.dispatch(c.peer, []string{"DEL", key})
	s.expired(dbKey{*c.db, key})
}

// expireDatabase removes every key of the call's database that has run out, for
// commands whose keys are not known.
func (s *Server) expireDatabase(c *call) {
	for _, k := range s.deadlines.due(c.now) {
		if k.db == *c.db {
			s.dispatch(c.peer, []string{"DEL", k.key})
			s.expired(k)
		}
	}
}

// expireEverywhere is the active cycle.
func (s *Server) expireEverywhere(now time.Time) {
	for _, k := range s.deadlines.due(now) {
		if k.db != s.ownDB {
			s.dispatch(s.own, []string{"SELECT", strconv.Itoa(k.db)})
			s.ownDB = k.db
		}
		s.dispatch(s.own, []string{"DEL", k.key})
		s.expired(k)
	}
}

func (s *Server) expired(k dbKey) {
	s.deadlines.set(k, 0)
	s.notify(k.db, classExpired, "expired", k.key)
}

// due follows Redis: a key is gone in the millisecond after its deadline, and
// PTTL answers 0 until then.
func due(deadline int64, now time.Time) bool { return now.UnixMilli() > deadline }

// deadlines is the expiry time of every key that has one, the next one first.
type deadlines struct {
	order []*deadline
	byKey map[dbKey]*deadline
}

type deadline struct {
	dbKey
	at    int64 // Unix milliseconds
	index int
}

// set remembers a key's deadline in Unix milliseconds; 0 forgets it.
func (d *deadlines) set(k dbKey, at int64) {
	entry, known := d.byKey[k]
	switch {
	case at == 0 && known:
		heap.Remove(d, entry.index)
		delete(d.byKey, k)
	case at == 0:
	case known:
		entry.at = at
		heap.Fix(d, entry.index)
	default:
		if d.byKey == nil {
			d.byKey = map[dbKey]*deadline{}
		}
		entry = &deadline{dbKey: k, at: at}
		d.byKey[k] = entry
		heap.Push(d, entry)
	}
}

func (d *deadlines) of(k dbKey) (at int64, ok bool) {
	if entry, known := d.byKey[k]; known {
		return entry.at, true
	}
	return 0, false
}

// due lists the keys that have run out, the earliest first, without forgetting
// them.
func (d *deadlines) due(now time.Time) []dbKey {
	var found []*deadline
	// The heap's order holds along each branch, so branches end at the first
	// entry that is not due.
	for pending := []int{0}; len(pending) > 0; {
		i := pending[len(pending)-1]
		pending = pending[:len(pending)-1]
		if i < len(d.order) && due(d.order[i].at, now) {
			found = append(found, d.order[i])
			pending = append(pending, 2*i+1, 2*i+2)
		}
	}
	slices.SortFunc(found, func(a, b *deadline) int { return cmp.Compare(a.at, b.at) })
	keys := make([]dbKey, len(found))
	for i, entry := range found {
		keys[i] = entry.dbKey
	}
	return keys
}

func (d *deadlines) clear() { *d = deadlines{} }

// clearDB forgets the deadlines of one database.
func (d *deadlines) clearDB(db int) {
	for k := range d.byKey {
		if k.db == db {
			d.set(k, 0)
		}
	}
}

// Len, Less, Swap, Push and Pop are heap.Interface.
func (d *deadlines) Len() int           { return len(d.order) }
func (d *deadlines) Less(i, j int) bool { return d.order[i].at < d.order[j].at }
func (d *deadlines) Swap(i, j int) {
	d.order[i], d.order[j] = d.order[j], d.order[i]
	d.order[i].index, d.order[j].index = i, j
}

func (d *deadlines) Push(entry any) {
	e := entry.(*deadline)
	e.index = len(d.order)
	d.order = append(d.order, e)
}

func (d *deadlines) Pop() any {
	last := len(d.order) - 1
	e := d.order[last]
	d.order[last] = nil
	d.order = d.order[:last]
	return e
}
