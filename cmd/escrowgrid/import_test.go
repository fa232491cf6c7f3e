package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// prototypeDatabase makes a small database of the prototype, and returns its URL and a connection.
func prototypeDatabase(t *testing.T) (databaseURL string, conn *pgx.Conn) {
	t.Helper()
	databaseURL = pgtest.Shared(t).NewDatabase(t)
	conn = journaltest.Must(pgx.Connect(t.Context(), databaseURL))
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	schema := string(journaltest.Must(os.ReadFile("../../internal/prototype/testdata/schema.sql")))
	if _, err := conn.Exec(t.Context(), schema+`
		INSERT INTO institutions VALUES ('inst_a', 'Bank', '{US}', '{CONSTRUCTION}', now(), now());
		INSERT INTO asset_templates VALUES ('tmpl_a', 'inst_a', 'CONSTR_ESCROW', 'Escrow', 'CONSTRUCTION', 'US',
			'{"currency": "USD", "region": "US"}', now(), now());
		INSERT INTO assets VALUES ('ast_a', 'inst_a', 'tmpl_a', 'Pier', '{}', now(), now());
		INSERT INTO positions SELECT 'pos_' || n, 'inst_a', 'ast_a', 'H', 'USD', n, 'FUNDED', NULL, now() + n * interval '1 second', now()
			FROM generate_series(1, 500) AS n;
		INSERT INTO positions VALUES ('pos_part', 'inst_a', 'ast_a', 'H', 'USD', 10.5, 'PARTIALLY_RELEASED', NULL, now(), now());
		INSERT INTO position_events SELECT 'ple_' || id, id AS of, 'CREATED', 'FUNDED', NULL, now(), NULL, now() FROM positions;
		INSERT INTO position_events VALUES ('ple_part2', 'pos_part', 'FUNDED', 'PARTIALLY_RELEASED', NULL, now() + interval '1 day', NULL, now());
		INSERT INTO api_keys VALUES ('ak_a', 'inst_a', 'h', 'ops', 'admin', now(), NULL);
		INSERT INTO institution_policies VALUES ('pol_a', 'inst_a', 'US', '{"position": {"minAmount": 100}}', now(), now());`); err != nil {
		t.Fatal(err)
	}
	return databaseURL, conn
}

// An import that is killed and run again makes everything once, and its keys and references lead
// to what there was.
func TestAPrototypeIsImportedWhereverItWasKilled(t *testing.T) {
	t.Parallel()
	for name, to := range map[string]string{
		"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "e.db"), "postgres": pgtest.Shared(t).NewDatabase(t),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, _ := prototypeDatabase(t)
			directory := t.TempDir()
			path := func(file string) string { return filepath.Join(directory, file) }
			env := []string{"PROTOTYPE_URL=" + source, "DATABASE_URL=" + to}
			code, stdout, stderr := call(t, env, "import", "--dry-run", "--new-keys="+path("none"))
			if code != exitFailure || !strings.Contains(stdout, "released_amount_unknown") || !strings.Contains(stderr, "3 things were left out") {
				t.Errorf("the dry run ends with %d, %s%s", code, stdout, stderr)
			}
			if _, err := os.Stat(path("none")); err == nil {
				t.Error("the dry run writes secrets")
			}

			args := []string{"import", "--new-keys=" + path("keys")}
			if name == "postgres" {
				if code, _, stderr := call(t, env, args...); code != exitFailure || !strings.Contains(stderr, "run escrowgrid migrate") {
					t.Errorf("to a database that is not migrated, it ends with %d, %s", code, stderr)
				}
				if code, _, stderr := call(t, env, "migrate"); code != exitOK {
					t.Fatal(stderr)
				}
				for _, table := range []string{"institutions", "assets", "positions", "policies", "api_keys"} {
					killAt(t, to, table, "EXCLUSIVE", env, args...)
				}
			} else {
				for _, table := range []string{"positions", "position_events", "institution_policies", "api_keys"} {
					killAtSource(t, source, table, env, args...)
				}
			}

			if err := os.WriteFile(path("released"), []byte("pos_part, 4.25\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, report := range []string{"first", "second"} {
				code, stdout, stderr := call(t, env, append(args, "--released="+path("released"), "--report="+path(report))...)
				if code != exitOK || !strings.Contains(stdout, "position    501") {
					t.Fatalf("the import ends with %d, %s%s", code, stdout, stderr)
				}
			}
			checkImported(t, env, path("keys"), path("second"))
		})
	}
}

// killAtSource kills the command while it waits for a table of the prototype's.
func killAtSource(t *testing.T, source, table string, env []string, args ...string) {
	t.Helper()
	killAt(t, source, table, "ACCESS EXCLUSIVE", env, args...)
}

// checkImported asks a server on what was imported, with the key that was issued.
func checkImported(t *testing.T, env []string, keys, report string) {
	t.Helper()
	if about := journaltest.Must(os.Stat(keys)); about.Mode().Perm() != 0o600 {
		t.Errorf("others may read the secrets: %s", about.Mode())
	}
	var issued struct{ InstitutionID, APIKey string }
	if err := json.Unmarshal(journaltest.Must(os.ReadFile(keys)), &issued); err != nil {
		t.Fatal(err) // One line is one key.
	}
	if lines := strings.Count(string(journaltest.Must(os.ReadFile(report))), `"kind":"position",`); lines != 501 {
		t.Errorf("the report has %d lines on positions", lines)
	}

	p := serve(t, env)
	admin := p.As(issued.APIKey)
	if all := admin.Walk(t, "/positions?limit=1000", "externalReference"); len(all) != 501 {
		t.Errorf("there are %d positions", len(all))
	}
	checkJournal(t, admin, 1+1+1+2*501+1+1+1+2) // The policy was lifted for one.
	found := admin.Get(t, "/positions?externalReference=pos_part").Want(t, 200)
	if text := found.String(); !strings.Contains(text, `"released":"4.25"`) || !strings.Contains(text, `"held":"6.25"`) {
		t.Errorf("pos_part is %s", text)
	}
	p.end(t, os.Interrupt)
}

func TestWrongUsageOfImport(t *testing.T) {
	directory := t.TempDir()
	path := func(file string) string { return filepath.Join(directory, file) }
	for file, content := range map[string]string{"words": "pos_1,much\n", "twice": "pos_1,1\npos_1,2\n", "there": ""} {
		if err := os.WriteFile(path(file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	source, conn := prototypeDatabase(t)
	env := []string{"PROTOTYPE_URL=" + source, "DATABASE_URL=sqlite:" + path("e.db")}
	for args, want := range map[string]string{
		"import --from-prototype=sqlite:x":         "--from-prototype takes postgres://",
		"import --from-prototype=postgres://u:p@h": "leave out the password",
		"import --released=" + path("words"):       "line 1: the amount must be",
		"import --released=" + path("twice"):       "line 2: pos_1 is there twice",
		"import --report=" + path("there"):         "exists",
		"import --new-keys=" + path("there"):       "others can read or write it",
	} {
		if code, _, stderr := call(t, env, strings.Fields(args)...); code == exitOK || !strings.Contains(stderr, want) {
			t.Errorf("%s ends with %d and %q, want %q", args, code, stderr, want)
		}
	}
	if _, err := conn.Exec(t.Context(), "DROP TABLE ledger_events"); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, env, "import"); code != exitFailure || !strings.Contains(stderr, "it is no database of the prototype: there is no table ledger_events") {
		t.Errorf("of another database, it ends with %d and %q", code, stderr)
	}
}
