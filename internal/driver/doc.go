// Package driver turns events into actions: it is the only loop around a
// handoff.Machine, whichever the sync mode.
//
// # Model
//
//	requests  timers  watches  outcomes of operations
//	    |        |       |        |
//	    v        v       v        v            one player
//	  +------------------------------+
//	  | queue -> Step -> actions     |   one event at a time
//	  +------------------------------+
//	     |          |        |      |
//	  reply,     redis     read   store        lanes: first in, first out,
//	  timer,     lane      lane   lane         one operation in flight each
//	  watch, ...    \        |      /
//	                 bounded pools of goroutines, fair among players
//
// A player has an entry in a map while there is something to remember and no
// goroutine of its own. Whoever brings an event steps the machine on its own
// goroutine, unless somebody is stepping this player already; then the event
// is queued and that somebody goes on with it. Watches and the calls that
// concern many players (End, EndAll, VerifyAll, StopJoins) never step on the
// caller's goroutine, so they may be called with foreign locks held.
//
// # Guarantees
//
//   - The events of one player are stepped one at a time, in the order in which
//     they came. The one exception are looks, which are hints: at most one is
//     queued per player, with the strongest cause seen, and it is stepped after
//     everything else that is queued, so that a thousand notifications cost one
//     or two steps.
//   - The actions of one step are taken up in order. Those on Redis, the reads of
//     the database and its writes go to three lanes per player; in each, one
//     operation is in flight at a time and outcomes come back in order. A lane
//     never waits for another lane, and a player waits for others only when all
//     slots of a kind of operation (claims, others on Redis, reads, stores) are
//     taken; slots are given in turn.
//   - No lock is held while a machine steps or a port is called.
//   - Every request is answered once: by the machine, by its context's end, by
//     StopJoins, or by Close.
//   - An entry goes, with its timers and watches, when its machine is idle,
//     nothing is queued and no operation is under way.
//   - A machine that panics loses the one event, no more; see Faults.
//
// # Faults
//
// A panic in Machine.Step is a bug. The state that was passed in is immutable
// and nothing of the new one was acted upon, so the player goes on from the old
// one as if the event had not arrived yet. Every law holds in that situation,
// because an answer that takes forever is something a machine must bear
// anyway: the checkout stays where it is and nothing is released or written.
// What suffers is liveness, of this one player: when the event was a request, it
// is answered with ErrInternal; when it was anything else, perhaps the outcome
// that requests were waiting for, all that wait are. The panic is logged with
// player, event type and stack, and counted. A panic in a port counts as a
// failed operation.
//
// # Settling (rule R1)
//
// The Gate is asked right before a claim is sent, after any wait for a slot. When
// a settle period begins while the claim is under way, its grant stands:
// claims run on connections that are bound to the server process on which the
// worker had settled, so the grant came from a Redis that still knew its fences
// and checkouts, and taking it back would not lower the fence it raised. But
// this session was not live yet when the period's VerifyAll went round, so it is
// verified on its own: the driver first hands the grant to the machine, then
// asks the Gate again, and adds a Verify when the answer is no or VerifyAll was
// called since the claim was sent. For this to close the gap, the Gate must
// begin to say no before VerifyAll is called.
//
// # Not guaranteed
//
// Operations are not cancelled when the machine loses interest; their answers
// carry the attempt they belong to and are ignored. An operation that outlives
// its context keeps its slot until it returns. Nothing is kept across a restart.
package driver
