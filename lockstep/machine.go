package lockstep

import (
	"errors"
	"fmt"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Defaults of Config.
const (
	DefaultSettle         = 4 * time.Second
	DefaultReadTimeout    = 250 * time.Millisecond
	DefaultConfirmTimeout = time.Minute
	DefaultRemember       = time.Minute
)

// Bounds that keep one player's state small whatever the callers do.
const (
	// maxUnstored snapshots may be owed to the database; more are refused.
	maxUnstored = 16
	// maxDeferred requests may wait for one write; more are refused.
	maxDeferred = 16
	// maxResumes bounds resume-and-repeat, so that a Redis which forgets over
	// and over does not keep one write going for ever.
	maxResumes = 3
)

// Pace of repetition: doubled at each failure, up to the ceiling.
const (
	firstRetry = 200 * time.Millisecond
	lastRetry  = 5 * time.Second
	// lastStoreRetry is larger: a database that is away comes back slowly.
	lastStoreRetry = 30 * time.Second
	// leaseMargin is how long after the end of a lease it is looked at again.
	leaseMargin = 10 * time.Millisecond
	// petitionPause is the least time between two petitions of one join.
	petitionPause = time.Second
	// stealTime is what a join may take beyond its deadline to steal.
	stealTime = 5 * time.Second
)

// ErrConfig is returned by New for values that cannot work.
var ErrConfig = errors.New("lockstep: impossible configuration")

// Config holds what the machine must know of the worker around it.
type Config struct {
	// Server is this worker's server ID; required.
	Server handoff.ServerID
	// Settle is sync.settle (rule R2): how long a player whom Redis has
	// forgotten, but the database knows, is left to a possible holder. Zero
	// means DefaultSettle.
	Settle time.Duration
	// ReadTimeout is database.read_timeout: how long a join that has a
	// data_update waits for the database to compare it with. One that has none
	// waits until its deadline. Zero means DefaultReadTimeout.
	ReadTimeout time.Duration
	// ConfirmTimeout is how long a delivered session may stay unconfirmed.
	// Zero means DefaultConfirmTimeout.
	ConfirmTimeout time.Duration
	// Remember is how long an ended session is remembered for repeated and
	// late calls. Zero means DefaultRemember.
	Remember time.Duration
	// Petitions is sync.lockstep.petitions: a join that waits asks the holder
	// to hurry.
	Petitions bool
	// Steal is sync.on_timeout = "steal": a join whose wait is over takes the
	// player from a holder that lives.
	Steal bool
}

// Machine is the LOCKSTEP mode. It implements handoff.Machine and has no state
// of its own.
type Machine struct{ config Config }

var (
	_ handoff.Machine = (*Machine)(nil)
	_ handoff.State   = State{}
)

// New returns a machine, or ErrConfig.
func New(config Config) (*Machine, error) {
	if config.Server == "" {
		return nil, fmt.Errorf("%w: Server is empty", ErrConfig)
	}
	for _, field := range []struct {
		name  string
		value *time.Duration
		unset time.Duration
	}{
		{"Settle", &config.Settle, DefaultSettle},
		{"ReadTimeout", &config.ReadTimeout, DefaultReadTimeout},
		{"ConfirmTimeout", &config.ConfirmTimeout, DefaultConfirmTimeout},
		{"Remember", &config.Remember, DefaultRemember},
	} {
		if *field.value < 0 {
			return nil, fmt.Errorf("%w: %s is negative: %v", ErrConfig, field.name, *field.value)
		}
		if *field.value == 0 {
			*field.value = field.unset
		}
	}
	return &Machine{config: config}, nil
}

// Mode implements handoff.Machine.
func (m *Machine) Mode() string { return "lockstep" }

// Start implements handoff.Machine.
func (m *Machine) Start(player handoff.PlayerID) handoff.State { return State{player: player} }

// Step implements handoff.Machine. A state of another machine is answered
// unchanged: there is nothing right to do with it.
func (m *Machine) Step(state handoff.State, at time.Time, event handoff.Event) (handoff.State, []handoff.Action) {
	s, ok := state.(State)
	if !ok {
		return state, nil
	}
	st := &step{config: &m.config, at: at, s: s}
	st.take(event)
	return st.s, st.actions
}

// step is one Step in the making: a working copy of the state and the actions
// so far.
type step struct {
	config  *Config
	at      time.Time
	s       State
	actions []handoff.Action
}

func (st *step) take(event handoff.Event) {
	switch e := event.(type) {
	case handoff.Join:
		st.onJoin(e)
	case handoff.CancelJoin:
		st.onCancelJoin(e)
	case handoff.Confirm:
		st.onConfirm(e)
	case handoff.Save:
		st.onSave(e)
	case handoff.Quit:
		st.onQuit(e)
	case handoff.End:
		st.onEnd(e)
	case handoff.Claimed:
		st.onClaimed(e)
	case handoff.LeaseChecked:
		st.onLeaseChecked(e)
	case handoff.LeaseRead:
		st.onLeaseRead(e)
	case handoff.Adopt:
		st.onAdopt(e)
	case handoff.Doubt:
		st.doubtOwed()
	case handoff.Petitioned:
		st.onPetitioned(e)
	case handoff.Spooled:
		st.onSpooled(e)
	case handoff.NewestRead:
		st.onNewestRead(e)
	case handoff.Written:
		st.onWritten(e)
	case handoff.Stored:
		st.onStored(e)
	case handoff.Look:
		st.onLook(e)
	case handoff.TimerFired:
		st.onTimer(e.Timer)
	case handoff.Verify:
		st.onVerify(e)
	}
}

func (st *step) onTimer(timer handoff.Timer) {
	switch timer {
	case handoff.TimerDeadline:
		st.onDeadline()
	case handoff.TimerLook:
		if st.s.phase == PhaseWaiting {
			st.claim()
		}
	case handoff.TimerRetry:
		st.onRetry()
	case handoff.TimerStore:
		st.onStoreRetry()
	case handoff.TimerForget:
		st.s.ended = nil
		if st.s.phase == PhaseLost {
			st.s.phase = PhaseAbsent
		}
	case handoff.TimerConfirm:
		st.onConfirmTimeout()
	case handoff.TimerRead:
		st.onReadTimeout()
	}
}

func (st *step) do(actions ...handoff.Action) { st.actions = append(st.actions, actions...) }

func (st *step) reply(request handoff.RequestID, result handoff.Result) {
	if request != 0 {
		st.do(handoff.Reply{Request: request, Result: result})
	}
}

func (st *step) replyAll(requests []handoff.RequestID, result handoff.Result) {
	for _, request := range requests {
		st.reply(request, result)
	}
}

func (st *step) note(kind handoff.NoteKind, detail string) {
	st.do(handoff.Note{Kind: kind, Detail: detail})
}

func (st *step) nextOp() uint64 {
	st.s.ops++
	return st.s.ops
}

func (st *step) setTimer(timer handoff.Timer, after time.Duration) {
	st.do(handoff.SetTimer{Timer: timer, At: st.at.Add(after)})
}

// backoff returns the pause after the given number of failures in a row.
func backoff(failures int, ceiling time.Duration) time.Duration {
	pause := firstRetry
	for range failures - 1 {
		pause *= 2
		if pause >= ceiling {
			return ceiling
		}
	}
	return pause
}
