package localapi_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/syncworker/syncworker/internal/handoff"
	"github.com/syncworker/syncworker/internal/localapi"
)

// post sends JSON with nothing but net/http, as curl does.
func post(t *testing.T, b *bed, method, contentType, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/syncworker.v1."+method, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	response, err := dial(t, b.listen, "", false).HTTP.Do(request)
	if err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response
}

// postJSON returns the status and the answer.
func postJSON(t *testing.T, b *bed, method, body string) (int, map[string]any) {
	t.Helper()
	response := post(t, b, method, "application/json", body)
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", method, err)
	}
	return response.StatusCode, answer
}

func TestPlainHTTP(t *testing.T) {
	b := newBed(t, nil)
	b.sessions.onJoin = func(context.Context, handoff.PlayerID, string, time.Duration) (*handoff.Grant, error) {
		return &handoff.Grant{Session: theSession, Source: handoff.SourceDatabase, Waited: time.Millisecond, Snapshot: &handoff.Snapshot{
			Version: handoff.Version{Fence: 7, Sequence: 1}, Data: map[string][]byte{"minecraft:health": []byte("20")},
		}}, nil
	}
	b.sessions.onConfirm = func(context.Context, handoff.SessionID, bool, string) error { return nil }
	var data map[string][]byte
	receive := func(_ context.Context, _ handoff.SessionID, c *handoff.Capture) (*handoff.Receipt, error) {
		data = c.Data
		return &handoff.Receipt{Snapshot: c.ID, Version: handoff.Version{Fence: 7, Sequence: 2}, State: handoff.StateCurrent}, nil
	}
	b.sessions.onSave, b.sessions.onQuit = receive, receive

	status, joined := postJSON(t, b, "PlayerService/Join", `{"playerId":"`+playerText+`","waitTimeout":"2.5s"}`)
	snapshot, _ := joined["snapshot"].(map[string]any)
	if status != http.StatusOK || joined["sessionId"] != theSession.String() || joined["source"] != "SOURCE_DATABASE" ||
		snapshot["data"].(map[string]any)["minecraft:health"] != "MjA=" || snapshot["version"].(map[string]any)["fence"] != "7" {
		t.Errorf("Join = %d, %v", status, joined)
	}
	if status, answer := postJSON(t, b, "PlayerService/Confirm", `{"sessionId":"`+theSession.String()+`","applied":true}`); status != http.StatusOK || len(answer) != 0 {
		t.Errorf("Confirm = %d, %v", status, answer)
	}
	for _, method := range []string{"PlayerService/Save", "PlayerService/Quit"} {
		status, answer := postJSON(t, b, method,
			`{"session_id":"`+theSession.String()+`","snapshot":{"save_cause":"X","data":{"minecraft:health":"MTk="}}}`)
		if status != http.StatusOK || answer["state"] != "SAVE_STATE_CURRENT" || string(data["minecraft:health"]) != "19" {
			t.Errorf("%s = %d, %v, data %q", method, status, answer, data)
		}
	}
	if status, answer := postJSON(t, b, "AdminService/GetStatus", `{}`); status != http.StatusOK || answer["serverId"] != "survival-1" {
		t.Errorf("GetStatus = %d, %v", status, answer)
	}
}

// What a person at a terminal gets when something is wrong.
func TestPlainHTTPErrors(t *testing.T) {
	b := newBed(t, nil)
	b.sessions.onJoin = func(context.Context, handoff.PlayerID, string, time.Duration) (*handoff.Grant, error) {
		return nil, &handoff.Refusal{Reason: handoff.ReasonSettling, RetryAfter: 2100 * time.Millisecond}
	}
	response := post(t, b, "PlayerService/Join", "application/json", `{"playerId":"`+playerText+`"}`)
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") != "3" ||
		!strings.Contains(string(content), `"unavailable"`) || !strings.Contains(string(content), `"ERROR_REASON_SETTLING"`) {
		t.Errorf("status %d, Retry-After %q, %s (%v)", response.StatusCode, response.Header.Get("Retry-After"), content, err)
	}
	for body, want := range map[string]int{`{"playerId":"x"}`: 400, `{"playerId":`: 400, ``: 400, `[]`: 400, `{"typo":1}`: 400} {
		if status, answer := postJSON(t, b, "PlayerService/Join", body); status != want || answer["code"] != "invalid_argument" {
			t.Errorf("%q: %d, %v", body, status, answer)
		}
	}
	if response := post(t, b, "PlayerService/Joyn", "application/json", "{}"); response.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown method: %d", response.StatusCode)
	}
	if response := post(t, b, "PlayerService/Join", "text/plain", "{}"); response.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("an unknown content type: %d", response.StatusCode)
	}
	if response := post(t, b, "PlayerService/Attach", "application/json", `{"bootId":"b"}`); response.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("Attach without the envelope: %d", response.StatusCode)
	}
}

// readEnvelope reads one message of a Connect stream: a byte of flags, four
// bytes of length, the message.
func readEnvelope(t *testing.T, r io.Reader) (flags byte, message string) {
	t.Helper()
	var prefix [5]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		t.Fatal(err)
	}
	content := make([]byte, binary.BigEndian.Uint32(prefix[1:]))
	if _, err := io.ReadFull(r, content); err != nil {
		t.Fatal(err)
	}
	return prefix[0], string(content)
}

// Attach over plain HTTP: the request is five bytes and the message.
func TestPlainHTTPAttach(t *testing.T) {
	b := newBed(t, nil)
	response := post(t, b, "PlayerService/Attach", "application/connect+json", "\x00\x00\x00\x00\x13"+`{"bootId":"boot-1"}`)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "application/connect+json" {
		t.Fatalf("status %d, content type %q", response.StatusCode, response.Header.Get("Content-Type"))
	}
	events := bufio.NewReader(response.Body)
	if flags, message := readEnvelope(t, events); flags != 0 || message != `{"attached":{}}` {
		t.Errorf("first event: flags %d, %s", flags, message)
	}
	b.game.stream.events <- localapi.SessionLost{Session: theSession, Reason: handoff.ReasonSessionLost, NewHolder: "lobby"}
	if flags, message := readEnvelope(t, events); flags != 0 || !strings.Contains(message, `"sessionLost"`) {
		t.Errorf("second event: flags %d, %s", flags, message)
	}
	b.game.stream.ends <- localapi.ErrAttachReplaced
	if flags, message := readEnvelope(t, events); flags != 2 || !strings.Contains(message, `"aborted"`) || !strings.Contains(message, "ATTACH_REPLACED") {
		t.Errorf("the end: flags %d, %s", flags, message)
	}
}
