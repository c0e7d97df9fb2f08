package redisstore_test

import (
	"context"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// refusals are the rows that update and check in share. The session is that of
// server "a" with fence 7, its capture has sequence 3.
func refusals(call func(*redisstore.Store, handoff.PlayerID) string) []row {
	return []row{
		{
			"nothing stored", state{}, call, "forgotten", state{},
		},
		{
			"no fence, checkout ours",
			state{checkout: "a", update: "7/2"},
			call,
			"forgotten",
			state{checkout: "a", update: "7/2"},
		},
		{
			"no fence, data written under a higher one",
			state{checkout: "a", update: "8/1"},
			call,
			"fenced by a 8",
			state{checkout: "a", update: "8/1"},
		},
		{
			"lower fence, checkout ours",
			state{checkout: "a", fence: "6"},
			call,
			"forgotten",
			state{checkout: "a", fence: "6"},
		},
		{
			"lower fence, checkout of another",
			state{checkout: "b", fence: "6", update: "6/9"},
			call,
			"forgotten",
			state{checkout: "b", fence: "6", update: "6/9"},
		},
		{
			"higher fence, held",
			state{checkout: "b", fence: "8", update: "7/2"},
			call,
			"fenced by b 8",
			state{checkout: "b", fence: "8", update: "7/2"},
		},
		{
			"higher fence, held by a later session of ours",
			state{checkout: "a", fence: "8"},
			call,
			"fenced by a 8",
			state{checkout: "a", fence: "8"},
		},
		{
			"higher fence, free",
			state{fence: "8", update: "8/1"},
			call,
			"fenced by  8",
			state{fence: "8", update: "8/1"},
		},
		{
			"our fence, checkout of another",
			state{checkout: "b", fence: "7"},
			call,
			"fenced by b 7",
			state{checkout: "b", fence: "7"},
		},
		{
			"our fence, checkout gone", state{fence: "7"}, call, "forgotten", state{fence: "7"},
		},
		{
			"our fence, checkout gone, older data",
			state{fence: "7", update: "7/2"},
			call,
			"forgotten",
			state{fence: "7", update: "7/2"},
		},
		{
			"our fence, newer capture",
			state{checkout: "a", fence: "7", update: "7/4"},
			call,
			"superseded",
			state{checkout: "a", fence: "7", update: "7/4"},
		},
		{
			"our fence, checkout gone, newer capture",
			state{fence: "7", update: "7/4"},
			call,
			"superseded",
			state{fence: "7", update: "7/4"},
		},
		{
			"our fence, data written under a higher one",
			state{checkout: "a", fence: "7", update: "8/1"},
			call,
			"fenced by a 8",
			state{checkout: "a", fence: "7", update: "8/1"},
		},
	}
}

func testUpdateTable(t *testing.T, r *rig) {
	call := update(7, 3)
	held := state{checkout: "a", fence: "7", update: "7/3"}
	r.table(t, append(refusals(call),
		row{"first", state{checkout: "a", fence: "7"}, call, "done", held},
		row{"data of an earlier session", state{checkout: "a", fence: "7", update: "5/90"}, call, "done", held},
		row{"older capture", state{checkout: "a", fence: "7", update: "7/2"}, call, "done", held},
		row{"the same: the answer was lost", held, call, "done", held},
		row{"the same, checkout gone", state{fence: "7", update: "7/3"}, call, "forgotten", state{fence: "7", update: "7/3"}},
		row{"the same, taken over", state{checkout: "b", fence: "8", update: "7/3"}, call, "fenced by b 8", state{checkout: "b", fence: "8", update: "7/3"}},
		row{"empty data", state{checkout: "a", fence: "7"}, call, "done", held},
	))
}

func testCheckInTable(t *testing.T, r *rig) {
	call := checkIn(7, 3)
	gone := state{fence: "7", update: "7/3"}
	next := state{checkout: "b", fence: "8", update: "7/3"}
	r.table(t, append(refusals(call),
		row{"first", state{checkout: "a", fence: "7"}, call, "done", gone},
		row{"data of an earlier session", state{checkout: "a", fence: "7", update: "5/90"}, call, "done", gone},
		row{"older capture", state{checkout: "a", fence: "7", update: "7/2"}, call, "done", gone},
		row{"the same as the last update", state{checkout: "a", fence: "7", update: "7/3"}, call, "done", gone},
		row{"done before: the answer was lost", gone, call, "done", gone},
		row{"done before, claimed by another since", next, call, "done", next},
		row{"done before, came and went since", state{fence: "8", update: "7/3"}, call, "done", state{fence: "8", update: "7/3"}},
		row{"done before, but Redis lost the fence", state{update: "7/3"}, call, "forgotten", state{update: "7/3"}},
		row{"our fence is another's, same data", state{checkout: "b", fence: "7", update: "7/3"}, call, "fenced by b 7", state{checkout: "b", fence: "7", update: "7/3"}},
	))
}

func testReleaseTable(t *testing.T, r *rig) {
	call := release(7)
	r.table(t, []row{
		{"ours", state{checkout: "a", fence: "7", update: "5/1"}, call, "done", state{fence: "7", update: "5/1"}},
		{"gone before", state{fence: "7"}, call, "done", state{fence: "7"}},
		{"nothing stored", state{}, call, "forgotten", state{}},
		{"no fence, checkout ours", state{checkout: "a"}, call, "forgotten", state{checkout: "a"}},
		{"no fence, checkout of another", state{checkout: "b"}, call, "forgotten", state{checkout: "b"}},
		{"lower fence, checkout ours", state{checkout: "a", fence: "6"}, call, "forgotten", state{checkout: "a", fence: "6"}},
		{"lower fence, checkout of another", state{checkout: "b", fence: "6"}, call, "forgotten", state{checkout: "b", fence: "6"}},
		{"higher fence, held", state{checkout: "b", fence: "8"}, call, "fenced by b 8", state{checkout: "b", fence: "8"}},
		{"higher fence, a later session of ours", state{checkout: "a", fence: "8"}, call, "fenced by a 8", state{checkout: "a", fence: "8"}},
		{"higher fence, free", state{fence: "8"}, call, "fenced by  8", state{fence: "8"}},
		{"our fence, checkout of another", state{checkout: "b", fence: "7"}, call, "fenced by b 7", state{checkout: "b", fence: "7"}},
	})
}

func testResumeTable(t *testing.T, r *rig) {
	call := resume(7)
	ours := state{checkout: "a", fence: "7"}
	r.timelyTable(t, []row{
		{"nothing stored", state{}, call, "done", ours},
		{"nothing missing", ours, call, "done", ours},
		{"checkout gone", state{fence: "7"}, call, "done", ours},
		{"fence gone", state{checkout: "a"}, call, "done", ours},
		{"fence gone, checkout of another", state{checkout: "b"}, call, "done", ours},
		{"lower fence, free", state{fence: "6"}, call, "done", ours},
		{"lower fence, checkout ours", state{checkout: "a", fence: "6"}, call, "done", ours},
		{"lower fence, checkout of another", state{checkout: "b", fence: "6", update: "6/1"}, call, "done", state{checkout: "a", fence: "7", update: "6/1"}},
		{"our fence, checkout of another", state{checkout: "b", fence: "7"}, call, "fenced by b 7", state{checkout: "b", fence: "7"}},
		{"higher fence, held", state{checkout: "b", fence: "8"}, call, "fenced by b 8", state{checkout: "b", fence: "8"}},
		{"higher fence, free", state{fence: "8"}, call, "fenced by  8", state{fence: "8"}},
		{"higher fence, a later session of ours", state{checkout: "a", fence: "8"}, call, "fenced by a 8", state{checkout: "a", fence: "8"}},
		{"no fence, data written under a higher one", state{update: "8/1"}, call, "fenced by  8", state{update: "8/1"}},
		{"our fence, data written under a higher one", state{checkout: "a", fence: "7", update: "8/1"}, call, "fenced by a 8", state{checkout: "a", fence: "7", update: "8/1"}},
		{"foreign data", state{fence: "6", update: "no snapshot"}, call, "done", state{checkout: "a", fence: "7", update: "no snapshot"}},
	})
}

// A strict resume puts nothing back, neither what Redis forgot (rule R7) nor the
// checkout of a session that has ended (law L1).
func testStrictResumeTable(t *testing.T, r *rig) {
	call := resumeAs(handoff.Resume{Fence: 7, Strict: true})
	ours := state{checkout: "a", fence: "7"}
	r.timelyTable(t, []row{
		{"nothing stored", state{}, call, "forgotten", state{}},
		{"nothing missing", ours, call, "done", ours},
		{"checkout gone", state{fence: "7"}, call, "forgotten", state{fence: "7"}},
		{"checked in", state{fence: "7", update: "7/3"}, call, "forgotten", state{fence: "7", update: "7/3"}},
		{"fence gone", state{checkout: "a"}, call, "forgotten", state{checkout: "a"}},
		{"fence gone, data of ours", state{checkout: "a", update: "7/3"}, call, "forgotten", state{checkout: "a", update: "7/3"}},
		{"fence gone, checkout of another", state{checkout: "b"}, call, "forgotten", state{checkout: "b"}},
		{"lower fence, free", state{fence: "6"}, call, "forgotten", state{fence: "6"}},
		{"lower fence, checkout ours", state{checkout: "a", fence: "6"}, call, "forgotten", state{checkout: "a", fence: "6"}},
		{"lower fence, checkout of another", state{checkout: "b", fence: "6", update: "6/1"}, call, "forgotten", state{checkout: "b", fence: "6", update: "6/1"}},
		{"our fence, checkout of another", state{checkout: "b", fence: "7"}, call, "fenced by b 7", state{checkout: "b", fence: "7"}},
		{"higher fence, held", state{checkout: "b", fence: "8"}, call, "fenced by b 8", state{checkout: "b", fence: "8"}},
		{"higher fence, free", state{fence: "8"}, call, "fenced by  8", state{fence: "8"}},
		{"higher fence, a later session of ours", state{checkout: "a", fence: "8"}, call, "fenced by a 8", state{checkout: "a", fence: "8"}},
		{"no fence, data written under a higher one", state{update: "8/1"}, call, "fenced by  8", state{update: "8/1"}},
		{"our fence, data written under a higher one", state{checkout: "a", fence: "7", update: "8/1"}, call, "fenced by a 8", state{checkout: "a", fence: "7", update: "8/1"}},
		{"our fence, foreign data", state{checkout: "a", fence: "7", update: "no snapshot"}, call, "done", state{checkout: "a", fence: "7", update: "no snapshot"}},
	})
}

// With Load the answer carries the data_update of the same moment, and only
// when the session has the player.
func testLoadingResumeTable(t *testing.T, r *rig) {
	call := resumeAs(handoff.Resume{Fence: 7, Load: true})
	strict := resumeAs(handoff.Resume{Fence: 7, Load: true, Strict: true})
	ours := state{checkout: "a", fence: "7"}
	saved := state{checkout: "a", fence: "7", update: "7/3"}
	foreign := state{checkout: "a", fence: "7", update: "no snapshot"}
	r.timelyTable(t, []row{
		{"nothing stored", state{}, call, "done", ours},
		{"nothing missing, no data", ours, call, "done", ours},
		{"nothing missing", saved, call, "done with 7/3", saved},
		{"nothing missing, strict", saved, strict, "done with 7/3", saved},
		{"not asked for", saved, resume(7), "done", saved},
		{"data of an earlier session", state{checkout: "a", fence: "7", update: "5/9"}, call, "done with 5/9", state{checkout: "a", fence: "7", update: "5/9"}},
		{"checkout gone", state{fence: "7", update: "7/3"}, call, "done with 7/3", saved},
		{"checkout gone, strict", state{fence: "7", update: "7/3"}, strict, "forgotten", state{fence: "7", update: "7/3"}},
		{"fence gone", state{update: "7/3"}, call, "done with 7/3", saved},
		{"fence gone, strict", state{update: "7/3"}, strict, "forgotten", state{update: "7/3"}},
		{"higher fence", state{checkout: "b", fence: "8", update: "7/3"}, call, "fenced by b 8", state{checkout: "b", fence: "8", update: "7/3"}},
		{"foreign data", foreign, call, "done damaged", foreign},
	})
}

func testSweepTable(t *testing.T, r *rig) {
	r.timelyTable(t, []row{
		{"ours", state{checkout: "a", fence: "7", update: "7/1"}, sweep, "done", state{fence: "7", update: "7/1"}},
		{"ours without fence", state{checkout: "a"}, sweep, "done", state{}},
		{"of another", state{checkout: "b", fence: "7"}, sweep, "done", state{checkout: "b", fence: "7"}},
		{"of a server whose name begins like ours", state{checkout: "a-2"}, sweep, "done", state{checkout: "a-2"}},
		{"nothing stored", state{}, sweep, "done", state{}},
	})
}

func testFreeTable(t *testing.T, r *rig) {
	call := free(handoff.Holder{Server: "b", Fence: late})
	r.table(t, []row{
		{"as seen", state{checkout: "b", fence: lateText, update: "5/1"}, call, "done", state{fence: afterText, update: "5/1"}},
		{"gone since", state{fence: lateText}, call, "done", state{fence: afterText}},
		{"freed before: the answer was lost", state{fence: afterText}, call, "done", state{fence: afterText}},
		{"another holder", state{checkout: "c", fence: lateText}, call, "fenced by c 4000000000000000", state{checkout: "c", fence: lateText}},
		{"claimed again by the same server", state{checkout: "b", fence: afterText}, call, "fenced by b 4000000000000001", state{checkout: "b", fence: afterText}},
		{"lower fence", state{checkout: "b", fence: "6"}, call, "fenced by b 6", state{checkout: "b", fence: "6"}},
		{"everything gone since", state{}, call, "fenced by  0", state{}},
		{"fence gone since", state{checkout: "b"}, call, "fenced by b 0", state{checkout: "b"}},
		{
			"as seen without fence",
			state{checkout: "b", update: "4000000000000000/1"},
			free(handoff.Holder{Server: "b"}),
			"done",
			state{fence: afterText, update: "4000000000000000/1"},
		},
	})
}

// An operator's release holds: the old session cannot come back by resuming.
func TestFreedSessionIsFenced(t *testing.T) {
	r := newRig(t, newDev(t))
	ctx := context.Background()
	a, b, p := r.store("a"), r.store("b"), r.player()
	got := b.Claim(ctx, p, handoff.Claim{AllowUnknown: true})
	freed := a.Free(ctx, p, handoff.Holder{Server: "b", Fence: got.Fence})
	if freed.Outcome != handoff.WriteDone {
		t.Fatalf("free: got %s", describeWritten(freed))
	}
	for name, answer := range map[string]handoff.Written{
		"resume":  b.Resume(ctx, p, handoff.Resume{Fence: got.Fence}),
		"release": b.Release(ctx, p, got.Fence),
	} {
		if answer.Outcome != handoff.WriteFenced || answer.Holder.Server != "" {
			t.Errorf("%s: got %q, want fenced by nobody", name, describeWritten(answer))
		}
	}
}

// T02: the release of a session that was fenced off leaves the next one alone.
func testLateRelease(t *testing.T, r *rig) {
	ctx := context.Background()
	a, b, p := r.store("a"), r.store("b"), r.player()
	first := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true})
	second := b.Claim(ctx, p, handoff.Claim{Over: handoff.Holder{Server: "a", Fence: first.Fence}})
	if second.Outcome != handoff.ClaimGranted || second.Fence <= first.Fence {
		t.Fatalf("take over: got %s after %s", describeClaimed(second), describeClaimed(first))
	}
	want := r.get(p)
	for _, late := range []handoff.Written{a.Release(ctx, p, first.Fence), a.Sweep(ctx, p)} {
		if got := r.get(p); got != want {
			t.Fatalf("%s left %+v, want %+v", describeWritten(late), got, want)
		}
	}
}

