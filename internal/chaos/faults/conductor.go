//go:build unix

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/syncworker/syncworker/internal/chaos"
	"github.com/syncworker/syncworker/internal/chaos/play"
	"github.com/syncworker/syncworker/internal/chaos/stage"
)

// recovery is how long a worker may take until it is healthy again, after
// everything around it is.
const recovery = 30 * time.Second

// Conductor decides what breaks when.
type Conductor struct {
	Stage    *stage.Stage
	World    *play.World
	Recorder *chaos.Recorder
	// Dice decides; one seed makes one order of faults, though not of their
	// effects.
	Dice *rand.Rand
	// Enabled names the faults; see Names.
	Enabled []string

	running sync.WaitGroup
	mu      sync.Mutex
	// busy are servers whose worker is broken or recovers; gameless are those
	// whose game is dead.
	busy, gameless map[int]bool
	last           string
}

// Run breaks things until ctx ends. On return all is repaired. Life is the
// context of what is started again.
func (c *Conductor) Run(ctx, life context.Context) {
	c.busy, c.gameless = map[int]bool{}, map[int]bool{}
	// The first joins should see nothing broken.
	if c.AllHealthy(ctx) != nil || len(c.Enabled) == 0 {
		return
	}
	for chaos.Pause(ctx, 200*time.Millisecond+c.upTo(time.Second)) == nil {
		f := c.pick()
		switch f.class {
		case harmless:
			c.spawn(ctx, life, f, c.dice(len(c.World.Servers())))
		case ofWorker:
			if server, ok := c.reserve(); ok {
				c.spawn(ctx, life, f, server)
			}
		case shared:
			c.alone(ctx, life, f)
		}
	}
	c.running.Wait()
}

// alone waits until every worker is healthy and breaks something that all share.
func (c *Conductor) alone(ctx, life context.Context, f fault) {
	for c.anyBusy() {
		if chaos.Pause(ctx, 500*time.Millisecond) != nil {
			return
		}
		if other := c.pick(); other.class == harmless {
			c.spawn(ctx, life, other, c.dice(len(c.World.Servers())))
		}
	}
	if err := c.AllHealthy(ctx); err != nil {
		if ctx.Err() == nil {
			c.broken("", "nothing is broken, and yet after %v: %v", recovery, err)
		}
		return
	}
	// Let what was accepted while a worker recovered reach the database.
	if chaos.Pause(ctx, 500*time.Millisecond) != nil {
		return
	}
	c.perform(ctx, life, f, -1)
	if err := c.AllHealthy(life); err != nil && life.Err() == nil {
		c.broken("", "%v after %s was repaired: %v", recovery, f.name, err)
	}
}

// spawn breaks something of one server beside what else happens.
func (c *Conductor) spawn(ctx, life context.Context, f fault, server int) {
	c.running.Go(func() {
		if f.class == ofWorker {
			defer c.free(server)
		}
		c.perform(ctx, life, f, server)
		if f.class != ofWorker {
			return
		}
		if err := c.healthy(life, server, recovery); err != nil && life.Err() == nil {
			c.broken(c.World.Servers()[server], "%v after %s was repaired: %v", recovery, f.name, err)
		}
	})
}

// perform breaks something, repairs it and writes it down.
func (c *Conductor) perform(ctx, life context.Context, f fault, server int) {
	id := ""
	if server >= 0 {
		id = c.World.Servers()[server]
	}
	begin := c.Recorder.Now()
	c.mu.Lock()
	c.last = strings.TrimSpace(f.name + " " + id)
	c.mu.Unlock()
	c.Recorder.Add(chaos.Entry{Kind: chaos.KindNote, Start: begin, Server: id, Reason: f.name, Text: "begins"})
	text, err := f.run(&act{Conductor: c, ctx: ctx, life: life, server: server})
	if err != nil {
		c.broken(id, "%s: %v", f.name, err)
	}
	if text != "" {
		c.Recorder.Add(chaos.Entry{Kind: chaos.KindFault, Start: begin, Server: id, Reason: f.name, Text: text})
	}
}

// Last names the fault that began last.
func (c *Conductor) Last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}

// patience is how long this machine may stand still without an excuse for those who
// miss their leases.
const patience = 700 * time.Millisecond

// Watch reports workers that end by themselves, and starts them again, until ctx
// ends. It writes down when the machine stands still.
func (c *Conductor) Watch(ctx context.Context) {
	for begin := c.Recorder.Now(); chaos.Pause(ctx, 100*time.Millisecond) == nil; begin = c.Recorder.Now() {
		if late := c.Recorder.Now() - begin; late > patience {
			c.Recorder.Add(chaos.Entry{Kind: chaos.KindNote, Start: begin, Reason: chaos.Stall, Text: fmt.Sprintf("the machine stood still for %v", late)})
		}
		for _, w := range c.Stage.Workers {
			err := w.Check()
			if err == nil {
				continue
			}
			c.broken(w.ID, "%v", err)
			if err := w.Start(); err != nil {
				c.broken(w.ID, "start again: %v", err)
			}
		}
	}
}

func (c *Conductor) broken(server, format string, args ...any) {
	c.Recorder.Add(chaos.Entry{Kind: chaos.KindBroken, Server: server, Text: fmt.Sprintf(format, args...)})
}

// reserve finds a server whose worker is not broken. At most two are at once.
func (c *Conductor) reserve() (int, bool) {
	server := c.dice(len(c.World.Servers()))
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.busy) >= 2 || c.busy[server] {
		return 0, false
	}
	c.busy[server] = true
	return server, true
}

func (c *Conductor) free(server int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, server)
}

func (c *Conductor) anyBusy() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.busy) > 0
}

// healthy waits until a worker is.
func (c *Conductor) healthy(ctx context.Context, server int, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		err := c.World.Healthy(ctx, server, c.hasGame(server))
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if ended := chaos.Pause(ctx, 50*time.Millisecond); ended != nil {
			return ended
		}
	}
}

// AllHealthy waits until every worker is healthy.
func (c *Conductor) AllHealthy(ctx context.Context) error {
	for server := range c.World.Servers() {
		if err := c.healthy(ctx, server, recovery); err != nil {
			return err
		}
	}
	return nil
}

// hasGame reports whether the server's game is alive.
func (c *Conductor) hasGame(server int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.gameless[server]
}

// dice and upTo are for the goroutine of Run and for faults alike.
func (c *Conductor) dice(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Dice.IntN(n)
}

func (c *Conductor) upTo(d time.Duration) time.Duration {
	return time.Duration(c.dice(int(d/time.Millisecond)+1)) * time.Millisecond
}

// pick chooses the next fault by weight.
func (c *Conductor) pick() fault {
	var pool []fault
	for _, f := range all {
		if slices.Contains(c.Enabled, f.name) {
			for range f.weight {
				pool = append(pool, f)
			}
		}
	}
	return pool[c.dice(len(pool))]
}
