package chaos_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/chaos"
)

// story writes histories as a person would tell them: each call takes from one
// second to the next, unless it is said otherwise.
type story struct {
	entries []*chaos.Entry
	now     time.Duration
}

func (s *story) add(e chaos.Entry) *chaos.Entry {
	if e.Start == 0 {
		s.now += time.Second
		e.Start = s.now
		s.now += time.Second
	}
	if e.End == 0 {
		e.End = s.now
	}
	e.N = len(s.entries) + 1
	s.entries = append(s.entries, &e)
	return &e
}

func (s *story) judge(players int) chaos.Verdict {
	var history []chaos.Entry
	for _, e := range s.entries {
		history = append(history, *e)
	}
	return chaos.Judge(history, players, 1)
}

// joinNew is a join that delivers nothing.
func (s *story) joinNew(player int, server string, fence int64) *chaos.Entry {
	return s.add(chaos.Entry{
		Kind: chaos.KindJoin, Player: player, Server: server, Fence: fence, Session: session(player, fence),
		Outcome: chaos.New, Tokens: chaos.Tokens(player, 1),
	})
}

// join delivers what a capture held.
func (s *story) join(player int, server string, fence int64, of *chaos.Entry) *chaos.Entry {
	written := *of
	return s.add(chaos.Entry{
		Kind: chaos.KindJoin, Player: player, Server: server, Fence: fence, Session: session(player, fence),
		Outcome: chaos.Delivered, Mark: written.Mark, Digest: written.Digest, Tokens: written.Tokens,
		Version: chaos.Version{Fence: written.Fence, Sequence: written.Capture},
	})
}

// final ends a story: the player joins once more, and everything is repaired.
func (s *story) final(player int, server string, fence int64, of *chaos.Entry) *chaos.Entry {
	e := s.join(player, server, fence, of)
	e.Final = true
	return e
}

// save hands in a capture that holds tokens; the player's own one if none is
// named.
func (s *story) save(player int, server string, fence int64, capture uint64, outcome chaos.Outcome, tokens ...string) *chaos.Entry {
	if len(tokens) == 0 {
		tokens = chaos.Tokens(player, 1)
	}
	e := chaos.Entry{
		Kind: chaos.KindSave, Player: player, Server: server, Fence: fence, Session: session(player, fence), Capture: capture,
		Mark: session(player, fence) + "#" + string('0'+rune(capture)), Tokens: tokens, Outcome: outcome,
	}
	e.Digest = "digest of " + e.Mark
	if outcome == chaos.Current {
		e.Version = chaos.Version{Fence: fence, Sequence: capture}
	}
	return s.add(e)
}

func session(player int, fence int64) string {
	return string('a'+rune(player)) + "." + string('0'+rune(fence))
}

func (s *story) trade(server string, one, other chaos.Side) {
	s.add(chaos.Entry{Kind: chaos.KindTrade, Server: server, Sides: []chaos.Side{one, other}})
}

// side is a part in a trade of a player's first session.
func side(player int, capture uint64, gave string) chaos.Side {
	return chaos.Side{Player: player, Session: session(player, 1), Capture: capture, Gave: gave}
}

// accepted wants a story without a violation.
func (s *story) accepted(t *testing.T, players int) chaos.Verdict {
	t.Helper()
	v := s.judge(players)
	for _, violation := range v.Violations {
		t.Errorf("unexpected: %v", violation)
	}
	return v
}

// refused wants violations of a story of one player, of one kind, explained with a text, and none of
// another kind.
func (s *story) refused(t *testing.T, fault chaos.Fault, text string) {
	t.Helper()
	v := s.judge(1)
	found := false
	for _, violation := range v.Violations {
		found = found || violation.Fault == fault && strings.Contains(violation.Text, text)
		if violation.Fault != fault {
			t.Errorf("unexpected: %v", violation)
		}
	}
	if !found {
		t.Errorf("got %v, want a %s with %q", v.Violations, fault, text)
	}
}

func TestHandoffIsAccepted(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	s.save(1, "a", 1, 1, chaos.Current)
	quit := s.save(1, "a", 1, 2, chaos.Current)
	s.join(1, "b", 2, quit).Waited = 3 * time.Second
	s.add(chaos.Entry{Kind: chaos.KindFault, Text: "kill"})
	s.final(1, "a", 3, quit)
	v := s.accepted(t, 1)
	want := "chaos: 1 handoffs, 1 faults, 0 lost, 0 stale, 0 duplicated, worst wait 3s"
	if got := v.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A capture without an answer may have taken effect, or not, or only after the
// next capture was sent; a delivered one must stay.
func TestUnknownOutcomes(t *testing.T) {
	t.Parallel()
	for _, outcome := range []chaos.Outcome{chaos.Unknown, chaos.Refused, chaos.Provisional} {
		for _, took := range []bool{false, true} {
			var s story
			s.joinNew(1, "a", 1)
			first := s.save(1, "a", 1, 1, chaos.Current)
			second := s.save(1, "a", 1, 2, outcome)
			now := first
			if took {
				now = second
			}
			s.join(1, "b", 2, now)
			s.final(1, "b", 3, now)
			s.accepted(t, 1)
		}
	}
}

func TestUnknownOutcomeOnce(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	first := s.save(1, "a", 1, 1, chaos.Unknown)
	s.join(1, "b", 2, first)
	second := s.save(1, "b", 2, 1, chaos.Unknown)
	s.join(1, "c", 3, second)
	s.join(1, "d", 4, first)
	s.final(1, "a", 5, first)
	s.refused(t, chaos.Stale, "had delivered version")
}

func TestAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	s.save(1, "a", 1, 1, chaos.Current)
	s.joinNew(1, "b", 2).Final = true
	s.refused(t, chaos.Lost, "delivered nothing")
}

