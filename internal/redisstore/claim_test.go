package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// late is a fence beyond what any clock gives today, so that tables can tell
// the next fence: one more.
const late handoff.Fence = 4_000_000_000_000_000

const (
	lateText  = "4000000000000000"
	afterText = "4000000000000001"
)

func testClaimTable(t *testing.T, r *rig) {
	known := handoff.Claim{}
	unknown := handoff.Claim{AllowUnknown: true}
	r.timelyTable(t, []row{
		{
			"nothing stored", state{}, claim(known), "unknown", state{},
		},
		{
			"nothing stored, floor given", state{}, claim(handoff.Claim{Floor: late}), "unknown", state{},
		},
		{
			"no fence, checkout of another", state{checkout: "b"}, claim(known), "unknown", state{checkout: "b"},
		},
		{
			"no fence, checkout ours", state{checkout: "a"}, claim(known), "unknown", state{checkout: "a"},
		},
		{
			"no fence, data there", state{update: "7/1"}, claim(known), "unknown", state{update: "7/1"},
		},
		{
			"free",
			state{fence: lateText},
			claim(known),
			"granted 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
		{
			"free with data",
			state{fence: lateText, update: "4000000000000000/3"},
			claim(known),
			"granted 4000000000000001 with 4000000000000000/3",
			state{checkout: "a", fence: afterText, update: "4000000000000000/3"},
		},
		{
			"ours",
			state{checkout: "a", fence: lateText},
			claim(known),
			"granted 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
		{
			"held",
			state{checkout: "b", fence: "5", update: "5/1"},
			claim(known),
			"held by b 5",
			state{checkout: "b", fence: "5", update: "5/1"},
		},
		{
			"held, floor given",
			state{checkout: "b", fence: "5"},
			claim(handoff.Claim{Floor: late}),
			"held by b 5",
			state{checkout: "b", fence: "5"},
		},
		{
			"unknown allowed, held without fence",
			state{checkout: "b"},
			claim(unknown),
			"held by b 0",
			state{checkout: "b"},
		},
		{
			"floor above the fence",
			state{fence: "5"},
			claim(handoff.Claim{Floor: late}),
			"granted 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
		{
			"floor below the fence",
			state{fence: lateText},
			claim(handoff.Claim{Floor: 5}),
			"granted 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
		{
			"unknown allowed, nothing stored",
			state{},
			claim(handoff.Claim{AllowUnknown: true, Floor: late}),
			"granted 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
		{
			"unknown allowed, ours",
			state{checkout: "a"},
			claim(handoff.Claim{AllowUnknown: true, Floor: late}),
			"granted 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
		{
			"fence lost, data newer than the clock",
			state{update: "4000000000000000/9"},
			claim(unknown),
			"granted 4000000000000001 with 4000000000000000/9",
			state{checkout: "a", fence: afterText, update: "4000000000000000/9"},
		},
		{
			"foreign data",
			state{fence: lateText, update: "no snapshot"},
			claim(known),
			"granted 4000000000000001 damaged",
			state{checkout: "a", fence: afterText, update: "no snapshot"},
		},
		{
			"fences used up",
			state{fence: "9007199254740991"},
			claim(known),
			"failed: claim player: ",
			state{fence: "9007199254740991"},
		},
	})
}

func testTakeOverTable(t *testing.T, r *rig) {
	seen := handoff.Holder{Server: "b", Fence: late}
	none := handoff.Claim{}
	r.timelyTable(t, []row{
		{
			"as seen",
			state{checkout: "b", fence: lateText, update: "5/2"},
			takeOver(none, seen),
			"taken 4000000000000001 with 5/2",
			state{checkout: "a", fence: afterText, update: "5/2"},
		},
		{
			"as seen, floor given",
			state{checkout: "b", fence: lateText},
			takeOver(handoff.Claim{Floor: late + 9}, seen),
			"taken 4000000000000010",
			state{checkout: "a", fence: "4000000000000010"},
		},
		{
			"as seen without fence",
			state{checkout: "b"},
			takeOver(handoff.Claim{Floor: late}, handoff.Holder{Server: "b"}),
			"taken 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
		{
			"as seen, data newer than the fence",
			state{checkout: "b", fence: lateText, update: "4000000000000007/1"},
			takeOver(none, seen),
			"taken 4000000000000008 with 4000000000000007/1",
			state{checkout: "a", fence: "4000000000000008", update: "4000000000000007/1"},
		},
		{
			"as seen, foreign data",
			state{checkout: "b", fence: lateText, update: "no snapshot"},
			takeOver(none, seen),
			"taken 4000000000000001 damaged",
			state{checkout: "a", fence: afterText, update: "no snapshot"},
		},
		{
			"unknown is not allowed by a flag",
			state{},
			takeOver(handoff.Claim{AllowUnknown: true}, seen),
			"unknown",
			state{},
		},
		{
			"over ourselves",
			state{checkout: "a", fence: lateText},
			takeOver(none, handoff.Holder{Server: "a", Fence: late}),
			"granted 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
		{
			"claimed again by the same server",
			state{checkout: "b", fence: afterText},
			takeOver(none, seen),
			"held by b 4000000000000001",
			state{checkout: "b", fence: afterText},
		},
		{
			"another holder",
			state{checkout: "c", fence: lateText},
			takeOver(none, seen),
			"held by c 4000000000000000",
			state{checkout: "c", fence: lateText},
		},
		{
			"fence lower than seen",
			state{checkout: "b", fence: "5"},
			takeOver(none, seen),
			"held by b 5",
			state{checkout: "b", fence: "5"},
		},
		{
			"fence gone since", state{checkout: "b"}, takeOver(none, seen), "unknown", state{checkout: "b"},
		},
		{
			"everything gone since", state{}, takeOver(none, seen), "unknown", state{},
		},
		{
			"free by now",
			state{fence: lateText},
			takeOver(none, seen),
			"granted 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
		{
			"ours by now: the answer was lost",
			state{checkout: "a", fence: lateText},
			takeOver(none, seen),
			"granted 4000000000000001",
			state{checkout: "a", fence: afterText},
		},
	})
}

// T29: two workers whose clocks differ by any amount get fences of one clock,
// that of Redis.
func testFenceClock(t *testing.T, r *rig) {
	a := r.store("a")
	p := r.player()
	r.put(p, state{fence: "1"})
	before := r.admin.Time(context.Background()).Val()
	got := a.Claim(context.Background(), p, handoff.Claim{})
	after := r.admin.Time(context.Background()).Val()
	if fence := int64(got.Fence); got.Outcome != handoff.ClaimGranted || fence < before.UnixMicro() || fence > after.UnixMicro() {
		t.Errorf("got %s, want a fence from %d to %d", describeClaimed(got), before.UnixMicro(), after.UnixMicro())
	}
}

func testOneClaimWins(t *testing.T, r *rig) {
	rounds := 10_000
	if testing.Short() {
		rounds = 300
	}
	stores := []*redisstore.Store{r.store("a"), r.store("b")}
	for range rounds {
		p := r.player()
		var answers [2]handoff.Claimed
		var wg sync.WaitGroup
		for i, s := range stores {
			wg.Go(func() {
				answers[i] = s.Claim(context.Background(), p, handoff.Claim{AllowUnknown: true})
			})
		}
		wg.Wait()
		won, lost := answers[0], answers[1]
		winner := handoff.ServerID("a")
		if won.Outcome != handoff.ClaimGranted {
			won, lost, winner = lost, won, "b"
		}
		want := handoff.Holder{Server: winner, Fence: won.Fence}
		if won.Outcome != handoff.ClaimGranted || lost.Outcome != handoff.ClaimHeld || lost.Holder != want {
			t.Fatalf("player %s: got %q and %q, want one grant", p, describeClaimed(answers[0]), describeClaimed(answers[1]))
		}
	}
}

// Whatever is wrong with data_update, the grant stands, the data stays, and
// the caller is told.
func testDamagedUpdate(t *testing.T, r *rig) {
	a := r.store("a")
	other := r.player()
	for name, bytes := range map[string]string{
		"no snapshot":       "{}",
		"truncated":         plainHead,
		"of another player": string(pack(snapshot(other, handoff.Version{Fence: 4, Sequence: 1}))),
	} {
		p := r.player()
		r.put(p, state{fence: lateText, update: bytes})
		got := a.Claim(context.Background(), p, handoff.Claim{})
		if got.Outcome != handoff.ClaimGranted || got.Update != nil || !errors.Is(got.Err, handoff.ErrDamaged) {
			t.Errorf("%s: got %+v, want a grant with ErrDamaged", name, got)
		}
		if after := r.get(p); after.update != bytes {
			t.Errorf("%s: data_update is %q, want it untouched", name, after.update)
		}
	}
}

// The list of players is a superset of the truth at every moment.
func testList(t *testing.T, r *rig) {
	ctx := context.Background()
	a, p, q := r.store("a"), r.player(), r.player()
	r.put(q, state{checkout: "b", fence: "5"})
	for player, want := range map[handoff.PlayerID]handoff.ClaimOutcome{p: handoff.ClaimGranted, q: handoff.ClaimHeld} {
		got := a.Claim(ctx, player, handoff.Claim{Attempt: 7, Enlist: true, AllowUnknown: true})
		if got.Outcome != want || got.Attempt != 7 {
			t.Errorf("got %s for attempt %d, want outcome %d for 7", describeClaimed(got), got.Attempt, want)
		}
	}
	// Somebody else's member is no reason to lose the others.
	if err := r.admin.SAdd(ctx, r.space.Checkouts("a"), "nobody").Err(); err != nil {
		t.Fatal(err)
	}
	listed := func() map[handoff.PlayerID]bool {
		t.Helper()
		players, err := a.Listed(ctx)
		if err != nil {
			t.Fatal(err)
		}
		set := map[handoff.PlayerID]bool{}
		for _, player := range players {
			set[player] = true
		}
		if len(set) != len(players) {
			t.Errorf("got %v, want nobody twice", players)
		}
		return set
	}
	if set := listed(); len(set) != 2 || !set[p] || !set[q] {
		t.Errorf("listed %v, want %s and %s", set, p, q)
	}
	// A checkout of ours keeps its entry, whoever believes that it is gone.
	if err := a.Delist(ctx, p); err != nil {
		t.Fatal(err)
	}
	if set := listed(); len(set) != 2 || !set[p] {
		t.Errorf("listed %v, want %s among them, who is checked out", set, p)
	}
	if written := a.Sweep(ctx, p); written.Outcome != handoff.WriteDone {
		t.Fatal(written.Err)
	}
	for range 2 {
		if err := a.Delist(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Enlist(ctx, q); err != nil {
		t.Fatal(err)
	}
	if set := listed(); len(set) != 1 || !set[q] {
		t.Errorf("listed %v, want %s", set, q)
	}
	for range 3000 {
		if err := r.admin.SAdd(ctx, r.space.Checkouts("a"), r.player().String()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if set := listed(); len(set) != 3001 {
		t.Errorf("listed %d players, want 3001", len(set))
	}
}

// A grant that could not be listed is given back at once.
func testListRefused(t *testing.T, r *rig) {
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	if err := r.admin.Set(ctx, r.space.Checkouts("a"), "no set", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r.put(p, state{fence: lateText})
	got := a.Claim(ctx, p, handoff.Claim{Enlist: true})
	if got.Outcome != handoff.ClaimFailed || !strings.Contains(got.Err.Error(), "enlist player: WRONGTYPE") {
		t.Errorf("got %s, want a failure that names the list", describeClaimed(got))
	}
	if after := r.get(p); after.checkout != "" {
		t.Errorf("the checkout is %q, want it given back", after.checkout)
	}
	if err := r.admin.ScriptFlush(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	before := r.get(p)
	if got := a.Claim(ctx, p, handoff.Claim{Enlist: true}); got.Outcome != handoff.ClaimFailed {
		t.Errorf("got %s, want a failure", describeClaimed(got))
	}
	if after := r.get(p); after != before {
		t.Errorf("left %+v, want nothing claimed", after)
	}
}
