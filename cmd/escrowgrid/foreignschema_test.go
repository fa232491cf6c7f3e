package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// A database that somebody has taught to make an admin's key beside each key is not served, not
// restored, and does not verify.
func TestForeignSchemasAreRefused(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		v := serveVerified(t, databaseURL)
		v.end(t, os.Interrupt)
		const insert = `INSERT INTO api_keys (institution_id, id, label, role, permissions, allowed_networks, hash, created_at, version) SELECT institution_id, id, 'spare', 'admin', '[]', '[]', hash, created_at, 1 FROM api_keys WHERE label = 'x'`
		environment := []string{"DATABASE_URL=" + databaseURL, "ROOT_API_KEY=" + testRootKey, "PORT=0"}
		commands := [][]string{{"verify"}, {"verify", "--public-key", v.publicKey}, {"serve"}}
		directory := t.TempDir()
		if path, isFile := strings.CutPrefix(databaseURL, "sqlite:"); isFile {
			journaltest.Execute(t, databaseURL, "CREATE TRIGGER spare AFTER INSERT ON api_keys WHEN NEW.label <> 'spare' BEGIN "+insert+"; END")
			commands = append(commands, []string{"backup", "-o", filepath.Join(directory, "copy.db")},
				[]string{"restore", path, "--database-url=sqlite:" + filepath.Join(directory, "restored.db")})
		} else {
			journaltest.Execute(t, databaseURL, "CREATE RULE spare AS ON INSERT TO api_keys WHERE NEW.label <> 'spare' DO ALSO "+insert)
		}
		for _, command := range commands {
			code, stdout, stderr := call(t, environment, command...)
			if said := stdout + stderr; code != exitFailure || !strings.Contains(said, "spare is foreign") && !strings.Contains(said, "spare: there is ") {
				t.Errorf("%q ends with %d: %s%s", command, code, stdout, stderr)
			}
		}
		if left := journaltest.Must(filepath.Glob(filepath.Join(directory, "*"))); len(left) != 0 {
			t.Errorf("there is %q", left)
		}

		// There is a way out, for those who know what it is.
		if code, stdout, stderr := call(t, environment, "verify", "--allow-foreign-schema"); code != exitOK {
			t.Errorf("where it is allowed, verify ends with %d: %s%s", code, stdout, stderr)
		}
		serve(t, append(environment, "ALLOW_FOREIGN_SCHEMA=true")).end(t, os.Interrupt)
	})
}
