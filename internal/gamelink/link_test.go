package gamelink_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/syncworker/syncworker/internal/gamelink"
	"github.com/syncworker/syncworker/internal/handoff"
)

// fakeSessions is a driver with instant ends.
type fakeSessions struct {
	mu    sync.Mutex
	live  map[handoff.PlayerID]handoff.SessionID
	ended []handoff.EndReason
	// onEnd runs inside EndAll.
	onEnd func()
}

func newSessions(sessions ...handoff.SessionID) *fakeSessions {
	fake := &fakeSessions{live: map[handoff.PlayerID]handoff.SessionID{}}
	for _, s := range sessions {
		fake.live[s.Player] = s
	}
	return fake
}

func (f *fakeSessions) EndAll(reason handoff.EndReason) {
	f.mu.Lock()
	clear(f.live)
	f.ended = append(f.ended, reason)
	hook := f.onEnd
	f.mu.Unlock()
	if hook != nil {
		hook()
	}
}

func (f *fakeSessions) Summary(player handoff.PlayerID) (handoff.Summary, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.live[player]
	return handoff.Summary{Player: player, Session: s, Live: ok}, ok
}

func (f *fakeSessions) Summaries() []handoff.Summary {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []handoff.Summary
	for _, s := range f.live {
		all = append(all, handoff.Summary{Player: s.Player, Session: s, Live: true})
	}
	return all
}

func (f *fakeSessions) join(s handoff.SessionID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.live[s.Player] = s
}

func (f *fakeSessions) reasons() []handoff.EndReason {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ended)
}

func session(n byte) handoff.SessionID {
	return handoff.SessionID{Player: handoff.PlayerID{15: n}, Fence: handoff.Fence(n)}
}

func newLink(t *testing.T, sessions gamelink.Sessions, config gamelink.Config) (*gamelink.Link, *strings.Builder) {
	t.Helper()
	var log strings.Builder
	config.Logger = hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Debug})
	link := gamelink.New(sessions, config)
	t.Cleanup(link.Close)
	return link, &log
}

func attach(t *testing.T, link *gamelink.Link, boot string, resume ...handoff.SessionID) (*gamelink.Stream, gamelink.Attached) {
	t.Helper()
	stream, answer, err := link.Attach(gamelink.Game{Boot: boot, Platform: "bukkit", Version: "1.21.4"}, resume)
	if err != nil {
		t.Fatalf("Attach(%q): %v", boot, err)
	}
	return stream, answer
}

func wantAnswer(t *testing.T, got gamelink.Attached, resumed, lost []handoff.SessionID) {
	t.Helper()
	order := func(a, b handoff.SessionID) int { return int(a.Fence - b.Fence) }
	slices.SortFunc(got.Resumed, order)
	slices.SortFunc(got.Lost, order)
	if !slices.Equal(got.Resumed, resumed) || !slices.Equal(got.Lost, lost) {
		t.Errorf("got resumed %v and lost %v, want %v and %v", got.Resumed, got.Lost, resumed, lost)
	}
}

func wantEnded(t *testing.T, stream *gamelink.Stream, want error) {
	t.Helper()
	select {
	case <-stream.Done():
	default:
		t.Fatalf("the stream is open, want it ended by: %v", want)
	}
	if got := stream.Err(); !errors.Is(got, want) {
		t.Errorf("Err() = %v, want %v", got, want)
	}
}

func wantReasons(t *testing.T, sessions *fakeSessions, want ...handoff.EndReason) {
	t.Helper()
	if got := sessions.reasons(); !slices.Equal(got, want) {
		t.Errorf("sessions were ended for %v, want %v", got, want)
	}
}

// wantNext expects the next event to have arrived already.
func wantNext(t *testing.T, stream *gamelink.Stream, want gamelink.Event) {
	t.Helper()
	select {
	case got := <-stream.Events():
		if got != want {
			t.Errorf("event %+v, want %+v", got, want)
		}
	default:
		t.Errorf("no event, want %+v", want)
	}
}

func TestNoGame(t *testing.T) {
	link, _ := newLink(t, newSessions(), gamelink.Config{})
	if link.Attached() {
		t.Error("Attached() before any Attach")
	}
	link.TellLost(handoff.TellLost{Session: session(1)})
	_, answer := attach(t, link, "boot-1")
	wantAnswer(t, answer, nil, nil)
}

