package play

import (
	"github.com/syncworker/syncworker/internal/chaos"
)

// trade is an exchange that both sides still have to store.
type trade struct {
	sides [2]tradeSide
}

type tradeSide struct {
	stay *stay
	// from is the first capture that includes the trade.
	from uint64
	done bool
}

// exchange swaps a token with somebody on the same game. The world's mutex is
// held.
func (w *World) exchange(s *stay) {
	dice := s.player.dice
	if !s.canTrade() {
		return
	}
	var others []*stay
	for _, session := range sortedKeys(s.boot.stays) {
		if other := s.boot.stays[session]; other != s && other.canTrade() {
			others = append(others, other)
		}
	}
	if len(others) == 0 {
		return
	}
	other := others[dice.IntN(len(others))]
	i, j := dice.IntN(len(s.state.tokens)), dice.IntN(len(other.state.tokens))
	gave, got := s.state.tokens[i], other.state.tokens[j]
	s.state.tokens[i], other.state.tokens[j] = got, gave

	t := &trade{sides: [2]tradeSide{{stay: s, from: s.captures + 1}, {stay: other, from: other.captures + 1}}}
	s.player.trade, other.player.trade = t, t
	w.recorder.Add(chaos.Entry{
		Kind: chaos.KindTrade, Server: s.boot.game.id, Boot: s.boot.id,
		Sides: []chaos.Side{
			{Player: s.player.number, Session: s.session, Capture: s.captures + 1, Gave: gave},
			{Player: other.player.number, Session: other.session, Capture: other.captures + 1, Gave: got},
		},
	})
	// Most games save both at once, some leave it to the next save.
	if dice.IntN(5) > 0 {
		s.sendSave()
		other.sendSave()
	}
}

// canTrade reports whether the player has something to give and no trade that is
// not stored yet. The world's mutex is held.
func (s *stay) canTrade() bool {
	return s.ready() && s.player.trade == nil && len(s.state.tokens) > 0
}

// settle notes that a capture of a stay was answered CURRENT, or that the stay is
// over, which is the same for whoever waits for it. The world's mutex is held.
func (p *player) settle(s *stay, capture uint64) {
	t := p.trade
	if t == nil {
		return
	}
	done := true
	for i := range t.sides {
		side := &t.sides[i]
		side.done = side.done || side.stay == s && capture >= side.from
		done = done && side.done
	}
	if done {
		for _, side := range t.sides {
			side.stay.player.trade = nil
		}
	}
}