// T03: a save that was captured before the final one and arrives after it.
func testLateSave(t *testing.T, r *rig) {
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	fence := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true}).Fence
	if got := checkIn(fence, 9)(a, p); got != "done" {
		t.Fatalf("check in: got %q", got)
	}
	want := r.get(p)
	if got := update(fence, 8)(a, p); got != "superseded" {
		t.Errorf("late save: got %q, want superseded", got)
	}
	if got := r.get(p); got != want {
		t.Errorf("late save left %+v, want %+v", got, want)
	}
}

// Bytes whose header is not that of their snapshot never reach Redis: the
// scripts would compare the wrong version.
func TestPackedBytesMustFit(t *testing.T) {
	r := newRig(t, newDev(t))
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	before := state{checkout: "a", fence: "7"}
	r.put(p, before)
	shot := snapshot(p, handoff.Version{Fence: 7, Sequence: 3})
	for name, packed := range map[string][]byte{
		"none":             nil,
		"short":            pack(shot)[:23],
		"another magic":    append([]byte("JSON"), pack(shot)[4:]...),
		"another sequence": pack(snapshot(p, handoff.Version{Fence: 7, Sequence: 4})),
		"another fence":    pack(snapshot(p, handoff.Version{Fence: 8, Sequence: 3})),
	} {
		for _, got := range []handoff.Written{a.Update(ctx, shot, packed), a.CheckIn(ctx, shot, packed)} {
			if got.Outcome != handoff.WriteFailed {
				t.Errorf("%s: got %q, want a failure", name, describeWritten(got))
			}
		}
	}
	if left := r.get(p); left != before {
		t.Errorf("left %+v, want %+v", left, before)
	}
}
