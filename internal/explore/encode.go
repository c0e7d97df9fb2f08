package explore

import (
	"encoding/binary"
	"math/bits"
	"reflect"
	"slices"
	"time"
	"unsafe"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lockstep"
)

// hash is the identity of a state.
type hash [2]uint64

// refKind is a kind of number of which only the order counts.
type refKind uint8

const (
	refFence refKind = iota
	refSnapshot
	refRequest
	refOp
)

// ref is such a number; its rank is written where it stands when all are known.
type ref struct {
	kind  uint16
	at    uint32
	value uint64
}

// encoder writes worlds in canonical form. It is not safe for concurrent use.
type encoder struct {
	planner  planner
	state    encodeFunc
	entry    encodeFunc
	dynamics map[reflect.Type]encodeFunc
	out      []byte
	refs     []ref
	now      time.Time
	server   uint16
	marks    []string
}

func newEncoder() *encoder {
	e := &encoder{planner: planner{plans: map[reflect.Type]encodeFunc{}}, dynamics: map[reflect.Type]encodeFunc{}}
	e.state = e.planner.of(reflect.TypeFor[lockstep.State](), "")
	e.entry = e.planner.of(reflect.TypeFor[handoff.SpoolEntry](), "")
	return e
}

func (e *encoder) byte(b byte)     { e.out = append(e.out, b) }
func (e *encoder) number(n uint64) { e.out = binary.LittleEndian.AppendUint64(e.out, n) }
func (e *encoder) small(n int64)   { e.out = binary.AppendVarint(e.out, n) }

func (e *encoder) text(s string) {
	e.byte(byte(len(s)))
	e.out = append(e.out, s...)
}

func (e *encoder) bool(b bool) {
	if b {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

// ref writes a number whose order alone counts. Zero means none. Operations and
// requests are counted by each server for itself.
func (e *encoder) ref(kind refKind, value uint64) {
	k := uint16(kind)
	if kind >= refRequest {
		k |= e.server << 8
	}
	if value != 0 {
		e.refs = append(e.refs, ref{k, uint32(len(e.out)), value})
	}
	e.byte(0)
}

// time is relative to now; long past is long past.
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.byte(0)
		return
	}
	e.byte(1)
	e.small(int64(max(t.Sub(e.now), -time.Minute)))
}

// moment is a time of the model, zero for none.
func (e *encoder) moment(t time.Duration, w *World) {
	if t == 0 {
		e.byte(0)
		return
	}
	e.byte(1)
	e.small(int64(max(t-w.now, -time.Minute)))
}

// dynamic writes what an interface holds, with its type.
func (e *encoder) dynamic(v reflect.Value) {
	if v.IsNil() {
		e.byte(0)
		return
	}
	if err, ok := reflect.TypeAssert[error](v); ok {
		if _, refusal := err.(*handoff.Refusal); !refusal { //nolint:errorlint // It is encoded as what it is.
			e.text(err.Error())
			return
		}
	}
	held := v.Elem()
	t := held.Type()
	e.text(t.Name() + t.String())
	plan := e.dynamics[t]
	if plan == nil {
		plan = e.planner.of(t, "")
		e.dynamics[t] = plan
	}
	place := reflect.New(t)
	place.Elem().Set(held)
	plan(e, place.UnsafePointer())
}

// hash returns the identity of the world.
func (e *encoder) hash(w *World) hash {
	e.out, e.refs, e.now = e.out[:0], e.refs[:0], w.at()
	e.promised(&w.truth)
	e.world(w)
	for i := range w.count() {
		e.server = uint16(i)
		e.oneServer(w, w.servers[i])
	}
	e.rank()
	return sum(e.out)
}

