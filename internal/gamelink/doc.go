// Package gamelink keeps the link between a worker and its game server: the
// stream that a game opens with Attach and holds open for as long as it runs.
// The link shows that the game lives, and it carries what the worker has to
// tell: losses, the end of the worker, and that another server waits for a
// player.
//
// # Model
//
// A game is one run of one game server process, named by the boot id that it
// chooses at its start. A worker serves one game at a time.
//
//	           Attach                      stream breaks
//	no game ----------> attached (stream) ---------------> in grace
//	   ^                   ^      |   ^                      |   |
//	   |                   |      |   +--- Attach, same boot +   |
//	   |                   +------+                              |
//	   |       Attach, same boot: the newer stream replaces      |
//	   |                                                         |
//	   +------------- game.grace passes: sessions end -----------+
//
// Attach with another boot id ends the old game from any of these states: its
// stream ends, then all its sessions, and only then is the new game announced.
//
// # What a game must do
//
// After every Attach it names in resume the sessions that it believes to have.
// The answer sorts them: resumed ones go on, lost ones are over and their
// players must be removed. A session that lives here and is not named stays as
// it is: the game process is the same one, and it may have left out a session
// whose Join it is still handling. Sessions of another boot, or of a link whose
// grace has passed, are never resumed.
//
// The first game that a worker sees may name sessions that it had on an earlier
// run of the worker: the worker crashed, or was restarted in place, and the game
// played on. These are adopted before the game is announced, so that nobody
// takes them for orphans, and Attach waits for a bounded time until Redis has
// confirmed them. What is undecided then counts as resumed, and is lost later if
// it must be.
//
// # What is guaranteed
//
// A session loss is told to the game at least once, as an event or in the
// answer of the next Attach of the same boot id. A reader too slow for its
// stream's buffer loses the stream, never an event: what was left unread is in
// the next answer. What was read from the stream and then lost on its way to
// the game is not known here; a game that names its sessions learns it anyway.
//
// # What is not guaranteed
//
// A loss may be told twice, and the loss of a session may be told that the game
// has ended meanwhile. That another server waits is a hint, and dropped where
// it finds no stream or little room. No more than [MaxKept] losses are kept for a game that is
// away; beyond that only naming its sessions tells it.
package gamelink
