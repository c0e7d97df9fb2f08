package driver

import (
	"context"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// laneID names a lane.
type laneID uint8

const (
	redisLane laneID = iota
	readLane
	storeLane
	spoolLane
	laneCount
)

var laneNames = [laneCount]string{redisLane: "redis", readLane: "read", storeLane: "store", spoolLane: "spool"}

func (l laneID) String() string { return laneNames[l] }

// slots names a bounded pool of goroutines. Claims have their own, so that a
// crowd of players who come, or claims that hang since Redis is not the server
// it was, never hold up those who leave.
type slots uint8

const (
	claimSlots slots = iota
	redisSlots
	readSlots
	storeSlots
	spoolSlots
	slotKinds
)

// newPools makes the pools of operations.
func (d *Driver) newPools(config Config) (pools [slotKinds]*pool) {
	pools[claimSlots] = d.newPool(config.MaxClaims, redisLane)
	pools[redisSlots] = d.newPool(config.MaxRedisOps, redisLane)
	pools[readSlots] = d.newPool(config.MaxReads, readLane)
	pools[storeSlots] = d.newPool(config.MaxStores, storeLane)
	pools[spoolSlots] = d.newPool(config.MaxSpools, spoolLane)
	return pools
}

func (d *Driver) newPool(limit int, lane laneID) *pool {
	return &pool{limit: limit, work: &d.work, run: func(p *player) { d.operate(lane, p) }}
}

// timeout is how long one operation of the lane may take.
func (d *Driver) timeout(lane laneID) time.Duration {
	switch lane {
	case readLane:
		return d.config.ReadTimeout
	case storeLane:
		return d.config.StoreTimeout
	case spoolLane:
		return d.config.SpoolTimeout
	default:
		return d.config.RedisTimeout
	}
}

// laneSet is what one player has to do in each lane. It exists while there is
// something.
type laneSet struct {
	queues [laneCount]laneQueue
	packed packedSnapshots
}

// laneQueue is one player's operations in one lane.
type laneQueue struct {
	pending []handoff.Action
	// busy means that the player is in a pool: with an operation in flight, or
	// waiting for a slot for the oldest pending one. Invariant: pending is
	// empty while busy is false.
	busy bool
}

// working reports whether any lane has something to do; nil has not.
func (s *laneSet) working() bool {
	if s == nil {
		return false
	}
	for i := range s.queues {
		if s.queues[i].busy {
			return true
		}
	}
	return false
}

// pending counts the operations that have not begun; nil has none.
func (s *laneSet) pending() int {
	if s == nil {
		return 0
	}
	count := 0
	for i := range s.queues {
		count += len(s.queues[i].pending)
	}
	return count
}

// assign puts an operation at the end of the player's queue in its lane.
func (d *Driver) assign(p *player, op operation, action handoff.Action) {
	p.shard.mu.Lock()
	if p.shard.closed {
		p.shard.mu.Unlock()
		return
	}
	if p.lanes == nil {
		p.lanes = new(laneSet)
	}
	q := &p.lanes.queues[operationTable[op].lane]
	q.pending = append(q.pending, action)
	first := !q.busy
	q.busy = true
	p.shard.mu.Unlock()
	if first {
		d.lineUp(p, action)
	}
}

// lineUp waits for a slot for the player's oldest operation of a lane.
func (d *Driver) lineUp(p *player, oldest handoff.Action) {
	d.pools[operationTable[operationOf(oldest)].slots].add(p)
}

// operate runs the player's next operation in the lane, brings its outcome to
// the machine, and lines up for the one after.
func (d *Driver) operate(lane laneID, p *player) {
	if action, ok := p.nextOperation(lane); ok {
		d.carryOut(lane, p, action)
	}
	var oldest handoff.Action
	p.shard.mu.Lock()
	q := &p.lanes.queues[lane]
	if len(q.pending) > 0 && !p.shard.closed {
		oldest = q.pending[0]
	}
	q.busy = oldest != nil
	dropped := !q.busy && d.settle(p)
	p.shard.mu.Unlock()
	switch {
	case oldest != nil:
		d.lineUp(p, oldest)
	case dropped:
		d.release(p)
	}
}

// nextOperation takes the lane's oldest operation; none once the driver closes.
func (p *player) nextOperation(id laneID) (handoff.Action, bool) {
	p.shard.mu.Lock()
	defer p.shard.mu.Unlock()
	q := &p.lanes.queues[id]
	if p.shard.closed || len(q.pending) == 0 {
		q.pending = nil
		return nil, false
	}
	action := q.pending[0]
	q.pending[0] = nil
	q.pending = q.pending[1:]
	if len(q.pending) == 0 {
		q.pending = nil
	}
	return action, true
}

// carryOut runs one operation and posts what came of it.
func (d *Driver) carryOut(lane laneID, p *player, action handoff.Action) {
	since := d.checks()
	event := d.timed(lane, p, action)
	if event == nil {
		return
	}
	if d.doubted(p, event) {
		d.post(p, handoff.Doubt{})
	}
	d.post(p, event)
	if claimed, ok := event.(handoff.Claimed); ok && claimed.Outcome == handoff.ClaimGranted {
		d.verifyGrant(p, since)
	}
}

// doubted reports whether an answer after which a machine may call a save current
// comes while sessions are suspect: a worker that was frozen wakes up with such
// answers, before it has found out that it was.
func (d *Driver) doubted(p *player, event handoff.Event) (doubted bool) {
	switch event.(type) {
	case handoff.Stored, handoff.Spooled:
	default:
		return false
	}
	d.guard(p, "suspects", func() { doubted = d.ports.Suspects != nil && d.ports.Suspects.Suspect() })
	return doubted
}

// checks are the counts of VerifyAll at one moment.
type checks struct{ verifies, suspicions uint64 }

func (d *Driver) checks() checks {
	return checks{verifies: d.verifies.Load(), suspicions: d.suspicions.Load()}
}

// verifyGrant asks a session to verify itself when a settle period began while
// its claim was under way; since is from before the claim. The order, grant first and then the questions, is what leaves no gap:
// either the period's own VerifyAll finds the grant queued, or the period is
// seen here, by its count when it is over already.
func (d *Driver) verifyGrant(p *player, since checks) {
	settled := false
	d.guard(p, "gate", func() { _, settled = d.ports.Gate.Settled(time.Now()) })
	if now := d.checks(); !settled || now != since {
		d.post(p, handoff.Verify{Suspect: now.suspicions != since.suspicions})
	}
}

// timed runs one operation within its timeout and observes it.
func (d *Driver) timed(lane laneID, p *player, action handoff.Action) handoff.Event {
	op := operationOf(action)
	ctx, cancel := context.WithTimeout(context.Background(), d.timeout(lane))
	defer cancel()
	end := d.metrics.begin(op)
	event, err := d.execute(ctx, p, action)
	end(err)
	switch {
	case err == nil:
	case event == nil && op != petitionOperation:
		// No machine hears of this one, so the log must.
		d.log.Warn("operation lost", "player", p.id.String(), "operation", op.String(), "error", err)
	default:
		// A petition, which nobody misses, or one whose machine hears of it.
		d.log.Debug("operation refused or without answer", "player", p.id.String(), "operation", op.String(), "error", err)
	}
	return event
}
