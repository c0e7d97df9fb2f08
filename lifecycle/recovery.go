package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Pace of the recovery.
const (
	// recoveryWidth is how many players are replayed at the same time, and so
	// how many snapshots are in memory.
	recoveryWidth = 8
	// recoveryRetry and recoveryRetryMax are the pauses between passes over
	// what could not be replayed yet.
	recoveryRetry    = time.Second
	recoveryRetryMax = 5 * time.Second
	// recoveryNews is how often a long recovery logs how far it is.
	recoveryNews = 30 * time.Second
	// recoveryCall bounds one call of Redis or of the database.
	recoveryCall = 5 * time.Second
	// recoveryGiveUp is how many players in a row may fail before a pass ends:
	// what fails for all of them is not asked for each of thousands.
	recoveryGiveUp = 2 * recoveryWidth
)

// errRecoveryStopped is why a wait ended though the player is not replayed.
var errRecoveryStopped = errors.New("lifecycle: the replay of the local spool was stopped")

// RecoverySpool is the local spool.
type RecoverySpool interface {
	// Read returns an entry's packed bytes. Errors wrap fs.ErrNotExist when
	// there is no such entry, handoff.ErrDamaged when it cannot be used.
	Read(player handoff.PlayerID, id handoff.SnapshotID) ([]byte, error)
	// Put replaces an entry.
	Put(ctx context.Context, entry handoff.SpoolEntry, packed []byte) error
	// Remove takes an entry away that is safe elsewhere.
	Remove(player handoff.PlayerID, id handoff.SnapshotID) error
	// Reject sets an entry aside that can never be replayed, and logs why.
	Reject(player handoff.PlayerID, id handoff.SnapshotID, cause error) error
}

// RecoveryStore is Redis.
type RecoveryStore interface {
	Update(ctx context.Context, s *handoff.Snapshot, packed []byte) handoff.Written
	CheckIn(ctx context.Context, s *handoff.Snapshot, packed []byte) handoff.Written
	Resume(ctx context.Context, player handoff.PlayerID, r handoff.Resume) handoff.Written
	Expire(ctx context.Context, player handoff.PlayerID, version handoff.Version) error
	// Unstored returns the packed data_update, nil when there is none.
	Unstored(ctx context.Context, player handoff.PlayerID) (packed []byte, ttl time.Duration, err error)
}

// RecoveryArchive is the database.
type RecoveryArchive interface {
	// Newest returns handoff.ErrNoSnapshot when there is none.
	Newest(ctx context.Context, player handoff.PlayerID) (*handoff.Snapshot, error)
	// Insert may be repeated. Errors that wrap handoff.ErrUnacceptable or
	// handoff.ErrTooLarge come again when it is.
	Insert(ctx context.Context, s *handoff.Snapshot, packed []byte, as handoff.StoredAs) (conflict bool, err error)
}

// RecoveryGate tells whether the settle period is over and our lease is held.
type RecoveryGate interface {
	Settled(now time.Time) (until time.Time, ok bool)
}

// RecoveryPorts are what a Recovery works with; all but Recheck must be there.
type RecoveryPorts struct {
	Spool   RecoverySpool
	Store   RecoveryStore
	Archive RecoveryArchive
	Gate    RecoveryGate
	// Meta reads a packed snapshot but for its data; see snapshotcodec.Meta.
	// Errors wrap handoff.ErrDamaged.
	Meta func(packed []byte) (*handoff.Snapshot, error)
	// Recheck asks for a sweep, since a checkout was put back whose session may
	// be over (Sweeper.Recheck). It must not block. Nil asks nobody.
	Recheck func()
}

// RecoveryConfig configures a Recovery.
type RecoveryConfig struct {
	// Settle is sync.settle. Zero means DefaultSettle.
	Settle time.Duration
	// Logger must not be nil.
	Logger hclog.Logger
	// Registerer takes the metrics. Nil means none.
	Registerer prometheus.Registerer
}

// Recovery replays what an earlier run left in the local spool.
//
// Each player's entries go through the fence in Redis in the order of their
// versions, all of them before the first goes to the database; that is what
// joins and adoptions of the player wait for. A snapshot that was to be current
// gets one of these answers:
//
//	done        it is current, and stored as such
//	fenced      another session came later: kept as conflict
//	superseded  the session had gone further: kept as history
//	forgotten   Redis lost what it knew. The database has a higher fence: kept
//	            as conflict. It has this one, or a newer one of the session:
//	            nothing is missing. Otherwise, once the settle period has given
//	            every live holder the time to report, the session is resumed
//	            and the write repeated.
//
// A snapshot that Redis had accepted before keeps its role; it is written again
// only to find out whether Redis still has it, as then nobody has to wait for
// the database. Whatever fails is tried again until it does not, and stays in
// the spool meanwhile. No snapshot is kept in memory between two steps.
type Recovery struct {
	ports   RecoveryPorts
	log     hclog.Logger
	began   time.Time
	players map[handoff.PlayerID]*replay
	order   []*replay

	// hold is how long a session that was put back is held before it ends.
	hold     time.Duration
	pending  atomic.Int64
	outcomes *prometheus.CounterVec

	stop   context.Context
	cancel context.CancelFunc

	// told is when progress was told last; Execute's.
	told time.Time
}

// replay is one player's entries; one goroutine at a time has it.
type replay struct {
	player  handoff.PlayerID
	entries []*replayed
	// free is closed when nobody has to wait for the player any more.
	free chan struct{}
	// restored means that a checkout was put back for a session that no entry
	// ends.
	restored bool
}

