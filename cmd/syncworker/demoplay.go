package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/handoff"
)

// demoGame is one game server: a client of one worker.
type demoGame struct {
	id     string
	client syncworkerv1connect.PlayerServiceClient
	link   *connect.ServerStreamForClient[v1.AttachResponse]
	http   *http.Transport
	// fault holds the first thing that a game server must never be told here.
	fault atomic.Pointer[error]
}

// openGame attaches a game to a worker and waits for the answer.
func openGame(ctx context.Context, w *demoWorker) (*demoGame, error) {
	g := &demoGame{id: w.id, http: &http.Transport{
		DialContext:         dialTo("unix", w.socket),
		MaxIdleConnsPerHost: maxDemoPlayers,
	}}
	g.client = syncworkerv1connect.NewPlayerServiceClient(&http.Client{Transport: g.http}, "http://worker")
	link, err := g.client.Attach(ctx, &v1.AttachRequest{
		BootId: "demo-" + w.id, Platform: "demo", GameVersion: "1.21.4",
	})
	if err != nil {
		return nil, fmt.Errorf("attach to %s: %w", w.id, err)
	}
	if !link.Receive() {
		return nil, fmt.Errorf("attach to %s: %w", w.id, link.Err())
	}
	g.link = link
	go g.listen()
	return g, nil
}

// listen reads the link until it ends. Nobody may lose a session in a run
// without faults.
func (g *demoGame) listen() {
	for g.link.Receive() {
		if lost := g.link.Msg().GetSessionLost(); lost != nil {
			err := fmt.Errorf("%s lost the session of %s: %v", g.id, lost.PlayerId, lost.Reason)
			g.fault.CompareAndSwap(nil, &err)
		}
	}
}

// demoPlayer is one player and what the player must have.
type demoPlayer struct {
	id   handoff.PlayerID
	name string
	// at is the game the player is on; session the stay there.
	at      *demoGame
	session string
	hops    int
	data    map[string][]byte
}

// demoPlay moves the players and checks them.
type demoPlay struct {
	stage *demoStage
	games []*demoGame
	start time.Time
	left  atomic.Int64

	mu                      sync.Mutex
	shown                   int
	took                    []time.Duration
	lost, stale, duplicated int
	// onServer says which games believe to have a player.
	onServer map[handoff.PlayerID]int
	told     time.Time
}

func newPlay(stage *demoStage) (*demoPlay, error) {
	p := &demoPlay{stage: stage, onServer: map[handoff.PlayerID]int{}}
	for _, w := range stage.workers {
		game, err := openGame(context.Background(), w)
		if err != nil {
			p.close()
			return nil, err
		}
		p.games = append(p.games, game)
	}
	p.left.Store(int64(stage.options.handoffs))
	return p, nil
}

func (p *demoPlay) close() {
	for _, game := range p.games {
		_ = game.link.Close() // the worker has stopped, or is about to
		game.http.CloseIdleConnections()
	}
}

// run plays until every handoff is done.
func (p *demoPlay) run(ctx context.Context) error {
	p.stage.say("the workers settle for %v: whoever held a player before has that time to say so\n\n", p.stage.config(p.stage.workers[0]).Sync.Settle)
	var players sync.WaitGroup
	failures := make(chan error, p.stage.options.players)
	p.start = time.Now()
	for n := range p.stage.options.players {
		players.Go(func() {
			if err := p.playOne(ctx, n); err != nil {
				failures <- err
			}
		})
	}
	players.Wait()
	close(failures)
	for err := range failures {
		return err
	}
	for _, game := range p.games {
		if fault := game.fault.Load(); fault != nil {
			return *fault
		}
	}
	return nil
}

// playOne is the life of one player: join, then play, save and move on until
// all handoffs are done, and leave.
func (p *demoPlay) playOne(ctx context.Context, n int) error {
	dice := rand.New(rand.NewPCG(uint64(n), 1))
	player := &demoPlayer{id: demoPlayerID(n), name: fmt.Sprintf("Player%02d", n+1), data: demoData(dice)}
	home := p.games[n%len(p.games)]
	joined, err := p.join(ctx, home, player)
	if err != nil {
		return err
	}
	if err := p.settleIn(ctx, home, player, joined); err != nil {
		return err
	}
	if joined.Source != v1.Source_SOURCE_NEW {
		return fmt.Errorf("%s is new and was given data from %v", player.name, joined.Source)
	}
	for p.left.Add(-1) >= 0 {
		if err := p.playABit(ctx, dice, player); err != nil {
			return err
		}
		if err := p.move(ctx, dice, player); err != nil {
			return err
		}
	}
	_, err = player.at.client.Quit(ctx, &v1.QuitRequest{
		SessionId: player.session, Snapshot: demoCapture(player, "DISCONNECT"),
	})
	return explainCall(player, "quit", err)
}

