//go:build real

package main

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/syncworker/syncworker/internal/redistest"
)

// The demo on a Redis that is not its own ends well and leaves no key behind.
func TestDemoOnRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	got := runProgram(t, "demo", "--redis", server.Addr(), "--handoffs", "60")
	got.want(t, exitOK)
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	want := regexp.MustCompile(`^demo: 60 handoffs, 0 lost, 0 stale, 0 duplicated, p50 \d+\.\dms p99 \d+\.\dms$`)
	if last := lines[len(lines)-1]; !want.MatchString(last) {
		t.Errorf("the last line is %q\n%s", last, got.err)
	}
	keys, err := server.Client().Keys(context.Background(), "*").Result()
	if err != nil || len(keys) != 0 {
		t.Errorf("left behind: %q, %v", keys, err)
	}
}

func TestDemoAsJSON(t *testing.T) {
	t.Parallel()
	got := runProgram(t, "demo", "--json", "--handoffs", "60", "--servers", "2", "--players", "5")
	got.want(t, exitOK)
	var demo demoResult
	if err := json.Unmarshal([]byte(got.out), &demo); err != nil {
		t.Fatalf("%v in %s", err, got.out)
	}
	if demo.Handoffs != 60 || demo.Lost+demo.Stale+demo.Duplicated != 0 || demo.Servers != 2 || demo.Players != 5 ||
		demo.Redis != "embedded" || demo.P50 <= 0 || demo.P99 < demo.P50 || demo.Max < demo.P99 {
		t.Errorf("got %+v", demo)
	}
}

func TestDemoWithoutRedis(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	runProgram(t, "demo", "--redis", address).want(t, exitError, "reach the Redis at "+address, "connection refused")
}
