package store

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// cache remembers where this process has left the journals, and the rows that its
// last batches have read or written.
//
// All changes of an institution's books move the end of its journal. While the
// end is where this process has left it, nobody else has written, and the rows
// are as they are remembered: under the lock of the journal one comparison makes
// all of them good. Idempotency records are the exception, as refusals leave them
// too; they are not remembered.
type cache struct {
	mu   sync.Mutex
	ends *simplelru.LRU[escrow.InstitutionID, *end]
	rows *simplelru.LRU[rowKey, any]
	// generations counts the ends that were taken up.
	generations int64
	// losses counts the ends that were dropped.
	losses int64
	// writing counts the batches of this process that are under way, by institution.
	writing map[escrow.InstitutionID]int
}

// The bounds of the cache, in entries, and of one row in it, in bytes of what the
// client wrote: together some 10 MB, or 40 MB of the largest.
const (
	maxCachedEnds     = 4096
	maxCachedRows     = 8192
	maxCachedMetadata = 4096
	maxCachedEvents   = 16
)

// end is the end of a journal as this process knows it.
type end struct {
	head escrow.Head
	// generation is part of the keys of the rows that hold at this end.
	generation int64
	// unmoved counts the batches in a row that found the end where the one before
	// had left it.
	unmoved int
}

// A batch on an end that has not been moved by others so often in a row counts on
// the rows that are remembered; a few more times, and it counts on the end itself.
const (
	unmovedForRows = 1
	unmovedForEnd  = 3
)

type rowKey struct {
	institution escrow.InstitutionID
	generation  int64
	// id is an id of the domain, or allPolicies.
	id any
}

// allPolicies is the key of an institution's whole set of policies.
type allPolicies struct{}

func newCache() *cache {
	c := &cache{writing: make(map[escrow.InstitutionID]int)}
	var err error
	c.ends, err = simplelru.NewLRU(maxCachedEnds, func(escrow.InstitutionID, *end) { c.losses++ })
	if err != nil {
		panic(err) // only for a size below 1
	}
	if c.rows, err = simplelru.NewLRU[rowKey, any](maxCachedRows, nil); err != nil {
		panic(err)
	}
	return c
}

// opening is what the cache can say of a batch before the database is asked.
type opening struct {
	// missing is what has to be loaded. Where journals turn out to have been moved,
	// what the batch needs of the counted ones has to be loaded whole.
	missing batchNeeds
	counted []escrow.InstitutionID
	// certain says that nothing is missing, and that the ends are most likely where
	// they are known to be.
	certain bool
}

// open makes the books of a batch as far as they are known.
func (c *cache) open(needs batchNeeds) (bookSet, opening) {
	c.mu.Lock()
	defer c.mu.Unlock()
	books, opening := make(bookSet, len(needs)), opening{missing: make(batchNeeds, len(needs)), certain: true}
	for institution, needed := range needs {
		known, ok := c.ends.Get(institution)
		if !ok {
			known = &end{}
		}
		books[institution] = escrow.NewBooks(institution, known.head, ok)
		missing := needed
		if ok && known.unmoved >= unmovedForRows {
			missing = c.fill(books[institution], needed)
			opening.counted = append(opening.counted, institution)
		}
		opening.certain = opening.certain && known.unmoved >= unmovedForEnd && isNothing(missing)
		opening.missing[institution] = missing
	}
	return books, opening
}

// begin and end note that this process has a batch under way.
func (c *cache) begin(needs batchNeeds) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for institution := range needs {
		c.writing[institution]++
	}
}

func (c *cache) end(needs batchNeeds) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for institution := range needs {
		c.writing[institution]--
		if c.writing[institution] == 0 {
			delete(c.writing, institution)
		}
	}
}

// isNothing reports whether nothing is needed that must be in the database.
// Records need not: one that is there stops the batch when it is written again.
func isNothing(n escrow.Needs) bool {
	return !n.Institution && !n.Policies && len(n.Keys)+len(n.Templates)+len(n.Assets)+len(n.Positions) == 0
}

// fillBooks is fill for books whose end was read.
func (c *cache) fillBooks(books *escrow.Books, needs escrow.Needs) escrow.Needs {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fill(books, needs)
}