// rank replaces the numbers whose order alone counts by their ranks.
func (e *encoder) rank() {
	slices.SortFunc(e.refs, func(a, b ref) int {
		switch {
		case a.kind != b.kind:
			return int(a.kind) - int(b.kind)
		case a.value < b.value:
			return -1
		case a.value > b.value:
			return 1
		}
		return 0
	})
	rank := byte(0)
	for k, r := range e.refs {
		switch {
		case k == 0 || e.refs[k-1].kind != r.kind:
			rank = 1
		case e.refs[k-1].value != r.value:
			rank++
		}
		e.out[r.at] = rank
	}
}

func (e *encoder) fence(f handoff.Fence) { e.ref(refFence, uint64(f)) }

func (e *encoder) version(v handoff.Version) {
	e.fence(v.Fence)
	e.small(int64(v.Sequence))
}

func (e *encoder) snapshot(s *handoff.Snapshot) {
	if s == nil {
		e.byte(0)
		return
	}
	e.byte(1)
	e.id(s.ID)
	e.version(s.Version)
	e.lineage(s.Data)
}

func (e *encoder) id(id handoff.SnapshotID) { e.ref(refSnapshot, uint64(id[14])<<8|uint64(id[15])) }

// lineage tells which of the snapshots that games were promised something about
// the data was built on.
func (e *encoder) lineage(data map[string][]byte) {
	set := byte(0)
	for k, key := range e.marks {
		if _, ok := data[key]; ok {
			set |= 1 << k
		}
	}
	e.byte(set)
}

func (e *encoder) promise(p promise) {
	e.byte(byte(p.server))
	e.version(p.version)
	e.id(p.id)
}

// promised notes what lineage asks for.
func (e *encoder) promised(t *truth) {
	e.marks = e.marks[:0]
	if !t.acknowledged.isZero() {
		e.marks = append(e.marks, mark(t.acknowledged.id))
	}
	for _, p := range t.provisional[:min(len(t.provisional), 6)] {
		e.marks = append(e.marks, mark(p.id))
	}
}

func (e *encoder) redis(r *redis, w *World) {
	e.fence(r.fence)
	e.text(string(r.checkout))
	e.snapshot(r.update)
	e.bool(r.expiring)
	for i := range w.count() {
		e.byte(r.leases[i].incarnation)
		e.moment(r.leases[i].end, w)
	}
}

func (e *encoder) world(w *World) {
	e.redis(&w.redis, w)
	e.bool(w.dump != nil)
	if w.dump != nil {
		e.redis(w.dump, w)
	}
	e.byte(byte(w.db))
	e.bool(w.away)
	e.byte(byte(len(w.rows)))
	for _, r := range w.rows {
		e.byte(byte(r.as))
		e.snapshot(r.snapshot)
	}
	e.out = append(e.out, byte(w.left.faults), byte(w.left.delays), byte(w.left.odd), byte(w.left.dumps))
	e.byte(byte(w.calm))
	if w.calm != notCalm {
		e.small(int64(min(w.now-w.calmSince, patience)))
		e.byte(byte(w.probes))
	}
	if w.rules.behind {
		e.number(uint64(w.redis.fence))
	}
	e.truth(w)
}

func (e *encoder) truth(w *World) {
	t := &w.truth
	e.fence(t.delivered)
	e.version(t.loaded)
	e.promise(t.acknowledged)
	for _, list := range [][]handoff.Version{t.accepted, t.final, t.unsaved} {
		e.byte(byte(len(list)))
		for _, v := range list {
			e.version(v)
		}
	}
	e.byte(byte(len(t.provisional)))
	for _, p := range t.provisional {
		e.promise(p)
	}
	e.bool(t.amnesia)
	e.bool(t.emptied)
	e.bool(t.strayed)
	for i := range w.count() {
		e.bool(t.ended[i])
		e.bool(t.saw[i])
		e.bool(t.doubt[i])
		e.fence(t.fenced[i])
	}
}

