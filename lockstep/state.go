package lockstep

import (
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Phase is where a player stands. The package comment draws the arrows.
type Phase uint8

// The phases.
const (
	// PhaseAbsent: nothing is held and nobody waits.
	PhaseAbsent Phase = iota
	// PhaseClaiming: a question about the checkout is on its way to Redis.
	PhaseClaiming
	// PhaseWaiting: the checkout cannot be had yet; a look will ask again.
	PhaseWaiting
	// PhaseLoading: the checkout is ours, the database has not answered yet.
	PhaseLoading
	// PhaseDelivered: the game has the data and has not confirmed it.
	PhaseDelivered
	// PhasePresent: the player plays here; saves are taken.
	PhasePresent
	// PhaseSaving: a save is on its way to Redis.
	PhaseSaving
	// PhaseVerifying: the session makes sure that Redis still knows it.
	PhaseVerifying
	// PhaseCheckingIn: the final save is on its way to Redis.
	PhaseCheckingIn
	// PhaseReleasing: the checkout is being given back, data untouched.
	PhaseReleasing
	// PhaseLost: another server took over; remembered for late callers.
	PhaseLost
)

var phaseNames = [...]string{
	PhaseAbsent:     "absent",
	PhaseClaiming:   "claiming",
	PhaseWaiting:    "waiting",
	PhaseLoading:    "loading",
	PhaseDelivered:  "delivered",
	PhasePresent:    "present",
	PhaseSaving:     "saving",
	PhaseVerifying:  "verifying",
	PhaseCheckingIn: "checking-in",
	PhaseReleasing:  "releasing",
	PhaseLost:       "lost",
}

// String returns the phase as status tables and transcripts show it.
func (p Phase) String() string {
	if int(p) >= len(phaseNames) {
		return "invalid"
	}
	return phaseNames[p]
}

// State is one player's state: an immutable value. What its pointers and slices
// lead to is never changed in place either; a step copies what it changes.
type State struct {
	player handoff.PlayerID
	name   string
	phase  Phase

	// join is the join that waits for an answer; at most one, a newer one
	// takes an older one's place.
	join *join
	// wait is how far the question for the checkout has come.
	// Invariant: non-nil exactly in claiming, waiting and loading.
	wait *wait
	// session is the stay on this server.
	// Invariant: non-nil exactly from loading to releasing, except that
	// releasing after a lost claim answer has none.
	session *session
	// write is the operation that Redis owes an answer for.
	// Invariant: non-nil exactly in saving, verifying, checking in, releasing.
	write *write
	// deferred requests wait for the write's end, in order of arrival.
	deferred []handoff.Event
	// unstored snapshots are owed to the database, oldest first.
	unstored []owed
	// spooled are the entries on the local disk that are still needed there.
	spooled []spooled
	// adopting is how far the session's adoption has come.
	// Invariant: non-nil exactly while the write under way is writeAdopt.
	adopting *adopting
	// listed: server_checkouts keeps the player until the database has all
	// that is owed to it, so that the next start would find what is missing.
	listed bool
	// safe is the newest version that the database is known to have as current.
	safe handoff.Version
	// ended remembers the session before, for repeated and late calls.
	ended *ended
	// ops numbers claims, reads and writes, so that late answers are known.
	ops uint64
}

type join struct {
	request  handoff.RequestID
	since    time.Time
	deadline time.Time
}

// wait is one quest for the checkout, from the first claim to the delivery.
type wait struct {
	// attempt is the number of the claim or lease check under way, or of the
	// last one answered.
	attempt uint64
	// again asks for another look as soon as the one under way is answered: a
	// hint came after the question had left.
	again bool
	// enlisted: server_checkouts names the player, as far as we know.
	enlisted bool
	// watching the checkout key.
	watching bool
	// unsure: a claim got no answer, so the checkout may be ours.
	unsure bool
	// polled: the claim under way was made by the safety poll alone.
	polled bool
	// failures counts claims without an answer in a row.
	failures int
	// obstacle is the last reason for not being granted; it becomes the
	// refusal's reason at the deadline.
	obstacle handoff.Reason
	problem  error
	// holder stood in the way last; handedBy is the last one ever.
	holder   handoff.Holder
	handedBy handoff.ServerID
	// unknownSince is when Redis was first seen not to know the player.
	unknownSince time.Time
	// leaseSeen: our own lease was there after unknown was answered.
	leaseSeen bool
	// leaseRead is the number of the reading of the holder's lease that is
	// under way; watched is whose lease is watched.
	leaseRead uint64
	watched   handoff.ServerID
	// incarnation is the holder's worker as its lease named it last.
	incarnation string
	// petitioned is whom we asked to hurry, and when.
	petitioned   handoff.Holder
	petitionedAt time.Time
	// over is the holder that the take-over under way is about.
	over handoff.Holder
	// doubt: Redis may have lost its memory since the last claim was sent, so
	// that a lease that was missing proves nothing.
	doubt bool
	// tookOver: the grant took the player from another server.
	tookOver bool
	// stealing: the deadline has passed and the player is taken all the same.
	stealing bool
	// allowing: the claim under way may create a fence. Its grant counts only
	// once our lease was seen again after it.
	allowing bool
	// floor is the fence that the grant must exceed.
	floor handoff.Fence
	// granted is the attempt that brought the grant.
	granted uint64
	update  *handoff.Snapshot
	read    read
	// known is the newest row that any read of this wait has brought.
	known *handoff.Snapshot
}

// read is what is known of the database.
type read struct {
	// attempt is the number of the read; since is the claim it was sent with.
	attempt, since uint64
	done           bool
	// stale: Redis may have lost its memory after the read was sent, so that
	// its data_update no longer covers what was stored since.
	stale    bool
	snapshot *handoff.Snapshot
	err      error
}

type session struct {
	fence handoff.Fence
	since time.Time
	// newest is the snapshot accepted last, of an earlier session at first; nil
	// for a new player. Base is its data, which keys are carried forward from.
	newest  *handoff.Snapshot
	base    map[string][]byte
	version handoff.Version
	// tried is the highest sequence ever sent, accepted the highest taken.
	tried, accepted uint64
	confirmed       bool
	// grant and request stay until the game confirms: a repeated Join gets
	// the same again.
	grant   *handoff.Grant
	request handoff.RequestID
	// unverified counts the verifications without an answer in a row; one is
	// still owed then.
	unverified int
	// suspect: our lease had ended while Redis stayed up, and nothing has
	// proved since that nobody took the session over (rule R7).
	suspect bool
	// pending is accepted here and on the local disk, and Redis does not have
	// it yet; nil when Redis has everything. Replays counts the attempts.
	pending *handoff.Snapshot
	replays int
}

type writeKind uint8

const (
	writeUpdate writeKind = iota + 1
	writeCheckIn
	writeRelease
	writeVerify
	writeSweep
	writeAdopt
)

type write struct {
	kind writeKind
	// op is the number of the operation under way.
	op uint64
	// resuming: the operation under way is a resume that precedes the write.
	resuming bool
	// resumes and failures bound and pace repetition.
	resumes, failures int
	snapshot          *handoff.Snapshot
	// spooling: the local disk owes an answer; spooled: it has the snapshot.
	spooling, spooled bool
	// problem is why Redis did not take it, while spooling.
	problem *handoff.Refusal
	// early: it is the final save of a session that ended without one, with
	// what was accepted last.
	early bool
	// unsure: an attempt got no answer, so it may have taken effect. NotBefore
	// is when the next one may be made at the earliest; holding means that the
	// checkout was put back until then.
	unsure, holding bool
	notBefore       time.Time
	// doubtful: Redis may have lost its memory since the attempt under way was
	// sent, so that its answer may be of before.
	doubtful bool
	// requests to answer when it is done.
	requests []handoff.RequestID
	// refusal answers them instead of a receipt, and late callers afterwards;
	// nil for an orderly end.
	refusal *handoff.Refusal
}

// owed is a snapshot that the database has to take.
type owed struct {
	snapshot *handoff.Snapshot
	as       handoff.StoredAs
	requests []handoff.RequestID
	receipt  *handoff.Receipt
	// waiting for TimerStore after a failure, or spooling because of one;
	// otherwise a Store is under way.
	waiting, spooling bool
	// doubtful: Redis may have lost its memory before the database had it, and
	// somebody may have been granted without it since.
	doubtful bool
	// problem is why the database did not take it, while spooling.
	problem  *handoff.Refusal
	failures int
}

// spooled names an entry of the local spool.
type spooled struct {
	id      handoff.SnapshotID
	version handoff.Version
}

// adopting gathers what a session of an earlier incarnation goes on from.
type adopting struct {
	// confirmed: Redis knows the session; update is what it has of its data.
	confirmed bool
	update    *handoff.Snapshot
	read      read
	failures  int
}

// ended is what is remembered of a session that is over.
type ended struct {
	session handoff.SessionID
	base    map[string][]byte
	tried   uint64
	// receipt repeats the answer of an orderly end, refusal that of any other.
	// Safe: the database has what the receipt speaks of.
	receipt *handoff.Receipt
	safe    bool
	refusal *handoff.Refusal
}

// Idle implements handoff.State.
func (s State) Idle() bool {
	return (s.phase == PhaseAbsent || s.phase == PhaseLost) &&
		s.join == nil && s.ended == nil && len(s.unstored) == 0
}

// Phase returns where the player stands.
func (s State) Phase() Phase { return s.phase }

// Summary implements handoff.State.
func (s State) Summary() handoff.Summary {
	sum := handoff.Summary{
		Player:   s.player,
		Name:     s.name,
		Phase:    s.phase.String(),
		Busy:     s.phase == PhaseClaiming || s.phase == PhaseLoading || s.write != nil || len(s.unstored) > 0,
		Unstored: len(s.unstored),
	}
	if s.session != nil {
		sum.Session = s.sessionID()
		sum.Live = true
		sum.Confirmed = s.session.confirmed
		sum.Leaving = s.leaving()
		sum.Since = s.session.since
		sum.Version = s.session.version
	}
	if s.join != nil {
		sum.Since = s.join.since
	}
	if s.wait != nil {
		sum.Holder = s.wait.holder.Server
	}
	return sum
}

// sessionID is only called while there is a session.
func (s State) sessionID() handoff.SessionID {
	return handoff.SessionID{Player: s.player, Fence: s.session.fence}
}

// leaving reports whether the session is ending or will once the write that is
// under way is done.
func (s State) leaving() bool {
	if s.phase == PhaseCheckingIn || s.phase == PhaseReleasing {
		return true
	}
	for _, event := range s.deferred {
		switch event.(type) {
		case handoff.Quit, handoff.End:
			return true
		}
	}
	return false
}
