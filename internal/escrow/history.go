package escrow

import (
	"errors"
	"fmt"
)

// This file makes resources of their entries, as rebuilding a journal makes all of them.

// ResourceOf returns the resource that a subject's entries describe, as it was
// right after the last of them, and as the command of that entry was answered: on a position, that
// can have been a hold. A position takes all of its entries; of anything else the last describes the whole.
func ResourceOf(entries []Entry) (Resource, error) {
	books, err := booksAfter(entries)
	if err != nil {
		return nil, err
	}
	last := entries[len(entries)-1]
	return last.event.resource(books, last), nil
}

// SubjectOf returns the subject that its entries describe, as it was right after the last of them: a position
// without its events, and anything else as ResourceOf does. Of a position it returns the holds as well, in the order
// in which they were placed.
func SubjectOf(entries []Entry) (subject Resource, holds []Hold, err error) {
	books, err := booksAfter(entries)
	if err != nil {
		return nil, nil, err
	}
	last := entries[len(entries)-1]
	if !last.Kind.OfPosition() {
		return last.event.resource(books, last), nil, nil
	}
	position, _ := books.position()
	return position, books.Holds.Created(), nil
}

// position returns the position of books that have one.
func (b *Books) position() (Position, bool) {
	for _, position := range b.Positions.All() {
		return position, true
	}
	return Position{}, false
}

// booksAfter returns books that hold what a subject's entries describe, as it was right
// after the last.
func booksAfter(entries []Entry) (*Books, error) {
	if len(entries) == 0 {
		return nil, errors.New("no entries")
	}

	books := NewBooks(entries[0].InstitutionID, Head{}, true)
	for _, entry := range entries {
		if err := books.append(entry); err != nil {
			return nil, err
		}
	}
	return books, nil
}

// PositionsAfter returns a position, without its events, as it was right after each
// of its entries from a sequence on. The history is all of its entries, oldest first.
func PositionsAfter(history []Entry, from int64) ([]Position, error) {
	if len(history) == 0 {
		return nil, errors.New("no entries")
	}

	books := NewBooks(history[0].InstitutionID, Head{}, true)
	var positions []Position
	for _, entry := range history {
		if err := books.append(entry); err != nil {
			return nil, err
		}
		if entry.Sequence < from {
			continue
		}

		position, ok := books.position()
		if !ok {
			return nil, fmt.Errorf("entry %d is of no position", entry.Sequence)
		}
		positions = append(positions, position)
	}
	return positions, nil
}
