package store

import (
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// seenHeads is how far a process has seen each journal, for as long as it runs: some 150
// bytes a journal. Unlike the heads of the row cache, which may be dropped at any time, they
// only ever move on.
type seenHeads struct {
	heads map[escrow.InstitutionID]escrow.Head
	// unconfirmed are heads that were read and are further. A primary that was cut off shows
	// entries that no synchronous standby has confirmed, which were acknowledged to nobody and
	// are no loss: they are history once a later commit is confirmed.
	unconfirmed map[escrow.InstitutionID]escrow.Head
	// synchronous says that the database has had synchronous standbys. One that has just been
	// promoted has none yet, while connections may lead to the primary that it has replaced.
	synchronous bool
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

// noteRead keeps a head that was read: for now where a standby may have yet to confirm it.
func (s *seenHeads) noteRead(institution escrow.InstitutionID, head escrow.Head) {
	switch {
	case !s.synchronous:
		s.note(institution, head)
	case !institution.IsZero() && isBefore(s.heads[institution], head) && isBefore(s.unconfirmed[institution], head):
		s.unconfirmed[institution] = head
	}
}

// setSynchronous notes that the database has synchronous standbys.
func (c *rowCache) setSynchronous() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.synchronous = true
}

// isSynchronous reports whether the database has had synchronous standbys.
func (c *rowCache) isSynchronous() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.synchronous
}

// unconfirmed returns up to so many of the heads that nothing has confirmed yet.
func (c *rowCache) unconfirmed(limit int) (heads []head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for institution, read := range c.seen.unconfirmed {
		if len(heads) == limit {
			break
		}
		heads = append(heads, head{institution, read})
	}
	return heads
}

// settle has heads that nothing had confirmed be seen, but for those that are not there: those
// are forgotten with all that is remembered of them.
func (c *rowCache) settle(heads []head, missing []escrow.InstitutionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range heads {
		if slices.Contains(missing, h.InstitutionID) {
			c.heads.Remove(h.InstitutionID)
		} else {
			c.seen.note(h.InstitutionID, h.Head)
		}
		if !isBefore(h.Head, c.seen.unconfirmed[h.InstitutionID]) {
			delete(c.seen.unconfirmed, h.InstitutionID)
		}
	}
}

// dropUnconfirmed forgets a head that nothing had confirmed and that is there no more, with all
// that is remembered of its journal.
func (c *rowCache) dropUnconfirmed(gone head) {
	c.settle([]head{gone}, []escrow.InstitutionID{gone.InstitutionID})
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

// seenOf returns the heads that this process has seen of some journals, and those that it has
// read further and that nothing has confirmed.
func (c *rowCache) seenOf(institutions []escrow.InstitutionID) (heads, unconfirmed []head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	heads = make([]head, len(institutions))
	for i, institution := range institutions {
		heads[i] = head{institution, c.seen.heads[institution]}
		if read, ok := c.seen.unconfirmed[institution]; ok {
			unconfirmed = append(unconfirmed, head{institution, read})
		}
	}
	return heads, unconfirmed
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
	if isBefore(head, c.seen.heads[institution]) {
		c.seen.heads[institution] = head
	}
	c.seen.noteRead(institution, head)
}

// unsee forgets a journal that is gone.
func (c *rowCache) unsee(institution escrow.InstitutionID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.heads[institution] = escrow.Head{}
}
