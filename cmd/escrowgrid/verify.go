package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/verify"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
	"github.com/escrowgrid/escrowgrid/internal/visible"
)

// verifyCommand verifies the journals of a database, a server or a bundle.
type verifyCommand struct {
	databaseFlags `embed:""`
	remoteFlags   `embed:""`

	Bundle      string   `type:"existingfile" placeholder:"FILE" help:"Verify a bundle that escrowgrid export wrote, without a database or server."`
	Disclosure  string   `type:"existingfile" placeholder:"FILE" help:"Verify the disclosure of one entry, without a database or server, with the keys of --public-key."`
	PublicKeys  []string `name:"public-key" placeholder:"KEY" help:"A public key that signs checkpoints, name+hash+base64, from a source that you trust. Without one, the keys that come with the journals are used."`
	Checkpoints []string `name:"checkpoint" type:"existingfile" placeholder:"FILE" help:"A checkpoint that you have kept: the journal must still match it."`
	Signed      string   `name:"signed-checkpoints" type:"existingfile" placeholder:"FILE" help:"The file of SIGNED_CHECKPOINTS_PATH, in which a server remembers what it has signed: each journal must still match it."`
	Unsigned    int64    `name:"allow-unsigned" default:"0" placeholder:"N" help:"How many entries of each journal may be newer than its last checkpoint; 0 when left out."`
	Foreign     bool     `name:"allow-foreign-schema" help:"Do not compare a database's schema with what the migrations make."`
	Workers     int      `default:"0" help:"How many pages are read at once; 0 means one for each processor."`
}

// maxWorkers bounds --workers. Each worker has a page of a journal in memory, and no machine gains
// from more workers than processors.
const maxWorkers = 256

// Help explains the command below its flags' list.
func (*verifyCommand) Help() string {
	return `Rebuilds everything from the journals' entries and compares it with what is stored: the sequence of the entries, the Merkle
tree, every checkpoint and its signature, the balances, and every row of the tables of state. On PostgreSQL servers may
write meanwhile; an SQLite file takes one process at a time.

  escrowgrid verify                                              the database of DATABASE_URL
  escrowgrid verify --url https://…                              what a server shows to the key in API_KEY: journals and positions
  escrowgrid verify --bundle meridian.bundle                     a file that escrowgrid export wrote
  escrowgrid verify --disclosure release.json --public-key …     one entry that somebody has disclosed, and what it shows
  escrowgrid verify --public-key escrow.example.com+…            with a key that you trust
  escrowgrid verify --checkpoint 2027-01.checkpoint              against a checkpoint that you have kept
  escrowgrid verify --signed-checkpoints escrowgrid.db.signed    against what a server remembers to have signed

What no signature covers is not verified. In a bundle and with --public-key, entries that are newer than the last checkpoint
end with exit code 3, unless there are at most as many as --allow-unsigned says. In a database or at a server without
--public-key they may be there for an hour, in which a server that works has signed them.

Exit codes: 0 all is as it should be; 1 something differs, could not be read or is not there, or nothing is signed; 2 wrong
usage; 3 only the newest entries are not signed.`
}

// Run verifies and prints the differences. Its error is the report's verdict, so that a script can rely
// on the exit code.
func (c *verifyCommand) Run(ctx context.Context, out output) error {
	config, err := c.config()
	if err != nil {
		return err
	}

	if c.Disclosure != "" {
		return c.verifyDisclosure(out.stdout)
	}

	var finish func()
	config.Progress, finish = showProgress(out.stderr, "verifying", "entries")
	begun := time.Now()
	report, err := c.verify(ctx, config)
	finish()
	if err != nil {
		// What differs may be why the rest cannot be read.
		fmt.Fprintln(out.stdout, "FAILED: not all of it could be read")
		showDifferences(out.stdout, report)
		return err
	}

	return showReport(out.stdout, report, time.Since(begun))
}

// verify verifies what the flags name: a bundle, a server, or else the database.
func (c *verifyCommand) verify(ctx context.Context, config verify.Config) (verify.Report, error) {
	switch {
	case c.Bundle != "":
		return c.verifyBundle(ctx, config)
	case c.URL != "":
		return c.verifyServer(c.inTrace(ctx), config)
	}
	return c.verifyDatabase(ctx, config)
}

// verifyBundle verifies a file alone: it needs no network.
func (c *verifyCommand) verifyBundle(ctx context.Context, config verify.Config) (report verify.Report, err error) {
	b, err := bundle.Open(ctx, c.Bundle)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	return verify.Bundle(ctx, b, config)
}

// verifyServer verifies what a server shows. It keeps what it reads in a temporary directory,
// because a journal can be larger than the memory.
func (c *verifyCommand) verifyServer(ctx context.Context, config verify.Config) (report verify.Report, err error) {
	directory, err := os.MkdirTemp("", "escrowgrid-verify-")
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	return verify.Server(ctx, c.server(directory), directory, config)
}

// verifyDatabase verifies the database, which has more than a server shows: every row of every
// table of state.
func (c *verifyCommand) verifyDatabase(ctx context.Context, config verify.Config) (report verify.Report, err error) {
	database, err := openExisting(ctx, c.databaseFlags, stopOrAskServer)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	return verify.Database(ctx, database, config)
}

