package localapi_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
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

// forEachProtocol runs a test once for every protocol that a client may speak.
func forEachProtocol(t *testing.T, b *bed, test func(t *testing.T, client syncworkerv1connect.PlayerServiceClient)) {
	t.Helper()
	for name, options := range map[string][]connect.ClientOption{
		"connect": nil,
		"json":    {connect.WithProtoJSON()},
		"grpc":    {connect.WithGRPC()},
		"grpcweb": {connect.WithGRPCWeb()},
	} {
		for _, version := range []string{"http1", "http2"} {
			if name == "grpc" && version == "http1" {
				continue // gRPC is HTTP/2 only
			}
			t.Run(name+"/"+version, func(t *testing.T) {
				test(t, dial(t, b.listen, "", version == "http2", options...).Players)
			})
		}
	}
}

func TestEveryProtocol(t *testing.T) {
	b := newBed(t, nil)
	data := map[string][]byte{"minecraft:inventory": {0, 1, 2, 0xff}, "minecraft:health": []byte("20")}
	stored := &handoff.Snapshot{
		ID: handoff.SnapshotID{1}, Player: thePlayer, Server: "lobby", Version: handoff.Version{Fence: 7, Sequence: 3},
		SaveCause: "DISCONNECT", CapturedAt: time.Unix(1_700_000_000, 0), CreatedAt: time.Unix(1_700_000_001, 0),
		Platform: "bukkit", GameVersion: "1.21.4", Pinned: true, Data: data,
	}
	b.sessions.onJoin = func(_ context.Context, player handoff.PlayerID, name string, wait time.Duration) (*handoff.Grant, error) {
		if player != thePlayer || name != "Alex" || wait != 7*time.Second {
			t.Errorf("Join(%s, %q, %s)", player, name, wait)
		}
		return &handoff.Grant{
			Session: theSession, Source: handoff.SourceUpdate, Snapshot: stored, Waited: 3 * time.Millisecond, HandedOverBy: "lobby",
		}, nil
	}
	b.sessions.onConfirm = func(_ context.Context, session handoff.SessionID, applied bool, problem string) error {
		if session != theSession || !applied || problem != "" {
			t.Errorf("Confirm(%s, %t, %q)", session, applied, problem)
		}
		return nil
	}
	receive := func(_ context.Context, session handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
		if session != theSession || !bytes.Equal(capture.Data["minecraft:inventory"], data["minecraft:inventory"]) {
			t.Errorf("session %s, capture %+v", session, capture)
		}
		return &handoff.Receipt{Snapshot: capture.ID, Version: handoff.Version{Fence: 8, Sequence: 1}, State: handoff.StateCurrent}, nil
	}
	b.sessions.onSave, b.sessions.onQuit = receive, receive

	forEachProtocol(t, b, func(t *testing.T, client syncworkerv1connect.PlayerServiceClient) {
		ctx := t.Context()
		joined, err := client.Join(ctx, &v1.JoinRequest{
			PlayerId: strings.ToUpper(playerText), PlayerName: "Alex", WaitTimeout: durationpb.New(7 * time.Second),
		})
		if err != nil {
			t.Fatalf("Join: %v", err)
		}
		snapshot := joined.GetSnapshot()
		if joined.GetSessionId() != theSession.String() || joined.GetSource() != v1.Source_SOURCE_UPDATE ||
			joined.GetHandedOverBy() != "lobby" || joined.GetWaited().AsDuration() != 3*time.Millisecond ||
			snapshot.GetPlayerId() != playerText || snapshot.GetServerId() != "lobby" || snapshot.GetVersion().GetFence() != 7 ||
			!snapshot.GetPinned() || !bytes.Equal(snapshot.GetData()["minecraft:inventory"], data["minecraft:inventory"]) {
			t.Errorf("Join = %v", joined)
		}
		applied := true
		if _, err := client.Confirm(ctx, &v1.ConfirmRequest{SessionId: joined.GetSessionId(), Applied: &applied}); err != nil {
			t.Errorf("Confirm: %v", err)
		}
		saved, err := client.Save(ctx, &v1.SaveRequest{SessionId: joined.GetSessionId(), Snapshot: &v1.Capture{Data: data}})
		if err != nil {
			t.Fatalf("Save: %v", err)
		}
		if saved.GetState() != v1.SaveState_SAVE_STATE_CURRENT || saved.GetVersion().GetSequence() != 1 {
			t.Errorf("Save = %v", saved)
		}
		if _, err := handoff.ParseSnapshotID(saved.GetSnapshotId()); err != nil {
			t.Errorf("Save: %v", err)
		}
		if _, err := client.Quit(ctx, &v1.QuitRequest{SessionId: joined.GetSessionId(), Snapshot: &v1.Capture{Data: data}}); err != nil {
			t.Errorf("Quit: %v", err)
		}
		_, err = client.Join(ctx, &v1.JoinRequest{PlayerId: "Alex"})
		if detail := wantError(t, err, connect.CodeInvalidArgument, v1.ErrorReason_ERROR_REASON_INVALID_REQUEST); detail.GetField() != "player_id" {
			t.Errorf("field %q", detail.GetField())
		}
	})
}

