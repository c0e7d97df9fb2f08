//go:build real

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/config"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/keyspace"
	"github.com/syncworker/syncworker/internal/redistest"
)

// maxHandoffCommands is what one handoff may cost Redis, in commands from all
// workers together.
const maxHandoffCommands = 6

// upkeep is what workers send without any player: renewals of their leases, and
// the safety poll's test whether events arrive.
func (n *network) upkeep(c redistest.Command) bool {
	switch c.Name() {
	case "EVALSHA":
		return len(c.Args) > 4 && strings.HasPrefix(c.Args[3], n.leases())
	case "SET":
		return strings.HasPrefix(c.Args[1], strings.TrimSuffix(n.space.Probe("x"), "x"))
	default:
		return false
	}
}

// leases is what the keys of all leases begin with.
func (n *network) leases() string { return strings.TrimSuffix(n.space.Lease("x"), "x") }

// leaseRead reports whether a command reads a lease: the only script on leases
// with a key and nothing else.
func (n *network) leaseRead(c redistest.Command) bool {
	return c.Name() == "EVALSHA" && len(c.Args) == 4 && strings.HasPrefix(c.Args[3], n.leases())
}

// about reports whether a command is a script on a player's keys.
func (n *network) about(c redistest.Command, player handoff.PlayerID) bool {
	return c.Name() == "EVALSHA" && slices.Contains(c.Args, n.space.Checkout(player))
}

// waitsIdly lets a player in on a, begins a join on b, and returns when b is
// subscribed to the player and to the lease of a, has looked once more at both
// and sends nothing of its own accord any more.
func (n *network) waitsIdly(a, b *testServer, m *redistest.Monitor, player handoff.PlayerID) (session string, answers <-chan joinAnswer) {
	n.t.Helper()
	session, answers = a.enter(player).SessionId, b.waiting(player)
	steps := []func(redistest.Command) bool{
		func(c redistest.Command) bool { return subscribes(c, n.space.Checkout(player)) },
		func(c redistest.Command) bool { return subscribes(c, n.space.Lease("a")) },
		func(c redistest.Command) bool { return n.about(c, player) },
		n.leaseRead,
	}
	b.eventually("b is subscribed and has looked", func() bool {
		for _, c := range m.TakeClient() {
			if len(steps) > 0 && steps[0](c) {
				steps = steps[1:]
			}
		}
		return len(steps) == 0
	})
	b.eventually("the look is answered", func() bool { return b.phase(player) == "waiting" })
	return session, answers
}

func subscribes(c redistest.Command, key string) bool {
	return c.Name() == "SUBSCRIBE" && slices.Contains(c.Args, keyspace.Channel(0, key))
}

// A handoff with the next server waiting already costs Redis few commands, all
// connections counted: from Quit to the end, with the unsubscription that
// follows a moment later.
func TestCommandsOfAHandoff(t *testing.T) {
	t.Parallel()
	server := newRealServer(t, usual).withoutDenials()
	n := newNetwork(t, server)
	a, b := n.start("a"), n.start("b")
	monitor := server.Monitor(t.Context())
	const warmUp, rounds = 2, 4
	for round := range warmUp + rounds {
		session, answers := n.waitsIdly(a, b, monitor, playerNumber(round))
		a.mustQuit(session, "sword")
		wantData(t, b.got(answers), v1.Source_SOURCE_UPDATE, "sword")
		var sent []redistest.Command
		b.eventually("b has unsubscribed", func() bool {
			for _, c := range monitor.TakeClient() {
				if !n.upkeep(c) {
					sent = append(sent, c)
				}
			}
			return slices.ContainsFunc(sent, func(c redistest.Command) bool { return c.Name() == "UNSUBSCRIBE" })
		})
		// In the first rounds connections are opened.
		if round >= warmUp && len(sent) > maxHandoffCommands {
			t.Errorf("handoff %d took %d commands, want at most %d:\n%s", round, len(sent), maxHandoffCommands, listed(sent))
		}
	}
}

