package driver

import (
	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics is everything the driver counts. It is one collector, so that it is
// registered whole or not at all.
type metrics struct {
	events       *prometheus.CounterVec
	notes        *prometheus.CounterVec
	joins        *prometheus.CounterVec
	refused      *prometheus.CounterVec
	opErrors     *prometheus.CounterVec
	opSeconds    *prometheus.HistogramVec
	inFlight     *prometheus.GaugeVec
	joinWait     prometheus.Histogram
	handoff      prometheus.Histogram
	players      prometheus.Gauge
	sessionsLive prometheus.Gauge
	panics       prometheus.Counter

	// The series of the hot path, looked up once.
	eventOf    [eventKinds]prometheus.Counter
	secondsOf  [operations]prometheus.Observer
	errorsOf   [operations]prometheus.Counter
	inFlightOf [laneCount]prometheus.Gauge
}

// waitBuckets reach from a handoff on loopback to the longest wait that
// operators configure.
var waitBuckets = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 20, 30, 60}

var operationBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

func newMetrics(registerer prometheus.Registerer, log hclog.Logger) *metrics {
	m := &metrics{
		events:       counters("events_total", "Events stepped, by type.", "type"),
		notes:        counters("notes_total", "What the state machines reported, by kind.", "kind"),
		joins:        counters("joins_total", "Joins answered, by the source of the data and by outcome: granted, abandoned, internal or the reason of the refusal.", "source", "outcome"),
		refused:      counters("refused_writes_total", "Saves and quits refused, by reason.", "reason"),
		opErrors:     counters("operation_errors_total", "Operations on Redis, the database and the spool that failed.", "lane", "operation"),
		opSeconds:    prometheus.NewHistogramVec(histogram("operation_seconds", "Time of operations on Redis, the database and the spool.", operationBuckets), []string{"lane", "operation"}),
		inFlight:     prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("operations_in_flight", "Operations that are running.")), []string{"lane"}),
		joinWait:     prometheus.NewHistogram(histogram("join_wait_seconds", "Time from the request to the grant of joins that were granted.", waitBuckets)),
		handoff:      prometheus.NewHistogram(histogram("handoff_seconds", "Time from the request to the grant of joins that waited for another server.", waitBuckets)),
		players:      prometheus.NewGauge(prometheus.GaugeOpts(opts("players", "Players about whom anything is remembered."))),
		sessionsLive: prometheus.NewGauge(prometheus.GaugeOpts(opts("sessions_live", "Sessions that hold a checkout."))),
		panics:       prometheus.NewCounter(prometheus.CounterOpts(opts("panics_total", "Panics that were contained; each is a bug."))),
	}
	m.lookUp()
	if registerer == nil {
		return m
	}
	if err := registerer.Register(m); err != nil {
		log.Warn("metrics are not registered", "error", err)
	}
	return m
}

// lookUp resolves the series of the hot path, which also makes them show from
// the start.
func (m *metrics) lookUp() {
	for kind := range m.eventOf {
		m.eventOf[kind] = m.events.WithLabelValues(eventKind(kind).String())
	}
	for op := range m.secondsOf {
		entry := operationTable[op]
		if operation(op) == notAnOperation {
			continue
		}
		m.secondsOf[op] = m.opSeconds.WithLabelValues(entry.lane.String(), entry.name)
		m.errorsOf[op] = m.opErrors.WithLabelValues(entry.lane.String(), entry.name)
	}
	for id := range m.inFlightOf {
		m.inFlightOf[id] = m.inFlight.WithLabelValues(laneID(id).String())
	}
}

// collectors lists what the struct consists of.
func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{
		m.events, m.notes, m.joins, m.refused, m.opErrors, m.opSeconds, m.inFlight,
		m.joinWait, m.handoff, m.players, m.sessionsLive, m.panics,
	}
}

// Describe makes metrics a prometheus.Collector.
func (m *metrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(descriptions)
	}
}

// Collect makes metrics a prometheus.Collector.
func (m *metrics) Collect(found chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(found)
	}
}

func opts(name, help string) prometheus.Opts {
	return prometheus.Opts{Namespace: "syncworker", Subsystem: "driver", Name: name, Help: help}
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: "syncworker", Subsystem: "driver", Name: name, Help: help, Buckets: buckets}
}
