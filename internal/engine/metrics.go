package engine

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

type metrics struct {
	groupSize    prometheus.Histogram
	groupSeconds prometheus.Histogram
	entries      *prometheus.CounterVec
	refusals     *prometheus.CounterVec
	dropped      prometheus.Counter
	splits       prometheus.Counter
	retries      prometheus.Counter
	stale        prometheus.Counter
	unknown      prometheus.Counter
	abandoned    prometheus.Counter
	due          prometheus.Gauge
	expired      prometheus.Counter
	unlogged     prometheus.Counter
	historyLost  prometheus.Gauge
	expiringKeys prometheus.Gauge

	approvals    approvalMetrics
	dutyFailures *prometheus.CounterVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	factory := promauto.With(registry)
	counter := func(name, help string) prometheus.Counter {
		return factory.NewCounter(prometheus.CounterOpts{Name: "escrowgrid_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return factory.NewGauge(prometheus.GaugeOpts{Name: "escrowgrid_" + name, Help: help})
	}

	m := &metrics{
		groupSize: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "escrowgrid_group_commands",
			Help:    "Commands that were committed together in one transaction.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		groupSeconds: factory.NewHistogram(prometheus.HistogramOpts{
			Name:    "escrowgrid_group_duration_seconds",
			Help:    "Time of one transaction, from its begin to after its commit.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 2, 16),
		}),

		entries: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowgrid_journal_entries_total",
			Help: "Entries that this server appended to journals, by kind.",
		}, []string{"kind"}),
		refusals: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowgrid_commands_refused_total",
			Help: "Commands that were refused or failed, by the code of the error.",
		}, []string{"code"}),
		dropped: counter("commands_dropped_total", "Commands whose caller had gone before their turn."),

		splits: counter("group_splits_total",
			"Groups that were cut in half because one of their commands failed in the database."),
		retries: counter("group_retries_total",
			"Attempts that were made again because the database was not available."),
		stale: counter("groups_stale_total",
			"Groups that were begun again because another server had written to their journals."),
		unknown: counter("commits_unknown_total",
			"Commits whose outcome had to be looked up: the connection broke, or no standby confirmed them."),

		abandoned: counter("abandoned_sessions_ended_total",
			"Database sessions that this server ended: their servers were not heard of, and kept others from writing."),
		expired: counter("positions_expired_total", "Positions that this server expired."),
		unlogged: counter("security_events_lost_total",
			"Refused attempts for which there was no room among the security events that wait to be written."),
		due: gauge("positions_due",
			"Positions past their expiresAt, up to 500, when this server last looked for them."),
		historyLost: gauge("history_lost_institutions",
			"Institutions that are halted because their journals have lost entries, or are gone."),
		expiringKeys: gauge("api_keys_expiring",
			"Active API keys that end within 14 days, when this server last looked for them."),
		dutyFailures: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowgrid_duty_failures_total",
			Help: "Rounds of background work that failed, by duty.",
		}, []string{"duty"}),
	}

	m.approvals = newApprovalMetrics(counter, gauge)
	m.begin()
	return m
}

// begin makes the series that alerts ask about: of one that begins with its first
// event, Prometheus does not see that event.
func (m *metrics) begin() {
	for _, kind := range escrow.Kinds() {
		m.entries.WithLabelValues(string(kind))
	}

	for _, code := range []escrow.Code{
		escrow.CodeInternal, escrow.CodeOverloaded, escrow.CodeStoreUnavailable, escrow.CodeOutcomeUnknown,
		escrow.CodeRequestTimeout,
	} {
		m.refusals.WithLabelValues(string(code))
	}

	for _, duty := range []string{
		dutyExpiry, dutyPurge, dutySecurityEvents, dutyHistory, dutyAbandoned, dutyKeyUses, dutySessions,
		dutyKeyExpiry, dutyApprovals,
	} {
		m.dutyFailures.WithLabelValues(duty)
	}
}

