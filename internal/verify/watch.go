package verify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/escrowgrid/escrowgrid/internal/store"
)

// WatchConfig is what a watch needs. Every field must be set.
type WatchConfig struct {
	Store  *store.Store
	Logger *slog.Logger
	// Now tells the time.
	Now func() time.Time
	// Metrics registers the watch's metrics.
	Metrics prometheus.Registerer
	// AllowForeignSchema leaves out the comparison of schemas.
	AllowForeignSchema bool
	// CheckpointInterval is how often the server signs.
	CheckpointInterval time.Duration
	// Interval is the time from the end of one verification to the beginning of the next.
	Interval time.Duration
}

// firstAfter bounds the time to the first verification, so that a server that restarts
// more often than the interval verifies too.
const firstAfter = time.Minute

// Watch verifies the database again and again while a server serves, with one worker that
// rests as long as it works. Of several instances, one at a time does.
type Watch struct {
	config  WatchConfig
	metrics watchMetrics
	// seen are the checkpoints that this server has found so far.
	seen    Checkpoints
	started time.Time

	stop    context.CancelFunc
	working sync.WaitGroup
}

type watchMetrics struct {
	runs        *prometheus.CounterVec
	differences prometheus.Gauge
	passed      prometheus.Gauge
	duration    prometheus.Gauge
}

// The results of a verification.
const (
	resultPassed    = "passed"
	resultDifferent = "different"
	resultFailed    = "failed"
)

// StartWatch begins to watch. Close ends it.
func StartWatch(config WatchConfig) *Watch {
	ctx, stop := context.WithCancel(context.Background())
	w := &Watch{
		config:  config,
		metrics: newWatchMetrics(config.Metrics),
		seen:    Checkpoints{},
		started: config.Now(),
		stop:    stop,
	}
	w.working.Go(func() { w.run(ctx) })
	return w
}

func newWatchMetrics(registerer prometheus.Registerer) watchMetrics {
	factory := promauto.With(registerer)
	m := watchMetrics{
		runs: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "escrowgrid_verification_runs_total",
			Help: "Verifications of all journals and rows that this server carried out, " +
				"by result: passed, different or failed.",
		}, []string{"result"}),
		differences: factory.NewGauge(prometheus.GaugeOpts{
			Name: "escrowgrid_verification_differences",
			Help: "Differences that this server's last verification has found, " +
				"and journals whose end was not signed in time.",
		}),
		passed: factory.NewGauge(prometheus.GaugeOpts{
			Name: "escrowgrid_verification_passed_timestamp_seconds",
			Help: "When this server's last verification without a difference ended; 0 before the first.",
		}),
		duration: factory.NewGauge(prometheus.GaugeOpts{
			Name: "escrowgrid_verification_duration_seconds",
			Help: "How long this server's last verification took.",
		}),
	}

	// Each result is there from the start, so that an increase from nothing is seen.
	for _, result := range []string{resultPassed, resultDifferent, resultFailed} {
		m.runs.WithLabelValues(result)
	}
	return m
}

// Close ends the watch, in the middle of a verification as well.
func (w *Watch) Close() {
	w.stop()
	w.working.Wait()
}

func (w *Watch) run(ctx context.Context) {
	timer := time.NewTimer(min(firstAfter, w.config.Interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}

		_, err := w.config.Store.IfLeader(ctx, store.DutyVerification, w.verify)
		if err != nil && ctx.Err() == nil {
			w.metrics.runs.WithLabelValues(resultFailed).Inc()
			w.config.Logger.Warn("the journals could not be verified; it will be tried again", "error", err)
		}
		timer.Reset(w.config.Interval)
	}
}

func (w *Watch) verify(ctx context.Context) error {
	begun := w.config.Now()
	within := max(signedWithin, 2*w.config.CheckpointInterval)
	report, err := Database(ctx, w.config.Store, Config{
		Workers:      1,
		Gentle:       true,
		SignedWithin: within,
		Seen:         w.seen,

		AllowForeignSchema: w.config.AllowForeignSchema,
	})
	if report.Seen != nil {
		w.seen = report.Seen
	}
	// What an earlier server has left unsigned, this one has had no time for.
	if begun.Sub(w.started) < within {
		report.Tails, report.TailCount = nil, 0
	}

	// A difference counts, whether or not all else could be read.
	found := report.DifferenceCount + report.TailCount
	if found > 0 {
		w.metrics.runs.WithLabelValues(resultDifferent).Inc()
	}
	w.metrics.differences.Set(float64(found))
	w.log(report)
	if err != nil {
		return err
	}

	took := w.config.Now().Sub(begun)
	w.metrics.duration.Set(took.Seconds())
	if found == 0 {
		w.metrics.runs.WithLabelValues(resultPassed).Inc()
		w.metrics.passed.Set(float64(w.config.Now().UnixMilli()) / float64(time.Second/time.Millisecond))
		w.config.Logger.Info("verified all journals and the state beside them",
			"entries", report.Entries, "rows", report.Rows, "took", took)
	}
	return nil
}

// log writes what a verification has found.
func (w *Watch) log(report Report) {
	const message = "the journals and the state beside them are not as they should be"
	for _, difference := range report.Differences {
		w.config.Logger.Error(message, "difference", difference.String())
	}
	for _, tail := range report.Tails {
		w.config.Logger.Error(message, "unsigned", tail.String())
	}
}
