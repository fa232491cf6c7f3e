package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/vault"
)

// rotateSecretsCommand encrypts the secrets in a database anew.
type rotateSecretsCommand struct {
	databaseFlags `embed:""`

	EncryptionKey string `env:"ENCRYPTION_KEY" secret:"" help:"The server's keys: the new one first, then those that it replaces. On SQLite, those of the file beside the database when left out."`
}

// Help explains the command below its flags' list.
func (*rotateSecretsCommand) Help() string {
	return `To change the encryption key, put the new one before the old one in ENCRYPTION_KEY, separated by a comma, and restart all
servers with both. Then run this command with the same: it encrypts all secrets with the first key. After that the old
one can be taken away.

It can be run again, and while servers with both keys run; an SQLite file takes one process at a time.`
}

// Run encrypts all secrets with the first key, and tells how many had another.
func (c *rotateSecretsCommand) Run(ctx context.Context, out output) (err error) {
	var r reader
	databaseURL, _ := r.database(c.databaseFlags)
	keyring := r.keyring("ENCRYPTION_KEY", c.EncryptionKey, nil)
	if r.err != nil {
		return r.err
	}
	if keyring == nil {
		if keyring, err = existingKeyring(databaseURL); err != nil {
			return err
		}
	}

	database, err := openExisting(ctx, c.databaseFlags, stopServer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	e, err := engine.New(engine.Config{
		Store: database, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader,
		Metrics: prometheus.NewRegistry(), QueueSize: 1, GroupSize: 1, ExpiryInterval: time.Hour, Keyring: keyring,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close(context.WithoutCancel(ctx))) }()

	rotated, err := e.RotateSecrets(ctx)
	fmt.Fprintf(out.stdout, "%d secrets were encrypted anew.\n", rotated)
	return err
}

// existingKeyring returns the keyring beside an SQLite database, which must be there.
func existingKeyring(databaseURL string) (*vault.Keyring, error) {
	path := encryptionKeyPath(databaseURL)
	if path == "" {
		return nil, wrongUsage("ENCRYPTION_KEY: is required with %s", strings.SplitN(databaseURL, ":", 2)[0])
	}
	return readKeyring(path)
}
