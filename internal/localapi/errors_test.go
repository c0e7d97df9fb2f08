package localapi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/api/syncworker/v1/syncworkerv1connect"
	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/localapi"
)

// codes is the table of codes that the API promises.
var codes = map[handoff.Reason]connect.Code{
	handoff.ReasonHeld:               connect.CodeDeadlineExceeded,
	handoff.ReasonAlreadyHere:        connect.CodeAlreadyExists,
	handoff.ReasonReplaced:           connect.CodeAborted,
	handoff.ReasonCancelled:          connect.CodeCanceled,
	handoff.ReasonNoSession:          connect.CodeNotFound,
	handoff.ReasonSessionLost:        connect.CodeFailedPrecondition,
	handoff.ReasonNotConfirmed:       connect.CodeFailedPrecondition,
	handoff.ReasonApplyRefused:       connect.CodeFailedPrecondition,
	handoff.ReasonNotConfirmedInTime: connect.CodeFailedPrecondition,
	handoff.ReasonNotAttached:        connect.CodeFailedPrecondition,
	handoff.ReasonSuperseded:         connect.CodeAborted,
	handoff.ReasonTooLarge:           connect.CodeResourceExhausted,
	handoff.ReasonUnacceptable:       connect.CodeInvalidArgument,
	handoff.ReasonBusy:               connect.CodeResourceExhausted,
	handoff.ReasonRedis:              connect.CodeUnavailable,
	handoff.ReasonDatabase:           connect.CodeUnavailable,
	handoff.ReasonSettling:           connect.CodeUnavailable,
	handoff.ReasonDraining:           connect.CodeUnavailable,
	handoff.ReasonDamaged:            connect.CodeDataLoss,
}

// Every reason there is reaches a client of every protocol with its code, its
// name and its holder, and without its cause.
func TestEveryReason(t *testing.T) {
	b := newBed(t, nil)
	var refusal *handoff.Refusal
	b.sessions.onJoin = func(context.Context, handoff.PlayerID, string, time.Duration) (*handoff.Grant, error) {
		return nil, fmt.Errorf("join: %w", refusal)
	}
	forEachProtocol(t, b, func(t *testing.T, client syncworkerv1connect.PlayerServiceClient) {
		found := 0
		for reason := handoff.Reason(1); reason.String() != "INVALID"; reason++ {
			found++
			code, ok := codes[reason]
			if !ok {
				t.Errorf("the table above has no code for %s", reason)
			}
			refusal = &handoff.Refusal{
				Reason: reason, Holder: "lobby", RetryAfter: 1500 * time.Millisecond, Err: errors.New("dial 10.0.0.7: secret cause"),
			}
			_, err := client.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
			wire := v1.ErrorReason(v1.ErrorReason_value["ERROR_REASON_"+reason.String()])
			if wire == v1.ErrorReason_ERROR_REASON_UNSPECIFIED {
				t.Errorf("%s has no name on the wire", reason)
			}
			detail := wantError(t, err, code, wire)
			if detail.GetHolder() != "lobby" || !strings.Contains(err.Error(), "lobby") {
				t.Errorf("%s: holder %q in %v", reason, detail.GetHolder(), err)
			}
			if !strings.Contains(err.Error(), reason.Explain()) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: message %v", reason, err)
			}
			var failed *connect.Error
			if errors.As(err, &failed); failed.Meta().Get("Retry-After") != "2" || detail.GetRetryAfter().AsDuration() != 1500*time.Millisecond {
				t.Errorf("%s: retry after %s, header %q", reason, detail.GetRetryAfter().AsDuration(), failed.Meta().Get("Retry-After"))
			}
		}
		if found != len(codes) {
			t.Errorf("%d reasons, want %d", found, len(codes))
		}
	})
	if !strings.Contains(b.log.String(), "secret cause") {
		t.Error("the log does not have the cause")
	}
}

// Errors that pass by themselves say when to try again, others do not.
func TestRetryDefaults(t *testing.T) {
	b := newBed(t, nil)
	var reason handoff.Reason
	b.sessions.onJoin = func(context.Context, handoff.PlayerID, string, time.Duration) (*handoff.Grant, error) {
		return nil, &handoff.Refusal{Reason: reason}
	}
	for reason = range codes {
		_, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
		code, detail := detailOf(t, err)
		want := code == connect.CodeUnavailable || reason == handoff.ReasonBusy || reason == handoff.ReasonHeld
		if got := detail.GetRetryAfter() != nil; got != want {
			t.Errorf("%s: retry %t, want %t", reason, got, want)
		}
	}
}

