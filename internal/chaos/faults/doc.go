// Package faults breaks things at random, one after the other, and repairs them.
//
// The promise that is tested holds for single faults: what was acknowledged
// survives any one of them, with time to recover before the next. So the faults
// are of three classes. Harmless ones may come at any time, also together with
// others, because they take nothing that is not held twice: a game dies, the
// connection of the subscribers is cut, a clock is wrong. Those of a worker may
// come two at a time, on two servers. Those of what all workers share, Redis and
// the database, come only when every worker is healthy, and only harmless ones
// join them. A worker that is not healthy again in good time after its repair is
// a finding.
package faults
