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
	// Columns are all that the table has, as they stand in it; of a resource that was made a
	// row, as they would be written.
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
func (t *rowsOf[K, V, R]) rebuilt() bool { return t.audited() || t.derived }

// Name implements BookTable.
func (t *rowsOf[K, V, R]) Name() string { return t.name }

// Rows implements BookTable. A row that cannot be read hides those beside it, so each is then
// read by itself.
func (t *rowsOf[K, V, R]) Rows(
	ctx context.Context, s *Store, of escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[Row], error) {
	rows, err := t.readable(ctx, s, of, page)
	switch {
	case t.whole != nil && IsUnreadable(ctx, err):
		return escrow.Page[Row]{Items: []Row{{Fault: err}}}, nil
	case t.whole != nil || err != nil && !IsUnreadable(ctx, err):
		return rows, err
	}

	var before []Row
	if page.After == nil {
		var failed error
		if before, failed = t.beforeAll(ctx, s, of); failed != nil {
			return rows, failed
		}
	}
	if err == nil {
		rows.Items = append(before, rows.Items...)
		return rows, nil
	}

	rows = escrow.Page[Row]{Items: before, More: true}
	for len(rows.Items) < page.Limit && rows.More {
		row, found, err := t.next(ctx, s, of, page.After)
		if err != nil {
			return rows, err
		}
		if found {
			rows.Items = append(rows.Items, row)
			page.After = row.Cursor
		}
		rows.More = found && row.Cursor != nil
	}
	return rows, nil
}

// beforeAll returns a row for those whose id is none because it comes before all that are, if
// there are any.
func (t *rowsOf[K, V, R]) beforeAll(ctx context.Context, s *Store, of escrow.InstitutionID) ([]Row, error) {
	column := partsOf(t.layout, keyPart)[1].name
	_, found, err := one(ctx, s.database,
		"SELECT "+column+" FROM "+t.name+" WHERE institution_id = $1 AND "+column+" <= $2 LIMIT 1",
		[]any{idArg(of), [16]byte{}}, func(row) (none struct{}, _ error) { return none, nil })
	if err != nil || !found {
		return nil, err
	}
	return []Row{{Fault: ErrNoID}}, nil
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
	if id == ([16]byte{}) {
		next.Cursor = nil // It is longer than the last of all, and nothing follows.
	}
	if fault != nil {
		return next, true, nil //nolint:nilerr // It is the row's.
	}
	read, found, err := one(ctx, s.database, t.byKey, []any{idArg(of), t.keys.one(named)}, t.scanStored)
	if IsUnreadable(ctx, err) {
		next.Fault = err
		return next, true, nil
	}
	return t.asRow(read), found, err
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
	var found escrow.Page[storedRow[R]]
	var err error
	if t.whole != nil {
		found.Items, err = all(ctx, s.database, t.byOwner, []any{idArg(of)}, t.scanStored)
	} else {
		key := partsOf(t.layout, keyPart)[1].name
		l := listOf(t.table, key)
		l.where("institution_id = %s", idArg(of))
		found, err = idPage(ctx, s.database, l, escrow.Period{}, page, t.scanStored)
	}

	rows := escrow.Page[Row]{Items: make([]Row, len(found.Items)), More: found.More}
	for i, item := range found.Items {
		rows.Items[i] = t.asRow(item)
	}
	return rows, err
}

// asRow is a row as it was read.
func (t *rowsOf[K, V, R]) asRow(read storedRow[R]) Row {
	_, value := t.unpack(read.row)
	return t.row(value, read.columns)
}

func (t *rowsOf[K, V, R]) row(value V, columns []Column) Row {
	row := Row{Resource: value, Subject: t.subject(value), Columns: columns}
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
	return t.row(value, t.shown(t.pack(escrow.InstitutionID{}, value))), true
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

// ExactCheckpoints is Checkpoints, with an *InexactError where a checkpoint of the page is not
// stored as the server writes it.
func (s *Store) ExactCheckpoints(
	ctx context.Context, institution escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[Checkpoint], error) {
	return s.checkpoints(ctx, institution, page, func(r row) (Checkpoint, error) {
		stored, err := checkpointTable.scanStored(r)
		if err == nil {
			err = checkpointTable.inexact(stored)
		}
		return stored.row, err
	})
}

// ExactCheckpointKey is a key that checkpoints were signed with, as it is stored.
type ExactCheckpointKey struct {
	CheckpointKey

	// Fault is an *InexactError where it is not stored as the server writes it.
	Fault error
}

// ExactCheckpointKeys returns the keys that checkpoints were signed with.
func (s *Store) ExactCheckpointKeys(ctx context.Context) ([]ExactCheckpointKey, error) {
	return all(ctx, s.database, allCheckpointKeys, nil, func(r row) (ExactCheckpointKey, error) {
		stored, err := checkpointKeyTable.scanStored(r)
		if err != nil {
			return ExactCheckpointKey{}, err
		}
		return ExactCheckpointKey{CheckpointKey: stored.row, Fault: checkpointKeyTable.inexact(stored)}, nil
	})
}
