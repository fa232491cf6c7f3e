package store

import "github.com/escrowgrid/escrowgrid/internal/escrow"

// seenHeads is how far a process has seen each journal, for as long as it runs: some 150
// bytes a journal. Unlike the heads of the row cache, which may be dropped at any time, they
// only ever move on.
type seenHeads struct {
	heads map[escrow.InstitutionID]escrow.Head
	// order has the keys in the order in which they came, so that they can be gone through a
	// page at a time.
	order []escrow.InstitutionID
}

// note keeps a head that was read or committed. The operator's has no entries to lose.
func (s *seenHeads) note(institution escrow.InstitutionID, head escrow.Head) {
	if institution.IsZero() {
		return
	}
	seen, ok := s.heads[institution]
	if !ok {
		s.order = append(s.order, institution)
	}
	if !ok || isBefore(seen, head) {
		s.heads[institution] = head
	}
}

// seenHeads returns the heads of a page of the journals that this process has seen.
func (c *rowCache) seenHeads(start, limit int) []head {
	c.mu.Lock()
	defer c.mu.Unlock()
	if start >= len(c.seen.order) {
		return nil
	}
	page := c.seen.order[start:min(start+limit, len(c.seen.order))]
	heads := make([]head, 0, len(page))
	for _, institution := range page {
		// One that is gone has a place, and no head.
		heads = append(heads, head{institution, c.seen.heads[institution]})
	}
	return heads
}

// seenOf returns the heads that this process has seen of some journals.
func (c *rowCache) seenOf(institutions []escrow.InstitutionID) []head {
	c.mu.Lock()
	defer c.mu.Unlock()
	heads := make([]head, len(institutions))
	for i, institution := range institutions {
		heads[i] = head{institution, c.seen.heads[institution]}
	}
	return heads
}

// behind returns those heads of a transaction's books that this process has seen further.
func (c *rowCache) behind(tx Tx, needs groupNeeds) (further []head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for institution := range needs {
		if seen := c.seen.heads[institution]; isBefore(tx.Books(institution).Head, seen) {
			further = append(further, head{institution, seen})
		}
	}
	return further
}

// setSeen notes the head of a journal under its lock, also where it has gone back.
func (c *rowCache) setSeen(institution escrow.InstitutionID, head escrow.Head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.note(institution, head)
	c.seen.heads[institution] = head
}

// unsee forgets a journal that is gone.
func (c *rowCache) unsee(institution escrow.InstitutionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.heads[institution] = escrow.Head{}
}
