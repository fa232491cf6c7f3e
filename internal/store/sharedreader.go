package store

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// sharedReader is a single flight for reads of rows by their keys, with one difference to
// golang.org/x/sync/singleflight: those who come while a query is under way share the
// next, not the one that runs. That one may have looked before they asked, and would show
// them a row without what was acknowledged to them. So what a reader costs the
// database falls as readers get more, and however many there are, they have one connection.
type sharedReader[K comparable, V any] struct {
	// name is that of the reads in traces.
	name string
	// most bounds the keys of one query; 0 is no bound.
	most  int
	query func(context.Context, []K) (map[K]V, error)

	mu sync.Mutex
	// next are the queries that have yet to begin, empty while nobody waits for one.
	next []*sharedQuery[K, V]
	busy bool
}

type sharedQuery[K comparable, V any] struct {
	keys map[K]bool
	// done is closed when the rest is set.
	done chan struct{}
	rows map[K]V
	err  error
}

// sharedTimeout bounds one query of a sharedReader.
const sharedTimeout = 10 * time.Second

// read returns the row of a key as it was at some time after the call; found is
// false where there is none.
func (r *sharedReader[K, V]) read(ctx context.Context, key K) (value V, found bool, err error) {
	_, span := tracing.Start(ctx, r.name)
	defer func() { endSpan(span, err) }()

	// Of a query that ends at once and a context that has ended, select takes any.
	if err := ctx.Err(); err != nil {
		return value, false, kinded{ErrUnavailable, err}
	}
	query := r.join(key)
	select {
	case <-query.done:
		value, found = query.rows[key]
		return value, found, query.err
	case <-ctx.Done():
		return value, false, kinded{ErrUnavailable, ctx.Err()}
	}
}

// join returns the query that answers a reader who asks now.
func (r *sharedReader[K, V]) join(key K) *sharedQuery[K, V] {
	r.mu.Lock()
	defer r.mu.Unlock()

	last := len(r.next) - 1
	if last < 0 || r.most > 0 && len(r.next[last].keys) >= r.most && !r.next[last].keys[key] {
		r.next = append(r.next, &sharedQuery[K, V]{keys: make(map[K]bool), done: make(chan struct{})})
		last++
	}
	query := r.next[last]
	query.keys[key] = true
	if !r.busy {
		r.busy = true
		go r.run()
	}
	return query
}

// take returns the next query, nil where nobody waits for one.
func (r *sharedReader[K, V]) take() *sharedQuery[K, V] {
	r.mu.Lock()
	defer r.mu.Unlock()

	r.busy = len(r.next) > 0
	if !r.busy {
		r.next = nil
		return nil
	}
	query := r.next[0]
	r.next = r.next[1:]
	return query
}

// run runs queries until nobody waits for one.
func (r *sharedReader[K, V]) run() {
	for query := r.take(); query != nil; query = r.take() {
		// Its readers may go; others may have come for it.
		ctx, cancel := context.WithTimeout(context.Background(), sharedTimeout)
		query.rows, query.err = r.query(ctx, slices.Collect(maps.Keys(query.keys)))
		cancel()
		close(query.done)
	}
}
