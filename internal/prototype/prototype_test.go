package prototype_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/prototype"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// must returns a value that a test cannot do without.
func must[T any](value T, err error) T { return journaltest.Must(value, err) }

// newSource makes a database with the prototype's tables, and runs more statements on it.
func newSource(t *testing.T, more ...string) (databaseURL string, conn *pgx.Conn) {
	t.Helper()
	databaseURL = pgtest.Shared(t).NewDatabase(t)
	conn = must(pgx.Connect(t.Context(), databaseURL))
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	for _, sql := range append([]string{string(must(os.ReadFile("testdata/schema.sql")))}, more...) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return databaseURL, conn
}

// imported is an import with its lines.
type imported struct {
	*prototype.Summary

	lines []prototype.Line
}

func run(t *testing.T, source string, to *store.Store, change func(*prototype.Config)) imported {
	t.Helper()
	var i imported
	config := prototype.Config{
		Source: source, Target: to, Now: time.Now, Random: rand.Reader,
		Report: func(l prototype.Line) error { i.lines = append(i.lines, l); return nil },
	}
	if change != nil {
		change(&config)
	}
	i.Summary = must(prototype.Import(t.Context(), config))
	return i
}

// of returns the lines on a thing, without its kind and id.
func (i imported) of(id string) (told []string) {
	for _, l := range i.lines {
		if l.ID == id {
			told = append(told, strings.TrimSpace(fmt.Sprintf("%s %s %s", l.Outcome, l.Code, l.Message)))
		}
	}
	return told
}

// newID returns what a thing is known by now.
func (i imported) newID(t *testing.T, kind prototype.Kind, id string) string {
	t.Helper()
	for _, l := range i.lines {
		if l.Kind == kind && l.ID == id && l.Outcome == prototype.Taken {
			return l.NewID
		}
	}
	t.Fatalf("%s %s was not taken: %q", kind, id, i.of(id))
	return ""
}

// query reads rows of texts.
func query(t *testing.T, conn *pgx.Conn, sql string) [][2]string {
	t.Helper()
	rows := must(conn.Query(t.Context(), sql))
	return must(pgx.CollectRows(rows, func(r pgx.CollectableRow) (pair [2]string, err error) {
		return pair, r.Scan(&pair[0], &pair[1])
	}))
}

// positions returns all positions of a database by their references.
func positions(t *testing.T, s *store.Store) map[string]escrow.Position {
	t.Helper()
	found := make(map[string]escrow.Position)
	for of := (escrow.InstitutionID{}); ; {
		next, more, err := s.NextTenant(t.Context(), of)
		if err != nil || !more {
			return found
		}
		of = next
		page := escrow.PageRequest{Limit: escrow.MaxPageSize}
		for {
			list := must(s.Positions(t.Context(), of, escrow.PositionFilter{}, page))
			for _, p := range list.Items {
				found[p.ExternalReference] = p
				page.After = new(escrow.IDCursor(p.ID))
			}
			if !list.More {
				break
			}
		}
	}
}

// Nothing of a database with thousands of rows of each kind is without a line, and what was
// taken is what it was. A second run adds what was missing, a third one nothing.
func TestAFilledPrototypeIsImported(t *testing.T) {
	t.Parallel()
	source, conn := newSource(t, string(must(os.ReadFile("testdata/fill.sql"))))
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		to := journaltest.Open(t, databaseURL)
		keys := must(prototype.OpenKeyFile(filepath.Join(t.TempDir(), "keys")))
		defer keys.Close()
		first := run(t, source, to.Store, func(c *prototype.Config) { c.Keys = keys })
		for _, table := range query(t, conn, `SELECT kind, sum(n)::text FROM (
			SELECT 'institution' AS kind, count(*) AS n FROM institutions UNION ALL SELECT 'asset_template', count(*) FROM asset_templates
			UNION ALL SELECT 'asset', count(*) FROM assets UNION ALL SELECT 'position', count(*) FROM positions
			UNION ALL SELECT 'position_event', count(*) FROM position_events UNION ALL SELECT 'ledger_event', count(*) FROM ledger_events UNION ALL SELECT 'policy', count(*) FROM institution_policies
			UNION ALL SELECT 'api_key', count(*) FROM api_keys UNION ALL SELECT 'audit_event', count(*) FROM audit_events
			UNION ALL SELECT 'onchain_operation', count(*) FROM onchain_pending_operations) AS counts GROUP BY kind`) {
			kind := prototype.Kind(table[0])
			lines := first.Count(kind, prototype.Taken) + first.Count(kind, prototype.LeftOut) + first.Count(kind, prototype.Replaced)
			if fmt.Sprint(lines) != table[1] {
				t.Errorf("%s rows of %s have %d lines", table[1], kind, lines)
			}
		}

		// Of those that are PARTIALLY_RELEASED nobody knows how much is held.
		expect := func(left string) {
			t.Helper()
			want, got := make(map[string]string), make(map[string]string)
			for _, p := range query(t, conn, "SELECT id, amount::numeric(32, 2)::text || ' ' || state FROM positions WHERE "+left) {
				want[p[0]] = p[1]
			}
			for reference, p := range positions(t, to.Store) {
				got[reference] = p.Amount.Format(p.Currency) + " " + string(p.State)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("positions of the prototype (-) and here (+):\n%s", diff)
			}
			report := must(verify.Database(t.Context(), to.Store, verify.Config{}))
			if report.DifferenceCount > 0 {
				t.Errorf("verify finds %q", report.Differences)
			}
		}
		expect("state <> 'PARTIALLY_RELEASED'")

		released := make(map[string]money.Digits)
		for _, p := range query(t, conn, "SELECT id, '0.25' FROM positions WHERE state = 'PARTIALLY_RELEASED' AND mod(amount, 2) < 1.5") {
			released[p[0]] = money.Digits(p[1])
		}
		withAmounts := func(c *prototype.Config) { c.Keys, c.Released = keys, released }
		second := run(t, source, to.Store, withAmounts)
		if grown := second.Count(prototype.Positions, prototype.Taken) - first.Count(prototype.Positions, prototype.Taken); grown == 0 {
			t.Error("the second run takes nothing more")
		}
		expect("state <> 'PARTIALLY_RELEASED' OR mod(amount, 2) < 1.5")
		for _, policy := range query(t, conn, "SELECT id, institution_id FROM institution_policies") {
			var of escrow.InstitutionID
			parse(t, &of, first.newID(t, prototype.Institutions, policy[1]))
			if rules := must(to.Policy(t.Context(), of, "EU_UK")).PositionRules; rules.MinAmount == nil || rules.MinAmount.String() != "2500.25" || len(rules.AllowedCurrencies) != 2 {
				t.Errorf("the policy %s is %+v after the second run", policy[0], rules)
			}
		}
		entries := must(to.CountEntries(t.Context()))
		run(t, source, to.Store, withAmounts)
		if again := must(to.CountEntries(t.Context())); again != entries {
			t.Errorf("the third run makes %d entries", again-entries)
		}
	})
}

