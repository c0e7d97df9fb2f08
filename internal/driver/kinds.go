package driver

import "github.com/syncworker/syncworker/internal/handoff"

// eventKind names a type of event for logs and metrics.
type eventKind uint8

const (
	joinEvent eventKind = iota
	cancelJoinEvent
	confirmEvent
	saveEvent
	quitEvent
	endEvent
	claimedEvent
	newestReadEvent
	leaseCheckedEvent
	writtenEvent
	storedEvent
	leaseReadEvent
	spooledEvent
	adoptEvent
	petitionedEvent
	doubtEvent
	lookEvent
	timerFiredEvent
	verifyEvent
	otherEvent
	eventKinds
)

var eventNames = [eventKinds]string{
	joinEvent:         "join",
	cancelJoinEvent:   "cancel-join",
	confirmEvent:      "confirm",
	saveEvent:         "save",
	quitEvent:         "quit",
	endEvent:          "end",
	claimedEvent:      "claimed",
	newestReadEvent:   "newest-read",
	leaseCheckedEvent: "lease-checked",
	writtenEvent:      "written",
	storedEvent:       "stored",
	leaseReadEvent:    "lease-read",
	spooledEvent:      "spooled",
	adoptEvent:        "adopt",
	petitionedEvent:   "petitioned",
	doubtEvent:        "doubt",
	lookEvent:         "look",
	timerFiredEvent:   "timer-fired",
	verifyEvent:       "verify",
	otherEvent:        "other",
}

func (k eventKind) String() string { return eventNames[k] }

func kindOf(event handoff.Event) eventKind {
	switch event.(type) {
	case handoff.Join:
		return joinEvent
	case handoff.CancelJoin:
		return cancelJoinEvent
	case handoff.Confirm:
		return confirmEvent
	case handoff.Save:
		return saveEvent
	case handoff.Quit:
		return quitEvent
	case handoff.End:
		return endEvent
	case handoff.Claimed:
		return claimedEvent
	case handoff.NewestRead:
		return newestReadEvent
	case handoff.LeaseChecked:
		return leaseCheckedEvent
	case handoff.Written:
		return writtenEvent
	case handoff.Stored:
		return storedEvent
	case handoff.LeaseRead:
		return leaseReadEvent
	case handoff.Spooled:
		return spooledEvent
	case handoff.Adopt:
		return adoptEvent
	case handoff.Petitioned:
		return petitionedEvent
	case handoff.Doubt:
		return doubtEvent
	case handoff.Look:
		return lookEvent
	case handoff.TimerFired:
		return timerFiredEvent
	case handoff.Verify:
		return verifyEvent
	default:
		return otherEvent
	}
}

// requestOf returns the request that the event is, zero when it is none.
func requestOf(event handoff.Event) handoff.RequestID {
	switch e := event.(type) {
	case handoff.Join:
		return e.Request
	case handoff.Confirm:
		return e.Request
	case handoff.Save:
		return e.Request
	case handoff.Quit:
		return e.Request
	default:
		return 0
	}
}

// operation names an action that goes to a lane.
type operation uint8

const (
	notAnOperation operation = iota
	claimOperation
	checkLeaseOperation
	readLeaseOperation
	updateOperation
	checkInOperation
	releaseOperation
	resumeOperation
	sweepOperation
	expireOperation
	delistOperation
	petitionOperation
	readOperation
	storeOperation
	spoolOperation
	unspoolOperation
	operations
)

// operationTable says what each operation is called, in which of its player's
// lanes it runs, and which slots it needs.
var operationTable = [operations]struct {
	name  string
	lane  laneID
	slots slots
}{
	claimOperation:      {"claim", redisLane, claimSlots},
	checkLeaseOperation: {"check-lease", redisLane, redisSlots},
	readLeaseOperation:  {"read-lease", redisLane, redisSlots},
	updateOperation:     {"update", redisLane, redisSlots},
	checkInOperation:    {"check-in", redisLane, redisSlots},
	releaseOperation:    {"release", redisLane, redisSlots},
	resumeOperation:     {"resume", redisLane, redisSlots},
	sweepOperation:      {"sweep", redisLane, redisSlots},
	expireOperation:     {"expire", redisLane, redisSlots},
	delistOperation:     {"delist", redisLane, redisSlots},
	petitionOperation:   {"petition", redisLane, redisSlots},
	readOperation:       {"read-newest", readLane, readSlots},
	storeOperation:      {"store", storeLane, storeSlots},
	spoolOperation:      {"spool", spoolLane, spoolSlots},
	unspoolOperation:    {"unspool", spoolLane, spoolSlots},
}

func (o operation) String() string { return operationTable[o].name }

func operationOf(action handoff.Action) operation {
	switch action.(type) {
	case handoff.Claim:
		return claimOperation
	case handoff.CheckLease:
		return checkLeaseOperation
	case handoff.ReadLease:
		return readLeaseOperation
	case handoff.Update:
		return updateOperation
	case handoff.CheckIn:
		return checkInOperation
	case handoff.Release:
		return releaseOperation
	case handoff.Resume:
		return resumeOperation
	case handoff.Sweep:
		return sweepOperation
	case handoff.Expire:
		return expireOperation
	case handoff.Delist:
		return delistOperation
	case handoff.Petition:
		return petitionOperation
	case handoff.ReadNewest:
		return readOperation
	case handoff.Store:
		return storeOperation
	case handoff.Spool:
		return spoolOperation
	case handoff.Unspool:
		return unspoolOperation
	default:
		return notAnOperation
	}
}
