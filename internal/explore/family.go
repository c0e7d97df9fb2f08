package explore

import (
	"fmt"
	"time"

	"github.com/syncworker/syncworker/lockstep"
)

// family is one starting point with the faults to be played from there.
type family struct {
	name, about string
	weight      int
	servers     int
	faults      faultSet
	left        budget
	// joins and saves are per server.
	joins, saves [maxServers]int8
	// wait is how long a join waits; zero means half a minute.
	wait    time.Duration
	steal   bool
	behind  bool
	haunted bool
	// setup leads from nothing to the starting point.
	setup func(w *World)
}

// world returns the starting point.
func (f *family) world() (*World, error) {
	r := &rules{count: f.servers, faults: f.faults, steal: f.steal, haunted: f.haunted, wait: 30 * time.Second}
	w := &World{rules: r, now: time.Second} // Zero means never.
	for i := range r.count {
		machine, err := lockstep.New(lockstep.Config{Server: serverIDs[i], Settle: settlePeriod, Petitions: true, Steal: f.steal})
		if err != nil {
			return nil, fmt.Errorf("make the machine of %s: %w", serverIDs[i], err)
		}
		r.machines[i] = machine
		w.servers[i] = &server{index: i, state: machine.Start(player), incarnation: 1, game: game{attached: true}, lifecycle: lifecycle{swept: true}}
		w.redis.leases[i] = lease{incarnation: 1}
	}
	if f.setup != nil {
		f.setup(w)
	}
	r.behind = f.behind
	if f.wait != 0 {
		r.wait = f.wait
	}
	w.left = f.left
	for i := range r.count {
		s := w.server(i)
		s.joins, s.saves = f.joins[i], f.saves[i]
	}
	return w.clone(), nil
}

// quiet lets everything happen that happens at once.
func (w *World) quiet() {
	for more := true; more; {
		more = false
		for i := range w.count() {
			if kind, arg, ok := w.calmServer(i); ok {
				w.apply(Move{kind, uint8(i), arg})
				more = true
			}
		}
	}
}

// known: the player has played on a and left; the database has the data.
func known(w *World) {
	playing(0)(w)
	w.save(0)
	w.quiet()
	w.quit(0, true)
	w.quiet()
	for w.mayTick() {
		w.tick()
		w.quiet()
	}
}

// playing: the player has a confirmed session on the server.
func playing(i int) func(*World) {
	return func(w *World) {
		w.join(i)
		w.quiet()
		w.confirm(i, true)
		w.quiet()
	}
}

// knownPlaying: a player with a past has a session on a.
func knownPlaying(w *World) {
	known(w)
	playing(0)(w)
}

// handover: and waits to get in on b.
func handover(w *World) {
	knownPlaying(w)
	w.join(1)
	w.quiet()
}

// ghost: a has frozen, its lease has ended, and b has taken the player over.
func ghost(w *World) {
	w.left = budget{faults: 1, dumps: 1}
	handover(w)
	w.apply(Move{Kind: moveDump})
	w.apply(Move{Kind: moveFreeze, Server: 0})
	w.quiet()
	for w.servers[1].session.IsZero() && w.mayTick() {
		w.tick()
		w.quiet()
	}
	w.confirm(1, true)
	w.quiet()
}

// ghostDown: a has crashed while its game plays on, its lease has ended, and b has
// taken the player over.
func ghostDown(w *World) {
	w.left = budget{faults: 1}
	handover(w)
	w.apply(Move{Kind: moveCrash, Server: 0})
	w.quiet()
	for w.servers[1].session.IsZero() && w.mayTick() {
		w.tick()
		w.quiet()
	}
	w.confirm(1, true)
	w.quiet()
}

// ghostPast: and has saved, and is gone.
func ghostPast(w *World) {
	ghost(w)
	w.quit(1, true)
	w.quiet()
}

// impatience: plays on a, and b will not wait long.
func impatience(w *World) {
	knownPlaying(w)
	w.rules.wait = 5 * time.Second
	w.join(1)
	w.quiet()
}

// crowd: and on c as well.
func crowd(w *World) {
	handover(w)
	w.join(2)
	w.quiet()
}

// Families returns the names of the families that Run explores.
func Families() []string {
	var names []string
	for _, f := range families() {
		names = append(names, f.name)
	}
	return names
}

func choose(o Options) ([]*family, error) {
	var chosen []*family
	for _, f := range families() {
		if o.Only != "" && f.name != o.Only {
			continue
		}
		f.servers = max(f.servers, o.Servers)
		if o.Servers == maxServers {
			f.joins[2] = max(f.joins[2], 1)
		}
		if o.Faults >= 0 {
			f.left.faults = int8(min(o.Faults, 8))
		}
		chosen = append(chosen, f)
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no family is called %q; there are %v", o.Only, Families())
	}
	return chosen, nil
}
