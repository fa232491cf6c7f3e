package store_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// raw is a migrated database past the store, as a programming error or a person
// at its console would reach it.
type raw struct {
	*sql.DB
	name string
	// literals writes the values that the databases spell differently: {id},
	// {zero}, {other}, {time}, {hash} and {short}, a hash that lacks a byte.
	literals *strings.Replacer
}

// eachDatabase runs a test on both databases.
func eachDatabase(t *testing.T, test func(*testing.T, raw)) {
	t.Helper()
	const id, other = "00000000000000000000000000000001", "00000000000000000000000000000002"
	hash := strings.Repeat("0123456789abcdef", 4)
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "e.db")
		db, err := driver.Open("file:" + path)
		test(t, migrated(t, "sqlite:"+path, raw{db, "sqlite", strings.NewReplacer(
			"{id}", "x'"+id+"'", "{zero}", "x'"+strings.Repeat("0", 32)+"'", "{other}", "x'"+other+"'", "{time}", "0", "{hash}", "x'"+hash+"'", "{short}", "x'"+hash[2:]+"'",
		)}, err))
	})
	t.Run("postgres", func(t *testing.T) {
		databaseURL := pgtest.Shared(t).NewDatabase(t)
		db, err := sql.Open("pgx", databaseURL)
		test(t, migrated(t, databaseURL, raw{db, "postgres", strings.NewReplacer(
			"{id}", "'"+id+"'", "{zero}", "'"+strings.Repeat("0", 32)+"'", "{other}", "'"+other+"'", "{time}", "'1970-01-01Z'", "{hash}", `'\x`+hash+"'", "{short}", `'\x`+hash[2:]+"'",
		)}, err))
	})
}

func migrated(t *testing.T, databaseURL string, r raw, err error) raw {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := open(t, databaseURL).Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r raw) run(t *testing.T, statement string) error {
	t.Helper()
	_, err := r.ExecContext(t.Context(), r.literals.Replace(statement))
	return err
}

