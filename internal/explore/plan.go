package explore

import (
	"fmt"
	"reflect"
	"time"
	"unsafe"

	"github.com/syncworker/syncworker/internal/handoff"
)

// rule says how a field without a type of its own is encoded.
type rule uint8

const (
	// ruleIgnore: nothing that happens depends on it.
	ruleIgnore rule = iota + 1
	// ruleRaw: as it is.
	ruleRaw
	// ruleOp: the number of an operation; only its order among the others of
	// the same machine counts.
	ruleOp
	// ruleLineage: data, of which only matters what it was built on.
	ruleLineage
	// ruleCount: a count of failures, which changes nothing beyond many.
	ruleCount
)

// manyFailures is more than any backoff tells apart.
const manyFailures = 9

// fieldRules tells of every field that is a plain number or a map, by type and
// name. One that is missing stops the program: a new field must be looked at.
var fieldRules = map[string]rule{
	"State.ops":            ruleIgnore, // Always above every other number of an operation.
	"State.name":           ruleIgnore,
	"State.player":         ruleIgnore,
	"join.since":           ruleIgnore, // For the answer's Waited alone.
	"session.since":        ruleIgnore, // For summaries alone.
	"session.base":         ruleLineage,
	"ended.base":           ruleLineage,
	"wait.attempt":         ruleOp,
	"wait.leaseRead":       ruleOp,
	"wait.incarnation":     ruleIgnore, // For a note alone.
	"session.replays":      ruleCount,
	"adopting.failures":    ruleCount,
	"wait.granted":         ruleOp,
	"read.attempt":         ruleOp,
	"read.since":           ruleOp,
	"write.op":             ruleOp,
	"wait.failures":        ruleCount,
	"write.failures":       ruleCount,
	"owed.failures":        ruleCount,
	"session.unverified":   ruleCount,
	"write.resumes":        ruleCount,
	"session.tried":        ruleRaw,
	"session.accepted":     ruleRaw,
	"ended.tried":          ruleRaw,
	"Version.Sequence":     ruleRaw,
	"Capture.Sequence":     ruleRaw,
	"Capture.Data":         ruleIgnore, // Its ID tells.
	"Capture.CapturedAt":   ruleIgnore,
	"Capture.CreatedAt":    ruleIgnore,
	"Snapshot.Player":      ruleIgnore,
	"Snapshot.PlayerName":  ruleIgnore,
	"Snapshot.Data":        ruleLineage,
	"Snapshot.CapturedAt":  ruleIgnore,
	"Snapshot.CreatedAt":   ruleIgnore,
	"SessionID.Player":     ruleIgnore,
	"Grant.Waited":         ruleIgnore,
	"Claim.Attempt":        ruleOp,
	"CheckLease.Attempt":   ruleOp,
	"ReadLease.Attempt":    ruleOp,
	"ReadNewest.Attempt":   ruleOp,
	"Claimed.Attempt":      ruleOp,
	"LeaseChecked.Attempt": ruleOp,
	"LeaseRead.Attempt":    ruleOp,
	"NewestRead.Attempt":   ruleOp,
	"Update.Op":            ruleOp,
	"CheckIn.Op":           ruleOp,
	"Release.Op":           ruleOp,
	"Resume.Op":            ruleOp,
	"Sweep.Op":             ruleOp,
	"Written.Op":           ruleOp,
}

// encodeFunc writes the value at p.
type encodeFunc func(e *encoder, p unsafe.Pointer)

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	fenceType    = reflect.TypeFor[handoff.Fence]()
	requestType  = reflect.TypeFor[handoff.RequestID]()
	snapshotType = reflect.TypeFor[handoff.SnapshotID]()
)

// planner compiles types to functions that encode their values.
type planner struct{ plans map[reflect.Type]encodeFunc }

