package store

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// openMigrated opens and migrates a database.
func openMigrated(t *testing.T, url string) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// migrateAnd migrates a database, runs statements as the server, and leaves the database closed.
func migrateAnd(t *testing.T, url string, statements ...string) {
	t.Helper()
	s, err := Open(t.Context(), url, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, statement := range statements {
		if _, err := s.database.exec(t.Context(), statement, nil); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// execute runs statements in a session of its own, as they are.
func execute(t *testing.T, url, statements string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.PgConn().Exec(t.Context(), statements).ReadAll(); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// The file that a PostgreSQL schema is compared with has what the migrations make.
func TestTheExpectedSchemaIsWhatMigrationsMake(t *testing.T) {
	s := openMigrated(t, pgtest.Shared(t).NewDatabase(t))
	schema, err := s.database.schema(t.Context(), SchemaLevel)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for object, definition := range schema.there {
		lines = append(lines, object+"\t"+definition+"\n")
	}
	slices.Sort(lines)
	made := strings.ReplaceAll(strings.Join(lines, ""), "public", ownSchema)
	if *rewrite {
		if err := os.WriteFile("schema.postgres.txt", []byte(made), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if difference := cmp.Diff(postgresSchema, made); difference != "" {
		t.Errorf("run go test ./internal/store -run ExpectedSchema -update: %s", difference)
	}
}

// Whoever can change a schema could have the database act by itself.
func TestForeignSchemasAreFound(t *testing.T) {
	t.Parallel()
	const (
		insertKey = "INSERT INTO api_keys SELECT institution_id, id, label, 'admin', hash, created_at, expires_at, revoked_at, rotated_to, 1 FROM api_keys"
		pathFirst = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database()); END $$"
		operator  = "CREATE FUNCTION same(uuid, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'; CREATE OPERATOR = (FUNCTION = same, LEFTARG = uuid, RIGHTARG = text)"
		function  = "CREATE FUNCTION spare() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + insertKey + "; RETURN NULL; END $$"
	)
	// What a newer migration could have made, and does nothing by itself.
	passive := []string{
		"table more is foreign", "index more is foreign", "table positions is on positions: CREATE TABLE", "column positions.more is foreign",
		"column positions.released is ", "constraint positions.positions_conserved is missing",
	}
	for _, test := range []struct {
		store      string
		statements []string
		want       string // of the fault; none where the change is allowed
	}{
		{"sqlite", nil, ""},
		{"postgres", nil, ""},
		{"sqlite", []string{"CREATE TRIGGER spare AFTER INSERT ON api_keys WHEN NEW.label <> 'x' BEGIN " + insertKey + "; END"}, "trigger spare is foreign"},
		{"sqlite", []string{"CREATE TRIGGER goose AFTER INSERT ON goose_db_version BEGIN SELECT 1; END"}, "trigger goose is foreign"},
		{"sqlite", []string{"CREATE VIEW shown AS SELECT * FROM positions"}, "view shown is foreign"},
		{"sqlite", []string{"CREATE TABLE more (a)"}, "table more is foreign"},
		{"sqlite", []string{"CREATE INDEX more ON api_keys (label)"}, "index more is foreign"},
		{"sqlite", []string{"ALTER TABLE api_keys RENAME TO others", "CREATE VIEW api_keys AS SELECT * FROM others"}, "view api_keys is foreign"},
		{"sqlite", []string{"ALTER TABLE positions ADD COLUMN more text"}, "table positions is on positions: CREATE TABLE"},
		{"sqlite", []string{"DROP TRIGGER journal_entries_no_update"}, "trigger journal_entries_no_update is missing"},
		{"postgres", []string{function, "CREATE TRIGGER spare AFTER INSERT ON api_keys EXECUTE FUNCTION spare()"}, "trigger api_keys.spare is foreign"},
		{"postgres", []string{function}, "function spare() is foreign"},
		{"postgres", []string{"ALTER TABLE journal_entries DISABLE TRIGGER USER"}, "trigger journal_entries.journal_entries_append_only is D "},
		{"postgres", []string{"DROP TRIGGER journal_entries_append_only ON journal_entries"}, "trigger journal_entries.journal_entries_append_only is missing"},
		{"postgres", []string{"CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$"}, "function refuse_change() is plpgsql"},
		{"postgres", []string{"CREATE RULE spare AS ON INSERT TO api_keys DO ALSO " + insertKey}, "rule api_keys.spare is foreign"},
		{"postgres", []string{"CREATE VIEW shown AS SELECT * FROM positions"}, "view shown is foreign"},
		{"postgres", []string{"CREATE POLICY hide ON positions USING (false)"}, "policy positions.hide is foreign"},
		{"postgres", []string{"ALTER TABLE positions ENABLE ROW LEVEL SECURITY"}, "table positions is r p t"},
		{"postgres", []string{"ALTER TABLE positions SET UNLOGGED"}, "table positions is r u"},
		{"postgres", []string{"ALTER TABLE positions ADD COLUMN more text"}, "column positions.more is foreign"},
		{"postgres", []string{"ALTER TABLE positions ALTER COLUMN released SET DEFAULT 5"}, "column positions.released is "},
		{"postgres", []string{"ALTER TABLE positions DROP CONSTRAINT positions_conserved"}, "constraint positions.positions_conserved is missing"},
		{"postgres", []string{"CREATE TABLE spare () INHERITS (api_keys)"}, "heir spare of api_keys is foreign"},
		{"postgres", []string{
			"CREATE FUNCTION evil(bytea) RETURNS bytea IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
			"CREATE INDEX spare ON api_keys (evil(hash))",
		}, "index api_keys.spare is foreign"},
		{"postgres", []string{"ALTER TABLE api_keys RENAME TO others", "CREATE VIEW api_keys AS SELECT * FROM others"}, "table api_keys is v"},
		{"postgres", []string{
			"CREATE FUNCTION same(uuid, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
			"CREATE OPERATOR = (FUNCTION = same, LEFTARG = uuid, RIGHTARG = text)",
		}, "operator =(uuid,text) is foreign"},
		{"postgres", []string{"CREATE SCHEMA evil", "CREATE FUNCTION evil.f(text) RETURNS text LANGUAGE sql AS 'SELECT $1'", "ALTER TABLE api_keys ALTER label SET DEFAULT evil.f('x')"}, "column api_keys.label is "},
		{"postgres", []string{"CREATE SCHEMA evil", "CREATE FUNCTION evil.f(text) RETURNS boolean LANGUAGE sql AS 'SELECT true'", "ALTER TABLE api_keys ADD CHECK (evil.f(label))"}, "constraint api_keys.api_keys_label_check is foreign"},
		// A domain can run code, and a collation take keys for the same that are not.
		{"postgres", []string{"CREATE DOMAIN public.more AS text", "ALTER TABLE api_keys ADD COLUMN more public.more"}, "column api_keys.more is foreign"},
		{"postgres", []string{"CREATE DOMAIN more AS text"}, "type more is foreign"},
		{"postgres", []string{`CREATE COLLATION public."C" (provider = icu, locale = 'und-u-ks-level1', deterministic = false)`, `ALTER TABLE idempotency_records ALTER key TYPE text COLLATE public."C"`}, "column idempotency_records.key is "},
		{"postgres", []string{pathFirst, "CREATE TABLE pg_trigger AS SELECT * FROM pg_catalog.pg_trigger", function, "CREATE TRIGGER spare AFTER INSERT ON api_keys EXECUTE FUNCTION spare()"}, "trigger api_keys.spare is foreign"},
		{"postgres", []string{pathFirst}, "search_path is foreign: public, pg_catalog"},
		// What is hidden in an extension, and what answers for itself.
		{"postgres", []string{"CREATE EXTENSION hstore", "CREATE FUNCTION concat_ws(text, text) RETURNS text LANGUAGE sql AS 'SELECT $2'", "ALTER EXTENSION hstore ADD FUNCTION concat_ws(text, text)"}, "function concat_ws(text,text) is foreign"},
		{"postgres", []string{"CREATE EXTENSION hstore", operator, "ALTER EXTENSION hstore ADD OPERATOR = (uuid, text)"}, "operator =(uuid,text) is foreign"},
		{"postgres", []string{
			"CREATE FUNCTION hidden(text, regprocedure) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'table api_keys' $$",
			"CREATE OPERATOR || (FUNCTION = hidden, LEFTARG = text, RIGHTARG = regprocedure)",
			"CREATE FUNCTION unnest(text[]) RETURNS SETOF text LANGUAGE sql AS $$ SELECT 'institutions'::text $$",
		}, "function unnest(text[]) is foreign"},
		{"postgres", []string{"CREATE EXTENSION hstore", "CREATE EXTENSION pgcrypto", "CREATE EXTENSION citext", "CREATE EXTENSION pg_trgm", "CREATE EXTENSION intarray"}, ""},
		{"postgres", []string{"CREATE INDEX more ON positions (updated_at)"}, ""},
		{"postgres", []string{"GRANT SELECT ON positions TO PUBLIC"}, ""},
	} {
		t.Run(test.store+" "+strings.Join(test.statements, "; "), func(t *testing.T) {
			t.Parallel()
			url := "sqlite:" + t.TempDir() + "/e.db"
			if test.store == "postgres" {
				url = pgtest.Shared(t).CopyOf(t, "migrated", func(url string) { migrateAnd(t, url) })
				for _, statement := range test.statements {
					execute(t, url, statement)
				}
			} else {
				migrateAnd(t, url, test.statements...)
			}

			s, err := Open(t.Context(), url, 0) // A path is that of new sessions.
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			faults, err := s.SchemaFaults(t.Context())
			if found := fmt.Sprint(faults); err != nil || !strings.Contains(found, test.want) || (test.want == "") != (len(faults) == 0) {
				t.Errorf("there are %s, %v, want %q", found, err, test.want)
			}

			// What a newer program has added is not known; what acts by itself is refused still.
			if _, err := s.database.exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)", nil); err != nil {
				t.Fatal(err)
			}
			faults, err = s.SchemaFaults(t.Context())
			if err != nil || (test.want == "" || slices.Contains(passive, test.want)) != (len(faults) == 0) {
				t.Errorf("with a newer schema there are %v, %v", faults, err)
			}
		})
	}
}
