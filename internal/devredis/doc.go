// Package devredis is a Redis server inside the process, for development and
// tests: nothing to install, keyspace notifications included.
//
// The commands and Lua scripts are those of miniredis. Around it, this package
// adds what a worker depends on and miniredis lacks:
//
//   - keyspace notifications, off until notify-keyspace-events says otherwise,
//     as in Redis: strings, sets, hashes, generic commands and expiry, also for
//     commands inside scripts and transactions, per database;
//   - expiry by the clock: a key that has run out is removed when a command
//     touches it, else by a cycle every 100 ms, and raises "expired" then;
//   - pub/sub with an output buffer per connection, so that a subscriber that
//     does not read holds up nobody and is cut off at 32 MiB, as in Redis;
//   - CONFIG, INFO with a run id and a replication id, CLIENT KILL;
//   - faults on demand: a restart, lost connections, silent connections, a frozen
//     server, one that loads its data, lost answers.
//
// A Server is reached over TCP or, without any socket, through Dialer; the
// latter works inside a testing/synctest bubble, where all of its time is the
// bubble's.
//
// # How it stays cheap
//
// Every command, also inside a script, is looked up in a table that names its
// keys; only these keys are inspected, before and after. Deadlines are kept in a
// heap. The cost of a command does not depend on the number of keys.
//
// miniredis counts TTLs down by walking through all keys. Its clock is therefore
// stopped: relative expiry times are handed to it as absolute ones, and keys
// that are due are deleted from outside.
//
// # What it is not
//
// Nothing is persistent, replicated or clustered. Lists, sorted sets, geo and
// HyperLogLog commands run but raise no notifications of their own. Commands
// that would give wrong answers under the stopped clock, or would block the one
// thread, are refused: streams, blocking pops, TTLs of hash fields, SWAPDB,
// MOVE, COPY, DUMP, RESTORE, OBJECT and WAIT. Arity errors inside MULTI show at
// EXEC, and odd corners of miniredis remain, such as GETEX of a set. The package's
// tests run the same scenarios, and random commands, against redis-server and
// compare answers and notifications.
package devredis
