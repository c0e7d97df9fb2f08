package localapi_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/localapi"
)

// At a stop, waits and streams end at once and say why, and a save that runs is
// answered.
func TestStop(t *testing.T) {
	b := newBed(t, nil)
	entered, leave := make(chan string), make(chan struct{})
	b.sessions.onJoin = func(ctx context.Context, _ handoff.PlayerID, _ string, _ time.Duration) (*handoff.Grant, error) {
		entered <- "join"
		<-ctx.Done()
		return nil, ctx.Err()
	}
	b.sessions.onQuit = func(context.Context, handoff.SessionID, *handoff.Capture) (*handoff.Receipt, error) {
		entered <- "quit"
		<-leave
		return &handoff.Receipt{State: handoff.StateCurrent}, nil
	}
	stream, _ := attach(t, b.client.Players)
	joined, quit := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
		joined <- err
	}()
	go func() {
		_, err := dial(t, b.listen, "", false).Players.Quit(t.Context(), &v1.QuitRequest{SessionId: theSession.String()})
		quit <- err
	}()
	<-entered
	<-entered

	b.server.Interrupt(nil)
	wantError(t, <-joined, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DRAINING)
	if stream.Receive() {
		t.Errorf("event %v after the stop", stream.Msg())
	}
	wantError(t, stream.Err(), connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DRAINING)
	close(leave)
	if err := <-quit; err != nil {
		t.Errorf("the quit that ran: %v", err)
	}
	b.stop(t)
	if _, err := os.Lstat(b.server.Addr().String()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// What does not end by itself is cut off, and Execute still returns.
func TestStopCutsOff(t *testing.T) {
	b := newBed(t, func(c *localapi.Config) { c.StopTimeout = 20 * time.Millisecond })
	entered := make(chan struct{})
	b.sessions.onSave = func(ctx context.Context, _ handoff.SessionID, _ *handoff.Capture) (*handoff.Receipt, error) {
		close(entered)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	saved := make(chan error, 1)
	go func() {
		_, err := b.client.Players.Save(t.Context(), &v1.SaveRequest{SessionId: theSession.String(), Snapshot: &v1.Capture{}})
		saved <- err
	}()
	<-entered
	b.stop(t)
	if code := connect.CodeOf(<-saved); code != connect.CodeUnavailable {
		t.Errorf("the save got %s, want unavailable", code)
	}
	if !strings.Contains(b.log.String(), "calls are cut off") {
		t.Error("the log does not tell")
	}
}

func TestInterruptBeforeExecute(t *testing.T) {
	for range 100 {
		server, err := newServer(t, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := server.Listen(); err != nil {
			t.Fatal(err)
		}
		path := server.Addr().String()
		var wg sync.WaitGroup
		wg.Go(func() { server.Interrupt(errors.New("another actor ended")) })
		wg.Go(func() {
			if err := server.Execute(); err != nil {
				t.Errorf("Execute: %v", err)
			}
		})
		wg.Wait()
		server.Interrupt(nil)
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("the socket is still there: %v", err)
		}
	}
	server, err := newServer(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if server.Addr() != nil {
		t.Error("an address before Listen")
	}
	server.Interrupt(nil)
	if err := server.Listen(); !errors.Is(err, localapi.ErrStopped) {
		t.Errorf("Listen after Interrupt: %v, want ErrStopped", err)
	}
}

// Execute listens by itself, and its error is that of Listen.
func TestExecuteListens(t *testing.T) {
	b := newBed(t, nil)
	server, err := newServer(t, func(c *localapi.Config) { c.Listen = b.listen })
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Execute(); !errors.Is(err, localapi.ErrInUse) {
		t.Errorf("Execute: %v, want ErrInUse", err)
	}
	if err := b.server.Listen(); err != nil {
		t.Errorf("a second Listen: %v", err)
	}
}

// An end that nobody asked for is an error.
func TestServeFails(t *testing.T) {
	server, err := newServer(t, func(c *localapi.Config) {
		c.Listen, c.TokenFile = "tcp://127.0.0.1:0", tokenFile(t, strings.Repeat("t", 32), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Listen(); err != nil {
		t.Fatal(err)
	}
	server.BreakListener()
	if err := server.Execute(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Execute: %v, want the listener's error", err)
	}
}

func TestBadConfig(t *testing.T) {
	for name, change := range map[string]func(*localapi.Config){
		"no server":     func(c *localapi.Config) { c.Server = "" },
		"negative wait": func(c *localapi.Config) { c.WaitTimeout = -1 },
		"negative size": func(c *localapi.Config) { c.MaxSnapshot = -1 },
	} {
		if _, err := newServer(t, change); !errors.Is(err, localapi.ErrBadConfig) {
			t.Errorf("%s: %v, want ErrBadConfig", name, err)
		}
	}
	if _, err := localapi.New(localapi.Ports{}, localapi.Config{Server: "s", Listen: "unix:///x"}); !errors.Is(err, localapi.ErrBadConfig) {
		t.Errorf("no ports: %v, want ErrBadConfig", err)
	}
	b := newBed(t, nil)
	if _, err := localapi.New(b.ports(), localapi.Config{Server: "s", Listen: "unix:///x"}); !errors.As(err, new(prometheus.AlreadyRegisteredError)) {
		t.Errorf("metrics registered twice: %v", err)
	}
}
