package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3/driver"
	"github.com/pressly/goose/v3"
)

// SchemaFault is something in a database's schema that is not what the migrations make: a
// trigger could make an API key beside each key, and a view could show what is not there.
type SchemaFault struct {
	// Object is what it is and its name, like "trigger t".
	Object string
	// There and Expected are definitions; one of them is empty where the object is foreign
	// or missing.
	There, Expected string
}

// String describes the fault in a line.
func (f SchemaFault) String() string {
	switch {
	case f.Expected == "":
		return f.Object + " is foreign: " + f.There
	case f.There == "":
		return f.Object + " is missing"
	}
	return f.Object + " is " + f.There + ", and should be " + f.Expected
}

// ErrForeignSchema means that the schema is not what the migrations make.
var ErrForeignSchema = errors.New("the database's schema is not what the migrations make")

// schemaObjects are definitions in a schema by the name of what they define.
type schemaObjects map[string]string

// comparedSchema is a schema and what the migrations make.
type comparedSchema struct {
	there, expected schemaObjects
	// qualifier stands before the names of our tables in both, and says nothing.
	qualifier string
}

// SchemaFaults compares the schema with what the migrations make, and returns the
// differences in order of their objects. On PostgreSQL operators may add indexes of plain
// columns and grant privileges. Of a schema that is newer than this program, what a migration
// can have added that does nothing by itself is no fault.
func (s *Store) SchemaFaults(ctx context.Context) ([]SchemaFault, error) {
	level, err := s.schemaLevel(ctx)
	if err != nil {
		return nil, err
	}
	schema, err := s.database.schema(ctx, min(level, SchemaLevel))
	if err != nil {
		return nil, err
	}

	faults := schema.faults()
	if level > SchemaLevel {
		faults = slices.DeleteFunc(faults, isPassive)
	}
	slices.SortFunc(faults, func(a, b SchemaFault) int { return strings.Compare(a.Object, b.Object) })
	return faults, nil
}

// isPassive reports whether a newer migration can have made an object, and the object does
// nothing by itself. Whoever writes a number into the table of migrations makes any schema a
// newer one, so what could run code or stand in the place of a table is not passive.
func isPassive(f SchemaFault) bool {
	kind, _, _ := strings.Cut(f.Object, " ")
	switch kind {
	case "column", "constraint", "index", "statistics":
		// What is not PostgreSQL's own, such as a function, stands there with its schema.
		return !strings.Contains(f.There, ".")
	case "table":
		_, definition, _ := strings.Cut(f.There, ": ")
		return strings.HasPrefix(definition, "CREATE TABLE ")
	}
	return false
}

// faults compares the two.
func (s comparedSchema) faults() (faults []SchemaFault) {
	for object, definition := range s.there {
		if s.expected[object] != definition {
			faults = append(faults, SchemaFault{Object: object, There: definition, Expected: s.expected[object]})
		}
	}
	for object, definition := range s.expected {
		if _, found := s.there[object]; !found {
			faults = append(faults, SchemaFault{Object: object, Expected: definition})
		}
	}

	for i := range faults {
		for _, text := range []*string{&faults[i].Object, &faults[i].There, &faults[i].Expected} {
			*text = strings.ReplaceAll(*text, s.qualifier, "")
		}
	}
	return faults
}

// RefuseForeignSchema returns ErrForeignSchema with the first of the faults, if there are
// any.
func (s *Store) RefuseForeignSchema(ctx context.Context) error {
	faults, err := s.SchemaFaults(ctx)
	if err != nil || len(faults) == 0 {
		return err
	}
	return fmt.Errorf("%w: %s (%d in all)", ErrForeignSchema, faults[0], len(faults))
}

// schemaLevel is the number of the last migration that the database has had.
func (s *Store) schemaLevel(ctx context.Context) (int, error) {
	level, _, err := one(ctx, s.database,
		"SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied", nil, scanValue[int64])
	return int(level), err
}

// Damage returns what SQLite finds wrong with the file's pages, with its indexes against the
// rows, and with the rows against the constraints: an index could show a key that no row has.
// PostgreSQL's files are its own.
func (s *Store) Damage(ctx context.Context) (found []string, err error) {
	if !s.database.isExclusive() {
		return nil, nil
	}
	found, err = all(ctx, s.database, "PRAGMA integrity_check", nil, scanValue[string])
	return slices.DeleteFunc(found, func(line string) bool { return line == "ok" }), err
}

// sqliteObjects reads all that an SQLite schema has, but for what SQLite keeps for itself,
// and for the text of goose's own table.
const sqliteObjects = `SELECT type || ' ' || name,
		CASE WHEN name = 'goose_db_version' THEN 'goose' ELSE 'on ' || tbl_name || ': ' || COALESCE(sql, '') END
	FROM sqlite_schema WHERE NOT (type = 'table' AND name IN ('sqlite_stat1', 'sqlite_stat4', 'sqlite_sequence'))`

func (s *sqlite) schema(ctx context.Context, level int) (schema comparedSchema, err error) {
	schema.there, schema.expected = schemaObjects{}, schemaObjects{}
	if err := s.query(ctx, sqliteObjects, nil, schema.there.add); err != nil {
		return schema, err
	}

	db, err := driver.Open("file:/" + rand.Text() + "?vfs=memdb&_pragma=journal_mode(memory)")
	if err != nil {
		return schema, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	provider, err := newProvider(goose.DialectSQLite3, db, "migrations/sqlite")
	if err != nil {
		return schema, err
	}
	if _, err := provider.UpTo(ctx, int64(level)); err != nil {
		return schema, err
	}

	rows, err := db.QueryContext(ctx, sqliteObjects)
	if err != nil {
		return schema, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := schema.expected.add(rows); err != nil {
			return schema, err
		}
	}
	return schema, rows.Err()
}

// add adds an object from a row.
func (o schemaObjects) add(r row) error {
	var object, definition string
	if err := r.Scan(&object, &definition); err != nil {
		return err
	}
	o[object] = definition
	return nil
}
