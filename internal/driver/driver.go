package driver

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
)

// shardCount spreads the players over locks that are held for some tens of
// nanoseconds at a time.
const shardCount = 32

// Driver steps one machine for many players. Its methods are safe for
// concurrent use. Make one with New and end it with Close.
type Driver struct {
	machine handoff.Machine
	ports   Ports
	config  Config
	log     hclog.Logger
	metrics *metrics

	shards   [shardCount]shard
	pools    [slotKinds]*pool
	steppers pool
	// quiet counts the players that have anything under way, working those
	// that step or operate.
	quiet, working quiet

	outages outages

	// lastRequest is the RequestID given out last.
	lastRequest atomic.Uint64
	// verifies counts the calls of VerifyAll, suspicions those with suspect.
	verifies   atomic.Uint64
	suspicions atomic.Uint64
	// draining means that joins are refused.
	draining atomic.Bool
	// work counts the goroutines that step or operate. Invariant: it is
	// raised from zero only under the lock of a shard that is not closed.
	work sync.WaitGroup
	// closing is closed when Close begins.
	closing   chan struct{}
	closeOnce sync.Once
}

// shard is a part of the players, all guarded by one lock.
type shard struct {
	mu      sync.Mutex
	players map[handoff.PlayerID]*player
	// closed means that nothing is accepted or stepped any more.
	closed bool
}

// New returns a driver for the machine. It starts no goroutine.
func New(machine handoff.Machine, ports Ports, config Config) *Driver {
	config = config.withDefaults()
	d := &Driver{
		machine: machine,
		ports:   ports,
		config:  config,
		log:     config.Logger,
		metrics: newMetrics(config.Registerer, config.Logger),
		closing: make(chan struct{}),
	}
	d.steppers = pool{limit: 2 * runtime.GOMAXPROCS(0), run: d.run, work: &d.work}
	d.pools = d.newPools(config)
	return d
}

// shardOf picks the player's shard. UUIDs are random or hashes, so a few of
// their bytes spread well enough.
func (d *Driver) shardOf(id handoff.PlayerID) *shard {
	return &d.shards[(id[0]^id[7]^id[15])%shardCount]
}

// End takes the session's player off this server; see handoff.End. It returns
// before that has happened, and does nothing when the player is not known.
func (d *Driver) End(session handoff.SessionID, reason handoff.EndReason) {
	d.order(session.Player, handoff.End{Session: session, Reason: reason})
}

// order queues an event that nobody awaits an answer to, if the player is known.
func (d *Driver) order(id handoff.PlayerID, event handoff.Event) {
	s := d.shardOf(id)
	s.mu.Lock()
	p := s.players[id]
	begun := p != nil && d.enqueue(p, event)
	s.mu.Unlock()
	if begun {
		d.steppers.add(p)
	}
}

// EndAll takes every player off this server, those who wait included. It
// returns before that has happened.
func (d *Driver) EndAll(reason handoff.EndReason) {
	d.broadcast(handoff.End{Reason: reason})
}

// VerifyAll asks every live session to make sure that Redis still knows it
// (rule R1). It returns before that has happened; the pace is that of the redis
// lane. Every known player gets the event, because one whose grant is on its
// way is about to be live.
func (d *Driver) VerifyAll(verify handoff.Verify) {
	if verify.Suspect {
		d.suspicions.Add(1)
	}
	d.verifies.Add(1)
	d.broadcast(verify)
}

// broadcast queues the event for every known player.
func (d *Driver) broadcast(event handoff.Event) {
	for i := range d.shards {
		s := &d.shards[i]
		var begun []*player
		s.mu.Lock()
		for _, p := range s.players {
			if d.enqueue(p, event) {
				begun = append(begun, p)
			}
		}
		s.mu.Unlock()
		for _, p := range begun {
			d.steppers.add(p)
		}
	}
}

// Summaries describes every player whose machine is not idle, in no order. Each
// summary is of one moment; different players may be of different moments.
func (d *Driver) Summaries() []handoff.Summary {
	return d.summaries(func(p *player) bool { return !p.idle })
}

// Summary describes one player; false when there is nothing to say.
func (d *Driver) Summary(id handoff.PlayerID) (handoff.Summary, bool) {
	s := d.shardOf(id)
	s.mu.Lock()
	p := s.players[id]
	var state handoff.State
	if p != nil && !p.idle {
		state = p.state
	}
	s.mu.Unlock()
	if state == nil {
		return handoff.Summary{}, false
	}
	return state.Summary(), true
}

// summaries describes the players that wanted, called under their lock, picks.
func (d *Driver) summaries(wanted func(*player) bool) []handoff.Summary {
	var found []handoff.Summary
	for i := range d.shards {
		s := &d.shards[i]
		var states []handoff.State
		s.mu.Lock()
		for _, p := range s.players {
			if p.state != nil && wanted(p) {
				states = append(states, p.state)
			}
		}
		s.mu.Unlock()
		for _, state := range states {
			found = append(found, state.Summary())
		}
	}
	return found
}

// Close ends the driver: requests that wait are refused with ReasonDraining at
// once, nothing more is stepped, operations that are under way are waited for
// (at most the longest timeout of the config), those not yet begun are dropped,
// timers and watches are stopped. What Summaries tells stays as it was last.
// Close may be called again.
func (d *Driver) Close() {
	d.draining.Store(true)
	d.closeOnce.Do(func() { close(d.closing) })
	for i := range d.shards {
		d.closeShard(&d.shards[i])
	}
	d.work.Wait()
	for i := range d.shards {
		for _, p := range d.shards[i].list() {
			d.release(p)
		}
	}
}

// closeShard refuses whoever waits for the shard's players.
func (d *Driver) closeShard(s *shard) {
	var refused []*request
	s.mu.Lock()
	s.closed = true
	for _, p := range s.players {
		refused = append(refused, p.waiting...)
		p.waiting = nil
	}
	s.mu.Unlock()
	for _, r := range refused {
		d.answer(r, &handoff.Refusal{Reason: handoff.ReasonDraining})
	}
}

// list returns the shard's players.
func (s *shard) list() []*player {
	s.mu.Lock()
	defer s.mu.Unlock()
	players := make([]*player, 0, len(s.players))
	for _, p := range s.players {
		players = append(players, p)
	}
	return players
}
