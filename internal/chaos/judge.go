package chaos

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Judge reads a history. Tokens is how many tokens a new player is given;
// players is how many players there are, each of whom must have a final join.
func Judge(history []Entry, players, tokens int) Verdict {
	x := newIndex(history)
	v := &Verdict{}
	v.count(history, x)
	for _, l := range x.lives {
		v.judgeJoins(x, l)
		v.judgeWrites(l)
		v.judgeRegister(x, l)
	}
	v.judgeLosses(history, x)
	v.judgeAnswers(history)
	v.judgeTokens(x, players, tokens)
	v.sort()
	return *v
}

// JudgeSoFar reads the history of a run that goes on: what has not been answered
// yet is missing in it, so only what is wrong in any case is found.
func JudgeSoFar(history []Entry) Verdict {
	if len(history) == 0 {
		return Verdict{}
	}
	x := newIndex(history)
	v := &Verdict{}
	v.count(history, x)
	v.judgeLosses(history, x)
	for _, l := range x.lives {
		x.cut(l)
		v.judgeJoins(x, l)
		v.judgeWrites(l)
		v.judgeRegister(x, l)
	}
	v.sort()
	return *v
}

func (v *Verdict) sort() {
	slices.SortStableFunc(v.Violations, func(a, b Violation) int { return cmp.Compare(a.At, b.At) })
}

func (v *Verdict) add(f Fault, player int, at time.Duration, entries []int, format string, args ...any) {
	v.Violations = append(v.Violations, Violation{Fault: f, Player: player, At: at, Entries: entries, Text: fmt.Sprintf(format, args...)})
}

func (v *Verdict) count(history []Entry, x *index) {
	for _, e := range history {
		switch e.Kind {
		case KindFault:
			v.Faults++
		case KindTrade:
			v.Trades++
		case KindBroken:
			v.add(Broken, e.Player, e.Start, []int{e.N}, "%s", e.Text)
		case KindAttach:
			v.Resumed += e.Resumed
		case KindSave, KindQuit:
			if e.Outcome == Provisional {
				v.Spooled++
			}
		case KindJoin, KindConfirm, KindEnd, KindNote:
		}
	}
	for _, l := range x.lives {
		for _, j := range l.joins {
			v.Joins++
			v.WorstWait = max(v.WorstWait, j.Waited)
			if w := x.marks[j.Mark]; w != nil && w.server != j.Server {
				v.Handoffs++
			}
		}
		for _, w := range l.writes {
			if w.acked {
				v.Saves++
			}
		}
	}
}

// judgeJoins looks at each delivery by itself.
func (v *Verdict) judgeJoins(x *index, l *life) {
	for i, j := range l.joins {
		if i > 0 {
			v.judgeFences(l.joins[i-1], j)
		}
		if j.Outcome == New {
			v.judgeNew(l, j)
			continue
		}
		w := x.marks[j.Mark]
		switch {
		case w == nil:
			v.add(Lost, l.player, j.End, []int{j.N}, "%s delivered data that no game has handed in: mark %q", j.Server, j.Mark)
			continue
		case w.player != l.player:
			v.add(Lost, l.player, j.End, []int{j.N, w.entry}, "%s delivered data of player %d", j.Server, w.player)
			continue
		case w.begin > j.End:
			v.add(Broken, l.player, j.End, []int{j.N, w.entry}, "%s delivered data before it was handed in", j.Server)
		case w.digest != j.Digest:
			v.add(Lost, l.player, j.End, []int{j.N, w.entry}, "%s delivered other data than %s handed in under mark %s: digest %s, want %s",
				j.Server, w.server, w.mark, j.Digest, w.digest)
		case w.refused:
			v.add(Stale, l.player, j.End, []int{j.N, w.entry}, "%s delivered a capture that every worker had refused: mark %s", j.Server, w.mark)
		}
		v.judgeAge(l, j)
	}
}

// judgeFences looks at two joins of successive sessions.
func (v *Verdict) judgeFences(earlier, later Entry) {
	if earlier.Fence == later.Fence || later.End >= earlier.Start {
		return
	}
	v.add(Duplicated, later.Player, earlier.End, []int{later.N, earlier.N},
		"%s was granted session %d only after %s had been granted session %d, which is higher", earlier.Server, earlier.Fence, later.Server, later.Fence)
}

// judgeNew wants that nothing of the player was acknowledged or seen before a
// join that found nothing.
func (v *Verdict) judgeNew(l *life, j Entry) {
	for _, w := range l.writes {
		if w.acked && w.answered < j.Start {
			v.add(Lost, l.player, j.End, []int{j.N, w.entry}, "%s delivered nothing, but version %v (mark %s) was answered CURRENT before the join began",
				j.Server, w.version, w.mark)
			return
		}
	}
	for _, earlier := range l.joins {
		if earlier.Outcome == Delivered && earlier.End < j.Start {
			v.add(Lost, l.player, j.End, []int{j.N, earlier.N}, "%s delivered nothing, but version %v was delivered before the join began",
				j.Server, earlier.Version)
			return
		}
	}
}

// judgeAge wants nothing older than what was acknowledged or seen before the
// join began.
func (v *Verdict) judgeAge(l *life, j Entry) {
	for _, w := range l.writes {
		if w.acked && w.answered < j.Start && j.Version.Less(w.version) {
			v.add(Stale, l.player, j.End, []int{j.N, w.entry},
				"%s delivered version %v (mark %s), but version %v (mark %s) was answered CURRENT by %s %v before the join began",
				j.Server, j.Version, j.Mark, w.version, w.mark, w.server, (j.Start - w.answered).Round(time.Millisecond))
			return
		}
	}
	for _, earlier := range l.joins {
		if earlier.Outcome == Delivered && earlier.End < j.Start && j.Version.Less(earlier.Version) {
			v.add(Stale, l.player, j.End, []int{j.N, earlier.N}, "%s delivered version %v, but %s had delivered version %v before the join began",
				j.Server, j.Version, earlier.Server, earlier.Version)
			return
		}
	}
}

// judgeWrites looks at what was answered CURRENT.
func (v *Verdict) judgeWrites(l *life) {
	versions := map[Version]*write{}
	for _, w := range l.writes {
		if !w.acked {
			continue
		}
		if w.version.Fence != w.fence {
			v.add(Duplicated, l.player, w.answered, []int{w.entry}, "%s answered version %v for a capture of session %d", w.server, w.version, w.fence)
		}
		if other := versions[w.version]; other != nil {
			v.add(Lost, l.player, w.answered, []int{w.entry, other.entry}, "two captures, %s and %s, were answered CURRENT as the same version %v",
				other.mark, w.mark, w.version)
		}
		versions[w.version] = w
		for _, j := range l.joins {
			if j.Fence > w.fence && j.End < w.begin {
				v.add(Duplicated, l.player, w.answered, []int{w.entry, j.N},
					"%s answered CURRENT to session %d, %v after session %d was granted on %s: two sessions at once",
					w.server, w.fence, (w.answered - j.End).Round(time.Millisecond), j.Fence, j.Server)
				break
			}
		}
	}
}
