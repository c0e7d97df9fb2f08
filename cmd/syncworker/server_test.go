package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/handoff"
)

// testServer is one worker with its game server.
type testServer struct {
	t       *testing.T
	id      string
	socket  string
	signals chan os.Signal
	// restarts ask the worker to restart in place.
	restarts chan os.Signal
	ended    chan error
	log      *lockedBuffer
	stop     sync.Once

	game  syncworkerv1connect.PlayerServiceClient
	admin syncworkerv1connect.AdminServiceClient
	http  *http.Transport
	told  chan *v1.AttachResponse
	hang  context.CancelFunc
}

// connect makes the clients of the worker's API.
func (s *testServer) connect() {
	s.http = &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", s.socket)
		},
		MaxIdleConnsPerHost: 256,
	}
	client := &http.Client{Transport: s.http}
	s.game = syncworkerv1connect.NewPlayerServiceClient(client, "http://worker")
	s.admin = syncworkerv1connect.NewAdminServiceClient(client, "http://worker")
}

// attach opens the game link; a link that was open is left behind.
func (s *testServer) attach(boot string, resume ...string) *v1.Attached {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	link, err := s.game.Attach(ctx, &v1.AttachRequest{BootId: boot, Resume: resume})
	if err != nil || !link.Receive() {
		cancel()
		s.t.Fatalf("attach to %s: %v %v", s.id, err, link)
	}
	s.hang = cancel
	told := make(chan *v1.AttachResponse, 64)
	s.told = told
	attached := link.Msg().GetAttached()
	go func() {
		defer close(told)
		for link.Receive() {
			told <- link.Msg()
		}
	}()
	s.t.Cleanup(cancel)
	return attached
}

// settled waits until the worker grants joins.
func (s *testServer) settled() {
	s.t.Helper()
	s.eventually("the settle period ends", func() bool {
		return s.status().GetSettleUntil() == nil
	})
}

func (s *testServer) status() *v1.GetStatusResponse {
	s.t.Helper()
	status, err := s.admin.GetStatus(context.Background(), &v1.GetStatusRequest{})
	if err != nil {
		s.t.Fatalf("status of %s: %v", s.id, err)
	}
	return status
}

// eventually waits for a condition that only looking can tell.
func (s *testServer) eventually(what string, holds func() bool) {
	s.t.Helper()
	limit := time.After(patience)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-limit:
			s.t.Fatalf("%s: never happened: %s\n%s", s.id, what, s.log)
		}
	}
}

// drains waits until the game is told that the worker stops.
func (s *testServer) drains() {
	s.t.Helper()
	s.tells(func(told *v1.AttachResponse) bool { return told.GetDraining() != nil })
}

// tells waits until the game is told something; requests to check in, which any
// waiting server causes, are passed over unless they are meant.
func (s *testServer) tells(meant func(*v1.AttachResponse) bool) *v1.AttachResponse {
	s.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case told := <-s.told:
			if meant(told) {
				return told
			}
			if told.GetCheckinRequested() == nil {
				s.t.Fatalf("the game of %s was told %v", s.id, told)
			}
		case <-limit:
			s.t.Fatalf("the game of %s was not told\n%s", s.id, s.log)
		}
	}
}

// end stops the worker as an operator does and returns what it ended with.
func (s *testServer) end() error {
	s.t.Helper()
	s.stop.Do(func() { s.signals <- os.Interrupt })
	return s.endedBy()
}

// endedBy waits until the worker has ended and returns what it ended with.
func (s *testServer) endedBy() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
		return err
	case <-time.After(patience):
		s.t.Fatalf("worker %s does not stop\n%s", s.id, s.log)
		return nil
	}
}

func (s *testServer) close() {
	s.stop.Do(func() { s.signals <- os.Interrupt })
	_ = <-s.ended // end has judged it, where a test wants to know
	if s.http != nil {
		s.http.CloseIdleConnections()
	}
	if s.t.Failed() {
		s.t.Logf("log of %s:\n%s", s.id, s.log)
	}
}

// join asks for the player and fails the test when refused.
func (s *testServer) join(player handoff.PlayerID) *v1.JoinResponse {
	s.t.Helper()
	joined, err := s.tryJoin(player, patience)
	if err != nil {
		s.t.Fatalf("join %s: %v", s.id, err)
	}
	return joined
}

func (s *testServer) tryJoin(player handoff.PlayerID, wait time.Duration) (*v1.JoinResponse, error) {
	return s.game.Join(context.Background(), &v1.JoinRequest{PlayerId: player.String(), WaitTimeout: durationpb.New(wait)})
}

