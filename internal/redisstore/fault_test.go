package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// scriptCalls judges the script calls of clients, counted from 1, and lets all
// else pass.
func scriptCalls(judge func(n int64) devredis.Verdict) func(devredis.Command) devredis.Verdict {
	var calls atomic.Int64
	return func(c devredis.Command) devredis.Verdict {
		if !strings.HasPrefix(strings.ToUpper(c.Args[0]), "EVAL") {
			return devredis.Pass
		}
		return judge(calls.Add(1))
	}
}

// Law L3: whatever Redis answers instead of an answer is a failure that says
// what to do.
func TestRefusalsNameTheMend(t *testing.T) {
	for text, mend := range map[string]string{
		"OOM command not allowed when used memory > 'maxmemory'.":                                "raise it",
		"READONLY You can't write against a read only replica.":                                  "lead to the master",
		"LOADING Redis is loading the dataset in memory":                                         "when that is done",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":       "lead to the master",
		"NOPERM this user has no permissions to run the 'evalsha' command":                       "the keys of the namespace",
		"NOAUTH Authentication required.":                                                        "redis.password_file",
		"NOREPLICAS Not enough good replicas to write.":                                          "bring them back",
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to":        "see its log",
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "SCRIPT KILL",
		"ERR Error running script (call to f_5): @user_script:9: WRONGTYPE Operation against":    "move or delete it",
		"ERR something new": "",
	} {
		dev := newDev(t)
		r := newRig(t, dev)
		a, p := r.store("a"), r.player()
		ready(t, a)
		dev.Intercept(func(c devredis.Command) devredis.Verdict {
			switch strings.ToUpper(c.Args[0]) {
			case "HELLO", "INFO", "CLIENT":
				return devredis.Pass
			default:
				return devredis.Refuse(text)
			}
		})
		code, _, _ := strings.Cut(text, " ")
		for step, call := range everything {
			err := call(a, p)
			var answered redis.Error
			switch {
			case err == nil || !strings.HasPrefix(err.Error(), stepOf(step)) || !errors.As(err, &answered):
				t.Errorf("%s at %s: got %v, want a wrapped redis error", step, code, err)
			case !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), mend) || strings.Count(err.Error(), "(") > 2:
				t.Errorf("%s at %s: got %v, want the mend %q once", step, code, err, mend)
			}
		}
	}
}

// stepOf is what the errors of a step begin with.
func stepOf(step string) string {
	switch step {
	case "list and claim":
		return "claim player: "
	case "holder":
		return "inspect player: "
	default:
		return step + ": "
	}
}

// ready makes both clients connect, so that faults hit commands and not
// greetings.
func ready(t *testing.T, s *redisstore.Store) {
	t.Helper()
	if _, err := s.CheckLease(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := s.Claim(context.Background(), handoff.PlayerID{1}, handoff.Claim{}); got.Outcome != handoff.ClaimUnknown {
		t.Fatalf("got %s, want unknown", describeClaimed(got))
	}
}

func TestRedisGone(t *testing.T) {
	dev := newDev(t)
	r := newRig(t, dev)
	a, p := r.store("a"), r.player()
	ready(t, a)
	dev.Halt()
	for step, call := range everything {
		if err := call(a, p); err == nil || !strings.HasPrefix(err.Error(), stepOf(step)) {
			t.Errorf("%s: got %v, want an error", step, err)
		}
	}
}

// A caller that hung up gets a failure, not an answer.
func TestCancelled(t *testing.T) {
	r := newRig(t, newDev(t))
	a, p := r.store("a"), r.player()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if got := a.Claim(ctx, p, handoff.Claim{Enlist: true}); got.Outcome != handoff.ClaimFailed || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("got %s, want context.Canceled", describeClaimed(got))
	}
	if got := a.Release(ctx, p, 7); got.Outcome != handoff.WriteFailed || !errors.Is(got.Err, context.Canceled) {
		t.Errorf("got %s, want context.Canceled", describeWritten(got))
	}
}

// The client repeats a call whose answer was lost. Repeating a claim grants
// again, with a second, higher fence.
func TestLostAnswerOfAClaim(t *testing.T) {
	dev := newDev(t)
	r := newRig(t, dev)
	ctx := context.Background()
	a, p := r.store("a"), r.player()
	r.put(p, state{fence: lateText})
	ready(t, a)
	for _, c := range []handoff.Claim{{}, {Enlist: true}} {
		r.put(p, state{fence: lateText})
		dev.Intercept(scriptCalls(func(n int64) devredis.Verdict {
			if n == 1 {
				return devredis.LoseAnswer
			}
			return devredis.Pass
		}))
		got := a.Claim(ctx, p, c)
		if got.Outcome != handoff.ClaimGranted || got.Fence != late+2 {
			t.Errorf("got %s, want the second fence %d", describeClaimed(got), late+2)
		}
		if left := r.get(p); left.fence != got.Fence.String() || left.checkout != "a" {
			t.Errorf("left %+v, want what was answered", left)
		}
	}
}

// The answer to a check-in is lost, and before the repeat arrives the next
// server has claimed: the snapshot was accepted, and that is what the caller
// hears.
func TestLostAnswerOfACheckIn(t *testing.T) {
	dev := newDev(t)
	r := newRig(t, dev)
	ctx := context.Background()
	a, b, p := r.store("a"), r.store("b"), r.player()
	fence := a.Claim(ctx, p, handoff.Claim{AllowUnknown: true}).Fence
	var next handoff.Claimed
	dev.Intercept(scriptCalls(func(n int64) devredis.Verdict {
		switch n {
		case 1: // The load of the script.
			return devredis.Pass
		case 2:
			return devredis.LoseAnswer
		case 3:
			next = b.Claim(ctx, p, handoff.Claim{})
		}
		return devredis.Pass
	}))
	if got := checkIn(fence, 3)(a, p); got != "done" {
		t.Errorf("got %q, want done", got)
	}
	if next.Outcome != handoff.ClaimGranted || next.Update == nil || next.Update.Version.Sequence != 3 {
		t.Errorf("next: got %s, want the checked-in snapshot", describeClaimed(next))
	}
	if left := r.get(p); left.checkout != "b" {
		t.Errorf("the checkout is %q, want b", left.checkout)
	}
}

