//go:build real

package redistest_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/redistest"
)

func TestRestartKeepsOrDropsData(t *testing.T) {
	for name, args := range map[string][]string{"snapshot": nil, "append-only": {"--appendonly", "yes"}} {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t, args...)
			client := server.Client()
			ctx := context.Background()
			mustDo(t, client.Set(ctx, "k", "v", 0).Err())
			server.Restart(true)
			if got, err := client.Get(ctx, "k").Result(); err != nil || got != "v" {
				t.Fatalf("after restart with data: got %q, %v, want v", got, err)
			}
			server.Restart(false)
			if _, err := client.Get(ctx, "k").Result(); !errors.Is(err, redis.Nil) {
				t.Fatalf("after restart without data: got %v, want redis.Nil", err)
			}
		})
	}
}

func TestKillThenRestart(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(func(o *redis.Options) { o.MaxRetries = -1 })
	before := server.PID()
	server.Kill()
	if err := client.Ping(context.Background()).Err(); err == nil {
		t.Fatal("a killed server answered")
	}
	server.Restart(true)
	mustDo(t, client.Ping(context.Background()).Err())
	if server.PID() == before {
		t.Fatal("the restarted server is the same process")
	}
}

func TestStopAndCont(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	mustDo(t, client.Ping(context.Background()).Err())
	server.Stop()
	answered := make(chan error, 1)
	go func() { answered <- client.Set(context.Background(), "k", "v", 0).Err() }()
	server.Cont()
	mustDo(t, <-answered)
}

func TestMonitorTellsScriptsFromClients(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client()
	ctx := context.Background()
	mustDo(t, client.Ping(ctx).Err())
	monitor := server.Monitor(ctx)
	mustDo(t, client.Set(ctx, "k \"x\"", "a\x00\xffé\n", 0).Err())
	mustDo(t, client.Eval(ctx, `return redis.call('GET', KEYS[1])`, []string{"k"}).Err(), redis.Nil)
	commands := monitor.Take()
	var names []string
	for _, c := range commands {
		if c.InScript() {
			names = append(names, "lua:"+c.Name())
		} else {
			names = append(names, c.Name())
		}
	}
	if want := []string{"SET", "EVAL", "lua:GET"}; !slices.Equal(names, want) {
		t.Fatalf("got %q, want %q", names, want)
	}
	if got, want := commands[0].Args[1:], []string{"k \"x\"", "a\x00\xffé\n"}; !slices.Equal(got, want) {
		t.Fatalf("got arguments %q, want %q", got, want)
	}
	if left := monitor.TakeClient(); len(left) != 0 {
		t.Fatalf("got %v after Take, want nothing", left)
	}
}

func mustDo(t *testing.T, err error, allowed ...error) {
	t.Helper()
	for _, want := range allowed {
		if errors.Is(err, want) {
			return
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
