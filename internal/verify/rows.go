package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// rowPage is how many rows a worker compares at once.
const rowPage = 4 * store.MaxHistories

// comparison says how one institution's rows of a kind are read, and made anew.
type comparison[T any] struct {
	name string
	// page reads rows in order of their cursors. A page may be empty although more
	// follow, where the pages do not go by cursors.
	page func(context.Context, escrow.PageRequest) (escrow.Page[T], error)
	// cursor is nil for a row of a list without an order.
	cursor func(T) *escrow.Cursor
	// subject is how the journal names a row.
	subject func(T) string
	fields  func(T) []field
	// fault, unless it is nil, is why a row cannot be read.
	fault func(T) error
	// rebuild makes a row anew from its entries, oldest first.
	rebuild func(row T, history []escrow.Entry) (T, error)
	// version, unless it is nil, is how many of its entries a row is the result of; 0
	// where the row does not say.
	version func(T) int64
	// addOthers, unless it is nil, adds the entries on other subjects that changed rows
	// to the rows' histories, which are by subject.
	addOthers func(ctx context.Context, rows []T, histories map[string][]escrow.Entry) error
}

func errOtherResource(made escrow.Resource) error { return fmt.Errorf("the entries make a %T", made) }

// rebuildPosition makes a position anew from its entries.
func rebuildPosition(history []escrow.Entry) (escrow.Position, error) {
	made, _, err := escrow.SubjectOf(history)
	if err != nil {
		return escrow.Position{}, err
	}
	position, ok := made.(escrow.Position)
	if !ok {
		return escrow.Position{}, errOtherResource(made)
	}
	return position, nil
}

// compareRows compares an institution's rows with what the journal makes of each. The
// journal had the entries up to known before the first row was read. It returns those of
// these that the rows account for.
func compareRows[T any](
	ctx context.Context, v *verification, of escrow.InstitutionID, known int64, c comparison[T],
) (multiset, error) {
	var accounted multiset
	compare := func(ctx context.Context, rows []T) (int, error) {
		for some := range slices.Chunk(rows, store.MaxHistories) {
			read, err := compareSome(ctx, v, of, known, c, some)
			if err != nil {
				return 0, err
			}
			v.mu.Lock()
			accounted.merge(read)
			v.mu.Unlock()
		}
		return len(rows), nil
	}
	count := func(_ context.Context, rows int) error {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.report.Rows += int64(rows)
		return nil
	}

	err := inOrder(ctx, v.config, pagesOf(v, of, c), compare, count)
	return accounted, err
}

// compareSome compares at most store.MaxHistories rows, and returns the entries that they account
// for.
func compareSome[T any](
	ctx context.Context, v *verification, of escrow.InstitutionID, known int64, c comparison[T], rows []T,
) (read multiset, err error) {
	histories, err := historiesOf(ctx, v, of, c, rows)
	if err != nil {
		return read, err
	}
	for _, history := range histories {
		for _, entry := range history[:countUpTo(history, known)] {
			read.add(v.secret, entry.Body)
		}
		v.compareErasures(of, history)
	}

	if c.addOthers != nil {
		if err := c.addOthers(ctx, rows, histories); err != nil {
			return read, err
		}
	}
	for _, row := range rows {
		compareRow(v, of, known, c, row, histories[c.subject(row)])
	}
	return read, nil
}

// pagesOf reads rows page by page, and checks their order.
func pagesOf[T any](
	v *verification, of escrow.InstitutionID, c comparison[T],
) func(context.Context) (rows []T, ok bool, err error) {
	request := escrow.PageRequest{Limit: rowPage}
	ended := false
	var last escrow.Cursor
	return func(ctx context.Context) (rows []T, ok bool, err error) {
		if ended {
			return nil, false, nil
		}
		page, err := c.page(ctx, request)
		if err != nil {
			return nil, false, fmt.Errorf("%s of %s: %w", c.name, of, err)
		}

		ended = !page.More
		for _, row := range page.Items {
			cursor := c.cursor(row)
			if cursor == nil {
				continue
			}
			// A row that is listed twice could stand in for one that is missing.
			if bytes.Compare(cursor[:], last[:]) <= 0 {
				v.differ(of, c.name+" "+c.subject(row), "a row in the wrong place, or twice", "each once, in order")
			}
			last, request.After = *cursor, cursor
		}
		return page.Items, true, nil
	}
}

