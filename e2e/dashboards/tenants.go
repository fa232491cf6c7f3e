package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// No metric has a tenant in its labels, so what concerns single institutions is asked of
// the database, as the role of deploy/monitoring/grafana/role.sql. None of the statements
// may scan what grows with use: each goes along an index, or has a bound.

// byEntries counts entries in the time range. Counting them would read them all, so the
// sequence at both ends of the range is searched for: times rise with the sequence, and
// each step of the search is one look-up by the primary key, for each journal.
const byEntries = `
WITH RECURSIVE ends AS (
  SELECT h.institution_id, h.sequence, e.which, e.at
  FROM journal_heads h
  CROSS JOIN (VALUES ('from', $__timeFrom()::timestamptz), ('to', $__timeTo()::timestamptz)) e (which, at)
  WHERE h.sequence > 0 AND h.last_at >= $__timeFrom()::timestamptz
), search AS (
  -- Entry low is before the end, or 0; entry high is not, or is behind the last.
  SELECT institution_id, which, at, 0::bigint AS low, sequence + 1 AS high FROM ends
  UNION ALL
  SELECT s.institution_id, s.which, s.at,
    CASE WHEN middle.at < s.at THEN (s.low + s.high) / 2 ELSE s.low END,
    CASE WHEN middle.at < s.at THEN s.high ELSE (s.low + s.high) / 2 END
  FROM search s
  CROSS JOIN LATERAL (
    SELECT j.at FROM journal_entries j
    WHERE j.institution_id = s.institution_id AND j.sequence = (s.low + s.high) / 2
    LIMIT 1 -- Or a planner might join, and read the journals as a whole.
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

// byActivity reads the heads, of which there is one for each institution.
const byActivity = `
SELECT i.name AS institution, h.last_at AS "last activity", h.sequence AS entries
FROM journal_heads h JOIN institutions i ON i.id = h.institution_id
ORDER BY h.last_at DESC LIMIT 20`

// heldByCurrency reads the balances of each journal's last checkpoint.
const heldByCurrency = `
SELECT currency, sum((accounts ->> 'ESCROW')::numeric) AS "held, in minor units", count(*) AS institutions
FROM journal_heads h
CROSS JOIN LATERAL (
  SELECT c.balances FROM journal_checkpoints c
  WHERE c.institution_id = h.institution_id ORDER BY c.size DESC LIMIT 1
) last
CROSS JOIN LATERAL json_each(last.balances::json) AS b (currency, accounts)
GROUP BY currency ORDER BY currency`

// byState counts an institution's positions along the index of their states, each state
// up to a bound.
const byState = `
SELECT s.state, counted.positions
FROM (VALUES ('CREATED'), ('FUNDED'), ('PARTIALLY_RELEASED'), ('RELEASED'), ('CANCELLED'), ('EXPIRED')) s (state)
CROSS JOIN LATERAL (
  SELECT count(*) AS positions FROM (
    SELECT FROM positions p WHERE p.institution_id = '$institution'::uuid AND p.state = s.state LIMIT 10000
  ) bounded
) counted`

// institutionChoices are the most recent ones.
const institutionChoices = `
SELECT i.name AS __text, i.id::text AS __value
FROM journal_heads h JOIN institutions i ON i.id = h.institution_id
ORDER BY h.last_at DESC LIMIT 1000`

func tenants() board {
	happened := func(kind string) string {
		return sum("", "increase("+of("escrowgrid_journal_entries_total", `kind="`+kind+`"`)+"[$__rate_interval])")
	}
	institution := dashboard.NewQueryVariableBuilder("institution").Label("Institution").Query(dashboard.StringOrMap{String: new(institutionChoices)}).
		Datasource(databaseSource()).Refresh(dashboard.VariableRefreshOnTimeRangeChanged)
	return board{
		name: "tenants", title: "EscrowGrid: tenants", from: "now-6h", refresh: "1m", variables: append(serverVariables(), databaseVariable(), institution),
		about: "Which institutions there are and what they do. Metrics never name one; the lists come from PostgreSQL, and are empty if the server is on SQLite.",
		rows: []row{
			{"All institutions, by the servers' metrics", []panel{
				{
					title: "New institutions", unit: "none", queries: []query{{expr: happened("INSTITUTION_CREATED"), legend: "created"}},
					help: "Only the operator creates them. One that you do not know means that somebody else has the root key: change it.",
				},
				{
					title: "API keys", unit: "none", queries: []query{
						{expr: happened("API_KEY_CREATED"), legend: "made"},
						{expr: happened("API_KEY_ROTATED"), legend: "rotated"},
						{expr: happened("API_KEY_REVOKED"), legend: "revoked"},
					},
					help: "Few, and expected. Many revoked at once is an incident at a tenant, or a mistake: ask them.",
				},
				{
					title: "Refused requests by code", unit: "reqps", stacked: true,
					queries: []query{{expr: rate("code", "escrowgrid_http_errors_total", `code=~"invalid_api_key|forbidden|rate_limited"`), legend: "{{code}}"}},
					help:    "Refused requests. A wave of invalid_api_key is somebody who tries keys; the security events have the addresses.",
				},
				{
					title: "Rate limited", unit: "reqps", queries: []query{{expr: rate("", "escrowgrid_http_errors_total", `code="rate_limited"`), legend: "429"}},
					help: "0 is normal. A tenant that is limited for long must slow down, or needs a higher RATE_LIMIT_RPS; the log names its key.",
				},
			}},
			{"Institutions, by the database", []panel{
				{
					title: "Most entries in the time range", unit: "none", kind: listing, queries: []query{{sql: byEntries}},
					help: "Accepted commands of the 20 busiest, with their share of all. One with nearly all of them sets the pace: its journal takes one group at a time.",
				},
				{
					title: "Last activity", unit: "none", kind: listing, queries: []query{{sql: byActivity}},
					help: "The 20 that were active last, with all their entries. A tenant that works every day and is missing here has a broken connection.",
				},
				{
					title: "Held by currency", unit: "none", kind: listing, queries: []query{{sql: heldByCurrency}},
					help: "What positions of all institutions hold, by the last checkpoints, so up to CHECKPOINT_INTERVAL behind. Whole numbers of the currency's minor unit, such as cents for USD.",
				},
				{
					title: "Positions of the institution by state", unit: "none", kind: listing, queries: []query{{sql: byState}},
					help: "Of the institution chosen above. Each state is counted up to 10000, which means that many or more, so that the query stays cheap.",
				},
			}},
		},
	}
}
