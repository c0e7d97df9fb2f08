// Package localapi serves the worker's own API, syncworker.v1, to the game
// server and the operator on the same host: Connect, gRPC, gRPC-Web and plain
// HTTP with JSON on one listener.
//
// # Model
//
//	connection -> guard -> Connect -> calls -> players, admin -> ports
//
// The guard sees a request before its body is read: it checks the bearer token,
// bounds the number of calls under way and the size and the slowness of the
// body. Connect decodes. The calls interceptor counts, catches panics and turns
// whatever a method returned into a Connect error with an ErrorDetail; it is the
// only place that does. The methods check their input and call the ports: the
// driver, the game link and what operators may see, all declared here.
//
// # What is guaranteed
//
// The Unix socket is never open wider than mode 0660, not even for a moment, is
// there only once it takes connections, and a file that is not a socket is never
// removed. TCP always needs a bearer token, and an address that is not a
// loopback one must be allowed on purpose.
//
// Waiting joins have room of their own: however many wait, a save or a quit
// gets in. A save or a quit that has arrived is carried out also when its caller
// hung up meanwhile. No error tells more than its reason: the cause is in the
// worker's log.
//
// # The game link
//
// An open Attach stream shows that the game lives, and its end that it does not.
// There are no keep-alive messages: between two processes of one host the kernel
// closes the socket of a process that dies, at once and however it dies, and the
// call's context ends with it. A keep-alive would see only one thing more, a game
// that is alive and frozen, and that one must not lose its players for a long
// garbage collection. Over TCP the kernel's keep-alive runs too, which ends a
// link to another host that vanished after about ten seconds.
//
// # What is not guaranteed
//
// There is no TLS: an address that is not loopback shows tokens and players'
// data to the network. A client that half-closes its HTTP/1.1 connection after
// the request is taken for one that hung up, as net/http does.
package localapi
