package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// copyWait bounds one copy to the database, so that one which hangs does not
// hold up the players after it.
const copyWait = 2 * time.Second

// owed is a set of players whose data_update an earlier run may not have brought
// to the database.
type owed struct {
	mu      sync.Mutex
	players map[handoff.PlayerID]struct{}
}

func (o *owed) add(players []handoff.PlayerID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.players = make(map[handoff.PlayerID]struct{}, len(players))
	for _, player := range players {
		o.players[player] = struct{}{}
	}
}

func (o *owed) has(player handoff.PlayerID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, ok := o.players[player]
	return ok
}

func (o *owed) settle(player handoff.PlayerID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.players, player)
}

// store copies a data_update that the database may lack, because whoever wrote
// it ended before it was there as well. The checkout does not wait for that: the
// next server finds the data in Redis, and the list names the player until the
// database has it. It reports true when it never will.
func (w *sweep) store(ctx context.Context, player handoff.PlayerID) (left bool, err error) {
	s := w.sweeper
	packed, ttl, err := s.store.Unstored(ctx, player)
	if err != nil {
		return false, fmt.Errorf("read what may not be stored: %w", err)
	}
	if packed == nil || ttl >= 0 {
		s.owed.settle(player)
		return false, nil
	}
	snapshot, err := s.codec.Unpack(packed)
	if err == nil && snapshot.Player != player {
		err = fmt.Errorf("%w: it is of player %s", handoff.ErrDamaged, snapshot.Player)
	}
	if err != nil {
		return w.unstorable(player, err)
	}
	if w.refused.Load() >= sweepWidth {
		return false, errDatabase
	}
	ctx, cancel := context.WithTimeout(ctx, copyWait)
	defer cancel()
	switch _, err := s.database.Insert(ctx, snapshot, packed, handoff.AsCurrent); {
	case errors.Is(err, handoff.ErrUnacceptable), errors.Is(err, handoff.ErrTooLarge):
		return w.unstorable(player, err)
	case err != nil:
		w.refused.Add(1)
		return false, errors.Join(errDatabase, err)
	}
	w.refused.Store(0)
	w.stored.Add(1)
	s.owed.settle(player)
	if err := s.store.Expire(ctx, player, snapshot.Version); err != nil {
		return false, fmt.Errorf("let what is stored run out: %w", err)
	}
	return false, nil
}

// unstorable leaves a data_update to an operator.
func (w *sweep) unstorable(player handoff.PlayerID, err error) (left bool, _ error) {
	w.abandoned.Add(1)
	w.sweeper.owed.settle(player)
	w.sweeper.log.Error("data in redis cannot be copied to the database and is left in place, an operator must decide",
		"player", player, "error", err)
	return true, nil
}
