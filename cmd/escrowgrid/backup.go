package main

import (
	"context"
	"fmt"
)

// backupCommand copies an SQLite database while a server writes to it.
type backupCommand struct {
	databaseFlags `embed:""`

	Output     string `required:"" short:"o" placeholder:"FILE" help:"The file to write; it must not exist."`
	SkipVerify bool   `help:"Do not verify the journals and rows of the copy."`
}

// Help explains the command below its flags' list.
func (*backupCommand) Help() string {
	return `Copies an SQLite database as it is at one moment, even while a server writes to it, and verifies the copy as escrowgrid
verify does. The copy holds a signing key that the server made, but not the root key, which is in a file beside the database.

  escrowgrid backup -o /backups/escrowgrid-2027-01-31.db
  DATABASE_URL=sqlite:elsewhere.db escrowgrid restore /backups/escrowgrid-2027-01-31.db

For PostgreSQL, see docs/operations.md.`
}

// Run makes a backup. It fails when the file exists already, and when the copy does not verify;
// it then leaves no file behind, because a backup that cannot be trusted is worse than none.
func (c *backupCommand) Run(ctx context.Context, out output) error {
	path, err := sqlitePath(c.databaseFlags)
	if err != nil {
		return err
	}
	if err := copyFile(ctx, path, c.Output, !c.SkipVerify, out.stderr); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.stdout, "%s is a backup of %s.\n", c.Output, path)
	return err
}
