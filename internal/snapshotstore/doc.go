// Package snapshotstore keeps snapshots in a database: each player's current
// state, and as much of the history as the operator asked for.
//
// The database is the second fence behind Redis. It holds what must survive
// Redis, so it is also what a join compares data_update with (rule R4).
//
// # What a row is
//
// A row holds the packed bytes exactly as they were handed in and, beside them,
// the columns that listing, pinning and pruning need. Packed bytes are decoded
// only when a snapshot is read to be used. Each row is stored in one role:
//
//	current   may be the player's state; the newest of these is what a join gets
//	history   a backup or a superseded capture; never chosen as state (T25)
//	conflict  refused because another session held a higher fence (rule R6)
//
// The newest version is the one with the highest (fence, sequence) among the
// rows stored as current; between equal versions, the row that arrived last. No
// clock takes part (T29).
//
// # Guarantees
//
//   - Absent is not error (law L3): handoff.ErrNoSnapshot is returned only when
//     a query succeeded and found no row. A closed database, a cancelled context,
//     a corrupt file, a file that was moved away under the worker: each is
//     another error.
//   - Rule R6: a snapshot is not stored as current when a row stored as current
//     has a higher fence. It is then kept as conflict, and Insert says so.
//   - Insert is one transaction, and repeating it is safe: a snapshot ID that is
//     there already is answered as the first time and changes nothing.
//   - Acknowledged is durable (law L6): once Insert returned, the row survives a
//     crash of the process and of the operating system. SQLite runs in WAL mode
//     with synchronous=FULL, so every commit waits for fsync. Hardware that
//     reports fsync before it happened voids this.
//   - Stored bytes that cannot be decoded, or that do not belong to the row they
//     lie in, are an error that wraps handoff.ErrDamaged. The row stays as it is,
//     and no older version is delivered instead.
//
// When Insert returns an error other than one about its arguments, the row may
// or may not be there; repeat the call to find out.
//
// # Which rows are kept
//
// Pruning happens inside the transaction that inserts, for the player whose row
// is inserted. Config.Keep is K, Config.BackupFrequency is F:
//
//  1. Pinned rows are never removed and never counted.
//  2. The newest current row is never removed.
//  3. If F > 0, time is divided into periods of length F, counted from the Unix
//     epoch. Of the unpinned rows with one role (current or history) that were
//     created in one period, the one with the highest version is kept.
//  4. Of what rules 1 to 3 leave, current and history together, the K highest
//     versions are kept, the newest current row counted first.
//  5. Of the unpinned conflict rows, the K that arrived last are kept.
//
// So ten hours of continuous play with F = 4h leave the last state of each
// period, three or four rows, and not a single one that each save replaced
// (HuskSync's sliding window does that), and the state of the last logout of
// yesterday survives the first save of today. Rules 3 and 4 depend only on which
// snapshots were inserted, not on the order in which concurrent savers came
// (T28). A period is chosen by the creation time, which is a wall clock; a wrong
// clock can therefore keep a row more or a row less of history, but it never
// decides which version is newest. A row that arrives late may be pruned by the
// very transaction that inserted it, when a newer one of its period is there.
//
// # The breaker
//
// A Breaker stands in front of a store that may be away: after some failures, or
// answers out of time, calls fail at once instead of waiting again and again, but
// for one a second that finds out whether the database is back. Reads and writes
// fail apart.
//
// # Releases
//
// Beside the snapshots the database keeps what operators did by hand: which
// player was taken from which server, when, by whom and why. Nothing is ever
// removed from that, and nothing depends on it.
//
// # Databases
//
// SQLite, through modernc.org/sqlite and without cgo, is embedded. Several
// workers on one host may share its file: writers queue (BEGIN IMMEDIATE, within
// Config.BusyTimeout), readers never wait for them. WAL needs shared memory, so
// the file must not lie on a network file system. Besides the file itself there
// are <file>-wal and <file>-shm; they belong to it and must not be deleted, moved
// or copied apart from it. Pruned rows leave free pages that later rows fill; the
// file does not shrink by itself.
//
// The file is made with the permissions that the process's umask leaves. No other
// code of the process may open it: on most systems, closing any descriptor of a
// file drops all locks that the process holds on it, SQLite's as well.
//
// Workers that share a file should share the settings of retention, too: each
// prunes by its own, the players whose saves it stores.
//
// The schema is raised when a worker opens the file, in one transaction per
// step, so that workers may start at the same moment. A file with a newer schema
// than the program's is refused.
//
// The package storetest holds the tests that every database must pass.
package snapshotstore
