package main

import (
	"log/slog"
	"os"
	"strings"
)

// prototypeVariables are those that EscrowGrid's prototype read, and this program does not.
var prototypeVariables = []string{
	"STORE_BACKEND", "HELMET_ENABLED", "METRICS_ENABLED", "RATE_LIMIT_WINDOW_MS", "RATE_LIMIT_MAX_REQUESTS",
	"ONCHAIN_LEDGER_ENABLED", "ONCHAIN_RPC_URL", "ONCHAIN_PRIVATE_KEY", "ONCHAIN_CONTRACT_ADDRESS", "ONCHAIN_CHAIN_ID",
}

// checkPrototypeVariables returns a usageError where a variable of the prototype asks for
// another server than the one that would start, and warns of the others.
func checkPrototypeVariables(databaseURL string, logger *slog.Logger) error {
	if err := checkPrototypeDatabase(databaseURL); err != nil {
		return err
	}
	if os.Getenv("ONCHAIN_LEDGER_ENABLED") == "true" {
		return wrongUsage("ONCHAIN_LEDGER_ENABLED: %q is not read: this server records nothing on a chain", "true")
	}

	for _, name := range prototypeVariables {
		if os.Getenv(name) != "" {
			logger.Warn("a variable of the prototype is not read; docs/configuration.md lists those that are",
				"variable", name)
		}
	}
	return nil
}

// checkPrototypeDatabase returns a usageError where a variable of the prototype asks for another
// database than the one that would be used.
func checkPrototypeDatabase(databaseURL string) error {
	isPostgres := strings.HasPrefix(databaseURL, "postgres")

	switch backend := os.Getenv("STORE_BACKEND"); {
	case backend == "postgres" && !isPostgres:
		return wrongUsage("STORE_BACKEND: %q is not read: name the database in DATABASE_URL, as postgres://…", backend)
	case backend == "memory" && databaseURL != "sqlite::memory:":
		return wrongUsage("STORE_BACKEND: %q is not read: DATABASE_URL=sqlite::memory: keeps data in memory", backend)
	}
	return nil
}
