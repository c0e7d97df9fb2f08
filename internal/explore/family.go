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

const network = faultFail | faultLose | faultLostLook | faultSpurious | faultResync

// families are the starting points, the most telling ones first.
func families() []*family {
	return []*family{
		{
			name: "handover", about: "plays on a, waits on b; the network loses things", weight: 3, servers: 2,
			faults: network, left: budget{faults: 2, delays: 1, odd: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: handover,
		},
		{
			name: "crash", about: "plays on a, waits on b; workers crash", weight: 3, servers: 2,
			faults: faultCrash | faultInPlace | faultLose | faultStore,
			left:   budget{faults: 2, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: handover,
		},
		{
			name: "freeze", about: "plays on a, waits on b; workers freeze or are cut off", weight: 3, servers: 2,
			faults: faultFreeze | faultCut | faultFlush | faultLose,
			left:   budget{faults: 2, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: handover,
		},
		{
			name: "emptied", about: "plays on a; redis is emptied", weight: 3, servers: 2,
			faults: faultFlush | faultFail | faultLose | faultCrash | faultResync,
			left:   budget{faults: 2, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 0}, setup: knownPlaying,
		},
		{
			name: "slow-to-verify", about: "plays on a; redis is emptied, and verifications fail", weight: 1, servers: 2,
			faults: faultFlush | faultFail, left: budget{faults: 3}, joins: [3]int8{0, 1}, setup: knownPlaying,
		},
		{
			name: "login", about: "nobody has the player, who has a past; redis is emptied", weight: 3, servers: 2,
			faults: faultFlush | faultFail | faultLose | faultStore,
			left:   budget{faults: 2, delays: 2, odd: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 0}, setup: known,
		},
		{
			name: "rolled-back", about: "plays on a; redis restarts with an older copy", weight: 3, servers: 2,
			faults: faultRollback | faultFail | faultLose | faultResync,
			left:   budget{faults: 2, delays: 1, dumps: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: knownPlaying,
		},
		{
			name: "outage", about: "plays on a, waits on b; a is cut off and spools", weight: 3, servers: 2,
			faults: faultCut | faultCrash | faultSpool | faultStore,
			left:   budget{faults: 2, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{2, 1}, setup: handover,
		},
		{
			name: "away", about: "plays on a, waits on b; redis goes away and comes back", weight: 2, servers: 2,
			faults: faultAway | faultCrash | faultSpool | faultLose | faultResync,
			left:   budget{faults: 2, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: handover,
		},
		{
			name: "impatient", about: "plays on a, b does not wait long; the network loses things", weight: 1, servers: 2,
			faults: network, wait: 5 * time.Second,
			left: budget{faults: 2, odd: 1}, joins: [3]int8{1, 2}, saves: [3]int8{1, 1}, setup: impatience,
		},
		{
			name: "ghost", about: "a has frozen, b has taken over", weight: 2, servers: 2,
			faults: faultFlush | faultLose | faultFail | faultStore | faultCrash,
			left:   budget{faults: 2, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: ghost,
		},
		{
			name: "ghost-down", about: "a has crashed, its game plays on, b has taken over", weight: 1, servers: 2,
			faults: faultFlush | faultLose | faultFail | faultStore | faultCrash,
			left:   budget{faults: 2, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: ghostDown,
		},
		{
			name: "ghost-past", about: "a has frozen, b has taken over, saved and left; redis restarts with an older copy", weight: 1,
			servers: 2, faults: faultRollback, haunted: true,
			left: budget{faults: 1, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: ghostPast,
		},
		{
			name: "steal", about: "plays on a, waits on b, which steals at the end of its wait", weight: 1, servers: 2, steal: true, wait: 5 * time.Second,
			faults: faultCrash | faultLose | faultFail | faultLostLook,
			left:   budget{faults: 2, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: impatience,
		},
		{
			name: "database", about: "plays on a; the database is away or slow", weight: 3, servers: 2,
			faults: faultDBDown | faultDBSlow | faultStore | faultSpool | faultCrash | faultExpire,
			left:   budget{faults: 2, delays: 1}, joins: [3]int8{1, 1}, saves: [3]int8{2, 1}, setup: knownPlaying,
		},
		{
			name: "new", about: "a new player", weight: 2, servers: 2,
			faults: network | faultCrash | faultStore | faultFlush,
			left:   budget{faults: 1, delays: 1, odd: 2}, joins: [3]int8{2, 1}, saves: [3]int8{1, 1},
		},
		{
			name: "behind", about: "plays on a; redis is emptied, and its clock is behind", weight: 1, servers: 2, behind: true,
			faults: faultFlush | faultLose | faultStore,
			left:   budget{faults: 2, delays: 0}, joins: [3]int8{1, 2}, saves: [3]int8{1, 1}, setup: knownPlaying,
		},
		{
			name: "crowd", about: "plays on a, waits on b and c", weight: 2, servers: 3,
			faults: faultCrash | faultFreeze | faultLose | faultLostLook,
			left:   budget{faults: 2}, joins: [3]int8{1, 1, 1}, saves: [3]int8{1, 0, 0}, setup: crowd,
		},
		{
			name: "emptied-crowd", about: "plays on a; redis is emptied while three servers are there", weight: 1, servers: 3,
			faults: faultFlush | faultLose,
			left:   budget{faults: 2}, joins: [3]int8{0, 1, 1}, setup: knownPlaying,
		},
		{
			name: "all", about: "plays on a, waits on b; any fault", weight: 4, servers: 2,
			faults: ^faultSet(0),
			left:   budget{faults: 2, delays: 1, odd: 1, dumps: 1}, joins: [3]int8{1, 1}, saves: [3]int8{1, 1}, setup: handover,
		},
	}
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
