package engine

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// pending is a request that waits for its group.
type pending struct {
	ctx     context.Context //nolint:containedctx // It tells whether the caller still waits.
	request escrow.Request
	// weight is the request's, in commands.
	weight int
	// rounds counts how often it was executed on books that lacked rows.
	rounds int
	done   chan result
	state  atomic.Int32
	// caller is the span of the request, waiting that of its time in the queue.
	caller, waiting trace.Span
}

// The states of a pending request. Its caller can give it up only while it is
// queued: from then on it may be carried out.
const (
	queued int32 = iota
	taken
	abandoned
)

// queue is the requests that wait for a committer, bounded by the commands that they
// are.
type queue struct {
	requests chan *pending
	// commands counts those of the requests that no group has taken yet.
	commands atomic.Int64
}

func newQueue(limit int) *queue { return &queue{requests: make(chan *pending, limit)} }

// limit is how many commands can wait.
func (q *queue) limit() int64 { return int64(cap(q.requests)) }

// put adds a request, unless it is one too many: a request that is larger than the
// queue is taken while nothing else waits.
func (q *queue) put(p *pending) bool {
	for weight := int64(p.weight); ; {
		waiting := q.commands.Load()
		if waiting > 0 && waiting+weight > q.limit() {
			return false
		}
		if q.commands.CompareAndSwap(waiting, waiting+weight) {
			// Each request is one command at least, so there is room for this one.
			q.requests <- p
			return true
		}
	}
}

// full reports whether a request would be one too many.
func (q *queue) full() bool { return q.commands.Load() >= q.limit() }

// poll returns the next request, nil where none waits.
func (q *queue) poll() *pending {
	select {
	case next := <-q.requests: // nil once the queue is closed and empty
		return next
	default:
		return nil
	}
}

// result is what became of a pending command: an error, or an outcome that is
// committed.
type result struct {
	outcome escrow.Outcome
	err     error
}

// committer commits the commands of one queue, group by group.
type committer struct {
	engine *Engine
	ctx    context.Context //nolint:containedctx // It ends the committer's transactions.
	queue  *queue
	random *rand.Rand
	// failing is set while the database was not there for the last group: the
	// groups behind it are not all to wait for the full time.
	failing bool
}

func (c *committer) run() {
	for first := range c.queue.requests {
		for first != nil {
			var group []*pending
			group, first = c.collect(first)
			if len(group) > 0 {
				c.settle(group)
			}
		}
	}
}

// collect takes what else is in the queue, up to the size of a group, and returns
// as left what no longer fits. Requests whose callers have gone are dropped.
func (c *committer) collect(first *pending) (group []*pending, left *pending) {
	size := 0
	for next := first; next != nil; next = c.queue.poll() {
		if size > 0 && size+next.weight > c.engine.config.GroupSize {
			return group, next
		}
		if c.take(next) {
			group = append(group, next)
			size += next.weight
		}
	}
	return group, nil
}

func (c *committer) take(p *pending) bool {
	c.queue.commands.Add(-int64(p.weight))
	p.waiting.End()
	if p.ctx.Err() != nil || !p.state.CompareAndSwap(queued, taken) {
		c.engine.metrics.dropped.Add(float64(p.weight))
		return false
	}
	return true
}

// settle answers every command of a group, whatever it takes: a database that is
// not there is tried again within a bound, and a group that fails as a whole is
// cut in half until the command that makes it fail stands alone.
func (c *committer) settle(group []*pending) {
	patience := c.engine.config.RetryFor
	if c.failing {
		patience = 0
	}
	var lacking []*pending
	err := c.retry(patience, func() (err error) {
		lacking, err = c.attempt(group)
		return err
	})
	c.failing = errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrSchemaBehind)

	switch {
	case err == nil:
		if len(lacking) > 0 {
			c.settle(lacking)
		}
	case c.failing, errors.Is(err, store.ErrOutcomeUnknown):
		c.fail(group, store.Failure(err))
	case len(group) > 1:
		c.engine.metrics.splits.Inc()
		c.settle(group[:len(group)/2])
		c.settle(group[len(group)/2:])
	default:
		c.engine.log.Error("command failed", "request_id", group[0].request.RequestID, "error", err)
		c.fail(group, store.Failure(err))
	}
}

// retry calls work until it does something else than fail for want of a
// database, with growing pauses, for so long. A database that has moved does not come back.
func (c *committer) retry(patience time.Duration, work func() error) error {
	end := time.Now().Add(patience)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		err := work()
		if errors.Is(err, store.ErrStale) {
			// The next attempt holds the lock, and cannot meet with that again.
			c.engine.metrics.stale.Inc()
			err = work()
		}
		away := errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrMoved)
		if !away || time.Now().Add(pause).After(end) {
			return err
		}

		c.engine.metrics.retries.Inc()
		// Jitter keeps several servers from coming back in step.
		select {
		case <-time.After(pause/2 + rand.N(pause)): //nolint:gosec // Not a secret.
		case <-c.ctx.Done():
			return err
		}
	}
}

