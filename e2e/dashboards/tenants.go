package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// No metric has a label for the tenant, so panels about single institutions query the
// database, as the role of deploy/monitoring/grafana/role.sql. A statement must not scan a
// table that grows with use: it uses an index, or has a bound.

// byEntries counts entries in the time range. To count them without reading them all, it
// finds the sequences at both ends of the range by binary search, because times rise with
// the sequence. Each step of the search is one look-up by the primary key for each journal.
const byEntries = `
WITH RECURSIVE ends AS (
  SELECT h.institution_id, h.sequence, e.which, e.at
  FROM journal_heads h
  CROSS JOIN (VALUES ('from', $__timeFrom()::timestamptz), ('to', $__timeTo()::timestamptz)) e (which, at)
  WHERE h.sequence > 0 AND h.last_at >= $__timeFrom()::timestamptz
), search AS (
  -- Entry low is 0 or before the end; entry high is not, or is one past the head.
  SELECT institution_id, which, at, 0::bigint AS low, sequence + 1 AS high FROM ends
  UNION ALL
  SELECT s.institution_id, s.which, s.at,
    CASE WHEN middle.at < s.at THEN (s.low + s.high) / 2 ELSE s.low END,
    CASE WHEN middle.at < s.at THEN s.high ELSE (s.low + s.high) / 2 END
  FROM search s
  CROSS JOIN LATERAL (
    SELECT j.at FROM journal_entries j
    WHERE j.institution_id = s.institution_id AND j.sequence = (s.low + s.high) / 2
    LIMIT 1 -- Without it, the planner might use a join that reads whole journals.
  ) middle
  WHERE s.high - s.low > 1
), counted AS (
  SELECT institution_id, max(low) FILTER (WHERE which = 'to') - max(low) FILTER (WHERE which = 'from') AS entries
  FROM search WHERE high - low = 1 GROUP BY institution_id
)
SELECT i.name AS institution, c.entries, c.entries / sum(c.entries) OVER () AS share
FROM counted c JOIN institutions i ON i.id = c.institution_id
WHERE c.entries > 0
ORDER BY c.entries DESC LIMIT 20`

// byActivity reads the heads: one row for each institution.
const byActivity = `
SELECT i.name AS institution, h.last_at AS "last activity", h.sequence AS entries
FROM journal_heads h JOIN institutions i ON i.id = h.institution_id
ORDER BY h.last_at DESC LIMIT 20`

// heldByCurrency reads the balances of each journal's last checkpoint.
const heldByCurrency = `
SELECT currency, sum((accounts ->> 'ESCROW')::numeric) AS held, count(*) AS institutions
FROM journal_heads h
CROSS JOIN LATERAL (
  SELECT c.balances FROM journal_checkpoints c
  WHERE c.institution_id = h.institution_id ORDER BY c.size DESC LIMIT 1
) last
CROSS JOIN LATERAL json_each(last.balances::json) AS b (currency, accounts)
GROUP BY currency ORDER BY currency`

// byState counts an institution's positions by the index on their state, each state up to
// a bound.
const byState = `
SELECT s.state, counted.positions
FROM (VALUES ('CREATED'), ('FUNDED'), ('PARTIALLY_RELEASED'), ('RELEASED'), ('CANCELLED'), ('EXPIRED')) s (state)
CROSS JOIN LATERAL (
  SELECT count(*) AS positions FROM (
    SELECT FROM positions p WHERE p.institution_id = '$institution'::uuid AND p.state = s.state LIMIT 10000
  ) bounded
) counted`

// institutionChoices lists the institutions that were active last, as the choices of a
// variable.
const institutionChoices = `
SELECT i.name AS __text, i.id::text AS __value
FROM journal_heads h JOIN institutions i ON i.id = h.institution_id
ORDER BY h.last_at DESC LIMIT 1000`

func tenants() board {
	institution := dashboard.NewQueryVariableBuilder("institution").
		Label("Institution").
		Query(dashboard.StringOrMap{String: new(institutionChoices)}).
		Datasource(databaseSource()).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged)

	return board{
		name:  "tenants",
		title: "EscrowGrid: tenants",
		about: "Which institutions there are and what they do. Metrics never name an institution; the tables come " +
			"from PostgreSQL, and are empty where the server runs on SQLite.",
		from:      "now-6h",
		refresh:   "1m",
		variables: append(serverVariables(), databaseVariable(), institution),
		rows:      []row{allInstitutionsRow(), institutionsRow()},
	}
}

func allInstitutionsRow() row {
	entries := func(kind string) string {
		return increase("", "escrowgrid_journal_entries_total", `kind="`+kind+`"`)
	}
	return row{title: "All institutions, by the servers' metrics", panels: []panel{
		{
			title:   "New institutions",
			unit:    "none",
			queries: []query{{expr: entries("INSTITUTION_CREATED"), legend: "created"}},
			help: "Only the operator creates institutions. One that you do not know means that somebody else has " +
				"the root key: change it.",
		},
		{
			title: "API keys",
			unit:  "none",
			queries: []query{
				{expr: entries("API_KEY_CREATED"), legend: "created"},
				{expr: entries("API_KEY_ROTATED"), legend: "rotated"},
				{expr: entries("API_KEY_REVOKED"), legend: "revoked"},
			},
			help: "Few, and expected. Many revoked keys at once mean an incident at a tenant, or a mistake: " +
				"ask the tenant.",
		},

		{
			title:   "Refused requests by code",
			unit:    "reqps",
			stacked: true,
			queries: []query{{
				expr: rate("code", "escrowgrid_http_errors_total",
					`code=~"invalid_api_key|forbidden|permission_missing|key_restricted|rate_limited"`),
				legend: "{{code}}",
			}},
			help: "Refusals because of the key. Many invalid_api_key mean that somebody tries keys; the security " +
				"events have the addresses.",
		},
		{
			title: "Rate limited",
			unit:  "reqps",
			queries: []query{{
				expr:   rate("", "escrowgrid_http_errors_total", `code="rate_limited"`),
				legend: "429",
			}},
			help: "0 is normal. A tenant that is limited for long must slow down or needs a higher RATE_LIMIT_RPS; " +
				"the log names its key.",
		},
	}}
}

func institutionsRow() row {
	return row{title: "Institutions, by the database", panels: []panel{
		{
			title:   "Most entries in the time range",
			unit:    "none",
			kind:    listing,
			queries: []query{{sql: byEntries}},
			help: "Accepted commands of the 20 busiest institutions, with their share of all. One with nearly all of " +
				"them determines the throughput: its journal takes one group at a time.",
		},
		{
			title:   "Last activity",
			unit:    "none",
			kind:    listing,
			queries: []query{{sql: byActivity}},
			help: "The 20 institutions that were active last, with their number of entries. A tenant that works " +
				"every day and is missing here cannot reach the servers.",
		},

		{
			title:   "Held by currency",
			unit:    "none",
			kind:    listing,
			queries: []query{{sql: heldByCurrency}},
			help: "What the positions of all institutions hold, by their last checkpoints, so up to " +
				"CHECKPOINT_INTERVAL late.",
		},
		{
			title:   "Positions of the institution by state",
			unit:    "none",
			kind:    listing,
			queries: []query{{sql: byState}},
			help: "Positions of the institution chosen above. Each state is counted up to 10000, which stands for " +
				"10000 or more, so that the query stays cheap.",
		},
	}}
}
