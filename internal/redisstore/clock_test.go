package redisstore_test

import (
	"context"
	"encoding"
	"errors"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/redisstore"
)

// outdated makes every command that carries a deadline arrive after it.
type outdated struct{}

func (outdated) DialHook(next redis.DialHook) redis.DialHook { return next }

func (outdated) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		outdate(command)
		return next(ctx, command)
	}
}

func (outdated) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		for _, command := range commands {
			outdate(command)
		}
		return next(ctx, commands)
	}
}

func outdate(command redis.Cmder) {
	args := command.Args()
	for i, arg := range args {
		if _, is := arg.(encoding.BinaryMarshaler); is {
			args[i] = "1" // A microsecond after 1970 began.
		}
	}
}

// timelyTable is table for scripts that are not performed late: each row a
// second time, too late, when nothing must change, whatever is stored.
func (r *rig) timelyTable(t *testing.T, rows []row) {
	t.Helper()
	r.table(t, rows)
	client, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	client.AddHook(outdated{})
	grants.AddHook(outdated{})
	a := r.storeOn("a", client, grants)
	for _, row := range rows {
		t.Run(row.name+", too late", func(t *testing.T) {
			p := r.player()
			r.put(p, row.before.of(p))
			got := row.call(a, p)
			if !strings.HasPrefix(got, "failed: ") || !strings.HasSuffix(got, ": "+redisstore.ErrExpired.Error()) {
				t.Errorf("got %q, want a failure with %q", got, redisstore.ErrExpired)
			}
			if got, want := r.get(p), row.before.of(p); got != want {
				t.Errorf("left %+q, want %+q", got, want)
			}
		})
	}
}

// A claim that also lists the player, and one on several servers, are not
// performed late either.
func testLateListing(t *testing.T, r *rig) {
	client, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	grants.AddHook(outdated{})
	type elsewhere struct{ redis.UniversalClient }
	for _, grants := range []redis.UniversalClient{grants, elsewhere{grants}} {
		a, p := r.storeOn("a", client, grants), r.player()
		for _, over := range []handoff.Holder{{}, {Server: "b", Fence: 7}} {
			before := state{checkout: "b", fence: "7"}
			r.put(p, before)
			got := a.Claim(context.Background(), p, handoff.Claim{Enlist: true, Over: over})
			if got.Outcome != handoff.ClaimFailed || !errors.Is(got.Err, redisstore.ErrExpired) {
				t.Errorf("got %s, want ErrExpired", describeClaimed(got))
			}
			if left := r.get(p); left != before {
				t.Errorf("left %+v, want %+v", left, before)
			}
		}
	}
}

// misread makes a client read a clock of Redis that is wrong by what it returns
// for the nth reading, counted from 1; and it counts scripts.
type misread struct {
	by       func(n int64) time.Duration
	readings atomic.Int64
	scripts  atomic.Int64
}

func (*misread) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*misread) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (m *misread) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, command redis.Cmder) error {
		err := next(ctx, command)
		switch command := command.(type) {
		case *redis.TimeCmd:
			command.SetVal(command.Val().Add(m.by(m.readings.Add(1))))
		case *redis.Cmd:
			if !redis.HasErrorPrefix(err, "NOSCRIPT") {
				m.scripts.Add(1)
			}
		}
		return err
	}
}

// The clock of Redis has jumped forward since it was read: it is read again, and
// the player is granted.
func testClockJumpsForward(t *testing.T, r *rig) {
	_, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	clock := &misread{by: func(n int64) time.Duration {
		if n == 1 {
			return -time.Hour
		}
		return 0
	}}
	grants.AddHook(clock)
	a := r.storeOn("a", grants, grants)
	for i := range int64(2) {
		if got := a.Claim(context.Background(), r.player(), handoff.Claim{AllowUnknown: true}); got.Outcome != handoff.ClaimGranted {
			t.Errorf("got %s, want a grant", describeClaimed(got))
		}
		if readings, scripts := clock.readings.Load(), clock.scripts.Load(); readings != 2 || scripts != 2+i {
			t.Errorf("%d readings and %d scripts, want 2 and %d", readings, scripts, 2+i)
		}
	}
}

