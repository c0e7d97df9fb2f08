// Package lifecycle holds the actors around a worker's life: what it must do
// before it serves anybody, what it must keep up while it does, and what it
// must leave behind.
//
//	Lease    says in Redis that the checkouts of this server ID have a living
//	         owner, and that this worker is the one
//	Settle   the gate of rule R1: nothing is granted for a while after anything
//	         that Redis may have lost its memory by
//	Sweeper  clears the checkouts that an earlier run of this server left
//	Drain    takes the signal to stop, and stops in an order that loses nothing
//
// # Order of a life
//
//	Lease.Acquire ---> actors run ---------> signal ---> Drain ---> actors end
//	  waits out or       Lease renews          |   StopJoins, tell the game
//	  refuses an         Settle calls back     |   wait for the final saves
//	  earlier owner      Sweeper sweeps once   |   release what is left idle
//	                                           |   sweep, drop the lease
//
// Lease, Settle, Sweeper and Drain are actors for oklog/run: Execute works until
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
// # What is not guaranteed
//
// The lease does not exclude: a worker that was frozen may believe in a lease
// that has ended, until its next renewal. Fences exclude. Time is counted on
// this host's monotonic clock from the start of each attempt, less a margin of
// a tenth of the TTL for the difference between this clock and that of Redis.
package lifecycle
