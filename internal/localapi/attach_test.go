package localapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/localapi"
)

type attachStream = connect.ServerStreamForClient[v1.AttachResponse]

// attach opens a stream and reads its first event.
func attach(t *testing.T, client syncworkerv1connect.PlayerServiceClient, resume ...string) (*attachStream, *v1.Attached) {
	t.Helper()
	stream, err := client.Attach(t.Context(), &v1.AttachRequest{
		BootId: "boot-1", Platform: "bukkit", GameVersion: "1.21.4", Resume: resume,
	})
	if err != nil {
		t.Fatalf("Attach: %v", err)
	}
	if !stream.Receive() {
		t.Fatalf("Attach: %v", stream.Err())
	}
	if stream.Msg().GetAttached() == nil {
		t.Fatalf("the first event is %v, want attached", stream.Msg())
	}
	return stream, stream.Msg().GetAttached()
}

func TestAttach(t *testing.T) {
	b := newBed(t, nil)
	other := handoff.SessionID{Player: handoff.PlayerID{1}, Fence: 2}
	b.game.answer = localapi.Attached{Resumed: []handoff.SessionID{theSession}, Lost: []handoff.SessionID{other}}
	forEachProtocol(t, b, func(t *testing.T, client syncworkerv1connect.PlayerServiceClient) {
		b.game.stream.closed = make(chan struct{})
		stream, attached := attach(t, client, theSession.String(), other.String())
		if !slices.Equal(attached.GetResumed(), []string{theSession.String()}) || !slices.Equal(attached.GetLost(), []string{other.String()}) {
			t.Errorf("attached = %v", attached)
		}
		if !slices.Equal(b.game.resume, []handoff.SessionID{theSession, other}) {
			t.Errorf("resume = %v", b.game.resume)
		}
		if got, want := b.game.State().Game, (localapi.Game{Boot: "boot-1", Platform: "bukkit", Version: "1.21.4"}); got != want {
			t.Errorf("game = %+v", got)
		}

		b.game.stream.events <- localapi.SessionLost{Session: theSession, Reason: handoff.ReasonSessionLost, NewHolder: "lobby"}
		if !stream.Receive() {
			t.Fatalf("no event: %v", stream.Err())
		}
		lost := stream.Msg().GetSessionLost()
		if lost.GetSessionId() != theSession.String() || lost.GetPlayerId() != playerText || lost.GetNewHolder() != "lobby" ||
			lost.GetReason() != v1.ErrorReason_ERROR_REASON_SESSION_LOST {
			t.Errorf("session lost = %v", lost)
		}

		b.game.stream.events <- localapi.CheckInRequested{Session: theSession, By: "lobby"}
		if !stream.Receive() {
			t.Fatalf("no event: %v", stream.Err())
		}
		asked := stream.Msg().GetCheckinRequested()
		if asked.GetSessionId() != theSession.String() || asked.GetPlayerId() != playerText || asked.GetByServer() != "lobby" {
			t.Errorf("check-in requested = %v", asked)
		}

		deadline := time.Unix(1_800_000_000, 0)
		b.game.stream.events <- localapi.Draining{Deadline: deadline}
		if !stream.Receive() {
			t.Fatalf("no event: %v", stream.Err())
		}
		if got := stream.Msg().GetDraining().GetDeadline().AsTime(); !got.Equal(deadline) {
			t.Errorf("draining until %s, want %s", got, deadline)
		}

		b.game.stream.ends <- localapi.ErrAttachReplaced
		if stream.Receive() {
			t.Errorf("event %v after the end", stream.Msg())
		}
		wantError(t, stream.Err(), connect.CodeAborted, v1.ErrorReason_ERROR_REASON_ATTACH_REPLACED)
		<-b.game.stream.closed
	})
}

func TestAttachEnds(t *testing.T) {
	for _, test := range []struct {
		end    error
		code   connect.Code
		reason v1.ErrorReason
	}{
		{localapi.ErrAttachReplaced, connect.CodeAborted, v1.ErrorReason_ERROR_REASON_ATTACH_REPLACED},
		{localapi.ErrAttachOverrun, connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_ATTACH_OVERRUN},
		{&handoff.Refusal{Reason: handoff.ReasonDraining}, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DRAINING},
		{errors.New("broken"), connect.CodeInternal, v1.ErrorReason_ERROR_REASON_INTERNAL},
	} {
		b := newBed(t, nil)
		stream, _ := attach(t, b.client.Players)
		b.game.stream.ends <- test.end
		if stream.Receive() {
			t.Errorf("event %v after the end", stream.Msg())
		}
		wantError(t, stream.Err(), test.code, test.reason)
		<-b.game.stream.closed
	}
}

func TestAttachRefused(t *testing.T) {
	b := newBed(t, nil)
	b.game.refuse = &handoff.Refusal{Reason: handoff.ReasonDraining}
	err := attachError(t, b.client, &v1.AttachRequest{BootId: "b"})
	wantError(t, err, connect.CodeUnavailable, v1.ErrorReason_ERROR_REASON_DRAINING)
}

// The end of the game's process is noticed through its connection alone.
func TestAttachNoticesHangUp(t *testing.T) {
	b := newBed(t, nil)
	for _, http2 := range []bool{false, true} {
		b.game.stream.closed = make(chan struct{})
		c := dial(t, b.listen, "", http2)
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := c.Players.Attach(ctx, &v1.AttachRequest{BootId: "b"})
		if err != nil || !stream.Receive() {
			t.Fatalf("Attach: %v", errors.Join(err, stream.Err()))
		}
		cancel()
		<-b.game.stream.closed
	}
}

// A game that is there and does not read is cut off in the end.
func TestAttachCutsOffWhoDoesNotRead(t *testing.T) {
	b := newBed(t, func(c *localapi.Config) { c.SendTimeout = 50 * time.Millisecond })
	for _, http2 := range []bool{false, true} {
		b.game.stream.closed = make(chan struct{})
		c := dial(t, b.listen, "", http2)
		reader := strings.NewReader("\x00\x00\x00\x00\x0e" + `{"bootId":"b"}`)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/syncworker.v1.PlayerService/Attach", reader)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/connect+json")
		response, err := c.HTTP.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		stuck := localapi.SessionLost{Session: theSession, NewHolder: handoff.ServerID(strings.Repeat("x", 64<<10))}
		for open := true; open; {
			select {
			case b.game.stream.events <- stuck:
			case <-b.game.stream.closed:
				open = false
			}
		}
		if _, err := io.Copy(io.Discard, response.Body); err == nil {
			t.Errorf("http2=%t: the stream ended as if nothing had happened", http2)
		}
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}
}
