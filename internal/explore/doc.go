// Package explore plays every course of events that a bounded number of faults
// allows, with the real state machine of package lockstep and models of
// everything around it: Redis with its scripts, the database, the spool, the
// games, the worker's lifecycle and the clock. It goes breadth first from a few
// starting points, so what it finds is shown by a shortest trace, and checks the
// laws L1 to L9 of docs/protocol.md on the way.
//
// # What a state is
//
// A World is one moment. Two worlds that differ only in numbers nobody compares
// (the numbers of operations, fences by their distance, times by the date) are
// the same state: they are encoded in a canonical form, and the hash of that form
// is the state's identity. The machine's own fields are encoded by reflection; a
// numeric field that the table of rules does not know stops the program with its
// name, so that a new field can not be overlooked.
//
// # What is bounded
//
// One player, two or three servers. Keys of different players are disjoint and
// scripts touch the keys of one player only, so more players add nothing but
// products of what one shows. Each path has a budget of faults, of delays (an
// answer that arrives after other things have happened), of oddities of the
// game, and of joins and saves per server. Time moves only when nothing that
// happens at once is left to do; operations on Redis therefore take no time,
// unless a fault makes them fail or hang.
//
// # What is checked
//
// In every state: exclusion (L4), accepted writes (L1). At each delivery: that it
// is the newest there is (L2, L3) and that nothing acknowledged is missing (L6).
// At each answer: that CURRENT means two copies (L6, rule R5). From every state:
// that without further faults every join ends and everything comes to rest with
// nothing left behind (L7, L8), and that whoever comes then gets in.
package explore
