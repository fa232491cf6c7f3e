package main

import (
	"context"
	"fmt"
)

// restoreCommand restores an SQLite database from a backup.
type restoreCommand struct {
	databaseFlags `embed:""`

	Backup     string `arg:"" type:"existingfile" help:"The file that escrowgrid backup wrote."`
	SkipVerify bool   `help:"Do not verify the journals and rows."`
}

// Help explains the command below its flags' list.
func (*restoreCommand) Help() string {
	return `Copies a backup to the SQLite file that DATABASE_URL names, which must not exist, and verifies it. Everything written after
the backup is lost, and whoever holds a later checkpoint of a journal can tell: so does the server, where the file in
which it remembers what it has signed is still beside the database. It then halts the institutions whose journals are
shorter until escrowgrid accept-history opens them.`
}

// Run restores a backup. It never overwrites a database: an operator in haste could lose the only
// one that is up to date.
func (c *restoreCommand) Run(ctx context.Context, out output) error {
	path, err := sqlitePath(c.databaseFlags)
	if err != nil {
		return err
	}
	if err := copyFile(ctx, c.Backup, path, !c.SkipVerify, out.stderr); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.stdout, "%s is restored from %s. Start a server on it.\n", path, c.Backup)
	return err
}
