package chaos_test

import (
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/chaos"
)

// taken is a session on server a that is lost to another one, ten seconds into
// the story.
func taken(before ...chaos.Entry) *story {
	s := &story{}
	for _, e := range before {
		s.add(e)
	}
	s.now = 4 * time.Second
	s.joinNew(1, "a", 1)
	s.save(1, "a", 1, 1, chaos.Current)
	quit := s.save(1, "a", 1, 2, chaos.Refused)
	quit.Kind, quit.Reason = chaos.KindQuit, "SESSION_LOST"
	return s
}

func (s *story) back(capture uint64) *story {
	was := s.entries[len(s.entries)-1]
	for _, e := range s.entries {
		if e.Capture == capture {
			was = e
		}
	}
	s.final(1, "b", 2, was)
	return s
}

func broken(kind chaos.Kind, name, server string, begin, end time.Duration) chaos.Entry {
	return chaos.Entry{Kind: kind, Reason: name, Server: server, Start: begin, End: end}
}

func TestLossForNothing(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, before := range map[string][]chaos.Entry{
		"nothing broken":      nil,
		"another server":      {broken(chaos.KindFault, "kill", "b", 2*s, 9*s)},
		"redis, not a worker": {broken(chaos.KindFault, "redis-empty", "", 2*s, 9*s)},
		"long ago":            {broken(chaos.KindFault, "kill", "a", s, 2*s)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken(before...).back(1).refused(t, chaos.Duplicated, "which was well")
		})
	}
}

func TestLossWithACause(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, before := range map[string][]chaos.Entry{
		"killed":                {broken(chaos.KindFault, "kill", "a", 2*s, 9*s)},
		"repaired just before":  {broken(chaos.KindFault, "freeze", "a", 2*s, 7*s)},
		"not repaired yet":      {broken(chaos.KindNote, "cut", "a", 2*s, 2*s)},
		"the machine was still": {broken(chaos.KindNote, chaos.Stall, "", 2*s, 9*s)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken(before...).back(1).accepted(t, 1)
		})
	}
}

// The quit took effect; only the database was late.
func TestLossOfNothing(t *testing.T) {
	t.Parallel()
	taken().back(2).accepted(t, 1)
}

// Redis forgot a new player's session that had saved nothing: nobody can know.
func TestLossOfTheUnknown(t *testing.T) {
	t.Parallel()
	var s story
	s.joinNew(1, "a", 1)
	s.add(chaos.Entry{Kind: chaos.KindEnd, Player: 1, Server: "a", Session: session(1, 1), Fence: 1, Reason: "SESSION_LOST"})
	s.joinNew(1, "b", 2).Final = true
	s.accepted(t, 1)
}

// A run that goes on has captures that are not answered yet, and players who
// have not come back.
func TestJudgeSoFar(t *testing.T) {
	t.Parallel()
	var s story
	first := s.joinNew(1, "a", 1)
	pending := *s.save(1, "a", 1, 1, chaos.Current)
	join := *s.join(1, "b", 2, &pending)
	if v := chaos.JudgeSoFar([]chaos.Entry{*first, join}); !v.OK() {
		t.Errorf("got %v", v.Violations)
	}
	late := pending
	late.N, late.Start, late.End, late.Capture, late.Mark = 9, 30*time.Second, 31*time.Second, 2, "late"
	late.Version.Sequence = 2
	if v := chaos.JudgeSoFar([]chaos.Entry{*first, pending, join, late}); v.Count(chaos.Duplicated) != 1 {
		t.Errorf("got %v, want two sessions at once", v.Violations)
	}
	if v := chaos.JudgeSoFar(nil); !v.OK() {
		t.Errorf("got %v", v.Violations)
	}
}

// Every call is answered, by a worker to which nothing was done.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	silent := func(before ...chaos.Entry) *story {
		s := &story{}
		for _, e := range before {
			s.add(e)
		}
		s.add(chaos.Entry{
			Kind: chaos.KindJoin, Player: 1, Server: "a", Outcome: chaos.Unknown, Start: 10 * time.Second, End: 20 * time.Second,
		})
		s.joinNew(1, "a", 1).Final = true
		return s
	}
	silent().refused(t, chaos.Broken, "gave no answer to a join")
	silent(broken(chaos.KindFault, "freeze", "a", 11*time.Second, 12*time.Second)).accepted(t, 1)
	silent(broken(chaos.KindFault, "freeze", "b", 11*time.Second, 12*time.Second)).refused(t, chaos.Broken, "gave no answer")
}