// While a player waits, Redis sees the upkeep and looks: one with each safety
// poll, and one when the holder's lease would have ended without a renewal. A
// look is a claim and, if that is refused, a reading of the lease and at most one
// petition. For ten renewals of each lease, which is ten seconds.
func TestCommandsWhileWaiting(t *testing.T) {
	t.Parallel()
	server := newRealServer(t, usual).withoutDenials()
	n := newNetwork(t, server)
	n.change = func(c *config.Config) { c.Sync.SafetyPoll = 3 * time.Second }
	a, b := n.start("a"), n.start("b")
	monitor := server.Monitor(t.Context())
	for round := range 3 {
		before := a.settles() + b.settles()
		session, answers := n.waitsIdly(a, b, monitor, playerNumber(round))
		seen := n.watch(b, monitor, playerNumber(round))
		if a.settles()+b.settles() == before {
			seen.judge(t, n)
			return
		}
		t.Log("a worker settled meanwhile, for this machine is busy: once more")
		a.leaves(session, "sword")
		if err := b.confirm(b.got(answers).SessionId, true); err != nil {
			t.Fatal(err)
		}
	}
	t.Error("the workers settle over and over")
}

// settles counts the settle periods that a worker has begun.
func (s *testServer) settles() int {
	return strings.Count(s.log.String(), "settling, nothing is granted meanwhile")
}

// traffic is what Redis saw while a player waited.
type traffic struct {
	// renewals are counted by lease.
	renewals                        map[string]int
	looks, reads, petitions, probes int
	// connections are new ones: a pool grows while one of its own is slow.
	connections int
	others      []redistest.Command
}

// watch counts until each lease was renewed ten times.
func (n *network) watch(b *testServer, monitor *redistest.Monitor, player handoff.PlayerID) *traffic {
	n.t.Helper()
	seen := &traffic{renewals: map[string]int{}}
	for seen.renewals[n.space.Lease("a")] < 10 || seen.renewals[n.space.Lease("b")] < 10 {
		b.eventually("something is sent", func() bool {
			commands := monitor.TakeClient()
			for _, c := range commands {
				switch {
				case c.Name() == "HELLO":
					seen.connections++
				case c.Name() == "INFO": // asked on each new connection
				case n.upkeep(c) && c.Name() == "SET":
					seen.probes++
				case n.upkeep(c):
					seen.renewals[c.Args[3]]++
				case n.about(c, player):
					seen.looks++
				case n.leaseRead(c):
					seen.reads++
				case c.Name() == "PUBLISH" && c.Args[1] == n.space.Petitions("a"):
					seen.petitions++
				default:
					seen.others = append(seen.others, c)
				}
			}
			return len(commands) > 0
		})
	}
	return seen
}

func (seen *traffic) judge(t *testing.T, n *network) {
	t.Helper()
	if seen.connections > 2 {
		t.Errorf("%d new connections", seen.connections)
	}
	if len(seen.others) > 0 {
		t.Errorf("sent while a player waits:\n%s", listed(seen.others))
	}
	// Each worker probes at each of its polls, and b looks at each of its own. A
	// lease outlasts two renewals at least.
	if ends := seen.renewals[n.space.Lease("a")] / 2; seen.looks == 0 || seen.looks > seen.probes+ends {
		t.Errorf("%d looks at the player, %d probes by two workers, %d ends of a lease that was renewed", seen.looks, seen.probes, ends)
	}
	if seen.reads > seen.looks+1 || seen.petitions > seen.looks+1 { // What belongs to the last look before may come after it.
		t.Errorf("%d looks, but %d readings of the lease and %d petitions", seen.looks, seen.reads, seen.petitions)
	}
}

func listed(commands []redistest.Command) string {
	var text strings.Builder
	for _, c := range commands {
		line := c.String()
		fmt.Fprintln(&text, line[:min(len(line), 200)])
	}
	return text.String()
}