// config reads what to verify against. A usageError names the wrong flag.
func (c *verifyCommand) config() (verify.Config, error) {
	config := verify.Config{
		Keys:               c.PublicKeys,
		AllowUnsigned:      c.Unsigned,
		AllowForeignSchema: c.Foreign,
		Workers:            c.Workers,
	}
	if _, err := translog.NewVerifiers(c.PublicKeys...); err != nil {
		return config, &usageError{"--public-key: " + err.Error()}
	}

	if c.Workers < 0 || c.Workers > maxWorkers {
		return config, wrongUsage("--workers=%d must be from 0 to %d", c.Workers, maxWorkers)
	}
	if c.Unsigned < 0 {
		return config, wrongUsage("--allow-unsigned=%d must be 0 or more", c.Unsigned)
	}
	if c.Bundle != "" && c.URL != "" {
		return config, &usageError{"--bundle and --url exclude each other: give one"}
	}
	if err := c.checkDisclosure(); err != nil {
		return config, err
	}
	if err := c.remoteFlags.check(); err != nil {
		return config, err
	}

	if err := c.addSigned(&config); err != nil {
		return config, err
	}

	// A checkpoint that cannot be read fails here, before an hour of verification.
	for _, path := range c.Checkpoints {
		note, err := readBounded(path, maxNoteSize)
		if err != nil {
			return config, err
		}
		// Tools that save a text to a file add a newline to it, or drop its last one.
		config.Kept = append(config.Kept, append(bytes.TrimRight(note, "\r\n"), '\n'))
	}
	return config, nil
}

// maxNoteSize bounds the bytes of a checkpoint that was kept, which has some hundred.
const maxNoteSize = 1 << 20

// readBounded reads a file that has at most so many bytes.
func readBounded(path string, most int64) (content []byte, err error) {
	file, err := os.Open(path) //nolint:gosec // The user says which.
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()

	if content, err = io.ReadAll(io.LimitReader(file, most+1)); err == nil && int64(len(content)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return content, err
}

// addSigned reads what a server remembers to have signed.
func (c *verifyCommand) addSigned(config *verify.Config) error {
	if c.Signed == "" {
		return nil
	}
	signed, err := journallog.ReadSigned(c.Signed)
	if err != nil {
		return err
	}

	config.Signed = make(verify.Checkpoints)
	for _, last := range signed.All() {
		config.Signed[last.Institution] = translog.Checkpoint{Size: last.Size, Root: last.Root, At: last.At}
	}
	return nil
}

// showReport prints what a verification has found, the differences first, and returns the verdict.
func showReport(out io.Writer, r verify.Report, took time.Duration) error {
	verdict := r.Err()
	if verdict == nil {
		fmt.Fprintln(out, "PASSED: nothing differs.")
	} else {
		fmt.Fprintf(out, "FAILED: %s.%s\n", verdict, firstDifferent(r))
	}

	showDifferences(out, r)
	if r.DifferenceCount > 0 {
		// What is signed of it, and how much was verified, is no question any more.
		fmt.Fprintf(out, "Looked for differences for %s.\n", took.Round(time.Millisecond))
		showKeys(out, r)
		return verdict
	}
	for _, tail := range r.Tails {
		fmt.Fprintln(out, "UNSIGNED", tail)
	}
	if more := r.TailCount - int64(len(r.Tails)); more > 0 {
		fmt.Fprintf(out, "… and %d more journals whose end is not signed\n", more)
	}

	fmt.Fprintf(out, "Verified in %s: %d entries in %d journals, %d checkpoints, %d rows of state.\n",
		took.Round(time.Millisecond), r.Entries, r.Institutions, r.Checkpoints, r.Rows)
	if r.Erased > 0 {
		fmt.Fprintf(out, "The private values of %d entries were erased.\n", r.Erased)
	}
	if r.Redacted > 0 {
		fmt.Fprintf(out, "Private values of %d entries were left out of the bundle.\n", r.Redacted)
	}
	if r.Unsigned > 0 {
		fmt.Fprintf(out, "Entries that no signature covers, which are not verified: %d.\n", r.Unsigned)
	}
	showKeys(out, r)
	return verdict
}

// firstDifferent says which is the first entry that differs, as far as that is known.
func firstDifferent(r verify.Report) string {
	for _, d := range r.Differences {
		switch d.FirstEntry {
		case 0:
		case d.LastEntry:
			return fmt.Sprintf(" The first entry of %s that differs is %d.", d.Institution, d.FirstEntry)
		default:
			return fmt.Sprintf(" The first entry of %s that differs is one of %d to %d.",
				d.Institution, d.FirstEntry, d.LastEntry)
		}
	}
	return ""
}

// showKeys says which keys signatures were checked with.
func showKeys(out io.Writer, r verify.Report) {
	// Keys that come with the journals prove nothing by themselves: whoever changed a journal could
	// have changed them, too. So the reader has to know which keys were used.
	switch keys := visible.Line(strings.Join(r.Keys, ", ")); {
	case len(r.Keys) == 0:
		fmt.Fprintln(out, "No key has signed anything yet.")
	case r.KeysBrought:
		fmt.Fprintf(out, "Signatures were checked with the keys that come with the journals. "+
			"Compare these with keys from a source that you trust: %s\n", keys)
	default:
		fmt.Fprintf(out, "Signatures were checked with the keys that you gave: %s\n", keys)
	}
}

func showDifferences(out io.Writer, r verify.Report) {
	for _, difference := range r.Differences {
		fmt.Fprintln(out, "DIFFERENCE", difference)
	}
	if more := r.DifferenceCount - int64(len(r.Differences)); more > 0 {
		fmt.Fprintf(out, "… and %d more differences\n", more)
	}
}
