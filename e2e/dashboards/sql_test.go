package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

// statements returns the panels' queries of the database, by the panels' titles.
func statements(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, p := range panels(t) {
		for _, target := range p.Targets {
			if query, ok := target.(variants.UnknownDataquery); ok {
				found[*p.Title], _ = query["rawSql"].(string)
			}
		}
	}
	if len(found) != 4 {
		t.Fatalf("the statements are those of %d panels", len(found))
	}
	return found
}

// database is a database with data, with connections of its owner and of the dashboards'
// role.
type database struct {
	owner, reader *pgx.Conn
	busy, quiet   tenant
}

func withData(t *testing.T) *database {
	t.Helper()
	address := pgtest.Shared(t).NewDatabase(t)
	tenants := newTenants(t, serve(t, address), 2)
	d := &database{owner: connect(t, address), busy: tenants[0], quiet: tenants[1]}
	for range 3 {
		d.busy.position(t)
		d.busy.position(t, "FUNDED")
		d.busy.position(t, "FUNDED", "RELEASED")
		d.busy.position(t, "CANCELLED")
	}
	d.quiet.position(t, "FUNDED")

	role, err := os.ReadFile("../../deploy/monitoring/grafana/role.sql")
	if err != nil {
		t.Fatal(err)
	}
	d.exec(t, string(role))
	d.exec(t, "ALTER ROLE escrowgrid_dashboards PASSWORD 'a password'")
	t.Cleanup(func() {
		_, err := d.owner.Exec(context.WithoutCancel(t.Context()),
			"DROP OWNED BY escrowgrid_dashboards; DROP ROLE escrowgrid_dashboards")
		if err != nil {
			t.Error(err)
		}
	})
	asRole, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	asRole.User = url.UserPassword("escrowgrid_dashboards", "a password")
	d.reader = connect(t, asRole.String())

	programtest.Eventually(t, "checkpoints cover the journals", func() bool {
		var behind int
		const query = `SELECT count(*) FROM journal_heads h WHERE h.sequence > 0 AND NOT EXISTS
			(SELECT FROM journal_checkpoints c WHERE c.institution_id = h.institution_id AND c.size = h.sequence)`
		if err := d.owner.QueryRow(t.Context(), query).Scan(&behind); err != nil {
			t.Fatal(err)
		}
		return behind == 0 || behind == 1 && d.operatorAlone(t)
	})
	return d
}

// operatorAlone reports whether the operator's journal, which has the zero id, has no
// checkpoint.
func (d *database) operatorAlone(t *testing.T) (alone bool) {
	t.Helper()
	const query = `SELECT NOT EXISTS (
		SELECT FROM journal_checkpoints WHERE institution_id = '00000000-0000-0000-0000-000000000000'
	)`
	if err := d.owner.QueryRow(t.Context(), query).Scan(&alone); err != nil {
		t.Fatal(err)
	}
	return alone
}