func TestFirstAttach(t *testing.T) {
	sessions := newSessions()
	link, _ := newLink(t, sessions, gamelink.Config{})
	select {
	case <-link.FirstAttach():
		t.Fatal("FirstAttach is closed before any game attached")
	default:
	}
	stream, answer := attach(t, link, "boot-1", session(1), session(2))
	select {
	case <-link.FirstAttach():
	default:
		t.Error("FirstAttach is open after a game attached")
	}
	// Sessions of an earlier incarnation of the worker.
	wantAnswer(t, answer, nil, []handoff.SessionID{session(1), session(2)})
	wantReasons(t, sessions)
	state := link.State()
	if !state.Open || !state.Attached || state.Game.Platform != "bukkit" || state.Since.IsZero() || state.LastSeen.IsZero() {
		t.Errorf("State() = %+v", state)
	}
	if err := stream.Err(); err != nil {
		t.Errorf("Err() of an open stream = %v", err)
	}
}

func TestSameBootReplaces(t *testing.T) {
	sessions := newSessions(session(1), session(2))
	link, _ := newLink(t, sessions, gamelink.Config{})
	older, _ := attach(t, link, "boot-1")
	sessions.join(session(1))
	sessions.join(session(2))
	lost := handoff.TellLost{Session: session(3), Reason: handoff.ReasonSessionLost, NewHolder: "lobby"}
	link.TellLost(lost)

	newer, answer := attach(t, link, "boot-1", session(1), session(4))
	wantEnded(t, older, gamelink.ErrReplaced)
	// 2 lives and was not named: it stays. 3 was not read from the old stream.
	wantAnswer(t, answer, []handoff.SessionID{session(1)}, []handoff.SessionID{session(3), session(4)})
	wantReasons(t, sessions)

	older.Close() // the handler of the old stream returns late
	if !link.State().Open {
		t.Error("closing the replaced stream ended the newer one")
	}
	link.TellLost(lost)
	wantNext(t, newer, gamelink.SessionLost{Session: session(3), Reason: handoff.ReasonSessionLost, NewHolder: "lobby"})
}

func TestOtherBootEndsSessions(t *testing.T) {
	sessions := newSessions()
	link, log := newLink(t, sessions, gamelink.Config{})
	older, _ := attach(t, link, "boot-1")
	sessions.join(session(1))
	link.TellLost(handoff.TellLost{Session: session(2)})
	sessions.onEnd = func() {
		if link.Attached() {
			t.Error("the new game was announced before the sessions of the old one ended")
		}
		link.TellLost(handoff.TellLost{Session: session(1)})
	}
	_, answer := attach(t, link, "boot-2", session(1))
	wantEnded(t, older, gamelink.ErrOtherGame)
	wantReasons(t, sessions, handoff.EndGameRestarted)
	// Session 2 is of the old game, and the new one did not name it.
	wantAnswer(t, answer, nil, []handoff.SessionID{session(1)})
	if got := log.String(); !strings.Contains(got, "old-boot-id=boot-1") || !strings.Contains(got, "new-boot-id=boot-2") {
		t.Errorf("the log does not name both games: %s", got)
	}
}

func TestGrace(t *testing.T) {
	t.Run("re-attach in time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sessions := newSessions()
			link, _ := newLink(t, sessions, gamelink.Config{Grace: 15 * time.Second})
			stream, _ := attach(t, link, "boot-1")
			sessions.join(session(1))
			stream.Close()
			wantEnded(t, stream, gamelink.ErrDetached)
			time.Sleep(14 * time.Second)
			if state := link.State(); state.Open || !state.Attached || !link.Attached() {
				t.Errorf("State() within grace = %+v", state)
			}
			link.TellLost(handoff.TellLost{Session: session(9)})
			_, answer := attach(t, link, "boot-1", session(1))
			wantAnswer(t, answer, []handoff.SessionID{session(1)}, []handoff.SessionID{session(9)})
			time.Sleep(time.Minute)
			wantReasons(t, sessions)
		})
	})
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sessions := newSessions()
			link, _ := newLink(t, sessions, gamelink.Config{})
			stream, _ := attach(t, link, "boot-1")
			sessions.join(session(1))
			stream.Close()
			time.Sleep(gamelink.DefaultGrace + time.Millisecond)
			synctest.Wait()
			wantReasons(t, sessions, handoff.EndGameGone)
			if link.Attached() {
				t.Error("Attached() after grace")
			}
			// Back under the same boot id, and it names nothing.
			_, answer := attach(t, link, "boot-1")
			wantAnswer(t, answer, nil, []handoff.SessionID{session(1)})
		})
	})
	t.Run("another boot within grace", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sessions := newSessions()
			link, _ := newLink(t, sessions, gamelink.Config{})
			stream, _ := attach(t, link, "boot-1")
			stream.Close()
			time.Sleep(time.Second)
			attach(t, link, "boot-2")
			wantReasons(t, sessions, handoff.EndGameRestarted)
			time.Sleep(time.Minute)
			wantReasons(t, sessions, handoff.EndGameRestarted)
		})
	})
}

func TestOverrunLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		link, _ := newLink(t, newSessions(), gamelink.Config{Buffer: 2})
		stream, _ := attach(t, link, "boot-1")
		for n := byte(1); n <= 4; n++ {
			link.TellLost(handoff.TellLost{Session: session(n)})
		}
		wantEnded(t, stream, gamelink.ErrOverrun)
		if !link.Attached() {
			t.Error("an overrun must leave the game its grace")
		}
		_, answer := attach(t, link, "boot-1")
		wantAnswer(t, answer, nil, []handoff.SessionID{session(1), session(2), session(3), session(4)})
	})
}

func TestDraining(t *testing.T) {
	link, _ := newLink(t, newSessions(), gamelink.Config{})
	deadline := time.Unix(1_700_000_000, 0)
	stream, _ := attach(t, link, "boot-1")
	link.Draining(deadline)
	wantNext(t, stream, gamelink.Draining{Deadline: deadline})
	later, _ := attach(t, link, "boot-1")
	wantNext(t, later, gamelink.Draining{Deadline: deadline})
}

func TestKeptIsBounded(t *testing.T) {
	link, log := newLink(t, newSessions(), gamelink.Config{})
	stream, _ := attach(t, link, "boot-1")
	stream.Close()
	for n := range gamelink.MaxKept + 10 {
		id := handoff.SessionID{Player: handoff.PlayerID{byte(n), byte(n >> 8), byte(n >> 16)}, Fence: 1}
		link.TellLost(handoff.TellLost{Session: id})
		link.TellLost(handoff.TellLost{Session: id})
	}
	_, answer := attach(t, link, "boot-1")
	if got := len(answer.Lost); got != gamelink.MaxKept {
		t.Errorf("%d losses kept, want %d", got, gamelink.MaxKept)
	}
	if !strings.Contains(log.String(), "too many session losses") {
		t.Error("the overflow was not logged")
	}
}

func TestBadGame(t *testing.T) {
	link, _ := newLink(t, newSessions(), gamelink.Config{})
	for name, game := range map[string]gamelink.Game{
		"no boot id":    {},
		"long boot id":  {Boot: strings.Repeat("b", gamelink.MaxBoot+1)},
		"long platform": {Boot: "b", Platform: strings.Repeat("p", handoff.MaxLabel+1)},
		"long version":  {Boot: "b", Version: strings.Repeat("v", handoff.MaxLabel+1)},
	} {
		if _, _, err := link.Attach(game, nil); !errors.Is(err, gamelink.ErrBadGame) {
			t.Errorf("%s: error %v, want ErrBadGame", name, err)
		}
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions := newSessions()
		link, _ := newLink(t, sessions, gamelink.Config{})
		stream, _ := attach(t, link, "boot-1")
		link.Close()
		link.Close()
		wantEnded(t, stream, gamelink.ErrClosed)
		if _, _, err := link.Attach(gamelink.Game{Boot: "boot-1"}, nil); !errors.Is(err, gamelink.ErrClosed) {
			t.Errorf("Attach after Close: %v, want ErrClosed", err)
		}
		stream.Close()
		time.Sleep(time.Minute)
		wantReasons(t, sessions)
	})
}

// TestStress attaches, detaches and replaces from many goroutines. Under the
// race detector it shows that the link's state is guarded; in the end the last
// stream standing must be the only open one.
func TestStress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sessions := newSessions()
		link, _ := newLink(t, sessions, gamelink.Config{Grace: time.Millisecond, Buffer: 2})
		var wg sync.WaitGroup
		for n := range 16 {
			wg.Go(func() {
				boot := []string{"boot-1", "boot-1", "boot-2"}[n%3]
				for round := range 200 {
					stream, _, err := link.Attach(gamelink.Game{Boot: boot}, []handoff.SessionID{session(byte(n))})
					if err != nil {
						t.Errorf("Attach: %v", err)
						return
					}
					sessions.join(session(byte(n)))
					link.TellLost(handoff.TellLost{Session: session(byte(round))})
					link.Seen()
					_ = link.State()
					select {
					case <-stream.Events():
					case <-stream.Done():
					default:
					}
					if round%3 == 0 {
						time.Sleep(time.Duration(n) * 200 * time.Microsecond)
					}
					stream.Close()
					if stream.Err() == nil {
						t.Error("a closed stream has no error")
					}
				}
			})
		}
		wg.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		if state := link.State(); state.Open || state.Attached {
			t.Errorf("State() with every stream closed = %+v", state)
		}
	})
}