func TestAcknowledgedIsRolledBack(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	first := s.save(1, "a", 1, 1, chaos.Current)
	s.save(1, "a", 1, 2, chaos.Current)
	s.final(1, "b", 2, first)
	s.refused(t, chaos.Stale, "was answered CURRENT by a 1s before the join began")
}

// The read is older than what was acknowledged, but they overlap: the single
// rules cannot see it, the register can.
func TestRegisterSeesWhatRulesCannot(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	first := s.save(1, "a", 1, 1, chaos.Current)
	second := s.save(1, "a", 1, 2, chaos.Current)
	// Both reads began before the second capture was answered; the session after
	// the first read can no longer be followed by a capture of the one before.
	second.Start, second.End = 20*time.Second, 30*time.Second
	one, two := s.join(1, "b", 2, first), s.join(1, "c", 3, second)
	one.Start, one.End = 19*time.Second, 25*time.Second
	two.Start, two.End = 26*time.Second, 29*time.Second
	two.Final = true
	s.refused(t, chaos.Stale, "fit no order")
}

func TestOverlapIsAccepted(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	quit := s.save(1, "a", 1, 1, chaos.Current)
	quit.Start, quit.End = 10*time.Second, 20*time.Second
	// The next server is let in before the quit is answered.
	join := s.final(1, "b", 2, quit)
	join.Start, join.End = 9*time.Second, 15*time.Second
	s.accepted(t, 1)
}

// A quit that is repeated takes effect between its first attempt and its answer.
func TestRepeatedQuitIsAccepted(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	quit := s.save(1, "a", 1, 1, chaos.Unknown)
	s.join(1, "b", 2, quit)
	again := s.save(1, "a", 1, 1, chaos.Current)
	again.Kind = chaos.KindQuit
	s.final(1, "b", 3, quit)
	s.accepted(t, 1)
}

func TestTwoSessionsAtOnce(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	first := s.save(1, "a", 1, 1, chaos.Current)
	s.join(1, "b", 2, first)
	s.save(1, "a", 1, 2, chaos.Current)
	last := s.save(1, "b", 2, 1, chaos.Current)
	s.final(1, "b", 3, last)
	s.refused(t, chaos.Duplicated, "two sessions at once")
}

func TestFencesMustRise(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 2)
	last := s.save(1, "a", 2, 1, chaos.Current)
	s.final(1, "b", 1, last)
	s.refused(t, chaos.Duplicated, "which is higher")
}

func TestForeignData(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	s.joinNew(2, "a", 1)
	one := s.save(1, "a", 1, 1, chaos.Current)
	s.save(2, "a", 1, 1, chaos.Current)
	s.final(1, "b", 2, one)
	s.final(2, "b", 2, one)
	v := s.judge(2)
	if v.Count(chaos.Lost) == 0 || !strings.Contains(v.Violations[0].Text, "delivered data of player 1") {
		t.Errorf("got %v", v.Violations)
	}
}

func TestChangedData(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	last := s.save(1, "a", 1, 1, chaos.Current)
	s.final(1, "b", 2, last).Digest = "of something else"
	s.refused(t, chaos.Lost, "delivered other data")
}

func TestUnknownMark(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	last := s.save(1, "a", 1, 1, chaos.Unknown)
	s.final(1, "b", 2, last).Mark = "made up"
	s.refused(t, chaos.Lost, "no game has handed in")
}

// What every worker has refused for good must not come back.
func TestRefusedCaptureComesBack(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	late := s.save(1, "a", 1, 1, chaos.Refused)
	late.Reason = "SUPERSEDED"
	s.final(1, "b", 2, late)
	s.refused(t, chaos.Stale, "every worker had refused")
}

func TestNoFinalJoin(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	v := s.judge(1)
	if v.Count(chaos.Lost) == 0 || v.OK() {
		t.Errorf("got %v, want a lost player", v.Violations)
	}
}

func TestBrokenIsAViolation(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1).Final = true
	s.add(chaos.Entry{Kind: chaos.KindBroken, Text: "a worker ended by itself"})
	s.refused(t, chaos.Broken, "ended by itself")
}

// A history is read as it was written.
func TestRecorder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "history.jsonl")
	r, err := chaos.NewRecorder(path)
	if err != nil {
		t.Fatal(err)
	}
	r.Add(chaos.Entry{Kind: chaos.KindJoin, Player: 1, Outcome: chaos.New, Tokens: chaos.Tokens(1, 2)})
	r.Add(chaos.Entry{Kind: chaos.KindTrade, Sides: []chaos.Side{side(1, 1, "t1.1"), side(2, 1, "t2.1")}})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := chaos.Read(bytes.NewReader(text))
	if err != nil || len(got) != 2 || got[0].Player != 1 || got[1].Sides[1].Gave != "t2.1" || got[1].N != 2 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := chaos.Read(strings.NewReader("{\"n\":1}\nnonsense")); err == nil {
		t.Error("nonsense was read")
	}
}
