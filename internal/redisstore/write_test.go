package redisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

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
			"no fence, checkout ours", state{checkout: "a", update: "7/2"}, call,
			"forgotten", state{checkout: "a", update: "7/2"},
		},
		{
			"no fence, data written under a higher one", state{checkout: "a", update: "8/1"}, call,
			"fenced by a 8", state{checkout: "a", update: "8/1"},
		},
		{
			"lower fence, checkout ours", state{checkout: "a", fence: "6"}, call,
			"forgotten", state{checkout: "a", fence: "6"},
		},
		{
			"lower fence, checkout of another", state{checkout: "b", fence: "6", update: "6/9"}, call,
			"forgotten", state{checkout: "b", fence: "6", update: "6/9"},
		},
		{
			"higher fence, held", state{checkout: "b", fence: "8", update: "7/2"}, call,
			"fenced by b 8", state{checkout: "b", fence: "8", update: "7/2"},
		},
		{
			"higher fence, held by a later session of ours", state{checkout: "a", fence: "8"}, call,
			"fenced by a 8", state{checkout: "a", fence: "8"},
		},
		{
			"higher fence, free", state{fence: "8", update: "8/1"}, call,
			"fenced by  8", state{fence: "8", update: "8/1"},
		},
		{
			"our fence, checkout of another", state{checkout: "b", fence: "7"}, call,
			"fenced by b 7", state{checkout: "b", fence: "7"},
		},
		{
			"our fence, checkout gone", state{fence: "7"}, call, "forgotten", state{fence: "7"},
		},
		{
			"our fence, checkout gone, older data", state{fence: "7", update: "7/2"}, call,
			"forgotten", state{fence: "7", update: "7/2"},
		},
		{
			"our fence, newer capture", state{checkout: "a", fence: "7", update: "7/4"}, call,
			"superseded", state{checkout: "a", fence: "7", update: "7/4"},
		},
		{
			"our fence, checkout gone, newer capture", state{fence: "7", update: "7/4"}, call,
			"superseded", state{fence: "7", update: "7/4"},
		},
		{
			"our fence, data written under a higher one", state{checkout: "a", fence: "7", update: "8/1"}, call,
			"fenced by a 8", state{checkout: "a", fence: "7", update: "8/1"},
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
	r.table(t, []row{
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

func testSweepTable(t *testing.T, r *rig) {
	r.table(t, []row{
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
			"as seen without fence", state{checkout: "b", update: "4000000000000000/1"}, free(handoff.Holder{Server: "b"}),
			"done", state{fence: afterText, update: "4000000000000000/1"},
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
		"resume":  b.Resume(ctx, p, got.Fence),
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
	second := b.TakeOver(ctx, p, handoff.Claim{}, handoff.Holder{Server: "a", Fence: first.Fence})
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

// What is no snapshot is moved aside: not lost, and not in the way.
func testQuarantine(t *testing.T, r *rig) {
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	foreign := []string{
		"{\"json\":1}", "SWS\xa7short", strings.Repeat("x", 100),
		plainHead + "\x00\x20\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x01", // A fence of 2^53.
	}
	for i, bytes := range foreign {
		r.put(p, state{checkout: "a", fence: "7", update: bytes})
		call := update(7, uint64(i+1))
		if i == len(foreign)-1 {
			call = checkIn(7, uint64(i+1))
		}
		if got := call(a, p); got != "done" {
			t.Errorf("over %q: got %q, want done", bytes, got)
		}
	}
	kept, err := r.admin.LRange(ctx, r.space.Quarantine(p), 0, -1).Result()
	if err != nil || strings.Join(kept, "\n") != strings.Join(foreign, "\n") {
		t.Errorf("quarantined %q, %v; want %q", kept, err, foreign)
	}
	for i := range 20 {
		r.put(p, state{checkout: "a", fence: "7", update: strings.Repeat("y", i+1)})
		update(7, 9)(a, p)
	}
	kept, err = r.admin.LRange(ctx, r.space.Quarantine(p), 0, -1).Result()
	if err != nil || len(kept) != 8 || len(kept[7]) != 20 {
		t.Errorf("quarantined %q, %v; want the newest 8", kept, err)
	}
}

// A script that meets a key of the wrong type changes nothing and says so.
func testWrongTypes(t *testing.T, r *rig) {
	ctx := context.Background()
	a := r.store("a")
	calls := map[string]struct {
		keys int // how many of checkout, fence, update it reads
		call func(*redisstore.Store, handoff.PlayerID) string
	}{
		"claim player":     {3, claim(handoff.Claim{})},
		"take over player": {3, takeOver(handoff.Claim{}, handoff.Holder{Server: "a", Fence: 7})},
		"update player":    {3, update(7, 3)},
		"check in player":  {3, checkIn(7, 3)},
		"release player":   {2, release(7)},
		"resume player":    {3, resume(7)},
		"sweep player":     {1, sweep},
		"free player":      {3, free(handoff.Holder{Server: "a", Fence: 7})},
	}
	for name, test := range calls {
		for i := range test.keys {
			p := r.player()
			r.put(p, state{checkout: "a", fence: "7", update: "7/2"}.of(p))
			wrong := r.keys(p)[i]
			if err := r.admin.Del(ctx, wrong).Err(); err != nil {
				t.Fatal(err)
			}
			if err := r.admin.HSet(ctx, wrong, "field", "value").Err(); err != nil {
				t.Fatal(err)
			}
			got := test.call(a, p)
			if !strings.HasPrefix(got, "failed: "+name) || !strings.Contains(got, "WRONGTYPE") || !strings.Contains(got, "TYPE, then move or delete it") {
				t.Errorf("%s with %s a hash: got %q, want a failure that names the mend", name, wrong, got)
			}
			if kind := r.admin.Type(ctx, wrong).Val(); kind != "hash" {
				t.Errorf("%s made a %s of %s", name, kind, wrong)
			}
			if err := r.admin.Del(ctx, wrong).Err(); err != nil {
				t.Fatal(err)
			}
			want := state{checkout: "a", fence: "7", update: "7/2"}.of(p)
			switch i {
			case 0:
				want.checkout = ""
			case 1:
				want.fence = ""
			default:
				want.update = ""
			}
			if left := r.get(p); left != want {
				t.Errorf("%s with %s a hash left %+v, want %+v", name, wrong, left, want)
			}
		}
	}
}

// A fence that is no number is an error: taken for absent, it would let a
// claim through.
func testGarbageFence(t *testing.T, r *rig) {
	a := r.store("a")
	for _, garbage := range []string{"seven", "-7", "7.5", "0x7", " 7", "1e3", "nan", "9007199254740992", "00000000000000007"} {
		p := r.player()
		before := state{fence: garbage}
		r.put(p, before)
		for name, call := range map[string]func(*redisstore.Store, handoff.PlayerID) string{
			"claim":   claim(handoff.Claim{AllowUnknown: true}),
			"resume":  resume(7),
			"release": release(7),
			"update":  update(7, 1),
			"free":    free(handoff.Holder{}),
		} {
			got := call(a, p)
			if !strings.HasPrefix(got, "failed: ") || !strings.Contains(got, r.space.Fence(p)+" is no fence") {
				t.Errorf("%s with fence %q: got %q, want a failure that names the key", name, garbage, got)
			}
		}
		if left := r.get(p); left != before {
			t.Errorf("fence %q: left %+v", garbage, left)
		}
	}
}

func testExpire(t *testing.T, r *rig) {
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	key := r.space.Update(p)
	expect := func(name string, version handoff.Version, expires bool) {
		t.Helper()
		if err := a.Expire(ctx, p, version); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ttl, err := r.admin.PTTL(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		if got := ttl > 0; got != expires || ttl > time.Hour {
			t.Errorf("%s: expires in %v, want expiry %v within the hour", name, ttl, expires)
		}
	}
	expect("absent", handoff.Version{Fence: 7, Sequence: 3}, false)
	r.put(p, state{checkout: "a", fence: "7", update: "7/3"}.of(p))
	expect("older", handoff.Version{Fence: 7, Sequence: 2}, false)
	expect("newer", handoff.Version{Fence: 7, Sequence: 4}, false)
	expect("another session's", handoff.Version{Fence: 6, Sequence: 3}, false)
	expect("none", handoff.Version{}, false)
	expect("this", handoff.Version{Fence: 7, Sequence: 3}, true)
	expect("again", handoff.Version{Fence: 7, Sequence: 3}, true)
	// A new version must not run out: the database does not have it.
	if got := update(7, 4)(a, p); got != "done" {
		t.Fatalf("update: got %q", got)
	}
	expect("the one before", handoff.Version{Fence: 7, Sequence: 3}, false)
	r.put(p, state{update: "no snapshot"})
	expect("foreign", handoff.Version{Fence: 7, Sequence: 4}, false)
}

func testInspect(t *testing.T, r *rig) {
	ctx := context.Background()
	a := r.store("a")
	for name, test := range map[string]struct {
		before state
		want   redisstore.Checkout
	}{
		"nothing": {state{}, redisstore.Checkout{}},
		"held":    {state{checkout: "b", fence: lateText}, redisstore.Checkout{Held: true, Holder: handoff.Holder{Server: "b", Fence: late}}},
		"free with data": {state{fence: "7", update: "6/3"}, redisstore.Checkout{
			Holder: handoff.Holder{Fence: 7}, Size: 40, Version: handoff.Version{Fence: 6, Sequence: 3},
		}},
		"foreign data": {state{update: "xyz"}, redisstore.Checkout{Size: 3}},
	} {
		p := r.player()
		r.put(p, test.before.of(p))
		got, err := a.Inspect(ctx, p)
		if err != nil || got != test.want {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, test.want)
		}
	}
	p := r.player()
	r.put(p, state{update: "7/3"}.of(p))
	if err := a.Expire(ctx, p, handoff.Version{Fence: 7, Sequence: 3}); err != nil {
		t.Fatal(err)
	}
	if got, err := a.Inspect(ctx, p); err != nil || !got.Expires || got.TTL <= 0 || got.TTL > time.Hour {
		t.Errorf("got %+v, %v; want expiry within the hour", got, err)
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