func (c *committer) fail(group []*pending, err error) {
	for _, p := range group {
		p.done <- result{err: err}
	}
}

// attempt carries a group out in one transaction and answers its commands, but for those that are lacking:
// they have changed nothing, and are to be carried out on books with the rows that they name now. After
// an error none of them is answered.
func (c *committer) attempt(group []*pending) (lacking []*pending, err error) {
	ctx, span := startSpan(c.ctx, group)
	defer func() { endSpan(span, err) }()
	ctx, cancel := context.WithTimeout(ctx, c.engine.config.AttemptTimeout)
	defer cancel()

	begun := time.Now()
	tx, err := c.engine.store.Begin(ctx, needsOf(group))
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(ctx)

	outcomes, err := c.execute(tx, group)
	if err != nil {
		return nil, err
	}
	books := booksOf(tx, group)
	for _, b := range books {
		c.engine.noteRules(b)
	}
	if !slices.ContainsFunc(outcomes, func(o escrow.Outcome) bool { return o.Lacks == nil }) {
		return splitLacking(group, outcomes), nil // There is nothing to commit.
	}

	var entries []escrow.Entry
	for _, b := range books {
		entries = append(entries, b.Entries...)
	}

	err = c.commit(ctx, tx, entries)
	// Also where the outcome stays unknown: a key may be revoked.
	for _, b := range books {
		c.engine.forgetKeys(b.Keys.Updated())
		c.engine.forgetProviders(b)
	}
	if err != nil {
		return nil, err
	}

	c.engine.metrics.committed(commandsOf(group), entries, time.Since(begun))
	if span.IsRecording() {
		span.SetAttributes(attribute.Int("escrowgrid.entries", len(entries)))
	}

	for i, p := range group {
		if outcomes[i].Lacks == nil {
			p.done <- result{outcome: outcomes[i]}
		}
	}
	return splitLacking(group, outcomes), nil
}

func needsOf(group []*pending) map[escrow.InstitutionID]escrow.Needs {
	requests := make(map[escrow.InstitutionID][]escrow.Request)
	for _, p := range group {
		requests[p.request.Institution] = append(requests[p.request.Institution], p.request)
	}
	needs := make(map[escrow.InstitutionID]escrow.Needs, len(requests))
	for id, list := range requests {
		needs[id] = escrow.MergeNeeds(list)
	}
	return needs
}

// commandsOf counts the commands of a group.
func commandsOf(group []*pending) (commands int) {
	for _, p := range group {
		commands += p.weight
	}
	return commands
}

// execute applies the commands of a group to its books. A command that panics is
// like one that fails: its neighbours are to be carried out.
func (c *committer) execute(tx store.Tx, group []*pending) (_ []escrow.Outcome, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("panic: %v\n%s", problem, debug.Stack())
		}
	}()

	outcomes := make([]escrow.Outcome, len(group))
	for i, p := range group {
		stamp := escrow.Stamp{Now: c.engine.config.Now(), Random: [2]uint64{c.random.Uint64(), c.random.Uint64()}}
		_, _ = cryptorand.Read(stamp.Secret[:]) // It never fails.
		outcomes[i], err = tx.Books(p.request.Institution).Execute(p.request, stamp)
		if err != nil {
			return nil, err
		}
	}
	return outcomes, nil
}

// booksOf returns the books of a group, each once.
func booksOf(tx store.Tx, group []*pending) []*escrow.Books {
	var books []*escrow.Books
	seen := make(map[escrow.InstitutionID]bool)
	for _, p := range group {
		if id := p.request.Institution; !seen[id] {
			seen[id] = true
			books = append(books, tx.Books(id))
		}
	}
	return books
}

// commit commits, and finds out about a commit whose outcome is not known.
func (c *committer) commit(ctx context.Context, tx store.Tx, entries []escrow.Entry) error {
	err := tx.Commit(ctx)
	if !errors.Is(err, store.ErrOutcomeUnknown) {
		return err
	}

	c.engine.metrics.unknown.Inc()
	if len(entries) == 0 {
		// Nothing that a second attempt could do twice.
		return errors.Join(store.ErrUnavailable, err)
	}

	committed := false
	lookErr := c.retry(c.engine.config.RetryFor, func() error {
		ctx, cancel := context.WithTimeout(c.ctx, c.engine.config.AttemptTimeout)
		defer cancel()
		var err error
		committed, err = c.engine.store.Committed(ctx, entries[0])
		return err
	})

	switch {
	case lookErr != nil:
		// Only the unknown outcome must show: trying again could do it twice.
		return fmt.Errorf("%w; looking for it: %v", store.ErrOutcomeUnknown, lookErr) //nolint:errorlint // See above.
	case committed:
		return nil
	}
	return fmt.Errorf("%w: the commit was lost", store.ErrUnavailable)
}
