package main

import "fmt"

// loadTest is a run as k6 saw it beside what the server's own metrics say. k6 sends its
// metrics with the name of the run as the label testid.
func loadTest() board {
	seen := func(metric string) string { return fmt.Sprintf(`%s{testid=~"$run"}`, metric) }
	counted := func(by, metric string) string { return sum(by, "rate("+seen(metric)+"[$__rate_interval])") }
	runs := labelVariable("run", "Run", "label_values(k6_http_reqs_total, testid)")
	return board{
		name: "load-test", title: "EscrowGrid: load test", from: "now-15m", refresh: "5s",
		variables: append(serverVariables(), runs),
		about:     "A run of escrowgrid loadtest --prometheus-url: on the left what its clients saw, on the right what the server says of the same time.",
		rows: []row{
			{"Load: clients and server", []panel{
				{
					title: "k6: requests by endpoint", unit: "reqps", stacked: true, queries: []query{{expr: counted("name", "k6_http_reqs_total"), legend: "{{name}}"}},
					help: "What was sent. It should match the profile; less means that clients were busy: see dropped iterations.",
				},
				{
					title: "Server: requests by route", unit: "reqps", stacked: true, queries: []query{{expr: active("method, route", requests), legend: "{{method}} {{route}}"}},
					help: "What arrived. It should be the same as on the left; more is load from others.",
				},
				{
					title: "k6: how long requests took", unit: "s", limit: 0.3, queries: []query{
						{expr: "max(" + seen("k6_http_req_duration_p50") + ")", legend: "p50"},
						{expr: "max(" + seen("k6_http_req_duration_p95") + ")", legend: "p95"},
						{expr: "max(" + seen("k6_http_req_duration_p99") + ")", legend: "p99"},
					},
					help: "The slowest endpoint's percentiles since the beginning of the run, including the network. The line is the objective for p95.",
				},
				{
					title: "Server: how long requests took", unit: "s", limit: 0.3, queries: quantiles(duration, api),
					help: "Without the network, over the last moments. If the left is far above it, the network, the load balancer or k6 itself is the limit.",
				},
				{
					title: "k6: clients", unit: "none", queries: []query{
						{expr: sum("", seen("k6_vus")), legend: "at work"},
						{expr: sum("", seen("k6_vus_max")), legend: "there are"},
					},
					help: "Virtual users. When all are busy, k6 can send no more load: the server is slow, or --vus is too small.",
				},
				{
					title: "Server: in flight and waiting", unit: "none", queries: []query{
						{expr: sum("", of("escrowgrid_http_requests_in_flight")), legend: "in flight"},
						{expr: sum("", of("escrowgrid_queue_commands")), legend: "commands in the queue"},
					},
					help: "It follows the busy clients. A queue that only grows means more load than the database takes.",
				},
			}},
			{"Outcome: clients and server", []panel{
				{
					title: "k6: operations", unit: "ops", stacked: true, queries: []query{{expr: counted("operation", "k6_operations_ok_total"), legend: "{{operation}} done"}},
					help: "What clients wanted and got, repetitions counted once.",
				},
				{
					title: "Server: entries by kind", unit: "ops", stacked: true, queries: []query{{expr: rate("kind", "escrowgrid_journal_entries_total"), legend: "{{kind}}"}},
					help: "What was entered into journals. At its end the run itself compares every acknowledged operation with them.",
				},
				{
					title: "k6: what went wrong", unit: "ops", queries: []query{
						{expr: orZero(counted("", "k6_operations_refused_total")), legend: "refused"},
						{expr: orZero(counted("", "k6_operations_unknown_total")), legend: "without an answer"},
						{expr: orZero(counted("", "k6_retries_throttled_total")), legend: "repeated: throttled"},
						{expr: orZero(counted("", "k6_retries_connection_total")), legend: "repeated: connection"},
						{expr: orZero(counted("", "k6_dropped_iterations_total")), legend: "dropped iterations"},
					},
					help: "0 is normal below the limit. docs/load-testing.md says what counts as what, and what each of them means.",
				},
				{
					title: "Server: errors by code", unit: "reqps", stacked: true, queries: []query{{expr: active("code", "escrowgrid_http_errors_total"), legend: "{{code}}"}},
					help: "What the server refused, and why. overloaded is its queue, rate_limited the key's limit; 0 without a name means none.",
				},
				{
					title: "Server: duration of a group", unit: "s", queries: quantiles("escrowgrid_group_duration_seconds"),
					help: "The time of a transaction with its commit. If it rises with the load, the disk or the database is the limit.",
				},
				{
					title: "Server: processors in use", unit: "none", queries: []query{{expr: rate("instance", "process_cpu_seconds_total"), legend: "{{instance}}"}},
					help: "1 is one processor. When all of the machine's processors are in use, they are the limit; k6 on the same machine takes its share of them.",
				},
			}},
		},
	}
}
