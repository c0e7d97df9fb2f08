package lifecycle

import "time"

// Gate says whether anything may be granted: the settle period is over (rule
// R1), our own lease is there beyond doubt by our own clock, and Redis answers. A
// worker whose lease has ended may not be the owner of its server ID any more,
// and others may take a player from it the moment it was granted. While Redis
// answers no renewal, others may have lost their leases by that alone (rule R3).
type Gate struct {
	settle *Settle
	lease  *Lease
}

// NewGate returns the gate of both.
func NewGate(settle *Settle, lease *Lease) *Gate { return &Gate{settle: settle, lease: lease} }

// Settled reports whether the gate is open at a moment; if not, until when it is
// shut as far as is known. It never blocks.
func (g *Gate) Settled(now time.Time) (until time.Time, ok bool) {
	if until, ok = g.settle.Settled(now); !ok {
		return until, false
	}
	if until, ok = g.lease.steadyAt(now); ok {
		return until, true
	}
	return now.Add(g.lease.retry()), false
}
