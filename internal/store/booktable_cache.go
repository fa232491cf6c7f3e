package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// What the row cache does with a table of the books.

func (t *rowsOf[K, V, R]) isMissed(needs *escrow.Needs) bool {
	switch {
	case t.whole != nil:
		return *t.whole(needs)
	case t.cached == nil:
		return false // A record that is there stops the group when it is written again.
	}
	return len(*t.named(needs)) > 0 || t.also != nil && t.also.needed(needs)
}

// recallWhole returns an institution's rows of a table of which all are read together, in no order:
// those that are remembered, if they were good at some time after the call, or they are read.
func recallWhole[K comparable, V any](
	ctx context.Context, s *Store, t *rowsOf[K, V, V], of escrow.InstitutionID,
) ([]V, error) {
	values, _, err := recallOr(ctx, s, of, wholeTable(t.name), remembersAll[[]V], func() ([]V, bool, error) {
		values, err := all(ctx, s.database, t.byOwner, []any{idArg(of)}, t.scan)
		return values, true, err
	})
	return values, err
}

// wholeTable is the id of an institution's whole table in the row cache.
type wholeTable string

func (t *rowsOf[K, V, R]) fill(recall recallRow, books *escrow.Books, needs *escrow.Needs) {
	switch {
	case t.cached == nil:
	case t.whole != nil:
		needed := t.whole(needs)
		if !*needed {
			return
		}
		values, ok := recall(wholeTable(t.name))
		if !ok {
			return
		}

		for _, value := range values.([]V) { //nolint:errcheck,forcetypeassert // By its key.
			t.in(books).Load(t.key(value), value)
		}
		*needed = false

	default:
		needed := t.named(needs)
		var missing []K
		for _, key := range *needed {
			if !t.fillOne(recall, books, key) {
				missing = append(missing, key)
			}
		}
		*needed = missing
	}
}

// fillOne loads one row that is remembered, and reports whether it is, with all that
// comes with it.
func (t *rowsOf[K, V, R]) fillOne(recall recallRow, books *escrow.Books, key K) bool {
	known, ok := recall(key)
	if !ok {
		return false
	}
	if known == (noRow{}) {
		return true
	}
	value := known.(V) //nolint:errcheck,forcetypeassert // By the type of its key.
	t.in(books).Load(key, value)
	return t.isWhole == nil || t.isWhole(recall, books, value)
}

func (t *rowsOf[K, V, R]) keep(remember rememberRow, books *escrow.Books, needs *escrow.Needs) {
	rows := t.in(books)

	switch {
	case t.cached == nil:
	case t.whole == nil:
		for key, value := range rows.All() {
			remember(key, value, t.cached(value))
		}
		t.keepNone(remember, rows, needs)
	case *t.whole(needs):
		var values []V
		for _, value := range rows.All() {
			values = append(values, value)
		}
		remember(wholeTable(t.name), values, true)
	case rows.Changed():
		remember(wholeTable(t.name), nil, false)
	}
}

// noRow is remembered in the place of a row that is not there.
type noRow struct{}

// keepNone remembers which rows that were needed are not there.
func (t *rowsOf[K, V, R]) keepNone(remember rememberRow, rows *escrow.Rows[K, V], needs *escrow.Needs) {
	if !t.remembersNone {
		return
	}
	for _, key := range *t.named(needs) {
		if _, there := rows.Get(key); !there {
			remember(key, noRow{}, true)
		}
	}
}

// remembersAll caches every row: those of the table are small.
func remembersAll[V any](V) bool { return true }
