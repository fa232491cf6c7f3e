package verify

import (
	"context"
	"fmt"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// compareHolds compares the rows of the holds on some positions with what their entries make of them.
func (d *database) compareHolds(
	ctx context.Context, of escrow.InstitutionID, known int64, histories map[string][]escrow.Entry,
) error {
	for subject, history := range histories {
		isOfHold := func(entry escrow.Entry) bool { return entry.Kind == escrow.KindHoldPlaced }
		if !slices.ContainsFunc(history, isOfHold) {
			continue
		}
		var position escrow.PositionID
		if position.UnmarshalText([]byte(subject)) != nil {
			continue // It was found where the journal was read.
		}
		_, holds, err := escrow.SubjectOf(history)
		if err != nil {
			continue // It was found where the position was made anew.
		}

		rows, err := d.store.HoldRows(ctx, of, position)
		if store.IsUnreadable(ctx, err) {
			d.differUnreadable(of, "holds on "+subject, err)
			d.holdsUnread.Store(true)
			continue
		}
		if err != nil {
			return err
		}
		if !sameRows(rows, holds) {
			if holds, err = d.holdsSince(ctx, of, subject, len(history), rows); err != nil {
				return err
			}
			d.compareDerived(of, "holds", rows, holdRows(holds))
		}
		d.noteHolds(rows, known)
	}
	return nil
}

// holdsSince reads a position's entries once more, of which there were so many, and returns the holds that they make:
// up to the entry at which the rows were read, if there is such a one, and else up to the last.
func (d *database) holdsSince(
	ctx context.Context, of escrow.InstitutionID, position string, count int, rows []store.Row,
) ([]escrow.Hold, error) {
	stored, err := d.journal.Histories(ctx, of, []string{position})
	if err != nil {
		return nil, err
	}
	var history []escrow.Entry
	for _, one := range stored {
		if entry, err := one.Entry(); err == nil {
			history = append(history, entry)
		}
	}

	var holds []escrow.Hold
	for length := min(count, len(history)); length <= len(history); length++ {
		_, made, err := escrow.SubjectOf(history[:length])
		if err != nil {
			return holds, nil //nolint:nilerr // It will be found where the position is made anew.
		}
		if holds = made; sameRows(rows, holds) {
			break
		}
	}
	return holds, nil
}

func holdRows(holds []escrow.Hold) []store.Row {
	rows := make([]store.Row, len(holds))
	for i, hold := range holds {
		rows[i] = store.HoldRow(hold)
	}
	return rows
}

// sameRows reports whether rows, in the order of their ids, are those of holds, in the order in which they were placed.
func sameRows(rows []store.Row, holds []escrow.Hold) bool {
	return slices.EqualFunc(rows, holdRows(holds), func(a, b store.Row) bool {
		return a.Subject == b.Subject && slices.Equal(a.Columns, b.Columns)
	})
}

// noteHolds counts rows that were placed up to a sequence.
func (d *database) noteHolds(rows []store.Row, upTo int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, row := range rows {
		if hold, ok := row.Resource.(escrow.Hold); ok && hold.Placed <= upTo {
			d.holds++
		}
	}
}

// countHolds compares the number of an institution's holds with those that stand on positions with entries of
// holds. The journal had the entries up to known before.
func (d *database) countHolds(ctx context.Context, of escrow.InstitutionID, known int64) error {
	count, err := d.store.CountHolds(ctx, of, known)
	if err == nil && count != d.holds && !d.holdsUnread.Load() {
		d.differ(of, "holds", fmt.Sprintf("%d rows that no entry made", count-d.holds), nothing)
	}
	d.holds = 0
	return err
}