// What cannot be taken as it is has a line that says why, and money is never guessed.
func TestWhatCannotBeTakenIsReported(t *testing.T) {
	t.Parallel()
	source, _ := newSource(t, string(must(os.ReadFile("testdata/odd.sql"))))
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		to := journaltest.Open(t, databaseURL)
		i := run(t, source, to.Store, func(c *prototype.Config) {
			c.Released = map[string]money.Digits{"pos_cancelled": "4.25", "pos_much": "10"}
		})
		for id, want := range map[string][]string{
			"inst_a": {
				"taken", "changed region_added EU_UK is added, which tmpl_country has", "changed vertical_added TRADE_FINANCE is added, which tmpl_country has",
				"changed region_added SG is added, which pol_sg has", "changed region_added UAE is added, which pol_uae has",
			},
			"inst_b":        {"left_out invalid_input name must not contain control characters"},
			"tmpl_b":        {"left_out institution_left_out its institution inst_b was left out"},
			"ak_b":          {"left_out institution_left_out its institution inst_b was left out"},
			"inst_c":        {"taken", "changed verticals_none it has no verticals, and gets all"},
			"tmpl_ok":       {"taken", "changed config_bound_zero config.minAmount is 0, and no bound here", `changed config_member config.onchain, {"enabled": true}, means nothing here`, "changed config_member config.uniqueExternalReference, true, means nothing here"},
			"tmpl_code":     {"left_out invalid_input code must be one of CONSTR_ESCROW, CONSTR_RETAINAGE, TF_INVOICE, TF_LC"},
			"ast_code":      {"left_out asset_template_left_out its asset_template tmpl_code was left out"},
			"pos_asset":     {"left_out asset_left_out its asset ast_code was left out"},
			"tmpl_country":  {"left_out invalid_input config.country must be an ISO 3166-1 alpha-2 country code, like DE"},
			"ast_big":       {"taken"},
			"ast_huge":      {"taken", "changed metadata its metadata are left out, as they must have at most 65536 bytes"},
			"pos_cents":     {"left_out invalid_input amount has more decimals than the 2 of USD"},
			"pos_yen":       {"left_out invalid_input amount has more decimals than the 0 of JPY"},
			"pos_zero":      {"left_out invalid_input amount must be greater than 0"},
			"pos_currency":  {"left_out template_currency The asset's template asks for the currency USD."},
			"pos_holder":    {"left_out invalid_input holderReference must not contain control characters"},
			"pos_broken":    {"left_out events_broken its events lead to CREATED, and it is FUNDED"},
			"pos_gap":       {"left_out events_broken its events do not follow each other: ple_gap1 does not begin in CREATED"},
			"ple_gap1":      {"left_out position_left_out its position pos_gap was left out"},
			"pos_part":      {"left_out released_amount_unknown how much of it was released in part is not in the prototype: give the amount with --released"},
			"ple_part2":     {"left_out position_left_out its position pos_part was left out"},
			"ple_done1":     {"taken", "changed reason its reason is in its metadata, as it is none here"},
			"ple_done2":     {"replaced no_amount the partial release of pos_done at 2025-04-03T09:00:00.500000Z has no amount; its money is in another release"},
			"ple_much2":     {"left_out transition_amount pos_much stays before it: A partial release must leave something of the 10.00 USD that are held; to release all, go to RELEASED."},
			"pos_over":      {"taken", "changed tenor_over its tenor ended at 2025-03-31T09:00:00.123000Z, of which the prototype made nothing: here it expires 30 days after the import"},
			"led_alone":     {`left_out ledger_alone no event of pos_third says that it went from "CREATED" to "FUNDED"`},
			"led_left":      {"left_out position_left_out its position pos_zero was left out"},
			"led_told":      {"replaced journal the entries of the position and its events are the ledger"},
			"pol_sg":        {"taken"},
			"pol_us":        {"left_out policy_allows_nothing its allowedCurrencies are none, so it let no position pass; no policy here says that"},
			"pol_uae":       {"left_out invalid_input position.minAmount must have at most 4 decimals"},
			"ak_live":       {`replaced new_key_needed the secret of "ops" is not known here: issue a new admin key`},
			"ak_gone":       {"replaced revoked it was revoked"},
			"pos_cancelled": {"taken"},
		} {
			if diff := cmp.Diff(want, i.of(id)); diff != "" {
				t.Errorf("lines on %s, wanted (-) and told (+):\n%s", id, diff)
			}
		}

		made := positions(t, to.Store)
		for reference, want := range map[string]string{
			"pos_third": "0.30 CREATED 0.00 0.00", "pos_most": "1000000000000000.00 CREATED 0.00 0.00", "pos_done": "10.00 RELEASED 10.00 0.00",
			"pos_cancelled": "10.00 CANCELLED 4.25 5.75", "pos_much": "10.00 FUNDED 0.00 0.00", "pos_over": "10.00 FUNDED 0.00 0.00", "pos_due": "10.00 CREATED 0.00 0.00",
		} {
			p := made[reference]
			if got := fmt.Sprint(p.Amount.Format(p.Currency), " ", p.State, " ", p.Released.Format(p.Currency), " ", p.Refunded.Format(p.Currency)); got != want {
				t.Errorf("%s is %s, want %s", reference, got, want)
			}
			delete(made, reference)
		}
		if len(made) > 0 {
			t.Errorf("there are other positions: %v", made)
		}
		checkOrigins(t, to.Store, i)
	})
}

