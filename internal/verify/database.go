package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// Database verifies all journals of a database, and the tables of state beside them. An
// error means that something could not be read; differences are in the report.
//
// Idempotency records, security events and sessions are not verified: they are deleted after a while,
// and no journal tells of them. Of sealed secrets no more is verified than which there are.
func Database(ctx context.Context, s *store.Store, config Config) (Report, error) {
	v, err := newVerification(ctx, config, storedJournals{s}, func(ctx context.Context) ([]string, error) {
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

	v.whole = true
	d := &database{verification: v, store: s}
	if err := d.verifySchema(ctx); err != nil {
		return v.report, err
	}
	if err := d.verifyKeys(ctx); err != nil {
		return v.report, err
	}
	operator, err := d.verifyOperator(ctx)
	if err != nil {
		return v.report, err
	}

	var of escrow.InstitutionID
	for {
		next, found, err := s.NextTenant(ctx, of)
		isNone := errors.Is(err, store.ErrNoID)
		if isNone {
			d.differUnreadable(next, "an institution", err)
			err = nil
		}
		if isNone && found {
			of = next
			continue
		}
		if err != nil || !found {
			d.compareOperator(operator)
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

// storedJournals reads the journals of a database as they are stored.
type storedJournals struct{ *store.Store }

// Checkpoints implements journal.
func (j storedJournals) Checkpoints(
	ctx context.Context, of escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[store.Checkpoint], error) {
	return j.ExactCheckpoints(ctx, of, page)
}

// database is the verification of a database.
type database struct {
	*verification
	store *store.Store
	// holds counts the rows of holds that were seen on an institution's positions.
	holds int64
	// holdsUnread says that not all of them could be read.
	holdsUnread atomic.Bool
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

// verifyKeys looks at the keys that sign checkpoints: each private key must be that of its public
// key, or servers would sign with one that nobody can look up.
func (d *database) verifyKeys(ctx context.Context) error {
	keys, err := d.store.ExactCheckpointKeys(ctx)
	if store.IsUnreadable(ctx, err) {
		d.differUnreadable(escrow.InstitutionID{}, "checkpoint_keys", err)
		return nil
	}
	for _, key := range keys {
		name := "checkpoint_keys " + excerpt(key.VerifierKey)
		if key.Fault != nil {
			d.differUnreadable(escrow.InstitutionID{}, name, key.Fault)
			continue
		}
		if key.SigningKey == "" {
			continue
		}

		const own = "the private key of this public key"
		signer, err := translog.NewSigner(key.SigningKey)
		switch {
		case err != nil:
			d.differ(escrow.InstitutionID{}, name+", column signing_key", "what "+err.Error(), own)
		case signer.VerifierKey() != key.VerifierKey:
			d.differ(escrow.InstitutionID{}, name+", column signing_key", "that of "+signer.VerifierKey(), own)
		}
	}
	return err
}

// verifyOperator looks at what the operator has, who is no institution: a head, which is
// returned, and nothing else that a journal tells of.
func (d *database) verifyOperator(ctx context.Context) (escrow.Head, error) {
	var operator escrow.InstitutionID
	names, err := d.store.TablesOfNobody(ctx)
	if err != nil {
		return escrow.Head{}, err
	}
	for _, name := range names {
		d.differ(operator, name, "a row of no institution", nothing)
	}

	head, found, err := d.store.Head(ctx, operator)
	switch {
	case store.IsUnreadable(ctx, err):
		d.differUnreadable(operator, "journal_heads", err)
		return escrow.Head{}, nil
	case err != nil:
		return head, err
	case !found:
		d.differ(operator, "journal_heads", nothing, "a row, with which institutions are made")
	case head.Sequence != 0 || head.Lost != 0:
		d.differ(operator, "journal_heads", fmt.Sprintf("the sequence %d", max(head.Sequence, head.Lost)),
			"0, as the operator has no journal")
	}
	return head, nil
}

// headMoves is how far a head can be after its last entry: it is moved on by a microsecond,
// without an entry, where a group must not be committed any more, and when an institution is
// closed.
const headMoves = time.Millisecond

// compareOperator compares the operator's head with the newest of all journals: one in the
// future would date every institution to come.
func (d *database) compareOperator(head escrow.Head) {
	newest := later(d.newest, time.Unix(0, 0))
	if head.At.After(newest.Add(headMoves)) {
		d.differ(escrow.InstitutionID{}, "journal_heads, column last_at",
			escrow.FormatTime(head.At), "at most "+escrow.FormatTime(newest))
	}
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
			each: func(ctx context.Context, each func(level, number, bytes int64)) error {
				return d.store.EachTile(ctx, of, each)
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

	if head.Lost != 0 {
		d.differ(of, "journal_heads, column lost_sequence", fmt.Sprint(head.Lost),
			"0, unless the journal has lost this entry, which is then for the operator to accept")
	}
	// A head in the future would date every entry to come.
	isLast := chain.head.Sequence == head.Sequence
	if isLast && head.Closed != chain.head.Closed {
		d.differ(of, "journal_heads, column closed_sequence", fmt.Sprint(head.Closed), fmt.Sprint(chain.head.Closed))
	}
	if isLast && !chain.audit.Broken() {
		d.compareApprovalsOfHead(of, head, chain.audit)
	}
	inFuture := isLast && head.At.After(chain.head.At.Add(headMoves))
	if found && (inFuture || head.At.Before(chain.head.At)) {
		d.differ(of, "journal_heads, column last_at", escrow.FormatTime(head.At), escrow.FormatTime(chain.head.At))
	}
	if err := d.compareTables(ctx, of, head.Sequence, chain); err != nil {
		return err
	}
	if err := d.compareSecrets(ctx, of); err != nil {
		return err
	}
	return d.compareApprovals(ctx, of, head.Sequence, chain)
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
		d.differAt(of, head.Sequence+1, fmt.Sprintf("more entries, up to %d", last),
			nothing+", as the journal ends before it")
	}
	return head, found, nil
}

// compareTables compares an institution's rows with its journal, of which each entry must
// have made or changed one. The journal had the entries up to known before.
func (d *database) compareTables(ctx context.Context, of escrow.InstitutionID, known int64, chain *chain) error {
	var accounted multiset
	for _, table := range store.BookTables() {
		c := tableRows(d.store, table, of)
		rotations := addRotations(d.store, of, known, chain.rotations)
		c.addOthers = func(ctx context.Context, rows []store.Row, histories map[string][]escrow.Entry) error {
			if err := rotations(ctx, rows, histories); err != nil {
				return err
			}
			return d.compareHolds(ctx, of, known, histories)
		}
		entries, err := compareRows(ctx, d.verification, of, known, c)
		if err != nil {
			return err
		}
		accounted.merge(entries)
	}

	if err := d.countHolds(ctx, of, known); err != nil {
		return err
	}
	switch {
	case chain.broken || accounted == chain.all:
	case accounted.count != known:
		return d.findMissingRow(ctx, of, known)
	case chain.all.count == known: // Where not, an entry was noted that cannot be read.
		d.differ(of, "the journal", "other entries than when it was read before", "the same")
	}
	return nil
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
