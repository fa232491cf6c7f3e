// Package journallog keeps the transparency log of every institution's journal: it
// follows the journals behind the write path, never in its way, and signs a checkpoint
// at an interval where there is something new. What it answers is read from what it
// keeps, and proves itself; see package translog.
package journallog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// Config is what a log needs. Fields without a note must be set.
type Config struct {
	Store  *store.Store
	Logger *slog.Logger
	// Now tells the time.
	Now func() time.Time
	// Metrics registers the log's metrics.
	Metrics prometheus.Registerer
	// Name is the operator's name of the logs; see translog.Origin.
	Name string
	// Signers sign checkpoints, all of them. Without any, the log makes a key at its
	// first start and keeps it in the database.
	Signers []translog.Signer
	// Interval is how often journals with new entries get a checkpoint.
	Interval time.Duration
}

const (
	// maxCheckpointEntries bounds the entries from one checkpoint to the next, so that
	// what is between two of them can be read for one answer.
	maxCheckpointEntries = 8192
	// entryPage is how many entries are read at once; each may have some 100 KB.
	entryPage = 512
	// journalPage is how many journals are looked for at once.
	journalPage = 256
	// roundTimeout bounds a round, but not what there is to do: the next goes on.
	roundTimeout = 5 * time.Minute
)

// Log is safe for concurrent use.
type Log struct {
	config  Config
	metrics metrics

	// signers are nil until the keys were found in the database, or kept there.
	signers atomic.Pointer[[]translog.Signer]

	stop    context.CancelFunc
	working sync.WaitGroup
}

type metrics struct {
	checkpoints prometheus.Counter
	failures    prometheus.Counter
	lag         prometheus.Gauge
}

// Start starts to follow the journals. Close ends it.
func Start(config Config) *Log {
	factory := promauto.With(config.Metrics)
	l := &Log{config: config, metrics: metrics{
		checkpoints: factory.NewCounter(prometheus.CounterOpts{
			Name: "escrowgrid_log_checkpoints_total", Help: "Checkpoints that this server signed.",
		}),
		failures: factory.NewCounter(prometheus.CounterOpts{
			Name: "escrowgrid_log_failures_total", Help: "Rounds of the transparency log that failed; the next one goes on.",
		}),
		lag: factory.NewGauge(prometheus.GaugeOpts{
			Name: "escrowgrid_log_lag_entries",
			Help: "Entries that no checkpoint covered when this server last looked; 0 on a server that leaves the log to another.",
		}),
	}}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	l.working.Go(func() { l.run(ctx) })
	return l
}

// Close ends the following, in the middle of a round as well: what it has not kept is
// done again.
func (l *Log) Close() {
	l.stop()
	l.working.Wait()
}

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
			l.metrics.failures.Inc()
			l.config.Logger.Warn("the transparency log could not be brought up to date; it will be tried again", "error", err)
		}
	}
}

// Round signs a checkpoint of every journal with new entries, unless another server
// is about it.
func (l *Log) Round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	ran, err := l.config.Store.IfLeader(ctx, store.LeaderOfLog, func(ctx context.Context) error {
		signers, err := l.keys(ctx)
		if err != nil {
			return err
		}
		var lag int64
		var errs []error
		for after, more := (escrow.InstitutionID{}), true; more; {
			journals, err := l.config.Store.UnsignedJournals(ctx, after, journalPage)
			if err != nil {
				return err
			}
			for _, journal := range journals {
				lag += journal.Sequence - journal.Size
				after = journal.Institution
				// A journal that is broken must not keep the others from their checkpoints.
				if err := l.extend(ctx, journal, signers); err != nil {
					errs = append(errs, fmt.Errorf("journal of %s: %w", journal.Institution, err))
				}
			}
			more = len(journals) == journalPage && ctx.Err() == nil
		}
		l.metrics.lag.Set(float64(lag))
		return errors.Join(errs...)
	})
	if err == nil && !ran {
		l.metrics.lag.Set(0)
	}
	return err
}

