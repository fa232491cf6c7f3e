package main

import "fmt"

// loadTest shows a run as k6 saw it beside the server's own metrics. k6 sends its metrics
// with the run's id as the label testid.
func loadTest() board {
	runs := labelVariable("run", "Run", "label_values(k6_http_reqs_total, testid)")
	return board{
		name:  "load-test",
		title: "EscrowGrid: load test",
		about: "A run of escrowgrid loadtest --prometheus-url: what its clients saw on the left, and what the " +
			"servers measured at the same time on the right.",
		from:      "now-15m",
		refresh:   "5s",
		variables: append(serverVariables(), runs),
		rows:      []row{loadRow(), outcomeRow()},
	}
}

// ofRun selects a metric of k6 in the chosen run.
func ofRun(metric string) string { return fmt.Sprintf(`%s{testid=~"$run"}`, metric) }

// rateOfRun is the growth per second of a counter of k6 in the chosen run, summed by
// labels.
func rateOfRun(by, counter string) string {
	return sum(by, "rate("+ofRun(counter)+"[$__rate_interval])")
}

func loadRow() row {
	return row{title: "Load: clients and server", panels: []panel{
		{
			title:   "k6: requests by endpoint",
			unit:    "reqps",
			stacked: true,
			queries: []query{{expr: rateOfRun("name", "k6_http_reqs_total"), legend: "{{name}}"}},
			help: "Requests that were sent. It should be the rate of the profile; less means that the clients were " +
				"busy, see dropped iterations.",
		},
		{
			title:   "Server: requests by route",
			unit:    "reqps",
			stacked: true,
			queries: []query{{expr: active("method, route", requests), legend: "{{method}} {{route}}"}},
			help:    "Requests that arrived. It should be the same as on the left; more is load of others.",
		},

		{
			title: "k6: how long requests took",
			unit:  "s",
			limit: 0.3,
			queries: []query{
				{expr: "max(" + ofRun("k6_http_req_duration_p50") + ")", legend: "p50"},
				{expr: "max(" + ofRun("k6_http_req_duration_p95") + ")", legend: "p95"},
				{expr: "max(" + ofRun("k6_http_req_duration_p99") + ")", legend: "p99"},
			},
			help: "The percentiles of the slowest endpoint since the start of the run, including the network. " +
				"The line is the objective of p95.",
		},
		{
			title:   "Server: how long requests took",
			unit:    "s",
			limit:   0.3,
			queries: quantiles(duration, api),
			help: "The recent percentiles, without the network. If those on the left are far higher, the network, " +
				"the balancer or k6 itself is the limit.",
		},

		{
			title: "k6: clients",
			unit:  "none",
			queries: []query{
				{expr: sum("", ofRun("k6_vus")), legend: "busy"},
				{expr: sum("", ofRun("k6_vus_max")), legend: "all"},
			},
			help: "Virtual users. When all are busy, k6 cannot send more: the server is slow, or --vus is too low.",
		},
		{
			title: "Server: in flight and waiting",
			unit:  "none",
			queries: []query{
				{expr: current("", "escrowgrid_http_requests_in_flight"), legend: "in flight"},
				{expr: current("", "escrowgrid_queue_commands"), legend: "commands in the queue"},
			},
			help: "It follows the busy clients. A queue that only grows is more load than the database takes.",
		},
	}}
}

func outcomeRow() row {
	return row{title: "Outcome: clients and server", panels: []panel{
		{
			title:   "k6: operations",
			unit:    "ops",
			stacked: true,
			queries: []query{{expr: rateOfRun("operation", "k6_operations_ok_total"), legend: "{{operation}} done"}},
			help:    "Operations that were carried out. An operation with retries counts once.",
		},
		{
			title:   "Server: entries by kind",
			unit:    "ops",
			stacked: true,
			queries: []query{{expr: active("kind", "escrowgrid_journal_entries_total"), legend: "{{kind}}"}},
			help: "New entries in the journals. At its end, the run compares every acknowledged operation with the " +
				"journals.",
		},

		{
			title: "k6: what went wrong",
			unit:  "ops",
			queries: []query{
				{expr: orZero(rateOfRun("", "k6_operations_refused_total")), legend: "refused"},
				{expr: orZero(rateOfRun("", "k6_operations_unknown_total")), legend: "without an answer"},
				{expr: orZero(rateOfRun("", "k6_retries_throttled_total")), legend: "retried: throttled"},
				{expr: orZero(rateOfRun("", "k6_retries_connection_total")), legend: "retried: connection"},
				{expr: orZero(rateOfRun("", "k6_dropped_iterations_total")), legend: "dropped iterations"},
			},
			help: "0 is normal below the limit. docs/load-testing.md says what counts as which, and what each means.",
		},
		{
			title:   "Server: errors by code",
			unit:    "reqps",
			stacked: true,
			queries: []query{{expr: active("code", "escrowgrid_http_errors_total"), legend: "{{code}}"}},
			help: "What the server refused, and why. overloaded is a full queue, rate_limited the key's limit; " +
				"a 0 without a name means none.",
		},

		{
			title:   "Server: duration of a group",
			unit:    "s",
			queries: quantiles("escrowgrid_group_duration_seconds"),
			help: "The duration of a transaction with its commit. When it rises with the load, the disk or the " +
				"database is the limit.",
		},
		{
			title:   "Server: processors in use",
			unit:    "none",
			queries: rateByInstance("process_cpu_seconds_total"),
			help: "1 is one processor. If all that the machine has are in use, they are the limit; k6 on the same " +
				"machine uses some of them.",
		},
	}}
}
