// Package chaos judges what game servers saw while workers, Redis, the database
// and the network failed under them.
//
// It knows nothing of the program that is judged but its promises: it reads a
// history, which is a list of calls with the time at which each began and ended
// and what was answered, and says whether a correct system could have answered
// so. The calls are made and recorded by package play, the faults by package
// stage; `make chaos` runs them all.
//
// # What is judged
//
// The register. A player's data is a register. A save or quit that was answered
// CURRENT has taken effect, at one moment between its first attempt and its
// answer. One that was answered otherwise, or not at all, has taken effect once
// or not at all. A join that delivers data opens a session and reads the
// register. Only the session that was opened last can write, and its captures
// take effect in the order in which they were captured. Whether such an order of
// moments exists is decided for every player by porcupine, a linearizability
// checker. A snapshot answered PROVISIONAL counts as one of unknown outcome: it
// becomes current unless another server takes the player over first.
//
// Versions. What a join delivers is never older than what was answered CURRENT,
// or delivered, before the join began. Every capture answered CURRENT has a
// version of its own, under the fence of its session.
//
// The data. What is delivered is, byte by byte, what some capture of this player
// held, keys that the capture left to be carried forward included.
//
// Exclusion. Once a join has delivered a player's data, no capture of an earlier
// session that is handed in after that is answered CURRENT.
//
// Losses. A worker that lives and reaches Redis keeps its sessions, whatever else
// happens: no session is called lost on a server whose game and worker nothing
// was done to.
//
// Answers. A worker that lives answers every call, if only with a refusal.
//
// Tokens. Every player starts with some tokens. They change hands in trades
// between two players on one game server. In the end each token is held by
// exactly one player.
//
// # When a trade is broken
//
// A trade changes two players at one moment in the memory of one game, but it is
// stored as two captures, and no worker promises to take both or none: that is
// the atomicity of the game, which no handoff can give back to it after a crash.
// So the games do what a careful game does. A player in a trade does not trade
// again until both players' captures that include the trade are answered
// CURRENT, or a side's session has ended. And a trade is judged by what the next
// join of each side delivers: a side holds if that is a capture that includes the
// trade, else it was rolled back. A side may be rolled back only if none of its
// captures that include the trade was answered CURRENT; the register sees to
// that. If both sides hold, or both were rolled back, the trade's tokens are
// judged as all others. If one holds and the other was rolled back, the crash has
// broken the trade: its tokens are left out from then on, and counted as left
// out. A trade of which both sides were answered CURRENT is never left out.
package chaos
