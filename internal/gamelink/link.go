package gamelink

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

// Defaults and limits.
const (
	// DefaultGrace is game.grace when nothing is configured.
	DefaultGrace = 15 * time.Second
	// DefaultAdoptWait bounds how long Attach waits for Redis to confirm the
	// sessions of an earlier run of the worker.
	DefaultAdoptWait = 5 * time.Second
	// DefaultBuffer is the number of events that may wait in one stream. The
	// largest burst is the loss of every session at once.
	DefaultBuffer = 4096
	// MaxKept bounds the losses kept for a game that is away.
	MaxKept = 16384
	// MaxBoot is the longest boot id, in bytes.
	MaxBoot = 128
)

// ErrBadGame is returned by Attach when the game's description is unusable.
var ErrBadGame = errors.New("gamelink: bad description of the game")

// Sessions is what the link needs to know of the players' sessions. The link
// calls it without holding a lock that TellLost takes.
type Sessions interface {
	// EndAll orders the end of every session and every wait.
	EndAll(reason handoff.EndReason)
	// Summary returns the state of one player, false when there is none.
	Summary(player handoff.PlayerID) (handoff.Summary, bool)
	// Summaries returns the states of all players.
	Summaries() []handoff.Summary
}

// Adopter takes in sessions that an earlier run of this worker had.
type Adopter interface {
	// Adopt makes each session live here, until Redis turns out not to confirm
	// it; from the call on, and for as long as that is not so, Sessions must
	// show it as live. It returns once that is decided for each of them, or at
	// the end of ctx. No two of the sessions are of one player.
	Adopt(ctx context.Context, sessions []handoff.SessionID)
}

// Config of a Link.
type Config struct {
	// Adopter is asked for the sessions that the first game names. Nil means
	// that they are lost.
	Adopter Adopter
	// AdoptWait bounds the call of Adopter. Zero means DefaultAdoptWait.
	AdoptWait time.Duration
	// Grace is game.grace: how long a game may be away before its sessions end.
	// Zero means DefaultGrace.
	Grace time.Duration
	// Buffer is the number of events that may wait in one stream. Zero means
	// DefaultBuffer.
	Buffer int
	// Logger must not be nil.
	Logger hclog.Logger
}

// Game describes the game server that attaches.
type Game struct {
	// Boot names one run of the game server process: 1 to MaxBoot bytes, chosen
	// at random by the game at its start.
	Boot string
	// Platform and Version are for snapshots and people, at most
	// handoff.MaxLabel bytes each; may be empty.
	Platform string
	Version  string
}

func (g Game) validate() error {
	switch {
	case g.Boot == "":
		return fmt.Errorf("%w: the boot id is empty (choose a random one at each start of the game)", ErrBadGame)
	case len(g.Boot) > MaxBoot:
		return fmt.Errorf("%w: the boot id has %d bytes (at most %d)", ErrBadGame, len(g.Boot), MaxBoot)
	case len(g.Platform) > handoff.MaxLabel:
		return fmt.Errorf("%w: the platform has %d bytes (at most %d)", ErrBadGame, len(g.Platform), handoff.MaxLabel)
	case len(g.Version) > handoff.MaxLabel:
		return fmt.Errorf("%w: the game version has %d bytes (at most %d)", ErrBadGame, len(g.Version), handoff.MaxLabel)
	}
	return nil
}

// Attached is the answer to Attach. The lists have no particular order.
type Attached struct {
	// Resumed are the sessions that the game named and that go on.
	Resumed []handoff.SessionID
	// Lost are the sessions that are over: those the game named that do not
	// live here, and those that were lost while it was away.
	Lost []handoff.SessionID
}

// State describes the link for people.
type State struct {
	// Open means that a stream is open.
	Open bool
	// Attached means that a stream is open, or was within game.grace.
	Attached bool
	// Game is the one that attached last; zero when none ever did.
	Game Game
	// Since is when the stream was opened or, when it is not open, when it
	// ended.
	Since time.Time
	// LastSeen is the game's last sign of life.
	LastSeen time.Time
}

// Link is the worker's end of the game link. Its methods may be called from any
// goroutine.
type Link struct {
	sessions Sessions
	adopter  Adopter
	wait     time.Duration
	grace    time.Duration
	buffer   int
	log      hclog.Logger
	first    chan struct{}
	// closing ends, by stop, when Close is called.
	closing context.Context
	stop    context.CancelFunc

	// seen is the last sign of life, in nanoseconds since 1970; 0 before any.
	seen atomic.Int64

	// turn makes the changes of game one at a time; it is held while Sessions
	// is called. Taken before mu, never the other way round.
	turn sync.Mutex

	// mu guards what follows. It is never held over a call to the outside, so
	// that TellLost cannot block whoever calls it.
	mu sync.Mutex
	// game is the one that attached last.
	game Game
	// alive: the game's sessions may go on. Invariant: stream != nil => alive.
	alive  bool
	stream *Stream
	since  time.Time
	timer  *time.Timer
	// epoch counts attaches and detaches, so that a grace timer which fires
	// late sees that it is out of date.
	epoch uint64
	// kept are the losses that the game has not been told, at most MaxKept;
	// overflow means that there were more.
	kept     map[handoff.SessionID]struct{}
	overflow bool
	// deadline is of the drain; zero when there is none.
	deadline time.Time
	closed   bool
}

