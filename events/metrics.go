package events

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what a watcher does.
type metrics struct {
	received *prometheus.CounterVec
	resyncs  prometheus.Counter
	polls    prometheus.Counter
	missed   prometheus.Counter
	messages prometheus.Counter
	dropped  prometheus.Counter
	level    prometheus.Gauge
	watches  prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	factory := promauto.With(registerer)
	m := &metrics{
		received: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "syncworker_events_received_total",
			Help: "Keyspace notifications received about watched keys, by what happened.",
		}, []string{"name"}),
		resyncs: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_events_resyncs_total",
			Help: "Resubscriptions after the pub/sub connection was lost.",
		}),
		polls: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_events_polls_total",
			Help: "Looks at a watched key that the safety poll caused.",
		}),
		missed: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_events_missed_probes_total",
			Help: "Writes of the probe key whose notification did not arrive.",
		}),
		messages: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_events_messages_total",
			Help: "Messages of other workers received on channels that are listened to.",
		}),
		dropped: factory.NewCounter(prometheus.CounterOpts{
			Name: "syncworker_events_dropped_messages_total",
			Help: "Messages on channels that are listened to that were too long to be genuine.",
		}),
		level: factory.NewGauge(prometheus.GaugeOpts{
			Name: "syncworker_events_level",
			Help: "1 while keyspace notifications are proven to arrive, 0 while only the safety poll works.",
		}),
		watches: factory.NewGauge(prometheus.GaugeOpts{
			Name: "syncworker_events_watches",
			Help: "Keys waited for at present.",
		}),
	}
	return m
}

// names are the notifications that have a label of their own. Anybody may publish
// anything on the channels, so the labels must be bounded.
var names = map[string]bool{
	"set": true, "del": true, "expire": true, "expired": true, "persist": true, "evicted": true,
	"rename_from": true, "rename_to": true, "setrange": true, "append": true, "incrby": true,
}

func (m *metrics) receive(name string) {
	if !names[name] {
		name = "other"
	}
	m.received.WithLabelValues(name).Inc()
}

func (m *metrics) setLevel(level Level) { m.level.Set(float64(level)) }
