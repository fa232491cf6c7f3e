package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// exportCommand writes an institution's journal to a file.
type exportCommand struct {
	databaseFlags `embed:""`
	remoteFlags   `embed:""`

	Institution string `required:"" placeholder:"ID" help:"The institution whose journal to export."`
	Output      string `required:"" short:"o" placeholder:"FILE" help:"The file to write; it must not exist."`

	Redact        bool     `help:"Leave out the values of all private members, such as names, references, reasons and metadata."`
	RedactMembers []string `placeholder:"MEMBER" help:"Leave out the values of these private members, separated by commas."`
}

// Help explains the command below its flags' list.
func (*exportCommand) Help() string {
	return `Writes a bundle: one file with an institution's whole journal, its checkpoints, and the public keys that signed them.
It can be verified on a machine that has no access to the server. The journal holds the hashes of API keys: give the
file only to those who may see it.

What is about persons stands beside the entries and can be left out; the bundle verifies without it, too.

  escrowgrid export --institution inst_… -o meridian.bundle                      from the database of DATABASE_URL
  escrowgrid export --institution inst_… -o redacted.bundle --redact             without anything about persons
  escrowgrid export --institution inst_… -o meridian.bundle --url https://…      from a server, with the key in API_KEY
  escrowgrid verify --bundle meridian.bundle --public-key escrow.example.com+…   elsewhere`
}

// Run exports from the server that --url names, or else from the database. It then reads back the
// file to say what is in it, so that a file that cannot be read is noticed here.
func (c *exportCommand) Run(ctx context.Context, out output) (err error) {
	var of escrow.InstitutionID
	if err := of.UnmarshalText([]byte(c.Institution)); err != nil {
		return &usageError{"--institution: " + err.Error()}
	}
	if err := c.remoteFlags.check(); err != nil {
		return err
	}
	if err := bundle.CheckRedacted(c.RedactMembers); err != nil {
		return &usageError{"--redact-members: " + err.Error()}
	}

	// The bundle ends at the entry that was the journal's last when the export began.
	progress, finish := showProgress(out.stderr, "exporting", "entries")
	if c.URL != "" {
		server := c.server(filepath.Dir(c.Output))
		err = bundle.FromServer(c.inTrace(ctx), server, of, c.Output, time.Now(), c.redacted(), progress)
	} else {
		err = c.fromDatabase(ctx, of, progress)
	}
	finish()
	if err != nil {
		return err
	}

	return c.describe(ctx, out)
}

// redacted are the private members whose values are left out.
func (c *exportCommand) redacted() []string {
	if c.Redact {
		return escrow.PrivateMembers()
	}
	return c.RedactMembers
}

// fromDatabase exports without a server.
func (c *exportCommand) fromDatabase(
	ctx context.Context, of escrow.InstitutionID, progress bundle.Progress,
) (err error) {
	database, err := openExisting(ctx, c.databaseFlags, stopOrAskServer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	return bundle.FromStore(ctx, database, of, c.Output, time.Now(), c.redacted(), progress)
}

// describe prints what was written, and how many entries no signature covers: nobody can prove
// entries that are newer than the last checkpoint.
func (c *exportCommand) describe(ctx context.Context, out output) (err error) {
	b, err := bundle.Open(ctx, c.Output)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()

	checkpoints, last, err := b.CountCheckpoints(ctx)
	if err != nil {
		return err
	}

	fmt.Fprintf(out.stdout, "%s has the journal of %s: %d entries and %d checkpoints.\n",
		c.Output, b.Institution, b.Last, checkpoints)
	if last < b.Last {
		fmt.Fprintf(out.stdout, "%d entries are newer than the last checkpoint: no signature covers them yet.\n",
			b.Last-last)
	}
	return nil
}
