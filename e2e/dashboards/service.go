package main

// The metrics of requests.
const (
	requests = "escrowgrid_http_requests_total"
	duration = "escrowgrid_http_request_duration_seconds"
)

// api leaves out what is not asked by clients of the API: a server that is about to stop
// answers /ready with 503, as it should.
const api = `route!~"/health|/ready|/metrics|/openapi.json|/docs.*|unmatched|preflight"`

func service() board {
	// le is "1" or "1.0", as the version of Prometheus has it.
	good := func(le string) string {
		return rate("", duration+"_bucket", api, `le=~"`+le+`"`) + " / " + rate("", duration+"_count", api)
	}
	return board{
		name: "service", title: "EscrowGrid: service", from: "now-1h", refresh: "30s", variables: serverVariables(),
		about: "What clients see: how much they ask, how fast it is answered, and what is refused or fails.",
		rows: []row{
			{"Objectives", []panel{
				{
					title: "Instances", unit: "none", kind: number, queries: []query{{expr: "count(" + of("escrowgrid_build_info") + ")"}},
					help: "Servers that answer Prometheus. It should be the number that you run. A missing one has ended, or cannot be reached.",
				},
				{
					title: "Requests", unit: "reqps", kind: number, queries: []query{{expr: rate("", requests, api)}},
					help: "API requests per second. What is normal is your own pattern of the day; a sudden zero means that clients cannot reach the servers.",
				},
				{
					title: "Answered without a failure", unit: "percentunit", kind: number, limit: 0.999, below: true,
					queries: []query{{expr: "1 - " + rate("", requests, api, `status=~"5.."`) + " / " + rate("", requests, api)}},
					help:    "The share of requests whose status is below 500. The objective is 99.9 %. Below it, look at the errors by code.",
				},
				{
					title: "Answered within 300 ms", unit: "percentunit", kind: number, limit: 0.95, below: true, queries: []query{{expr: good("0.3")}},
					help: "The objective is 95 %. Below it, look at the queue and the duration of groups on the engine's dashboard.",
				},
				{
					title: "Answered within 1 s", unit: "percentunit", kind: number, limit: 0.99, below: true, queries: []query{{expr: good("1|1[.]0")}},
					help: "The objective is 99 %. Below it, look at the queue and the duration of groups on the engine's dashboard.",
				},
				{
					title: "In flight", unit: "none", kind: number, queries: []query{{expr: sum("", of("escrowgrid_http_requests_in_flight"))}},
					help: "Requests in progress: about the rate times the duration. If it only grows, the database does not answer.",
				},
			}},
			{"Requests", []panel{
				{
					title: "Requests by route", unit: "reqps", stacked: true, queries: []query{{expr: active("method, route", requests), legend: "{{method}} {{route}}"}},
					help: "Which parts of the API are used. A route that is new here, or gone, means that a client has changed.",
				},
				{
					title: "Requests by status", unit: "reqps", stacked: true, queries: []query{{expr: rate("status", requests), legend: "{{status}}"}},
					help: "2xx is work, 4xx is what clients did wrong, 429 is the rate limit, 5xx is the servers' fault. There should be no 5xx.",
				},
				{
					title: "Share of failures", unit: "percentunit", limit: 0.001,
					queries: []query{{expr: rate("", requests, api, `status=~"5.."`) + " / " + rate("", requests, api), legend: "5xx"}},
					help:    "0 is normal; the objective allows 0.1 %. The codes are beside it; the log has each failed request with its request id.",
				},
				{
					title: "Errors by code", unit: "reqps", stacked: true, queries: []query{{expr: active("code", "escrowgrid_http_errors_total"), legend: "{{code}}"}},
					help: "Error answers; 0 without a name means none. docs/errors.md explains each. overloaded and store_unavailable need an operator; a wave of invalid_api_key or forbidden is somebody who tries keys.",
				},
				{
					title: "Refused commands by code", unit: "ops", stacked: true, queries: []query{{expr: rate("code", "escrowgrid_commands_refused_total"), legend: "{{code}}"}},
					help: "Commands, including items of batches, that a rule refused. policy_… and template_… are the rules at work. A jump often means that a client has changed.",
				},
				{
					title: "In flight by instance", unit: "none", queries: []query{{expr: sum("instance", of("escrowgrid_http_requests_in_flight")), legend: "{{instance}}"}},
					help: "The instances should be alike. One with far more is slow, or the load balancer prefers it.",
				},
			}},
			{"How long requests take", []panel{
				{
					title: "All routes of the API", unit: "s", queries: quantiles(duration, api), limit: 0.3,
					help: "p95 should stay below 300 ms, the line, and p99 below 1 s. If all rise together, look at the engine; if only p99 rises, at the database.",
				},
				{
					title: "p50 by route", unit: "s", queries: []query{{expr: quantile(0.5, "method, route", duration, api), legend: "{{method}} {{route}}"}},
					help: "The usual duration. Writes wait for a commit to the disk, so they take longer than reads.",
				},
				{
					title: "p95 by route", unit: "s", limit: 0.3, queries: []query{{expr: quantile(0.95, "method, route", duration, api), legend: "{{method}} {{route}}"}},
					help: "The objective is 300 ms, the line. Batches of many positions and statements over long periods naturally take longer.",
				},
				{
					title: "p99 by route", unit: "s", limit: 1, queries: []query{{expr: quantile(0.99, "method, route", duration, api), legend: "{{method}} {{route}}"}},
					help: "The objective is 1 s, the line. With few requests, one slow request is already the 99th percentile.",
				},
			}},
		},
	}
}
