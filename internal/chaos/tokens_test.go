package chaos_test

import (
	"testing"

	"github.com/syncworker/syncworker/internal/chaos"
)

// Two players on one server swap their only token, with the first capture of
// each after that answered as given; what each is delivered next is told.
func swapped(one, other chaos.Outcome, oneHas, otherHas string) *story {
	s := &story{}
	s.joinNew(1, "a", 1)
	s.joinNew(2, "a", 1)
	before := map[int]*chaos.Entry{1: s.save(1, "a", 1, 1, chaos.Current), 2: s.save(2, "a", 1, 1, chaos.Current)}
	s.trade("a", side(1, 2, "t1.1"), side(2, 2, "t2.1"))
	after := map[int]*chaos.Entry{1: s.save(1, "a", 1, 2, one, "t2.1"), 2: s.save(2, "a", 1, 2, other, "t1.1")}
	for player, has := range map[int]string{1: oneHas, 2: otherHas} {
		delivered := before[player]
		if has == "after" {
			delivered = after[player]
		}
		s.final(player, "b", 2, delivered)
	}
	return s
}

func TestTrades(t *testing.T) {
	t.Parallel()
	const before, after = "before", "after"
	for _, c := range []struct {
		name             string
		one, other       chaos.Outcome
		oneHas, otherHas string
		leftOut          int
	}{
		{"both stored", chaos.Current, chaos.Current, after, after, 0},
		{"both rolled back", chaos.Unknown, chaos.Unknown, before, before, 0},
		{"both stored without an answer", chaos.Unknown, chaos.Provisional, after, after, 0},
		{"broken by a crash", chaos.Current, chaos.Unknown, after, before, 2},
		{"broken without any answer", chaos.Unknown, chaos.Unknown, before, after, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			v := swapped(c.one, c.other, c.oneHas, c.otherHas).accepted(t, 2)
			if v.LeftOut != c.leftOut || v.Tokens != 2 || v.Trades != 1 {
				t.Errorf("got %d of %d tokens left out, %d trades; want %d of 2, 1", v.LeftOut, v.Tokens, v.Trades, c.leftOut)
			}
		})
	}
}

// A side that was answered CURRENT and is rolled back is no broken trade: the
// tokens count, and so does the rollback.
func TestAcknowledgedTradeRolledBack(t *testing.T) {
	t.Parallel()
	v := swapped(chaos.Current, chaos.Current, "after", "before").judge(2)
	if v.Count(chaos.Stale) != 1 || v.Count(chaos.Duplicated) != 1 || v.Count(chaos.Lost) != 1 || v.LeftOut != 0 {
		t.Errorf("got %v, %d left out; want one stale, one duplicated and one lost", v.Violations, v.LeftOut)
	}
}

// Tokens that change hands without a trade are found.
func TestTokensWithoutATrade(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	s.joinNew(2, "a", 1)
	one := s.save(1, "a", 1, 1, chaos.Current)
	other := s.save(2, "a", 1, 1, chaos.Current, "t1.1")
	s.final(1, "b", 2, one)
	s.final(2, "b", 2, other)
	v := s.judge(2)
	if v.Count(chaos.Duplicated) != 1 || v.Count(chaos.Lost) != 1 {
		t.Errorf("got %v, want token t1.1 twice and t2.1 lost", v.Violations)
	}
}

// A new player whose crash took everything is new again, with the same tokens.
func TestNewAgain(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	s.save(1, "a", 1, 1, chaos.Unknown)
	s.joinNew(1, "b", 2).Final = true
	s.accepted(t, 1)
}
