package main

func store() board {
	return board{
		name:      "store",
		title:     "EscrowGrid: store",
		about:     "The database, the transparency log, and the verification of both.",
		from:      "now-6h",
		refresh:   "1m",
		variables: serverVariables(),
		rows:      []row{databaseRow(), transparencyLogRow(), verificationRow()},
	}
}

func databaseRow() row {
	return row{title: "Database", panels: []panel{
		{
			title: "Connections",
			unit:  "none",
			queries: []query{
				{expr: current("instance", "escrowgrid_store_connections_used"), legend: "{{instance}} used"},
				{expr: current("instance", "escrowgrid_store_connections_open"), legend: "{{instance}} open"},
				{expr: current("instance", "escrowgrid_store_connections_limit"), legend: "{{instance}} limit"},
			},
			help: "The used ones should stay well below the limit. At the limit, reads wait: raise " +
				"DATABASE_CONNECTIONS, within PostgreSQL's max_connections for all instances together.",
		},
		{
			title:   "Ready",
			unit:    "bool_yes_no",
			top:     1,
			queries: currentByInstance("escrowgrid_store_ready"),
			help: "Whether the database answers and has the program's schema. If not, look at the database; " +
				"after an upgrade, run escrowgrid migrate.",
		},

		{
			title:   "Size of the SQLite file",
			unit:    "bytes",
			queries: currentByInstance("escrowgrid_store_size_bytes"),
			help: "The file with its write-ahead log; empty on PostgreSQL. It only grows, with the journals. " +
				"Its slope says how long the disk lasts.",
		},
		{
			title:   "Free space for the SQLite file",
			unit:    "bytes",
			queries: currentByInstance("escrowgrid_store_free_bytes"),
			help: "Empty on PostgreSQL. When the disk is full, the server accepts no commands, but loses nothing: " +
				"make space in time.",
		},
	}}
}

func transparencyLogRow() row {
	return row{title: "Transparency log", panels: []panel{
		{
			title:   "Checkpoints",
			unit:    "ops",
			queries: rateByInstance("escrowgrid_checkpoints_signed_total"),
			help: "Signed checkpoints per second. One instance at a time signs them. A journal with new entries gets " +
				"one every CHECKPOINT_INTERVAL.",
		},
		{
			title:   "Entries without a checkpoint",
			unit:    "none",
			queries: currentByInstance("escrowgrid_checkpoint_lag_entries"),
			help: "It falls to near 0 with each round. If it only grows, the log does not keep up or fails: " +
				"see the next panel.",
		},

		{
			title:   "Failed rounds of the log",
			unit:    "ops",
			queries: rateByInstance("escrowgrid_checkpoint_failures_total"),
			help: "0 is normal. The next round continues where the failed one stopped; the server's log says " +
				"why it failed.",
		},
	}}
}

func verificationRow() row {
	return row{title: "Verification", panels: []panel{
		{
			title:   "Differences",
			unit:    "none",
			kind:    number,
			limit:   1,
			queries: []query{{expr: "max(" + selected("escrowgrid_verification_differences") + ")"}},
			help: "It must always be 0. Anything else means that rows or journals have been changed: stop writing, " +
				"keep a copy, and follow Verify in docs/operations.md.",
		},
		{
			title: "Since the last that passed",
			unit:  "s",
			kind:  number,
			limit: 172800,
			queries: []query{{
				expr: "time() - max(" + selected("escrowgrid_verification_passed_timestamp_seconds") + " > 0)",
			}},
			help: "At most VERIFY_INTERVAL, a day by default, and the duration of a verification. It is empty before " +
				"the first. If it is longer, verification fails or finds differences.",
		},
		{
			title:   "Took",
			unit:    "s",
			kind:    number,
			queries: []query{{expr: "max(" + selected("escrowgrid_verification_duration_seconds") + ")"}},
			help: "The duration of the last verification. It grows with the journals. When it approaches " +
				"VERIFY_INTERVAL, make that longer.",
		},

		{
			title:   "Verifications",
			unit:    "none",
			queries: []query{{expr: increase("result", "escrowgrid_verification_runs_total"), legend: "{{result}}"}},
			help: "passed is normal. failed did not finish, and the log says why; different found differences, " +
				"and the log lists them.",
		},
	}}
}
