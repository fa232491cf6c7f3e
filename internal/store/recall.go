package store

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// moment is where a journal stood at some time after a reader asked. What is
// remembered of it answers the reader; it is nothing where generation is 0.
type moment struct {
	institution escrow.InstitutionID
	generation  int64
	head        escrow.Head
}

// Reading returns a context for the reads of one request: they are of one moment or
// later ones, which is looked for once.
func Reading(ctx context.Context) context.Context {
	return context.WithValue(ctx, readingKey{}, new(atomic.Pointer[moment]))
}

type readingKey struct{}

// now returns the moment that the reads of a context are of.
func (s *Store) now(ctx context.Context, institution escrow.InstitutionID) (moment, error) {
	if err := ctx.Err(); err != nil {
		return moment{}, kinded{ErrUnavailable, err}
	}
	held, _ := ctx.Value(readingKey{}).(*atomic.Pointer[moment])
	if held == nil {
		return s.moment(ctx, institution)
	}
	if now := held.Load(); now != nil && now.institution == institution {
		return *now, nil
	}
	now, err := s.moment(ctx, institution)
	if err == nil && now.generation != 0 {
		held.Store(&now)
	}
	return now, err
}

// recallOr returns a row that is remembered and was good at some time after the
// call, or reads it and remembers it, if it is small.
func recallOr[K comparable, V any](
	ctx context.Context, s *Store, institution escrow.InstitutionID, id K, small func(V) bool, read func() (V, bool, error),
) (V, bool, error) {
	now, err := s.now(ctx, institution)
	if err != nil {
		var none V
		return none, false, err
	}
	if value, ok := s.recall(now, id); ok {
		return value.(V), true, nil //nolint:errcheck,forcetypeassert // By the type of its key.
	}
	value, found, err := read()
	if found && err == nil && small(value) {
		s.remember(now, id, value)
	}
	return value, found, err
}

// recall returns a row that is remembered of a moment, or of a later one.
func (c *cache) recall(at moment, id any) (any, bool) {
	if at.generation == 0 {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows.Get(rowKey{at.institution, at.generation, id})
}

// remember keeps a row that was read after a moment, unless this process has
// written since: the row could be an older one than that of the batch. If another
// process has, the row may be newer than the moment, but then the end is found to
// have moved before anything of this generation is used again.
func (c *cache) remember(at moment, id, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.ends.Get(at.institution); ok && known.generation == at.generation && sameHead(known.head, at.head) {
		c.rows.Add(rowKey{at.institution, at.generation, id}, value)
	}
}

// known returns the moment of an end as this process has left it. The mark is for
// learnAlone.
func (c *cache) known(institution escrow.InstitutionID) (now moment, ok bool, mark int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.ends.Get(institution)
	if !ok {
		return moment{}, false, c.losses
	}
	return moment{institution, known.generation, known.head}, true, c.losses
}

// learnAlone takes up an end that was read since known gave the mark, where no other
// process writes. An end that was dropped in between could have been a later one,
// and nothing would ever show it.
func (c *cache) learnAlone(institution escrow.InstitutionID, head escrow.Head, mark int64) moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.losses != mark {
		return moment{}
	}
	return c.takeUp(institution, head)
}

// learn takes up an end that was read from the database, and returns the moment
// that a reader who asked before is to be answered of.
func (c *cache) learn(institution escrow.InstitutionID, head escrow.Head) moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.takeUp(institution, head)
}

func (c *cache) takeUp(institution escrow.InstitutionID, head escrow.Head) moment {
	known, ok := c.ends.Get(institution)
	switch {
	case ok && !isBefore(known.head, head):
		// This process was there when the end was read, or has moved it since.
	case ok && c.writing[institution] > 0:
		// Most likely it is this process that has moved it, and is about to know.
		return moment{}
	default:
		c.generations++
		known = &end{generation: c.generations, head: head}
		c.ends.Add(institution, known)
	}
	return moment{institution, known.generation, known.head}
}

func isBefore(a, b escrow.Head) bool {
	return a.Sequence < b.Sequence || a.Sequence == b.Sequence && a.At.Before(b.At)
}

// endReader reads the ends of journals for all who ask at once: those who come while
// a query is under way share the next. So what a reader costs the database falls as
// readers get more.
type endReader struct {
	query func(context.Context, []escrow.InstitutionID) (map[escrow.InstitutionID]escrow.Head, error)

	mu sync.Mutex
	// next is the query that has yet to begin, nil while nobody waits for one.
	next *endQuery
	busy bool
}

type endQuery struct {
	institutions map[escrow.InstitutionID]bool
	readers      int
	// done is closed when the rest is set.
	done  chan struct{}
	heads map[escrow.InstitutionID]escrow.Head
	err   error
}

// endTimeout bounds one query of an endReader.
const endTimeout = 10 * time.Second

// read returns the end of a journal as it was at some time after the call; found is
// false where there is no such institution.
func (r *endReader) read(ctx context.Context, institution escrow.InstitutionID) (head escrow.Head, found bool, err error) {
	_, span := tracing.Start(ctx, "ends of journals")
	defer func() { endSpan(span, err) }()
	query := r.join(institution)
	select {
	case <-query.done:
		head, found = query.heads[institution]
		return head, found, query.err
	case <-ctx.Done():
		return head, false, kinded{ErrUnavailable, ctx.Err()}
	}
}

func (r *endReader) join(institution escrow.InstitutionID) *endQuery {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = &endQuery{institutions: make(map[escrow.InstitutionID]bool), done: make(chan struct{})}
	}
	r.next.institutions[institution] = true
	r.next.readers++
	query := r.next
	if !r.busy {
		r.busy = true
		go r.run()
	}
	return query
}

// run runs queries until nobody waits for one.
func (r *endReader) run() {
	for {
		r.mu.Lock()
		query := r.next
		r.next = nil
		r.busy = query != nil
		r.mu.Unlock()
		if query == nil {
			return
		}
		ids := make([]escrow.InstitutionID, 0, len(query.institutions))
		for id := range query.institutions {
			ids = append(ids, id)
		}
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		query.heads, query.err = r.query(ctx, ids)
		cancel()
		close(query.done)
	}
}