// keys returns what checkpoints are signed with: what was given, or the key that was
// made at the first start.
func (l *Log) keys(ctx context.Context) ([]translog.Signer, error) {
	if signers := l.signers.Load(); signers != nil {
		return *signers, nil
	}
	signers := l.config.Signers
	for _, signer := range signers {
		err := l.config.Store.AddLogKey(ctx, store.LogKey{VerifierKey: signer.VerifierKey(), CreatedAt: l.now()})
		if err != nil {
			return nil, err
		}
	}
	if len(signers) == 0 {
		made, err := l.madeKey(ctx)
		if err != nil {
			return nil, err
		}
		signers = []translog.Signer{made}
	}
	l.signers.Store(&signers)
	return signers, nil
}

// madeKey returns the key that a server made of this name, or makes it.
func (l *Log) madeKey(ctx context.Context) (translog.Signer, error) {
	kept, err := l.config.Store.LogKeys(ctx)
	if err != nil {
		return translog.Signer{}, err
	}
	for _, key := range kept {
		if key.SigningKey == "" {
			continue
		}
		signer, err := translog.NewSigner(key.SigningKey)
		if err != nil || signer.Name() == l.config.Name {
			return signer, err
		}
	}
	made, signer, err := translog.GenerateKey(l.config.Name)
	if err != nil {
		return translog.Signer{}, err
	}
	l.config.Logger.Info("made a key that signs checkpoints, and kept it in the database", "verifier_key", signer.VerifierKey())
	return signer, l.config.Store.AddLogKey(ctx, store.LogKey{
		VerifierKey: signer.VerifierKey(), SigningKey: made, CreatedAt: l.now(),
	})
}

// now is the time in the precision that is kept.
func (l *Log) now() time.Time { return l.config.Now().UTC().Truncate(time.Microsecond) }

// extend brings the log of one journal to its end.
func (l *Log) extend(ctx context.Context, journal store.UnsignedJournal, signers []translog.Signer) error {
	last, _, err := l.config.Store.LastCheckpoint(ctx, journal.Institution, math.MaxInt64)
	if err != nil {
		return err
	}
	for last.Size < journal.Sequence {
		next := store.Checkpoint{
			Institution: journal.Institution, Size: min(journal.Sequence, last.Size+maxCheckpointEntries), Balances: last.Balances.Clone(),
		}
		leaves, lastAt, err := l.read(ctx, journal.Institution, last.Size, next.Size, &next.Balances)
		if err != nil {
			return err
		}
		root, tiles, err := l.tree(ctx, journal.Institution, last.Size).Append(leaves)
		if err != nil {
			return err
		}
		// Clocks of servers differ, but no checkpoint is older than what it covers.
		if next.At = l.now(); next.At.Before(lastAt) {
			next.At = lastAt
		}
		next.Note, err = translog.Checkpoint{
			Origin: translog.Origin(l.config.Name, journal.Institution), Size: next.Size, Root: root, At: next.At,
		}.Sign(signers...)
		if err != nil {
			return err
		}
		if err := l.config.Store.AddCheckpoint(ctx, next, tiles); err != nil {
			return err
		}
		l.metrics.checkpoints.Inc()
		last = next
	}
	return nil
}

// read returns the leaves of the entries after one sequence up to another, and the time
// of the last, and adds up what they move.
func (l *Log) read(
	ctx context.Context, institution escrow.InstitutionID, after, to int64, balances *escrow.Balances,
) (leaves []translog.Hash, lastAt time.Time, err error) {
	leaves = make([]translog.Hash, 0, to-after)
	err = l.each(ctx, institution, after, to, func(e store.StoredEntry) (more bool, err error) {
		leaves = append(leaves, translog.LeafHash(e.Body))
		lastAt = e.At
		return true, balances.AddBody(e.Kind, e.Body)
	})
	return leaves, lastAt, err
}

// each calls a function with the entries after one sequence up to another, as long as it
// asks for more.
func (l *Log) each(
	ctx context.Context, institution escrow.InstitutionID, after, to int64, do func(store.StoredEntry) (more bool, err error),
) error {
	for after < to {
		entries, err := l.config.Store.StoredEntries(ctx, institution, after+1, min(to, after+entryPage))
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
			more, err := do(entry)
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

// tree is the tree of a journal as it is kept, of which a checkpoint has a size.
func (l *Log) tree(ctx context.Context, institution escrow.InstitutionID, size int64) translog.Tree {
	return translog.Tree{Size: size, Read: func(ids []translog.TileID) ([]translog.Tile, error) {
		return l.config.Store.Tiles(ctx, institution, ids)
	}}
}