// New returns a link without a game.
func New(sessions Sessions, config Config) *Link {
	if config.Grace <= 0 {
		config.Grace = DefaultGrace
	}
	if config.Buffer <= 0 {
		config.Buffer = DefaultBuffer
	}
	if config.AdoptWait <= 0 {
		config.AdoptWait = DefaultAdoptWait
	}
	closing, stop := context.WithCancel(context.Background())
	return &Link{
		sessions: sessions,
		adopter:  config.Adopter,
		wait:     config.AdoptWait,
		closing:  closing,
		stop:     stop,
		grace:    config.Grace,
		buffer:   config.Buffer,
		log:      config.Logger,
		first:    make(chan struct{}),
		kept:     map[handoff.SessionID]struct{}{},
	}
}

// TellLost tells the game that a session is over. It never blocks. While no
// stream is open the loss is kept for the answer of the next Attach.
func (l *Link) TellLost(lost handoff.TellLost) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.game.Boot == "" {
		return
	}
	if l.stream == nil {
		l.keep(lost.Session)
		return
	}
	if !l.push(SessionLost{Session: lost.Session, Reason: lost.Reason, NewHolder: lost.NewHolder}) {
		l.keep(lost.Session)
	}
}

// AskCheckIn tells the game that another server waits for a player. It never
// blocks. It is a hint that comes again as long as it holds, so one for which
// there is no stream, or little room in it, is dropped.
func (l *Link) AskCheckIn(asked handoff.AskCheckIn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stream == nil || len(l.stream.events) >= cap(l.stream.events)/2 {
		return
	}
	l.push(CheckInRequested{Session: asked.Session, By: asked.By})
}

// Draining tells the game, and every game that attaches from now on, that the
// worker is stopping and until when it takes final saves.
func (l *Link) Draining(deadline time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = deadline
	if l.stream != nil {
		l.push(Draining{Deadline: deadline})
	}
}

// Seen notes a sign of life of the game, for State. It is cheap enough for
// every call of the local API.
func (l *Link) Seen() {
	l.seen.Store(time.Now().UnixNano())
}

// Attached reports whether a game is there: a stream is open, or broke less
// than game.grace ago. Joins are refused with ReasonNotAttached otherwise.
func (l *Link) Attached() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alive
}

// FirstAttach is closed once the first game has attached.
func (l *Link) FirstAttach() <-chan struct{} { return l.first }

// State describes the link.
func (l *Link) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := State{Open: l.stream != nil, Attached: l.alive, Game: l.game, Since: l.since}
	if seen := l.seen.Load(); seen != 0 {
		state.LastSeen = time.Unix(0, seen)
	}
	return state
}

// forget drops the losses that wait for the game. Callers hold mu.
func (l *Link) forget() {
	clear(l.kept)
	l.overflow = false
}

// Close ends the stream with ErrClosed and stops the grace timer; sessions are
// left as they are. It may be called more than once.
func (l *Link) Close() {
	l.stop()
	// Waiting for the turn waits for a grace timer that is at work.
	l.turn.Lock()
	defer l.turn.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.alive = false
	l.stopTimer()
	if l.stream != nil {
		l.endStream(ErrClosed)
	}
}

// push hands an event to the open stream and reports whether it fitted; if not,
// the stream is over and grace counts. Callers hold mu.
func (l *Link) push(event Event) bool {
	select {
	case l.stream.events <- event:
		return true
	default:
	}
	l.log.Warn("game reads its events too slowly, its stream is ended", "boot-id", l.game.Boot, "waiting", l.buffer)
	l.endStream(ErrOverrun)
	l.startGrace()
	return false
}

// keep remembers a loss for the next Attach. Callers hold mu.
func (l *Link) keep(session handoff.SessionID) {
	if len(l.kept) < MaxKept {
		l.kept[session] = struct{}{}
		return
	}
	if _, known := l.kept[session]; known || l.overflow {
		return
	}
	l.overflow = true
	l.log.Error("too many session losses wait for the game, it must name its sessions when it attaches",
		"boot-id", l.game.Boot, "kept", len(l.kept))
}

// endStream ends the open stream and keeps the losses nobody has read. Callers
// hold mu.
func (l *Link) endStream(cause error) {
	stream := l.stream
	l.stream = nil
	l.epoch++
	l.since = time.Now()
	stream.err = cause
	close(stream.done)
	for {
		select {
		case event := <-stream.events:
			if lost, ok := event.(SessionLost); ok {
				l.keep(lost.Session)
			}
		default:
			return
		}
	}
}