// enter joins and confirms.
func (s *testServer) enter(player handoff.PlayerID) *v1.JoinResponse {
	s.t.Helper()
	joined := s.join(player)
	if err := s.confirm(joined.SessionId, true); err != nil {
		s.t.Fatalf("confirm on %s: %v", s.id, err)
	}
	return joined
}

func (s *testServer) confirm(session string, applied bool) error {
	_, err := s.game.Confirm(context.Background(), &v1.ConfirmRequest{SessionId: session, Applied: &applied})
	return err
}

func (s *testServer) save(session string, snapshot *v1.Capture) (*v1.SaveResponse, error) {
	return s.game.Save(context.Background(), &v1.SaveRequest{SessionId: session, Snapshot: snapshot})
}

func (s *testServer) quit(session string, snapshot *v1.Capture) (*v1.QuitResponse, error) {
	return s.game.Quit(context.Background(), &v1.QuitRequest{SessionId: session, Snapshot: snapshot})
}

// mustQuit ends a session with one key of data.
func (s *testServer) mustQuit(session, value string) *v1.QuitResponse {
	s.t.Helper()
	left, err := s.quit(session, capturing(value))
	if err != nil {
		s.t.Fatalf("quit %s: %v", s.id, err)
	}
	s.wantCurrent(left.State)
	return left
}

// quitInTime sends the final save as a game does that repeats it until the
// worker can answer.
func (s *testServer) quitInTime(session, value string) error {
	limit := time.After(patience)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		_, err := s.quit(session, capturing(value))
		if connect.CodeOf(err) != connect.CodeUnavailable {
			return err
		}
		select {
		case <-again.C:
		case <-limit:
			return err
		}
	}
}

func capturing(value string) *v1.Capture {
	return &v1.Capture{SaveCause: "DISCONNECT", Data: map[string][]byte{"inventory": []byte(value)}}
}

// wantData fails unless the delivered inventory is value.
func wantData(t *testing.T, joined *v1.JoinResponse, source v1.Source, value string) {
	t.Helper()
	if got := string(joined.GetSnapshot().GetData()["inventory"]); got != value || joined.Source != source {
		t.Fatalf("got %q from %v, want %q from %v", got, joined.Source, value, source)
	}
}

// wantRefused fails unless err is a refusal with the code and the reason.
func wantRefused(t *testing.T, err error, code connect.Code, reason v1.ErrorReason) *v1.ErrorDetail {
	t.Helper()
	if connect.CodeOf(err) != code {
		t.Fatalf("got %v, want %v", err, code)
	}
	var refused *connect.Error
	errors.As(err, &refused)
	for _, detail := range refused.Details() {
		value, err := detail.Value()
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := value.(*v1.ErrorDetail); ok {
			if d.Reason != reason {
				t.Fatalf("got reason %v, want %v (%v)", d.Reason, reason, refused)
			}
			return d
		}
	}
	t.Fatalf("%v carries no detail", refused)
	return nil
}

// waiting starts a join and returns once the worker waits for another server.
func (s *testServer) waiting(player handoff.PlayerID) <-chan joinAnswer {
	s.t.Helper()
	answers := make(chan joinAnswer, 1)
	go func() {
		joined, err := s.tryJoin(player, patience)
		answers <- joinAnswer{joined, err}
	}()
	s.eventually("the join waits", func() bool { return s.phase(player) == "waiting" })
	return answers
}

type joinAnswer struct {
	joined *v1.JoinResponse
	err    error
}

// session returns what the worker has about a player; nil when that is nothing.
func (s *testServer) session(player handoff.PlayerID) *v1.Session {
	s.t.Helper()
	list, err := s.admin.ListSessions(context.Background(), &v1.ListSessionsRequest{})
	if err != nil {
		s.t.Fatalf("list sessions of %s: %v", s.id, err)
	}
	for _, session := range list.Sessions {
		if session.PlayerId == player.String() {
			return session
		}
	}
	return nil
}

// phase returns the player's phase on this server, "" when it knows none.
func (s *testServer) phase(player handoff.PlayerID) string {
	s.t.Helper()
	return s.session(player).GetPhase()
}

// got returns the answer of a join that waited.
func (s *testServer) got(answers <-chan joinAnswer) *v1.JoinResponse {
	s.t.Helper()
	select {
	case answer := <-answers:
		if answer.err != nil {
			s.t.Fatalf("join %s: %v", s.id, answer.err)
		}
		return answer.joined
	case <-time.After(patience):
		s.t.Fatalf("join %s is never answered\n%s", s.id, s.log)
		return nil
	}
}
