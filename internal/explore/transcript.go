package explore

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// violation plays the way to the broken law once more and writes it down.
func (s *search) violation() *Violation {
	var moves []Move
	if s.found.move != nil {
		moves = append(moves, *s.found.move)
	}
	for id := s.found.from; id != 0; id = s.nodes[id].parent {
		moves = append(moves, s.nodes[id].move)
	}
	v := &Violation{Family: s.family.name}
	w := s.start.clone()
	w.log = func(format string, args ...any) {
		v.Trace = append(v.Trace, fmt.Sprintf("%8v ", w.now)+fmt.Sprintf(format, args...))
	}
	w.say("start: %s", s.family.about)
	for _, m := range slices.Backward(moves) {
		w.owned = [maxServers]bool{}
		w.apply(m)
	}
	if s.found.move == nil && w.violation == "" {
		w = s.calmly(w, v)
	}
	v.Law = w.violation
	return v
}

// Text is the trace as it is printed and saved.
func (v *Violation) Text() string { return strings.Join(v.Trace, "\n") + "\n" }

func (s *search) calmly(w *World, v *Violation) *World {
	calm := w.calmDown(s.found.calm)
	calm.log = func(format string, args ...any) {
		v.Trace = append(v.Trace, fmt.Sprintf("%8v ", calm.now)+fmt.Sprintf(format, args...))
	}
	calm.say("from here on nothing goes wrong any more%s", map[calmness]string{calmLazy: "; everybody joins, players stay"}[calm.calm])
	for range calmSteps {
		m, more := calm.calmMove()
		if !more {
			if m, more = calm.rest(); !more {
				return calm
			}
		}
		calm.owned = [maxServers]bool{}
		calm.apply(m)
		if calm.violation != "" {
			return calm
		}
	}
	calm.broken("L7: it never comes to rest")
	return calm
}

var timerNames = map[handoff.Timer]string{
	handoff.TimerDeadline: "deadline", handoff.TimerLook: "look", handoff.TimerRetry: "retry", handoff.TimerStore: "store",
	handoff.TimerForget: "forget", handoff.TimerConfirm: "confirm", handoff.TimerRead: "read",
}

func timerName(t handoff.Timer) string {
	if name, ok := timerNames[t]; ok {
		return name
	}
	return fmt.Sprint("timer ", uint8(t))
}

// show writes an event or an action as a transcript has it: its name and what is
// set in it.
func show(v any) string {
	if v == nil {
		return "nothing"
	}
	return shown(reflect.ValueOf(v))
}

func shown(v reflect.Value) string {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case *handoff.Snapshot:
		if x == nil {
			return "none"
		}
		return x.Version.String()
	case *handoff.Capture:
		if x == nil {
			return "none"
		}
		return fmt.Sprintf("capture-%d", x.ID[15])
	case *handoff.Refusal:
		return "refused " + x.Reason.String() + ": " + x.Error()
	case *handoff.Receipt:
		return fmt.Sprintf("%v %v", x.Version, [...]string{"", "CURRENT", "HISTORY", "PROVISIONAL"}[x.State])
	case *handoff.Grant:
		return fmt.Sprintf("granted session %d, %v %s", x.Session.Fence, x.Source, show(x.Snapshot))
	case handoff.SessionID:
		return fmt.Sprint("session ", x.Fence)
	case handoff.SnapshotID:
		return fmt.Sprint("capture-", x[15])
	case handoff.Timer:
		return timerName(x)
	case handoff.Key:
		return [...]string{"", "checkout", "update", "switch", "lease"}[x]
	case time.Time:
		return x.Sub(epoch).String()
	case error:
		return x.Error()
	case fmt.Stringer:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return "none"
		}
		return shown(v.Elem())
	case reflect.Struct:
		return shownStruct(v)
	default:
		return fmt.Sprint(v.Interface())
	}
}

var outcomes = map[string][]string{
	"Claimed": {"", "granted", "held", "unknown", "settling", "failed"},
	"Written": {"", "done", "fenced", "superseded", "forgotten", "failed"},
}

func shownStruct(v reflect.Value) string {
	var parts []string
	for k := range v.NumField() {
		f := v.Type().Field(k)
		if !f.IsExported() || v.Field(k).IsZero() || f.Name == "Player" {
			continue
		}
		text := shown(v.Field(k))
		if names := outcomes[v.Type().Name()]; f.Name == "Outcome" && names != nil {
			parts = append(parts, names[v.Field(k).Uint()])
			continue
		}
		parts = append(parts, f.Name+"="+text)
	}
	return v.Type().Name() + "(" + strings.Join(parts, " ") + ")"
}
