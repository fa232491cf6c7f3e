package journaltest

import (
	"bytes"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// Tamper runs a statement on a database beside the server, as its operator could, with
// the triggers dropped that keep journals and checkpoints append-only. It must change a
// row. Parameters are $1, $2 and so on.
func Tamper(tb testing.TB, databaseURL, statement string, args ...any) {
	tb.Helper()
	path, isFile := strings.CutPrefix(databaseURL, "sqlite:")
	db, err := sql.Open("pgx", databaseURL)
	drop := []string{
		"DROP TRIGGER IF EXISTS journal_entries_append_only ON journal_entries",
		"DROP TRIGGER IF EXISTS journal_checkpoints_append_only ON journal_checkpoints",
	}
	if isFile {
		db, err = driver.Open("file:" + path)
		statement = strings.ReplaceAll(statement, "$", "?") // $1 is a name to SQLite, ?1 a number.
		drop = nil
		for _, change := range []string{"update", "delete", "replace"} {
			drop = append(drop, "DROP TRIGGER IF EXISTS journal_entries_no_"+change, "DROP TRIGGER IF EXISTS journal_checkpoints_no_"+change)
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range drop {
		if _, err := db.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatal(err)
		}
	}
	for i, arg := range args {
		args[i] = parameter(arg, isFile)
	}
	result, err := db.ExecContext(tb.Context(), statement, args...)
	if err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
	if rows, err := result.RowsAffected(); rows == 0 || err != nil {
		tb.Fatalf("%s: %d rows, %v", statement, rows, err)
	}
}

// Tamper is Tamper on the writer's database.
func (w *Writer) Tamper(statement string, args ...any) {
	w.tb.Helper()
	Tamper(w.tb, w.URL, statement, args...)
}

// parameter is an id as a store's columns have it; anything else stays as it is.
func parameter(arg any, isFile bool) any {
	var id [16]byte
	switch arg := arg.(type) {
	case escrow.InstitutionID:
		id = arg
	case escrow.KeyID:
		id = arg
	case escrow.PositionID:
		id = arg
	default:
		return arg
	}
	if isFile {
		return id[:]
	}
	return hex.EncodeToString(id[:])
}

// Entry returns an entry as it is stored.
func (w *Writer) Entry(of escrow.InstitutionID, sequence int64) store.StoredEntry {
	w.tb.Helper()
	entries := Must(w.StoredEntries(w.tb.Context(), of, sequence, sequence))
	if len(entries) != 1 {
		w.tb.Fatalf("there are %d entries %d", len(entries), sequence)
	}
	return entries[0]
}

// Rewrite puts other bytes in the place of some in an entry's body, where they must be.
func (w *Writer) Rewrite(of escrow.InstitutionID, sequence int64, old, replacement string) {
	w.tb.Helper()
	body := w.Entry(of, sequence).Body
	if !bytes.Contains(body, []byte(old)) {
		w.tb.Fatalf("entry %d has no %s: %s", sequence, old, body)
	}
	w.Tamper("UPDATE journal_entries SET body = $1 WHERE institution_id = $2 AND sequence = $3",
		bytes.Replace(body, []byte(old), []byte(replacement), 1), of, sequence)
}

// Move gives an entry another sequence, in its body as well, which must be free.
func (w *Writer) Move(of escrow.InstitutionID, from, to int64) {
	w.tb.Helper()
	w.Rewrite(of, from, fmt.Sprintf(`"sequence":%d,`, from), fmt.Sprintf(`"sequence":%d,`, to))
	w.Tamper("UPDATE journal_entries SET sequence = $1 WHERE institution_id = $2 AND sequence = $3", to, of, from)
}

// Truncate removes the entries after a sequence, and lets the journal end there.
func (w *Writer) Truncate(of escrow.InstitutionID, last int64) {
	w.tb.Helper()
	w.Tamper("DELETE FROM journal_entries WHERE institution_id = $1 AND sequence > $2", of, last)
	w.Tamper(`UPDATE journal_heads SET sequence = $2,
		last_at = (SELECT at FROM journal_entries WHERE institution_id = $1 AND sequence = $2) WHERE institution_id = $1`, of, last)
}
