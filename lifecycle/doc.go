// Package lifecycle holds the actors around a worker's life: what it must do
// before it serves anybody, what it must keep up while it does, and what it
// must leave behind.
//
//	Lease    says in Redis that the checkouts of this server ID have a living
//	         owner, and that this worker is the one
//	Settle   the gate of rule R1: nothing is granted for a while after anything
//	         that Redis may have lost its memory by
//	Gate     Settle and Lease together: nothing is granted without our lease
//	Recovery replays what an earlier run left on the local disk
//	Sweeper  clears the checkouts that an earlier run of this server left, and
//	         those that others wait for and nobody here knows of
//	Drain    takes the signals to stop, and stops in an order that loses nothing,
//	         or to restart in place, and hands over to the next incarnation
//
// # Order of a life
//
//	Lease.Acquire ---> actors run ---------> signal ---> Drain ---> actors end
//	  waits out or       Lease renews          |   StopJoins, tell the game
//	  refuses an         Settle calls back     |   wait for the final saves
//	  earlier owner      Sweeper sweeps once   |   release what is left idle
//	                                           |   sweep, drop the lease
//
// A restart in place ends otherwise: nothing is released, and the lease is
// marked, so that the next incarnation has it at once and the game can resume
// its sessions there. Whoever starts first with this server ID adopts a marked
// lease, whether it was meant or not: the incarnation that marked it has taken
// its last player by then and is about to end, and the sessions go to whichever
// worker the game attaches to, or are orphans there.
//
// Lease, Settle, Recovery, Sweeper and Drain are actors for oklog/run: Execute works until
// it fails or Interrupt is called, and Interrupt may come before Execute. A run
// group interrupts all its actors together as soon as the first one returns.
// That is why Drain does its whole work before its Execute returns: until then
// the local API, the event watcher and the lease stay up around it.
//
// # What is guaranteed
//
//   - A worker never starts beside a live one of the same server ID, and it
//     changes nothing when it refuses.
//   - Every checkout that is cleared here is compared first, holder and fence:
//     a session that began meanwhile is never hit.
//   - Nothing is cleared by a worker that cannot be sure of its own lease.
//   - A checkout whose write is still under way at the end is left in place
//     (law L5) and named; the next run clears it.
//   - Players are found through server_checkouts; the keyspace is never
//     searched.
//
// # Suspect sessions
//
// When our lease had ended by our own clock and Redis is still the same process,
// others may have taken our sessions over and even have ended them since. So
// what Redis has forgotten of them is lost, not put back (rule R7): Lease.Suspect
// says so from the moment the term is over until the renewal shows that the lease
// never ended, or until every session has been told to verify itself under that
// suspicion. Whether Redis is the same process is known as far as it tells;
// without INFO a long outage looks like a freeze.
//
// # What is not guaranteed
//
// The lease does not exclude: a worker that was frozen may believe in a lease
// that has ended, until it looks at its clock again. Fences exclude. Time is
// counted on this host's monotonic clock from the start of each attempt, less a
// margin of a tenth of the TTL for the difference between this clock and that of
// Redis; the wall clock can only make it less, for the pauses of a whole machine
// that the monotonic clock does not count.
//
// A freeze beyond the lease during which Redis loses its memory as well is seen
// as Redis's loss: the sessions are put back. Then the database's fence is what
// tells that somebody else had the player.
package lifecycle