// accept runs statements that the database must accept.
func (r raw) accept(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := r.run(t, statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// refuse runs a statement that the database must refuse for one of the reasons.
func (r raw) refuse(t *testing.T, statement string, reasons ...string) {
	t.Helper()
	err := r.run(t, statement)
	for _, reason := range reasons {
		if err != nil && strings.Contains(err.Error(), reason) {
			return
		}
	}
	t.Errorf("%s: %v; want it refused with %q", statement, err, reasons)
}

// What the database itself refuses, whatever the program does.
func TestTheDatabaseItselfRefuses(t *testing.T) {
	eachDatabase(t, func(t *testing.T, r raw) {
		t.Run("changes of a journal", func(t *testing.T) { testAppendOnly(t, r) })
		t.Run("changes of checkpoints", func(t *testing.T) { testCheckpointsAppendOnly(t, r) })
		t.Run("money that does not add up", func(t *testing.T) { testMoney(t, r) })
		t.Run("rows that cannot be", func(t *testing.T) { testOtherRows(t, r) })
	})
}

func testAppendOnly(t *testing.T, r raw) {
	t.Helper()
	const (
		into  = "INTO journal_entries (institution_id, sequence, at, actor, kind, subject, body, private) "
		entry = into + "VALUES ({id}, 1, {time}, 'root', 'k', 's', {hash}, {hash})"
		other = into + "VALUES ({id}, 1, {time}, 'nobody', 'k', 's', {hash}, {hash})"
	)
	r.accept(t, "INSERT "+entry)
	attempts := map[string][]string{
		"": {
			"UPDATE journal_entries SET actor = 'nobody'",
			"UPDATE journal_entries SET sequence = 2 WHERE institution_id = {id}",
			"UPDATE journal_entries SET private = NULL, body = {hash}, actor = 'nobody'",
			"UPDATE journal_entries SET private = NULL, kind = 'K'",
			"UPDATE journal_entries SET private = NULL, subject = 'S'",
			"UPDATE journal_entries SET private = NULL, institution_id = {other}",
			"UPDATE journal_entries SET private = private",
			"UPDATE journal_entries SET private = {short}",
			"DELETE FROM journal_entries",
			"DELETE FROM journal_entries WHERE institution_id = {id} AND sequence = 1",
			"INSERT " + other + " ON CONFLICT (institution_id, sequence) DO UPDATE SET actor = 'nobody'",
		},
		"sqlite": {
			"INSERT OR REPLACE " + other, "REPLACE " + other, "UPDATE OR REPLACE journal_entries SET sequence = 2",
			"UPDATE journal_entries SET private = NULL, rowid = 99", "UPDATE journal_entries SET private = NULL, at = at + 1",
		},
		"postgres": {"UPDATE journal_entries SET private = NULL, at = at + interval '1 microsecond'", "TRUNCATE journal_entries", "TRUNCATE journal_entries CASCADE"},
	}
	for _, attempt := range append(attempts[""], attempts[r.name]...) {
		r.refuse(t, attempt, "journal_entries is append-only")
	}
	r.refuse(t, "INSERT "+other, "append-only", "journal_entries_pkey")
	r.accept(t, "UPDATE journal_entries SET private = NULL")
	r.refuse(t, "UPDATE journal_entries SET private = body", "journal_entries is append-only")
	var entries int
	err := r.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM journal_entries WHERE actor = 'root' AND sequence = 1").Scan(&entries)
	if err != nil || entries != 1 {
		t.Errorf("of the entry there are %d afterwards, %v", entries, err)
	}
}

func testCheckpointsAppendOnly(t *testing.T, r raw) {
	t.Helper()
	const checkpoint = "INTO journal_checkpoints (institution_id, size, at, note, balances) VALUES ({id}, 1, {time}, {hash}, '{}')"
	r.accept(t, "INSERT "+checkpoint)
	attempts := map[string][]string{
		"": {
			"UPDATE journal_checkpoints SET size = 2",
			"DELETE FROM journal_checkpoints",
			"INSERT " + checkpoint + " ON CONFLICT (institution_id, size) DO UPDATE SET balances = ''",
		},
		"sqlite":   {"INSERT OR REPLACE " + checkpoint},
		"postgres": {"TRUNCATE journal_checkpoints"},
	}
	for _, attempt := range append(attempts[""], attempts[r.name]...) {
		r.refuse(t, attempt, "journal_checkpoints is append-only")
	}
	r.refuse(t, "INSERT "+strings.Replace(checkpoint, " 1,", " 0,", 1), "journal_checkpoints_size_check", "CHECK constraint")
}

func testMoney(t *testing.T, r raw) {
	t.Helper()
	const (
		accepted  = ""
		negative  = "positions_not_negative"
		conserved = "positions_conserved"
		whole     = "positions_funded_whole"
		inState   = "positions_state_money"
		onHold    = "positions_holds"
	)
	for _, test := range []struct {
		state                                             string
		amount, funded, released, refunded, held, retains int
		constraint                                        string
	}{
		{"CREATED", 9223372036854775807, 0, 0, 0, 0, 0, accepted},
		{"FUNDED", 9, 9, 0, 0, 9, 9, accepted},
		{"PARTIALLY_RELEASED", 9, 9, 8, 0, 1, 1, accepted},
		{"RELEASED", 9, 9, 9, 0, 0, 3, accepted},
		{"CANCELLED", 9, 0, 0, 0, 0, 3, accepted},
		{"CANCELLED", 9, 9, 4, 5, 0, 3, accepted},
		{"EXPIRED", 9, 0, 0, 0, 0, 3, accepted},
		{"EXPIRED", 9, 9, 4, 5, 0, 3, accepted},

		{"CREATED", 0, 0, 0, 0, 0, 0, negative},
		{"CREATED", -9, 0, 0, 0, 0, 0, negative},
		{"CREATED", 9, 0, 0, 0, 0, -1, negative},
		{"CREATED", 9, 0, -1, 1, 0, 0, negative},
		{"CREATED", 9, 0, 1, -1, 0, 0, negative},
		{"CREATED", 9, 0, 1, 0, -1, 0, onHold}, // The first of two that it violates.
		{"FUNDED", 9, 9, 0, 0, 8, 0, conserved},
		{"FUNDED", 9, 9, 1, 0, 9, 0, conserved},
		{"CREATED", 9, 0, 0, 1, 0, 0, conserved},
		{"EXPIRED", 9, 9, 0, 0, 0, 0, conserved},
		{"CANCELLED", 9, 8, 0, 8, 0, 0, whole},
		{"CANCELLED", 9, 10, 0, 10, 0, 0, whole},
		{"CREATED", 9, 9, 0, 0, 9, 0, inState},
		{"FUNDED", 9, 9, 1, 0, 8, 0, inState},
		{"FUNDED", 9, 0, 0, 0, 0, 0, inState},
		{"PARTIALLY_RELEASED", 9, 9, 9, 0, 0, 0, inState},
		{"PARTIALLY_RELEASED", 9, 9, 7, 0, 2, 3, inState},
		{"PARTIALLY_RELEASED", 9, 9, 0, 0, 9, 0, inState},
		{"RELEASED", 9, 9, 8, 1, 0, 0, inState},
		{"RELEASED", 9, 9, 8, 0, 1, 0, inState},
		{"RELEASED", 9, 0, 0, 0, 0, 0, inState},
		{"CANCELLED", 9, 9, 4, 4, 1, 0, inState},
		{"EXPIRED", 9, 9, 4, 4, 1, 0, inState},
		{"LOST", 9, 9, 0, 0, 9, 0, inState},
	} {
		statement := fmt.Sprintf(`INSERT INTO positions (institution_id, id, asset_id, holder_reference, currency, decimals, version, created_at,
			updated_at, history_bytes, state, amount, funded, released, refunded, held, retained)
			VALUES ({id}, {id}, {id}, 'h', 'USD', 2, 1, {time}, {time}, 0, '%s', %d, %d, %d, %d, %d, %d)`,
			test.state, test.amount, test.funded, test.released, test.refunded, test.held, test.retains)
		if test.constraint == accepted {
			r.accept(t, statement, "DELETE FROM positions")
			continue
		}
		r.refuse(t, statement, test.constraint)
	}
	// What 64 bits cannot add up does not come out right by chance.
	r.accept(t, `INSERT INTO positions (institution_id, id, asset_id, holder_reference, currency, decimals, version, created_at, updated_at, history_bytes,
		state, amount, funded, released, refunded, held, retained) VALUES ({id}, {id}, {id}, 'h', 'USD', 2, 1, {time}, {time}, 0, 'CREATED', 9, 0, 0, 0, 0, 0)`)
	r.refuse(t, "UPDATE positions SET released = 9223372036854775807, refunded = 9223372036854775807, held = 2", conserved, "out of range")
	r.accept(t, "DELETE FROM positions")
}

func testOtherRows(t *testing.T, r raw) {
	t.Helper()
	const (
		head     = "INSERT INTO journal_heads (institution_id, last_at, sequence) VALUES ({id}, {time}, "
		entry    = "INSERT INTO journal_entries (institution_id, at, actor, kind, subject, body, sequence) VALUES ({id}, {time}, 'a', 'k', 's', {hash}, "
		key      = "INSERT INTO api_keys (id, label, created_at, version, institution_id, role, hash) VALUES ({id}, 'l', {time}, 1, "
		role     = "INSERT INTO roles (name, permissions, created_at, updated_at, institution_id, version) VALUES ('clerk', '[]', {time}, {time}, "
		use      = "INSERT INTO api_key_uses (institution_id, id, last_used_from, last_used_at) VALUES ({id}, {id}, "
		may      = "INSERT INTO api_keys (id, label, created_at, version, institution_id, hash, role, permissions) VALUES ({other}, 'l', {time}, 1, {id}, {hash}, "
		provider = "INSERT INTO identity_providers (client_id, claims, version, created_at, updated_at, issuer, institution_id, has_secret, secret_number, removed_at) VALUES ('c', '{}', 1, {time}, {time}, 'i', "
		user     = "INSERT INTO users (institution_id, id, issuer, joined_at, updated_at, version, subject, suspended_at, suspensions) VALUES ({id}, {id}, 'i', {time}, {time}, 1, 's', "
		secret   = "INSERT INTO secrets (institution_id, kind, subject, sealed_under, sealed) VALUES ({id}, 'k', 's', "
		session  = `INSERT INTO sessions (id, groups, suspensions, created_at, last_seen_at, ends_at, client, agent, institution_id, hash, actor, vouched_since, vouched_by)
			VALUES ({id}, '[]', 0, {time}, {time}, {time}, 'c', 'a', `
		policy   = "INSERT INTO policies (region, allowed_currencies, created_at, updated_at, institution_id) VALUES ('US', '[]', {time}, {time}, "
		template = `INSERT INTO asset_templates (id, code, name, vertical, region, config, created_at, version, institution_id)
			VALUES ({id}, 'c', 'n', 'v', 'r', '{}', {time}, 1, `
		asset    = "INSERT INTO assets (id, label, created_at, version, institution_id, template_id) VALUES ({id}, 'l', {time}, 1, "
		position = `INSERT INTO positions (institution_id, id, asset_id, holder_reference, state, amount, funded, released, refunded, held,
			retained, history_bytes, created_at, updated_at, currency, decimals, version) VALUES ({id}, {id}, {id}, 'h', 'CREATED', 9, 0, 0, 0, 0, 0, 0, {time}, {time}, `
	)
	r.accept(t, "INSERT INTO institutions (id, name, regions, verticals, created_at, version) VALUES ({id}, 'n', '[]', '[]', {time}, 1)")
	for _, test := range []struct{ insert, bad, good string }{
		{head, "-1)", "0)"},
		{entry, "0)", "2)"},
		{key, "{id}, '', {hash})", "{id}, 'clerk', {hash})"}, // It may do nothing.
		{may, "'clerk', '[\"assets.read\"]')", "'', '[\"assets.read\"]')"},
		{role, "{other}, 1)", "{id}, 1)"}, // There is no such institution.
		{role, "{id}, 0)", ""},
		{role, "{id}, 2)", ""}, // There is one of that name.
		{use, "'192.0.2.1', NULL)", "'192.0.2.1', {time})"},
		{use, "NULL, {time})", ""},
		{provider, "{other}, 0, 0, NULL)", "{id}, 0, 0, NULL)"}, // There is no such institution.
		{provider, "{id}, 1, 0, NULL)", ""},
		{provider, "{id}, 2, 2, NULL)", ""},
		{provider, "{id}, 1, 1, {time})", ""}, // A secret outlives its provider.
		{provider, "{id}, 1, 1, NULL)", ""},   // There is one.
		{user, "{time}, 0)", "{time}, 1)"},
		{user, "NULL, -1)", ""},
		{user, "NULL, 0)", ""}, // There is one.
		{secret, "'k', NULL)", "'', NULL)"},
		{secret, "'', {hash})", ""},
		{session, "{id}, {short}, 'key_1', NULL, NULL)", "{id}, {hash}, 'key_1', NULL, NULL)"},
		{session, "{id}, {hash}, 'key_1', {time}, NULL)", ""},
		{session, "{id}, {hash}, 'usr_1', NULL, NULL)", ""},
		{session, "{id}, {hash}, 'system', NULL, NULL)", ""},
		{session, "{id}, {hash}, 'root', NULL, {hash})", ""}, // The operator's are of no institution,
		{session, "{zero}, {hash}, 'key_1', NULL, NULL)", ""},
		{session, "{zero}, {hash}, 'root', NULL, NULL)", "{zero}, {hash}, 'root', NULL, {hash})"}, // and somebody vouches.
		{session, "{zero}, {hash}, 'opr_1', NULL, {short})", ""},
		{key, "{id}, 'admin', {short})", ""},
		{key, "{other}, 'admin', {hash})", ""}, // There is no such institution.
		{policy, "{other})", "{id})"},
		{template, "{other})", "{id})"},
		{asset, "{id}, {other})", "{id}, {id})"}, // There is no such template.
		{asset, "{other}, {id})", ""},            // It is not this institution's template.
		{position, "'US', 2, 1)", "'USD', 2, 1)"},
		{position, "'EURO', 2, 1)", ""},
		{position, "'USD', 5, 1)", ""},
		{position, "'USD', 2, 0)", ""},
	} {
		r.refuse(t, test.insert+test.bad, "constraint failed", "check constraint", "foreign key constraint", "unique constraint", "not-null constraint")
		if test.good != "" {
			r.accept(t, test.insert+test.good)
		}
	}
}

func TestSchemaLevelIsThatOfTheNewestMigration(t *testing.T) {
	for _, database := range []string{"sqlite", "postgres"} {
		files, err := os.ReadDir(filepath.Join("migrations", database))
		if err != nil {
			t.Fatal(err)
		}
		// The names are in order, and each level has one file.
		for i, file := range files {
			number, _, _ := strings.Cut(file.Name(), "_")
			if level, err := strconv.Atoi(number); level != i+1 || err != nil || !strings.HasSuffix(file.Name(), ".sql") {
				t.Errorf("migration %d of %s is %s", i+1, database, file.Name())
			}
		}
		if len(files) != store.SchemaLevel {
			t.Errorf("%s has %d migrations, and SchemaLevel is %d", database, len(files), store.SchemaLevel)
		}
	}
}

// Both databases have the same tables, and in them the same columns, in order,
// that may or may not be NULL, and the same keys and indexes.
func TestSchemasAreTheSame(t *testing.T) {
	schemas := make(map[string][]string)
	queries := map[string][2]string{ // for the columns, and for the indexes
		"sqlite": {
			`SELECT m.name || '.' || c.name || CASE WHEN c."notnull" OR c.pk > 0 THEN ' NOT NULL' ELSE '' END
				FROM sqlite_master AS m, pragma_table_info(m.name) AS c
				WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name <> 'goose_db_version' ORDER BY m.name, c.cid`,
			`SELECT m.name || ' (' || (SELECT group_concat(c.name, ', ') FROM pragma_index_info(i.name) AS c) || ')'
				|| CASE WHEN i.partial THEN ' partial' ELSE '' END
				FROM sqlite_master AS m, pragma_index_list(m.name) AS i
				WHERE m.type = 'table' AND m.name <> 'goose_db_version'`,
		},
		"postgres": {
			`SELECT table_name || '.' || column_name || CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END
				FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'goose_db_version'
				ORDER BY table_name COLLATE "C", ordinal_position`,
			`SELECT t.relname || ' (' || (SELECT string_agg(a.attname, ', ' ORDER BY a.attnum) FROM pg_attribute AS a WHERE a.attrelid = i.indexrelid)
				|| ')' || CASE WHEN i.indpred IS NULL THEN '' ELSE ' partial' END
				FROM pg_index AS i JOIN pg_class AS t ON t.oid = i.indrelid
				WHERE t.relnamespace = 'public'::regnamespace AND t.relname <> 'goose_db_version'`,
		},
	}
	eachDatabase(t, func(t *testing.T, r raw) {
		indexes := r.texts(t, queries[r.name][1])
		slices.Sort(indexes)
		schemas[r.name] = append(r.texts(t, queries[r.name][0]), indexes...)
	})
	if len(schemas["sqlite"]) < 80 {
		t.Errorf("of the schema only this was found: %q", schemas["sqlite"])
	}
	if diff := cmp.Diff(schemas["sqlite"], schemas["postgres"]); diff != "" {
		t.Errorf("columns and indexes of SQLite (-) and PostgreSQL (+) differ:\n%s", diff)
	}
}

// texts returns a query's only column.
func (r raw) texts(t *testing.T, query string) (texts []string) {
	t.Helper()
	rows, err := r.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return texts
}