func TestInvalidRequests(t *testing.T) {
	b := newBed(t, nil)
	yes := true
	session := theSession.String()
	join := func(r *v1.JoinRequest) func(*client) error {
		return func(c *client) error { _, err := c.Players.Join(t.Context(), r); return err }
	}
	save := func(r *v1.SaveRequest) func(*client) error {
		return func(c *client) error { _, err := c.Players.Save(t.Context(), r); return err }
	}
	capture := func(snapshot *v1.Capture) func(*client) error {
		return save(&v1.SaveRequest{SessionId: session, Snapshot: snapshot})
	}
	attach := func(r *v1.AttachRequest) func(*client) error {
		return func(c *client) error { return attachError(t, c, r) }
	}
	many := map[string][]byte{}
	for i := range handoff.MaxDataKeys + 1 {
		many[fmt.Sprintf("k%d", i)] = nil
	}
	for _, test := range []struct {
		field string
		call  func(*client) error
	}{
		{"player_id", join(&v1.JoinRequest{})},
		{"player_id", join(&v1.JoinRequest{PlayerId: "Alex"})},
		{"player_id", join(&v1.JoinRequest{PlayerId: playerText + "0"})},
		{"player_name", join(&v1.JoinRequest{PlayerId: playerText, PlayerName: strings.Repeat("x", 65)})},
		{"player_name", join(&v1.JoinRequest{PlayerId: playerText, PlayerName: "\x1b[2J"})},
		{"wait_timeout", join(&v1.JoinRequest{PlayerId: playerText, WaitTimeout: durationpb.New(-time.Second)})},
		{"wait_timeout", join(&v1.JoinRequest{PlayerId: playerText, WaitTimeout: &durationpb.Duration{Seconds: 1, Nanos: -1}})},
		{"session_id", save(&v1.SaveRequest{Snapshot: &v1.Capture{}})},
		{"session_id", save(&v1.SaveRequest{SessionId: "1.2", Snapshot: &v1.Capture{}})},
		{"session_id", func(c *client) error { _, err := c.Players.Quit(t.Context(), &v1.QuitRequest{}); return err }},
		{"session_id", func(c *client) error {
			_, err := c.Players.Confirm(t.Context(), &v1.ConfirmRequest{Applied: &yes})
			return err
		}},
		{"applied", func(c *client) error {
			_, err := c.Players.Confirm(t.Context(), &v1.ConfirmRequest{SessionId: session})
			return err
		}},
		{"snapshot", save(&v1.SaveRequest{SessionId: session})},
		{"snapshot.save_cause", capture(&v1.Capture{SaveCause: strings.Repeat("C", 33)})},
		{"snapshot.save_cause", capture(&v1.Capture{SaveCause: "A\nB"})},
		{"snapshot.captured_at", capture(&v1.Capture{CapturedAt: &timestamppb.Timestamp{Nanos: -1}})},
		{"snapshot.capture_sequence", capture(&v1.Capture{CaptureSequence: 1 << 53})},
		{"snapshot.data", capture(&v1.Capture{Data: many})},
		{"snapshot.data", capture(&v1.Capture{Data: map[string][]byte{"": nil}})},
		{"snapshot.data", capture(&v1.Capture{Data: map[string][]byte{strings.Repeat("k", 129): nil}})},
		{"snapshot.removed", capture(&v1.Capture{Removed: make([]string, handoff.MaxDataKeys+1)})},
		{"snapshot.removed[1]", capture(&v1.Capture{Removed: []string{"a", ""}})},
		{"snapshot.removed[0]", capture(&v1.Capture{Removed: []string{"a"}, Data: map[string][]byte{"a": nil}})},
		{"snapshot.save_cause", func(c *client) error {
			_, err := c.Players.Quit(t.Context(), &v1.QuitRequest{SessionId: session, Snapshot: &v1.Capture{SaveCause: strings.Repeat("C", 33)}})
			return err
		}},
		{"boot_id", attach(&v1.AttachRequest{})},
		{"boot_id", attach(&v1.AttachRequest{BootId: strings.Repeat("b", 129)})},
		{"platform", attach(&v1.AttachRequest{BootId: "b", Platform: strings.Repeat("p", 65)})},
		{"game_version", attach(&v1.AttachRequest{BootId: "b", GameVersion: "\x00"})},
		{"resume[1]", attach(&v1.AttachRequest{BootId: "b", Resume: []string{session, "?"}})},
		{"resume", attach(&v1.AttachRequest{BootId: "b", Resume: make([]string, 20_001)})},
		{"player_id", func(c *client) error {
			_, err := c.Admin.GetCheckout(t.Context(), &v1.GetCheckoutRequest{})
			return err
		}},
		{"player_id", func(c *client) error {
			_, err := c.Admin.ReleaseCheckout(t.Context(), &v1.ReleaseCheckoutRequest{PlayerId: "?", Reason: "stuck"})
			return err
		}},
		{"reason", func(c *client) error {
			_, err := c.Admin.ReleaseCheckout(t.Context(), &v1.ReleaseCheckoutRequest{PlayerId: playerText})
			return err
		}},
		{"page_size", func(c *client) error {
			_, err := c.Admin.ListSessions(t.Context(), &v1.ListSessionsRequest{PageSize: 10_001})
			return err
		}},
		{"page_token", func(c *client) error {
			_, err := c.Admin.ListSessions(t.Context(), &v1.ListSessionsRequest{PageToken: "?"})
			return err
		}},
	} {
		detail := wantError(t, test.call(b.client), connect.CodeInvalidArgument, v1.ErrorReason_ERROR_REASON_INVALID_REQUEST)
		if detail.GetField() != test.field {
			t.Errorf("field %q, want %q", detail.GetField(), test.field)
		}
	}
}