// fill puts what is remembered at the books' end into them, and returns what is
// missing.
func (c *cache) fill(books *escrow.Books, needs escrow.Needs) escrow.Needs {
	institution := books.InstitutionID()
	end, ok := c.ends.Get(institution)
	if !ok || !sameHead(end.head, books.Head) {
		return needs
	}
	find := func(id any) (any, bool) { return c.rows.Get(rowKey{institution, end.generation, id}) }

	missing := escrow.Needs{Institution: needs.Institution, Policies: needs.Policies, Records: needs.Records}
	if needs.Institution {
		missing.Institution = !load(find, &books.Institutions, institution)
	}
	if needs.Policies {
		if policies, ok := find(allPolicies{}); ok {
			missing.Policies = false
			for _, policy := range policies.([]escrow.Policy) { //nolint:errcheck,forcetypeassert // By its key.
				books.Policies.Load(policy.Region, policy)
			}
		}
	}
	missing.Keys = loadAll(find, &books.Keys, needs.Keys)
	missing.Templates = loadAll(find, &books.Templates, needs.Templates)
	missing.Positions = loadAll(find, &books.Positions, needs.Positions)
	for _, id := range needs.Assets {
		// An asset comes with its template.
		if !load(find, &books.Assets, id) {
			missing.Assets = append(missing.Assets, id)
		} else if asset, _ := books.Assets.Get(id); !load(find, &books.Templates, asset.TemplateID) {
			missing.Assets = append(missing.Assets, id)
		}
	}
	return missing
}

// load puts a row that is remembered among the books' and reports whether there
// is one.
func load[K comparable, V any](find func(any) (any, bool), rows *escrow.Rows[K, V], id K) bool {
	value, ok := find(id)
	if ok {
		rows.Load(id, value.(V)) //nolint:errcheck,forcetypeassert // By the type of its key.
	}
	return ok
}

func loadAll[K comparable, V any](find func(any) (any, bool), rows *escrow.Rows[K, V], ids []K) (missing []K) {
	for _, id := range ids {
		if !load(find, rows, id) {
			missing = append(missing, id)
		}
	}
	return missing
}

// keep remembers the books of a batch that was committed.
func (c *cache) keep(books bookSet, needs batchNeeds) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for institution, b := range books {
		if b.Exists() {
			c.keepBooks(institution, b, needs[institution])
		}
	}
}

func (c *cache) keepBooks(institution escrow.InstitutionID, books *escrow.Books, needs escrow.Needs) {
	known, ok := c.ends.Get(institution)
	if !ok || !sameHead(known.head, books.Opened()) {
		c.generations++
		known = &end{generation: c.generations}
		c.ends.Add(institution, known)
	} else {
		known.unmoved++
	}
	known.head = books.Head
	put := func(id, value any, small bool) {
		key := rowKey{institution, known.generation, id}
		if small {
			c.rows.Add(key, value)
		} else {
			c.rows.Remove(key)
		}
	}
	if needs.Policies {
		var policies []escrow.Policy
		for _, policy := range books.Policies.All() {
			policies = append(policies, policy)
		}
		put(allPolicies{}, policies, true)
	} else if books.Policies.Changed() {
		put(allPolicies{}, nil, false)
	}
	keepAll(put, &books.Institutions, func(escrow.Institution) bool { return true })
	keepAll(put, &books.Keys, func(escrow.APIKey) bool { return true })
	keepAll(put, &books.Templates, func(escrow.AssetTemplate) bool { return true })
	keepAll(put, &books.Assets, func(a escrow.Asset) bool { return len(a.Metadata) <= maxCachedMetadata })
	keepAll(put, &books.Positions, isSmall)
}

func keepAll[K comparable, V any](put func(id, value any, small bool), rows *escrow.Rows[K, V], small func(V) bool) {
	for id, value := range rows.All() {
		put(id, value, small(value))
	}
}

func isSmall(p escrow.Position) bool {
	size := len(p.Metadata)
	for _, event := range p.Events {
		size += len(event.Metadata) + len(event.Reason)
	}
	return size <= maxCachedMetadata && len(p.Events) <= maxCachedEvents
}

// Forget drops what is remembered of some institutions' books: the next batch on
// them locks their journals and loads.
func (c *cache) Forget(institutions ...escrow.InstitutionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, institution := range institutions {
		c.ends.Remove(institution)
	}
}

func sameHead(a, b escrow.Head) bool { return a.Sequence == b.Sequence && a.At.Equal(b.At) }