// readyTimeout bounds the check of the database while metrics are read: a database that
// hangs must not keep the metrics that say so, and one whose old connections hang is there.
const readyTimeout = 3 * time.Second

// observeEngine registers what is read off the engine when it is asked for.
func (m *metrics) observeEngine(registry prometheus.Registerer, e *Engine) {
	precise := func(name, help string, value func() float64) {
		options := prometheus.GaugeOpts{Name: "escrowgrid_" + name, Help: help}
		registry.MustRegister(prometheus.NewGaugeFunc(options, value))
	}
	gauge := func(name, help string, value func() int) {
		precise(name, help, func() float64 { return float64(value()) })
	}

	gauge("queue_commands", "Commands that wait for their group, in all queues.", func() int {
		waiting := int64(0)
		for _, c := range e.committers {
			waiting += c.queue.commands.Load()
		}
		return int(waiting)
	})
	gauge("queue_limit", "Commands that can wait in all queues. Each takes an equal part, and refuses more.",
		func() int { return int(e.committers[0].queue.limit()) * len(e.committers) })
	// An institution's commands all go into one queue: the sum of the queues would hide
	// that one is full.
	precise("queue_fullness_ratio", "How full the fullest of the queues is: at 1 it refuses commands.", func() float64 {
		fullest := 0.0
		for _, c := range e.committers {
			fullest = max(fullest, float64(c.queue.commands.Load())/float64(c.queue.limit()))
		}
		return fullest
	})

	gauge("store_connections_open", "Database connections that are open.",
		func() int { open, _, _ := e.store.Connections(); return open })
	gauge("store_connections_used", "Database connections in use.",
		func() int { _, used, _ := e.store.Connections(); return used })
	gauge("store_connections_limit", "Database connections that there can be.",
		func() int { _, _, limit := e.store.Connections(); return limit })

	gauge("store_ready", "Whether the database answers, has this schema and can be written to: 1 or 0.", func() int {
		ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
		defer cancel()
		if e.Ready(ctx) != nil {
			return 0
		}
		return 1
	})
	precise("clock_seconds", "This server's clock, in seconds since 1970.", func() float64 {
		return float64(e.config.Now().UnixMicro()) / 1e6
	})

	if _, _, isFile := e.store.Space(); isFile {
		precise("store_size_bytes", "Size of the SQLite file and of the log beside it.",
			func() float64 { size, _, _ := e.store.Space(); return float64(size) })
		precise("store_free_bytes", "Bytes that are free where the SQLite file is.",
			func() float64 { _, free, _ := e.store.Space(); return float64(free) })
	}
}

func (m *metrics) committed(commands int, entries []escrow.Entry, duration time.Duration) {
	m.groupSize.Observe(float64(commands))
	m.groupSeconds.Observe(duration.Seconds())
	for _, entry := range entries {
		m.entries.WithLabelValues(string(entry.Kind)).Inc()
		if entry.BreaksGlass() {
			m.approvals.breakGlass.Inc()
		}
	}
}

// refused counts the commands of a request that was refused or failed; of a refused
// batch, each item under its own code.
func (m *metrics) refused(commands int, err error) {
	if err == nil {
		return
	}
	if refusal, ok := errors.AsType[*escrow.Error](err); ok && refusal.Code == escrow.CodeBatchRefused {
		m.count(escrow.CodeNotApplied, len(refusal.Items.Accepted()))
		m.countItems(refusal.Items)
		return
	}
	m.count(escrow.ErrorCode(err), commands)
}

// refusedItems counts the refused items of a batch that was accepted.
func (m *metrics) refusedItems(resource escrow.Resource) {
	if results, ok := resource.(escrow.BatchResults); ok {
		m.countItems(results.Refusals())
	}
}

func (m *metrics) countItems(items escrow.ItemRefusals) {
	for _, refusal := range items {
		if refusal != nil {
			m.count(refusal.Code, 1)
		}
	}
}

func (m *metrics) count(code escrow.Code, commands int) {
	m.refusals.WithLabelValues(string(code)).Add(float64(commands))
}
