package chaos

import (
	"cmp"
	"slices"
	"time"
)

// write is one capture, with all attempts to hand it in.
type write struct {
	mark    string
	player  int
	server  string
	session string
	fence   int64
	capture uint64
	digest  string
	tokens  []string
	// begin is when it was sent first.
	begin time.Duration
	// acked says that it was answered CURRENT, at the time answered, as version.
	acked    bool
	answered time.Duration
	version  Version
	// refused says that the worker has refused every attempt in words that
	// exclude that any took effect.
	refused bool
	// entry is the line of the first attempt, or of the answer.
	entry int
}

// life is what a history has of one player.
type life struct {
	player int
	// joins are those that were granted, in the order of their sessions.
	joins  []Entry
	writes []*write
	final  *Entry
}

// index is a history, sorted.
type index struct {
	lives  []*life
	marks  map[string]*write
	trades []Entry
	end    time.Duration
}

// harmless are the reasons of refusals after which a capture has not been
// taken, provided that it was sent once.
var harmless = map[string]bool{"SUPERSEDED": true, "NO_SESSION": true, "NOT_CONFIRMED": true, "TOO_LARGE": true, "INVALID_REQUEST": true}

func newIndex(history []Entry) *index {
	x := &index{marks: map[string]*write{}}
	lives := map[int]*life{}
	of := func(player int) *life {
		if lives[player] == nil {
			lives[player] = &life{player: player}
			x.lives = append(x.lives, lives[player])
		}
		return lives[player]
	}
	for _, e := range history {
		x.end = max(x.end, e.End)
		switch e.Kind {
		case KindJoin:
			x.addJoin(of(e.Player), e)
		case KindSave, KindQuit:
			if e.Mark != "" {
				x.addWrite(of(e.Player), e)
			}
		case KindTrade:
			x.trades = append(x.trades, e)
		case KindAttach, KindConfirm, KindEnd, KindFault, KindBroken, KindNote:
		}
	}
	slices.SortFunc(x.lives, func(a, b *life) int { return a.player - b.player })
	for _, l := range x.lives {
		slices.SortStableFunc(l.joins, func(a, b Entry) int {
			return cmp.Or(cmp.Compare(a.Fence, b.Fence), cmp.Compare(a.Start, b.Start))
		})
	}
	return x
}

func (x *index) addJoin(l *life, e Entry) {
	if e.Outcome != Delivered && e.Outcome != New {
		return
	}
	l.joins = append(l.joins, e)
	if e.Final {
		l.final = &e
	}
}

func (x *index) addWrite(l *life, e Entry) {
	w := x.marks[e.Mark]
	if w == nil {
		w = &write{
			mark: e.Mark, player: e.Player, server: e.Server, session: e.Session, fence: e.Fence, capture: e.Capture,
			digest: e.Digest, tokens: e.Tokens, begin: e.Start, refused: true, entry: e.N,
		}
		x.marks[e.Mark] = w
		l.writes = append(l.writes, w)
	}
	w.begin = min(w.begin, e.Start)
	w.refused = w.refused && e.Outcome == Refused && harmless[e.Reason]
	if e.Outcome == Current && (!w.acked || e.End < w.answered) {
		w.acked, w.answered, w.version, w.entry = true, e.End, e.Version, e.N
	}
}

// after is the first granted join of a later session than that of fence.
func (l *life) after(fence int64) (Entry, bool) {
	for _, j := range l.joins {
		if j.Fence > fence {
			return j, true
		}
	}
	return Entry{}, false
}

// cut leaves what can be judged before the run is over: the sessions before the
// first join that delivered a capture which is not answered yet, and thus is not
// in the history.
func (x *index) cut(l *life) {
	for i, j := range l.joins {
		if j.Outcome == New || x.marks[j.Mark] != nil {
			continue
		}
		l.joins = l.joins[:i]
		l.writes = slices.DeleteFunc(l.writes, func(w *write) bool { return w.fence >= j.Fence })
		return
	}
}
