package chaos

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
)

// registerTime bounds the search for one player. Histories of hours take
// milliseconds: only deliveries and captures of known effect are in it.
const registerTime = 20 * time.Second

// register is the state of a player's data in the model.
type register struct {
	// fence is the session that was opened last.
	fence int64
	// mark is the data; empty for none.
	mark string
	// capture is the last one of this session that took effect.
	capture uint64
}

// operation is a delivery or a capture.
type operation struct {
	read    bool
	fence   int64
	mark    string
	capture uint64
}

func (o operation) String() string {
	if o.read {
		return fmt.Sprintf("join opens session %d and reads %q", o.fence, o.mark)
	}
	return fmt.Sprintf("session %d writes %q", o.fence, o.mark)
}

// step says whether an operation can take effect now.
func (r register) step(o operation) (bool, register) {
	switch {
	case o.read && o.fence == r.fence:
		// The same join, delivered again: nothing was written in between.
		return o.mark == r.mark && r.capture == 0, r
	case o.read:
		return o.fence > r.fence && o.mark == r.mark, register{fence: o.fence, mark: o.mark}
	default:
		return o.fence == r.fence && o.capture > r.capture, register{fence: o.fence, mark: o.mark, capture: o.capture}
	}
}

var registerModel = porcupine.Model{
	Init: func() any { return register{} },
	Step: func(state, input, _ any) (bool, any) { return state.(register).step(input.(operation)) },
	DescribeOperation: func(input, _ any) string {
		return input.(operation).String()
	},
}

// operations are a player's, for the model. A capture of unknown outcome that no
// join has delivered may be taken as one that had no effect: that is always
// possible. One that was delivered has had its effect, at any time after it was
// sent.
func (x *index) operations(l *life) []porcupine.Operation {
	seen := map[string]bool{}
	var all []porcupine.Operation
	for _, j := range l.joins {
		seen[j.Mark] = true
		all = append(all, porcupine.Operation{
			ClientId: 0, Input: operation{read: true, fence: j.Fence, mark: j.Mark},
			Call: int64(j.Start), Return: int64(j.End),
		})
	}
	for _, w := range l.writes {
		end := x.end
		if w.acked {
			end = w.answered
		} else if !seen[w.mark] {
			continue
		}
		all = append(all, porcupine.Operation{
			ClientId: 1, Input: operation{fence: w.fence, mark: w.mark, capture: w.capture},
			Call: int64(w.begin), Return: int64(max(end, w.begin)),
		})
	}
	return all
}

// judgeRegister asks whether the operations of a player have an order. The rules
// that look at single entries explain better, so their findings come first: where
// there are some, this adds nothing.
func (v *Verdict) judgeRegister(x *index, l *life) {
	for _, earlier := range v.Violations {
		if earlier.Player == l.player && earlier.Fault != Broken {
			return
		}
	}
	operations := x.operations(l)
	switch porcupine.CheckOperationsTimeout(registerModel, operations, registerTime) {
	case porcupine.Ok:
	case porcupine.Illegal:
		text, at, lines := x.explain(l)
		v.add(Stale, l.player, at, lines, "the player's %d joins and captures fit no order: %s", len(operations), text)
	case porcupine.Unknown:
		v.add(Broken, l.player, x.end, nil, "the player's %d joins and captures could not be judged within %v", len(operations), registerTime)
	}
}

// explain finds the first join with which the history fits no order anymore.
func (x *index) explain(l *life) (string, time.Duration, []int) {
	for i, j := range l.joins {
		cut := &life{player: l.player, joins: l.joins[:i+1]}
		for _, w := range l.writes {
			if w.fence <= j.Fence {
				cut.writes = append(cut.writes, w)
			}
		}
		if porcupine.CheckOperationsTimeout(registerModel, x.operations(cut), registerTime) == porcupine.Ok {
			continue
		}
		lines := []int{j.N}
		if w := x.marks[j.Mark]; w != nil {
			lines = append(lines, w.entry)
		}
		return fmt.Sprintf("they have one up to the session before, and none with session %d, which %s was granted with mark %q",
			j.Fence, j.Server, j.Mark), j.End, lines
	}
	return "a capture of the last session has no place", x.end, nil
}
