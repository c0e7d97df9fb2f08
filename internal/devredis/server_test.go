package devredis_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/devredis"
)

// bubble runs a test on a server in a bubble; a goroutine that outlives Close
// fails the test.
func bubble(t *testing.T, opts devredis.Options, test func(t *testing.T, s *devredis.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := devredis.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		test(t, s)
	})
}

// single makes a client that neither retries nor keeps spare connections.
func single(o *redis.Options) { o.MaxRetries, o.PoolSize, o.DialerRetries = -1, 1, 1 }

func identity(t *testing.T, client *redis.Client) string {
	t.Helper()
	info, err := client.Info(t.Context(), "server", "replication").Result()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(info) {
		if name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name == "run_id" || name == "master_replid" {
			ids = append(ids, value)
		}
	}
	if len(ids) != 2 || len(ids[0]) != 40 || len(ids[1]) != 40 {
		t.Fatalf("got ids %q in %q, want two of 40 characters", ids, info)
	}
	return strings.Join(ids, " ")
}

func TestTTLFollowsTheClock(t *testing.T) {
	bubble(t, devredis.Options{}, func(t *testing.T, s *devredis.Server) {
		client := s.Client()
		defer client.Close()
		ctx := t.Context()
		client.Set(ctx, "k", "v", 30*time.Second)
		time.Sleep(10 * time.Second)
		if got, want := client.PTTL(ctx, "k").Val(), 20*time.Second; got != want {
			t.Errorf("got %v left, want %v", got, want)
		}
		time.Sleep(20 * time.Second)
		if got := client.Exists(ctx, "k").Val(); got != 1 {
			t.Error("the key was gone in the millisecond of its deadline; Redis removes it after it")
		}
		time.Sleep(time.Millisecond)
		if got := client.Exists(ctx, "k").Val(); got != 0 {
			t.Error("the key outlived its deadline")
		}
		script := `return redis.call('TIME')`
		at, err := client.Eval(ctx, script, nil).StringSlice()
		if want := fmt.Sprint(time.Now().Unix()); err != nil || at[0] != want {
			t.Errorf("time in a script: got %v, %v, want %v seconds", at, err, want)
		}
	})
}

func TestRestart(t *testing.T) {
	bubble(t, devredis.Options{NotifyKeyspaceEvents: "Kg"}, func(t *testing.T, s *devredis.Server) {
		client := s.Client()
		defer client.Close()
		ctx := t.Context()
		before := identity(t, client)
		sha := client.ScriptLoad(ctx, `return 1`).Val()
		client.Set(ctx, "k", "v", time.Minute)
		client.ConfigSet(ctx, "notify-keyspace-events", "KEA")
		if err := s.Restart(true); err != nil {
			t.Fatal(err)
		}
		if got, err := client.TTL(ctx, "k").Result(); err != nil || got != time.Minute {
			t.Errorf("after restart with data: got %v left, %v, want %v", got, err, time.Minute)
		}
		if got := identity(t, client); got == before {
			t.Error("the restarted server has the ids of the old one")
		}
		if got := client.ConfigGet(ctx, "notify-keyspace-events").Val()["notify-keyspace-events"]; got != "gK" {
			t.Errorf("after restart: got flags %q, want gK", got)
		}
		if client.ScriptExists(ctx, sha).Val()[0] {
			t.Error("a cached script survived the restart")
		}
		if err := s.Restart(false); err != nil {
			t.Fatal(err)
		}
		if got := client.DBSize(ctx).Val(); got != 0 {
			t.Errorf("after restart without data: got %d keys, want 0", got)
		}
	})
}

