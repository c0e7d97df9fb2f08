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
//	     |          |        |      |      |
//	  reply,     redis     read   store  spool   lanes: first in, first out,
//	  timer,     lane      lane   lane   lane    one operation in flight each
//	  watch, ...    \        |      |      /
//	                 bounded pools of goroutines, fair among players
//
// A player has an entry in a map while there is something to remember and no
// goroutine of its own. Whoever brings an event steps the machine on its own
// goroutine, unless somebody is stepping this player already; then the event
// is queued and that somebody goes on with it. Watches and the calls that
// concern many players or wait for nothing (End, EndAll, VerifyAll, StopJoins,
// Petition) never step on the caller's goroutine, so they may be called with
// foreign locks held.
//
// # Guarantees
//
//   - The events of one player are stepped one at a time, in the order in which
//     they came. The exceptions are hints. At most one look is queued per player,
//     with the strongest cause seen, and it is stepped after everything else
//     that is queued, so that a thousand notifications cost one or two steps. At
//     most one petition is queued, the one with the highest fence.
//   - The actions of one step are taken up in order. Those on Redis, the reads of
//     the database, its writes and those on the spool go to four lanes per
//     player; in each, one operation is in flight at a time and outcomes come
//     back in order. A lane never waits for another lane, and a player waits for
//     others only when all slots of a kind of operation (claims, others on Redis,
//     reads, stores, spool) are taken; slots are given in turn. So neither a
//     Redis nor a database that hangs keeps a snapshot from the spool.
//   - Redis, the database and the spool get the same bytes of a snapshot, packed
//     once while it is on its way to them.
//   - No lock is held while a machine steps or a port is called.
//   - Every request is answered once: by the machine, by its context's end, by
//     StopJoins, or by Close.
//   - An entry goes, with its timers and watches, when its machine is idle,
//     nothing is queued and no operation is under way.
//   - When Adopt returns, the player's machine has heard of it.
//   - A machine that panics loses the one event, no more; see Faults.
//
// # Faults
//
// A panic in Machine.Step is a bug. The state that was passed in is immutable
// and nothing of the new one was acted upon, so the player goes on from the old
// one as if the event had not arrived yet. Every law holds in that situation,
// because an answer that takes forever is something a machine must bear
// anyway: the checkout stays where it is and nothing is released or written.
// What suffers is liveness, of this one player, and this is done about it:
//
//   - When the event was a request, it is answered with ErrInternal.
//   - When it was the answer to an operation, the machine gets the answer that
//     a failed port would have given, once and in the same place of the order.
//     That too is something it must bear, since it says only that the operation
//     may or may not have taken effect; so it repeats, as after any failure.
//   - When it panics at that as well, or the event was anything else, all
//     requests that wait are answered with ErrInternal, joins being withdrawn.
//
// A panic is logged with player, event type and stack, and counted. A panic in a
// port counts as a failed operation.
//
// # Settling (rule R1)
//
// The Gate is asked right before a claim or a take-over is sent, after any wait
// for a slot. When a settle period begins while it is under way, its grant stands:
// both run on connections that are bound to the server process on which the
// worker had settled, so the grant came from a Redis that still knew its fences
// and checkouts, and taking it back would not lower the fence it raised. But
// this session was not live yet when the period's VerifyAll went round, so it is
// verified on its own: the driver first hands the grant to the machine, then
// asks the Gate again, and adds a Verify when the answer is no or VerifyAll was
// called since the claim was sent. For this to close the gap, the Gate must
// begin to say no before VerifyAll is called.
//
// # Suspicion (rule R7)
//
// Suspects is asked before a machine hears that a snapshot is stored or spooled,
// which may make it answer CURRENT: while the answer is yes, a Doubt comes first.
// Whether sessions are lost is not decided by that, but by the next VerifyAll:
// only then is it known which Redis answers. A VerifyAll with suspect that comes while a claim is under way
// makes the Verify of its grant suspect too. The store makes Resumes strict by
// itself while sessions are suspect, so a machine may be told WriteForgotten by
// one that was not, and must take that as the loss of the session.
//
// # Log
//
// What concerns one player is one line each, at warn when the player changed
// hands without a check-in. What an outage causes (spooled, spool-failed,
// store-retry, delivered-without-database) would come for every player: the
// first note of such a kind is logged at warn and the others at debug, until there
// was none for two minutes. The metrics count all.
//
// # Not guaranteed
//
// Operations are not cancelled when the machine loses interest; their answers
// carry the attempt they belong to and are ignored. An operation that outlives
// its context keeps its slot until it returns. Nothing is kept across a restart.
package driver
