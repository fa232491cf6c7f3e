package store

import (
	"maps"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// groupBooks is the books of the institutions of a group, which is what is committed
// together.
type groupBooks map[escrow.InstitutionID]*escrow.Books

// groupNeeds is what a group needs of the books of its institutions.
type groupNeeds = map[escrow.InstitutionID]escrow.Needs

// booksNeeds is what a group needs of the books of one institution.
type booksNeeds struct {
	of   escrow.InstitutionID
	rows escrow.Needs
}

// inLockOrder returns the institutions of a group in the order in which their journals are
// locked.
func inLockOrder(needs groupNeeds) []escrow.InstitutionID {
	return slices.SortedFunc(maps.Keys(needs), escrow.InstitutionID.Compare)
}

// list returns the books in the order in which they are written, which is always the
// same.
func (g groupBooks) list() []*escrow.Books {
	books := make([]*escrow.Books, 0, len(g))
	for _, b := range g {
		books = append(books, b)
	}
	slices.SortFunc(books, func(a, b *escrow.Books) int { return a.InstitutionID().Compare(b.InstitutionID()) })
	return books
}

// loadHead makes the books of a journal whose head was read, unless they were made at
// this head before.
func (g groupBooks) loadHead(r row) error {
	h, err := headTable.scan(r)
	if err != nil {
		return err
	}
	if known := g[h.InstitutionID]; !known.Exists() || !sameHead(known.Head, h.Head) {
		g[h.InstitutionID] = escrow.NewBooks(h.InstitutionID, h.Head, true)
	}
	return nil
}

// writeGroup writes everything that the books of a group have become. The heads of the
// journals are checked where they move, or, for a group that holds no lock yet, all of
// them; that comes first, as the rest is of no use where it fails.
func writeGroup(sink changeSink, group []*escrow.Books, checkHeads bool) error {
	var opened []head
	var moves []headMove
	var entries []StoredEntry
	for _, books := range group {
		for _, created := range books.Institutions.Created() {
			opened = append(opened, head{created.ID, escrow.Head{Sequence: 1, At: created.CreatedAt}})
		}
		if checkHeads || !sameHead(books.Head, books.Opened()) {
			moves = append(moves, headMove{books.InstitutionID(), books.Opened(), books.Head})
		}
		entries = slices.Grow(entries, len(books.Entries))
		for _, entry := range books.Entries {
			entries = append(entries, asStored(entry))
		}
	}

	if err := update(sink, headMoves, moves); err != nil {
		return err
	}
	if err := insert(sink, headTable, opened); err != nil {
		return err
	}
	if err := insert(sink, entryTable, entries); err != nil {
		return err
	}
	for _, t := range bookTables {
		if err := t.writeChanges(sink, group); err != nil {
			return err
		}
	}

	clearings, err := clearingsOf(group)
	if err != nil {
		return err
	}
	return clearPrivate(sink, clearings)
}
