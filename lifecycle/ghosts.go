package lifecycle

import (
	"errors"
	"sync"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
)

// maxGhosts bounds the players that wait to be looked at. Petitions repeat, so
// what does not fit comes again.
const maxGhosts = 1024

// ghosts are players whom another server waits for, and whom the driver here
// knows nothing of.
type ghosts struct {
	// wake holds one call while players wait.
	wake chan struct{}

	mu sync.Mutex
	// from is when orphans are no longer waited for, whether a game has
	// attached or not; zero before Execute.
	from    time.Time
	waiting map[handoff.PlayerID]struct{}
}

func newGhosts() ghosts {
	return ghosts{wake: make(chan struct{}, 1), waiting: map[handoff.PlayerID]struct{}{}}
}

// after sets when orphans are no longer waited for.
func (g *ghosts) after(from time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.from = from
}

// add puts the player on the list, unless it is too early or full.
func (g *ghosts) add(player handoff.PlayerID, attached bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	due := !g.from.IsZero() && (attached || !time.Now().Before(g.from))
	if !due || len(g.waiting) >= maxGhosts {
		return
	}
	g.waiting[player] = struct{}{}
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *ghosts) take() []handoff.PlayerID {
	g.mu.Lock()
	defer g.mu.Unlock()
	players := make([]handoff.PlayerID, 0, len(g.waiting))
	for player := range g.waiting {
		players = append(players, player)
	}
	clear(g.waiting)
	return players
}

// Ghost says that another server waits for a player whom the driver here knows
// nothing of. If Redis says that the player is checked out here, that is cleared
// at once, as by a sweep. Before the orphans of an earlier run are swept it does
// nothing: their final saves may still come. It is a hint and never blocks; one
// that finds no room, or that cannot be followed at the moment, is dropped.
func (s *Sweeper) Ghost(player handoff.PlayerID) {
	attached := false
	select {
	case <-s.first:
		attached = true
	default:
	}
	s.ghosts.add(player, attached)
}

// sweepGhosts looks at the players who wait for that, once.
func (s *Sweeper) sweepGhosts() {
	if s.turn.take(s.starting) != nil {
		return
	}
	defer s.turn.give()
	s.passGhosts()
}

// passGhosts is sweepGhosts for whoever has the turn.
func (s *Sweeper) passGhosts() {
	players := s.ghosts.take()
	if len(players) == 0 {
		return
	}
	run := &sweep{sweeper: s, name: petitionSweep, began: time.Now()}
	if left := run.pass(s.starting, players); len(left) > 0 {
		s.log.Debug("some players that others wait for cannot be cleared now",
			"players", len(left), "error", errors.Join(run.causes...))
	}
	run.report(0)
}
