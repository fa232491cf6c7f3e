package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/prototype"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// importCommand imports the database of EscrowGrid's prototype.
type importCommand struct {
	databaseFlags `embed:""`

	Prototype      string `required:"" env:"PROTOTYPE_URL" name:"from-prototype" secret:"password" placeholder:"URL" help:"The prototype's PostgreSQL database, which is only read: postgres://USER:PASSWORD@HOST/NAME."`
	DryRun         bool   `help:"Import into a database in memory, and report what would become of everything."`
	Report         string `placeholder:"FILE" help:"Write what became of each thing to this file, a JSON object a line; it must not exist."`
	NewKeys        string `name:"new-keys" placeholder:"FILE" help:"Make a new API key for each one that is not revoked, and write the secrets to this file, which its owner alone can read."`
	Released       string `type:"existingfile" placeholder:"FILE" help:"How much was released of positions in part, as CSV: the prototype's id and the amount."`
	KeepReferences bool   `name:"keep-external-references" help:"Let positions keep the externalReference that they have; their old id is then in their metadata alone."`
}

// Help explains the command below its flags' list.
func (*importCommand) Help() string {
	return `Imports institutions, templates, assets, positions with their transitions, and policies from the database of EscrowGrid's
prototype (the TAAS platform in TypeScript). Stop both servers before. Everything is written as commands of the operator, so the
journals tell that it was imported; positions have the prototype's id as their externalReference, and the times and actors of
the prototype in their metadata. What cannot be taken is reported, with the reason.

  escrowgrid import --from-prototype postgres://taas@db.example.com/taas_platform --dry-run
  escrowgrid import --from-prototype postgres://taas@db.example.com/taas_platform --report import.jsonl --new-keys keys.jsonl

An import that was cut off, or whose data were mended, is run again: it makes what is missing, and nothing twice.
docs/migrating.md has all steps.

Exit codes: 0 everything was taken or is replaced by something else; 1 something was left out, or the import failed; 2 wrong usage.`
}

// Run imports, and prints a summary. That something was left out is an error.
func (c *importCommand) Run(ctx context.Context, out output) (err error) {
	if scheme, _, _ := strings.Cut(c.Prototype, ":"); scheme != "postgres" && scheme != "postgresql" {
		return wrongUsage("--from-prototype takes postgres://USER:PASSWORD@HOST/NAME, not %s", schemeOnly(c.Prototype))
	}
	config := prototype.Config{
		Source:         c.Prototype,
		Now:            time.Now,
		Random:         rand.Reader,
		KeepReferences: c.KeepReferences,
	}
	if config.Released, err = readReleased(c.Released); err != nil {
		return err
	}
	config.Target, err = c.target(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, config.Target.Close()) }()

	if c.Report != "" {
		report, err := newLineFile(c.Report)
		if err != nil {
			return err
		}
		config.Report = func(l prototype.Line) error { return report.Encode(l) }
		defer func() { err = errors.Join(err, report.Close()) }()
	}
	if c.NewKeys != "" && !c.DryRun {
		config.Keys, err = prototype.OpenKeyFile(c.NewKeys)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, config.Keys.Close()) }()
	}
	return c.run(ctx, config, out)
}

// target opens the database to import into: the configured one, or one in memory.
func (c *importCommand) target(ctx context.Context) (*store.Store, error) {
	var r reader
	databaseURL, connections := r.database(c.databaseFlags)
	if r.err != nil {
		return nil, r.err
	}
	if c.DryRun {
		databaseURL = "sqlite::memory:"
	}

	target, err := openStore(ctx, databaseURL, connections)
	if errors.Is(err, store.ErrInUse) {
		return nil, fmt.Errorf("%w; %s", err, stopServer)
	}
	if err != nil {
		return nil, err
	}
	// An SQLite file is migrated by whoever opens it, as a server does.
	if target.Exclusive() {
		err = target.Migrate(ctx)
	} else {
		err = target.CheckSchema(ctx)
	}
	if err == nil {
		err = target.RefuseForeignSchema(ctx)
	}
	if err == nil {
		err = target.CheckCopy(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, target.Close())
	}
	return target, nil
}

func (c *importCommand) run(ctx context.Context, config prototype.Config, out output) error {
	tell, finish := showProgress(out.stderr, "importing", "positions")
	config.Progress = tell
	summary, err := prototype.Import(ctx, config)
	finish()
	if summary != nil {
		if err := summary.Write(out.stdout); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}

	if count := summary.LeftOut(); count > 0 {
		return fmt.Errorf("%d things were left out; docs/migrating.md tells what to do about each reason", count)
	}
	if c.DryRun {
		_, err = fmt.Fprintln(out.stdout, "\nNothing was written: this was a dry run.")
	}
	return err
}

// readReleased reads the amounts of partial releases: a position's id and an amount a line.
func readReleased(path string) (map[string]money.Digits, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // Nothing is known of any position.
	}
	file, err := os.Open(path) //nolint:gosec // The operator says where.
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // It is only read.

	lines := csv.NewReader(bufio.NewReader(file))
	lines.FieldsPerRecord = 2
	released := make(map[string]money.Digits)
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return released, nil
		}
		if err != nil {
			return nil, wrongUsage("--released: %s: %v", path, err)
		}

		id, amount := strings.TrimSpace(line[0]), money.Digits(strings.TrimSpace(line[1]))
		number, _ := lines.FieldPos(0)
		if err := amount.Check(); err != nil {
			return nil, wrongUsage("--released: %s: line %d: the amount %v", path, number, err)
		}
		if _, twice := released[id]; twice {
			return nil, wrongUsage("--released: %s: line %d: %s is there twice", path, number, id)
		}
		released[id] = amount
	}
}

// lineFile is a file with a JSON object a line.
type lineFile struct {
	*json.Encoder

	buffer *bufio.Writer
	file   *os.File
}

func newLineFile(path string) (*lineFile, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // The operator says where.
	if err != nil {
		return nil, err
	}
	buffer := bufio.NewWriter(file)
	return &lineFile{Encoder: json.NewEncoder(buffer), buffer: buffer, file: file}, nil
}

// Close writes what is left.
func (f *lineFile) Close() error { return errors.Join(f.buffer.Flush(), f.file.Close()) }