func (e *encoder) oneServer(w *World, s *server) {
	state := s.state.(lockstep.State)
	e.state(e, unsafe.Pointer(&state))
	e.byte(byte(s.life))
	e.bool(s.cut)
	e.byte(s.incarnation)
	for l := range s.lanes {
		e.lane(&s.lanes[l])
	}
	e.byte(byte(s.look))
	e.bool(s.petitions)
	e.text(string(s.petition.By))
	e.fence(s.petition.Fence)
	for _, watch := range s.watches {
		e.bool(watch.on)
		if watch.on {
			e.text(string(watch.server))
		}
	}
	e.moment(s.pollAt, w)
	for _, t := range s.timers {
		e.moment(t, w)
	}
	e.lifecycle(w, &s.lifecycle)
	e.game(w, &s.game)
	e.entries(s.spool)
}

func (e *encoder) lane(l *lane) {
	e.byte(byte(len(l.queue)))
	for k := range l.queue {
		e.dynamic(reflect.ValueOf(&l.queue[k]).Elem())
	}
	e.bool(l.ran)
	e.bool(l.gated)
	e.bool(l.verified && len(l.queue) > 0)
	e.bool(l.suspected && len(l.queue) > 0)
	e.byte(l.part)
	e.text(string(l.saved))
	e.dynamic(reflect.ValueOf(&l.answer).Elem())
}

func (e *encoder) lifecycle(w *World, c *lifecycle) {
	e.moment(max(c.settled, w.now), w)
	for _, b := range []bool{c.begun, c.resynced, c.lapsed, c.suspect, c.changed, c.woken, c.recheck, c.swept, c.lost, c.interrupted} {
		e.bool(b)
	}
	e.moment(c.noticeBy, w)
	e.moment(max(c.lingers, w.now), w)
	e.moment(c.ownEnd, w)
	e.byte(byte(c.sweeps))
	e.text(string(c.seen.Server))
	e.fence(c.seen.Fence)
	e.byte(byte(len(c.recovery)))
	for k := range c.recovery {
		e.entry(e, unsafe.Pointer(&c.recovery[k].entry))
		e.bool(c.recovery[k].judged)
		e.bool(c.recovery[k].lost)
		e.moment(c.recovery[k].heldUntil, w)
	}
}

func (e *encoder) entries(list []handoff.SpoolEntry) {
	e.byte(byte(len(list)))
	for k := range list {
		e.entry(e, unsafe.Pointer(&list[k]))
	}
}

func (e *encoder) game(w *World, g *game) {
	e.bool(g.attached)
	e.fence(g.session.Fence)
	e.bool(g.confirmed)
	e.ref(refRequest, uint64(g.grantedTo))
	e.byte(byte(len(g.waiting)))
	for _, a := range g.waiting {
		e.ref(refRequest, uint64(a.request))
		e.byte(byte(a.kind))
		e.fence(a.session.Fence)
		e.bool(a.applied)
		if w.calm != notCalm && a.kind == askJoin {
			e.small(int64(min(w.now-a.since, patience)))
		}
	}
	e.byte(byte(len(g.hungUp)))
	for _, r := range g.hungUp {
		e.ref(refRequest, uint64(r))
	}
	e.byte(byte(g.joins))
	e.byte(byte(g.saves))
}

// sum is a hash of 128 bits: two rounds of multiply-and-fold with different keys.
func sum(b []byte) hash {
	h := hash{0x9e3779b97f4a7c15 ^ uint64(len(b)), 0xc2b2ae3d27d4eb4f}
	for len(b) >= 8 {
		h = fold(h, binary.LittleEndian.Uint64(b))
		b = b[8:]
	}
	var last [8]byte
	copy(last[:], b)
	h = fold(h, binary.LittleEndian.Uint64(last[:]))
	return fold(fold(h, h[1]), 0x165667b19e3779f9)
}

func fold(h hash, word uint64) hash {
	hi, lo := bits.Mul64(h[0]^word, 0xa0761d6478bd642f)
	hi2, lo2 := bits.Mul64(h[1]^bits.RotateLeft64(word, 32), 0xe7037ed1a0b428db)
	return hash{hi ^ lo ^ bits.RotateLeft64(h[1], 17), hi2 ^ lo2 + h[0]}
}
