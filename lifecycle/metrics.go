package lifecycle

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts what the actors of this package do. All of them share one.
type Metrics struct {
	settles       *prometheus.CounterVec
	renewals      prometheus.Counter
	renewalErrors prometheus.Counter
	leaseMissing  prometheus.Counter
	suspicions    prometheus.Counter
	swept         *prometheus.CounterVec
	undrained     prometheus.Counter
}

// NewMetrics registers the counters.
func NewMetrics(registerer prometheus.Registerer) *Metrics {
	factory := promauto.With(registerer)
	return &Metrics{
		settles: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "syncworker_lifecycle_settles_total",
			Help: "Settle periods begun, by cause. Nothing is granted during one.",
		}, []string{"cause"}),
		renewals: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_lifecycle_lease_renewals_total",
			Help: "Renewals of the server lease that Redis confirmed.",
		}),
		renewalErrors: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_lifecycle_lease_renewal_errors_total",
			Help: "Renewals of the server lease that got no answer.",
		}),
		leaseMissing: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_lifecycle_lease_missing_total",
			Help: "Times the server lease was found missing: Redis lost it, or it ended.",
		}),
		suspicions: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_lifecycle_lease_suspicions_total",
			Help: "Times the server lease had ended while Redis stayed up: frozen, or cut off.",
		}),
		swept: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "syncworker_lifecycle_swept_total",
			Help: "Players looked at by the sweeps, by sweep and outcome.",
		}, []string{"sweep", "outcome"}),
		undrained: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_lifecycle_undrained_total",
			Help: "Players who still had a write under way when a drain ended.",
		}),
	}
}