// playABit changes what the player has and sometimes saves it.
func (p *demoPlay) playABit(ctx context.Context, dice *rand.Rand, player *demoPlayer) error {
	demoChange(dice, player.data)
	if dice.IntN(4) == 0 {
		_, err := player.at.client.Save(ctx, &v1.SaveRequest{
			SessionId: player.session, Snapshot: demoCapture(player, "WORLD_SAVE"),
		})
		if err != nil {
			return explainCall(player, "save", err)
		}
		demoChange(dice, player.data)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Duration(dice.IntN(100)) * time.Millisecond):
		return nil
	}
}

// move lets the player leave for another server. As behind a proxy, the new
// server often hears of the player before the old one has said goodbye.
func (p *demoPlay) move(ctx context.Context, dice *rand.Rand, player *demoPlayer) error {
	from, to := player.at, p.games[dice.IntN(len(p.games))]
	if from == to {
		to = p.games[(slices.Index(p.games, from)+1)%len(p.games)]
	}
	player.hops++
	player.data[demoHops] = []byte(strconv.Itoa(player.hops))

	type answer struct {
		joined *v1.JoinResponse
		at     time.Time
		err    error
	}
	answers := make(chan answer, 1)
	ask := func() {
		joined, err := p.join(ctx, to, player)
		answers <- answer{joined, time.Now(), err}
	}
	early := dice.IntN(3) > 0
	if early {
		go ask()
	}
	p.leave(player)
	quit := time.Now()
	_, err := from.client.Quit(ctx, &v1.QuitRequest{
		SessionId: player.session, Snapshot: demoCapture(player, "DISCONNECT"),
	})
	if err != nil {
		return explainCall(player, "quit", err)
	}
	if !early {
		quit = time.Now()
		go ask()
	}
	got := <-answers
	if got.err != nil {
		return got.err
	}
	p.judge(player, from, to, got.joined, got.at.Sub(quit))
	return p.settleIn(ctx, to, player, got.joined)
}

func (p *demoPlay) join(ctx context.Context, game *demoGame, player *demoPlayer) (*v1.JoinResponse, error) {
	response, err := game.client.Join(ctx, &v1.JoinRequest{PlayerId: player.id.String(), PlayerName: player.name})
	if err != nil {
		return nil, explainCall(player, "join "+game.id, err)
	}
	return response, nil
}

// settleIn confirms the data and puts the player on the game.
func (p *demoPlay) settleIn(ctx context.Context, game *demoGame, player *demoPlayer, joined *v1.JoinResponse) error {
	applied := true
	_, err := game.client.Confirm(ctx, &v1.ConfirmRequest{SessionId: joined.SessionId, Applied: &applied})
	if err != nil {
		return explainCall(player, "confirm", err)
	}
	player.at, player.session = game, joined.SessionId
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.onServer[player.id]++; p.onServer[player.id] > 1 {
		p.duplicated++
	}
	return nil
}

// leave takes the player off the game, before the game says so to its worker.
func (p *demoPlay) leave(player *demoPlayer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onServer[player.id]--
}

// judge compares what was delivered with what the player had.
func (p *demoPlay) judge(player *demoPlayer, from, to *demoGame, joined *v1.JoinResponse, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.took = append(p.took, took)
	if p.onServer[player.id] > 0 {
		p.duplicated++
	}
	got := joined.GetSnapshot().GetData()
	hops, err := strconv.Atoi(string(got[demoHops]))
	switch {
	case len(got) == 0 || err != nil:
		p.lost++
	case hops < player.hops:
		p.stale++
	case !sameData(got, player.data):
		p.lost++
	}
	p.show(player, from, to, joined, took)
}

// show prints the first handoffs, and then now and then how far the demo is.
func (p *demoPlay) show(player *demoPlayer, from, to *demoGame, joined *v1.JoinResponse, took time.Duration) {
	if p.shown == 0 {
		p.stage.say("%8s  %-9s %-11s %-11s %9s  %-8s %s\n", "TIME", "PLAYER", "FROM", "TO", "HANDOFF", "SOURCE", "DATA")
	}
	if p.shown++; p.shown <= shownHandoffs {
		size := 0
		for key, value := range joined.GetSnapshot().GetData() {
			size += len(key) + len(value)
		}
		p.stage.say("%7.3fs  %-9s %-11s %-11s %9s  %-8s %.1f KiB\n", time.Since(p.start).Seconds(), player.name,
			from.id, to.id, milliseconds(took), sourceName(joined.Source), float64(size)/1024)
		return
	}
	if now := time.Now(); now.Sub(p.told) > time.Second {
		p.told = now
		p.stage.say("%7.3fs  %d of %d handoffs\n", time.Since(p.start).Seconds(), p.shown, p.stage.options.handoffs)
	}
}

func sameData(got, want map[string][]byte) bool {
	if len(got) != len(want) {
		return false
	}
	for key, value := range want {
		if !bytes.Equal(got[key], value) {
			return false
		}
	}
	return true
}

func explainCall(player *demoPlayer, call string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%s: %s: %w", player.name, call, err)
}
