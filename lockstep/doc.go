// Package lockstep is the LOCKSTEP mode: the state machine that hands one
// player's data from server to server, one server at a time.
//
// # The model
//
// A server checks a player out before it touches the player's data, and checks
// the player in with the final data when the player leaves. The checkout is a
// key in Redis; the scripts behind Claim, Update, CheckIn and their like compare
// before they write. Every grant raises the player's fence, and a write is taken
// only from the session that holds the highest one.
//
//	          Join                          held, settling, no answer
//	absent ----------> claiming <----------------------------> waiting
//	  ^                   | granted              look, timer      |
//	  |                   v                                       | cancel,
//	  |                loading  <- database                       | deadline
//	  |                   |                                       v
//	  |                   v          verify                    absent
//	  |               delivered <-----------> verifying
//	  |                   | Confirm                ^
//	  |                   v           verify       |
//	  |                present <-------------------'
//	  |                 |   ^ |
//	  |            Save |   | | Quit with data
//	  |                 v   | v
//	  |              saving | checking in ---------.
//	  |                     |                      |
//	  '---- releasing <-----'-- Quit without data, | done
//	  ^      cancel, refused apply, End            |
//	  '--------------------------------------------'
//	any session --- fenced, conflict, forgotten while suspect ---> lost
//	absent -------- Adopt: the game of an earlier incarnation plays on ---> verifying
//
// A join that waits reads the holder's lease. While it is there, the join looks
// again at its end, and asks the holder to hurry (a petition). Once it is gone,
// and our own is not, the player is taken over from exactly that holder at
// exactly that fence. With Config.Steal the same is done at the join's deadline
// although the holder lives.
//
// A save that Redis gives no answer to goes to the local disk and is repeated
// until Redis answers; the game hears PROVISIONAL. So does one that the database
// does not take, but Redis has: then the game hears CURRENT. Entries on disk are
// removed when the database has them or a newer version of the same session.
//
// A grant is given back, and the join starts anew, when Redis may have forgotten
// it before it was delivered. A join that meets an ending session of the same
// server waits for its end. A capture that comes too late is refused and kept as
// history or as a conflict. Snapshots that Redis has taken are owed to the
// database; the game hears CURRENT when both have it.
//
// # What the machine guarantees
//
// Given scripts that do what their headers say: at most one live session per
// player (law L4), saves accepted from that session only and none after its
// final one (L1), a join delivers the newest accepted version of Redis and the
// database together (L2), no error is ever taken for absence (L3), the checkout
// is removed only after the data it protects is stored (L5), and every join ends
// at its deadline at the latest (L7). After any sequence of calls nothing stays
// behind but what is owed to the database (L8).
//
// # What it does not guarantee
//
// What is on disk as PROVISIONAL and another server has taken over meanwhile is
// kept as a conflict, for people. When the disk fails as well, the save is
// refused and the game has to repeat it. A claim whose answer was lost and that
// Redis performs only after it was swept leaves a checkout without a session,
// until the player's next join on this server, its next start, or a petition.
package lockstep
