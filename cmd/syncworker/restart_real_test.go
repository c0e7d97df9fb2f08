//go:build real

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
)

// playingGame is a game server whose players save all the time, and that does
// what the guide for game servers says when its worker goes away: it freezes its
// players, attaches again naming their sessions, and goes on.
type playingGame struct {
	t      *testing.T
	worker *process

	// thawed is held for reading during calls, and for writing while the link
	// is broken.
	thawed  sync.RWMutex
	players []*savingPlayer

	mu sync.Mutex
	// attached counts how often the link came up.
	attached int
}

// savingPlayer plays on a playingGame.
type savingPlayer struct {
	id      handoff.PlayerID
	session string

	mu sync.Mutex
	// tried and acknowledged number the saves.
	tried, acknowledged int
}

// pause is how long a game waits between two attempts and two saves.
const pause = 20 * time.Millisecond

// keepAttached holds the link until ctx ends.
func (g *playingGame) keepAttached(ctx context.Context, up chan<- struct{}) {
	g.thawed.Lock()
	for ctx.Err() == nil {
		link, err := g.worker.game.Attach(ctx, &v1.AttachRequest{BootId: "boot-" + g.worker.id, Resume: g.sessions()})
		if err != nil || !link.Receive() {
			wait(ctx, pause)
			continue
		}
		if attached := link.Msg().GetAttached(); len(attached.GetLost()) > 0 || len(attached.GetResumed()) != len(g.players) {
			g.t.Errorf("attached with %v, want %d sessions resumed", attached, len(g.players))
		}
		g.mu.Lock()
		g.attached++
		g.mu.Unlock()
		up <- struct{}{}
		g.thawed.Unlock()
		for link.Receive() {
			if lost := link.Msg().GetSessionLost(); lost != nil {
				g.t.Errorf("the game was told %v", lost)
			}
		}
		g.thawed.Lock()
	}
	g.thawed.Unlock()
}

func (g *playingGame) sessions() []string {
	var sessions []string
	for _, p := range g.players {
		sessions = append(sessions, p.session)
	}
	return sessions
}

// play saves a player over and over until ctx ends.
func (g *playingGame) play(ctx context.Context, p *savingPlayer) {
	for ctx.Err() == nil {
		g.thawed.RLock()
		p.mu.Lock()
		p.tried++
		number := p.tried
		p.mu.Unlock()
		c := capturing(strconv.Itoa(number))
		c.CaptureSequence = uint64(number)
		_, err := g.worker.save(p.session, c)
		g.thawed.RUnlock()
		switch {
		case err == nil:
			p.mu.Lock()
			p.acknowledged = number
			p.mu.Unlock()
		case !mayRepeat(err):
			g.t.Errorf("save %d of %s: %v", number, p.id, err)
			return
		}
		wait(ctx, pause)
	}
}

