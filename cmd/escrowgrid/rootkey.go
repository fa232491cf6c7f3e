package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// rootKey returns the operator's key: the one that was given, or the one kept
// beside the SQLite database, which is made at the first start. A key that was made
// is told this once, and never in the log.
func rootKey(config serverConfig) (string, error) {
	if config.rootKey != "" {
		return config.rootKey, nil
	}

	made := newSecret()
	path := strings.TrimPrefix(config.databaseURL, "sqlite:")
	if path == ":memory:" {
		_, err := fmt.Fprintf(config.stderr, "The root key is %s. It ends with this process, as the data does.\n", made)
		return made, err
	}

	path += ".root-key"
	kept, err := os.ReadFile(path) //nolint:gosec // The operator says where.
	if err == nil {
		key := strings.TrimSpace(string(kept))
		if len(key) < minKeyLength {
			return "", fmt.Errorf("the root key in %s has less than %d characters", path, minKeyLength)
		}
		return key, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the root key: %w", err)
	}

	if err := os.WriteFile(path, []byte(made+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the root key: %w", err)
	}
	_, err = fmt.Fprintf(config.stderr, "The root key is %s. It is kept in %s and not shown again.\n", made, path)
	return made, err
}

// newSecret makes a root key.
func newSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // It never fails.
	return escrow.NewSecret(random)
}
