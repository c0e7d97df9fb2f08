package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/handoff"
)

// Why a player cannot be cleared at the moment.
var (
	errBusy     = errors.New("the worker is busy with the player")
	errMoved    = errors.New("the checkout has just changed")
	errNotOurs  = errors.New("our server lease is not certain")
	errNoAnswer = errors.New("redis did not answer")
	errSpooled  = errors.New("the local spool is still being replayed")
	errDatabase = errors.New("the database does not take what redis has")
)

// sweep is one sweep: of the start, of the stop, of a recheck or of petitions.
type sweep struct {
	sweeper  *Sweeper
	name     string
	began    time.Time
	stopping bool

	released, stored, delisted, adopted, abandoned atomic.Int64
	// refused counts the copies in a row that the database did not take in
	// this pass. When it seems to be away, whoever comes after is released all
	// the same, and copied in a later pass.
	refused atomic.Int64
	// spooled means that somebody waited for the spool in this pass.
	spooled atomic.Bool

	mu sync.Mutex
	// causes are of the last pass, a few of them.
	causes []error
	told   time.Time
	// complained means that operators know of players who cannot be cleared.
	complained bool
}

// untilClear goes over the players again and again until none is left, ctx ends,
// or another sweep is due. It returns who is left.
func (w *sweep) untilClear(ctx context.Context, players []handoff.PlayerID) []handoff.PlayerID {
	s := w.sweeper
	for pause := sweepRetry; ; pause = min(2*pause, sweepRetryMax) {
		players = w.pass(ctx, players)
		if len(players) == 0 || ctx.Err() != nil {
			w.report(len(players))
			return players
		}
		w.complain(pause, len(players))
		if w.spooled.Load() {
			pause = sweepRetry // Others wait for these, and soon the replay does not.
		}
		select {
		case <-ctx.Done():
			return players
		case <-s.recheck:
			// A player who cannot be cleared for long must not hold up what
			// is due for all.
			s.Recheck()
			w.report(len(players))
			return players
		case <-s.ghosts.wake:
			s.passGhosts()
		case <-time.After(pause):
		}
	}
}

// complain logs why players are left, for operators once it has gone on for a
// while.
func (w *sweep) complain(pause time.Duration, players int) {
	level := hclog.Debug
	if pause == sweepRetryMax && !w.complained {
		level, w.complained = hclog.Warn, true
	}
	w.sweeper.log.Log(level, "some players cannot be cleared yet", "sweep", w.name, "players", players,
		"error", errors.Join(w.causes...))
}

// pass handles each player once and returns those who are to be handled again.
func (w *sweep) pass(ctx context.Context, players []handoff.PlayerID) (again []handoff.PlayerID) {
	w.causes = nil
	w.refused.Store(0)
	w.spooled.Store(false)
	work := make(chan handoff.PlayerID)
	var wg sync.WaitGroup
	for range min(sweepWidth, len(players)) {
		wg.Go(func() {
			for player := range work {
				if err := w.clear(ctx, player); err != nil {
					w.mu.Lock()
					again = append(again, player)
					w.note(player, err)
					w.mu.Unlock()
				}
			}
		})
	}
	for i, player := range players {
		if ctx.Err() != nil {
			w.mu.Lock()
			again = append(again, players[i:]...)
			w.note(player, ctx.Err())
			w.mu.Unlock()
			break
		}
		work <- player
		w.progress(i, len(players))
	}
	close(work)
	wg.Wait()
	return again
}

// note keeps some of the causes. Callers hold mu.
func (w *sweep) note(player handoff.PlayerID, err error) {
	const most = 3
	if len(w.causes) < most {
		w.causes = append(w.causes, fmt.Errorf("player %s: %w", player, err))
	}
}

func (w *sweep) progress(done, all int) {
	if now := time.Now(); now.Sub(w.began) >= sweepNews && now.Sub(w.told) >= sweepNews {
		w.told = now
		w.sweeper.log.Info("still clearing checkouts", "sweep", w.name, "done", done, "of", all)
	}
}

func (w *sweep) report(left int) {
	count := func(outcome string, n int64) {
		w.sweeper.metrics.swept.WithLabelValues(w.name, outcome).Add(float64(n))
	}
	count("released", w.released.Load())
	count("stored", w.stored.Load())
	count("delisted", w.delisted.Load())
	count("adopted", w.adopted.Load())
	count("left", w.abandoned.Load()+int64(left))
	if w.name != startSweep && left == 0 && w.released.Load()+w.stored.Load() == 0 {
		return // As it should be: every session ended by itself.
	}
	w.sweeper.log.Info("checkouts cleared", "sweep", w.name, "released", w.released.Load(), "delisted", w.delisted.Load(),
		"joined-meanwhile", w.adopted.Load(), "left", w.abandoned.Load()+int64(left),
		"stored", w.stored.Load(), "took", time.Since(w.began).Round(time.Millisecond))
}