// checkOrigins looks at what metadata keep of the prototype.
func checkOrigins(t *testing.T, s *store.Store, i imported) {
	t.Helper()
	var of escrow.InstitutionID
	parse(t, &of, i.newID(t, prototype.Institutions, "inst_a"))
	got := make(map[string]string)
	for _, id := range []string{"ast_ok", "ast_tf", "ast_big"} {
		var asset escrow.AssetID
		parse(t, &asset, i.newID(t, prototype.Assets, id))
		got[id] = string(must(s.Asset(t.Context(), of, asset)).Metadata)
	}
	for _, id := range []string{"pos_third", "pos_done"} {
		var position escrow.PositionID
		parse(t, &position, i.newID(t, prototype.Positions, id))
		found := must(s.WithEvents(t.Context(), must(s.Position(t.Context(), of, position))))
		got[id] = string(found.Metadata)
		for n, event := range found.Events[1:] {
			got[fmt.Sprint(id, n+1)] = event.Reason + string(event.Metadata)
		}
	}
	want := map[string]string{
		"ast_ok":    `{"prototype":{"id":"ast_ok","createdAt":"2025-03-01T00:00:00.000000Z","updatedAt":"2025-03-02T00:00:00.000000Z","metadata":{"x":1.50,"prototype":"taken"}}}`,
		"ast_tf":    `{"x":[1],"prototype":{"id":"ast_tf","createdAt":"2025-03-01T00:00:00.000000Z","updatedAt":"2025-03-02T00:00:00.000000Z"}}`,
		"ast_big":   `{"x":"` + strings.Repeat("x", 65000) + `","prototype":{"id":"ast_big","createdAt":"2025-03-01T00:00:00.000000Z","updatedAt":"2025-03-02T00:00:00.000000Z"}}`,
		"pos_third": `{"prototype":{"id":"pos_third","createdAt":"2025-03-01T09:00:00.123000Z","updatedAt":"2025-03-02T00:00:00.000000Z","externalReference":"INV-1"}}`,
		"pos_done":  `{"prototype":{"id":"pos_done","createdAt":"2025-03-01T09:00:00.123000Z","updatedAt":"2025-03-02T00:00:00.000000Z"}}`,
		"pos_done1": `{"prototype":{"id":"ple_done1","at":"2025-04-02T09:00:00.500000Z","actor":"ak_live","reason":"first\nsecond","metadata":{"wire":"W","prototype":1}}}`,
		"pos_done2": `all{"wire":2.50,"prototype":{"id":"ple_done3","at":"2025-04-04T09:00:00.500000Z"}}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata wanted (-) and kept (+):\n%s", diff)
	}
}

func parse(t *testing.T, id interface{ UnmarshalText([]byte) error }, text string) {
	t.Helper()
	if err := id.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
}
