// Package events tells when single keys of Redis change.
//
// A Watcher turns keyspace notifications into typed events for whoever waits for
// a key. All watches share one connection; it is subscribed to exactly the
// channels of the keys that somebody waits for, never to a pattern, because every
// pattern of every worker costs Redis time at every write of everybody.
//
// # A hint is only a hint
//
// An event says "look", never what there is to see (law L9). Whoever watches a
// key reads it after Ready and after every further event:
//
//   - Ready: the subscription is confirmed. What was read earlier may be outdated;
//     what changes from now on is notified. It is the first event, once.
//   - Changed: a command touched the key, or it expired. Name is Redis's own word.
//   - Resync: notifications may have been lost; the subscription is confirmed anew.
//   - Poll: the safety poll, at every SafetyPoll, because notifications can be
//     lost in ways that nobody notices: FLUSHALL sends none.
//
// Not guaranteed: that every change makes an event (two may be one Changed each,
// or lost and covered by one Resync), and that a Changed still describes the key
// when it arrives. If no subscription is confirmed for a whole SafetyPoll, Poll
// comes before Ready, so that a wait goes on without notifications too.
//
// # Messages
//
// Listen hears what is published on any channel, through the same connection. Such
// a message is lost when it is published while nobody is subscribed, there is no
// Resync for it, and anybody may have sent it.
//
// # Connection
//
//	connecting -> up -> lost -> connecting ...
//
// A connection that ends, for whatever reason, is replaced after a pause that
// grows with the failures, up to a second. When the new one is up, the functions
// given to OnResync run first, then the keys are subscribed, then each watch gets
// Resync, or Ready if it has had none. go-redis would reconnect by itself as well,
// unseen; the package denies it that, so that one PubSub is one connection and
// nothing confirmed on the old one counts on the new one.
//
// # Proof that notifications arrive
//
// On every new connection the watcher makes sure that notify-keyspace-events has
// K, g, $ and x, adding what is missing and taking nothing away, and then writes
// a probe key and waits for its event. At each safety poll it writes the key
// again: that is the only command while all is well. A missing event means a
// connection that is cut without a word (it is replaced), flags that somebody
// changed (they are added again), or a Redis whose flags are off and that refuses
// CONFIG: then the level is LevelPolling, which the log says once, with the mend,
// and Status and a metric say for as long as it lasts.
package events
