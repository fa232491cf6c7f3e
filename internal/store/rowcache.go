package store

import (
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// rowCache is optimistic concurrency on the journals' heads: it remembers where this
// process has left the head of each journal, and the rows that its last groups have read
// or written.
//
// All changes of an institution's books move the head of its journal. While the head is
// where this process has left it, nobody else has written, and the rows are as they are
// remembered: one comparison makes all of them good. For a reader the head is read
// (snapshot.go); for a writer the comparison is made under the lock on the journal, or, by
// an optimistic group, in the statement that moves the head, which fails if the head is
// another by then. Rows carry the generation of the head that they are good for, a number
// that a head gets when it is observed and keeps while this process alone moves it; a new
// generation is a miss for every row of the old one. Idempotency records are the
// exception, as refusals leave them too; they are not remembered.
type rowCache struct {
	mu    sync.Mutex
	heads *simplelru.LRU[escrow.InstitutionID, *knownHead]
	rows  *simplelru.LRU[rowKey, any]
	// generations counts the heads that were observed.
	generations int64
	// evictions counts the heads that were dropped.
	evictions int64
	// seen is what no eviction takes away; see history.
	seen seenHeads
	// writing counts the groups of this process that are under way, by institution.
	writing map[escrow.InstitutionID]int
}

// The bounds of the cache, in entries, and of one row in it, in bytes of what the
// client wrote: together some 10 MB, or 40 MB of the largest.
const (
	maxCachedHeads    = 4096
	maxCachedRows     = 8192
	maxCachedMetadata = 4096
)

// knownHead is the head of a journal as this process knows it.
type knownHead struct {
	head escrow.Head
	// generation is part of the keys of the rows that are good at this head.
	generation int64
	// streak counts the groups in a row that found the head where the one before
	// had left it.
	streak int
}

// After a streak of this length a group takes the rows that are remembered for good
// until it sees the head; after a longer one it is optimistic about the head itself.
const (
	streakForRows = 1
	streakForHead = 3
)

type rowKey struct {
	institution escrow.InstitutionID
	generation  int64
	// id is an id of the domain, or a wholeTable.
	id any
}

// recallRow returns what is remembered under an id; rememberRow remembers a row, or, one
// that is not small, drops what was remembered.
type (
	recallRow   func(id any) (any, bool)
	rememberRow func(id, value any, small bool)
)

func newRowCache() *rowCache {
	c := &rowCache{
		writing: make(map[escrow.InstitutionID]int),
		seen: seenHeads{
			heads:       make(map[escrow.InstitutionID]escrow.Head),
			unconfirmed: make(map[escrow.InstitutionID]escrow.Head),
		},
	}

	var err error
	c.heads, err = simplelru.NewLRU(maxCachedHeads, func(escrow.InstitutionID, *knownHead) { c.evictions++ })
	if err != nil {
		panic(err) // only for a size below 1
	}
	if c.rows, err = simplelru.NewLRU[rowKey, any](maxCachedRows, nil); err != nil {
		panic(err)
	}
	return c
}

// assumption is what the cache can say of a group before the database is asked.
type assumption struct {
	// missing is what has to be loaded. Where journals turn out to have been moved,
	// what the group needs of the assumed ones has to be loaded whole.
	missing groupNeeds
	assumed []escrow.InstitutionID
	// optimistic says that nothing is missing, and that the heads are most likely where
	// they are known to be.
	optimistic bool
}

// assume makes the books of a group as far as they are known.
func (c *rowCache) assume(needs groupNeeds) (groupBooks, assumption) {
	c.mu.Lock()
	defer c.mu.Unlock()

	group := make(groupBooks, len(needs))
	a := assumption{missing: make(groupNeeds, len(needs)), optimistic: true}
	for institution, needed := range needs {
		missing := needed
		known, ok := c.heads.Get(institution)
		if !ok {
			known = &knownHead{}
		}
		group[institution] = escrow.NewBooks(institution, known.head, ok)
		if ok && known.streak >= streakForRows {
			c.fillLocked(group[institution], &missing)
			a.assumed = append(a.assumed, institution)
		}
		a.optimistic = a.optimistic && known.streak >= streakForHead && !isMissed(&missing) &&
			len(group[institution].UniqueReferences(&needed)) == 0
		a.missing[institution] = missing
	}
	return group, a
}

// isMissed reports whether rows are needed that must be read: all but records.
func isMissed(needs *escrow.Needs) bool {
	for _, t := range bookTables {
		if t.isMissed(needs) {
			return true
		}
	}
	return false
}

// beginWriting and endWriting note that this process has a group under way.
func (c *rowCache) beginWriting(needs groupNeeds) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for institution := range needs {
		c.writing[institution]++
	}
}

func (c *rowCache) endWriting(needs groupNeeds) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for institution := range needs {
		c.writing[institution]--
		if c.writing[institution] == 0 {
			delete(c.writing, institution)
		}
	}
}

// fill puts what is remembered at the books' head, which was read, into them, and returns
// what is missing.
func (c *rowCache) fill(books *escrow.Books, needs escrow.Needs) (missing escrow.Needs) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fillLocked(books, &needs)
	return needs
}

// fillLocked takes what it finds out of the needs.
func (c *rowCache) fillLocked(books *escrow.Books, needs *escrow.Needs) {
	institution := books.InstitutionID()
	known, ok := c.heads.Get(institution)
	if !ok || !sameHead(known.head, books.Head) {
		return
	}

	recall := func(id any) (any, bool) { return c.rows.Get(rowKey{institution, known.generation, id}) }
	for _, t := range bookTables {
		t.fill(recall, books, needs)
	}
}

// keepGroup remembers the books of a group that was committed.
func (c *rowCache) keepGroup(group groupBooks, needs groupNeeds) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for institution, books := range group {
		if books.Exists() {
			of := needs[institution]
			c.keepBooks(books, &of)
		}
		for _, created := range books.Institutions.Created() {
			c.seen.note(created.ID, escrow.Head{Sequence: 1, At: created.CreatedAt})
		}
	}
}

func (c *rowCache) keepBooks(books *escrow.Books, needs *escrow.Needs) {
	institution := books.InstitutionID()
	known, ok := c.heads.Get(institution)
	if !ok || !sameHead(known.head, books.Opened()) {
		known = c.addHead(institution, books.Head)
	} else {
		known.streak++
		known.head = books.Head
	}
	c.seen.note(institution, books.Head)

	remember := func(id, value any, small bool) {
		key := rowKey{institution, known.generation, id}
		if small {
			c.rows.Add(key, value)
		} else {
			c.rows.Remove(key)
		}
	}
	for _, t := range bookTables {
		t.keep(remember, books, needs)
	}
}

// addHead begins a generation.
func (c *rowCache) addHead(institution escrow.InstitutionID, head escrow.Head) *knownHead {
	c.generations++
	known := &knownHead{generation: c.generations, head: head}
	c.heads.Add(institution, known)
	return known
}

// forget drops the heads of some journals, and with them the rows.
func (c *rowCache) forget(institutions ...escrow.InstitutionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, institution := range institutions {
		c.heads.Remove(institution)
	}
}
