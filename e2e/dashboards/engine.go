package main

func engine() board {
	return board{
		name:      "engine",
		title:     "EscrowGrid: engine",
		about:     "How commands are committed, what the background work does, and which resources the processes use.",
		from:      "now-1h",
		refresh:   "30s",
		variables: serverVariables(),
		rows:      []row{groupCommitRow(), backgroundRow(), approvalsRow(), keysRow(), processesRow()},
	}
}

// rateByInstance is the growth per second of a counter of each instance.
func rateByInstance(counter string) []query {
	return []query{{expr: rate("instance", counter), legend: "{{instance}}"}}
}

// currentByInstance is the value of a gauge of each instance.
func currentByInstance(gauge string) []query {
	return []query{{expr: current("instance", gauge), legend: "{{instance}}"}}
}

func groupCommitRow() row {
	return row{title: "Group commit", panels: []panel{
		{
			title:   "Queue",
			unit:    "percentunit",
			limit:   0.8,
			top:     1,
			queries: []query{{expr: selected("escrowgrid_queue_fullness_ratio"), legend: "{{instance}}"}},
			help: "How full the fullest queue of each instance is. Near 0 is normal. When it is full, commands of " +
				"its institutions are answered with 503 overloaded: give the database more resources, " +
				"spread the load, or slow the clients down.",
		},
		{
			title:   "Entries by kind",
			unit:    "ops",
			stacked: true,
			queries: []query{{expr: active("kind", "escrowgrid_journal_entries_total"), legend: "{{kind}}"}},
			help:    "Accepted commands per second. Each is one entry of a journal: the work that is done.",
		},

		{
			title: "Commands in a group",
			unit:  "none",
			queries: append(quantiles("escrowgrid_group_commands"), query{
				expr: rate("", "escrowgrid_group_commands_sum") + " / " +
					rate("", "escrowgrid_group_commands_count"),
				legend: "average",
			}),
			help: "Commands that are committed together. 1 is normal on an idle server. It grows with the load, " +
				"which is how a busy server stays fast. If it stays at GROUP_SIZE, the database is the limit.",
		},
		{
			title:   "Duration of a group",
			unit:    "s",
			queries: quantiles("escrowgrid_group_duration_seconds"),
			help: "From the start of a transaction to the end of its commit. Most of it is the disk's. When it rises " +
				"while groups stay small, look at the disk and at PostgreSQL's other load.",
		},

		{
			title:   "Commits",
			unit:    "ops",
			queries: rateByInstance("escrowgrid_group_duration_seconds_count"),
			help:    "Transactions per second by instance. Many more commands than commits are normal under load.",
		},
		{
			title: "Groups with a fault",
			unit:  "ops",
			queries: []query{
				{expr: rate("", "escrowgrid_group_retries_total"), legend: "retried"},
				{expr: rate("", "escrowgrid_groups_stale_total"), legend: "started again"},
				{expr: rate("", "escrowgrid_group_splits_total"), legend: "split"},
				{expr: rate("", "escrowgrid_commits_unknown_total"), legend: "outcome looked up"},
				{expr: rate("", "escrowgrid_commands_dropped_total"), legend: "caller gone"},
				{expr: rate("", "escrowgrid_abandoned_sessions_ended_total"), legend: "abandoned session ended"},
			},
			help: "0 is normal, except that some are started again when several instances serve one institution. " +
				"Retried means that the database was away; split is a defect, with a line in the log.",
		},
	}}
}

func backgroundRow() row {
	return row{title: "Background work", panels: []panel{
		{
			title: "Positions due",
			unit:  "none",
			limit: 500,
			queries: []query{{
				expr:   "max by (instance) (" + selected("escrowgrid_positions_due") + ")",
				legend: "{{instance}}",
			}},
			help: "Positions past their expiresAt when the server last looked, at most 500. It should fall to 0 " +
				"within EXPIRY_INTERVAL; if it stays at 500, expiry does not keep up.",
		},
		{
			title:   "Positions expired",
			unit:    "ops",
			queries: rateByInstance("escrowgrid_positions_expired_total"),
			help: "Positions that expired and whose held money was refunded. Their expiresAt decides when. " +
				"One instance at a time expires positions.",
		},

		{
			title:   "Failed rounds",
			unit:    "ops",
			queries: []query{{expr: rate("duty", "escrowgrid_duty_failures_total"), legend: "{{duty}}"}},
			help: "0 is normal. A failed round is repeated; the log says why it failed. If rounds keep failing, " +
				"look at the database.",
		},
		{
			title:   "Security events lost",
			unit:    "ops",
			queries: rateByInstance("escrowgrid_security_events_lost_total"),
			help: "0 is normal. Otherwise more attempts are refused than can be kept as security events: " +
				"somebody tries hard, or the database does not answer.",
		},

		{
			title: "Spans",
			unit:  "ops",
			queries: []query{
				{expr: rate("", "escrowgrid_trace_spans_ended_total"), legend: "ended"},
				{expr: rate("", "escrowgrid_trace_spans_sent_total"), legend: "sent"},
				{expr: rate("", "escrowgrid_trace_exports_failed_total"), legend: "failed requests to the collector"},
			},
			help: "Empty where traces are not sent. If more end than are sent, spans are dropped: " +
				"record a smaller share, or give the collector more resources.",
		},
	}}
}