// A clock that cannot be believed is read once more, not for ever.
func testClockRuns(t *testing.T, r *rig) {
	client, _ := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	clock := &misread{by: func(int64) time.Duration { return -time.Hour }}
	client.AddHook(clock)
	a, p := r.storeOn("a", client, client), r.player()
	got := a.Claim(context.Background(), p, handoff.Claim{AllowUnknown: true})
	if !errors.Is(got.Err, redisstore.ErrExpired) || clock.readings.Load() != 2 || clock.scripts.Load() != 2 {
		t.Errorf("got %s after %d readings and %d scripts, want ErrExpired after 2 each",
			describeClaimed(got), clock.readings.Load(), clock.scripts.Load())
	}
	if left := r.get(p); left != (state{}) {
		t.Errorf("left %+v, want nothing", left)
	}
	// The renewal of the lease brings the time along.
	if _, _, _, err := a.AcquireLease(context.Background(), "v", time.Minute); err != nil {
		t.Fatal(err)
	}
	if state, err := a.RenewLease(context.Background(), "v", time.Minute); err != nil || state.Outcome != redisstore.LeaseRenewed {
		t.Fatalf("renew: got %v, %v", state, err)
	}
	if got := a.Claim(context.Background(), p, handoff.Claim{AllowUnknown: true}); got.Outcome != handoff.ClaimGranted || clock.readings.Load() != 2 {
		t.Errorf("after the renewal: got %s and %d readings, want a grant without one", describeClaimed(got), clock.readings.Load())
	}
}

// deadlines returns what scripts of claims have carried as their last argument,
// relative to the moment in which they arrived; 0 is none.
func deadlines(dev devServer) func() []time.Duration {
	var seen []time.Duration
	dev.Intercept(func(c devredis.Command) devredis.Verdict {
		if last := c.Args[len(c.Args)-1]; strings.EqualFold(c.Args[0], "EVALSHA") && len(c.Args) == 10 {
			until, err := strconv.ParseInt(last, 10, 64)
			switch {
			case err != nil:
				return devredis.Refuse("ERR " + err.Error())
			case until == 0:
				seen = append(seen, 0)
			default:
				seen = append(seen, time.Until(time.UnixMicro(until)))
			}
		}
		return devredis.Pass
	})
	return func() []time.Duration { defer func() { seen = nil }(); return seen }
}

// A command is wanted until the client, or its caller, gives it up.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dev := newDev(t)
		r := newRig(t, dev)
		_, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
		clock := &misread{by: func(int64) time.Duration { return time.Hour }}
		a, p := r.storeOn("a", grants, grants), r.player()
		ready(t, a)
		take := deadlines(dev)
		want := func(when string, want time.Duration) {
			t.Helper()
			if got := take(); len(got) != 1 || got[0] != want {
				t.Errorf("%s: deadlines %v, want %v", when, got, want)
			}
		}
		claim(handoff.Claim{})(a, p)
		want("no deadline of the caller", 2*time.Second)
		for timeout, left := range map[time.Duration]time.Duration{500 * time.Millisecond: 500 * time.Millisecond, time.Minute: 2 * time.Second} {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			a.Claim(ctx, p, handoff.Claim{})
			cancel()
			want("a caller's deadline of "+timeout.String(), left)
		}
		// A reading that is wrong makes deadlines late, until the next one.
		grants.AddHook(clock)
		b := r.storeOn("b", grants, grants)
		claim(handoff.Claim{})(b, p)
		want("the clock has jumped back", 2*time.Second+time.Hour)
		if _, _, _, err := b.AcquireLease(context.Background(), "v", time.Minute); err != nil {
			t.Fatal(err)
		}
		if _, err := b.RenewLease(context.Background(), "v", time.Minute); err != nil {
			t.Fatal(err)
		}
		claim(handoff.Claim{})(b, p)
		want("and was read again", 2*time.Second)
	})
}

// Where Redis does not tell its time, everything works without deadlines, and
// that is said once.
func TestClockUntold(t *testing.T) {
	dev := newDev(t)
	r := newRig(t, dev)
	client, grants := r.clients(redisstore.NewIdentity(redisstore.IdentityConfig{}))
	var log strings.Builder
	a := redisstore.New(client, grants, plainCodec{}, redisstore.Config{
		Space: r.space, Server: "a", Logger: hclog.New(&hclog.LoggerOptions{Output: &log}),
	})
	p := r.player()
	dev.Intercept(refuse("TIME", "LOADING Redis is loading the dataset in memory"))
	if got := claim(handoff.Claim{AllowUnknown: true})(a, p); !strings.HasPrefix(got, "failed: claim player: read the clock of redis: LOADING") {
		t.Errorf("got %q, want a failure: what passes is no refusal", got)
	}
	if left := r.get(p); left != (state{}) || log.Len() > 0 {
		t.Errorf("left %+v and logged %q, want nothing", left, log.String())
	}
	dev.Intercept(refuse("TIME", "NOPERM this user has no permissions to run the 'time' command"))
	for range 2 {
		if got := a.Claim(context.Background(), r.player(), handoff.Claim{AllowUnknown: true}); got.Outcome != handoff.ClaimGranted {
			t.Errorf("got %s, want a grant", describeClaimed(got))
		}
	}
	if got := strings.Count(log.String(), "does not tell its time"); got != 1 {
		t.Errorf("logged %d times, want once: %s", got, log.String())
	}
	take := deadlines(dev)
	claim(handoff.Claim{})(a, p)
	if got := take(); len(got) != 1 || got[0] != 0 {
		t.Errorf("deadlines %v, want one of 0: none", got)
	}
}