// How safe a capture is reaches the game, from Save and from Quit.
func TestSaveStates(t *testing.T) {
	b := newBed(t, nil)
	var state handoff.SaveState
	b.sessions.onSave = func(context.Context, handoff.SessionID, *handoff.Capture) (*handoff.Receipt, error) {
		return &handoff.Receipt{State: state}, nil
	}
	b.sessions.onQuit = b.sessions.onSave
	for given, want := range map[handoff.SaveState]v1.SaveState{
		handoff.StateCurrent:     v1.SaveState_SAVE_STATE_CURRENT,
		handoff.StateHistory:     v1.SaveState_SAVE_STATE_HISTORY,
		handoff.StateProvisional: v1.SaveState_SAVE_STATE_PROVISIONAL,
	} {
		state = given
		saved, err := b.client.Players.Save(t.Context(), &v1.SaveRequest{SessionId: theSession.String(), Snapshot: &v1.Capture{}})
		if err != nil || saved.GetState() != want {
			t.Errorf("Save: %v, %v, want %v", saved, err, want)
		}
		quit, err := b.client.Players.Quit(t.Context(), &v1.QuitRequest{SessionId: theSession.String()})
		if err != nil || quit.GetState() != want {
			t.Errorf("Quit: %v, %v, want %v", quit, err, want)
		}
	}
}

