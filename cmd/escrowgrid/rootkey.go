package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// rootKey returns the root key: the one that the operator gave, or the one in the file beside the
// SQLite database. The first start makes that file, and prints the new key once; the log never has
// it.
func rootKey(config serverConfig) (string, error) {
	if config.rootKey != "" {
		return config.rootKey, nil
	}

	// A database in memory has no file to keep a key beside, and its next start makes a new key.
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
			return "", fmt.Errorf("the root key in %s has fewer than %d characters", path, minKeyLength)
		}
		return key, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read the root key: %w", err)
	}

	// The key is kept before it is printed: an operator must not rely on a key that the next start
	// does not know.
	if err := os.WriteFile(path, []byte(made+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the root key: %w", err)
	}
	_, err = fmt.Fprintf(config.stderr, "The root key is %s. It is kept in %s and not shown again.\n", made, path)
	return made, err
}

// newSecret makes a root key, in the form of API keys and with as many random bits.
func newSecret() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // It never fails.
	return escrow.NewSecret(random)
}
