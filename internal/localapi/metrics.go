package localapi

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the API, by method, for instance PlayerService/Join.
type metrics struct {
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
	rejected *prometheus.CounterVec
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "syncworker_localapi_calls_total",
			Help: "Calls answered, by method and by Connect code; ok is a success.",
		}, []string{"method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "syncworker_localapi_call_duration_seconds",
			Help:    "Time from a request's arrival to its answer; streams are left out.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"method"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "syncworker_localapi_calls_in_flight",
			Help: "Calls under way; an open Attach stream is one.",
		}, []string{"method"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "syncworker_localapi_rejected_total",
			Help: "Requests that did not reach their method, by cause: token, limit, stopping, or message for those that could not be read.",
		}, []string{"method", "cause"}),
	}
	for _, collector := range []prometheus.Collector{m.calls, m.duration, m.inFlight, m.rejected} {
		if err := registerer.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

// begin counts a call in; the function returned counts it out.
func (m *metrics) begin(method string, timed bool) func(code string) {
	start := time.Now()
	m.inFlight.WithLabelValues(method).Inc()
	return func(code string) {
		m.inFlight.WithLabelValues(method).Dec()
		m.calls.WithLabelValues(method, code).Inc()
		if timed {
			m.duration.WithLabelValues(method).Observe(time.Since(start).Seconds())
		}
	}
}
