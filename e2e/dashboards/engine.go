package main

func engine() board {
	counters := func(by string, of ...[2]string) (queries []query) {
		for _, c := range of {
			queries = append(queries, query{expr: rate(by, c[0]), legend: c[1]})
		}
		return queries
	}
	return board{
		name: "engine", title: "EscrowGrid: engine", from: "now-1h", refresh: "30s", variables: serverVariables(),
		about: "How commands are committed, what the background work does, and what the processes use.",
		rows: []row{
			{"Group commit", []panel{
				{
					title: "Queue", unit: "percentunit", limit: 0.8, most: 1,
					queries: []query{{expr: of("escrowgrid_queue_fullness_ratio"), legend: "{{instance}}"}},
					help:    "How full the fullest queue of each instance is. Near 0 is normal. When it is full, commands of its institutions are answered 503 overloaded: give the database more resources, spread the load, or have clients slow down.",
				},
				{
					title: "Entries by kind", unit: "ops", stacked: true, queries: counters("kind", [2]string{"escrowgrid_journal_entries_total", "{{kind}}"}),
					help: "Accepted commands per second, each of which is an entry of a journal. This is the work that is done.",
				},
				{
					title: "Commands in a group", unit: "none",
					queries: append(quantiles("escrowgrid_group_commands"), query{
						expr: rate("", "escrowgrid_group_commands_sum") + " / " + rate("", "escrowgrid_group_commands_count"), legend: "average",
					}),
					help: "1 on an idle server. It grows with the load, which is how a busy server stays fast. If it stays at GROUP_SIZE, the database is the limit.",
				},
				{
					title: "Duration of a group", unit: "s", queries: quantiles("escrowgrid_group_duration_seconds"),
					help: "From the beginning of a transaction to after its commit; mostly the time of the disk. If it rises while groups stay small, look at the disk and at PostgreSQL's own load.",
				},
				{
					title: "Commits", unit: "ops", queries: counters("instance", [2]string{"escrowgrid_group_duration_seconds_count", "{{instance}}"}),
					help: "Transactions per second by instance. Many more commands than commits is normal under load.",
				},
				{
					title: "Retries and detours", unit: "ops",
					queries: counters("", [2]string{"escrowgrid_group_retries_total", "tried again"}, [2]string{"escrowgrid_groups_stale_total", "begun again"},
						[2]string{"escrowgrid_group_splits_total", "cut in half"}, [2]string{"escrowgrid_commits_unknown_total", "outcome looked up"},
						[2]string{"escrowgrid_commands_dropped_total", "caller gone"}),
					help: "0 is normal, except that several instances for one institution begin some again. Tried again means that the database was away; cut in half is a defect, with a line in the log.",
				},
			}},
			{"Background work", []panel{
				{
					title: "Positions due", unit: "none", limit: 500, queries: []query{{expr: "max by (instance) (" + of("escrowgrid_positions_due") + ")", legend: "{{instance}}"}},
					help: "Positions past their expiresAt at the last look, at most 500. It should fall to 0 within EXPIRY_INTERVAL; if it stays at 500, expiry does not keep up.",
				},
				{
					title: "Positions expired", unit: "ops", queries: counters("instance", [2]string{"escrowgrid_positions_expired_total", "{{instance}}"}),
					help: "What they held is refunded. The number follows from the positions' expiresAt; one instance at a time expires them.",
				},
				{
					title: "Failed rounds", unit: "ops", queries: []query{{expr: rate("duty", "escrowgrid_duty_failures_total"), legend: "{{duty}}"}},
					help: "0 is normal. A failed round is done again; the log says why it failed. If failures go on, look at the database.",
				},
				{
					title: "Security events that were not kept", unit: "ops", queries: counters("instance", [2]string{"escrowgrid_security_events_lost_total", "{{instance}}"}),
					help: "0 is normal. Otherwise more attempts are refused than can be kept: somebody tries hard, or the database does not answer.",
				},
				{
					title: "Root key from new addresses", unit: "none", queries: []query{{
						expr: sum("instance", "increase("+of("escrowgrid_root_key_new_addresses_total")+"[$__rate_interval])"), legend: "{{instance}}",
					}},
					help: "Addresses from which an instance sees the root key for the first time since its start. One after each start is normal; make sure that any other one is yours too.",
				},
				{
					title: "Spans", unit: "ops", queries: counters("", [2]string{"escrowgrid_trace_spans_ended_total", "ended"},
						[2]string{"escrowgrid_trace_spans_sent_total", "sent"}, [2]string{"escrowgrid_trace_exports_failed_total", "requests to the collector that failed"}),
					help: "Empty if traces are not sent. If more spans ended than were sent, the rest are dropped: record a smaller share, or give the collector more resources.",
				},
			}},
			{"Processes", []panel{
				{
					title: "Processors in use", unit: "none", queries: counters("instance", [2]string{"process_cpu_seconds_total", "{{instance}}"}),
					help: "1 is one processor. Near the number of an instance's processors, requests wait for them: add an instance.",
				},
				{
					title: "Goroutines", unit: "none", queries: []query{{expr: sum("instance", of("go_goroutines")), legend: "{{instance}}"}},
					help: "It follows the requests in flight. If it grows without them, there is a leak.",
				},
				{
					title: "Garbage collection", unit: "percentunit", queries: []query{{expr: rate("instance", "go_gc_duration_seconds_sum"), legend: "{{instance}}"}},
					help: "The share of time for which it stopped the program. Far below 1 % is normal.",
				},
				{
					title: "Memory", unit: "bytes", queries: []query{
						{expr: sum("instance", of("process_resident_memory_bytes")), legend: "{{instance}} resident"},
						{expr: sum("instance", of("go_memstats_heap_inuse_bytes")), legend: "{{instance}} heap"},
					},
					help: "It rises to a level that depends on the load, and stays there. Growth over days is a leak: compare it with the goroutines.",
				},
				{
					title: "Open files", unit: "percentunit", limit: 0.8, most: 1,
					queries: []query{{expr: sum("instance", of("process_open_fds")) + " / " + sum("instance", of("process_max_fds")), legend: "{{instance}}"}},
					help:    "The share of the open files that the system allows. Near 1, connections are refused: raise the limit (ulimit -n).",
				},
			}},
		},
	}
}