// attachError returns the error that an Attach ends with.
func attachError(t *testing.T, c *client, r *v1.AttachRequest) error {
	t.Helper()
	stream, err := c.Players.Attach(t.Context(), r)
	if err != nil {
		return err
	}
	for stream.Receive() {
	}
	return stream.Err()
}

// T31: what is too large is refused with the name of the setting, wherever it is
// noticed, and others are not affected.
func TestTooLarge(t *testing.T) {
	const most = 300_000
	b := newBed(t, func(c *localapi.Config) { c.MaxSnapshot = most })
	b.sessions.onSave = func(_ context.Context, _ handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
		return &handoff.Receipt{Snapshot: capture.ID, State: handoff.StateCurrent}, nil
	}
	forEachProtocol(t, b, func(t *testing.T, client syncworkerv1connect.PlayerServiceClient) {
		for _, size := range []int{most - 8, most + 1, 2_000_000, 30_000_000} {
			_, err := client.Save(t.Context(), &v1.SaveRequest{
				SessionId: theSession.String(), Snapshot: &v1.Capture{Data: map[string][]byte{"k": make([]byte, size)}},
			})
			if size < most {
				if err != nil {
					t.Errorf("%d bytes: %v", size, err)
				}
				continue
			}
			wantError(t, err, connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_TOO_LARGE)
			if !strings.Contains(err.Error(), "snapshots.max_size is 300000 bytes") {
				t.Errorf("%d bytes: %v does not name the setting", size, err)
			}
		}
		_, err := client.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText, PlayerName: strings.Repeat("x", 100_000)})
		wantError(t, err, connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_TOO_LARGE)
	})
}

// Compressed requests are not taken: nothing can unpack to more than it was.
func TestNoCompression(t *testing.T) {
	b := newBed(t, nil)
	zipped := dial(t, b.listen, "", true, connect.WithSendGzip())
	_, err := zipped.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
	if connect.CodeOf(err) != connect.CodeUnimplemented {
		t.Errorf("a compressed request: %v, want unimplemented", err)
	}
}

func TestInternalErrorsDoNotLeak(t *testing.T) {
	b := newBed(t, nil)
	b.sessions.onJoin = func(_ context.Context, _ handoff.PlayerID, name string, _ time.Duration) (*handoff.Grant, error) {
		switch name {
		case "panic":
			panic("password=hunter2")
		case "reason":
			return nil, &handoff.Refusal{Reason: 250, Err: errors.New("password=hunter2")}
		default:
			return nil, errors.New("password=hunter2")
		}
	}
	id := regexp.MustCompile(`internal error ([0-9a-f]{16}):`)
	for _, name := range []string{"error", "panic", "reason"} {
		_, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText, PlayerName: name})
		wantError(t, err, connect.CodeInternal, v1.ErrorReason_ERROR_REASON_INTERNAL)
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v tells too much", name, err)
		}
		match := id.FindStringSubmatch(err.Error())
		if match == nil || !strings.Contains(b.log.String(), "correlation-id="+match[1]) {
			t.Errorf("%s: the log does not have the id in %v", name, err)
		}
	}
	if !strings.Contains(b.log.String(), "hunter2") {
		t.Error("the log does not have the cause")
	}
	// A panic in a stream, and the server is still there afterwards.
	b.game.refuse = errors.New("password=hunter2")
	wantError(t, attachError(t, b.client, &v1.AttachRequest{BootId: "b"}), connect.CodeInternal, v1.ErrorReason_ERROR_REASON_INTERNAL)
	if _, err := b.client.Admin.GetStatus(t.Context(), &v1.GetStatusRequest{}); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}