func TestHalt(t *testing.T) {
	bubble(t, devredis.Options{}, func(t *testing.T, s *devredis.Server) {
		client := s.Client(single)
		defer client.Close()
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		s.Halt()
		if err := client.Ping(t.Context()).Err(); err == nil {
			t.Error("a halted server answered on an open connection")
		}
		if err := client.Ping(t.Context()).Err(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("got %v, want %v", err, syscall.ECONNREFUSED)
		}
		if err := s.Restart(true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // The client's pool tries once a second.
		if err := client.Ping(t.Context()).Err(); err != nil {
			t.Error(err)
		}
		s.Close()
		if err := s.Restart(true); !errors.Is(err, devredis.ErrClosed) {
			t.Errorf("restart after close: got %v, want %v", err, devredis.ErrClosed)
		}
	})
}

func TestFreeze(t *testing.T) {
	bubble(t, devredis.Options{}, func(t *testing.T, s *devredis.Server) {
		client := s.Client()
		defer client.Close()
		client.Ping(t.Context())
		s.Freeze()
		answered := make(chan error, 1)
		go func() { answered <- client.Set(t.Context(), "k", "v", 0).Err() }()
		synctest.Wait()
		if len(answered) != 0 {
			t.Fatal("a frozen server answered")
		}
		s.Thaw()
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
	})
}

func TestConfigForbidden(t *testing.T) {
	bubble(t, devredis.Options{ConfigForbidden: true}, func(t *testing.T, s *devredis.Server) {
		client := s.Client()
		defer client.Close()
		if err := client.ConfigGet(t.Context(), "*").Err(); err == nil {
			t.Error("CONFIG worked although it is forbidden")
		}
		if err := s.SetNotifyKeyspaceEvents("KA"); err != nil {
			t.Fatal(err)
		}
		s.SetConfigForbidden(false)
		want := s.NotifyKeyspaceEvents()
		if got := client.ConfigGet(t.Context(), "notify*").Val()["notify-keyspace-events"]; got != want {
			t.Errorf("got flags %q, want %q", got, want)
		}
	})
}

func TestIntercept(t *testing.T) {
	bubble(t, devredis.Options{}, func(t *testing.T, s *devredis.Server) {
		client := s.Client(single, func(o *redis.Options) { o.ReadTimeout = time.Second })
		defer client.Close()
		ctx := t.Context()
		client.Ping(ctx)
		tests := []struct {
			verdict devredis.Verdict
			runs    int64 // whether the command took effect
			fails   bool
		}{
			{devredis.Pass, 1, false},
			{devredis.Lose, 0, true},
			{devredis.LoseAnswer, 1, true},
			{devredis.Hang, 0, true},
			{devredis.Refuse("NOPERM no"), 0, true},
		}
		for i, test := range tests {
			key := fmt.Sprint("k", i)
			s.Intercept(func(c devredis.Command) devredis.Verdict {
				if strings.EqualFold(c.Args[0], "set") {
					return test.verdict
				}
				return devredis.Pass
			})
			if err := client.Set(ctx, key, "v", 0).Err(); (err != nil) != test.fails {
				t.Errorf("verdict %d: got %v, want an error: %v", i, err, test.fails)
			}
			if got := client.Exists(ctx, key).Val(); got != test.runs {
				t.Errorf("verdict %d: got %d keys, want %d", i, got, test.runs)
			}
		}
		s.Intercept(func(c devredis.Command) devredis.Verdict {
			time.Sleep(300 * time.Millisecond) // a slow server
			return devredis.Pass
		})
		start := time.Now()
		client.Get(ctx, "k0")
		if got := time.Since(start); got != 300*time.Millisecond {
			t.Errorf("a slow command took %v", got)
		}
	})
}

func TestLosePubSub(t *testing.T) {
	faults := map[string]func(s *devredis.Server) int{
		"drop":    (*devredis.Server).DropPubSub,
		"silence": (*devredis.Server).SilencePubSub,
		"client kill": func(s *devredis.Server) int {
			client := s.Client()
			defer client.Close()
			return int(client.ClientKillByFilter(context.Background(), "TYPE", "pubsub").Val())
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			bubble(t, devredis.Options{}, func(t *testing.T, s *devredis.Server) {
				client := s.Client()
				defer client.Close()
				ctx := t.Context()
				subscription := client.Subscribe(ctx, "c")
				defer subscription.Close()
				if _, err := subscription.Receive(ctx); err != nil {
					t.Fatal(err)
				}
				if got := client.PubSubNumSub(ctx, "c").Val()["c"]; got != 1 {
					t.Fatalf("got %d subscribers, want 1", got)
				}
				if got := fault(s); got != 1 {
					t.Errorf("got %d connections, want 1", got)
				}
				if got := client.Publish(ctx, "c", "m").Val(); got != 0 {
					t.Errorf("got %d receivers, want 0", got)
				}
				_, err := subscription.ReceiveTimeout(ctx, time.Second)
				var timeout net.Error
				if silent := errors.As(err, &timeout) && timeout.Timeout(); err == nil || silent != (name == "silence") {
					t.Errorf("receive: got %v", err)
				}
			})
		})
	}
}

