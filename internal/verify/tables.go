package verify

import (
	"cmp"
	"context"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// tableRows compares the rows of a table of the books, in all columns that the table has.
func tableRows(s *store.Store, t store.BookTable, of escrow.InstitutionID) comparison[store.Row] {
	rows := func(ctx context.Context, page escrow.PageRequest) (escrow.Page[store.Row], error) {
		return t.Rows(ctx, s, of, page)
	}

	return comparison[store.Row]{
		name:    t.Name(),
		page:    rows,
		cursor:  func(r store.Row) *escrow.Cursor { return r.Cursor },
		subject: func(r store.Row) string { return r.Subject },
		fields:  func(r store.Row) []field { return r.Columns },
		rebuild: func(r store.Row, history []escrow.Entry) (store.Row, error) {
			return rebuildRow(t, r, history)
		},
		fault: func(r store.Row) error { return r.Fault },
		version: func(r store.Row) int64 {
			switch row := r.Resource.(type) {
			case escrow.Position:
				return row.Version
			case escrow.Approval:
				return row.Version
			}
			return 0 // No other row says how many entries it is the result of.
		},
	}
}

// rebuildRow makes a row anew from its entries.
func rebuildRow(t store.BookTable, r store.Row, history []escrow.Entry) (store.Row, error) {
	var made escrow.Resource
	var err error
	if key, ok := r.Resource.(escrow.APIKey); ok {
		// The rotation that replaced it is an entry on another key.
		made, err = escrow.KeyAfter(key.ID, history)
	} else {
		made, _, err = escrow.SubjectOf(history)
	}
	if err != nil {
		return store.Row{}, err
	}

	row, ok := t.Row(made)
	if !ok {
		return store.Row{}, errOtherResource(made)
	}
	return row, nil
}

// rotations are the entries that put an API key in the place of another, by the key
// replaced. A key may be rotated again until it expires.
type rotations map[escrow.KeyID][]escrow.Entry

// add adds an entry, if it is a rotation.
func (r rotations) add(entry escrow.Entry) {
	if replaced, ok := entry.ReplacedKey(); ok {
		r[replaced] = append(r[replaced], entry)
	}
}

// addRotations adds the rotations that replaced API keys to the keys' histories: those up
// to the entry of a sequence, which are known, and those after it, which it reads.
func addRotations(
	s *store.Store, of escrow.InstitutionID, sequence int64, known rotations,
) func(context.Context, []store.Row, map[string][]escrow.Entry) error {
	return func(ctx context.Context, rows []store.Row, histories map[string][]escrow.Entry) error {
		if !holdsKeys(rows) {
			return nil
		}
		later, err := rotationsAfter(ctx, s, of, sequence)
		if err != nil {
			return err
		}

		for _, row := range rows {
			key, _ := row.Resource.(escrow.APIKey)
			history := slices.Concat(histories[row.Subject], known[key.ID], later[key.ID])
			slices.SortFunc(history, func(a, b escrow.Entry) int { return cmp.Compare(a.Sequence, b.Sequence) })
			histories[row.Subject] = history
		}
		return nil
	}
}

func holdsKeys(rows []store.Row) bool {
	return slices.ContainsFunc(rows, func(r store.Row) bool {
		_, ok := r.Resource.(escrow.APIKey)
		return ok
	})
}

// rotationsAfter reads the rotations after an entry.
func rotationsAfter(ctx context.Context, s *store.Store, of escrow.InstitutionID, after int64) (rotations, error) {
	later := make(rotations)
	page := escrow.PageRequest{Limit: escrow.MaxPageSize, After: new(escrow.SequenceCursor(after))}
	for {
		entries, err := s.Entries(ctx, of, escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindKeyRotated}}, page)
		if err != nil {
			return nil, err
		}

		for _, entry := range entries.Items {
			later.add(entry)
			page.After = new(escrow.SequenceCursor(entry.Sequence))
		}

		if !entries.More {
			return later, nil
		}
	}
}
