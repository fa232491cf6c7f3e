package journallog

import (
	"context"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// maxStatementEntries bounds the entries that are read for the movements of one
// statement: a period can have a million entries that move no money.
const maxStatementEntries = 50_000

// Statement is the statement of a period of an institution's journal.
type Statement struct {
	escrow.Statement
	// To is the end of the period, exclusive.
	To time.Time
	// ContinuesAt is To where the statement ends before the requested period does, and nil
	// otherwise.
	ContinuesAt *time.Time
	// Final says that no further entry can come before To.
	Final bool
	// Sequence is that of the last entry before To; 0 where there is none.
	Sequence int64
	// Claims is what the positions of the movements are claims on.
	Claims map[escrow.PositionID]escrow.Claim
}

// Statement returns the statement of a period of an institution's journal. A period
// without an end ends right after the last entry. Where the period has more than limit
// movements, or more than maxStatementEntries entries, the statement ends before the first
// entry that did not fit. The next statement can begin at that entry's time, because the
// times in a journal rise.
func (l *Log) Statement(
	ctx context.Context, institution escrow.InstitutionID, period escrow.Period, limit int,
) (Statement, error) {
	// The head is read first: entries that are appended in the meantime are later than it and
	// are left out.
	head, err := l.head(ctx, institution)
	if err != nil {
		return Statement{}, err
	}

	earliestNext := head.At.Add(time.Microsecond)
	s := Statement{To: earliestNext}
	first, end := int64(1), head.Sequence+1
	if period.From != nil {
		if first, err = l.firstSequence(ctx, institution, *period.From, head); err != nil {
			return Statement{}, err
		}
		if s.To.Before(*period.From) {
			s.To = *period.From
		}
	}
	if period.To != nil {
		if end, err = l.firstSequence(ctx, institution, *period.To, head); err != nil {
			return Statement{}, err
		}
		s.To = *period.To
	}

	// The statement starts from the balances before its first entry.
	opening, err := l.balancesAt(ctx, institution, first-1)
	if err != nil {
		return Statement{}, err
	}
	s.Statement, s.Sequence = escrow.NewStatement(opening), first-1
	err = l.eachEntry(ctx, institution, first-1, end-1, func(e store.StoredEntry) (more bool, err error) {
		m, moves, err := escrow.MovementOf(e.Kind, e.Body, e.Private)
		if err != nil {
			return false, err
		}
		if e.Sequence == first+maxStatementEntries || moves && len(s.Movements) == limit {
			s.To, s.ContinuesAt = e.At, &e.At
			return false, nil
		}

		if moves {
			s.Add(m)
		}
		s.Sequence = e.Sequence
		return true, nil
	})

	// The time of a later entry is at least earliestNext.
	s.Final = !s.To.After(earliestNext)
	if err == nil {
		err = l.addClaims(ctx, institution, &s)
	}
	return s, store.Failure(err)
}

// addClaims adds what the positions of a statement's movements are claims on.
func (l *Log) addClaims(ctx context.Context, institution escrow.InstitutionID, s *Statement) error {
	var positions []escrow.PositionID
	seen := make(map[escrow.PositionID]bool)
	for _, m := range s.Movements {
		if !seen[m.PositionID] {
			seen[m.PositionID] = true
			positions = append(positions, m.PositionID)
		}
	}

	s.Claims = make(map[escrow.PositionID]escrow.Claim, len(positions))
	for some := range slices.Chunk(positions, store.MaxClaims) {
		if err := l.config.Store.Claims(ctx, institution, some, s.Claims); err != nil {
			return err
		}
	}
	return nil
}

// firstSequence returns the sequence of the first entry at or after a time, among the
// entries up to a head; one past the head where there is none.
func (l *Log) firstSequence(
	ctx context.Context, institution escrow.InstitutionID, at time.Time, head escrow.Head,
) (int64, error) {
	sequence, err := l.config.Store.FirstSequence(ctx, institution, at)
	return min(sequence, head.Sequence+1), store.Failure(err)
}
