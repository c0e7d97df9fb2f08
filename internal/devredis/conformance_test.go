package devredis_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/devredis"
)

// server is what the scenarios need of a Redis server, real or not.
type server interface {
	Client(changes ...func(*redis.Options)) *redis.Client
}

// scenario is a sequence of commands and the notifications it must raise, the
// same on every server.
type scenario struct {
	name  string
	flags string // default KEA
	run   func(t *testing.T, r *recorder)
	want  []string // as recorder.events returns them
}

// recorder runs a scenario's commands and hears its notifications.
type recorder struct {
	t       *testing.T
	ctx     context.Context
	client  *redis.Client
	other   *redis.Client // selects database 3
	heard   <-chan *redis.Message
	events  []string
	markers int
}

// do runs a command on database 0 and returns the answer as text.
func (r *recorder) do(args ...any) string { return r.on(r.client, args...) }

func (r *recorder) on(client *redis.Client, args ...any) string {
	r.t.Helper()
	answer, err := client.Do(r.ctx, args...).Result()
	if errors.Is(err, redis.Nil) {
		return "nil"
	}
	if err != nil {
		r.t.Fatalf("%v: %v", args, err)
	}
	return fmt.Sprint(answer)
}

// expect runs a command and compares the answer.
func (r *recorder) expect(want string, args ...any) {
	r.t.Helper()
	if got := r.do(args...); got != want {
		r.t.Errorf("%v: got %s, want %s", args, got, want)
	}
}

// wait hears notifications until the given one.
func (r *recorder) wait(event string) {
	r.t.Helper()
	for !slices.Contains(r.events, event) {
		r.hear()
	}
}

// finish hears everything raised so far. Redis is single-threaded, so a message
// published now comes after all of it.
func (r *recorder) finish() {
	r.t.Helper()
	r.markers++
	marker := fmt.Sprintf("__keyspace@0__:marker-%d", r.markers)
	r.do("PUBLISH", marker, "end")
	for r.hear() != marker {
	}
	r.events = r.events[:len(r.events)-1]
}

func (r *recorder) hear() (channel string) {
	r.t.Helper()
	select {
	case m := <-r.heard:
		r.events = append(r.events, strings.Trim(m.Channel, "_")+" "+m.Payload)
		return m.Channel
	case <-r.ctx.Done():
		r.t.Fatalf("no notification any more, heard %q", r.events)
		return ""
	}
}

func runScenarios(t *testing.T, run func(t *testing.T, test func(*testing.T, server))) {
	for _, sc := range scenarios {
		t.Run(sc.name, func(t *testing.T) {
			run(t, func(t *testing.T, s server) { runScenario(t, sc, s) })
		})
	}
}

func runScenario(t *testing.T, sc scenario, s server) {
	// The bound is real time on a real server; expiry there can take seconds.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := &recorder{t: t, ctx: ctx, client: s.Client(), other: s.Client(func(o *redis.Options) { o.DB = 3 })}
	defer r.client.Close()
	defer r.other.Close()
	if sc.flags == "" {
		sc.flags = "KEA"
	}
	r.do("CONFIG", "SET", "notify-keyspace-events", sc.flags)
	subscription := r.client.PSubscribe(ctx, "__key*@*__:*")
	defer subscription.Close()
	if _, err := subscription.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	r.heard = subscription.Channel(redis.WithChannelSize(1000))
	sc.run(t, r)
	r.finish()
	if !slices.Equal(r.events, sc.want) {
		t.Errorf("notifications differ\n got %q\nwant %q", r.events, sc.want)
	}
}