func connect(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func (d *database) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := d.owner.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// uuid returns the id of an institution in the form of the database.
func (d *database) uuid(t *testing.T, b tenant) (id string) {
	t.Helper()
	const query = "SELECT id::text FROM institutions WHERE name LIKE '%/1 %' = $1"
	if err := d.owner.QueryRow(t.Context(), query, b == d.busy).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// expand expands Grafana's macros and variables in a statement.
func (d *database) expand(t *testing.T, statement string, from, to time.Time) string {
	t.Helper()
	quoted := func(at time.Time) string { return "'" + at.UTC().Format(time.RFC3339Nano) + "'" }
	return strings.NewReplacer(
		"$__timeFrom()", quoted(from),
		"$__timeTo()", quoted(to),
		"$institution", d.uuid(t, d.busy),
	).Replace(statement)
}

// ask runs a statement as the dashboards' role and returns its rows as text.
func (d *database) ask(t *testing.T, sql string) (table [][]string) {
	t.Helper()
	rows, err := d.reader.Query(t.Context(), sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}

	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		line := make([]string, len(values))
		for i, raw := range rows.RawValues() {
			line[i] = string(raw)
		}
		table = append(table, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	return table
}

func TestStatementsAnswer(t *testing.T) {
	d := withData(t)
	asked := statements(t)
	hour := func(title string) [][]string {
		return d.ask(t, d.expand(t, asked[title], time.Now().Add(-time.Hour), time.Now().Add(time.Hour)))
	}

	// The busy institution has 4 entries for itself, key, template and asset, and 3 × (1 + 2 + 3 + 2).
	busiest := hour("Most entries in the time range")
	if len(busiest) != 2 || !strings.Contains(busiest[0][0], "/1 ") ||
		busiest[0][1] != d.entries(t, d.busy) || busiest[1][1] != d.entries(t, d.quiet) {
		t.Errorf("the busiest are %q", busiest)
	}
	if !strings.HasPrefix(busiest[0][2], "0.8") || !strings.HasPrefix(busiest[1][2], "0.1") {
		t.Errorf("the shares of 28 and 6 of 34 are %s and %s", busiest[0][2], busiest[1][2])
	}

	if latest := hour("Last activity"); len(latest) != 2 || !strings.Contains(latest[0][0], "/2 ") {
		t.Errorf("the latest are %q", latest)
	}
	if held := fmt.Sprint(hour("Held by currency")); held != "[[USD 4000.00 2]]" {
		t.Errorf("held are %s, not 4 times 1000.00", held)
	}
	const wantStates = "[[CREATED 3] [FUNDED 3] [PARTIALLY_RELEASED 0] [RELEASED 3] [CANCELLED 3] [EXPIRED 0]]"
	if states := fmt.Sprint(hour("Positions of the institution by state")); states != wantStates {
		t.Errorf("the states are %s", states)
	}
	choices := d.ask(t, strings.TrimSpace(institutionChoices))
	if len(choices) != 2 || choices[1][1] != d.uuid(t, d.busy) {
		t.Errorf("the choices are %q", choices)
	}

	d.checkRanges(t, asked["Most entries in the time range"])
	d.checkPlans(t, asked)
}

func (d *database) entries(t *testing.T, b tenant) (count string) {
	t.Helper()
	const query = "SELECT sequence::text FROM journal_heads WHERE institution_id = $1::text::uuid"
	if err := d.owner.QueryRow(t.Context(), query, d.uuid(t, b)).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

// checkRanges compares the binary search with counting, for the range between any two
// entries of the busy journal.
func (d *database) checkRanges(t *testing.T, statement string) {
	t.Helper()
	rows, err := d.owner.Query(t.Context(),
		"SELECT at FROM journal_entries WHERE institution_id = $1::text::uuid ORDER BY sequence", d.uuid(t, d.busy))
	if err != nil {
		t.Fatal(err)
	}
	times, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		t.Fatal(err)
	}

	const query = `SELECT count(*)::text FROM journal_entries
		WHERE institution_id = $1::text::uuid AND at >= $2 AND at < $3`
	for i, from := range times {
		for _, to := range times[i+1:] {
			var want string
			if err := d.owner.QueryRow(t.Context(), query, d.uuid(t, d.busy), from, to).Scan(&want); err != nil {
				t.Fatal(err)
			}

			got := "0"
			for _, row := range d.ask(t, d.expand(t, statement, from, to)) {
				if strings.Contains(row[0], "/1 ") {
					got = row[1]
				}
			}
			if got != want {
				t.Fatalf("from %v to %v there are %s entries, not %s", from, to, want, got)
			}
		}
	}
}

// checkPlans checks that tables which grow with use are read by an index with a condition.
// With few rows the planner would prefer a sequential scan, so that is switched off.
func (d *database) checkPlans(t *testing.T, asked map[string]string) {
	t.Helper()
	d.ask(t, "SET enable_seqscan = off")
	for title, statement := range asked {
		explained := ""
		for _, line := range d.ask(t, "EXPLAIN "+d.expand(t, statement, time.Now().Add(-time.Hour), time.Now())) {
			explained += line[0] + "\n"
		}

		lines := strings.Split(explained, "\n")
		for i, line := range lines {
			for _, table := range []string{"journal_entries", "journal_checkpoints", "positions"} {
				if strings.Contains(line, " on "+table+" ") &&
					(!strings.Contains(line, "Index") || !strings.Contains(lines[i+1], "Index Cond")) {
					t.Errorf("%s reads %s without an index:\n%s", title, table, explained)
				}
			}
		}
	}
}

func TestTheRoleReadsOnlyWhatIsShown(t *testing.T) {
	d := withData(t)
	// The role itself can switch this off; only its grants protect the data.
	d.ask(t, "SET default_transaction_read_only = off")
	for _, refused := range []string{
		"SELECT hash FROM api_keys",
		"SELECT id FROM api_keys",
		"SELECT body FROM journal_entries",
		"SELECT actor FROM journal_entries",
		"SELECT holder_reference FROM positions",
		"SELECT client FROM security_events",
		"SELECT signing_key FROM checkpoint_keys",
		"SELECT note FROM journal_checkpoints",
		"SELECT * FROM institutions",
		"SELECT fingerprint FROM idempotency_records",
		"UPDATE positions SET state = 'RELEASED'",
		"DELETE FROM institutions",
		"CREATE TABLE public.own ()",
	} {
		_, err := d.reader.Exec(t.Context(), refused, pgx.QueryExecModeSimpleProtocol)
		if problem, ok := errors.AsType[*pgconn.PgError](err); !ok || problem.Code != "42501" {
			t.Errorf("%s: %v, want a missing privilege", refused, err)
		}
	}

	_, err := d.reader.Exec(t.Context(), "SELECT pg_sleep(60)")
	if err == nil || !strings.Contains(err.Error(), "57014") {
		t.Errorf("a statement that takes a minute: %v, want a timeout", err)
	}
}
