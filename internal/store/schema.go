package store

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"maps"
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

// SchemaFaults compares the schema with what the migrations make, and returns the
// differences in order of their objects. On PostgreSQL operators may add indexes of plain
// columns and grant privileges. Of a schema that is newer than this program, only what acts
// by itself is compared: triggers, rules, policies and functions.
func (s *Store) SchemaFaults(ctx context.Context) ([]SchemaFault, error) {
	level, err := s.schemaLevel(ctx)
	if err != nil {
		return nil, err
	}
	there, expected, err := s.database.schema(ctx, min(level, SchemaLevel))
	if err != nil {
		return nil, err
	}

	var faults []SchemaFault
	for object, definition := range there {
		if expected[object] != definition {
			faults = append(faults, SchemaFault{Object: object, There: definition, Expected: expected[object]})
		}
	}
	for object, definition := range expected {
		if _, found := there[object]; !found {
			faults = append(faults, SchemaFault{Object: object, Expected: definition})
		}
	}
	if level > SchemaLevel {
		faults = slices.DeleteFunc(faults, func(f SchemaFault) bool { return !actsByItself(f.Object) })
	}
	slices.SortFunc(faults, func(a, b SchemaFault) int { return strings.Compare(a.Object, b.Object) })
	return faults, nil
}

func actsByItself(object string) bool {
	kind, _, _ := strings.Cut(object, " ")
	return slices.Contains([]string{"trigger", "rule", "policy", "function"}, kind)
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

func (s *sqlite) schema(ctx context.Context, level int) (there, expected schemaObjects, err error) {
	there, expected = schemaObjects{}, schemaObjects{}
	err = s.query(ctx, sqliteObjects, nil, there.scan)
	if err != nil {
		return nil, nil, err
	}

	db, err := driver.Open("file:/" + rand.Text() + "?vfs=memdb&_pragma=journal_mode(memory)")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	provider, err := newProvider(goose.DialectSQLite3, db, "migrations/sqlite")
	if err != nil {
		return nil, nil, err
	}
	if _, err := provider.UpTo(ctx, int64(level)); err != nil {
		return nil, nil, err
	}

	rows, err := db.QueryContext(ctx, sqliteObjects)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		if err := expected.scan(rows); err != nil {
			return nil, nil, err
		}
	}
	return there, expected, rows.Err()
}

// scan adds an object from a row.
func (o schemaObjects) scan(r row) error {
	var object, definition string
	if err := r.Scan(&object, &definition); err != nil {
		return err
	}
	o[object] = strings.Join(strings.Fields(definition), " ")
	return nil
}

// postgresSchema is what the migrations make on PostgreSQL, a line an object; a test makes
// the file and keeps it true.
//
//go:embed schema.postgres.txt
var postgresSchema string

func (p *postgres) schema(ctx context.Context, _ int) (there, expected schemaObjects, err error) {
	there, expected = schemaObjects{}, schemaObjects{}
	if err := p.list(ctx, postgresObjects, []any{slices.Collect(maps.Keys(grants()))}, there.scan); err != nil {
		return nil, nil, err
	}
	for line := range strings.Lines(postgresSchema) {
		object, definition, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		expected[object] = definition
	}
	return there, expected, nil
}

