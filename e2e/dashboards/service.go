package main

// The metrics of requests.
const (
	requests = "escrowgrid_http_requests_total"
	duration = "escrowgrid_http_request_duration_seconds"
)

// api selects the requests of the API's clients. It leaves out, for example, /ready, which
// a server that is about to stop answers with 503 by design.
const api = `route!~"/health|/ready|/metrics|/openapi.json|/docs.*|unmatched|preflight"`

func service() board {
	return board{
		name:  "service",
		title: "EscrowGrid: service",
		about: "What clients see: how many requests they send, how fast the answers come, and which requests are " +
			"refused or fail.",
		from:      "now-1h",
		refresh:   "30s",
		variables: serverVariables(),
		rows:      []row{objectivesRow(), requestsRow(), durationsRow()},
	}
}

// failureShare is the share of requests whose status is at least 500.
func failureShare() string {
	return rate("", requests, api, `status=~"5.."`) + " / " + rate("", requests, api)
}

// shareWithin is the share of requests within a bucket of the histogram. le is a regular
// expression, because some versions of Prometheus write 1 as 1.0.
func shareWithin(le string) string {
	return rate("", duration+"_bucket", api, `le=~"`+le+`"`) + " / " + rate("", duration+"_count", api)
}

func objectivesRow() row {
	return row{title: "Objectives", panels: []panel{
		{
			title:   "Instances",
			unit:    "none",
			kind:    number,
			queries: []query{{expr: "count(" + selected("escrowgrid_build_info") + ")"}},
			help: "Servers that Prometheus reaches. It should be the number that you run. " +
				"A missing one has ended or cannot be reached.",
		},
		{
			title:   "Requests",
			unit:    "reqps",
			kind:    number,
			queries: []query{{expr: rate("", requests, api)}},
			help: "Requests of the API per second. Your own pattern of the day is normal; " +
				"a sudden zero means that clients do not reach the servers.",
		},

		{
			title:   "Answered without a failure",
			unit:    "percentunit",
			kind:    number,
			limit:   0.999,
			below:   true,
			queries: []query{{expr: "1 - " + failureShare()}},
			help: "The share of requests with a status below 500. The objective is 99.9 %. " +
				"Below it, look at the errors by code.",
		},
		{
			title:   "Answered within 300 ms",
			unit:    "percentunit",
			kind:    number,
			limit:   0.95,
			below:   true,
			queries: []query{{expr: shareWithin("0.3")}},
			help: "The objective is 95 %. Below it, look at the queue and the duration of groups " +
				"on the engine's dashboard.",
		},
		{
			title:   "Answered within 1 s",
			unit:    "percentunit",
			kind:    number,
			limit:   0.99,
			below:   true,
			queries: []query{{expr: shareWithin("1|1[.]0")}},
			help: "The objective is 99 %. Below it, look at the queue and the duration of groups " +
				"on the engine's dashboard.",
		},

		{
			title:   "In flight",
			unit:    "none",
			kind:    number,
			queries: []query{{expr: current("", "escrowgrid_http_requests_in_flight")}},
			help: "Requests without an answer yet. It is about the rate times the duration; " +
				"if it only grows, the database does not answer.",
		},
	}}
}

func requestsRow() row {
	return row{title: "Requests", panels: []panel{
		{
			title:   "Requests by route",
			unit:    "reqps",
			stacked: true,
			queries: []query{{expr: active("method, route", requests), legend: "{{method}} {{route}}"}},
			help: "Which parts of the API clients use. A route that appears or disappears is " +
				"a client that has changed.",
		},
		{
			title:   "Requests by status",
			unit:    "reqps",
			stacked: true,
			queries: []query{{expr: rate("status", requests), legend: "{{status}}"}},
			help: "2xx is work, 4xx is a mistake of a client, 429 is the rate limit, 5xx is a failure " +
				"of the server. There should be no 5xx.",
		},

		{
			title:   "Share of failures",
			unit:    "percentunit",
			limit:   0.001,
			queries: []query{{expr: failureShare(), legend: "5xx"}},
			help: "0 is normal, and the objective allows 0.1 %. The next panel has the codes; " +
				"the log has each such request with its request id.",
		},
		{
			title:   "Errors by code",
			unit:    "reqps",
			stacked: true,
			queries: []query{{expr: active("code", "escrowgrid_http_errors_total"), legend: "{{code}}"}},
			help: "Errors in answers; a 0 without a name means none. docs/errors.md explains each code. " +
				"overloaded and store_unavailable need an operator; many invalid_api_key or permission_missing " +
				"mean that somebody tries keys.",
		},

		{
			title:   "Refused commands by code",
			unit:    "ops",
			stacked: true,
			queries: []query{{expr: rate("code", "escrowgrid_commands_refused_total"), legend: "{{code}}"}},
			help: "Commands, including items of batches, that a rule refused. policy_… and template_… are " +
				"the institutions' own rules. A jump often follows a change of a client.",
		},
		{
			title:   "In flight by instance",
			unit:    "none",
			queries: []query{{expr: current("instance", "escrowgrid_http_requests_in_flight"), legend: "{{instance}}"}},
			help: "The instances should be alike. One with far more requests is slow, or the balancer " +
				"prefers it.",
		},
	}}
}

func durationsRow() row {
	byRoute := func(q float64) []query {
		return []query{{expr: quantile(q, "method, route", duration, api), legend: "{{method}} {{route}}"}}
	}
	return row{title: "How long requests take", panels: []panel{
		{
			title:   "All routes of the API",
			unit:    "s",
			limit:   0.3,
			queries: quantiles(duration, api),
			help: "p95 should stay below 300 ms, the line, and p99 below 1 s. When all rise together, " +
				"look at the engine; when p99 rises alone, look at the database.",
		},
		{
			title:   "p50 by route",
			unit:    "s",
			queries: byRoute(0.5),
			help: "The usual duration. Writes wait until they are on the disk, so they take longer " +
				"than reads.",
		},

		{
			title:   "p95 by route",
			unit:    "s",
			limit:   0.3,
			queries: byRoute(0.95),
			help: "The objective is 300 ms, the line. Batches of many positions and statements of long " +
				"periods naturally take longer.",
		},
		{
			title:   "p99 by route",
			unit:    "s",
			limit:   1,
			queries: byRoute(0.99),
			help: "The objective is 1 s, the line. With few requests, one slow request is already " +
				"the 99th percentile.",
		},
		{
			title:   "Large answers that wait",
			unit:    "none",
			queries: []query{{expr: selected("escrowgrid_http_large_answers_waiting"), legend: "{{instance}}"}},
			help: "Requests for lists and statements that wait until others were sent, for there is no room for more " +
				"of them in memory. More than moments above zero: give the servers more memory, or look for slow " +
				"readers.",
		},
	}}
}
