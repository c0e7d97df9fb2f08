package explore

import "time"

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