func keysRow() row {
	panels := []panel{
		{
			title: "Root key from new addresses",
			unit:  "none",
			queries: []query{{
				expr:   increase("instance", "escrowgrid_root_key_new_addresses_total"),
				legend: "{{instance}}",
			}},
			help: "Addresses from which an instance sees the root key for the first time since its start. " +
				"One after each start is you; make sure that every other one is, too.",
		},

		{
			title:   "API keys that end soon",
			unit:    "none",
			queries: []query{{expr: "max(" + selected("escrowgrid_api_keys_expiring") + ")", legend: "keys"}},
			help: "Active keys that end within 14 days. Rotate those that are in use: the log names them, once a day " +
				"each.",
		},
	}
	return row{title: "Keys", panels: append(panels, peoplePanels()...)}
}

// peoplePanels are about those who log in, and what is asked of their identity providers.
func peoplePanels() []panel {
	return []panel{
		{
			title:   "Tokens of people",
			unit:    "ops",
			queries: []query{{expr: rate("outcome", "escrowgrid_identity_tokens_total"), legend: "{{outcome}}"}},
			help: "Cached ones had been verified before. Many that are invalid are a client that goes on with an " +
				"old token, or somebody who tries.",
		},

		{
			title: "Logins with a browser",
			unit:  "ops",
			queries: []query{
				{
					expr:   rate("status", "escrowgrid_http_requests_total", `route=~"/auth/callback.*"`),
					legend: "logins {{status}}",
				},
				{
					expr:   rate("status", "escrowgrid_http_requests_total", `route="/sessions"`, `method="POST"`),
					legend: "keys and tokens {{status}}",
				},
			},
			help: "By status: 303 and 201 begin a session. 400 is a login that was begun elsewhere, too long ago or " +
				"twice, or that the identity provider refused; 401 is somebody who is suspended; 503 a provider that " +
				"cannot be asked.",
		},
		{
			title:   "Identity providers that cannot be asked",
			unit:    "none",
			queries: currentByInstance("escrowgrid_identity_providers_failing"),
			help: "Their people go on with keys that are known. If it stays, the provider is away, or the servers " +
				"may not reach it.",
		},

		{
			title: "Requests to others",
			unit:  "ops",
			queries: []query{{
				expr:   rate("purpose, outcome", "escrowgrid_egress_requests_total"),
				legend: "{{purpose}} {{outcome}}",
			}},
			help: "What the servers send out, or refuse to send because of where it would go.",
		},
	}
}

func processesRow() row {
	return row{title: "Processes", panels: []panel{
		{
			title:   "Processors in use",
			unit:    "none",
			queries: rateByInstance("process_cpu_seconds_total"),
			help: "1 is one processor. Near the number of processors that an instance has, requests wait for one: " +
				"add an instance.",
		},
		{
			title:   "Goroutines",
			unit:    "none",
			queries: currentByInstance("go_goroutines"),
			help:    "It follows the requests in flight. If it grows without them, there is a leak.",
		},

		{
			title:   "Garbage collection",
			unit:    "percentunit",
			queries: rateByInstance("go_gc_duration_seconds_sum"),
			help:    "The share of time for which garbage collection stopped the program. Far below 1 % is normal.",
		},
		{
			title: "Memory",
			unit:  "bytes",
			queries: []query{
				{expr: current("instance", "process_resident_memory_bytes"), legend: "{{instance}} resident"},
				{expr: current("instance", "go_memstats_heap_inuse_bytes"), legend: "{{instance}} heap"},
			},
			help: "It rises to a level that depends on the load, and stays there. Growth over days is a leak: " +
				"compare it with the goroutines.",
		},

		{
			title: "Open files",
			unit:  "percentunit",
			limit: 0.8,
			top:   1,
			queries: []query{{
				expr:   current("instance", "process_open_fds") + " / " + current("instance", "process_max_fds"),
				legend: "{{instance}}",
			}},
			help: "Connections and files as a share of the system's limit. Near 1, connections are refused: " +
				"raise the limit (ulimit -n).",
		},
	}}
}

func approvalsRow() row {
	return row{title: "Approvals", panels: []panel{
		{
			title: "Approvals pending",
			unit:  "none",
			queries: []query{
				{expr: "max(" + selected("escrowgrid_approvals_pending") + ")", legend: "pending"},
				{expr: "max(" + selected("escrowgrid_approvals_due") + ")", legend: "due"},
			},
			help: "Commands that wait for others to approve them, of all institutions, and those among them past " +
				"their expiresAt, at most 500, which should be 0 within EXPIRY_INTERVAL.",
		},

		{
			title: "Age of approvals",
			unit:  "s",
			queries: []query{
				{expr: "max(" + selected("escrowgrid_approvals_oldest_age_seconds") + ")", legend: "oldest"},
				{expr: "min(" + selected("escrowgrid_approvals_next_expiry_seconds") + ")", legend: "until expiry"},
			},
			help: "For how long the oldest pending approval has waited, and in how long the next one expires.",
		},

		{
			title:   "Approvals expired",
			unit:    "ops",
			queries: rateByInstance("escrowgrid_approvals_expired_total"),
			help:    "Approvals that nobody gave in time. One instance at a time expires them.",
		},

		{
			title:   "Broken glass",
			unit:    "ops",
			queries: rateByInstance("escrowgrid_break_glass_total"),
			help:    "Commands under an approval rule that the operator has carried out without the approval. Ask why.",
		},
	}}
}
