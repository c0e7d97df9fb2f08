//go:build real

package main

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
)

var documentedUser = regexp.MustCompile("(?s)\nuser syncworker on >PASSWORD (.*?)\n```")

// permissions are the ACL rules that the documentation gives a worker's user:
// those that it needs, and those that let it switch keyspace notifications on.
// All real tests run with them, so the documentation is right and stays so.
func permissions(t *testing.T, db string) (needed, mending []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	user := documentedUser.FindSubmatch(text)
	if user == nil {
		t.Fatal("docs/operations.md has no line with the rules of an ACL user")
	}
	for rule := range strings.FieldsSeq(string(user[1])) {
		if strings.HasPrefix(rule, "+config|") {
			mending = append(mending, rule)
		} else {
			needed = append(needed, strings.Replace(rule, "@0__", "@"+db+"__", 1))
		}
	}
	return needed, mending
}

// The documented user may do nothing that a worker does not do: every command it
// is allowed is used in the course of a worker's life. That nothing is missing
// is what all other tests show, which fail when Redis denies anything.
func TestLeastPermissions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	server := newRealServer(t, realOptions{db: "1", mending: true}).withoutDenials()
	n := newNetwork(t, server)
	n.change = func(c *config.Config) { c.Redis.DB, c.Game.Grace = 1, time.Second }
	a, b := n.start("a"), n.played("b", "boot-b")
	player, spoilt, orphan := playerNumber(1), playerNumber(2), playerNumber(3)
	session := a.enter(player).SessionId
	waits := b.waiting(player)
	a.mustQuit(session, "sword")
	wantData(t, b.got(waits), v1.Source_SOURCE_UPDATE, "sword")

	// Something that is no snapshot stands in a session's way.
	session = a.enter(spoilt).SessionId
	other := server.Client(func(o *redis.Options) { o.DB = 1 })
	if err := other.Set(ctx, n.space.Update(spoilt), "no snapshot", 0).Err(); err != nil {
		t.Fatal(err)
	}
	a.mustQuit(session, "axe")

	// A worker dies; its next start clears what it left.
	b.enter(orphan)
	waits = a.waiting(orphan)
	b.kill()
	n.process("b")
	wantData(t, a.got(waits), v1.Source_SOURCE_NEW, "")

	needed, mending := permissions(t, "1")
	for _, rule := range slices.Concat(needed, mending) {
		command, allowed := strings.CutPrefix(rule, "+")
		if !allowed {
			continue
		}
		a.eventually(command+" is allowed, and used", func() bool {
			stats, err := server.own.Info(ctx, "commandstats").Result()
			return err == nil && strings.Contains(stats, "cmdstat_"+command+":calls=")
		})
	}
}

// Where Redis lets nobody touch its configuration: with the flags in place
// workers are woken by events; without, they poll, and say so.
func TestConfigForbidden(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options realOptions
		events  bool
	}{
		"renamed, notifications off": {realOptions{args: []string{"--rename-command", "CONFIG", ""}}, false},
		"denied, notifications off":  {realOptions{}, false},
		"renamed, notifications on": {realOptions{args: []string{
			"--rename-command", "CONFIG", "", "--notify-keyspace-events", "Kg$x",
		}}, true},
		"denied, notifications on": {realOptions{args: []string{"--notify-keyspace-events", "Kg$x"}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testConfigForbidden(t, newNetwork(t, newRealServer(t, test.options)), test.events)
		})
	}
}

func testConfigForbidden(t *testing.T, n *network, events bool) {
	t.Helper()
	metrics := freeAddress(t)
	n.change = func(c *config.Config) {
		// Without events the safety poll lets players in, with them it must not.
		c.Sync.SafetyPoll = time.Second
		if events {
			c.Sync.SafetyPoll = 29 * time.Second
		}
	}
	a := n.played("a", "boot-a")
	change := n.change
	n.change = func(c *config.Config) {
		change(c)
		c.Metrics.Listen = metrics
	}
	b := n.played("b", "boot-b")
	const sayingSo = "watching by polling only"
	want := []string{"NOT OK, looking every sync.safety_poll instead", "CONFIG does not work", "notify-keyspace-events"}
	if events {
		want = []string{"events    ok"}
		b.logs("keyspace notifications arrive")
	} else {
		b.logs(sayingSo)
	}
	runProgram(t, "status", "-config", b.file).want(t, exitOK, want...)
	// What lets a player in by way of b is counted there. A player who is free
	// before b has looked for the second time needs neither events nor polls.
	get := b.health()
	counter := map[bool]string{
		true: `syncworker_events_received_total{name="del"}`, false: `syncworker_driver_notes_total{kind="safety-poll"}`,
	}
	moved := 0
	b.eventually("a player is let in by "+counter[events], func() bool {
		player := playerNumber(moved)
		moved++
		session := a.enter(player).SessionId
		waits := b.waiting(player)
		a.mustQuit(session, "sword")
		wantData(t, b.got(waits), v1.Source_SOURCE_UPDATE, "sword")
		return metric(get, counter[events]) != "0"
	})
	if got := metric(get, counter[!events]); got != "0" {
		t.Errorf("%s is %s, want 0", counter[!events], got)
	}
	if got, want := metric(get, "syncworker_events_level"), map[bool]string{true: "1", false: "0"}[events]; got != want {
		t.Errorf("the level is %s, want %s", got, want)
	}
	if got, want := strings.Count(b.log.String(), sayingSo), map[bool]int{false: 1, true: 0}[events]; got != want {
		t.Errorf("%q is in the log %d times, want %d", sayingSo, got, want)
	}
}

// metric reads one series, "0" when there is none yet.
func metric(get func(path string) (int, string), series string) string {
	_, text := get("/metrics")
	found := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(series) + " (.*)$").FindStringSubmatch(text)
	if found == nil {
		return "0"
	}
	return found[1]
}
