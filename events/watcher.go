package events

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/syncworker/syncworker/internal/keyspace"
)

// DefaultSafetyPoll is the period of the safety poll unless configured.
const DefaultSafetyPoll = 5 * time.Second

// ErrExecuted is returned when Execute is called a second time.
var ErrExecuted = errors.New("events: watcher was executed already")

// Kind says what an Event is about.
type Kind uint8

// The kinds. All of them mean: look at the key.
const (
	// Ready: the subscription is confirmed; from now on changes are notified.
	Ready Kind = iota + 1
	// Changed: a command touched the key, or it expired.
	Changed
	// Resync: notifications may have been lost.
	Resync
	// Poll: the safety poll.
	Poll
)

var kinds = [...]string{Ready: "ready", Changed: "changed", Resync: "resync", Poll: "poll"}

// String returns the kind as logs show it.
func (k Kind) String() string {
	if int(k) >= len(kinds) || kinds[k] == "" {
		return "invalid"
	}
	return kinds[k]
}

// Event is one reason to look at a key.
type Event struct {
	// Key is the watched key.
	Key string
	// Kind is the reason.
	Kind Kind
	// Name is what happened, in Redis's words: set, del, expire, expired, ...
	// Empty unless Kind is Changed.
	Name string
}

// Level says what brings events.
type Level uint8

// The levels.
const (
	// LevelPolling: no notifications at present, only the safety poll.
	LevelPolling Level = iota
	// LevelEvents: notifications are proven to arrive.
	LevelEvents
)

// String returns the level as status and logs show it.
func (l Level) String() string {
	if l == LevelEvents {
		return "events"
	}
	return "polling"
}

// Status describes a watcher for operators.
type Status struct {
	// Level is what brings events at present.
	Level Level
	// Reason says why the level is LevelPolling and what to do; empty at
	// LevelEvents.
	Reason string
	// Connected tells whether the pub/sub connection is up.
	Connected bool
	// Watches is the number of watches.
	Watches int
}

// Config configures a Watcher.
type Config struct {
	// DB is the index of the database that the client selects. Default: 0.
	DB int
	// SafetyPoll is the period after which every watch gets a Poll and the
	// arrival of notifications is proven again; each one is up to a fifth
	// shorter at random, so that workers do not poll in step. Default and
	// meaning of zero: DefaultSafetyPoll.
	SafetyPoll time.Duration
	// ProbeKey is a key of this worker alone, written at each safety poll. It
	// must not be empty.
	ProbeKey string
	// Logger gets changes of state only. Default: none.
	Logger hclog.Logger
	// Registerer takes the metrics. Default: none.
	Registerer prometheus.Registerer
}

// Watcher watches keys. It is an actor: Execute runs it, Interrupt ends it. The
// other methods may be called at any time from anywhere.
type Watcher struct {
	client  redis.UniversalClient
	cfg     Config
	log     hclog.Logger
	metrics *metrics
	prefix  string // of every channel
	probe   string // the probe key's channel

	ctx      context.Context // ends with Interrupt
	cancel   context.CancelFunc
	executed atomic.Bool
	wake     chan struct{} // the writer has something to do
	born     chan struct{} // a new connection is up
	tick     chan struct{} // a safety poll has begun

	// deliver makes events of one watch come one after the other. It is taken
	// before mu, and held while notify runs; mu is not.
	deliver sync.Mutex

	mu       sync.Mutex
	topics   map[string]*topic // by channel
	fresh    []*topic          // became of interest to somebody since the writer last looked
	idle     []*topic          // became of interest to nobody
	link     *link             // nil while there is no connection
	onResync []func()
	polls    uint64 // safety polls so far
	watches  int
	level    Level
	doubt    doubt // why the level is LevelPolling
}

// New returns a watcher of keys in the client's database. The client stays the
// caller's and must outlive Execute. It must not be a cluster client: Redis
// Cluster notifies on the node that owns the key only.
func New(client redis.UniversalClient, cfg Config) *Watcher {
	if cfg.SafetyPoll <= 0 {
		cfg.SafetyPoll = DefaultSafetyPoll
	}
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	w := &Watcher{
		client: client, cfg: cfg, log: cfg.Logger, metrics: newMetrics(cfg.Registerer),
		prefix: keyspace.Channel(cfg.DB, ""), probe: keyspace.Channel(cfg.DB, cfg.ProbeKey),
		wake: make(chan struct{}, 1), born: make(chan struct{}, 1), tick: make(chan struct{}, 1),
		topics: map[string]*topic{}, doubt: doubt{what: "not connected to Redis yet"},
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Execute runs the watcher until Interrupt and returns nil then, with all of its
// goroutines ended. A Redis that does not answer can delay that by the client's
// read timeout.
func (w *Watcher) Execute() error {
	if w.executed.Swap(true) {
		return ErrExecuted
	}
	var actors sync.WaitGroup
	actors.Go(w.connect)
	actors.Go(w.prove)
	actors.Go(w.poll)
	actors.Wait()
	return nil
}

// Interrupt ends Execute; it may come before it. The error is ignored: an actor
// is interrupted because another one ended.
func (w *Watcher) Interrupt(error) { w.cancel() }

// Watch calls notify with every event of the key, one at a time, until stop is
// called. Notify must not block; it may call Watch and stop. An event that is on
// its way when stop is called may still come. Stop may be called more than once.
// Several watches of one key share a subscription; it ends a moment after the
// last of them.
func (w *Watcher) Watch(key string, notify func(Event)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.open(w.prefix + key)
	t.key = key
	one := &watch{notify: notify, since: w.polls}
	t.add(one)
	w.watches++
	w.metrics.watches.Inc()
	return func() { w.stop(t, one) }
}

// OnResync has a function called at each resubscription, when the connection was
// lost and is up again, before any watch gets its Resync. It also runs when the
// first connection needed more than one attempt, since Redis may have been
// restarted meanwhile. The function must not block.
func (w *Watcher) OnResync(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.onResync = append(w.onResync, do)
}

// Level returns what brings events at present.
func (w *Watcher) Level() Level { return w.Status().Level }

// Status describes the watcher for operators.
func (w *Watcher) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Status{Level: w.level, Reason: w.doubt.String(), Connected: w.link != nil, Watches: w.watches}
}

// poll sends the safety polls.
func (w *Watcher) poll() {
	for {
		// Shorter at random, never longer: the period is a promise.
		period := w.cfg.SafetyPoll - rand.N(w.cfg.SafetyPoll/5+1)
		if !pause(w.ctx, period) {
			return
		}
		signal(w.tick)
		w.pollAll()
	}
}

// pause waits; it reports false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// signal leaves a wake-up for a goroutine that looks at state, not at messages.
func signal(wake chan<- struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
