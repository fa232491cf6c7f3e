package store

import (
	"context"
	_ "embed"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// postgresSchema is what the migrations make on PostgreSQL, a line an object; a test makes
// the file and keeps it true.
//
//go:embed schema.postgres.txt
var postgresSchema string

// ownSchema stands in postgresSchema for the schema that the tables are in.
const ownSchema = "{schema}"

func (p *postgres) schema(ctx context.Context, _ int) (schema comparedSchema, err error) {
	schema.there, schema.expected = schemaObjects{}, schemaObjects{}
	var own string
	err = pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		own, err = schema.there.readPostgres(ctx, tx)
		return err
	})
	if err != nil {
		return schema, classify(err)
	}

	for line := range strings.Lines(strings.ReplaceAll(postgresSchema, ownSchema, own)) {
		object, definition, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		schema.expected[object] = definition
	}
	schema.qualifier = own + "."
	return schema, nil
}

// readPostgres reads the objects, and returns the schema that our tables are in, as SQL has it.
// Functions and operators of the search path could answer for what they hide, so it is taken
// away: only PostgreSQL's own are called.
func (o schemaObjects) readPostgres(ctx context.Context, tx pgx.Tx) (own string, err error) {
	var searched string
	if err := tx.QueryRow(ctx, "SHOW search_path").Scan(&searched); err != nil {
		return "", err
	}
	if shadowsOwn(searched) {
		o["search_path"] = searched
	}

	var path []string
	var ours []uint32
	err = tx.QueryRow(ctx, ourTables, slices.Collect(maps.Keys(grants()))).Scan(&path, &ours, &own)
	if err != nil {
		return "", err
	}
	if _, err := tx.Exec(ctx, "SET LOCAL search_path = pg_catalog, pg_temp"); err != nil {
		return "", err
	}

	rows, err := tx.Query(ctx, postgresObjects, pgx.QueryExecModeCacheDescribe, ours, path)
	if err != nil {
		return "", err
	}
	return own, scanRows(rows, o.addLine)
}

// shadowsOwn reports whether a search path has PostgreSQL's own functions, operators, types and
// tables behind others. Where it does not name their schema, they come first.
func shadowsOwn(path string) bool {
	first, rest, _ := strings.Cut(path, ",")
	return !strings.Contains(first, "pg_catalog") && strings.Contains(rest, "pg_catalog")
}

// addLine adds an object from a row, in a line.
func (o schemaObjects) addLine(r row) error {
	var object, definition string
	if err := r.Scan(&object, &definition); err != nil {
		return err
	}
	o[object] = strings.Join(strings.Fields(definition), " ")
	return nil
}

// ourTables reads the schemas of the search path, and which tables a statement finds by our
// names, with the schema of the first. It calls nothing but PostgreSQL's own.
const ourTables = `SELECT pg_catalog.current_schemas(false), pg_catalog.array_agg(c.oid),
		pg_catalog.quote_ident(pg_catalog.min(n.nspname::pg_catalog.text))
	FROM pg_catalog.unnest($1::pg_catalog.text[]) AS t (name)
	JOIN pg_catalog.pg_class AS c
		ON c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(pg_catalog.quote_ident(t.name))::pg_catalog.oid
	JOIN pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace`

