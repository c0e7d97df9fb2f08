package play

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/chaos"
)

// Config says how much is played.
type Config struct {
	// Seed decides what players do; how calls and faults interleave it cannot.
	Seed uint64
	// Players and Tokens are how many there are, and how many tokens each is
	// given.
	Players, Tokens int
	// Stay is how long a player stays on a game, on average.
	Stay time.Duration
}

// World is all games and players.
type World struct {
	config   Config
	recorder *chaos.Recorder
	games    []*game
	players  []*player
	// background are links, saves and quits.
	background sync.WaitGroup

	// mu guards what games and players remember. It is held for memory only,
	// never for a call.
	mu sync.Mutex
}

// Beside names a worker and its server.
type Beside struct {
	ID     string
	Worker Worker
}

// New makes a world; nobody plays yet.
func New(config Config, recorder *chaos.Recorder, workers []Beside) *World {
	w := &World{config: config, recorder: recorder}
	for _, beside := range workers {
		w.games = append(w.games, &game{
			world: w, id: beside.ID, worker: beside.Worker,
			admin: syncworkerv1connect.NewAdminServiceClient(&http.Client{Transport: beside.Worker.Transport(), Timeout: 2 * time.Second}, "http://worker"),
		})
	}
	for n := range config.Players {
		w.players = append(w.players, &player{
			world: w, number: n + 1, name: fmt.Sprintf("Player%03d", n+1),
			id:   fmt.Sprintf("c4a05000-0000-4000-8000-%012d", n+1),
			dice: rand.New(rand.NewPCG(config.Seed, uint64(n+1))),
		})
	}
	return w
}

// Play lets everybody play until ctx ends, and has them leave. The games go on
// until Close.
func (w *World) Play(ctx context.Context) {
	var playing sync.WaitGroup
	for _, p := range w.players {
		playing.Go(func() {
			if chaos.Pause(ctx, p.upTo(time.Second)) == nil {
				p.live(ctx)
			}
		})
	}
	playing.Wait()
}

// Boot starts all games. They die with ctx.
func (w *World) Boot(ctx context.Context) {
	for _, g := range w.games {
		g.start(ctx)
	}
}

// Finish lets every player join once more and leave again, with nothing broken
// anymore.
func (w *World) Finish(ctx context.Context) {
	var playing sync.WaitGroup
	for _, p := range w.players {
		playing.Go(func() {
			p.final = true
			if s := p.enter(ctx); s != nil {
				p.leave(s)
				select {
				case <-s.gone:
				case <-ctx.Done():
				}
			}
		})
	}
	playing.Wait()
}

// Close ends all games and waits for what they have under way.
func (w *World) Close() {
	for _, g := range w.games {
		g.stop()
	}
	w.background.Wait()
}

// GameDies kills the game of a server; it starts again with GameBoots.
func (w *World) GameDies(server int) { w.games[server].stop() }

// GameBoots starts a game that died.
func (w *World) GameBoots(ctx context.Context, server int) { w.games[server].start(ctx) }

// Skew sets how wrong a game's clock is.
func (w *World) Skew(server int, by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.games[server].skew = by
}

// Servers are the IDs of all servers.
func (w *World) Servers() []string {
	var ids []string
	for _, g := range w.games {
		ids = append(ids, g.id)
	}
	return ids
}

// Present counts the players who are on a game, and all.
func (w *World) Present() (present, all int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, g := range w.games {
		if g.boot != nil {
			present += len(g.boot.stays)
		}
	}
	return present, len(w.players)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
