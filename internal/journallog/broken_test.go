package journallog_test

import (
	"database/sql"
	"encoding/hex"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/escrowgrid/escrowgrid"
)

// breakJournal deletes the second entry of a journal, as somebody with full access to
// the database could.
func breakJournal(t *testing.T, databaseURL string, institution escrowgrid.InstitutionID) {
	t.Helper()
	db, err := sql.Open("pgx", databaseURL)
	drop, deletion := "DROP TRIGGER journal_entries_append_only ON journal_entries", "DELETE FROM journal_entries WHERE institution_id = $1 AND sequence = 2"
	var id any = hex.EncodeToString(institution[:])
	if path, isFile := strings.CutPrefix(databaseURL, "sqlite:"); isFile {
		db, err = driver.Open("file:" + path)
		drop, id = "DROP TRIGGER journal_entries_no_delete", institution[:]
	}
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), drop); err != nil {
		t.Fatal(err)
	}
	result, err := db.ExecContext(t.Context(), deletion, id)
	if err != nil {
		t.Fatal(err)
	}
	if rows, err := result.RowsAffected(); rows != 1 || err != nil {
		t.Fatalf("%d entries were deleted, %v", rows, err)
	}
}
