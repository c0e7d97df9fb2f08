//go:build real

package devredis_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/devredis"
	"github.com/syncworker/syncworker/internal/redistest"
)

func TestConformanceReal(t *testing.T) {
	runScenarios(t, func(t *testing.T, test func(*testing.T, server)) {
		test(t, redistest.Start(t))
	})
}

// Random commands on both servers: the answers and the notifications must be the
// same, refused commands and scripts that fail half way included.
func TestRandomCommandsReal(t *testing.T) {
	emulated, err := devredis.New(devredis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer emulated.Close()
	genuine := redistest.Start(t)
	for seed := range uint64(6) {
		want := playRandom(t, genuine, seed)
		got := playRandom(t, emulated, seed)
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("seed %d, line %d differs\n got %s\nwant %s\n in %q",
					seed, i, got[min(i, len(got)-1)], want[i], want[max(0, i-8):i])
			}
		}
		if len(got) > len(want) {
			t.Errorf("seed %d: got %d lines more, the first is %s", seed, len(got)-len(want), got[len(want)])
		}
	}
}

// playRandom returns one line for each command with its answer, and one for each
// notification, in the order of both.
func playRandom(t *testing.T, s server, seed uint64) (lines []string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := &recorder{t: t, ctx: ctx, client: s.Client()}
	defer r.client.Close()
	r.do("FLUSHALL")
	r.do("CONFIG", "SET", "notify-keyspace-events", "K$gshx")
	subscription := r.client.PSubscribe(ctx, "__key*@*__:*")
	defer subscription.Close()
	if _, err := subscription.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	r.heard = subscription.Channel(redis.WithChannelSize(1000))
	random := rand.New(rand.NewPCG(seed, seed))
	for range 1500 {
		command := randomCommand(random)
		var args []any
		for _, word := range command {
			args = append(args, word)
		}
		answer, err := r.client.Do(ctx, args...).Result()
		text := fmt.Sprint(answer)
		if err != nil && !errors.Is(err, redis.Nil) {
			text = "error"
		}
		r.finish()
		lines = append(lines, strings.Join(command, " ")+" -> "+text+" "+strings.Join(r.events, ", "))
		r.events = nil
	}
	return lines
}

// randomCommand uses few keys, so that commands meet what others left behind.
func randomCommand(random *rand.Rand) []string {
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	key := func() string { return pick("a", "b", "c") }
	ttl := func() string { return pick("100000", "200000", "300000", "0", "-1") }
	absolute := func() string { return pick("4102444800000", "4102444900000", "1000") }
	simple := [][]string{
		{"SET", key(), pick("1", "x")},
		{"SET", key(), "1", pick("PX", "px"), ttl()},
		{"SET", key(), "1", pick("NX", "XX"), pick("EX", "PX"), ttl()},
		{"SET", key(), "1", pick("KEEPTTL", "GET", "NX", "XX", "WRONG")},
		{"SET", key(), "1", "GET", pick("NX", "XX", "KEEPTTL")},
		{"SET", key(), "1", "PXAT", "4102444900000"}, // one in the past expires when Redis gets to it
		{"SETNX", key(), "1"},
		{"SETEX", key(), ttl(), "1"},
		{"PSETEX", key(), ttl(), "1"},
		{"GETSET", key(), "2"},
		{"GETDEL", key()},
		{pick("SET", "APPEND"), "s", "1"}, // GETEX of another type is not emulated well
		{"GETEX", "s", pick("EX", "PX"), "100000"},
		{"GETEX", "s", "PXAT", absolute()},
		{"GETEX", "s", "PERSIST"},
		{"MSET", key(), "1", key(), "2"},
		{"MSETNX", key(), "1", key(), "2"},
		{pick("INCR", "DECR"), "n"},
		{"APPEND", key(), "1"},
		{"SETRANGE", key(), "0", pick("", "7")},
		{"GET", key()},
		{"EXISTS", key(), key()},
		{pick("DEL", "UNLINK"), key(), key()},
		{pick("EXPIRE", "PEXPIRE"), key(), ttl()},
		{"PEXPIRE", key(), pick("150000", "250000", "-1"), pick("NX", "XX")},
		{"PEXPIREAT", key(), absolute()},
		{"PERSIST", key()},
		{pick("RENAME", "RENAMENX"), key(), key()},
		{"SADD", key(), pick("x", "y")},
		{"SREM", key(), pick("x", "y")},
		{"SMOVE", key(), key(), pick("x", "y")},
		{"HSET", key(), pick("f", "g"), "1"},
		{"HDEL", key(), pick("f", "g")},
		{"HINCRBY", key(), "f", "1"},
		{"HSETNX", key(), "f", "1"},
		{"TYPE", key()},
		{"NONSENSE", key()},
	}
	if random.IntN(4) > 0 {
		return simple[random.IntN(len(simple))]
	}
	// A script of a few of them; an error ends it there.
	var script strings.Builder
	for range 1 + random.IntN(4) {
		words := slices.Clone(simple[random.IntN(len(simple)-1)])
		for i, word := range words {
			words[i] = fmt.Sprintf("'%s'", word)
		}
		fmt.Fprintf(&script, "redis.%s(%s) ", pick("call", "pcall"), strings.Join(words, ", "))
	}
	return []string{"EVAL", script.String() + "return 1", "0"}
}