// historiesOf reads all entries on at most store.MaxHistories rows, by subject.
func historiesOf[T any](
	ctx context.Context, v *verification, of escrow.InstitutionID, c comparison[T], rows []T,
) (map[string][]escrow.Entry, error) {
	subjects := make([]string, len(rows))
	for i, row := range rows {
		subjects[i] = c.subject(row)
	}
	entries, err := v.journal.Histories(ctx, of, subjects)
	if err != nil {
		return nil, fmt.Errorf("entries on %s of %s: %w", c.name, of, err)
	}

	histories := make(map[string][]escrow.Entry, len(rows))
	for _, stored := range entries {
		entry, err := stored.Entry()
		if err != nil {
			continue // It was noted where the journal was read.
		}
		histories[stored.Subject] = append(histories[stored.Subject], entry)
	}
	v.proceed(len(entries))
	return histories, nil
}

// differUnreadable notes that something cannot be read, or not as it is stored.
func (v *verification) differUnreadable(of escrow.InstitutionID, what string, fault error) {
	if inexact, ok := errors.AsType[*store.InexactError](fault); ok {
		v.differ(of, what+", column "+inexact.Stored.Name, shown(inexact.Stored), shown(inexact.Written))
		return
	}
	v.differ(of, what, "what cannot be read ("+excerpt(causeOf(fault).Error())+")", "what the server writes")
}

// causeOf is the innermost of an error: those around it are for whoever asks a server.
func causeOf(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// countUpTo counts the entries up to a sequence.
func countUpTo(history []escrow.Entry, sequence int64) (count int) {
	for count < len(history) && history[count].Sequence <= sequence {
		count++
	}
	return count
}

// compareRow compares one row with what its entries make of it.
func compareRow[T any](
	v *verification, of escrow.InstitutionID, known int64, c comparison[T], row T, history []escrow.Entry,
) {
	name := c.name + " " + c.subject(row)
	if c.fault != nil && c.fault(row) != nil {
		v.differUnreadable(of, strings.TrimSpace(name), c.fault(row))
		return
	}
	if len(history) == 0 {
		v.differ(of, name, "a row", nothing+", as no entry made it")
		return
	}

	// What was committed after the row was read may be in the history already; what was
	// known before must be in the row.
	first, last := max(1, countUpTo(history, known)), len(history)
	if c.version != nil {
		if version := c.version(row); version != 0 {
			first = int(min(max(version, int64(first)), int64(last)))
			last = first
		}
	}

	// A row that was read before an erasure has what its entries no longer tell.
	if slices.ContainsFunc(history[last:], escrow.Entry.Erases) {
		return
	}
	there := c.fields(row)
	var expected []field
	for length := first; length <= last; length++ {
		made, err := c.rebuild(row, history[:length])
		if err != nil {
			length = firstRefused(c, row, history[:length])
			v.differAt(of, history[length-1].Sequence,
				fmt.Sprintf("an entry that cannot be applied (%s)", err),
				"one that can follow those before it on "+c.subject(row))
			return
		}
		if expected = c.fields(made); slices.Equal(there, expected) {
			return
		}
	}
	v.compare(of, name, there, expected)
}

// firstRefused is the length of the shortest beginning of a history that no row can be made of, where
// there is none of the whole: its last entry is the one at fault.
func firstRefused[T any](c comparison[T], row T, history []escrow.Entry) int {
	for length := 1; length < len(history); length++ {
		if _, err := c.rebuild(row, history[:length]); err != nil {
			return length
		}
	}
	return len(history)
}