// mayRepeat tells whether the guide has a game try again: no answer came, or
// the worker or what it needs is not there at the moment.
func mayRepeat(err error) bool {
	refused, answered := errors.AsType[*connect.Error](err)
	if !answered || len(refused.Details()) == 0 {
		return true
	}
	return connect.CodeOf(err) == connect.CodeUnavailable
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// goesOn waits until every player has been saved a few more times.
func (g *playingGame) goesOn() {
	g.t.Helper()
	for _, p := range g.players {
		before := p.count()
		g.worker.eventually("all are saved again", func() bool { return p.count() > before+2 })
	}
}

func (p *savingPlayer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acknowledged
}

// restarted restarts the worker in place and returns when the game is attached
// to the next incarnation.
func (g *playingGame) restarted(up <-chan struct{}) {
	g.t.Helper()
	began := time.Now()
	g.worker.signal(syscall.SIGUSR2)
	within(g.t, "the game is attached again", up)
	g.t.Logf("restarted in place under load: the game was attached again after %v", time.Since(began).Round(time.Millisecond))
	g.worker.alive()
}

// SIGUSR2 restarts a worker in place while players play and are saved, and while
// others wait for them elsewhere: the process stays, nobody is taken over, every
// session goes on, nothing that was acknowledged is lost. The second time another
// version of the program stands where the first one was started from.
func TestRestartInPlace(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, newRealServer(t, usual).withoutDenials())
	path := filepath.Join(n.folder, "program")
	copyProgram(t, path)
	b := n.played("b", "boot-b")
	a := n.launchProgram(path, "a")
	a.listens()
	game := &playingGame{t: t, worker: a}
	up := make(chan struct{}, 1)
	life, over := context.WithCancel(context.Background())
	var link, play sync.WaitGroup
	link.Go(func() { game.keepAttached(life, up) })
	within(t, "the game is attached", up)
	a.settled()

	const players, waitedFor = 20, 5
	for i := range players {
		session := a.enter(playerNumber(i)).SessionId
		game.players = append(game.players, &savingPlayer{id: playerNumber(i), session: session, tried: 1})
		if _, err := a.save(session, &v1.Capture{CaptureSequence: 1, Data: map[string][]byte{"hat": []byte("red")}}); err != nil {
			t.Fatal(err)
		}
	}
	playing, stop := context.WithCancel(life)
	for _, p := range game.players {
		play.Go(func() { game.play(playing, p) })
	}
	t.Cleanup(func() { over(); stop(); link.Wait(); play.Wait() })
	var answers []<-chan joinAnswer
	for i := range waitedFor {
		answers = append(answers, b.waiting(playerNumber(i)))
	}
	pid := a.cmd.Process.Pid
	game.goesOn()
	game.restarted(up)
	game.goesOn()
	replaceProgram(t, path)
	game.restarted(up)
	game.goesOn()

	if got := a.status().GetVersion(); got != replacedVersion {
		t.Errorf("version %q runs, want %q", got, replacedVersion)
	}
	if file, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || file != path {
		t.Errorf("process %d runs %q, %v; want %q", pid, file, err, path)
	}
	stop()
	play.Wait()
	game.leave(b, answers)
	for _, text := range []string{"kind=taken-over", "kind=stolen"} {
		if strings.Contains(b.log.String(), text) {
			t.Errorf("b's log has %q", text)
		}
	}
}

// leave lets all players quit, every second one without data, and go to another
// server, on which the first ones wait already.
func (g *playingGame) leave(to *process, answers []<-chan joinAnswer) {
	g.t.Helper()
	for i, p := range g.players {
		var final *v1.Capture
		allowed := []string{"final"}
		if i%2 == 0 {
			final = &v1.Capture{Data: map[string][]byte{"inventory": []byte("final")}}
		} else {
			allowed = nil // what was acknowledged last, or tried after it
			for number := p.acknowledged; number <= p.tried; number++ {
				allowed = append(allowed, strconv.Itoa(number))
			}
		}
		if _, err := g.worker.quit(p.session, final); err != nil {
			g.t.Fatalf("quit of player %d: %v", i, err)
		}
		var joined *v1.JoinResponse
		if i < len(answers) {
			joined = to.got(answers[i])
		} else {
			joined = to.join(p.id)
		}
		data := joined.GetSnapshot().GetData()
		if got := string(data["inventory"]); !slices.Contains(allowed, got) {
			g.t.Errorf("player %d: got %q, want one of %q", i, got, allowed)
		}
		if string(data["hat"]) != "red" {
			g.t.Errorf("player %d: the hat of before the restarts is %q", i, data["hat"])
		}
	}
}

func copyProgram(t *testing.T, path string) {
	t.Helper()
	from, err := program()
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o700); err != nil { //nolint:gosec // a program must be executable
		t.Fatal(err)
	}
}

// replacedVersion is what the program says of itself that an upgrade brings.
const replacedVersion = "9.9.9-test"

// replaceProgram does what an upgrade does: a new file takes the old one's name.
func replaceProgram(t *testing.T, path string) {
	t.Helper()
	if err := buildProgram(path+".new", "-ldflags", "-X main.version="+replacedVersion); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}