// postgresObjects reads what PostgreSQL has on our tables, and what stands in the way to
// them, in the schemas of the search path, but for what belongs to extensions. An index of
// plain columns can do nothing of its own, one of an expression calls a function.
const postgresObjects = `WITH ours AS (
		SELECT c.oid, c.relname::text AS name, c.relkind, c.relpersistence, c.relrowsecurity,
			c.relforcerowsecurity, c.relnamespace FROM unnest($1::text[]) AS t (name)
		JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(t.name))),
	path AS (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = ANY (current_schemas(false))),
	extras AS (SELECT objid, classid FROM pg_depend WHERE deptype = 'e')
SELECT 'table ' || name, concat_ws(' ', relkind, relpersistence, relrowsecurity, relforcerowsecurity,
		relnamespace IN (SELECT p.oid FROM path AS p)) FROM ours
UNION ALL SELECT 'column ' || o.name || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
		CASE WHEN a.attnotnull THEN 'not null' END, NULLIF(a.attidentity, ''), NULLIF(a.attgenerated, ''),
		(SELECT 'collate ' || l.collname FROM pg_collation AS l WHERE l.oid = a.attcollation),
		(SELECT 'default ' || pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef AS d WHERE d.adrelid = o.oid AND d.adnum = a.attnum))
	FROM ours AS o JOIN pg_attribute AS a ON a.attrelid = o.oid WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'constraint ' || o.name || '.' || k.conname, concat_ws(' ', pg_get_constraintdef(k.oid), k.convalidated)
	FROM ours AS o JOIN pg_constraint AS k ON k.conrelid = o.oid WHERE k.contype NOT IN ('n', 't')
UNION ALL SELECT 'trigger ' || o.name || '.' || t.tgname, concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid, true))
	FROM ours AS o JOIN pg_trigger AS t ON t.tgrelid = o.oid WHERE NOT t.tgisinternal OR t.tgenabled <> 'O'
UNION ALL SELECT 'rule ' || o.name || '.' || r.rulename, pg_get_ruledef(r.oid, true)
	FROM ours AS o JOIN pg_rewrite AS r ON r.ev_class = o.oid
UNION ALL SELECT 'policy ' || o.name || '.' || p.polname, concat_ws(' ', p.polcmd, p.polpermissive,
		pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
	FROM ours AS o JOIN pg_policy AS p ON p.polrelid = o.oid
UNION ALL SELECT 'index ' || o.name || '.' || x.relname, pg_get_indexdef(i.indexrelid, 0, true)
	FROM ours AS o JOIN pg_index AS i ON i.indrelid = o.oid JOIN pg_class AS x ON x.oid = i.indexrelid
	WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL OR EXISTS (SELECT FROM pg_opclass AS c
		WHERE c.oid = ANY (i.indclass::oid[]) AND c.opcnamespace <> 'pg_catalog'::regnamespace)
UNION ALL SELECT 'table ' || h.inhrelid::regclass || ' below ' || o.name, 'inherits'
	FROM ours AS o JOIN pg_inherits AS h ON h.inhparent = o.oid OR h.inhrelid = o.oid
UNION ALL SELECT 'statistics ' || o.name || '.' || e.stxname, pg_get_statisticsobjdef(e.oid)
	FROM ours AS o JOIN pg_statistic_ext AS e ON e.stxrelid = o.oid
UNION ALL SELECT 'view ' || v.oid::regclass, pg_get_viewdef(v.oid, true)
	FROM pg_class AS v WHERE v.relkind IN ('v', 'm') AND v.relnamespace IN (SELECT p.oid FROM path AS p)
	AND NOT EXISTS (SELECT FROM extras AS x WHERE x.objid = v.oid AND x.classid = 'pg_class'::regclass)
UNION ALL SELECT 'function ' || f.oid::regprocedure, concat_ws(' ', l.lanname, f.prosecdef, f.proconfig::text, f.prosrc, f.probin)
	FROM pg_proc AS f JOIN pg_language AS l ON l.oid = f.prolang WHERE f.pronamespace IN (SELECT p.oid FROM path AS p)
	AND NOT EXISTS (SELECT FROM extras AS x WHERE x.objid = f.oid AND x.classid = 'pg_proc'::regclass)
UNION ALL SELECT 'operator ' || p.oid::regoperator, p.oprcode::text
	FROM pg_operator AS p WHERE p.oprnamespace IN (SELECT n.oid FROM path AS n)
	AND NOT EXISTS (SELECT FROM extras AS x WHERE x.objid = p.oid AND x.classid = 'pg_operator'::regclass)`
