package localapi_test

import (
	"context"
	"maps"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/prometheus/client_golang/prometheus"

	v1 "github.com/syncworker/syncworker/api/syncworker/v1"
	"github.com/syncworker/syncworker/internal/handoff"
)

func TestMetrics(t *testing.T) {
	b := newBed(t, nil)
	fail := false
	entered, leave := make(chan struct{}), make(chan struct{})
	b.sessions.onJoin = func(_ context.Context, _ handoff.PlayerID, name string, _ time.Duration) (*handoff.Grant, error) {
		if name == "waits" {
			close(entered)
			<-leave
		}
		if fail {
			return nil, &handoff.Refusal{Reason: handoff.ReasonHeld}
		}
		return &handoff.Grant{Session: theSession, Source: handoff.SourceNew}, nil
	}
	for _, fail = range []bool{false, false, true} {
		_, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText})
		if (err != nil) != fail {
			t.Errorf("Join: %v", err)
		}
	}
	if response := post(t, b, "PlayerService/Join", "application/json", "{"); response.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d", response.StatusCode)
	}
	stream, _ := attach(t, b.client.Players)
	done := make(chan error)
	go func() {
		_, err := b.client.Players.Join(t.Context(), &v1.JoinRequest{PlayerId: playerText, PlayerName: "waits"})
		done <- err
	}()
	<-entered
	want := map[string]float64{
		"syncworker_localapi_calls_in_flight PlayerService/Attach":             1,
		"syncworker_localapi_calls_in_flight PlayerService/Join":               1,
		"syncworker_localapi_calls_total deadline_exceeded PlayerService/Join": 1,
		"syncworker_localapi_calls_total ok PlayerService/Join":                2,
		"syncworker_localapi_rejected_total message PlayerService/Join":        1,
		"syncworker_localapi_call_duration_seconds PlayerService/Join":         3,
	}
	if got := gather(t, b.registry); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	close(leave)
	if err := <-done; connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		t.Errorf("the waiting join got %v", err)
	}
	if err := stream.Close(); err != nil {
		t.Error(err)
	}
}

// gather returns every series: its name, the values of its labels, and its value
// or how often a histogram was observed.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]float64{}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			name := family.GetName()
			for _, label := range series.GetLabel() {
				name += " " + label.GetValue()
			}
			found[name] = series.GetCounter().GetValue() + series.GetGauge().GetValue() + float64(series.GetHistogram().GetSampleCount())
		}
	}
	return found
}