func TestCapture(t *testing.T) {
	b := newBed(t, func(c *localapi.Config) { c.AutoPin = []string{"BACKUP_RESTORE"} })
	b.game.setState(localapi.GameState{Attached: true, Game: localapi.Game{Boot: "b", Platform: "bukkit", Version: "1.21.4"}})
	var got []*handoff.Capture
	b.sessions.onSave = func(_ context.Context, _ handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
		got = append(got, capture)
		return &handoff.Receipt{State: handoff.StateHistory}, nil
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, request := range []*v1.SaveRequest{
		{SessionId: theSession.String(), Snapshot: &v1.Capture{
			SaveCause: "BACKUP_RESTORE", CapturedAt: timestamppb.New(at), CaptureSequence: 9, Removed: []string{"old"},
		}, HistoryOnly: true},
		{SessionId: theSession.String(), Snapshot: &v1.Capture{SaveCause: "DEATH"}},
	} {
		answer, err := b.client.Players.Save(t.Context(), request)
		if err != nil {
			t.Fatalf("Save: %v", err)
		}
		if answer.GetState() != v1.SaveState_SAVE_STATE_HISTORY || answer.GetSnapshotId() != "" || answer.GetVersion() != nil {
			t.Errorf("Save = %v", answer)
		}
	}
	first, second := got[0], got[1]
	if !first.CapturedAt.Equal(at) || first.Sequence != 9 || !first.HistoryOnly || !first.Pinned ||
		first.Platform != "bukkit" || first.GameVersion != "1.21.4" || len(first.Removed) != 1 {
		t.Errorf("first capture %+v", first)
	}
	if second.Pinned || second.HistoryOnly || !second.CapturedAt.Equal(second.CreatedAt) {
		t.Errorf("second capture %+v", second)
	}
	if version := first.ID[6] >> 4; version != 7 {
		t.Errorf("snapshot id %s is a UUID of version %d, want 7", first.ID, version)
	}
	if bytes.Compare(first.ID[:], second.ID[:]) >= 0 {
		t.Errorf("snapshot ids %s and %s are not in order", first.ID, second.ID)
	}
}

func TestQuitWithoutSnapshot(t *testing.T) {
	b := newBed(t, nil)
	b.sessions.onQuit = func(_ context.Context, _ handoff.SessionID, capture *handoff.Capture) (*handoff.Receipt, error) {
		if capture != nil {
			t.Errorf("capture %+v, want none", capture)
		}
		return &handoff.Receipt{Version: handoff.Version{Fence: 5, Sequence: 2}, State: handoff.StateCurrent}, nil
	}
	answer, err := b.client.Players.Quit(t.Context(), &v1.QuitRequest{SessionId: theSession.String()})
	if err != nil {
		t.Fatalf("Quit: %v", err)
	}
	if answer.GetSnapshotId() != "" || answer.GetVersion().GetFence() != 5 {
		t.Errorf("Quit = %v", answer)
	}
}

func TestWaitTimeout(t *testing.T) {
	b := newBed(t, func(c *localapi.Config) { c.WaitTimeout, c.MaxWait = 20*time.Second, time.Minute })
	var got time.Duration
	b.sessions.onJoin = func(_ context.Context, _ handoff.PlayerID, _ string, wait time.Duration) (*handoff.Grant, error) {
		got = wait
		return &handoff.Grant{Session: theSession, Source: handoff.SourceNew}, nil
	}
	for name, test := range map[string]struct {
		asked *durationpb.Duration
		want  time.Duration
	}{
		"absent":   {nil, 20 * time.Second},
		"zero":     {durationpb.New(0), 0},
		"some":     {durationpb.New(time.Second), time.Second},
		"too long": {durationpb.New(time.Hour), time.Minute},
	} {
		answer, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText, WaitTimeout: test.asked})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got != test.want {
			t.Errorf("%s: waits %s, want %s", name, got, test.want)
		}
		if answer.GetSnapshot() != nil || answer.GetSource() != v1.Source_SOURCE_NEW {
			t.Errorf("%s: Join = %v", name, answer)
		}
	}

	// The call's own deadline is nearer: the join must be refused before it.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := b.client.Players.Join(ctx, &v1.JoinRequest{PlayerId: playerText}); err != nil {
		t.Fatalf("Join: %v", err)
	}
	if got >= 10*time.Second || got <= 5*time.Second {
		t.Errorf("waits %s under a deadline of 10 s, want a little less than that", got)
	}
}

func TestHangUpCancelsJoin(t *testing.T) {
	b := newBed(t, nil)
	entered, ended := make(chan struct{}, 1), make(chan error, 1)
	b.sessions.onJoin = func(ctx context.Context, _ handoff.PlayerID, _ string, _ time.Duration) (*handoff.Grant, error) {
		entered <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}
	forEachProtocol(t, b, func(t *testing.T, client syncworkerv1connect.PlayerServiceClient) {
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan error, 1)
		go func() {
			_, err := client.Join(ctx, &v1.JoinRequest{PlayerId: playerText})
			answered <- err
		}()
		<-entered
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the join ended with %v", err)
		}
		if code := connect.CodeOf(<-answered); code != connect.CodeCanceled {
			t.Errorf("the client got %s", code)
		}
	})
}

