package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/vault"
)

// encryptionKeyPath is where the encryption key of an SQLite database is kept; empty for a database
// that has no file to keep one beside.
func encryptionKeyPath(databaseURL string) string {
	path, isSQLite := strings.CutPrefix(databaseURL, "sqlite:")
	if !isSQLite || path == ":memory:" {
		return ""
	}
	return path + ".encryption-key"
}

// serveWithout is what to do where an encryption key is lost.
const serveWithout = "ALLOW_LOST_SECRETS=true serves without the secrets, which have to be set again"

// keyringOf returns the keyring of a server: the one that the operator gave, or that of the file beside
// the SQLite database, which the first start makes. It is nil on PostgreSQL, where every server needs
// the same and the operator gives it, if any.
//
// The file is told of once, and its key never: nobody types it in, and the log of a terminal is no
// place for it.
func keyringOf(ctx context.Context, config serverConfig, database *store.Store) (*vault.Keyring, error) {
	if config.people.keyring != nil || !strings.HasPrefix(config.databaseURL, "sqlite:") {
		return config.people.keyring, nil
	}
	path := encryptionKeyPath(config.databaseURL)
	if path == "" {
		made, err := vault.NewKey(rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make an encryption key: %w", err)
		}
		return vault.ParseKeyring(made)
	}

	keyring, err := readKeyring(path)
	if !errors.Is(err, os.ErrNotExist) {
		return keyring, err
	}
	// A new key would only hide that the one which the secrets need was left behind, as in a backup.
	switch under, err := database.SecretKeys(ctx); {
	case err != nil:
		return nil, err
	case len(under) > 0 && !config.people.allowLostSecrets:
		return nil, fmt.Errorf("the database has secrets, and their encryption key is not in %s: put it there, "+
			"or give it in ENCRYPTION_KEY; where it is lost, %s", path, serveWithout)
	}
	return makeKeyring(path, config.stderr)
}

// makeKeyring makes a new key, keeps it in a file and tells where that is.
func makeKeyring(path string, out io.Writer) (*vault.Keyring, error) {
	made, err := vault.NewKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make an encryption key: %w", err)
	}

	// It must not take the place of one that another process has made meanwhile.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // See above.
	if err == nil {
		_, err = file.WriteString(made + "\n")
		err = errors.Join(err, file.Sync(), file.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("keep the encryption key: %w", err)
	}

	_, err = fmt.Fprintf(out, "The encryption key is kept in %s; back it up apart from the database.\n", path)
	if err != nil {
		return nil, err
	}
	return vault.ParseKeyring(made)
}

// readKeyring reads the keyring in a file.
func readKeyring(path string) (*vault.Keyring, error) {
	kept, err := os.ReadFile(path) //nolint:gosec // The operator says where.
	if err != nil {
		return nil, fmt.Errorf("read the encryption key: %w", err)
	}
	keyring, err := vault.ParseKeyring(strings.TrimSpace(string(kept)))
	if err != nil {
		return nil, fmt.Errorf("the encryption key in %s: %w", path, err)
	}
	return keyring, nil
}