// clear handles one player. It returns nil when nothing is left to do, and
// otherwise why the player has to be handled again.
func (w *sweep) clear(ctx context.Context, player handoff.PlayerID) error {
	// Another worker with our server ID may clear and grant as soon as our
	// lease is over. Nothing may be under way here by then.
	until, held := w.sweeper.lease.Until()
	if !held {
		return errNotOurs
	}
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()

	// What is in the spool may be the session's final save: it comes before
	// the checkout goes.
	if !w.sweeper.replayed.Done(player) {
		w.spooled.Store(true)
		return errSpooled
	}
	inHand, left, err := w.giveBack(ctx, player)
	switch {
	case left || err != nil:
		return err
	case inHand != nil:
		return w.occupied(ctx, *inHand)
	}
	if left, err := w.store(ctx, player); left || err != nil {
		return err
	}
	return w.delist(ctx, player)
}

// giveBack deletes a checkout that no session here stands behind, or returns the
// player's state when the driver has the player in hand.
func (w *sweep) giveBack(ctx context.Context, player handoff.PlayerID) (inHand *handoff.Summary, left bool, err error) {
	w.sweeper.Exclusive(player, func() {
		var holder handoff.Holder
		if holder, err = w.sweeper.store.Holder(ctx, player); err != nil {
			err = fmt.Errorf("read the checkout: %w", err)
			return
		}
		// The driver is asked after the read, never before: see Sweeper.
		if summary, known := w.sweeper.players.Summary(player); known && (summary.Live || summary.Busy) {
			inHand = &summary
			return
		}
		if holder.Server == w.sweeper.server {
			left, err = w.release(ctx, player, holder.Fence)
		}
	})
	return inHand, left, err
}

// occupied answers for a player whom the driver has in hand. A session here has
// taken the orphan's place and will give back its own checkout; what the orphan
// left in Redis is not its business.
func (w *sweep) occupied(ctx context.Context, summary handoff.Summary) error {
	switch {
	case w.stopping:
		return nil // The drain reports these.
	case !summary.Live || summary.Leaving:
		// One that is ending may have ended already: an old dump brings the
		// checkout back while the answer is on its way.
		return errBusy
	case w.sweeper.owed.has(summary.Player):
		if _, err := w.store(ctx, summary.Player); err != nil {
			return err
		}
	}
	w.adopted.Add(1)
	return nil
}

// release deletes the checkout of a fence. It reports true when the checkout
// cannot be deleted by comparison and is left to an operator.
func (w *sweep) release(ctx context.Context, player handoff.PlayerID, fence handoff.Fence) (left bool, err error) {
	switch written := w.sweeper.store.Release(ctx, player, fence); written.Outcome {
	case handoff.WriteDone:
		w.released.Add(1)
		w.sweeper.log.Debug("checkout released", "sweep", w.name, "player", player, "fence", fence)
		return false, nil
	case handoff.WriteForgotten:
		// The fence is gone: nothing tells this checkout from a newer one.
		w.abandoned.Add(1)
		w.sweeper.log.Warn("checkout has no fence any more and is left in place, an operator may release it",
			"player", player, "server", w.sweeper.server)
		return true, nil
	case handoff.WriteFenced, handoff.WriteSuperseded:
		return false, errMoved
	default:
		return false, errors.Join(errNoAnswer, written.Err)
	}
}

// delist takes the player off server_checkouts. The set may name too many
// players, never too few: a checkout that it does not name is found by nobody
// after a crash.
func (w *sweep) delist(ctx context.Context, player handoff.PlayerID) error {
	if _, known := w.sweeper.players.Summary(player); known && !w.stopping {
		return errBusy // A join may be waiting that enlisted the player long ago.
	}
	if err := w.sweeper.store.Delist(ctx, player); err != nil {
		return fmt.Errorf("take the player off the list: %w", err)
	}
	if _, known := w.sweeper.players.Summary(player); known && !w.stopping {
		if err := w.sweeper.store.Enlist(ctx, player); err != nil {
			return fmt.Errorf("put the player back on the list: %w", err)
		}
		return errBusy
	}
	w.delisted.Add(1)
	return nil
}
