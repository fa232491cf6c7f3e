package verify_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

// notExact are the tables whose rows nothing is compared with: no entry tells of them.
var notExact = []string{
	"idempotency_records", "security_events", "duty_leases", "unfinished_copies", "api_key_uses", "secrets", "sessions",
	"goose_db_version",
}

// rewriting puts other bytes of the same meaning in a column's place, in all rows that have it.
type rewriting struct{ what, change, undo string }

// rewritingsOf are the ways in which a value of a column could be written otherwise. An SQLite
// file can have any storage class anywhere; PostgreSQL has one form of most types.
func rewritingsOf(c tableColumn, isFile bool) []rewriting {
	set := func(what, change, undo string) rewriting {
		return rewriting{what, strings.ReplaceAll(change, "?", c.name), strings.ReplaceAll(undo, "?", c.name)}
	}
	var all []rewriting
	switch c.sqlType {
	case "text":
		all = []rewriting{
			set("an empty text for NULL", "? = '' WHERE ? IS NULL", "? = NULL WHERE ? = ''"),
			set("JSON with a space", "? = ' ' || ? WHERE ? LIKE '[%' OR ? LIKE '{%'", "? = substr(?, 2) WHERE ? LIKE ' %'"),
			set("a decimal of more digits", "? = ? || '.0' WHERE '?' LIKE '%_amount' AND ? IS NOT NULL", "? = substr(?, 1, length(?) - 2) WHERE ? LIKE '%.0'"),
		}
	case "bytea":
		all = []rewriting{
			set("no bytes for NULL", "? = '' WHERE ? IS NULL", "? = NULL WHERE ? = ''"),
			set("JSON with a space", `? = '\x20'::bytea || ? WHERE substr(?, 1, 1) = '{'`, `? = substr(?, 2) WHERE substr(?, 1, 1) = '\x20'`),
		}
	case "blob":
		all = []rewriting{
			set("no bytes for NULL", "? = x'' WHERE ? IS NULL", "? = NULL WHERE ? = x''"),
			set("JSON with a space", "? = CAST(' ' || ? AS blob) WHERE substr(?, 1, 1) = x'7b'", "? = CAST(substr(?, 2) AS blob) WHERE substr(?, 1, 1) = x'20'"),
		}
	}
	if isFile {
		other := map[string]string{"integer": "real", "text": "blob", "blob": "text"}[c.sqlType]
		all = append(all, set("a "+other, "? = CAST(? AS "+other+") WHERE ? IS NOT NULL", "? = CAST(? AS "+c.sqlType+") WHERE ? IS NOT NULL"))
	}
	return all
}

// Verification compares what stands in the database with what the server would write, byte for
// byte: what is read alike is not the same.
func TestOtherBytesOfTheSameMeaningAreFoundInEveryColumn(t *testing.T) {
	t.Parallel()
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		t.Parallel()
		f := &fixture{Writer: journaltest.Open(t, databaseURL), t: t}
		f.Example = f.Writer.Example()
		f.Writer.Clerk(f.Example)
		f.forget()
		f.Writer.Positions(f.Example, 2)
		f.Do(f.Example.Institution, valid(escrow.NewCreatePosition(escrow.PositionInput{
			AssetID: f.Example.Asset.String(), HolderReference: "holder", Currency: "USD", Amount: "100", ExpiresAt: new("2999-01-01T00:00:00Z"),
		})))
		closed := f.Writer.Asset(f.Example.Institution, "EUR")
		template := must(f.Store.Asset(t.Context(), f.Example.Institution, closed)).TemplateID
		f.Do(f.Example.Institution, escrow.CloseTemplate{Template: template}, escrow.CloseAsset{Asset: closed})
		f.erasePosition(f.Writer.Positions(f.Example, 1)[0])
		f.Do(f.Writer.Institution(), escrow.CloseInstitution{})
		f.Writer.Clerk(f.Example)
		f.Writer.People(f.Example)
		f.Writer.Holds(f.Example)
		approved := f.Writer.Approvals(f.Example)
		f.Ask(f.Example.Institution, escrow.ActorRoot(), valid(escrow.NewEraseApproval(approved.Rejected, nil, nil, 0)))
		f.sign()
		tables, db, isFile := loosened(t, databaseURL)
		exec := func(statement string) int64 { return must(must(db.ExecContext(t.Context(), statement)).RowsAffected()) }
		config := verify.Config{Keys: []string{signer.VerifierKey()}, AllowForeignSchema: true, Gentle: true}

		for _, table := range tables {
			for _, column := range table.columns {
				changed := 0
				for _, r := range rewritingsOf(column, isFile) {
					if exec("UPDATE "+table.name+" SET "+r.change) == 0 {
						continue
					}
					changed++
					report, err := verify.Database(t.Context(), f.Store, config)
					// Without the entries' bodies, the rows cannot be compared with anything.
					if err != nil && !column.key && column.name != "body" && column.name != "private" {
						t.Errorf("%s.%s is %s: %v", table.name, column.name, r.what, err)
					}
					// A hold on another position is missing on its own.
					named := column.key || column.name == "position_id" || slices.ContainsFunc(report.Differences, func(d verify.Difference) bool {
						return slices.Contains([]string{"body", "private", "note"}, column.name) || strings.Contains(d.String(), column.name)
					})
					if err == nil && (report.DifferenceCount == 0 || !named) {
						t.Errorf("%s.%s is %s: the differences are %v", table.name, column.name, r.what, report.Differences)
					}
					exec("UPDATE " + table.name + " SET " + r.undo)
				}
				if changed == 0 && isFile {
					t.Errorf("nothing was changed in %s.%s", table.name, column.name)
				}
			}
		}
		report := must(verify.Database(t.Context(), f.Store, config))
		if report.DifferenceCount != 0 {
			t.Errorf("with all as it was, there are differences: %v", report.Differences)
		}
	})
}

