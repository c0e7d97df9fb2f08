package lifecycle

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// DefaultSettle is sync.settle when nothing is configured.
const DefaultSettle = 4 * time.Second

// Cause says why a settle period begins. It is a label of the metric, so
// callers use the constants.
type Cause string

// The causes.
const (
	// CauseStart: the worker has just started.
	CauseStart Cause = "start"
	// CauseLeaseTaken: the lease has just been acquired, maybe from a Redis
	// that came up this moment.
	CauseLeaseTaken Cause = "lease-taken"
	// CauseResync: the connection that brings notifications was lost and is
	// back.
	CauseResync Cause = "resync"
	// CauseServerChanged: another Redis process answers than before.
	CauseServerChanged Cause = "server-changed"
	// CauseLeaseMissing: our own lease is not in Redis.
	CauseLeaseMissing Cause = "lease-missing"
	// CauseLeaseForeign: our lease carries another incarnation.
	CauseLeaseForeign Cause = "lease-foreign"
	// CauseRedisSilent: Redis answered nothing for so long that leases may have
	// ended whose owners are alive and could not renew them (rule R3).
	CauseRedisSilent Cause = "redis-silent"
)

// SettleConfig configures a Settle.
type SettleConfig struct {
	// Period is sync.settle. Zero means DefaultSettle.
	Period time.Duration
	// Blind reports that Redis does not tell which server process it is, so that
	// a lost connection may mean a restart. Nil means never.
	Blind func() bool
	// Logger and Metrics must not be nil.
	Logger  hclog.Logger
	Metrics *Metrics
}

// Settle is the gate of rule R1. After anything that Redis may have lost its
// memory by, every holder gets the same time to put its checkouts back before
// anybody is granted one. The gate is shut from the moment Begin is called; the
// callbacks (verify the live sessions, renew the lease) run a moment later in
// Execute, so that Begin may be called from a place that must not block.
type Settle struct {
	period  time.Duration
	blind   func() bool
	log     hclog.Logger
	metrics *Metrics
	// wake holds at most one call that Execute still owes the callbacks.
	wake chan struct{}
	stop chan struct{}
	once sync.Once

	mu    sync.Mutex
	until time.Time
	cause Cause
	// lost: Redis may have lost its memory since the last round.
	lost      bool
	callbacks []func(Round)
	// suspicion tells whether sessions are suspect, and what to call once all
	// of them have been told; nil for never.
	suspicion func() (suspect bool, passed func())
}

// Round is one run of the callbacks.
type Round struct {
	// Cause is that of the latest Begin.
	Cause Cause
	// Suspect means that this worker's lease had ended while Redis stayed up:
	// what Redis has forgotten of our sessions is lost (rule R7).
	Suspect bool
	// Lost means that Redis may have lost its memory since the round before.
	Lost bool
}

// NewSettle returns a gate that is shut: the start of the worker begins the
// first period.
func NewSettle(config SettleConfig) *Settle {
	if config.Period <= 0 {
		config.Period = DefaultSettle
	}
	if config.Blind == nil {
		config.Blind = func() bool { return false }
	}
	s := &Settle{
		period:  config.Period,
		blind:   config.Blind,
		log:     config.Logger,
		metrics: config.Metrics,
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
	}
	s.Begin(CauseStart)
	return s
}

// OnBegin adds a callback. Each Begin is followed by one run of all callbacks,
// unless its cause is CauseLeaseForeign; calls of Begin that come while a run is
// owed share it. Callbacks run one after the other and should not wait for Redis.
// The sessions are no longer suspect when a run that said so has ended, so one
// of the callbacks must have told every session by then.
func (s *Settle) OnBegin(callback func(Round)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.callbacks = append(s.callbacks, callback)
}

// Begin shuts the gate for the settle period, counted from now. A gate that is
// shut already stays shut at least as long as before. It never blocks.
func (s *Settle) Begin(cause Cause) {
	now := time.Now()
	s.mu.Lock()
	news := !now.Before(s.until) || s.cause != cause
	if until := now.Add(s.period); until.After(s.until) {
		s.until = until
	}
	s.cause = cause
	s.lost = s.lost || s.loses(cause)
	s.mu.Unlock()

	s.metrics.settles.WithLabelValues(string(cause)).Inc()
	if news { // A flood of the same cause is one line in the log.
		s.log.Info("settling, nothing is granted meanwhile", "cause", string(cause), "for", s.period)
	}
	if cause == CauseLeaseForeign {
		// The sessions are the other worker's to clear. To verify them would
		// put back what it has cleared already, for nobody.
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// loses reports whether a cause is a sign that Redis lost its memory.
func (s *Settle) loses(cause Cause) bool {
	switch cause {
	case CauseServerChanged, CauseLeaseMissing, CauseLeaseForeign:
		return true
	case CauseResync:
		return s.blind()
	default:
		return false
	}
}

// Settled reports whether the gate is open at a moment; if not, until when it
// is shut as far as is known.
func (s *Settle) Settled(now time.Time) (until time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until, !now.Before(s.until)
}

// Execute runs the callbacks until Interrupt; it returns nil.
func (s *Settle) Execute() error {
	for {
		select {
		case <-s.stop:
			return nil
		case <-s.wake:
			s.callBack()
		}
	}
}

// Interrupt ends Execute, also one that has not begun.
func (s *Settle) Interrupt(error) { s.once.Do(func() { close(s.stop) }) }

func (s *Settle) callBack() {
	s.mu.Lock()
	callbacks, suspicion := slices.Clone(s.callbacks), s.suspicion
	round := Round{Cause: s.cause, Lost: s.lost}
	s.lost = false
	s.mu.Unlock()
	passed := func() {}
	if suspicion != nil {
		round.Suspect, passed = suspicion()
	}
	for _, callback := range callbacks {
		callback(round)
	}
	passed()
}

// ask makes Settle ask for suspicions before each run of the callbacks.
func (s *Settle) ask(suspicion func() (suspect bool, passed func())) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.suspicion = suspicion
}