// postgresObjects reads what PostgreSQL has on our tables, which are given by their oids, and
// what stands in the way to them, in the schemas of the search path, which are given too. What
// belongs to extensions is left out, but for what PostgreSQL would take for a function or an
// operator of its own. An index of plain columns can do nothing of its own, one of an
// expression calls a function.
const postgresObjects = `WITH ours AS (SELECT c.oid, c.relname::text AS name, c.relkind, c.relpersistence, c.relrowsecurity,
		c.relforcerowsecurity, c.relnamespace FROM pg_class AS c WHERE c.oid = ANY ($1::oid[])),
	path AS (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = ANY ($2::name[]) AND n.nspname <> 'pg_catalog'),
	extras AS (SELECT objid, classid FROM pg_depend WHERE deptype = 'e'),
	types AS (SELECT objid AS oid FROM extras WHERE classid = 'pg_type'::regclass),
	own AS (SELECT 'pg_catalog'::regnamespace::oid AS oid)
SELECT 'table ' || name, concat_ws(' ', relkind, relpersistence, relrowsecurity, relforcerowsecurity, relnamespace::regnamespace)
	FROM ours
UNION ALL SELECT 'column ' || o.name || '.' || a.attname, concat_ws(' ', format_type(a.atttypid, a.atttypmod),
		CASE WHEN a.attnotnull THEN 'not null' END, NULLIF(a.attidentity, ''), NULLIF(a.attgenerated, ''),
		(SELECT concat('collate ', NULLIF(l.collnamespace::regnamespace::text, 'pg_catalog') || '.', l.collname)
			FROM pg_collation AS l WHERE l.oid = a.attcollation),
		(SELECT 'default ' || pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef AS d WHERE d.adrelid = o.oid AND d.adnum = a.attnum))
	FROM ours AS o JOIN pg_attribute AS a ON a.attrelid = o.oid WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'constraint ' || o.name || '.' || k.conname, concat_ws(' ', pg_get_constraintdef(k.oid), k.convalidated)
	FROM ours AS o JOIN pg_constraint AS k ON k.conrelid = o.oid WHERE k.contype NOT IN ('n', 't')
UNION ALL SELECT 'trigger ' || o.name || '.' || t.tgname, concat_ws(' ', t.tgenabled, pg_get_triggerdef(t.oid, true))
	FROM ours AS o JOIN pg_trigger AS t ON t.tgrelid = o.oid JOIN pg_proc AS f ON f.oid = t.tgfoid
	WHERE NOT t.tgisinternal OR t.tgenabled <> 'O' OR f.pronamespace NOT IN (SELECT own.oid FROM own)
UNION ALL SELECT 'trigger ' || e.evtname, concat_ws(' ', e.evtenabled, e.evtevent, e.evtfoid::regprocedure)
	FROM pg_event_trigger AS e WHERE e.evtevent = 'login'
UNION ALL SELECT 'rule ' || o.name || '.' || r.rulename, pg_get_ruledef(r.oid, true)
	FROM ours AS o JOIN pg_rewrite AS r ON r.ev_class = o.oid
UNION ALL SELECT 'policy ' || o.name || '.' || p.polname, concat_ws(' ', p.polcmd, p.polpermissive,
		pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
	FROM ours AS o JOIN pg_policy AS p ON p.polrelid = o.oid
UNION ALL SELECT 'index ' || o.name || '.' || x.relname, pg_get_indexdef(i.indexrelid, 0, true)
	FROM ours AS o JOIN pg_index AS i ON i.indrelid = o.oid JOIN pg_class AS x ON x.oid = i.indexrelid
	WHERE i.indexprs IS NOT NULL OR i.indpred IS NOT NULL OR EXISTS (SELECT FROM pg_opclass AS c
		WHERE c.oid = ANY (i.indclass::oid[]) AND c.opcnamespace NOT IN (SELECT own.oid FROM own))
UNION ALL SELECT 'heir ' || h.inhrelid::regclass || ' of ' || o.name, 'inherits'
	FROM ours AS o JOIN pg_inherits AS h ON h.inhparent = o.oid OR h.inhrelid = o.oid
UNION ALL SELECT 'statistics ' || o.name || '.' || e.stxname, pg_get_statisticsobjdef(e.oid)
	FROM ours AS o JOIN pg_statistic_ext AS e ON e.stxrelid = o.oid
UNION ALL SELECT 'view ' || v.oid::regclass, pg_get_viewdef(v.oid, true)
	FROM pg_class AS v WHERE v.relkind IN ('v', 'm') AND v.relnamespace IN (SELECT p.oid FROM path AS p)
	AND NOT EXISTS (SELECT FROM extras AS x WHERE x.objid = v.oid AND x.classid = 'pg_class'::regclass)
UNION ALL SELECT 'type ' || t.oid::regtype, t.typtype::text FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
	WHERE t.typnamespace IN (SELECT p.oid FROM path AS p) AND t.typelem = 0 AND t.oid NOT IN (SELECT y.oid FROM types AS y)
	AND (c.oid IS NULL OR c.relkind = 'c')
UNION ALL SELECT 'collation ' || l.oid::regcollation, l.collprovider::text
	FROM pg_collation AS l WHERE l.collnamespace IN (SELECT p.oid FROM path AS p)
	AND NOT EXISTS (SELECT FROM extras AS x WHERE x.objid = l.oid AND x.classid = 'pg_collation'::regclass)
UNION ALL SELECT 'function ' || f.oid::regprocedure, concat_ws(' ', l.lanname, f.prosecdef, f.proconfig::text, f.prosrc, f.probin)
	FROM pg_proc AS f JOIN pg_language AS l ON l.oid = f.prolang WHERE f.pronamespace IN (SELECT p.oid FROM path AS p)
	AND (NOT EXISTS (SELECT FROM extras AS x WHERE x.objid = f.oid AND x.classid = 'pg_proc'::regclass)
		OR NOT EXISTS (SELECT FROM types AS y WHERE y.oid = ANY (f.proargtypes::oid[]))
		AND EXISTS (SELECT FROM pg_proc AS b WHERE b.pronamespace IN (SELECT own.oid FROM own) AND b.proname = f.proname)
		AND NOT EXISTS (SELECT FROM pg_proc AS b WHERE b.pronamespace IN (SELECT own.oid FROM own) AND b.proname = f.proname
			AND b.proargtypes = f.proargtypes))
UNION ALL SELECT 'operator ' || p.oid::regoperator, p.oprcode::text
	FROM pg_operator AS p WHERE p.oprnamespace IN (SELECT n.oid FROM path AS n)
	AND (NOT EXISTS (SELECT FROM extras AS x WHERE x.objid = p.oid AND x.classid = 'pg_operator'::regclass)
		OR p.oprname IN ('=', '<>', '<', '<=', '>', '>=', '||')
		AND NOT EXISTS (SELECT FROM types AS y WHERE y.oid IN (p.oprleft, p.oprright)))`