// Both rooms have a bound, and joins that wait leave the other one free.
func TestTooManyCalls(t *testing.T) {
	b := newBed(t, func(c *localapi.Config) { c.MaxJoins, c.MaxCalls = 3, 2 })
	entered, leave := make(chan struct{}), make(chan struct{})
	b.sessions.onJoin = func(context.Context, handoff.PlayerID, string, time.Duration) (*handoff.Grant, error) {
		entered <- struct{}{}
		<-leave
		return &handoff.Grant{Session: theSession, Source: handoff.SourceNew}, nil
	}
	b.sessions.onQuit = func(context.Context, handoff.SessionID, *handoff.Capture) (*handoff.Receipt, error) {
		return &handoff.Receipt{State: handoff.StateCurrent}, nil
	}
	answered := make(chan error)
	for range 3 {
		go func() {
			_, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
			answered <- err
		}()
		<-entered
	}
	forEachProtocol(t, b, func(t *testing.T, client syncworkerv1connect.PlayerServiceClient) {
		_, err := client.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
		detail := wantError(t, err, connect.CodeResourceExhausted, v1.ErrorReason_ERROR_REASON_TOO_MANY_CALLS)
		if detail.GetRetryAfter() == nil {
			t.Error("no retry delay")
		}
		if _, err := client.Quit(t.Context(), &v1.QuitRequest{SessionId: theSession.String()}); err != nil {
			t.Errorf("a quit while joins wait: %v", err)
		}
	})
	close(leave)
	for range 3 {
		if err := <-answered; err != nil {
			t.Errorf("Join: %v", err)
		}
	}
	go func() { <-entered }()
	if _, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText}); err != nil {
		t.Errorf("a join after the others have left: %v", err)
	}
}

// A client that begins a request and does not go on is cut off, and answered if
// it still listens; joins that wait and streams that are quiet are not.
func TestSlowRequests(t *testing.T) {
	b := newBed(t, func(c *localapi.Config) { c.ArriveTimeout, c.SendTimeout = 50*time.Millisecond, 50*time.Millisecond })
	entered, leave := make(chan struct{}), make(chan struct{})
	b.sessions.onJoin = func(ctx context.Context, _ handoff.PlayerID, _ string, _ time.Duration) (*handoff.Grant, error) {
		entered <- struct{}{}
		select {
		case <-leave:
			return &handoff.Grant{Session: theSession, Source: handoff.SourceNew}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	type patient struct {
		name   string
		joined chan error
	}
	var waiting []patient
	for _, http2 := range []bool{false, true} {
		c := dial(t, b.listen, "", http2)
		p := patient{name: fmt.Sprintf("http2=%t", http2), joined: make(chan error, 1)}
		go func() {
			_, err := c.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
			p.joined <- err
		}()
		<-entered
		waiting = append(waiting, p)
	}
	stream, err := b.client.Players.Attach(t.Context(), &v1.AttachRequest{BootId: "b"})
	if err != nil || !stream.Receive() {
		t.Fatalf("Attach: %v", errors.Join(err, stream.Err()))
	}

	for _, http2 := range []bool{false, true} {
		c := dial(t, b.listen, "", http2)
		reader, writer := io.Pipe()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/syncworker.v1.PlayerService/Join", reader)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		go func() { _, _ = writer.Write([]byte(`{"playerId":`)) }()
		response, err := c.HTTP.Do(request)
		if err != nil {
			t.Fatalf("http2=%t: %v", http2, err)
		}
		content, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusGatewayTimeout || !strings.Contains(string(content), "did not arrive within 50ms") {
			t.Errorf("http2=%t: status %d, %s (%v)", http2, response.StatusCode, content, err)
		}
		if err := errors.Join(response.Body.Close(), writer.Close()); err != nil {
			t.Fatal(err)
		}
	}

	// Both timeouts have passed by now, for whoever waits as well.
	close(leave)
	for _, p := range waiting {
		if err := <-p.joined; err != nil {
			t.Errorf("%s: a join that waited: %v", p.name, err)
		}
	}
	b.game.stream.events <- localapi.Draining{Deadline: time.Unix(1, 0)}
	if !stream.Receive() || stream.Msg().GetDraining() == nil {
		t.Errorf("a stream that was quiet: %v", stream.Err())
	}
}
