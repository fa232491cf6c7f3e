package main

func store() board {
	byInstance := func(metric string) string { return sum("instance", of(metric)) }
	return board{
		name: "store", title: "EscrowGrid: store", from: "now-6h", refresh: "1m", variables: serverVariables(),
		about: "The database, the transparency log, and the verification of both.",
		rows: []row{
			{"Database", []panel{
				{
					title: "Connections", unit: "none", queries: []query{
						{expr: byInstance("escrowgrid_store_connections_used"), legend: "{{instance}} used"},
						{expr: byInstance("escrowgrid_store_connections_open"), legend: "{{instance}} open"},
						{expr: byInstance("escrowgrid_store_connections_limit"), legend: "{{instance}} limit"},
					},
					help: "Used should stay well below the limit. At the limit, reads wait: raise DATABASE_CONNECTIONS, within PostgreSQL's max_connections over all instances.",
				},
				{
					title: "Ready", unit: "bool_yes_no", most: 1, queries: []query{{expr: byInstance("escrowgrid_store_ready"), legend: "{{instance}}"}},
					help: "Whether the database answers and has this version's schema. If not, look at the database; after an upgrade, run escrowgrid migrate.",
				},
				{
					title: "Size of the SQLite file", unit: "bytes", queries: []query{{expr: byInstance("escrowgrid_store_size_bytes"), legend: "{{instance}}"}},
					help: "The file with its write-ahead log; empty on PostgreSQL. It only grows, with the journals. Plan the disk by its slope.",
				},
				{
					title: "Free where the SQLite file is", unit: "bytes", queries: []query{{expr: byInstance("escrowgrid_store_free_bytes"), legend: "{{instance}}"}},
					help: "Empty on PostgreSQL. On a full disk nothing more is accepted, and nothing is lost: make room in time.",
				},
			}},
			{"Transparency log", []panel{
				{
					title: "Checkpoints", unit: "ops", queries: []query{{expr: rate("instance", "escrowgrid_checkpoints_signed_total"), legend: "{{instance}}"}},
					help: "Signed checkpoints per second, by one instance at a time. A journal with new entries gets one every CHECKPOINT_INTERVAL.",
				},
				{
					title: "Entries without a checkpoint", unit: "none", queries: []query{{expr: byInstance("escrowgrid_checkpoint_lag_entries"), legend: "{{instance}}"}},
					help: "It falls back to near 0 with each round. If it only grows, the transparency log does not keep up, or fails: see the panel beside it.",
				},
				{
					title: "Failed rounds of the transparency log", unit: "ops", queries: []query{{expr: rate("instance", "escrowgrid_checkpoint_failures_total"), legend: "{{instance}}"}},
					help: "0 is normal. The next round continues where this one stopped; the server's log says why it failed.",
				},
			}},
			{"Verification", []panel{
				{
					title: "Differences", unit: "none", kind: number, limit: 1, queries: []query{{expr: "max(" + of("escrowgrid_verification_differences") + ")"}},
					help: "Always 0. Anything else means that rows or journals are not what they were: stop writing, keep a copy, and follow Verify in docs/operations.md.",
				},
				{
					title: "Since the last that passed", unit: "s", kind: number, limit: 172800,
					queries: []query{{expr: "time() - max(" + of("escrowgrid_verification_passed_timestamp_seconds") + " > 0)"}},
					help:    "At most VERIFY_INTERVAL, a day by default, plus the time that one takes. Empty before the first. If it is longer, verification fails or finds differences.",
				},
				{
					title: "Took", unit: "s", kind: number, queries: []query{{expr: "max(" + of("escrowgrid_verification_duration_seconds") + ")"}},
					help: "How long the last verification took. It grows with the journals. If it comes near VERIFY_INTERVAL, make that longer.",
				},
				{
					title: "Verifications", unit: "none", queries: []query{{expr: sum("result", "increase("+of("escrowgrid_verification_runs_total")+"[$__rate_interval])"), legend: "{{result}}"}},
					help: "passed is normal. failed could not be finished, and the log says why; different found differences, and the log lists them.",
				},
			}},
		},
	}
}
