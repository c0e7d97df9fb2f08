// Package keyspace is the grammar of everything that syncworker names in Redis:
// it builds and parses every key and every notification channel, and nothing
// else in the module puts one together by hand.
//
// # Keys
//
//	<namespace>:<cluster>:<type>:{<player uuid>}     keys of one player
//	<namespace>:<cluster>:<type>:<server id>         keys of one server
//
//	syncworker:main:data_checkout:{11111111-2222-3333-4444-555555555555}
//	syncworker:main:server_lease:survival-1
//
// All of it is lower case. The braces around the uuid are the hash tag of Redis
// Cluster: they put all keys of one player into one slot, which is what lets
// one script touch several of them. Names come from the alphabet of
// handoff.ParseServerID, which has neither colons nor braces, so a key parses
// in exactly one way and no name can reach into another player's slot.
//
// # Channels
//
//	__keyspace@<db>__:<key>
//
// Redis publishes there what happened to the key; the number is the database.
//
//	<namespace>:<cluster>:petition:<server id>
//
// Workers publish there that they wait for a player whom this server holds. A
// channel belongs to no database: clusters that share a Redis differ in their
// namespace or cluster ID, not in the number of the database alone.
package keyspace
