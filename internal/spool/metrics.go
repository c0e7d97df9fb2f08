package spool

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	puts    *prometheus.CounterVec
	seconds prometheus.Histogram
	damaged prometheus.Counter
}

func newMetrics(s *Spool, registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "syncworker_spool_entries",
		Help: "Snapshots on local disk that are not yet where they belong.",
	}, func() float64 { return float64(s.Usage().Entries) })
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "syncworker_spool_bytes",
		Help: "Size of the entries in the local spool.",
	}, func() float64 { return float64(s.Usage().Bytes) })
	return &metrics{
		puts: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "syncworker_spool_puts_total",
			Help: "Snapshots handed to the local spool, by outcome.",
		}, []string{"outcome"}),
		seconds: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "syncworker_spool_put_seconds",
			Help:    "Time until an entry was durable.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 13),
		}),
		damaged: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_spool_damaged_total",
			Help: "Entries that were moved to the folder of the damaged ones.",
		}),
	}
}

// count counts a Put by how it went.
func (m *metrics) count(err error) {
	outcome := "stored"
	switch {
	case errors.Is(err, ErrFull):
		outcome = "full"
	case err != nil:
		outcome = "failed"
	}
	m.puts.WithLabelValues(outcome).Inc()
}
