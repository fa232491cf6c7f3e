package verify

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// rowPage is how many rows a worker compares at once.
const rowPage = 4 * store.MaxHistories

// table says how the rows of one institution in a table are read, and made anew.
type table[T any] struct {
	name string
	// page reads rows in order of their cursors. One that is not the last may be empty
	// where the cursor does not count.
	page   func(context.Context, escrow.PageRequest) (escrow.Page[T], error)
	cursor func(T) escrow.Cursor
	// subject is how the journal names a row.
	subject func(T) string
	fields  func(T) []field
	// rebuild makes a row anew from its entries, oldest first.
	rebuild func(row T, history []escrow.Entry) (T, error)
	// version, where there is one, tells after how many of its entries the row is what it
	// is.
	version func(T) int64
	// others, where there is one, adds the entries on other subjects that changed rows to
	// their histories.
	others func(ctx context.Context, rows []T, histories map[string][]escrow.Entry) error
}

// resource rebuilds a row of most tables.
func resource[T any](_ T, history []escrow.Entry) (row T, err error) {
	made, err := escrow.ResourceOf(history)
	if err != nil {
		return row, err
	}
	row, ok := made.(T)
	if !ok {
		return row, fmt.Errorf("the entries make a %T", made)
	}
	return row, nil
}

// compareRows compares an institution's rows of a table with what the journal makes of
// each. The entries up to known were there before the first row was read. It returns how
// many of those the rows account for.
func compareRows[T any](ctx context.Context, v *verification, of escrow.InstitutionID, known int64, t table[T]) (int64, error) {
	var accounted atomic.Int64
	page := escrow.PageRequest{Limit: rowPage}
	ended := false
	var last escrow.Cursor
	err := inOrder(ctx, v.config,
		func(ctx context.Context) (rows []T, ok bool, err error) {
			if ended {
				return nil, false, nil
			}
			read, err := t.page(ctx, page)
			if err != nil {
				return nil, false, fmt.Errorf("%s of %s: %w", t.name, of, err)
			}
			ended = !read.More
			for i := 0; t.cursor != nil && i < len(read.Items); i++ {
				// One that is shown twice would stand for another that is not.
				row, place := read.Items[i], t.cursor(read.Items[i])
				if bytes.Compare(place[:], last[:]) <= 0 {
					v.differ(of, t.name+" "+t.subject(row), "a row in the wrong place, or twice", "each once, in order")
				}
				last = place
				page.After = &place
			}
			return read.Items, true, nil
		},
		func(ctx context.Context, rows []T) (int, error) {
			subjects := make([]string, len(rows))
			for i, row := range rows {
				subjects[i] = t.subject(row)
			}
			histories, err := v.histories(ctx, of, subjects)
			if err != nil {
				return 0, fmt.Errorf("entries on %s of %s: %w", t.name, of, err)
			}
			for _, history := range histories {
				accounted.Add(int64(countUpTo(history, known)))
			}
			if t.others != nil {
				if err := t.others(ctx, rows, histories); err != nil {
					return 0, err
				}
			}
			for _, row := range rows {
				compareRow(v, of, known, t, row, histories[t.subject(row)])
			}
			return len(rows), nil
		},
		func(_ context.Context, rows int) error {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.report.Rows += int64(rows)
			return nil
		})
	return accounted.Load(), err
}

// histories reads all entries on some subjects, by subject.
func (v *verification) histories(
	ctx context.Context, of escrow.InstitutionID, subjects []string,
) (map[string][]escrow.Entry, error) {
	histories := make(map[string][]escrow.Entry, len(subjects))
	for len(subjects) > 0 {
		some := subjects[:min(len(subjects), store.MaxHistories)]
		subjects = subjects[len(some):]
		stored, err := v.journal.Histories(ctx, of, some)
		if err != nil {
			return nil, err
		}
		for _, s := range stored {
			entry, err := escrow.ParseEntry(s.Body)
			if err != nil {
				continue // It was noted where the journal was read.
			}
			histories[s.Subject] = append(histories[s.Subject], entry)
		}
		v.proceed(len(stored))
	}
	return histories, nil
}

// countUpTo counts the entries up to a sequence.
func countUpTo(history []escrow.Entry, sequence int64) (count int) {
	for count < len(history) && history[count].Sequence <= sequence {
		count++
	}
	return count
}

// compareRow compares one row with what its entries make of it.
func compareRow[T any](v *verification, of escrow.InstitutionID, known int64, t table[T], row T, history []escrow.Entry) {
	name := t.name + " " + t.subject(row)
	if len(history) == 0 {
		v.differ(of, name, "a row", nothing+", as no entry made it")
		return
	}
	// What was committed after the row was read may be in the history already; what was
	// known before must be in the row.
	first, last := max(1, countUpTo(history, known)), len(history)
	if t.version != nil {
		version := int(min(max(t.version(row), int64(first)), int64(last)))
		first, last = version, version
	}
	there := t.fields(row)
	var expected []field
	for length := first; length <= last; length++ {
		made, err := t.rebuild(row, history[:length])
		if err != nil {
			v.differ(of, entryName(history[length-1].Sequence), fmt.Sprintf("a step that cannot be (%s)", err), "one that can follow those before it on "+t.subject(row))
			return
		}
		if expected = t.fields(made); same(there, expected) {
			return
		}
	}
	v.compare(of, name, there, expected)
}

func same(a, b []field) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
