package explore

import (
	"reflect"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/lockstep"
)

// TestBroken: a world in which somebody takes the player without asking is found
// broken, and the trace tells how. The mutants of internal/mutants show the same
// for every rule.
func TestBroken(t *testing.T) {
	f := families()[0]
	s, err := newSearch(f, 2_000, Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	s.start = s.start.clone()
	s.start.setCheckout("") // The holder has not given it back.
	s.run()
	if s.found == nil {
		t.Fatal("nothing is found")
	}
	v := s.violation()
	if !strings.HasPrefix(v.Law, "L") || !strings.Contains(v.Text(), "VIOLATION") {
		t.Errorf("law %q, trace:\n%s", v.Law, v.Text())
	}
}

// TestNumbersDoNotCount: worlds that differ in numbers of which only the order
// counts are the same state.
func TestNumbersDoNotCount(t *testing.T) {
	e := newEncoder()
	hashes := map[hash]bool{}
	for _, shift := range []int{0, 7} {
		w, err := families()[0].world()
		if err != nil {
			t.Fatal(err)
		}
		w = w.clone()
		for i := range w.count() {
			s := w.server(i)
			s.requests += handoff.RequestID(shift)
		}
		w.snapshots += uint32(shift)
		w.clock += int64(shift)
		w.apply(Move{Kind: moveSave})
		w.apply(Move{Kind: moveRun, Arg: uint8(redisLane)})
		hashes[e.hash(w)] = true
	}
	if len(hashes) != 1 {
		t.Errorf("%d states, want 1", len(hashes))
	}
}

// TestNewFieldStops: a field that no rule tells about is not passed over.
func TestNewFieldStops(t *testing.T) {
	defer func() {
		if text, ok := recover().(string); !ok || !strings.Contains(text, "odd.Field") {
			t.Errorf("recovered %q, want the field's name", text)
		}
	}()
	type odd struct{ Field uint64 }
	pl := newEncoder().planner
	pl.of(reflect.TypeFor[odd](), "")
	t.Error("nothing stopped")
}

// TestStates: every machine starts in a state that the encoder can write.
func TestStates(t *testing.T) {
	machine, err := lockstep.New(lockstep.Config{Server: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := machine.Start(player).(lockstep.State); !ok {
		t.Error("the machine's state is of another type")
	}
}
