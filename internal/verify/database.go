package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// Database verifies all journals of a database, and the tables of state beside them. An
// error means that something could not be read; differences are in the report.
//
// Idempotency records and security events are not verified: they are deleted after a
// while, and no journal tells of them.
func Database(ctx context.Context, s *store.Store, config Config) (Report, error) {
	v, err := newVerification(ctx, config, s, func(ctx context.Context) ([]string, error) {
		stored, err := s.CheckpointKeys(ctx)
		keys := make([]string, len(stored))
		for i, key := range stored {
			keys[i] = key.VerifierKey
		}
		return keys, err
	})
	if err != nil {
		return Report{}, err
	}

	if v.total, err = s.CountEntries(ctx); err != nil {
		return v.report, err
	}
	v.total *= 2 // Once in the order of the journal, once in that of the rows.

	d := &database{verification: v, store: s}
	if err := d.verifySchema(ctx); err != nil {
		return v.report, err
	}
	if err := d.verifyOperator(ctx); err != nil {
		return v.report, err
	}

	var of escrow.InstitutionID
	for {
		next, found, err := s.NextTenant(ctx, of)
		if errors.Is(err, store.ErrNoID) {
			d.differUnreadable(next, "an institution", err)
			of = next
			continue
		}
		if err != nil || !found {
			v.findKeptOfNoJournal()
			v.judgeTails(true)
			return v.report, err
		}
		of = next
		if err := d.verifyInstitution(ctx, of); err != nil {
			return v.report, err
		}
	}
}

// database is the verification of a database.
type database struct {
	*verification
	store *store.Store
}

// verifySchema compares the schema with what the migrations make, and, unless a server needs
// the machine, has SQLite check its file: an index could show what no row has.
func (d *database) verifySchema(ctx context.Context) error {
	if !d.config.AllowForeignSchema {
		faults, err := d.store.SchemaFaults(ctx)
		if err != nil {
			return err
		}
		for _, fault := range faults {
			d.note(Difference{
				OfDatabase: true,
				What:       "the schema, " + fault.Object,
				There:      excerpt(cmp.Or(fault.There, nothing)),
				Expected:   excerpt(cmp.Or(fault.Expected, nothing)),
			})
		}
	}

	if d.config.Gentle {
		return nil
	}
	damage, err := d.store.Damage(ctx)
	for _, found := range damage {
		d.note(Difference{OfDatabase: true, What: "the file", There: found, Expected: "one without damage"})
	}
	return err
}

// verifyOperator looks at the operator's own journal, which has no entries.
func (d *database) verifyOperator(ctx context.Context) error {
	var operator escrow.InstitutionID
	first, _, err := d.store.Range(ctx, operator)
	if err == nil && first != 0 {
		d.differ(operator, entryName(first), "an entry", nothing+", as the operator has no journal")
	}
	return err
}

// verifyInstitution verifies one institution's journal and rows.
func (d *database) verifyInstitution(ctx context.Context, of escrow.InstitutionID) error {
	d.report.Institutions++
	head, found, err := d.readHead(ctx, of)
	if err != nil {
		return err
	}
	if head.Sequence == 0 {
		d.differ(of, "the journal", "no entry", "one at least, which made the institution")
	}
	signed, err := d.store.LastSize(ctx, of, head.Sequence)
	if err != nil {
		return err
	}

	chain, err := d.readChain(ctx, chainSource{
		of:   of,
		last: head.Sequence,
		tree: &storedTree{
			size: signed,
			tile: func(ctx context.Context, id translog.TileID) (hashes []byte, found bool, err error) {
				return d.store.Tile(ctx, of, id)
			},
		},
		lastNow: func(ctx context.Context) (int64, error) {
			now, _, err := d.store.Head(ctx, of)
			return now.Sequence, err
		},
	})
	if err != nil {
		return err
	}

	// A head in the future would date every entry to come.
	isLast := chain.head.Sequence == head.Sequence
	if found && (isLast && !head.At.Equal(chain.head.At) || head.At.Before(chain.head.At)) {
		d.differ(of, "journal_heads, column last_at", escrow.FormatTime(head.At), escrow.FormatTime(chain.head.At))
	}
	return d.compareTables(ctx, of, head.Sequence, chain)
}

// readHead reads the head of a journal, and compares it with the last entry. Where found
// is false, the head is at that entry.
func (d *database) readHead(ctx context.Context, of escrow.InstitutionID) (head escrow.Head, found bool, err error) {
	_, last, err := d.store.Range(ctx, of)
	if err != nil {
		return head, false, err
	}
	head, found, err = d.store.Head(ctx, of)
	if store.IsUnreadable(ctx, err) {
		d.differUnreadable(of, "journal_heads", err)
		return escrow.Head{Sequence: last}, false, nil
	}
	if err != nil {
		return head, false, err
	}

	switch {
	case !found:
		d.differ(of, "journal_heads", nothing, "a row")
		head.Sequence = last
	case last > head.Sequence:
		d.differ(of, entryName(head.Sequence+1), fmt.Sprintf("more entries, up to %d", last),
			nothing+", as the journal ends before it")
	}
	return head, found, nil
}

// compareTables compares an institution's rows with its journal, of which each entry must
// have made or changed one. The journal had the entries up to known before.
func (d *database) compareTables(ctx context.Context, of escrow.InstitutionID, known int64, chain *chain) error {
	var accounted int64
	for _, table := range store.BookTables() {
		c := tableRows(d.store, table, of)
		c.addOthers = addRotations(d.store, of, known, chain.rotations)
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
	for stored, err := range d.entriesUpTo(ctx, of, known) {
		if err != nil {
			return err
		}
		found, err := d.hasRow(ctx, of, stored.Subject)
		if err != nil {
			return err
		}
		if !found {
			d.differ(of, "the row of "+stored.Subject, nothing,
				fmt.Sprintf("a row, as entry %d tells of it", stored.Sequence))
			return nil
		}
	}

	d.differ(of, "the rows of all tables", "what fewer entries tell of",
		fmt.Sprintf("what all of the %d tell of", known))
	return nil
}

// hasRow reports whether any table has a row of a subject.
func (d *database) hasRow(ctx context.Context, of escrow.InstitutionID, subject string) (bool, error) {
	for _, table := range store.BookTables() {
		if has, err := table.Has(ctx, d.store, of, subject); err != nil || has {
			return has, err
		}
	}
	return false, nil
}
