package handoff

// Reason is the typed cause of a Refusal. The local API maps each to one code.
type Reason uint8

// The reasons. The code in brackets is the Connect code that the API answers.
const (
	// ReasonHeld: another server still has the player at the deadline
	// (DEADLINE_EXCEEDED).
	ReasonHeld Reason = iota + 1
	// ReasonAlreadyHere: the player has a confirmed session on this server
	// (ALREADY_EXISTS).
	ReasonAlreadyHere
	// ReasonReplaced: a newer Join of the same player took its place (ABORTED).
	ReasonReplaced
	// ReasonCancelled: the wait was cancelled (CANCELED).
	ReasonCancelled
	// ReasonNoSession: no such session is known here (NOT_FOUND).
	ReasonNoSession
	// ReasonSessionLost: another server took over, or the session was ended
	// from outside (FAILED_PRECONDITION).
	ReasonSessionLost
	// ReasonNotConfirmed: the game has not confirmed that it applied the data
	// (FAILED_PRECONDITION).
	ReasonNotConfirmed
	// ReasonApplyRefused: the session ended because the game could not apply
	// the data (FAILED_PRECONDITION).
	ReasonApplyRefused
	// ReasonNotConfirmedInTime: the session was released because the game did
	// not confirm it within game.confirm_timeout (FAILED_PRECONDITION).
	ReasonNotConfirmedInTime
	// ReasonNotAttached: no game server is attached (FAILED_PRECONDITION).
	ReasonNotAttached
	// ReasonSuperseded: a newer capture, or the final one, was accepted before
	// (ABORTED).
	ReasonSuperseded
	// ReasonTooLarge: the snapshot exceeds snapshots.max_size
	// (RESOURCE_EXHAUSTED).
	ReasonTooLarge
	// ReasonUnacceptable: the snapshot breaks a rule about its parts
	// (INVALID_ARGUMENT).
	ReasonUnacceptable
	// ReasonBusy: too many requests of this player are under way
	// (RESOURCE_EXHAUSTED).
	ReasonBusy
	// ReasonRedis: Redis does not answer (UNAVAILABLE).
	ReasonRedis
	// ReasonDatabase: the database does not answer (UNAVAILABLE).
	ReasonDatabase
	// ReasonSettling: the worker waits for other servers to report after an
	// outage (UNAVAILABLE).
	ReasonSettling
	// ReasonDraining: the worker is stopping (UNAVAILABLE).
	ReasonDraining
	// ReasonDamaged: the stored snapshot is damaged; an operator must decide
	// (DATA_LOSS).
	ReasonDamaged
)

var reasons = [...]struct{ name, text string }{
	ReasonHeld:               {"HELD", "another server still has the player checked out"},
	ReasonAlreadyHere:        {"ALREADY_HERE", "the player already has a session on this server"},
	ReasonReplaced:           {"REPLACED", "a newer join of the same player took this one's place"},
	ReasonCancelled:          {"CANCELLED", "the join was cancelled"},
	ReasonNoSession:          {"NO_SESSION", "no such session on this server"},
	ReasonSessionLost:        {"SESSION_LOST", "the session is over: remove the player from the game"},
	ReasonNotConfirmed:       {"NOT_CONFIRMED", "the session is not confirmed: call Confirm after applying the data"},
	ReasonApplyRefused:       {"APPLY_REFUSED", "the session ended because the game could not apply the data"},
	ReasonNotConfirmedInTime: {"NOT_CONFIRMED_IN_TIME", "the session was released because the game did not confirm it within game.confirm_timeout"},
	ReasonNotAttached:        {"NOT_ATTACHED", "no game server is attached: call Attach and keep its stream open"},
	ReasonSuperseded:         {"SUPERSEDED", "a newer or the final capture of this session was accepted before"},
	ReasonTooLarge:           {"TOO_LARGE", "the snapshot is too large"},
	ReasonUnacceptable:       {"UNACCEPTABLE", "the snapshot cannot be stored as it is"},
	ReasonBusy:               {"BUSY", "too many requests of this player are under way"},
	ReasonRedis:              {"REDIS_UNAVAILABLE", "redis does not answer"},
	ReasonDatabase:           {"DATABASE_UNAVAILABLE", "the database does not answer"},
	ReasonSettling:           {"SETTLING", "the worker waits for the other servers to report after a start or an outage"},
	ReasonDraining:           {"DRAINING", "the worker is stopping"},
	ReasonDamaged:            {"DAMAGED", "the stored snapshot is damaged: an operator must decide"},
}

// String returns the reason's stable name, as the API and metrics show it.
func (r Reason) String() string {
	if int(r) >= len(reasons) || reasons[r].name == "" {
		return "INVALID"
	}
	return reasons[r].name
}

// MarshalText makes logs and JSON show the name.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Explain returns one sentence for people, without names.
func (r Reason) Explain() string {
	if int(r) >= len(reasons) || reasons[r].text == "" {
		return "refused for an unnamed reason"
	}
	return reasons[r].text
}
