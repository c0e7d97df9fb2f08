package play

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/chaos"
)

// Worker is what a game needs of its worker.
type Worker interface {
	// Transport is a new set of connections to its API.
	Transport() *http.Transport
}

// lostReason is the worker's word for a session that another one replaced.
const lostReason = "SESSION_LOST"

// patience is how long a game keeps its players while it has no link.
const patience = 12 * time.Second

// game is one game server. It can die and start again; see boot.
type game struct {
	world *World
	id    string
	admin syncworkerv1connect.AdminServiceClient
	// worker is the one beside it.
	worker Worker

	// The world's mutex guards what follows.
	boots int
	boot  *boot
	// skew is how wrong the game's clock is.
	skew time.Duration
}

// boot is one run of a game server.
type boot struct {
	game   *game
	id     string
	ctx    context.Context
	die    context.CancelFunc
	client syncworkerv1connect.PlayerServiceClient
	http   *http.Transport

	// The world's mutex guards what follows.
	stays map[string]*stay // by session
	// up is closed while the game has a link; replaced when it loses it.
	up       chan struct{}
	attached bool
	draining bool
}

// start boots the game. Its players are gone.
func (g *game) start(ctx context.Context) {
	g.world.mu.Lock()
	defer g.world.mu.Unlock()
	g.boots++
	b := &boot{
		game: g, id: fmt.Sprintf("%s-boot-%d", g.id, g.boots), http: g.worker.Transport(),
		stays: map[string]*stay{}, up: make(chan struct{}),
	}
	b.ctx, b.die = context.WithCancel(ctx)
	b.client = syncworkerv1connect.NewPlayerServiceClient(&http.Client{Transport: b.http}, "http://worker")
	g.boot = b
	g.world.background.Go(b.keepLink)
}

// stop ends the game as a crash would: every call breaks off, and with it goes
// what was in memory only.
func (g *game) stop() {
	g.world.mu.Lock()
	b := g.boot
	g.boot = nil
	g.world.mu.Unlock()
	if b == nil {
		return
	}
	b.die()
	b.http.CloseIdleConnections()
	b.endAll("the game died")
}

// playing is the game's boot that takes players, nil if it has none now.
func (g *game) playing() *boot {
	g.world.mu.Lock()
	defer g.world.mu.Unlock()
	if g.boot == nil || !g.boot.attached || g.boot.draining {
		return nil
	}
	return g.boot
}

// keepLink attaches, again and again.
func (b *boot) keepLink() {
	since := time.Now()
	wait := 50 * time.Millisecond
	for b.ctx.Err() == nil {
		if b.attach() {
			since, wait = time.Now(), 50*time.Millisecond
		}
		if time.Since(since) > patience {
			b.endAll("the game gave up waiting for its worker")
		}
		if chaos.Pause(b.ctx, wait) != nil {
			return
		}
		wait = min(2*wait, time.Second)
	}
}

// attach opens a link and reads it until it ends. It reports whether there was
// one.
func (b *boot) attach() bool {
	resume := b.sessions()
	start := b.game.world.recorder.Now()
	link, err := b.client.Attach(b.ctx, &v1.AttachRequest{BootId: b.id, Platform: "chaos", Resume: resume})
	if err != nil {
		return false
	}
	defer link.Close() //nolint:errcheck // it has ended already
	if !link.Receive() {
		return false
	}
	first := link.Msg().GetAttached()
	b.game.world.recorder.Add(chaos.Entry{
		Kind: chaos.KindAttach, Start: start, Server: b.game.id, Boot: b.id, Outcome: chaos.OK, Resumed: len(first.GetResumed()),
		Text: fmt.Sprintf("named %d sessions: %d resumed, lost %q", len(resume), len(first.GetResumed()), first.GetLost()),
	})
	for _, session := range first.GetLost() {
		b.end(session, lostReason, "as the answer to Attach says")
	}
	b.linked(true)
	defer b.linked(false)
	for link.Receive() {
		b.hear(link.Msg())
	}
	return true
}

// hear takes one event of the link.
func (b *boot) hear(message *v1.AttachResponse) {
	switch event := message.Event.(type) {
	case *v1.AttachResponse_SessionLost:
		b.end(event.SessionLost.SessionId, reasonOf(event.SessionLost.Reason), fmt.Sprintf("the worker told so, holder %q", event.SessionLost.NewHolder))
	case *v1.AttachResponse_Draining:
		b.drain()
	}
}

// drain sends every player away.
func (b *boot) drain() {
	b.game.world.mu.Lock()
	defer b.game.world.mu.Unlock()
	b.draining = true
	for _, s := range b.stays {
		s.hurry.Do(func() { close(s.leave) })
	}
}

func (b *boot) linked(attached bool) {
	b.game.world.mu.Lock()
	defer b.game.world.mu.Unlock()
	switch {
	case attached && !b.attached:
		close(b.up)
		b.draining = false
	case !attached && b.attached:
		b.up = make(chan struct{})
	}
	b.attached = attached
}

// waitLink waits until there is a link. It fails when the game or ctx ends.
func (b *boot) waitLink(ctx context.Context) error {
	b.game.world.mu.Lock()
	up := b.up
	b.game.world.mu.Unlock()
	select {
	case <-up:
		return nil
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sessions are those that the game has, a Quit on its way included.
func (b *boot) sessions() []string {
	b.game.world.mu.Lock()
	defer b.game.world.mu.Unlock()
	return slices.Sorted(maps.Keys(b.stays))
}

// end removes a player without a save.
func (b *boot) end(session, reason, why string) {
	b.game.world.mu.Lock()
	s := b.stays[session]
	if s != nil {
		s.close()
	}
	b.game.world.mu.Unlock()
	if s != nil {
		b.game.world.recorder.Add(chaos.Entry{
			Kind: chaos.KindEnd, Server: b.game.id, Boot: b.id, Player: s.player.number, Session: session, Fence: s.fence, Reason: reason, Text: why,
		})
	}
}

func (b *boot) endAll(why string) {
	for _, session := range b.sessions() {
		b.end(session, "", why)
	}
}

// stay is one player on one game.
type stay struct {
	boot    *boot
	player  *player
	session string
	fence   int64
	// gone is closed when the stay is over; leave when the player should go.
	gone, leave chan struct{}
	hurry       sync.Once

	// The world's mutex guards what follows.
	state     state
	confirmed bool
	// left says that the final capture was made, over that gone is closed.
	left, over bool
	captures   uint64
	// saving counts saves on their way, saveSoon wants one.
	saving   int
	saveSoon bool
	// sentBag is the bag that was sent last, takenBag the one that the worker
	// has for certain.
	sentBag, takenBag string
}

// close ends the stay. The world's mutex is held.
func (s *stay) close() {
	if s.over {
		return
	}
	s.over = true
	delete(s.boot.stays, s.session)
	close(s.gone)
	s.player.settle(s, ^uint64(0))
}

// ready reports whether the player may do something. The world's mutex is held.
func (s *stay) ready() bool {
	return s.confirmed && !s.left && !s.over && s.boot.attached
}
