package escrow

import (
	"errors"
	"fmt"
)

// This file makes resources of their entries, as rebuilding a journal makes all of them.

// ResourceOf returns the resource that a subject's entries describe, as it was
// right after the last of them, and as the command of that entry was answered. A position
// takes all of its entries; of anything else the last describes the whole.
func ResourceOf(entries []Entry) (Resource, error) {
	books, err := booksAfter(entries)
	if err != nil {
		return nil, err
	}
	last := entries[len(entries)-1]
	return last.event.resource(books, last), nil
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

		position, ok := entry.event.resource(books, entry).(Position)
		if !ok {
			return nil, fmt.Errorf("entry %d is of no position", entry.Sequence)
		}
		position.Events = nil
		positions = append(positions, position)
	}
	return positions, nil
}
