package handoff

import "time"

// Action is something that a machine wants done. The driver performs the
// actions of one step in order; those that talk to Redis run one at a time per
// player, as do reads and as do writes of the database, so that a slow database
// never holds up a handoff. The set is closed.
type Action interface{ isAction() }

// Actions on Redis. Attempt and Op come back in the answer, so that a machine
// can tell an answer it still wants from one it has given up on.
type (
	// Claim runs the claim script; Claimed answers it.
	Claim struct {
		Attempt uint64
		// Enlist adds the player to server_checkouts first, so that a crash
		// after the grant leaves a trace to clean up by.
		Enlist bool
		// AllowUnknown lets the script create a fence where there is none.
		AllowUnknown bool
		// Floor is a fence that the granted one must exceed: the database's
		// newest, when Redis may have forgotten. Zero for none.
		Floor Fence
		// Over makes it a take-over: the player is taken from exactly this
		// holder at exactly this fence. The zero value means a plain claim.
		Over Holder
	}
	// CheckLease reads this worker's own lease; LeaseChecked answers it.
	CheckLease struct{ Attempt uint64 }
	// ReadLease reads another server's lease; LeaseRead answers it.
	ReadLease struct {
		Attempt uint64
		Server  ServerID
	}
	// Update stores the snapshot as data_update; Written answers it.
	Update struct {
		Op       uint64
		Snapshot *Snapshot
	}
	// CheckIn is Update and the removal of the checkout in one step; Written
	// answers it.
	CheckIn struct {
		Op       uint64
		Snapshot *Snapshot
	}
	// Release removes the checkout of the given fence, data untouched; Written
	// answers it.
	Release struct {
		Op    uint64
		Fence Fence
	}
	// Resume puts checkout and fence back where Redis forgot them; Written
	// answers it.
	Resume struct {
		Op    uint64
		Fence Fence
		// Strict puts nothing back: the answer is WriteForgotten when the
		// fence or the checkout is not there. It is for sessions that others
		// may have taken over before Redis forgot (rule R7), or that may have
		// ended before their worker did.
		Strict bool
		// Load asks for data_update with the answer.
		Load bool
	}
	// Sweep removes a checkout that carries this server's ID whatever its
	// fence: for a claim whose answer was lost. Written answers it.
	Sweep struct{ Op uint64 }
	// Expire lets data_update of exactly this version run out after
	// snapshots.update_ttl, since the database has it. Nobody waits for it.
	Expire struct{ Version Version }
	// Delist takes the player off server_checkouts. Nobody waits for it.
	Delist struct{}
	// Petition asks the worker that holds the player to hurry, or, when the
	// fence is above its session's, to look whether it still holds the player.
	// It is a hint and may get lost; nobody waits for it.
	Petition struct {
		To    ServerID
		Fence Fence
	}
)

// Actions on the local spool.
type (
	// Spool writes a snapshot to the local disk; Spooled answers it.
	Spool struct{ Entry SpoolEntry }
	// Unspool removes the entry of a snapshot that is safe elsewhere. Nobody
	// waits for it.
	Unspool struct{ ID SnapshotID }
)

// Actions on the database.
type (
	// ReadNewest reads the newest current version; NewestRead answers it.
	ReadNewest struct{ Attempt uint64 }
	// Store writes one snapshot; Stored answers it.
	Store struct {
		Snapshot *Snapshot
		As       StoredAs
	}
)

// Actions on the surroundings.
type (
	// Watch asks for Look events about a key until Unwatch. A Watch of a kind
	// of key that is watched already replaces it.
	Watch struct {
		Key Key
		// Server is whose lease is meant (KeyLease); empty otherwise.
		Server ServerID
	}
	// Unwatch ends Watch.
	Unwatch struct{ Key Key }
	// SetTimer sets or moves one of the player's timers.
	SetTimer struct {
		Timer Timer
		At    time.Time
	}
	// StopTimer stops one; a TimerFired on its way may still arrive.
	StopTimer struct{ Timer Timer }
	// Reply answers a request, once.
	Reply struct {
		Request RequestID
		Result  Result
	}
	// TellLost tells the game that a session is over and its player must be
	// removed.
	TellLost struct {
		Session   SessionID
		NewHolder ServerID
		Reason    Reason
	}
	// AskCheckIn tells the game that another server waits for the player of
	// this session: save and quit, if the player is not really here.
	AskCheckIn struct {
		Session SessionID
		By      ServerID
	}
	// Note reports something that operators count.
	Note struct {
		Kind NoteKind
		// Detail is for the log; may be empty.
		Detail string
	}
)

// Key is one of a player's keys in Redis that can be watched.
type Key uint8

// The keys.
const (
	// KeyCheckout is data_checkout.
	KeyCheckout Key = iota + 1
	// KeyUpdate is data_update.
	KeyUpdate
	// KeySwitch is server_switch.
	KeySwitch
	// KeyLease is the server_lease of a server that holds the player.
	KeyLease
)

// NoteKind names what is counted.
type NoteKind uint8

