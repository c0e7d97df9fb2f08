// Package redisstore moves players between servers in Redis. Every transition
// is one Lua script (lua/*.lua), one round trip, on the keys of one player
// only; this package runs them and turns their answers into the events of
// package handoff.
//
// # What a transition promises
//
//   - It happens wholly or not at all: a script reads all it needs before it
//     writes.
//   - It compares before it writes. Nothing is overwritten or deleted because
//     of what the worker believes; only because of what Redis says at that
//     moment.
//   - It bears repetition. The same call twice leaves what the call once leaves
//     (a claim: with a second, higher fence), so a call whose answer was lost
//     can be made again, by the client library or by the machine.
//   - An error is never an answer. Whatever is not the script's own word is
//     ClaimFailed or WriteFailed with the cause, and then the call may or may
//     not have taken effect (law L3).
//   - It is not performed late where that does harm. TCP delivers after an
//     outage what the worker has long given up and repeated, and more has
//     happened since. So Claim, Resume and Sweep carry the time of Redis until
//     which their answer is awaited; later they change nothing, and the outcome
//     is ClaimFailed or WriteFailed with ErrExpired. The other scripts compare
//     a fence, a version or a whole value, and do no such harm.
//
// # The answers
//
// F is the stored fence and H the checkout, "-" is an absent key; "ours" is the
// caller's server ID or its session's fence f. Any means any.
//
// Claim (a: AllowUnknown):
//
//	F      H        answer
//	-      any      unknown, unless a; nothing changed
//	any    other    held, with H and F (0 for an absent fence)
//	any    - ours   granted: F = max(F+1, fence in data_update + 1, floor + 1,
//	                clock of Redis in microseconds), H = ours, data_update along
//
// Update and CheckIn of version (f, s); D is the version of data_update:
//
//	F      H        D            Update        CheckIn
//	> f    any      = (f, s)     fenced        done: it was, before
//	> f    any      other        fenced        fenced
//	any    any      fence > f    fenced        fenced
//	- < f  any      not newer    forgotten     forgotten
//	= f    other    not newer    fenced        fenced
//	= f    - ours   (f, > s)     superseded    superseded
//	= f    -        = (f, s)     forgotten     done: it was, before
//	= f    -        other        forgotten     forgotten
//	= f    ours     older, same  done          done, H = -
//	= f    ours     no snapshot  done; the value is moved to data_quarantine
//
// Release, Resume, Sweep (which compares H alone):
//
//	F      H        Release      Resume                      Sweep
//	> f    any      fenced       fenced                      if H is ours: H = -
//	- < f  any      forgotten    done: F = f, H = ours       (always done)
//	                             strict: forgotten
//	= f    ours     done, H = -  done
//	= f    -        done         done: H = ours
//	                             strict: forgotten
//	= f    other    fenced       fenced
//
// Resume is also fenced when data_update carries a fence above f, strict or not.
// When it is done it brings data_update along, if asked to.
//
// Free (operators), with the observed holder h and fence f:
//
//	F      H        answer
//	= f    h or -   done: F raised, H = -
//	> f    -        done: it was, before, or others came and went
//	any    any      fenced, with H and F: it is not as observed any more
//
// Claim over an observed holder h and fence f:
//
//	F      H        answer
//	= f -  h        taken: as granted; an absent fence was observed as 0
//	any    any      as a claim without AllowUnknown
//
// It also says granted where h is ours, and where it is repeated because its
// answer was lost: the checkout is ours by then, and under a fence of its own.
//
// Lease (L: its value; v: ours; w: a new one of ours):
//
//	L      Acquire v      Renew v                Swap v for w           Drop v
//	-      won: L = v     missing                missing                done
//	v      won, longer    renewed                renewed: L = w         done: L = -
//	w      taken          foreign                renewed: before        done
//	other  taken          foreign                foreign                done
//
// Redis removes a key that has run out when a command touches it, however late
// the notification about it comes. So whoever reads a lease after its time finds
// it absent.
//
// # Why data_update counts as a fence
//
// A fence is granted before anything is written under it, so a snapshot proves
// that its fence was granted, even if data_fence was evicted, deleted by hand,
// or put back by an older session since. Without that a session that lost its
// player could come back through such a gap and save over its successor.
//
// # Connections
//
// Open makes two clients. Claims have one of their own, whose connections do
// not come up on a Redis that the worker has not settled on; see Identity.
//
// # Petitions
//
// A petition is a message on the channel of the server that holds a player:
//
//	<uuid> <highest fence seen> <server that waits>
//
// It is a hint: it gets lost when nobody listens, and anybody may have sent it.
//
// # What is not promised
//
// Redis replicates asynchronously: a failover may undo what was answered done.
// The fences, the resume script, the settle period (rule R1) and the database
// make up for it.
//
// A claim, resume or sweep whose connection broke at once, before the client's
// timeout, may be performed until that timeout has passed, two seconds at most,
// also after its repetition. Where the worker may not ask Redis for its time,
// which is logged, or when the clock of Redis went back and was not read since,
// it may be performed later.
//
// The list of players (server_checkouts) lives in another slot than the
// players. On a single server it is written in the same round trip as the
// claim, on a cluster in one before; it may name players who are not held,
// never the other way round: Delist leaves an entry whose checkout is ours.
package redisstore