// loosened opens a database beside the server in which any bytes may stand anywhere, as whoever
// has the file of an SQLite database could write them.
func loosened(t *testing.T, databaseURL string) (tables []tableColumns, db *sql.DB, isFile bool) {
	t.Helper()
	if !strings.HasPrefix(databaseURL, "sqlite:") {
		db = must(sql.Open("pgx", databaseURL))
		t.Cleanup(func() { _ = db.Close() })
		for _, change := range []string{
			"journal_entries DISABLE TRIGGER USER", "journal_checkpoints DISABLE TRIGGER USER", "api_keys DROP CONSTRAINT api_keys_check",
			"approvals DROP CONSTRAINT approvals_check1", "holds DROP CONSTRAINT holds_check1",
		} {
			must(db.ExecContext(t.Context(), "ALTER TABLE "+change))
		}
		tables = scanColumns(t, db, `SELECT table_name, column_name, udt_name, false FROM information_schema.columns
			WHERE table_schema = 'public' ORDER BY table_name, ordinal_position`)
	} else {
		db, isFile = unchecked(t, databaseURL), true
		db.SetMaxOpenConns(1)
		tables = columnsByTable(t, db)
	}
	tables = slices.DeleteFunc(tables, func(table tableColumns) bool { return slices.Contains(notExact, table.name) })
	if !isFile {
		return tables, db, isFile
	}

	version := 0
	if err := db.QueryRowContext(t.Context(), "PRAGMA schema_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, table := range tables {
		names = append(names, "'"+table.name+"'")
	}
	for _, statement := range []string{
		"DROP TRIGGER journal_entries_no_update",
		"DROP TRIGGER journal_checkpoints_no_update",
		"PRAGMA writable_schema = on",
		`UPDATE sqlite_schema SET sql = replace(replace(replace(replace(sql,
			'STRICT, ', ''), ') STRICT', ')'), ' integer', ' blob'), ' text', ' blob')
			WHERE type = 'table' AND name IN (` + strings.Join(names, ", ") + ")",
		fmt.Sprintf("PRAGMA schema_version = %d", version+10),
		"PRAGMA writable_schema = reset",
	} {
		must(db.ExecContext(t.Context(), statement))
	}
	return tables, db, isFile
}

// Whoever swaps the private keys has the server sign with one that is not the key's.
func TestForgedHeadsAndKeysAreFound(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		other, otherSigner := newKey()
		key := signer.VerifierKey()
		for value, want := range map[string]string{
			other: "column signing_key: there is that of " + otherSigner.VerifierKey() + ", and should be the private key of",
			"abc": "column signing_key: there is what is not a signing key",
		} {
			f.tamper("UPDATE checkpoint_keys SET signing_key = $1 WHERE verifier_key = $2", value, key)
			report := f.verify(nil)
			if found := fmt.Sprint(report.Differences); report.DifferenceCount != 1 || !strings.Contains(found, want) || strings.Contains(found, other) {
				t.Errorf("no difference has %q: %s", want, found)
			}
		}
		f.tamper("UPDATE checkpoint_keys SET signing_key = NULL")
		f.tamper("UPDATE journal_heads SET lost_sequence = 7 WHERE institution_id = $1", f.Example.Institution)
		const want = "journal_heads, column lost_sequence: there is 7, and should be 0"
		if report := f.verify(nil); report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), want) {
			t.Errorf("no difference has %q: %v", want, report.Differences)
		}
	})
}

// What was changed and closed verifies, and none of it can be undone in its row alone.
func TestWhatWasChangedAndClosedVerifies(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		again := new("again")
		of := f.Writer.Institution()
		asset := f.Writer.Asset(of, "USD")
		template := must(f.Store.Asset(t.Context(), of, asset)).TemplateID
		f.Do(f.Example.Institution, journaltest.Valid(escrow.NewUpdateKey(f.Keys[0], again, nil)), journaltest.Valid(escrow.NewUpdateKey(f.Keys[1], again, nil)))
		f.Do(of,
			journaltest.Valid(escrow.NewUpdateInstitution(again, nil)),
			journaltest.Valid(escrow.NewUpdateTemplate(template, again, nil)), escrow.CloseTemplate{Template: template},
			journaltest.Valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Metadata: escrow.MetadataPatch(`{"site":null,"b":1}`)}, nil)),
			escrow.CloseAsset{Asset: asset}, escrow.CloseInstitution{})
		if report := f.verify(nil); report.DifferenceCount != 0 {
			t.Fatalf("it does not verify: %v", report.Differences)
		}

		for undo, want := range map[string]string{
			"UPDATE journal_heads SET closed_sequence = 0 WHERE institution_id = $1":     "column closed_sequence: there is 0, and should be 9",
			"UPDATE institutions SET closed_at = NULL WHERE id = $1":                     "closed_at",
			"UPDATE assets SET closed_at = NULL WHERE institution_id = $1":               "closed_at",
			"UPDATE asset_templates SET version = version + 1 WHERE institution_id = $1": "version",
		} {
			differences := f.verify(nil).DifferenceCount
			f.tamper(undo, of)
			report := f.verify(nil)
			if report.DifferenceCount != differences+1 || !strings.Contains(fmt.Sprint(report.Differences), want) {
				t.Errorf("%s is found as %v", undo, report.Differences)
			}
		}
	})
}
