package lifecycle_test

import (
	"context"
	"sync"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// archive is a database in memory that takes its time.
type archive struct {
	delay time.Duration
	mu    sync.Mutex
	rows  map[handoff.PlayerID]*handoff.Snapshot
	// away fails every insert.
	away error
	// inserts counts them.
	inserts int
}

func (a *archive) fail(err error, after time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away, a.delay = err, after
}

func (a *archive) data(player handoff.PlayerID) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if row := a.rows[player]; row != nil {
		return string(row.Data["inventory"])
	}
	return ""
}

func (a *archive) Newest(_ context.Context, player handoff.PlayerID) (*handoff.Snapshot, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if row := a.rows[player]; row != nil {
		return row, nil
	}
	return nil, handoff.ErrNoSnapshot
}

func (a *archive) Insert(ctx context.Context, s *handoff.Snapshot, _ []byte, _ handoff.StoredAs) (bool, error) {
	a.mu.Lock()
	delay := a.delay
	a.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return false, ctx.Err()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.inserts++
	if a.away != nil {
		return false, a.away
	}
	if row := a.rows[s.Player]; row == nil || row.Version.Compare(s.Version) < 0 {
		a.rows[s.Player] = s
	}
	return false, nil
}

// spool is a local disk whose entries are being replayed.
type spool struct {
	mu   sync.Mutex
	left map[handoff.PlayerID]bool
}

func (s *spool) set(left ...handoff.PlayerID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = map[handoff.PlayerID]bool{}
	for _, player := range left {
		s.left[player] = true
	}
}

func (s *spool) Done(player handoff.PlayerID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.left[player]
}