func (pl *planner) of(t reflect.Type, field string) encodeFunc {
	switch t {
	case timeType:
		return func(e *encoder, p unsafe.Pointer) { e.time(*(*time.Time)(p)) }
	case durationType:
		return func(e *encoder, p unsafe.Pointer) { e.number(*(*uint64)(p)) }
	case fenceType:
		return func(e *encoder, p unsafe.Pointer) { e.ref(refFence, *(*uint64)(p)) }
	case requestType:
		return func(e *encoder, p unsafe.Pointer) { e.ref(refRequest, *(*uint64)(p)) }
	case snapshotType:
		return func(e *encoder, p unsafe.Pointer) {
			id := (*handoff.SnapshotID)(p)
			e.ref(refSnapshot, uint64(id[14])<<8|uint64(id[15]))
		}
	}
	if plan, ok := pl.plans[t]; ok && t.Kind() == reflect.Struct {
		return func(e *encoder, p unsafe.Pointer) { plan(e, p) }
	}
	switch t.Kind() {
	case reflect.Struct:
		return pl.structure(t)
	case reflect.Pointer:
		return pl.pointer(t)
	case reflect.Slice:
		return pl.slice(t, field)
	case reflect.Array:
		return pl.array(t, field)
	case reflect.Interface:
		return func(e *encoder, p unsafe.Pointer) { e.dynamic(reflect.NewAt(t, p).Elem()) }
	default:
		return plain(t, field)
	}
}

// plain encodes what has no parts. Named types of one byte are enumerations;
// other numbers need a rule.
func plain(t reflect.Type, field string) encodeFunc {
	r := fieldRules[field]
	if r == ruleLineage {
		return func(e *encoder, p unsafe.Pointer) { e.lineage(*(*map[string][]byte)(p)) }
	}
	switch kind := t.Kind(); {
	case kind == reflect.Bool, kind == reflect.Uint8 && t.PkgPath() != "":
		return func(e *encoder, p unsafe.Pointer) { e.byte(*(*byte)(p)) }
	case kind == reflect.String:
		return func(e *encoder, p unsafe.Pointer) { e.text(*(*string)(p)) }
	case t.Size() == 8 && r == ruleRaw:
		return func(e *encoder, p unsafe.Pointer) { e.number(*(*uint64)(p)) }
	case t.Size() == 8 && r == ruleOp:
		return func(e *encoder, p unsafe.Pointer) { e.ref(refOp, *(*uint64)(p)) }
	case t.Size() == 8 && r == ruleCount:
		return func(e *encoder, p unsafe.Pointer) { e.number(min(*(*uint64)(p), manyFailures)) }
	}
	panic(fmt.Sprintf("explore: no rule how to encode %s (%s): add it to fieldRules", field, t))
}

func (pl *planner) structure(t reflect.Type) encodeFunc {
	type part struct {
		offset uintptr
		encode encodeFunc
	}
	var parts []part
	pl.plans[t] = func(e *encoder, p unsafe.Pointer) {
		for _, part := range parts {
			part.encode(e, unsafe.Add(p, part.offset))
		}
	}
	for f := range t.Fields() {
		name := t.Name() + "." + f.Name
		if fieldRules[name] == ruleIgnore {
			continue
		}
		parts = append(parts, part{f.Offset, pl.of(f.Type, name)})
	}
	return pl.plans[t]
}

func (pl *planner) pointer(t reflect.Type) encodeFunc {
	to := pl.of(t.Elem(), "")
	return func(e *encoder, p unsafe.Pointer) {
		target := *(*unsafe.Pointer)(p)
		if target == nil {
			e.byte(0)
			return
		}
		e.byte(1)
		to(e, target)
	}
}

func (pl *planner) slice(t reflect.Type, field string) encodeFunc {
	element, size := pl.of(t.Elem(), field), t.Elem().Size()
	return func(e *encoder, p unsafe.Pointer) {
		s := (*[]byte)(p) // Only its pointer and length are used.
		n := len(*s)
		e.byte(byte(n))
		first := unsafe.Pointer(unsafe.SliceData(*s))
		for k := range n {
			element(e, unsafe.Add(first, uintptr(k)*size))
		}
	}
}

func (pl *planner) array(t reflect.Type, field string) encodeFunc {
	element, size := pl.of(t.Elem(), field), t.Elem().Size()
	return func(e *encoder, p unsafe.Pointer) {
		for k := range t.Len() {
			element(e, unsafe.Add(p, uintptr(k)*size))
		}
	}
}