// Every other write bears repetition as well.
func TestLostAnswerOfAWrite(t *testing.T) {
	for name, call := range map[string]func(*redisstore.Store, handoff.PlayerID) string{
		"update": update(7, 3), "check in": checkIn(7, 3), "release": release(7), "resume": resume(7),
		"sweep": sweep, "free": free(handoff.Holder{Server: "a", Fence: 7}),
	} {
		t.Run(name, func(t *testing.T) {
			dev := newDev(t)
			r := newRig(t, dev)
			a := r.store("a")
			before := state{checkout: "a", fence: "7", update: "5/1"}
			once, twice := r.player(), r.player()
			r.put(once, before.of(once))
			r.put(twice, before.of(twice))
			if got := call(a, once); got != "done" {
				t.Fatalf("once: got %q", got)
			}
			dev.Intercept(scriptCalls(func(n int64) devredis.Verdict {
				if n == 1 {
					return devredis.LoseAnswer
				}
				return devredis.Pass
			}))
			if got := call(a, twice); got != "done" {
				t.Errorf("repeated: got %q, want done", got)
			}
			want, got := r.get(once), r.get(twice)
			want.update, got.update = want.update[:24], got.update[:24] // The rest names the player.
			if name == "free" {
				want.fence, got.fence = "", "" // Of different moments.
			}
			if got != want {
				t.Errorf("repeated: left %+q, want %+q", got, want)
			}
		})
	}
}

// On several servers the list is written first, in a round trip of its own: if
// that fails nothing is claimed.
func TestSeveralServers(t *testing.T) {
	dev := newDev(t)
	r := newRig(t, dev)
	ctx := context.Background()
	client, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	// A type that says nothing about where keys live, as a cluster client's.
	type elsewhere struct{ redis.UniversalClient }
	a, p := r.storeOn("a", client, elsewhere{grants}), r.player()
	dev.Intercept(refuse("SADD", "OOM command not allowed"))
	got := a.Claim(ctx, p, handoff.Claim{Enlist: true, AllowUnknown: true})
	if got.Outcome != handoff.ClaimFailed || !strings.Contains(got.Err.Error(), "enlist player: OOM") {
		t.Errorf("got %s, want a failure that names the list", describeClaimed(got))
	}
	if left := r.get(p); left != (state{}) {
		t.Errorf("left %+v, want nothing claimed", left)
	}
	var order []string
	dev.Intercept(func(c devredis.Command) devredis.Verdict {
		order = append(order, strings.ToUpper(c.Args[0]))
		return devredis.Pass
	})
	got = a.Claim(ctx, p, handoff.Claim{Enlist: true, AllowUnknown: true})
	dev.Intercept(nil)
	if got.Outcome != handoff.ClaimGranted || order[0] != "SADD" || !strings.HasPrefix(order[1], "EVAL") {
		t.Errorf("got %s by %v, want a grant after the list", describeClaimed(got), order)
	}
	for _, want := range []int{1, 0} {
		if err := a.Delist(ctx, p); err != nil {
			t.Fatal(err)
		}
		if players, err := a.Listed(ctx); err != nil || len(players) != want {
			t.Errorf("listed %v, %v, want %d: who is checked out stays listed", players, err, want)
		}
		a.Release(ctx, p, got.Fence)
	}
}

// A Redis that hangs costs a bounded time, whatever is asked.
func TestHangingRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := newDev(t)
		r := newRig(t, dev)
		a, p := r.store("a"), r.player()
		ready(t, a)
		dev.Freeze()
		for step, call := range everything {
			start := time.Now()
			if err := call(a, p); err == nil {
				t.Errorf("%s: got no error", step)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: took %v, want two attempts of 2 s each", step, took)
			}
		}
		dev.Thaw()
	})
}

// A reply that no script gives is a failure.
func TestUnexpectedReplies(t *testing.T) {
	r := newRig(t, newDev(t))
	for _, fields := range [][]any{{}, {"strange"}, {"held", "b", "x"}, {"granted", ""}, {"fenced", "b"}, {"taken", "v", "?"}, {"foreign"}} {
		client, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
		client.AddHook(answering{fields})
		grants.AddHook(answering{fields})
		a := r.storeOn("a", client, grants)
		for step, call := range everything {
			switch step {
			case "enlist player", "delist player", "list checked out players", "check lease", "list and claim", "petition b":
				continue // No scripts, or not alone.
			}
			if (step == "renew lease" || step == "swap lease") && len(fields) == 1 && fields[0] == "foreign" {
				continue // A foreign lease with an empty value.
			}
			if err := call(a, r.player()); err == nil || !strings.Contains(err.Error(), "unexpected reply") {
				t.Errorf("%s answered %v: got %v, want an error", step, fields, err)
			}
		}
	}
}

// answering replaces the replies of scripts.
type answering struct{ fields []any }

func (answering) DialHook(next redis.DialHook) redis.DialHook { return next }

func (answering) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h answering) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		if ran, is := command.(*redis.Cmd); is {
			ran.SetVal(h.fields)
			return nil
		}
		return next(ctx, command)
	}
}
