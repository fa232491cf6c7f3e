package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// BookTable is a table of the books as it is compared with the journal.
type BookTable interface {
	// Name is the table's.
	Name() string
	// Rows returns a page of an institution's rows, in order of their cursors; of a table
	// of few rows, all of them.
	Rows(ctx context.Context, s *Store, of escrow.InstitutionID, page escrow.PageRequest) (escrow.Page[Row], error)
	// Has reports whether there is a row of a subject of the journal's.
	Has(ctx context.Context, s *Store, of escrow.InstitutionID, subject string) (bool, error)
	// Row returns a resource as a row of the table; ok is false where it is none.
	Row(resource escrow.Resource) (row Row, ok bool)
}

// Row is a row of a table of the books.
type Row struct {
	Resource escrow.Resource
	// Subject is how the journal names the resource.
	Subject string
	// Cursor is the row's place in a list, nil where the table has too few for one.
	Cursor *escrow.Cursor
	// Columns are all that the table has.
	Columns []Column
	// Fault is why the row cannot be read. Then there are no columns, and of a table of few
	// rows it stands for all of them, without a subject.
	Fault error
}

// BookTables returns the tables of the books that the journals tell of: all but that of
// idempotency records, which refusals leave too.
func BookTables() []BookTable {
	var tables []BookTable
	for _, t := range bookTables {
		if t.audited() {
			tables = append(tables, t)
		}
	}
	return tables
}

// RowOf returns a resource as a row of its table; ok is false where it is none.
func RowOf(resource escrow.Resource) (row Row, ok bool) {
	for _, t := range BookTables() {
		if row, ok := t.Row(resource); ok {
			return row, true
		}
	}
	return Row{}, false
}

func (t *rowsOf[K, V, R]) audited() bool { return t.subject != nil }

// Name implements BookTable.
func (t *rowsOf[K, V, R]) Name() string { return t.name }

// Rows implements BookTable. A row that cannot be read hides those beside it, so each is then
// read by itself.
func (t *rowsOf[K, V, R]) Rows(
	ctx context.Context, s *Store, of escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[Row], error) {
	rows, err := t.readable(ctx, s, of, page)
	switch {
	case !IsUnreadable(ctx, err):
		return rows, err
	case t.whole != nil:
		return escrow.Page[Row]{Items: []Row{{Fault: err}}}, nil
	}

	rows = escrow.Page[Row]{More: true}
	for len(rows.Items) < page.Limit && rows.More {
		row, found, err := t.next(ctx, s, of, page.After)
		if err != nil {
			return rows, err
		}
		if rows.More = found; found {
			rows.Items = append(rows.Items, row)
			page.After = row.Cursor
		}
	}
	return rows, nil
}

// next reads the row after a cursor, whatever it has in it.
func (t *rowsOf[K, V, R]) next(
	ctx context.Context, s *Store, of escrow.InstitutionID, after *escrow.Cursor,
) (next Row, found bool, err error) {
	column := partsOf(t.layout, keyPart)[1].name
	var from escrow.Cursor
	if after != nil {
		from = *after
	}

	var fault error
	id, found, err := one(ctx, s.database,
		"SELECT "+column+" FROM "+t.name+" WHERE institution_id = $1 AND "+column+" > $2 ORDER BY "+column+" LIMIT 1",
		[]any{idArg(of), [16]byte(from)}, func(r row) (id [16]byte, _ error) {
			fault = r.Scan(&id)
			if bytes.Compare(id[:], from[:]) <= 0 {
				id = following(from) // It is longer than one.
			}
			return id, nil
		})
	if err != nil || !found {
		return next, false, err
	}

	named := t.keys.of(id)
	next = Row{Subject: fmt.Sprint(named), Cursor: new(t.keys.cursor(named)), Fault: fault}
	if fault != nil {
		return next, true, nil //nolint:nilerr // It is the row's.
	}
	read, found, err := one(ctx, s.database, t.byKey, []any{idArg(of), t.keys.one(named)}, t.scan)
	if IsUnreadable(ctx, err) {
		next.Fault = err
		return next, true, nil
	}
	_, value := t.unpack(read)
	return t.row(read, value), found, err
}

// IsUnreadable reports whether an error is that of what was read, which it is again, and not
// one of the database, which may pass.
func IsUnreadable(ctx context.Context, err error) bool {
	return err != nil && ctx.Err() == nil && !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrSchemaBehind)
}

// readable reads a page of rows all of which can be read.
func (t *rowsOf[K, V, R]) readable(
	ctx context.Context, s *Store, of escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[Row], error) {
	var found escrow.Page[R]
	var err error
	if t.whole != nil {
		found.Items, err = all(ctx, s.database, t.byOwner, []any{idArg(of)}, t.scan)
	} else {
		key := partsOf(t.layout, keyPart)[1].name
		l := listOf(t.table, key)
		l.where("institution_id = %s", idArg(of))
		found, err = idPage(ctx, s.database, l, escrow.Period{}, page, t.scan)
	}

	rows := escrow.Page[Row]{Items: make([]Row, len(found.Items)), More: found.More}
	for i, item := range found.Items {
		_, value := t.unpack(item)
		rows.Items[i] = t.row(item, value)
	}
	return rows, err
}

func (t *rowsOf[K, V, R]) row(packed R, value V) Row {
	row := Row{Resource: value, Subject: t.subject(value), Columns: t.shown(packed)}
	if t.whole == nil {
		row.Cursor = new(t.keys.cursor(t.key(value)))
	}
	return row
}

// Row implements BookTable.
func (t *rowsOf[K, V, R]) Row(resource escrow.Resource) (Row, bool) {
	value, ok := resource.(V)
	if !ok {
		return Row{}, false
	}
	return t.row(t.pack(escrow.InstitutionID{}, value), value), true
}

// Has implements BookTable.
func (t *rowsOf[K, V, R]) Has(
	ctx context.Context, s *Store, of escrow.InstitutionID, subject string,
) (has bool, err error) {
	if t.whole == nil {
		key, err := t.keys.parse(subject)
		if err != nil {
			return false, nil //nolint:nilerr // The subject of another table.
		}
		_, has, err = one(ctx, s.database, t.byKey, []any{idArg(of), t.keys.one(key)}, t.scan)
		if IsUnreadable(ctx, err) {
			return true, nil
		}
		return has, err
	}

	rows, err := all(ctx, s.database, t.byOwner, []any{idArg(of)}, t.scan)
	if IsUnreadable(ctx, err) {
		return false, nil // It was found where the rows were read.
	}
	return slices.ContainsFunc(rows, func(r R) bool {
		_, value := t.unpack(r)
		return t.subject(value) == subject
	}), err
}
