package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/store"
)

type migrateCommand struct {
	databaseFlags `embed:""`
}

// Run migrates the database. Servers that start meanwhile wait for it.
func (c *migrateCommand) Run(ctx context.Context, out output) (err error) {
	var r reader
	databaseURL, connections := r.database(c.databaseFlags)
	if r.err != nil {
		return r.err
	}
	database, err := openStore(ctx, databaseURL, connections)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	if err := database.Migrate(ctx); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out.stdout, "%s is at schema level %d.\n", store.RedactURL(databaseURL), store.SchemaLevel)
	return err
}
