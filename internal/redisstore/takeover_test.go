package redisstore_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// Several servers saw the same dead holder: one takes the player over, and the
// others are told who has the player now. The old session is fenced.
func testOneTakeOverWins(t *testing.T, r *rig) {
	ctx := context.Background()
	rounds := 1000
	if testing.Short() {
		rounds = 100
	}
	dead := r.store("dead")
	servers := []handoff.ServerID{"a", "b", "c"}
	var stores []*redisstore.Store
	for _, id := range servers {
		stores = append(stores, r.store(id))
	}
	for range rounds {
		p := r.player()
		old := dead.Claim(ctx, p, handoff.Claim{AllowUnknown: true})
		over := handoff.Holder{Server: "dead", Fence: old.Fence}
		answers := make([]handoff.Claimed, len(stores))
		var wg sync.WaitGroup
		for i, s := range stores {
			wg.Go(func() { answers[i] = s.Claim(ctx, p, handoff.Claim{Over: over, Enlist: true, Attempt: 3}) })
		}
		wg.Wait()
		var winner handoff.Holder
		for i, got := range answers {
			if got.Attempt != 3 {
				t.Fatalf("answered attempt %d, want 3", got.Attempt)
			}
			if got.TakenOver && winner.Server == "" {
				winner = handoff.Holder{Server: servers[i], Fence: got.Fence}
			}
		}
		for i, got := range answers {
			lost := got.Outcome == handoff.ClaimHeld && !got.TakenOver && got.Holder == winner
			won := got.Outcome == handoff.ClaimGranted && servers[i] == winner.Server && got.Fence > old.Fence
			if !lost && !won {
				t.Fatalf("server %s: got %s; the player is taken over by %+v", servers[i], describeClaimed(got), winner)
			}
		}
		fenced := describeWritten(handoff.Written{Outcome: handoff.WriteFenced, Holder: winner})
		for _, call := range []func(*redisstore.Store, handoff.PlayerID) string{
			update(old.Fence, 1), checkIn(old.Fence, 1), release(old.Fence), resume(old.Fence),
			resumeAs(handoff.Resume{Fence: old.Fence, Strict: true, Load: true}),
		} {
			if got := call(dead, p); got != fenced {
				t.Fatalf("the old session: got %q, want %q", got, fenced)
			}
		}
	}
}

// The holder resumes while another server takes over: whoever comes first, one
// has the player, and the holder knows.
func testResumeOrTakeOver(t *testing.T, r *rig) {
	ctx := context.Background()
	a, b := r.store("a"), r.store("b")
	for _, strict := range []bool{false, true} {
		for range 100 {
			p := r.player()
			held := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true})
			var resumed handoff.Written
			var taken handoff.Claimed
			var wg sync.WaitGroup
			wg.Go(func() { resumed = a.Resume(ctx, p, handoff.Resume{Fence: held.Fence, Strict: strict}) })
			wg.Go(func() {
				taken = b.Claim(ctx, p, handoff.Claim{Over: handoff.Holder{Server: "a", Fence: held.Fence}})
			})
			wg.Wait()
			if !taken.TakenOver {
				t.Fatalf("take over: got %s", describeClaimed(taken))
			}
			if resumed.Outcome != handoff.WriteDone && resumed.Outcome != handoff.WriteFenced {
				t.Fatalf("resume: got %s", describeWritten(resumed))
			}
			if got := resume(held.Fence)(a, p); !strings.HasPrefix(got, "fenced by b") {
				t.Fatalf("resume after it: got %q", got)
			}
			if left := r.get(p); left.checkout != "b" || left.fence != taken.Fence.String() {
				t.Fatalf("left %+v, want the player with b", left)
			}
		}
	}
}

// A take-over that could not be listed is given back, and the player stays
// fenced off from the old holder.
func testTakeOverListRefused(t *testing.T, r *rig) {
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	takeOver(handoff.Claim{}, handoff.Holder{Server: "b"})(a, p) // Redis knows the script.
	if err := r.admin.Set(ctx, r.space.Checkouts("a"), "no set", 0).Err(); err != nil {
		t.Fatal(err)
	}
	r.put(p, state{checkout: "b", fence: lateText})
	got := a.Claim(ctx, p, handoff.Claim{Enlist: true, Over: handoff.Holder{Server: "b", Fence: late}})
	if got.Outcome != handoff.ClaimFailed || !strings.Contains(got.Err.Error(), "take over player: redisstore: the grant was given back: enlist player: WRONGTYPE") {
		t.Errorf("got %s, want a failure that names the list", describeClaimed(got))
	}
	if left, want := r.get(p), (state{fence: afterText}); left != want {
		t.Errorf("left %+v, want %+v", left, want)
	}
}

// The connection breaks after the take-over ran. The client library repeats the
// call, which finds the player ours: granted anew, under a higher fence.
func TestTakeOverAnswerLost(t *testing.T) {
	dev := newDev(t)
	r := newRig(t, dev)
	a, p := r.store("a"), r.player()
	ready(t, a)
	takeOver(handoff.Claim{}, handoff.Holder{Server: "b", Fence: 1})(a, p) // Redis knows the script.
	r.put(p, state{checkout: "b", fence: lateText, update: "7/1"}.of(p))
	dev.Intercept(scriptCalls(func(n int64) devredis.Verdict {
		if n == 1 {
			return devredis.LoseAnswer
		}
		return devredis.Pass
	}))
	if got, want := takeOver(handoff.Claim{}, handoff.Holder{Server: "b", Fence: late})(a, p), "granted 4000000000000002 with 7/1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	dev.Intercept(nil)
	if left, want := r.get(p), (state{checkout: "a", fence: "4000000000000002", update: "7/1"}).of(p); left != want {
		t.Errorf("left %+v, want %+v", left, want)
	}
}
