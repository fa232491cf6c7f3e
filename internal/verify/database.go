package verify

import (
	"context"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// Database verifies all journals of a database, and the tables of state beside them. The
// error is not nil where something could not be read; differences are in the report.
//
// Not looked at are idempotency records and refused attempts, which are kept for a
// while only and stand in no journal.
func Database(ctx context.Context, s *store.Store, config Config) (Report, error) {
	v, err := begin(ctx, config, s, func(ctx context.Context) ([]string, error) {
		keys, err := s.CheckpointKeys(ctx)
		brought := make([]string, len(keys))
		for i, key := range keys {
			brought[i] = key.VerifierKey
		}
		return brought, err
	})
	if err != nil {
		return Report{}, err
	}

	if v.total, err = s.CountEntries(ctx); err != nil {
		return v.report, err
	}
	v.total *= 2 // Once in the order of the journal, once in that of the rows.

	d := &database{verification: v, store: s}
	if err := d.checkOperator(ctx); err != nil {
		return v.report, err
	}

	var of escrow.InstitutionID
	for {
		next, found, err := s.NextTenant(ctx, of)
		if err != nil || !found {
			v.differHeld()
			return v.report, err
		}
		of = next
		if err := d.institution(ctx, of); err != nil {
			return v.report, err
		}
	}
}

// database is the verification of a database.
type database struct {
	*verification
	store *store.Store
}

// checkOperator looks at the operator's own journal, which has no entries.
func (d *database) checkOperator(ctx context.Context) error {
	var operator escrow.InstitutionID
	first, _, err := d.store.Range(ctx, operator)
	if err == nil && first != 0 {
		d.differ(operator, entryName(first), "an entry", nothing+", as the operator has no journal")
	}
	return err
}

// differHeld notes the checkpoints that were kept elsewhere of journals that are not there.
func (v *verification) differHeld() {
	for of, held := range v.held {
		for _, checkpoint := range held {
			v.differ(of, checkpointName(checkpoint.Size)+" that was kept elsewhere", "no journal", "all of the entries")
		}
	}
}

// institution verifies one institution's journal and rows.
func (d *database) institution(ctx context.Context, of escrow.InstitutionID) error {
	d.report.Institutions++
	_, last, err := d.store.Range(ctx, of)
	if err != nil {
		return err
	}

	head, found, err := d.store.Head(ctx, of)
	switch {
	case err != nil:
		return err
	case !found:
		d.differ(of, "journal_heads", nothing, "a row")
		head.Sequence = last
	case last > head.Sequence:
		d.differ(of, entryName(head.Sequence+1), fmt.Sprintf("more entries, up to %d", last), nothing+", as the journal ends before it")
	}

	checkpoint, _, err := d.store.LastCheckpoint(ctx, of, head.Sequence)
	if err != nil {
		return err
	}
	kept := &keptTree{size: checkpoint.Size, tile: func(ctx context.Context, id translog.TileID) ([]byte, bool, error) {
		return d.store.Tile(ctx, of, id)
	}}

	chain, err := d.readChain(ctx, of, head.Sequence, kept, func(ctx context.Context) (int64, error) {
		now, _, err := d.store.Head(ctx, of)
		return now.Sequence, err
	})
	delete(d.held, of)
	if err != nil {
		return err
	}

	// A head in the future would date every entry to come.
	isLast := chain.head.Sequence == head.Sequence
	if found && (isLast && !head.At.Equal(chain.head.At) || head.At.Before(chain.head.At)) {
		d.differ(of, "journal_heads, column last_at", escrow.FormatTime(head.At), escrow.FormatTime(chain.head.At))
	}
	return d.rows(ctx, of, head.Sequence, chain)
}

// rows compares an institution's rows with its journal, of which each entry must have
// made or changed one.
func (d *database) rows(ctx context.Context, of escrow.InstitutionID, known int64, chain *chain) error {
	var accounted int64
	for _, table := range store.BookTables() {
		c := tableRows(d.store, table, of)
		c.others = addRotations(d.store, of, known, chain.rotations)
		entries, err := compareRows(ctx, d.verification, of, known, c)
		if err != nil {
			return err
		}
		accounted += entries
	}
	if accounted == known || chain.broken {
		return nil
	}
	return d.findMissingRow(ctx, of, known)
}

// findMissingRow names the first entry whose row is not there.
func (d *database) findMissingRow(ctx context.Context, of escrow.InstitutionID, known int64) error {
	for stored, err := range entriesUpTo(ctx, d.store, of, known) {
		if err != nil {
			return err
		}
		found, err := d.hasRow(ctx, of, stored.Subject)
		if err != nil {
			return err
		}
		if !found {
			d.differ(of, fmt.Sprintf("the row of %s", stored.Subject), nothing, fmt.Sprintf("a row, as entry %d tells of it", stored.Sequence))
			return nil
		}
	}

	d.differ(of, "the rows of all tables", "what fewer entries tell of", fmt.Sprintf("what all of the %d tell of", known))
	return nil
}

// hasRow reports whether there is a row of a subject in any table.
func (d *database) hasRow(ctx context.Context, of escrow.InstitutionID, subject string) (bool, error) {
	for _, table := range store.BookTables() {
		if has, err := table.Has(ctx, d.store, of, subject); err != nil || has {
			return has, err
		}
	}
	return false, nil
}
