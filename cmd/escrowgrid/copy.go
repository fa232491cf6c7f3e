package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

// copyCommand copies a database to another one, of the same kind or of the other.
type copyCommand struct {
	From    string `required:"" env:"COPY_FROM" secret:"password" placeholder:"URL" help:"The database to copy: sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME."`
	To      string `required:"" env:"DATABASE_URL" secret:"password" placeholder:"URL" help:"The database to copy to, which is empty, or holds a copy that was cut off."`
	GrantTo string `name:"grant-to" placeholder:"ROLE" help:"On PostgreSQL, grant this role what a server needs, as escrowgrid migrate does."`
}

// Help explains the command below its flags' list.
func (*copyCommand) Help() string {
	return `Moves an installation from SQLite to PostgreSQL, or back: stop the servers, copy, start servers on the copy. The new database
is migrated first. Journals are copied to the last byte, with their checkpoints and keys, and the state is rebuilt from them;
idempotency records and security events come along. At the end the copy is verified as escrowgrid verify does.

  escrowgrid copy --from sqlite:escrowgrid.db --to postgres://owner@db.example.com/escrowgrid

A copy that was cut off goes on where it stopped when the command is given again; until it is finished, no server starts on it.
Servers on PostgreSQL may work while a first copy is made, which then does not finish: stop them and give the command again,
which copies what is new.

Exit codes: 0 copied and verified; 1 not finished; 2 wrong usage; 3 copied, but entries are not signed yet.`
}

// Run copies and verifies. Its result is the verdict of the verification.
func (c *copyCommand) Run(ctx context.Context, out output) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	from, err := openExisting(ctx, databaseFlags{DatabaseURL: c.From, DatabaseConnections: "0"}, stopServer)
	if err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := openStore(ctx, c.To, 0)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()

	if err := c.prepare(ctx, to); err != nil {
		return err
	}
	if err := c.copy(ctx, from, to, out); err != nil {
		return err
	}
	verdict := c.verify(ctx, to, out)
	if verdict != nil && !errors.Is(verdict, verify.ErrUnsignedTail) {
		return fmt.Errorf("the copy is not finished: %w", verdict)
	}

	if err := to.FinishCopy(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out.stdout, "%s is a copy of %s. Start servers on it alone.\n",
		store.RedactURL(c.To), store.RedactURL(c.From))
	return verdict
}

// check refuses URLs that name no database to copy from or to.
func (c *copyCommand) check() error {
	for _, flag := range []struct{ name, value string }{{"--from", c.From}, {"--to", c.To}} {
		scheme, rest, _ := strings.Cut(flag.value, ":")
		isKnown := scheme == "sqlite" || scheme == "postgres" || scheme == "postgresql"
		if !isKnown || rest == "" || rest == ":memory:" {
			return wrongUsage("%s takes sqlite:PATH or postgres://USER:PASSWORD@HOST/NAME, not %s",
				flag.name, schemeOnly(flag.value))
		}
	}
	if c.From == c.To {
		return wrongUsage("--from and --to name the same database")
	}
	return nil
}

// prepare migrates the database to copy to and marks it, unless it is a copy that was cut off.
func (c *copyCommand) prepare(ctx context.Context, to *store.Store) error {
	// The command that was cut off may have sessions that the database has yet to end.
	servers, err := to.Servers(ctx)
	unfinished := errors.Is(to.CheckCopy(ctx), store.ErrUnfinishedCopy)
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if servers > 0 && !unfinished {
		return fmt.Errorf("--to: EscrowGrid has %d sessions with the database; %s", servers, stopServer)
	}

	if err := to.Migrate(ctx); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if err := to.RefuseForeignSchema(ctx); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	if c.GrantTo != "" {
		if err := to.GrantServing(ctx, c.GrantTo); errors.Is(err, store.ErrNoRoles) {
			return &usageError{"--grant-to: " + err.Error()}
		} else if err != nil {
			return err
		}
	}
	if err := to.BeginCopy(ctx, store.RedactURL(c.From), time.Now()); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	return nil
}

// copy copies all that is not there yet. It fails while servers work on the source, whose next
// write would not be in the copy.
func (c *copyCommand) copy(ctx context.Context, from, to *store.Store, out output) error {
	tell, finish := showProgress(out.stderr, "copying", "entries")
	err := to.CopyFrom(ctx, from, tell)
	finish()
	if err == nil {
		err = checkStopped(ctx, from)
	}
	if errors.Is(err, store.ErrStillWritten) {
		return fmt.Errorf("%w; stop its servers, and run the command again, which copies what is new", err)
	}
	return err
}

// checkStopped returns store.ErrStillWritten while EscrowGrid's servers have sessions with the
// source.
func checkStopped(ctx context.Context, from *store.Store) error {
	servers, err := from.Servers(ctx)
	if err != nil {
		return err
	}
	if servers > 0 {
		return fmt.Errorf("%w: EscrowGrid has %d other sessions with it", store.ErrStillWritten, servers)
	}
	return nil
}

// verify verifies the copy, and prints what it found. It returns the verdict; that there is
// nothing in the database is none.
func (c *copyCommand) verify(ctx context.Context, to *store.Store, out output) error {
	tell, finish := showProgress(out.stderr, "verifying", "entries")
	begun := time.Now()
	report, err := verify.Database(ctx, to, verify.Config{Progress: tell})
	finish()
	if err != nil {
		return err
	}

	verdict := showReport(out.stdout, report, time.Since(begun))
	switch {
	case errors.Is(verdict, verify.ErrNothing):
		return nil
	case errors.Is(verdict, verify.ErrNothingSigned):
		// It was not signed where it comes from, either.
		return fmt.Errorf("%w: %w", verify.ErrUnsignedTail, verdict)
	}
	return verdict
}
