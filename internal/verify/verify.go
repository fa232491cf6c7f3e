// Package verify finds out whether journals are those that were signed, and whether the
// state beside them is what they make of it. It believes nothing that is kept: every
// hash, sum and row is made anew from the entries' bytes and compared.
//
// What it needs of memory does not grow with a journal: entries are read in pages, each
// by one of several workers, and a row is made anew from its own entries alone. All of
// it is read while the server writes: what has changed meanwhile is no difference.
package verify

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// Config says how to verify. Its zero value will do.
type Config struct {
	// Keys are the public keys that are trusted, as name+hash+base64. Without any, those
	// are that come with the journals, and Report.KeysBrought says so.
	Keys []string
	// Held are checkpoints that were kept elsewhere, as signed notes: the journals must
	// still be those that they were signed of.
	Held [][]byte
	// Workers is how many pages are worked on at once; 0 takes the processors.
	Workers int
	// Gentle lets each worker pause for as long as it worked, for whoever else needs the
	// machine.
	Gentle bool
	// Progress, where it is not nil, is told how much is done of how much there is to do,
	// often, and by several goroutines.
	Progress func(done, total int64)
}

// MaxDifferences bounds the differences that a report has; more are counted.
const MaxDifferences = 100

// Report is what was found.
type Report struct {
	// Institutions, Entries, Checkpoints and Rows count what was looked at; rows are
	// those of the tables of state.
	Institutions, Entries, Checkpoints, Rows int64
	// Unsigned counts the entries that no checkpoint covers yet.
	Unsigned int64
	// Keys are the public keys that signatures were checked with; KeysBrought says that
	// they came with what they were to verify.
	Keys        []string
	KeysBrought bool
	// Differences are the first MaxDifferences of DifferenceCount.
	Differences     []Difference
	DifferenceCount int64
}

// Difference is something that is not as it should be.
type Difference struct {
	Institution escrow.InstitutionID
	// What is an entry, a checkpoint, a row or a column of it.
	What string
	// There is what was found, Expected what should be there.
	There, Expected string
}

// String tells the difference in a line.
func (d Difference) String() string {
	return fmt.Sprintf("%s: %s: there is %s, and should be %s", d.Institution, d.What, d.There, d.Expected)
}

// nothing is what is there of something that is missing, or should be there of something
// that is too much.
const nothing = "nothing"

// journal is where entries and checkpoints are read from.
type journal interface {
	// StoredEntries returns the entries from one sequence to another, both included.
	StoredEntries(ctx context.Context, of escrow.InstitutionID, from, to int64) ([]store.StoredEntry, error)
	// Histories returns all entries of at most store.MaxHistories subjects, those of
	// each in order.
	Histories(ctx context.Context, of escrow.InstitutionID, subjects []string) ([]store.StoredEntry, error)
	// Checkpoints returns a page of checkpoints, the smallest first; a cursor is a size.
	Checkpoints(ctx context.Context, of escrow.InstitutionID, page escrow.PageRequest) (escrow.Page[store.Checkpoint], error)
}

// verification is one that is under way.
type verification struct {
	config  Config
	journal journal
	trusted translog.Verifiers
	// bring reads the keys that come with the journals.
	bring func(context.Context) ([]string, error)
	held  map[escrow.InstitutionID][]heldCheckpoint

	total int64
	done  atomic.Int64

	mu     sync.Mutex
	report Report
}

// begin prepares a verification; bring reads the keys that come with the journals.
func begin(ctx context.Context, config Config, from journal, bring func(context.Context) ([]string, error)) (*verification, error) {
	if config.Workers == 0 {
		config.Workers = runtime.GOMAXPROCS(0)
	}
	v := &verification{config: config, journal: from, bring: bring, report: Report{Keys: config.Keys, KeysBrought: len(config.Keys) == 0}}
	var err error
	if v.trusted, err = translog.NewVerifiers(config.Keys...); err == nil {
		err = v.renewKeys(ctx)
	}
	if err != nil {
		return nil, err
	}
	v.held, err = readHeld(config.Held, v.trusted)
	return v, err
}

// renewKeys reads the keys anew that come with the journals, where they are trusted: to be
// called after a checkpoint was read, as a key is there before what it signs.
func (v *verification) renewKeys(ctx context.Context) (err error) {
	if !v.report.KeysBrought {
		return nil
	}
	if v.report.Keys, err = v.bring(ctx); err == nil {
		v.trusted, err = translog.NewVerifiers(v.report.Keys...)
	}
	return err
}

// differ notes a difference.
func (v *verification) differ(of escrow.InstitutionID, what, there, expected string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.DifferenceCount++
	if len(v.report.Differences) < MaxDifferences {
		v.report.Differences = append(v.report.Differences, Difference{of, what, there, expected})
	}
}

// proceed notes that entries were worked on.
func (v *verification) proceed(entries int) {
	done := v.done.Add(int64(entries))
	if v.config.Progress != nil {
		v.config.Progress(done, max(done, v.total))
	}
}

// inOrder has workers do jobs at the same time, and takes their results in the order of
// the jobs. next returns a job; ok is false when there are no more.
func inOrder[J, R any](
	ctx context.Context, config Config, next func(context.Context) (job J, ok bool, err error),
	work func(context.Context, J) (R, error), take func(context.Context, R) error,
) error {
	type outcome struct {
		result R
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer working.Wait()
	defer cancel()

	// As many jobs are under way as fit in here, and the one that is waited for.
	outcomes := make(chan chan outcome, config.Workers-1)
	working.Go(func() {
		defer close(outcomes)
		for {
			job, ok, err := next(ctx)
			if err == nil && !ok {
				return
			}
			result := make(chan outcome, 1)
			select {
			case outcomes <- result:
			case <-ctx.Done():
				return
			}
			if err != nil {
				result <- outcome{err: err}
				return
			}
			working.Go(func() {
				begun := time.Now()
				done, err := work(ctx, job)
				if config.Gentle && err == nil {
					err = pause(ctx, time.Since(begun))
				}
				result <- outcome{done, err}
			})
		}
	})
	for result := range outcomes {
		done := <-result
		if done.err != nil {
			return done.err
		}
		if err := take(ctx, done.result); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func pause(ctx context.Context, length time.Duration) error {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
