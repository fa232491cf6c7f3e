package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// acceptCommand accepts that journals have lost entries.
type acceptCommand struct {
	databaseFlags `embed:""`

	SignedCheckpoints string   `env:"SIGNED_CHECKPOINTS_PATH" name:"signed-checkpoints-path" placeholder:"PATH" help:"The server's file of what was signed, for the last checkpoint of what is lost. Default: beside the SQLite database."`
	Institutions      []string `arg:"" optional:"" name:"institution" help:"The institutions to open, like inst_…; those that are halted are listed without any."`
}

// Help explains the command below its flags' list.
func (*acceptCommand) Help() string {
	return `A server halts an institution when its journal has lost entries that were acknowledged: after a failover to a standby that
was behind, or a restored backup. Every command on it is answered 503 history_lost until an operator has accepted the
loss, with this command: it appends an entry HISTORY_ACCEPTED, which names the lost entries and the last checkpoint
that is known of them.

First look for the lost entries: on the old primary, in an archive of the write-ahead log, in bundles, in what clients
were answered. What is accepted as lost is executed again by nobody.

On PostgreSQL servers may run meanwhile; an SQLite file takes one process at a time.`
}

// Run lists the halted institutions, or opens some.
func (c *acceptCommand) Run(ctx context.Context, out output) (err error) {
	institutions := make([]escrow.InstitutionID, len(c.Institutions))
	for i, text := range c.Institutions {
		if err := institutions[i].UnmarshalText([]byte(text)); err != nil {
			return wrongUsage("%q is no institution: %v", text, err)
		}
	}

	var r reader
	databaseURL, _ := r.database(c.databaseFlags)
	if r.err != nil {
		return r.err
	}
	// A file that the operator names must be there.
	if c.SignedCheckpoints != "" {
		if _, err := os.Stat(c.SignedCheckpoints); err != nil {
			return err
		}
	}
	signed, err := journallog.ReadSigned(signedPath(c.SignedCheckpoints, databaseURL))
	if err != nil {
		return err
	}

	database, err := openExisting(ctx, c.databaseFlags, stopServer)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, database.Close()) }()
	halted, err := haltedJournals(ctx, database)
	if err != nil {
		return err
	}
	if len(institutions) == 0 {
		return listHalted(out, halted)
	}

	for _, institution := range institutions {
		at := slices.IndexFunc(halted, func(l store.LostHistory) bool { return l.Institution == institution })
		if at < 0 {
			return fmt.Errorf("%s is not halted", institution)
		}
		lost := halted[at]
		checkpoint, err := lastKnown(ctx, database, signed, institution)
		if err != nil {
			return err
		}
		if err := accept(ctx, database, institution, checkpoint); err != nil {
			return fmt.Errorf("%s: %w", institution, err)
		}
		fmt.Fprintf(out.stdout, "%s is open: entries %d to %d are accepted as lost.\n",
			institution, lost.Head.Sequence+1, lost.Seen.Sequence)
	}
	return nil
}

// signedPath is where a server with a database remembers what it has signed; empty where
// nowhere but in memory.
func signedPath(given, databaseURL string) string {
	path, isSQLite := strings.CutPrefix(databaseURL, "sqlite:")
	if given != "" || !isSQLite || path == ":memory:" {
		return given
	}
	return path + ".signed"
}

// haltedJournals returns the institutions that are halted, in order of id.
func haltedJournals(ctx context.Context, s *store.Store) (halted []store.LostHistory, err error) {
	const page = 1000
	for after := (escrow.InstitutionID{}); ; {
		journals, err := s.HaltedJournals(ctx, after, page)
		if err != nil {
			return nil, err
		}
		halted = append(halted, journals...)
		if len(journals) < page {
			return halted, nil
		}
		after = journals[page-1].Institution
	}
}

func listHalted(out output, halted []store.LostHistory) error {
	if len(halted) == 0 {
		_, err := fmt.Fprintln(out.stdout, "No institution is halted.")
		return err
	}

	table := tabwriter.NewWriter(out.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "HALTED INSTITUTION\tLAST ENTRY\tLOST UP TO")
	for _, lost := range halted {
		fmt.Fprintf(table, "%s\t%d\t%d\n", lost.Institution, lost.Head.Sequence, lost.Seen.Sequence)
	}
	return table.Flush()
}

// lastKnown returns the greatest checkpoint of a journal that is remembered or stored; nil
// where there is none.
func lastKnown(
	ctx context.Context, s *store.Store, signed *journallog.Signed, institution escrow.InstitutionID,
) (*escrow.KnownCheckpoint, error) {
	var known *escrow.KnownCheckpoint
	stored, found, err := s.LastCheckpoint(ctx, institution, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	if found {
		checkpoint, err := translog.Unverified(stored.Note)
		if err != nil {
			return nil, err
		}
		known = &escrow.KnownCheckpoint{Size: stored.Size, Root: checkpoint.Root}
	}

	if last := signed.Last(institution); last.Size > stored.Size {
		known = &escrow.KnownCheckpoint{Size: last.Size, Root: last.Root}
	}
	return known, nil
}

// accept has an engine of its own carry out the command.
func accept(
	ctx context.Context, s *store.Store, institution escrow.InstitutionID, checkpoint *escrow.KnownCheckpoint,
) (err error) {
	e, err := engine.New(engine.Config{
		Store: s, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Random: rand.Reader,
		Metrics: prometheus.NewRegistry(), QueueSize: 1, GroupSize: 1, ExpiryInterval: time.Hour,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close(context.WithoutCancel(ctx))) }()

	_, err = e.Do(ctx, escrow.Request{
		Institution: institution, Actor: escrow.ActorRoot(), RequestID: "accept-history-" + rand.Text(),
		Command: escrow.AcceptHistory{Checkpoint: checkpoint},
	})
	return err
}
