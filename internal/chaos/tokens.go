package chaos

import (
	"fmt"
	"slices"
	"strings"
)

// Token names one of the tokens that a new player is given.
func Token(player, n int) string { return fmt.Sprintf("t%d.%d", player, n) }

// Tokens are all tokens that a new player is given.
func Tokens(player, count int) []string {
	var all []string
	for n := range count {
		all = append(all, Token(player, n+1))
	}
	return all
}

// judgeTokens wants each token with exactly one player in the end, except for
// those of trades that a crash has broken.
func (v *Verdict) judgeTokens(x *index, players, count int) {
	broken := v.judgeTrades(x)
	v.LeftOut = len(broken)
	holders := map[string][]int{}
	lines := map[int]int{}
	for _, l := range x.lives {
		if l.final == nil {
			continue
		}
		lines[l.player] = l.final.N
		for _, token := range l.final.Tokens {
			holders[token] = append(holders[token], l.player)
		}
	}
	for player := 1; player <= players; player++ {
		if lines[player] == 0 {
			v.add(Lost, player, x.end, nil, "the player could not join any more after everything was repaired")
		}
		for _, token := range Tokens(player, count) {
			v.Tokens++
			v.judgeToken(x, token, holders[token], lines, broken)
		}
	}
}

func (v *Verdict) judgeToken(x *index, token string, holders []int, lines map[int]int, broken map[string]bool) {
	if broken[token] || len(holders) == 1 {
		return
	}
	var at []int
	for _, player := range holders {
		at = append(at, lines[player])
	}
	history := "it never changed hands"
	if trades := x.tradesOf(token); len(trades) > 0 {
		history = "it changed hands in " + strings.Join(trades, ", ")
	}
	if len(holders) == 0 {
		v.add(Lost, 0, x.end, nil, "nobody has token %s in the end; %s", token, history)
		return
	}
	v.add(Duplicated, holders[0], x.end, at, "players %v all have token %s in the end; %s", holders, token, history)
}

func (x *index) tradesOf(token string) []string {
	var found []string
	for _, t := range x.trades {
		for _, side := range t.Sides {
			if side.Gave == token {
				found = append(found, fmt.Sprintf("line %d on %s", t.N, t.Server))
			}
		}
	}
	return found
}

// judgeTrades finds the tokens of trades of which one side holds and the other
// does not.
func (v *Verdict) judgeTrades(x *index) map[string]bool {
	broken := map[string]bool{}
	for _, t := range x.trades {
		if len(t.Sides) != 2 || x.holds(t.Sides[0]) == x.holds(t.Sides[1]) {
			continue
		}
		for _, side := range t.Sides {
			broken[side.Gave] = true
		}
	}
	return broken
}

// holds reports whether the next join of a side's player delivered a capture
// that includes the trade. A side that was answered CURRENT always counts as one
// that holds: what the crash took then is a violation, not a broken trade.
func (x *index) holds(side Side) bool {
	i := slices.IndexFunc(x.lives, func(l *life) bool { return l.player == side.Player })
	if i < 0 {
		return false
	}
	l := x.lives[i]
	var fence int64
	for _, w := range l.writes {
		if w.session != side.Session {
			continue
		}
		fence = w.fence
		if w.acked && w.capture >= side.Capture {
			return true
		}
	}
	if fence == 0 {
		return false // nothing of the session was ever handed in
	}
	j, found := l.after(fence)
	w := x.marks[j.Mark]
	return found && w != nil && w.session == side.Session && w.capture >= side.Capture
}