// A game that stops does not wait for the answers to its last saves: what has
// arrived is carried out, even when the game was gone before it was looked at.
func TestHangUpLeavesSaves(t *testing.T) {
	b := newBed(t, nil)
	var called []string
	note := func(ctx context.Context, method string) error {
		called = append(called, method)
		return ctx.Err()
	}
	b.sessions.onJoin = func(ctx context.Context, _ handoff.PlayerID, _ string, _ time.Duration) (*handoff.Grant, error) {
		return nil, note(ctx, "Join")
	}
	b.sessions.onConfirm = func(ctx context.Context, _ handoff.SessionID, _ bool, _ string) error {
		return note(ctx, "Confirm")
	}
	b.sessions.onSave = func(ctx context.Context, _ handoff.SessionID, _ *handoff.Capture) (*handoff.Receipt, error) {
		return &handoff.Receipt{}, note(ctx, "Save")
	}
	b.sessions.onQuit = func(ctx context.Context, _ handoff.SessionID, _ *handoff.Capture) (*handoff.Receipt, error) {
		return &handoff.Receipt{}, note(ctx, "Quit")
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	session := `"sessionId":"` + theSession.String() + `"`
	for _, call := range []struct{ method, body string }{
		{"Join", `{"playerId":"` + playerText + `"}`},
		{"Confirm", `{` + session + `,"applied":true}`},
		{"Save", `{` + session + `,"snapshot":{}}`},
		{"Quit", `{` + session + `,"snapshot":{}}`},
	} {
		method, body := call.method, call.body
		request := httptest.NewRequestWithContext(gone, http.MethodPost, "/syncworker.v1.PlayerService/"+method, strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		recorder := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(recorder, request)
		want := http.StatusOK
		if method == "Join" {
			want = 499 // canceled
		}
		if recorder.Code != want {
			t.Errorf("%s: status %d, want %d: %s", method, recorder.Code, want, recorder.Body)
		}
	}
	if got, want := strings.Join(called, " "), "Confirm Save Quit"; got != want {
		t.Errorf("called %s, want %s", got, want)
	}
}

func TestJoinNeedsGame(t *testing.T) {
	b := newBed(t, nil)
	b.game.setState(localapi.GameState{})
	_, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
	wantError(t, err, connect.CodeFailedPrecondition, v1.ErrorReason_ERROR_REASON_NOT_ATTACHED)
}

func TestConfirmFalse(t *testing.T) {
	b := newBed(t, nil)
	var got string
	b.sessions.onConfirm = func(_ context.Context, _ handoff.SessionID, applied bool, problem string) error {
		if applied {
			t.Error("applied")
		}
		got = problem
		return nil
	}
	applied := false
	if _, err := b.client.Players.Confirm(t.Context(), &v1.ConfirmRequest{
		SessionId: theSession.String(), Applied: &applied, Error: strings.Repeat("ä", 1000),
	}); err != nil {
		t.Fatalf("Confirm: %v", err)
	}
	if want := strings.Repeat("ä", 512); got != want {
		t.Errorf("the problem has %d bytes, want %d", len(got), len(want))
	}
}

// TestUnknownFieldIsRefused misspells history_only: passed over, it would make a
// backup the player's current state.
func TestUnknownFieldIsRefused(t *testing.T) {
	b := newBed(t, nil)
	b.sessions.onSave = func(context.Context, handoff.SessionID, *handoff.Capture) (*handoff.Receipt, error) {
		t.Error("the save was taken")
		return &handoff.Receipt{}, nil
	}
	for _, kind := range []string{"application/json", "application/json; charset=utf-8"} {
		body := `{"sessionId":"` + theSession.String() + `","snapshot":{},"historyonly":true}`
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/syncworker.v1.PlayerService/Save", strings.NewReader(body))
		request.Header.Set("Content-Type", kind)
		recorder := httptest.NewRecorder()
		b.server.Handler().ServeHTTP(recorder, request)
		if recorder.Code != http.StatusBadRequest || !strings.Contains(recorder.Body.String(), "historyonly") {
			t.Errorf("%s: status %d: %s", kind, recorder.Code, recorder.Body)
		}
	}
}
