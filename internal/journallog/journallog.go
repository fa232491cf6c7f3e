// Package journallog keeps the transparency log of every institution's journal. It
// follows the journals from outside the write path and, once an interval, signs a
// checkpoint of each journal that has grown. It answers from what it has stored, with
// proofs that a client can check; see package translog.
package journallog

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// Config configures a log. Every field but Signers and Signed must be set.
type Config struct {
	Store   *store.Store
	Logger  *slog.Logger
	Now     func() time.Time
	Metrics prometheus.Registerer
	// Origin is the operator's part of every log's origin; see translog.Origin.
	Origin string
	// Signers each sign every checkpoint. Without any, the log generates a key at its
	// first start and stores it in the database.
	Signers []translog.Signer
	// Signed remembers what was signed; where it is nil, until Close.
	Signed *Signed
	// Interval is how often journals with new entries get a checkpoint. It must be
	// positive.
	Interval time.Duration
}

// The bounds of the work of a round.
const (
	// maxCheckpointEntries bounds the entries from one checkpoint to the next, so that
	// one request can read all entries between two checkpoints.
	maxCheckpointEntries = 8192
	// journalPage bounds the journals that one query returns.
	journalPage = 256
	// roundTimeout bounds a round. A round that is cut short loses nothing: the next one
	// continues where it stopped.
	roundTimeout = 5 * time.Minute
)

// Log is the transparency log of all journals in a store. It is safe for concurrent use.
type Log struct {
	config  Config
	metrics metrics

	// signers is nil until the keys have been read from the database or stored there.
	signers atomic.Pointer[signers]
	signed  *Signed
	// compared says that what was signed has been compared with the journals; seen is the time
	// of the last checkpoint of other servers that was looked at. A round uses both.
	compared bool
	seen     time.Time

	stop    context.CancelFunc
	working sync.WaitGroup
}

// metrics are the log's own, which newMetrics registers.
type metrics struct {
	checkpoints prometheus.Counter
	failures    prometheus.Counter
	lag         prometheus.Gauge
}

// comparing bounds how long Start compares what was signed.
const comparing = 10 * time.Second

// Start starts to follow the journals, until Close. First it compares what was signed with
// them, so that nothing is written to one that has gone back; where the database cannot be
// had, the first round does so.
func Start(config Config) *Log {
	ctx, stop := context.WithCancel(context.Background())
	l := &Log{config: config, metrics: newMetrics(config.Metrics), signed: config.Signed, stop: stop}
	if l.signed == nil {
		l.signed = newSigned("")
	}

	comparison, done := context.WithTimeout(ctx, comparing)
	defer done()
	if err := l.compareSigned(comparison); err != nil {
		l.failed(err)
	}
	l.working.Go(func() { l.run(ctx) })
	return l
}

func newMetrics(registerer prometheus.Registerer) metrics {
	factory := promauto.With(registerer)

	return metrics{
		checkpoints: factory.NewCounter(prometheus.CounterOpts{
			Name: "escrowgrid_checkpoints_signed_total",
			Help: "Checkpoints that this server signed.",
		}),
		failures: factory.NewCounter(prometheus.CounterOpts{
			Name: "escrowgrid_checkpoint_failures_total",
			Help: "Rounds of the transparency log that failed; the next one continues.",
		}),
		lag: factory.NewGauge(prometheus.GaugeOpts{
			Name: "escrowgrid_checkpoint_lag_entries",
			Help: "Entries that no checkpoint covered when this server last looked, whichever server signs.",
		}),
	}
}

// Close stops following the journals and waits for that. It interrupts a round; the next
// server to follow the journals repeats what had not been stored.
func (l *Log) Close() {
	l.stop()
	l.working.Wait()
}

// run starts a round at each interval until the context ends. A failed round is logged and
// counted, and the next one repeats its work.
func (l *Log) run(ctx context.Context) {
	ticker := time.NewTicker(l.config.Interval)
	defer ticker.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}

		if err := l.Round(ctx); err != nil && ctx.Err() == nil {
			l.failed(err)
		}
	}
}

func (l *Log) failed(err error) {
	l.metrics.failures.Inc()
	l.config.Logger.Warn("the transparency log could not be brought up to date; it will be tried again", "error", err)
}

// Round signs a checkpoint of every journal with new entries, unless another server is
// doing so. Its error joins those of the journals that could not be signed.
func (l *Log) Round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()

	if err := l.compareSigned(ctx); err != nil {
		return err
	}
	if err := l.noteOthers(ctx); err != nil {
		return err
	}

	// One server at a time signs: several would repeat each other's work, although they would
	// sign the same trees.
	ran, err := l.config.Store.IfLeader(ctx, store.DutyCheckpoints, l.signJournals)
	if err == nil && !ran {
		// The server that signs may be frozen: every server looks for itself.
		err = l.eachUnsigned(ctx, func(store.UnsignedJournal) {})
	}
	return err
}

// eachUnsigned calls visit with every journal that has entries which no checkpoint covers,
// and notes how many such entries there are.
func (l *Log) eachUnsigned(ctx context.Context, visit func(store.UnsignedJournal)) error {
	var lag int64
	for after, more := (escrow.InstitutionID{}), true; more; {
		journals, err := l.config.Store.UnsignedJournals(ctx, after, journalPage)
		if err != nil {
			return err
		}

		for _, journal := range journals {
			lag += journal.Sequence - journal.Size
			after = journal.Institution
			visit(journal)
		}
		more = len(journals) == journalPage && ctx.Err() == nil
	}

	l.metrics.lag.Set(float64(lag))
	return nil
}

// readLeaves returns the leaves of the entries after one sequence up to another, and the
// time of the last entry. It adds the movements of these entries to balances.
func (l *Log) readLeaves(
	ctx context.Context, institution escrow.InstitutionID, after, to int64, balances *escrow.Balances,
) (leaves []translog.Hash, lastAt time.Time, err error) {
	leaves = make([]translog.Hash, 0, to-after)
	err = l.eachEntry(ctx, institution, after, to, func(e store.StoredEntry) (more bool, err error) {
		leaves = append(leaves, translog.LeafHash(e.Body))
		lastAt = e.At
		return true, balances.AddBody(e.Kind, e.Body)
	})
	return leaves, lastAt, err
}

// eachEntry calls visit with the entries after one sequence up to another, in order, until
// it returns false or an error. A missing entry is an error.
func (l *Log) eachEntry(
	ctx context.Context, institution escrow.InstitutionID, after, to int64,
	visit func(store.StoredEntry) (more bool, err error),
) error {
	for after < to {
		entries, err := l.config.Store.StoredPage(ctx, institution, after, to)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			return fmt.Errorf("entry %d is missing", after+1)
		}

		for _, entry := range entries {
			after++
			if entry.Sequence != after {
				return fmt.Errorf("entry %d is missing", after)
			}
			more, err := visit(entry)
			if err != nil {
				return fmt.Errorf("entry %d: %w", after, err)
			}
			if !more {
				return nil
			}
		}
	}
	return nil
}

// tree is the stored tree of a journal, as a checkpoint of this size covers it.
func (l *Log) tree(ctx context.Context, institution escrow.InstitutionID, size int64) translog.Tree {
	return translog.Tree{Size: size, Read: func(ids []translog.TileID) ([]translog.Tile, error) {
		return l.config.Store.Tiles(ctx, institution, ids)
	}}
}