// replayed is one entry on its way.
type replayed struct {
	handoff.SpoolRecord
	// judged means that Redis has answered, or need not.
	judged bool
	// changed means that role or flags are not those in the spool.
	changed bool
	// lost means that Redis has forgotten an accepted snapshot, so that only
	// the database can deliver it.
	lost bool
	// gone means that the entry is done with.
	gone bool
	// heldUntil is when its session may end at the earliest.
	heldUntil time.Time
}

// NewRecovery takes over what the spool held when it was opened, in the order
// of spool.Load: each player's entries together, oldest version first. Done and
// Wait are right from then on.
func NewRecovery(records []handoff.SpoolRecord, ports RecoveryPorts, config RecoveryConfig) *Recovery {
	if config.Settle <= 0 {
		config.Settle = DefaultSettle
	}
	ctx, cancel := context.WithCancel(context.Background())
	factory := promauto.With(config.Registerer)
	r := &Recovery{
		ports: ports, log: config.Logger, hold: config.Settle, players: make(map[handoff.PlayerID]*replay), stop: ctx, cancel: cancel,
		outcomes: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "syncworker_lifecycle_replayed_total",
			Help: "Snapshots of an earlier run that were replayed from the local spool, by outcome.",
		}, []string{"outcome"}),
	}
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "syncworker_lifecycle_replay_pending",
		Help: "Snapshots of an earlier run that are still to be replayed from the local spool.",
	}, func() float64 { return float64(r.Pending()) })
	for _, record := range records {
		one := r.players[record.Player]
		if one == nil {
			one = &replay{player: record.Player, free: make(chan struct{})}
			r.players[record.Player] = one
			r.order = append(r.order, one)
		}
		one.entries = append(one.entries, &replayed{SpoolRecord: record, judged: record.As != handoff.AsCurrent})
	}
	for _, one := range r.order {
		one.release()
	}
	r.pending.Store(int64(len(records)))
	return r
}

// Done reports whether nothing of the player's is left that a join would miss.
func (r *Recovery) Done(player handoff.PlayerID) bool {
	one := r.players[player]
	return one == nil || one.isFree()
}

// Wait returns nil as soon as Done is true, or why it stopped waiting.
func (r *Recovery) Wait(ctx context.Context, player handoff.PlayerID) error {
	one := r.players[player]
	if one == nil || one.isFree() {
		return nil
	}
	select {
	case <-one.free:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the replay of the local spool: %w", context.Cause(ctx))
	case <-r.stop.Done():
		return errRecoveryStopped
	}
}

// Pending returns how many entries are still to be replayed.
func (r *Recovery) Pending() int { return int(r.pending.Load()) }

// Execute replays, then waits; it returns nil after Interrupt.
func (r *Recovery) Execute() error {
	r.began = time.Now()
	if len(r.order) > 0 {
		r.log.Info("replaying snapshots that an earlier run left in the local spool", "snapshots", r.Pending(), "players", len(r.order))
		r.replayAll()
	}
	<-r.stop.Done()
	return nil
}

// Interrupt ends Execute, also one that has not begun. What is left stays in the
// spool for the next run.
func (r *Recovery) Interrupt(error) { r.cancel() }

// replayAll works until nothing is left, or Interrupt.
func (r *Recovery) replayAll() {
	judging, storing := r.order, r.order
	for pause := recoveryRetry; ; pause = min(2*pause, recoveryRetryMax) {
		var first, second error
		judging, first = r.pass(judging, r.judge)
		storing, second = r.pass(storing, r.store)
		if len(judging) == 0 && len(storing) == 0 {
			r.log.Info("replayed the local spool", "took", time.Since(r.began).Round(time.Millisecond))
			return
		}
		r.progress(errors.Join(first, second))
		select {
		case <-r.stop.Done():
			r.log.Info("the replay of the local spool goes on at the next start", "snapshots", r.Pending())
			return
		case <-time.After(pause):
		}
	}
}

// progress tells from time to time that something is left, and why.
func (r *Recovery) progress(cause error) {
	if now := time.Now(); r.told.IsZero() || now.Sub(r.told) >= recoveryNews {
		r.told = now
		r.log.Warn("still replaying the local spool", "snapshots", r.Pending(), "error", cause)
	}
}

// pass runs one step for each player once. It returns the players whose step
// must be repeated, those not tried first, and why one of them must.
func (r *Recovery) pass(players []*replay, step func(*replay) error) (again []*replay, cause error) {
	var (
		mu     sync.Mutex
		failed []*replay
		inRow  int
		wg     sync.WaitGroup
	)
	work := make(chan *replay)
	for range min(recoveryWidth, len(players)) {
		wg.Go(func() {
			for one := range work {
				err := step(one)
				mu.Lock()
				switch {
				case err == nil:
					inRow = 0
				case errors.Is(err, errBusy):
					failed = append(failed, one)
				default:
					inRow++
					failed = append(failed, one)
					cause = fmt.Errorf("player %s: %w", one.player, err)
				}
				mu.Unlock()
			}
		})
	}
	for i, one := range players {
		mu.Lock()
		enough := inRow >= recoveryGiveUp
		mu.Unlock()
		if enough || r.stop.Err() != nil {
			again = append(again, players[i:]...)
			break
		}
		work <- one
	}
	close(work)
	wg.Wait()
	return append(again, failed...), cause
}

// isFree reports whether nobody waits for the player.
func (p *replay) isFree() bool {
	select {
	case <-p.free:
		return true
	default:
		return false
	}
}

// release lets go of those who wait for the player, when nothing is in the way.
func (p *replay) release() {
	for _, entry := range p.entries {
		if !entry.gone && (!entry.judged || entry.lost) {
			return
		}
	}
	if !p.isFree() {
		close(p.free)
	}
}
