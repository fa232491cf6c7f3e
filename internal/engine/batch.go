package engine

import (
	"context"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// batchResults reads the results of a batch again, out of the journal. The entries of
// its accepted items are the last ones up to the record's sequence.
func (e *Engine) batchResults(
	ctx context.Context, institution escrow.InstitutionID, record escrow.Record,
) (escrow.BatchResults, error) {
	results := make(escrow.BatchResults, len(record.Items))
	for i, refusal := range record.Items {
		results[i].Refusal = refusal
	}

	accepted := record.Items.Accepted()
	if len(accepted) == 0 {
		return results, nil
	}

	entries, err := e.lastEntries(ctx, institution, escrow.EntryFilter{UpTo: record.Sequence}, len(accepted))
	if err != nil {
		return nil, err
	}
	if len(entries) != len(accepted) {
		return nil, fmt.Errorf("the journal has %d entries of a batch with %d accepted items",
			len(entries), len(accepted))
	}

	places := make(map[int64]int, len(accepted))
	for i, place := range accepted {
		places[entries[i].Sequence] = place
	}

	// One position after the other, so that no more than one's history is held.
	for subject, own := range bySubject(entries) {
		positions, err := e.positionsAfter(ctx, institution, subject, own)
		if err != nil {
			return nil, err
		}
		for i, entry := range own {
			results[places[entry.Sequence]].Position = positions[i]
		}
	}
	return results, nil
}

func bySubject(entries []escrow.Entry) map[string][]escrow.Entry {
	subjects := make(map[string][]escrow.Entry)
	for _, entry := range entries {
		subjects[entry.Subject] = append(subjects[entry.Subject], entry)
	}
	return subjects
}

// positionsAfter returns a position as it was after each of the entries, which are
// consecutive ones of its history.
func (e *Engine) positionsAfter(
	ctx context.Context, institution escrow.InstitutionID, subject string, entries []escrow.Entry,
) ([]escrow.Position, error) {
	first := entries[0].Sequence
	if entries[0].Kind != escrow.KindPositionCreated {
		earlier, err := e.history(ctx, institution, subject, first-1)
		if err != nil {
			return nil, err
		}
		entries = append(earlier, entries...)
	}
	return escrow.PositionsAfter(entries, first)
}
