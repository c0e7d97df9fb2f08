package driver_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/syncworker/syncworker/internal/driver"
	"github.com/syncworker/syncworker/internal/handoff"
)

// metric returns the value of a series: a counter's or gauge's value, or how
// often a histogram was observed. Labels are given as name, value, name, ...
func metric(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatalf("gather: %v", err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, series := range family.GetMetric() {
			have := make(map[string]string)
			for _, pair := range series.GetLabel() {
				have[pair.GetName()] = pair.GetValue()
			}
			match := true
			for i := 0; i < len(labels); i += 2 {
				match = match && have[labels[i]] == labels[i+1]
			}
			if match {
				return series.GetCounter().GetValue() + series.GetGauge().GetValue() + float64(series.GetHistogram().GetSampleCount())
			}
		}
	}
	t.Fatalf("no series %s %v", name, labels)
	return 0
}

// isReason reports whether the error is a refusal with the reason.
func isReason(err error, reason handoff.Reason) bool {
	var refusal *handoff.Refusal
	return errors.As(err, &refusal) && refusal.Reason == reason
}

// TestMetrics runs two sessions and looks at what was counted.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		b := newBench(t, machine(func(s state, at time.Time, event handoff.Event) (state, []handoff.Action) {
			s, actions := saver(s, at, event)
			if _, ok := event.(handoff.Join); ok {
				actions = append(actions, handoff.Note{Kind: handoff.NoteSafetyPoll}, handoff.Note{Kind: handoff.NoteForgotten, Detail: "x"})
			}
			return s, actions
		}), driver.Config{Registerer: registry})
		mustJoin(t, b, 1)
		mustJoin(t, b, 2)
		if _, err := b.Save(t.Context(), sessionOf(1), nil); err != nil {
			t.Fatalf("save: %v", err)
		}
		b.codec.err = handoff.ErrTooLarge
		_, err := b.Quit(t.Context(), sessionOf(1), nil)
		wantReason(t, err, handoff.ReasonRedis)
		b.StopJoins()
		_, err = b.Join(t.Context(), playerNumber(3), "p", time.Minute)
		wantReason(t, err, handoff.ReasonDraining)
		synctest.Wait()

		for _, c := range []struct {
			want   float64
			name   string
			labels []string
		}{
			{2, "events_total", []string{"type", "join"}},
			{2, "events_total", []string{"type", "claimed"}},
			{1, "events_total", []string{"type", "stored"}},
			{0, "events_total", []string{"type", "look"}},
			{2, "notes_total", []string{"kind", "forgotten"}},
			{2, "joins_total", []string{"source", "NEW", "outcome", "granted"}},
			{1, "joins_total", []string{"source", "", "outcome", "DRAINING"}},
			{1, "refused_writes_total", []string{"reason", "REDIS_UNAVAILABLE"}},
			{1, "operation_errors_total", []string{"lane", "redis", "operation", "check-in"}},
			{2, "operation_seconds", []string{"lane", "redis", "operation", "claim"}},
			{1, "operation_seconds", []string{"lane", "store", "operation", "store"}},
			{0, "operations_in_flight", []string{"lane", "redis"}},
			{0, "operations_in_flight", []string{"lane", "spool"}},
			{0, "operation_seconds", []string{"lane", "spool", "operation", "spool"}},
			{0, "operation_seconds", []string{"lane", "spool", "operation", "unspool"}},
			{0, "operation_seconds", []string{"lane", "redis", "operation", "read-lease"}},
			{0, "operation_errors_total", []string{"lane", "redis", "operation", "petition"}},
			{0, "events_total", []string{"type", "adopt"}},
			{0, "events_total", []string{"type", "petitioned"}},
			{2, "join_wait_seconds", nil},
			{2, "handoff_seconds", nil},
			{2, "players", nil},
			{2, "sessions_live", nil},
			{0, "panics_total", nil},
		} {
			if got := metric(t, registry, "syncworker_driver_"+c.name, c.labels...); got != c.want {
				t.Errorf("got %s%v = %v, want %v", c.name, c.labels, got, c.want)
			}
		}
	})
}

// TestMetricsRegisteredTwice must not keep the second driver from working.
func TestMetricsRegisteredTwice(t *testing.T) {
	registry := prometheus.NewRegistry()
	for range 2 {
		b := newBench(t, machine(saver), driver.Config{Registerer: registry})
		mustJoin(t, b, 1)
	}
}