// The kinds of Note.
const (
	// NoteWithoutDatabase: a data_update was delivered unchecked, because the
	// database could not be read in time (the exception of law L2).
	NoteWithoutDatabase NoteKind = iota + 1
	// NoteDatabaseNewer: the database had a newer version than Redis (rule R4).
	NoteDatabaseNewer
	// NoteForgotten: Redis had forgotten a live session; it was resumed.
	NoteForgotten
	// NoteFenced: a write was refused because of a higher fence.
	NoteFenced
	// NoteSuperseded: a capture was refused because of its age.
	NoteSuperseded
	// NoteApplyRefused: the game could not apply what it was given.
	NoteApplyRefused
	// NoteNotConfirmed: the game never said whether it applied the data.
	NoteNotConfirmed
	// NoteStoreRetry: a database write failed and will be repeated.
	NoteStoreRetry
	// NoteClaimLost: a join was given up while the answer to its claim was
	// missing; the checkout is swept.
	NoteClaimLost
	// NoteSafetyPoll: a safety poll found what no notification had told.
	NoteSafetyPoll
	// NoteTakenOver: a player was taken from a server whose lease had ended.
	NoteTakenOver
	// NoteStolen: a player was taken from a live server at the end of the wait
	// (sync.on_timeout = steal).
	NoteStolen
	// NoteSuspect: a session whose lease had ended was given up, because Redis
	// has forgotten whether somebody took it over (rule R7).
	NoteSuspect
	// NoteSpooled: a snapshot was written to the local spool.
	NoteSpooled
	// NoteSpoolFailed: the local spool did not take a snapshot.
	NoteSpoolFailed
)

// String returns the kind as logs and metrics show it.
func (k NoteKind) String() string {
	names := [...]string{
		NoteWithoutDatabase: "delivered-without-database",
		NoteDatabaseNewer:   "database-newer",
		NoteForgotten:       "forgotten",
		NoteFenced:          "fenced",
		NoteSuperseded:      "superseded",
		NoteApplyRefused:    "apply-refused",
		NoteNotConfirmed:    "not-confirmed",
		NoteStoreRetry:      "store-retry",
		NoteClaimLost:       "claim-lost",
		NoteSafetyPoll:      "safety-poll",
		NoteTakenOver:       "taken-over",
		NoteStolen:          "stolen",
		NoteSuspect:         "suspect",
		NoteSpooled:         "spooled",
		NoteSpoolFailed:     "spool-failed",
	}
	if int(k) >= len(names) || names[k] == "" {
		return "invalid"
	}
	return names[k]
}

// Result is what a Reply carries: *Grant for Join, *Receipt for Save and Quit,
// Accepted for Confirm, *Refusal for any of them.
type Result interface{ isResult() }

// Source says where a delivered snapshot came from.
type Source uint8

// The sources.
const (
	// SourceNew: the player is in neither store; there is no snapshot.
	SourceNew Source = iota + 1
	// SourceUpdate: data_update in Redis.
	SourceUpdate
	// SourceDatabase: the database.
	SourceDatabase
)

// String returns the source as the API names it.
func (s Source) String() string {
	switch s {
	case SourceNew:
		return "NEW"
	case SourceUpdate:
		return "UPDATE"
	case SourceDatabase:
		return "DATABASE"
	default:
		return "invalid"
	}
}

// Grant answers a Join.
type Grant struct {
	Session SessionID
	Source  Source
	// Snapshot is nil for SourceNew. Pinned, ID and Version are of the
	// snapshot as stored.
	Snapshot *Snapshot
	// Waited is the time from the request to the grant.
	Waited time.Duration
	// HandedOverBy is the server that this join waited for; empty when it
	// waited for none.
	HandedOverBy ServerID
}

// SaveState says how safe an accepted capture is.
type SaveState uint8

// The states of a Receipt.
const (
	// StateCurrent: the capture is the player's current state and is durable.
	StateCurrent SaveState = iota + 1
	// StateHistory: kept as history, as asked for.
	StateHistory
	// StateProvisional: on local disk only. The capture becomes current when it
	// is replayed, unless another server took the player over meanwhile; then
	// it is kept as a conflict and the game is told.
	StateProvisional
)

// Receipt answers Save and Quit.
type Receipt struct {
	// Snapshot is zero when Quit carried no capture.
	Snapshot SnapshotID
	Version  Version
	State    SaveState
}

// Accepted answers Confirm.
type Accepted struct{}

// Refusal says why a request was not granted. It is an error.
type Refusal struct {
	Reason Reason
	// Holder is the server in the way; empty when there is none.
	Holder ServerID
	// RetryAfter is when trying again may help; zero when it will not.
	RetryAfter time.Duration
	// Err is the cause, where there is one.
	Err error
}

// Error describes the refusal for logs and callers.
func (r *Refusal) Error() string {
	text := r.Reason.Explain()
	if r.Holder != "" {
		text += " (holder: " + string(r.Holder) + ")"
	}
	if r.Err != nil {
		text += ": " + r.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

func (*Grant) isResult()   {}
func (*Receipt) isResult() {}
func (Accepted) isResult() {}
func (*Refusal) isResult() {}

func (Claim) isAction()      {}
func (CheckLease) isAction() {}
func (ReadLease) isAction()  {}
func (Petition) isAction()   {}
func (Spool) isAction()      {}
func (Unspool) isAction()    {}
func (AskCheckIn) isAction() {}
func (Update) isAction()     {}
func (CheckIn) isAction()    {}
func (Release) isAction()    {}
func (Resume) isAction()     {}
func (Sweep) isAction()      {}
func (Expire) isAction()     {}
func (Delist) isAction()     {}
func (ReadNewest) isAction() {}
func (Store) isAction()      {}
func (Watch) isAction()      {}
func (Unwatch) isAction()    {}
func (SetTimer) isAction()   {}
func (StopTimer) isAction()  {}
func (Reply) isAction()      {}
func (TellLost) isAction()   {}
func (Note) isAction()       {}
