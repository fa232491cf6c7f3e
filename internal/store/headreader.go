package store

import (
	"context"
	"sync"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// headReader is a single flight for reads of journals' heads, with one difference to
// golang.org/x/sync/singleflight: those who come while a query is under way share the
// next, not the one that runs. That one may have looked before they asked, and would show
// them a journal without what was acknowledged to them. So what a reader costs the
// database falls as readers get more.
type headReader struct {
	query func(context.Context, []escrow.InstitutionID) (map[escrow.InstitutionID]escrow.Head, error)

	mu sync.Mutex
	// next is the query that has yet to begin, nil while nobody waits for one.
	next *headQuery
	busy bool
}

type headQuery struct {
	institutions map[escrow.InstitutionID]bool
	// done is closed when the rest is set.
	done  chan struct{}
	heads map[escrow.InstitutionID]escrow.Head
	err   error
}

// headTimeout bounds one query of a headReader.
const headTimeout = 10 * time.Second

// read returns the head of a journal as it was at some time after the call; found is
// false where there is no such institution.
func (r *headReader) read(
	ctx context.Context, institution escrow.InstitutionID,
) (head escrow.Head, found bool, err error) {
	_, span := tracing.Start(ctx, "heads of journals")
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

// join returns the query that answers a reader who asks now.
func (r *headReader) join(institution escrow.InstitutionID) *headQuery {
	r.mu.Lock()
	defer r.mu.Unlock()

	if r.next == nil {
		r.next = &headQuery{institutions: make(map[escrow.InstitutionID]bool), done: make(chan struct{})}
	}
	r.next.institutions[institution] = true
	query := r.next
	if !r.busy {
		r.busy = true
		go r.run()
	}
	return query
}

// run runs queries until nobody waits for one.
func (r *headReader) run() {
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
		// Its readers may go; others may have come for it.
		ctx, cancel := context.WithTimeout(context.Background(), headTimeout)
		query.heads, query.err = r.query(ctx, ids)
		cancel()
		close(query.done)
	}
}
