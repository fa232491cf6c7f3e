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
// the triggers away that keep journals and checkpoints append-only; they are there again
// afterwards. It must change a row. Parameters are $1, $2 and so on.
func Tamper(tb testing.TB, databaseURL, statement string, args ...any) {
	tb.Helper()
	path, isFile := strings.CutPrefix(databaseURL, "sqlite:")
	db, err := sql.Open("pgx", databaseURL)
	drop := []string{"ALTER TABLE journal_entries DISABLE TRIGGER USER", "ALTER TABLE journal_checkpoints DISABLE TRIGGER USER"}
	restore := []string{"ALTER TABLE journal_entries ENABLE TRIGGER USER", "ALTER TABLE journal_checkpoints ENABLE TRIGGER USER"}
	if isFile {
		db, err = driver.Open("file:" + path)
		statement = strings.ReplaceAll(statement, "$", "?") // $1 is a name to SQLite, ?1 a number.
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if isFile {
		drop, restore = triggers(tb, db)
	}
	for _, statement := range drop {
		if _, err := db.ExecContext(tb.Context(), statement); err != nil {
			tb.Fatal(err)
		}
	}
	defer func() {
		for _, statement := range restore {
			if _, err := db.ExecContext(tb.Context(), statement); err != nil {
				tb.Fatal(err)
			}
		}
	}()
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

// triggers returns the statements that drop an SQLite file's triggers, and make them again.
func triggers(tb testing.TB, db *sql.DB) (drop, restore []string) {
	tb.Helper()
	rows, err := db.QueryContext(tb.Context(), "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, statement string
		if err := rows.Scan(&name, &statement); err != nil {
			tb.Fatal(err)
		}
		drop, restore = append(drop, "DROP TRIGGER "+name), append(restore, statement)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return drop, restore
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
	case escrow.ApprovalID:
		id = arg
	case escrow.HoldID:
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

// Execute runs a statement on a database beside the server.
func Execute(tb testing.TB, databaseURL, statement string) {
	tb.Helper()
	db, err := sql.Open("pgx", databaseURL)
	if path, isFile := strings.CutPrefix(databaseURL, "sqlite:"); isFile {
		db, err = driver.Open("file:" + path)
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(tb.Context(), statement); err != nil {
		tb.Fatalf("%s: %v", statement, err)
	}
}
