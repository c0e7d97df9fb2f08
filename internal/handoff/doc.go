// Package handoff is the vocabulary that every part of syncworker shares: who
// a player, a server and a session are, how the versions of a player's data are
// ordered, which events a player's state machine takes and which actions it
// answers with.
//
// The package holds words, not behaviour. It imports the standard library only,
// and everything else in the module may import it; see docs/architecture.md for
// the arrows.
//
// # The two sides of a machine
//
// A sync mode is a [Machine]: a pure function from a state, a time and an
// [Event] to the next state and a list of [Action] values. The driver
// (internal/driver) performs the actions and brings their outcomes back as
// events. A machine never blocks, never reads a clock and never fails: whatever
// can go wrong outside arrives as an event with an error in it.
//
//	game, operator, timer, Redis, database
//	        | Event                  ^ Action
//	        v                        |
//	   driver: one event at a time per player
//	        | Step(state, time, event)
//	        v
//	   Machine (lockstep, delay)
//
// # What is not promised here
//
// The types carry no locks. A value that travels inside an Event or an Action
// is handed over: the sender does not touch it again. Snapshot data maps are
// shared between states and must never be changed in place.
package handoff
