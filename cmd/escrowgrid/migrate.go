package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/store"
)

// migrateCommand migrates a database, for installations whose servers may not change tables.
type migrateCommand struct {
	databaseFlags `embed:""`

	GrantTo string `name:"grant-to" placeholder:"ROLE" help:"On PostgreSQL, grant this role what a server needs, and nothing else: it cannot change or delete what is in journals. For servers whose role does not own the tables."`
}

// Run migrates the database and prints its new schema level. It changes nothing when the database
// has that level already. Servers that start meanwhile wait.
func (c *migrateCommand) Run(ctx context.Context, out output) (err error) {
	var r reader
	databaseURL, connections := r.database(c.databaseFlags)
	if r.err != nil {
		return r.err
	}
	// It would make an empty database beside the one that is meant.
	if err := checkPrototypeDatabase(databaseURL); err != nil {
		return err
	}

	database, err := openStore(ctx, databaseURL, connections)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()

	if err := database.Migrate(ctx); err != nil {
		return err
	}

	// The grants come last, because the migration may have created tables.
	if c.GrantTo != "" {
		if err := database.GrantServing(ctx, c.GrantTo); errors.Is(err, store.ErrNoRoles) {
			return &usageError{"--grant-to: " + err.Error()}
		} else if err != nil {
			return err
		}
		fmt.Fprintf(out.stdout, "The role %s has what a server needs.\n", c.GrantTo)
	}

	_, err = fmt.Fprintf(out.stdout, "%s is at schema level %d.\n", store.RedactURL(databaseURL), store.SchemaLevel)
	return err
}