// A subscriber that does not read must not hold up the server, and is cut off
// in the end.
func TestSlowSubscriber(t *testing.T) {
	bubble(t, devredis.Options{}, func(t *testing.T, s *devredis.Server) {
		slow, err := s.Dialer()(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		if _, err := slow.Write([]byte("SUBSCRIBE c\r\n")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		client := s.Client()
		defer client.Close()
		message := strings.Repeat("x", 1<<20)
		sent := 0
		for client.Publish(t.Context(), "c", message).Val() == 1 {
			sent++
		}
		if sent < 32 || sent > 34 {
			t.Errorf("cut off after %d messages of 1 MiB, want some 32", sent)
		}
	})
}

func TestTCP(t *testing.T) {
	s, err := devredis.New(devredis.Options{Listen: "127.0.0.1:0", NotifyKeyspaceEvents: "KA"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, protocol := range []int{2, 3} {
		client := redis.NewClient(&redis.Options{Addr: s.Addr(), Protocol: protocol})
		defer client.Close()
		ctx := t.Context()
		subscription := client.Subscribe(ctx, "__keyspace@0__:k")
		defer subscription.Close()
		if _, err := subscription.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		if err := subscription.Ping(ctx, "still there"); err != nil {
			t.Fatal(err)
		}
		if pong, err := subscription.Receive(ctx); err != nil || fmt.Sprint(pong) != "Pong<still there>" {
			t.Fatalf("protocol %d: got %v, %v", protocol, pong, err)
		}
		client.Set(ctx, "k", "v", 0)
		if m, err := subscription.ReceiveMessage(ctx); err != nil || m.Payload != "set" {
			t.Fatalf("protocol %d: got %v, %v, want set", protocol, m, err)
		}
		addr := s.Addr()
		if err := s.Restart(true); err != nil {
			t.Fatal(err)
		}
		if s.Addr() != addr {
			t.Errorf("got address %s after restart, want %s", s.Addr(), addr)
		}
		if got, err := client.Get(ctx, "k").Result(); err != nil || got != "v" {
			t.Errorf("got %q, %v, want v", got, err)
		}
	}
	if _, err := devredis.New(devredis.Options{Listen: s.Addr()}); err == nil {
		t.Error("two servers listen on one address")
	}
}

func TestBadInput(t *testing.T) {
	if _, err := devredis.New(devredis.Options{NotifyKeyspaceEvents: "KQ"}); err == nil {
		t.Error("unknown flags were accepted")
	}
	bubble(t, devredis.Options{}, func(t *testing.T, s *devredis.Server) {
		for _, input := range []string{
			"*1\r\n:1\r\n", "*x\r\n", "*99999999999\r\n", "*1\r\n$-7\r\n", "*2\r\n$3\r\nGET\r\n\r\n", "\r\n\r\nNONSENSE\r\n",
			"MULTI\r\nNONSENSE\r\nEXEC\r\n", "EXEC\r\n", "DISCARD\r\n", "SELECT 99\r\n", "SELECT x\r\n", "SET\r\n", "SET k\r\n",
			"DEL\r\n", "PTTL\r\n", "TIME x\r\n", "EVAL 1\r\n", "EVAL x 5 k\r\n", "CONFIG\r\n", "CONFIG GET\r\n", "CLIENT\r\n",
			"CLIENT KILL TYPE\r\n", "PUBSUB\r\n", "SUBSCRIBE\r\n", "PUBLISH c\r\n", "EXPIRE k\r\n", "SETEX k 0 v\r\n",
			"SET k v PX x\r\n", "SET k v PX\r\n", "BLPOP k 0\r\n", "PING a b\r\n", "MSET a\r\n", "HSET\r\n", "SMOVE a\r\n",
			"EVAL \"return redis.call('SUBSCRIBE','c')\" 0\r\n", "GETEX k PX\r\n", "GETDEL\r\n", "RENAME a b\r\n", "SETRANGE k\r\n",
		} {
			conn, err := s.Dialer()(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(input + "QUIT\r\n")); err != nil {
				t.Fatal(err)
			}
			// All of it: several answers may come one by one.
			if answer, err := io.ReadAll(conn); err != nil || !strings.Contains(string(answer), "-") {
				t.Errorf("%q: got %q, %v, want an error", input, answer, err)
			}
			conn.Close()
		}
	})
}

// BenchmarkScript measures a script that reads and writes one player's keys, as
// a handoff does, among many others with and without expiry times.
func BenchmarkScript(b *testing.B) {
	for _, others := range []int{0, 10_000} {
		b.Run(fmt.Sprint("keys=", others), func(b *testing.B) {
			s, err := devredis.New(devredis.Options{NotifyKeyspaceEvents: "Kg$x"})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			client := s.Client()
			defer client.Close()
			ctx := b.Context()
			for i := range others {
				client.Set(ctx, fmt.Sprint("other:", i), "v", time.Duration(i%2)*24*time.Hour)
			}
			script := redis.NewScript(`
				local fence = tonumber(redis.call('GET', KEYS[2]) or '0') + 1
				redis.call('SET', KEYS[2], fence)
				redis.call('SET', KEYS[1], ARGV[1])
				redis.call('DEL', KEYS[1])
				return {fence, redis.call('GET', KEYS[3])}`)
			client.Set(ctx, "{p}u", strings.Repeat("x", 16<<10), 24*time.Hour)
			b.ResetTimer()
			for range b.N {
				if err := script.Run(ctx, client, []string{"{p}c", "{p}f", "{p}u"}, "survival-1").Err(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
