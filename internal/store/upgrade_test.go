package store_test

import (
	"bytes"
	"database/sql"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3/driver"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

// levelBefore is a database of the level before this one. What is in it was written at this level,
// as far as that one can hold it.
type levelBefore struct {
	*store.Store
	journaltest.Example

	url string
	// admin and reader are keys of the two roles.
	admin, reader escrow.KeyID
}

// The rows that a level can hold are copied with the columns that it has.
func newLevelBefore(t *testing.T, kind string) levelBefore {
	t.Helper()
	newURL := func() string {
		if kind == "postgres" {
			return pgtest.Shared(t).NewDatabase(t)
		}
		return "sqlite:" + filepath.Join(t.TempDir(), "e.db")
	}
	w := journaltest.Open(t, newURL())
	before := levelBefore{Example: w.Example(), url: newURL()}
	w.Positions(before.Example, 10)
	key := func(role string) escrow.KeyID {
		input := escrow.KeyInput{Label: role, Role: role, ExpiresAt: new("2999-01-01T00:00:00Z")}
		return journaltest.Made[escrow.APIKey](w.Do(before.Example.Institution,
			journaltest.Valid(escrow.NewCreateKey(input, escrow.HashSecret(role))))).ID
	}
	before.admin, before.reader = key("admin"), key("read_only")

	before.Store = open(t, before.url)
	if err := store.MigrateTo(t.Context(), before.Store, int64(store.SchemaLevel-1)); err != nil {
		t.Fatal(err)
	}
	copyCommonColumns(t, beside(t, w.URL), beside(t, before.url))
	return before
}

// beside opens a database past the store, with no keys and triggers that look at other rows.
func beside(t *testing.T, databaseURL string) *sql.DB {
	t.Helper()
	path, isFile := strings.CutPrefix(databaseURL, "sqlite:")
	if isFile {
		db, err := driver.Open("file:" + path + "?_pragma=foreign_keys(off)")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return db
	}

	db, err := sql.Open("pgx", databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), "SET session_replication_role = replica"); err != nil {
		t.Fatal(err)
	}
	return db
}

// columnsOf returns the columns of a database's tables, in order.
func columnsOf(t *testing.T, db *sql.DB) map[string][]string {
	t.Helper()
	query := "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position"
	if _, isSQLite := db.Driver().(*driver.SQLite); isSQLite {
		query = "SELECT m.name, c.name FROM sqlite_schema AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' ORDER BY m.name, c.cid"
	}
	rows := journaltest.Must(db.QueryContext(t.Context(), query))
	defer rows.Close()
	columns := make(map[string][]string)
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			t.Fatal(err)
		}
		columns[table] = append(columns[table], column)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return columns
}

// copyCommonColumns copies the rows of all tables that a database has from another one, in the
// columns that both have.
func copyCommonColumns(t *testing.T, from, to *sql.DB) {
	t.Helper()
	newer := columnsOf(t, from)
	for table, columns := range columnsOf(t, to) {
		if table == "goose_db_version" || table == "duty_leases" {
			continue // The migrations have filled them.
		}
		common := slices.DeleteFunc(columns, func(column string) bool { return !slices.Contains(newer[table], column) })
		places := make([]string, len(common))
		for i := range common {
			places[i] = fmt.Sprintf("$%d", i+1)
		}
		insert := "INSERT INTO " + table + " (" + strings.Join(common, ", ") + ") VALUES (" + strings.Join(places, ", ") + ")"
		journaltest.Must(to.ExecContext(t.Context(), "DELETE FROM "+table))
		for _, row := range rowsOf(t, from, "SELECT "+strings.Join(common, ", ")+" FROM "+table, len(common)) {
			if _, err := to.ExecContext(t.Context(), insert, row...); err != nil {
				t.Fatalf("%s: %v", insert, err)
			}
		}
	}
}

