package redisstore_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

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

// What the database does not have yet is read as it is, with its expiry.
func testUnstored(t *testing.T, r *rig) {
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	if packed, left, err := a.Unstored(ctx, p); packed != nil || left != 0 || err != nil {
		t.Errorf("absent: got %q, %v, %v; want nothing", packed, left, err)
	}
	version := handoff.Version{Fence: 7, Sequence: 3}
	want := string(pack(snapshot(p, version)))
	r.put(p, state{update: want})
	if packed, left, err := a.Unstored(ctx, p); string(packed) != want || left >= 0 || err != nil {
		t.Errorf("without expiry: got %q, %v, %v; want %q for ever", packed, left, err, want)
	}
	if err := a.Expire(ctx, p, version); err != nil {
		t.Fatal(err)
	}
	if packed, left, err := a.Unstored(ctx, p); string(packed) != want || left <= 0 || left > time.Hour || err != nil {
		t.Errorf("with expiry: got %q, %v, %v; want %q for an hour", packed, left, err, want)
	}
	// Whether it is a snapshot is not asked here.
	for _, foreign := range []string{"\x00\xff", strings.Repeat("x", 1<<20)} {
		r.put(p, state{update: foreign})
		if packed, _, err := a.Unstored(ctx, p); string(packed) != foreign || err != nil {
			t.Errorf("got %d bytes, %v; want %d", len(packed), err, len(foreign))
		}
	}
	if err := r.admin.Set(ctx, r.space.Update(p), "", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if packed, _, err := a.Unstored(ctx, p); packed == nil || len(packed) != 0 || err != nil {
		t.Errorf("empty: got %q, %v; want no bytes, which is not absent", packed, err)
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
		if holder, err := a.Holder(ctx, p); err != nil || holder != test.want.Holder {
			t.Errorf("%s: got holder %+v, %v; want %+v", name, holder, err, test.want.Holder)
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
