package store

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// The file that a PostgreSQL schema is compared with has what the migrations make.
func TestTheExpectedSchemaIsWhatMigrationsMake(t *testing.T) {
	s := openMigrated(t, pgtest.Shared(t).NewDatabase(t))
	there, _, err := s.database.schema(t.Context(), SchemaLevel)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for object, definition := range there {
		lines = append(lines, object+"\t"+definition+"\n")
	}
	slices.Sort(lines)
	made := strings.Join(lines, "")
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
	const (
		insertKey = "INSERT INTO api_keys SELECT institution_id, id, label, 'admin', hash, created_at, NULL, NULL FROM api_keys"
		function  = "CREATE FUNCTION spare() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + insertKey + "; RETURN NULL; END $$"
	)
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
		{"postgres", []string{"CREATE TABLE heir () INHERITS (api_keys)"}, "table heir below api_keys is foreign"},
		{"postgres", []string{
			"CREATE FUNCTION evil(bytea) RETURNS bytea IMMUTABLE LANGUAGE sql AS 'SELECT $1'",
			"CREATE INDEX spare ON api_keys (evil(hash))",
		}, "index api_keys.spare is foreign"},
		{"postgres", []string{"ALTER TABLE api_keys RENAME TO others", "CREATE VIEW api_keys AS SELECT * FROM others"}, "table api_keys is v"},
		{"postgres", []string{
			"CREATE FUNCTION same(uuid, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
			"CREATE OPERATOR = (FUNCTION = same, LEFTARG = uuid, RIGHTARG = text)",
		}, "operator =(uuid,text) is foreign"},
		{"postgres", []string{"CREATE INDEX more ON positions (updated_at)"}, ""},
		{"postgres", []string{"GRANT SELECT ON positions TO PUBLIC"}, ""},
	} {
		t.Run(test.store+" "+strings.Join(test.statements, "; "), func(t *testing.T) {
			url := "sqlite:" + t.TempDir() + "/e.db"
			if test.store == "postgres" {
				url = pgtest.Shared(t).NewDatabase(t)
			}
			s := openMigrated(t, url)
			for _, statement := range test.statements {
				if _, err := s.database.exec(t.Context(), statement, nil); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			faults, err := s.SchemaFaults(t.Context())
			if found := fmt.Sprint(faults); err != nil || !strings.Contains(found, test.want) || (test.want == "") != (len(faults) == 0) {
				t.Errorf("there are %s, %v, want %q", found, err, test.want)
			}

			// What a newer program has added is not known; what acts by itself is refused still.
			if _, err := s.database.exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)", nil); err != nil {
				t.Fatal(err)
			}
			faults, err = s.SchemaFaults(t.Context())
			if err != nil || actsByItself(test.want) && len(faults) == 0 || test.want == "" && len(faults) > 0 {
				t.Errorf("with a newer schema there are %v, %v", faults, err)
			}
		})
	}
}