func rowsOf(t *testing.T, db *sql.DB, query string, columns int) (all [][]any) {
	t.Helper()
	rows := journaltest.Must(db.QueryContext(t.Context(), query))
	defer rows.Close()
	for rows.Next() {
		values, places := make([]any, columns), make([]any, columns)
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			t.Fatal(err)
		}
		all = append(all, values)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// A database of the level before this one, with data, is migrated: it keeps serving, and
// every byte of its journals.
func TestADatabaseOfTheLevelBeforeIsUpgraded(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		before := newLevelBefore(t, kind)
		s, of := before.Store, before.Example.Institution
		if err := s.CheckSchema(t.Context()); err == nil {
			t.Fatal("the level before is taken for this one")
		}
		bodies := func() [][]byte {
			var all [][]byte
			for _, entry := range journaltest.Must(s.StoredEntries(t.Context(), of, 1, math.MaxInt64)) {
				all = append(all, entry.Body)
			}
			return all
		}
		old := bodies()

		for range 2 {
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CheckSchema(t.Context()); err != nil {
			t.Error(err)
		}
		after := bodies()
		if len(old) != 9+3*10+2 || len(after) != len(old) {
			t.Fatalf("of %d entries there are %d", len(old), len(after))
		}
		for i := range old {
			if !bytes.Equal(old[i], after[i]) {
				t.Errorf("entry %d was\n%s\nand is\n%s", i+1, old[i], after[i])
			}
		}
		before.checkKeys(t)

		w := journaltest.On(t, s, before.url)
		w.Positions(before.Example, 10)
		w.Clerk(before.Example)
		w.People(before.Example)
		w.Holds(before.Example)
		w.Approvals(before.Example)
		report := journaltest.Must(verify.Database(t.Context(), s, verify.Config{}))
		if report.DifferenceCount != 0 || report.Entries != int64(len(old)+3*10+3+8+22+6) {
			t.Errorf("the upgraded database is verified as %+v", report)
		}
		page := journaltest.Must(s.Positions(t.Context(), of, escrow.PositionFilter{}, escrow.PageRequest{Limit: 100}))
		if len(page.Items) != 22 {
			t.Errorf("there are %d positions", len(page.Items))
		}
	})
}

// checkKeys checks that the keys of the two roles that there were may do what they could.
func (before levelBefore) checkKeys(t *testing.T) {
	t.Helper()
	of := before.Example.Institution
	both := []escrow.Permission{
		"institutions.read", "policies.read", "templates.read", "assets.read", "positions.read", "reports.read", "proofs.read",
	}
	admins := append([]escrow.Permission{
		"keys.read", "keys.manage", "policies.set", "templates.create", "templates.update", "assets.create", "assets.update",
		"positions.create", "positions.fund", "positions.release", "positions.cancel", "positions.erase", "personal_data.read",
		"audit.read", "journal.read",
	}, both...)
	for id, want := range map[escrow.KeyID]struct {
		label    string
		role     escrow.RoleName
		may      []escrow.Permission
		mayWrite bool
	}{
		before.admin:  {"admin", escrow.RoleAdmin, admins, true},
		before.reader: {"read_only", escrow.RoleReadOnly, both, false},
	} {
		key := journaltest.Must(before.KeyByHash(t.Context(), escrow.HashSecret(want.label)))
		expected := escrow.APIKey{
			ID: id, InstitutionID: of, Label: want.label, Role: want.role, Hash: escrow.HashSecret(want.label),
			CreatedAt: key.CreatedAt, ExpiresAt: new(time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)), Version: 1, CreatedBy: escrow.ActorRoot(),
		}
		if diff := cmp.Diff(expected, key, cmp.AllowUnexported(escrow.Actor{})); diff != "" {
			t.Errorf("the key %s (-) became (+):\n%s", want.label, diff)
		}
		rights := escrow.RightsOfKey(key, func(escrow.RoleName) (escrow.Role, bool) { return escrow.Role{}, false })
		for _, permission := range want.may {
			if err := rights.Permissions.CheckPermission(permission); err != nil || !rights.Restriction.IsZero() {
				t.Errorf("the key %s: %v, and it is restricted to %+v", want.label, err, rights.Restriction)
			}
		}

		for name, command := range map[string]escrow.Command{
			"a position": journaltest.Valid(escrow.NewCreatePosition(escrow.PositionInput{
				AssetID: before.Example.Asset.String(), HolderReference: "h", Currency: "USD", Amount: "900",
			})),
			"a key":    newKey("by " + want.label),
			"a policy": journaltest.Valid(escrow.NewSetPolicy("SG", escrow.PolicyInput{})),
		} {
			if err := tryAs(t, before.Store, of, id, command); (err == nil) != want.mayWrite ||
				err != nil && escrow.ErrorCode(err) != escrow.CodePermissionMissing {
				t.Errorf("%s by %s: %v, want it accepted: %t", name, want.label, err, want.mayWrite)
			}
		}
	}
}

// tryAs returns the refusal of a key's command, without an effect.
func tryAs(t *testing.T, s *store.Store, of escrow.InstitutionID, key escrow.KeyID, command escrow.Command) error {
	t.Helper()
	request := escrow.Request{Institution: of, Actor: escrow.ActorKey(key), RequestID: "test", Command: command}
	tx := journaltest.Must(s.Begin(t.Context(), needs{of: request.Needs()}))
	defer tx.Rollback(t.Context())
	outcome := journaltest.Must(tx.Books(of).Execute(request, escrow.Stamp{Now: time.Now(), Random: [2]uint64{7, 8}, Secret: escrow.Secret{1}}))
	if outcome.Refusal != nil {
		return outcome.Refusal
	}
	return nil
}