func TestConformance(t *testing.T) {
	runScenarios(t, func(t *testing.T, test func(*testing.T, server)) {
		synctest.Test(t, func(t *testing.T) {
			s, err := devredis.New(devredis.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			test(t, s)
		})
	})
}

const effectsOfOneScript = `
	redis.call('SET', KEYS[1], 'a')
	redis.call('PEXPIRE', KEYS[1], 60000)
	redis.call('DEL', KEYS[2])
	redis.call('SET', KEYS[2], 'b')
	redis.call('SET', KEYS[2], 'b')
	redis.call('SADD', KEYS[3], 'x', 'y')
	redis.call('DEL', KEYS[1])
	return redis.call('PTTL', KEYS[1])`

var scenarios = []scenario{
	{name: "set", flags: "K$", run: func(t *testing.T, r *recorder) {
		r.do("SET", "k", "v")
		r.do("SET", "k", "v") // the same value is an event too
		r.do("SETNX", "k", "w")
		r.do("SETNX", "new", "w")
		r.do("GETSET", "k", "v2")
		r.do("MSET", "a", "1", "b", "2")
		r.do("INCR", "a")
		r.do("APPEND", "k", "x")
	}, want: []string{
		"keyspace@0__:k set", "keyspace@0__:k set", "keyspace@0__:new set", "keyspace@0__:k set",
		"keyspace@0__:a set", "keyspace@0__:b set", "keyspace@0__:a incrby", "keyspace@0__:k append",
	}},
	{name: "both channels", run: func(t *testing.T, r *recorder) {
		r.do("SET", "k", "v")
	}, want: []string{"keyspace@0__:k set", "keyevent@0__:set k"}},
	{name: "set with expiry", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.do("SET", "k", "v", "PX", 60000)
		r.do("SET", "k", "v", "EX", 60, "NX") // refused
		r.do("SET", "k", "v", "XX", "KEEPTTL")
		r.do("PSETEX", "k", 60000, "v")
		r.do("SETEX", "k", 60, "v")
		r.do("SET", "n", "v", "NX", "PX", 60000)
		r.do("SET", "m", "v", "XX") // refused
		r.do("SET", "k", "w", "NX", "GET")
		r.do("SET", "m", "w", "NX", "GET")
		r.do("SET", "k", "v", "EXAT", 4102444800)
		r.expect("4102444800000", "PEXPIRETIME", "k")
	}, want: []string{
		"keyspace@0__:k set", "keyspace@0__:k expire", "keyspace@0__:k set",
		"keyspace@0__:k set", "keyspace@0__:k expire", "keyspace@0__:k set", "keyspace@0__:k expire",
		"keyspace@0__:n set", "keyspace@0__:n expire", "keyspace@0__:m set",
		"keyspace@0__:k set", "keyspace@0__:k expire",
	}},
	{name: "delete", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.do("DEL", "missing")
		r.do("MSET", "a", "1", "b", "2", "c", "3")
		r.expect("2", "DEL", "a", "missing", "b", "a")
		r.do("UNLINK", "c")
		r.do("SET", "d", "4")
		r.do("GETDEL", "d")
		r.do("GETDEL", "d")
	}, want: []string{
		"keyspace@0__:a set", "keyspace@0__:b set", "keyspace@0__:c set", "keyspace@0__:a del", "keyspace@0__:b del",
		"keyspace@0__:c del", "keyspace@0__:d set", "keyspace@0__:d del",
	}},
	{name: "expire and persist", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.do("SET", "k", "v")
		r.do("PERSIST", "k") // nothing to do
		r.do("PEXPIRE", "k", 60000)
		r.expect("0", "PEXPIRE", "k", 50000, "GT")
		r.expect("0", "EXPIRE", "missing", 60)
		r.do("GETEX", "k")
		r.do("GETEX", "k", "PX", 70000)
		r.do("GETEX", "k", "PERSIST")
		r.do("EXPIRE", "k", 60)
		r.do("PERSIST", "k")
		r.expect("-1", "PTTL", "k")
		r.expect("-2", "PTTL", "missing")
		r.expect("1", "PEXPIRE", "k", 0)
		r.do("SET", "k", "v")
		r.expect("1", "PEXPIRE", "k", -1)
		r.do("SET", "k", "v")
		r.expect("1", "PEXPIREAT", "k", 1000)
		r.expect("0", "EXISTS", "k")
	}, want: []string{
		"keyspace@0__:k set", "keyspace@0__:k expire", "keyspace@0__:k expire", "keyspace@0__:k persist",
		"keyspace@0__:k expire", "keyspace@0__:k persist", "keyspace@0__:k del", "keyspace@0__:k set",
		"keyspace@0__:k del", "keyspace@0__:k set", "keyspace@0__:k del",
	}},
	{name: "sets and hashes", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.do("SADD", "s", "a", "b")
		r.do("SADD", "s", "a") // there already
		r.do("SREM", "s", "x") // not there
		r.do("SREM", "s", "a")
		r.do("SMOVE", "s", "t", "b")
		r.do("SPOP", "t")
		r.do("SPOP", "t")
		r.do("HSET", "h", "f", "1")
		r.do("HSETNX", "h", "f", "1")
		r.do("HINCRBY", "h", "f", "1")
		r.do("HDEL", "h", "f")
		r.do("SADD", "s", "a")
		r.do("DEL", "s")
	}, want: []string{
		"keyspace@0__:s sadd", "keyspace@0__:s srem", "keyspace@0__:s srem", "keyspace@0__:s del",
		"keyspace@0__:t sadd", "keyspace@0__:t spop", "keyspace@0__:t del",
		"keyspace@0__:h hset", "keyspace@0__:h hincrby", "keyspace@0__:h hdel", "keyspace@0__:h del",
		"keyspace@0__:s sadd", "keyspace@0__:s del",
	}},
	{name: "rename", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.do("SET", "a", "1", "PX", 60000)
		r.do("SET", "b", "2")
		r.expect("0", "RENAMENX", "a", "b")
		r.do("RENAME", "a", "b")
		r.do("PERSIST", "b")
	}, want: []string{
		"keyspace@0__:a set", "keyspace@0__:a expire", "keyspace@0__:b set",
		"keyspace@0__:a rename_from", "keyspace@0__:b rename_to", "keyspace@0__:b persist",
	}},
	{name: "script", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.do("SET", "{p}2", "old")
		r.expect("-2", "EVAL", effectsOfOneScript, 3, "{p}1", "{p}2", "{p}3")
	}, want: []string{
		"keyspace@0__:{p}2 set", "keyspace@0__:{p}1 set", "keyspace@0__:{p}1 expire", "keyspace@0__:{p}2 del",
		"keyspace@0__:{p}2 set", "keyspace@0__:{p}2 set", "keyspace@0__:{p}3 sadd", "keyspace@0__:{p}1 del",
	}},
	{name: "script by hash that fails half way", flags: "KA", run: func(t *testing.T, r *recorder) {
		sha := r.do("SCRIPT", "LOAD", `redis.call('SET', KEYS[1], 'v', 'PX', 60000); return redis.call('SADD', KEYS[1], 'x')`)
		if err := r.client.EvalSha(r.ctx, sha, []string{"k"}).Err(); err == nil {
			t.Error("the script did not fail")
		}
	}, want: []string{"keyspace@0__:k set", "keyspace@0__:k expire"}},
	{name: "script in another database", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.on(r.other, "EVAL", `redis.call('SET', KEYS[1], 'v'); redis.call('SELECT', 5); redis.call('SET', KEYS[1], 'v')`, 1, "k")
		r.on(r.other, "GET", "k")
		r.on(r.other, "DEL", "k")
		r.do("DEL", "k")
	}, want: []string{"keyspace@3__:k set", "keyspace@5__:k set", "keyspace@3__:k del"}},
	{name: "transaction", flags: "KA", run: func(t *testing.T, r *recorder) {
		_, err := r.client.TxPipelined(r.ctx, func(p redis.Pipeliner) error {
			p.Set(r.ctx, "k", "v", time.Minute)
			p.Del(r.ctx, "k")
			p.Set(r.ctx, "k", "v", 0)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		err = r.client.Watch(r.ctx, func(tx *redis.Tx) error {
			r.do("SET", "k", "changed")
			_, err := tx.TxPipelined(r.ctx, func(p redis.Pipeliner) error { return p.Del(r.ctx, "k").Err() })
			return err
		}, "k")
		if !errors.Is(err, redis.TxFailedErr) {
			t.Errorf("transaction on a changed key: got %v, want %v", err, redis.TxFailedErr)
		}
	}, want: []string{
		"keyspace@0__:k set", "keyspace@0__:k expire", "keyspace@0__:k del", "keyspace@0__:k set", "keyspace@0__:k set",
	}},
	{name: "set with an expiry time in the past", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.do("SET", "k", "v")
		r.expect("OK", "SET", "k", "w", "PXAT", 1000)
		r.expect("nil", "GET", "k")
		r.do("SET", "k", "v")
		r.expect("v", "GETEX", "k", "PXAT", 1000)
		r.expect("0", "EXISTS", "k")
		r.expect("OK", "SET", "n", "v", "PXAT", 1000)
		r.expect("0", "EXISTS", "n")
	}, want: []string{
		"keyspace@0__:k set", "keyspace@0__:k set", "keyspace@0__:k expire", "keyspace@0__:k expired",
		"keyspace@0__:k set", "keyspace@0__:k del",
		"keyspace@0__:n set", "keyspace@0__:n expire", "keyspace@0__:n expired",
	}},
	{name: "natural expiry", flags: "K$gx", run: func(t *testing.T, r *recorder) {
		r.on(r.other, "SET", "k", "v", "PX", 20)
		r.wait("keyspace@3__:k expired")
	}, want: []string{"keyspace@3__:k set", "keyspace@3__:k expire", "keyspace@3__:k expired"}},
	{name: "read of an expired key", flags: "K$x", run: func(t *testing.T, r *recorder) {
		r.do("SET", "k", "v", "PX", 1)
		for r.do("GET", "k") != "nil" {
			awaitMillisecond()
		}
	}, want: []string{"keyspace@0__:k set", "keyspace@0__:k expired"}},
	{name: "set over an expired key", flags: "K$x", run: func(t *testing.T, r *recorder) {
		r.do("SET", "k", "v", "PX", 1)
		for r.do("SET", "k", "w", "NX") == "nil" {
			awaitMillisecond()
		}
	}, want: []string{"keyspace@0__:k set", "keyspace@0__:k expired", "keyspace@0__:k set"}},
	{name: "flush", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.do("SET", "k", "v")
		r.do("FLUSHDB")
		r.do("SET", "k", "v", "PX", 30)
		r.do("FLUSHALL")
		r.do("SET", "k", "v") // has no deadline of the one before
		r.expect("-1", "PTTL", "k")
	}, want: []string{
		"keyspace@0__:k set", "keyspace@0__:k set", "keyspace@0__:k expire", "keyspace@0__:k set",
	}},
	{name: "pub/sub answers", flags: "K$", run: pubSubAnswers, want: nil},
	{name: "messages next to notifications", flags: "K$", run: messages, want: []string{"keyspace@0__:k set"}},
	{name: "deadlines per database", flags: "KA", run: func(t *testing.T, r *recorder) {
		r.do("SET", "k", "v", "PX", 60000)
		r.on(r.other, "SET", "k", "v", "PX", 60000)
		r.on(r.other, "FLUSHDB")
		r.expect("60", "TTL", "k")
		r.on(r.other, "HSET", "k", "f", "v") // no deadline is left from before
		if got := r.on(r.other, "TTL", "k"); got != "-1" {
			t.Errorf("got %s left in the flushed database, want -1", got)
		}
		r.do("SETRANGE", "k", 0, "w")
		r.do("SETRANGE", "k", 0, "")
	}, want: []string{
		"keyspace@0__:k set", "keyspace@0__:k expire", "keyspace@3__:k set", "keyspace@3__:k expire", "keyspace@3__:k hset",
		"keyspace@0__:k setrange",
	}},
	{name: "only what the flags ask for", flags: "Kg", run: func(t *testing.T, r *recorder) {
		r.expect("map[notify-keyspace-events:gK]", "CONFIG", "GET", "notify-keyspace-events")
		r.do("SET", "k", "v", "PX", 60000)
		r.do("SADD", "s", "a")
		r.do("CONFIG", "SET", "notify-keyspace-events", "xEg$K")
		r.expect("map[notify-keyspace-events:g$xKE]", "CONFIG", "GET", "notify-keyspace-*")
		r.do("SET", "k", "v")
		r.do("CONFIG", "SET", "notify-keyspace-events", "KEA")
		r.expect("map[notify-keyspace-events:AKE]", "CONFIG", "GET", "notify-keyspace-events")
		r.do("CONFIG", "SET", "notify-keyspace-events", "A") // neither K nor E: no channel
		r.do("SET", "k", "v")
		if err := r.client.ConfigSet(r.ctx, "notify-keyspace-events", "KQ").Err(); err == nil {
			t.Error("an unknown flag was accepted")
		}
	}, want: []string{"keyspace@0__:k expire", "keyspace@0__:k set", "keyevent@0__:set k"}},
}

// awaitMillisecond lets a millisecond of the server's time pass.
func awaitMillisecond() { <-time.After(time.Millisecond) }
