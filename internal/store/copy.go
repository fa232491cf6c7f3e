package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// This file copies a whole database into another, of the same kind or of the other. Journals are
// applied entry by entry, as commands are committed: a copy that was cut off holds the beginnings
// of journals, with the state that they make, and is gone on with from there.

var (
	// ErrUnfinishedCopy means that another database is being copied into this one, or was until
	// that was cut off.
	ErrUnfinishedCopy = errors.New("the database is a copy that is not finished: run escrowgrid copy again")
	// ErrNotEmpty means that a database has something in it, and is no copy that was cut off.
	ErrNotEmpty = errors.New("the database to copy to is not empty")
	// ErrOtherSource means that an unfinished copy is of another database.
	ErrOtherSource = errors.New("the unfinished copy is of another database")
	// ErrStillWritten means that a database was written to after it was copied.
	ErrStillWritten = errors.New("the database that is copied is still written to")
)

// unfinishedCopy marks the database that another one is being copied into.
type unfinishedCopy struct {
	Source  string
	BegunAt time.Time
}

// copyTable is written by whoever owns the tables. A server only looks whether it is empty.
var copyTable = func() *table[unfinishedCopy] {
	t := newTable("unfinished_copies", func(c *unfinishedCopy) []column {
		return []column{
			key("source", textColumn(&c.Source)),
			fixed("begun_at", timeColumn(&c.BegunAt)),
		}
	})
	t.grant = "SELECT"
	return t
}()

// CheckCopy returns ErrUnfinishedCopy while the database is a copy that is not finished.
func (s *Store) CheckCopy(ctx context.Context) error {
	c, found, err := s.unfinishedCopy(ctx)
	if err != nil || !found {
		return err
	}
	return fmt.Errorf("%w (of %s, begun %s)", ErrUnfinishedCopy, c.Source, escrow.FormatTime(c.BegunAt))
}

func (s *Store) unfinishedCopy(ctx context.Context) (unfinishedCopy, bool, error) {
	return one(ctx, s.database, "SELECT "+copyTable.list+" FROM unfinished_copies LIMIT 1", nil, copyTable.scan)
}

// Servers counts the sessions of other EscrowGrid processes with the database, as far as it can
// tell: an SQLite file has one process, and a pooler hides whose sessions are. Nothing else may use
// the Store meanwhile.
func (s *Store) Servers(ctx context.Context) (int64, error) { return s.database.others(ctx) }

// BeginCopy marks the database as a copy that is not finished: from here on no server starts on
// it. It returns ErrNotEmpty where anything is in it, unless it is marked already.
func (s *Store) BeginCopy(ctx context.Context, source string, now time.Time) error {
	if _, found, err := s.unfinishedCopy(ctx); err != nil || found {
		return err
	}

	tables := []tableInfo{entryTable}
	for _, t := range bookTables {
		tables = append(tables, t)
	}
	for _, t := range copiedTables {
		tables = append(tables, t)
	}
	for _, t := range tables {
		_, found, err := one(ctx, s.database, "SELECT 1 FROM "+t.Name()+" LIMIT 1", nil, scanValue[int64])
		if err != nil {
			return err
		}
		if found {
			return fmt.Errorf("%w: %s has rows", ErrNotEmpty, t.Name())
		}
	}
	return s.database.transact(ctx, func(sink changeSink) error {
		return insert(sink, copyTable, []unfinishedCopy{{Source: source, BegunAt: now}})
	})
}

// FinishCopy lets servers start on a copy.
func (s *Store) FinishCopy(ctx context.Context) error {
	_, err := s.database.exec(ctx, "DELETE FROM unfinished_copies", nil)
	return Failure(err)
}

// CopyFrom copies what another database has and this one does not have yet; BeginCopy comes
// before it. Journals are copied to the last byte, and the state is rebuilt from them. What no
// journal tells of is copied as it is, but for leases, which end with the processes that have
// them, and sessions: people log in again. It returns ErrOtherSource where the two have different
// histories, and ErrStillWritten where the other has grown meanwhile: what was copied stays, and
// CopyFrom goes on from there.
//
// Progress, unless it is nil, is told how many entries are copied of how many.
func (s *Store) CopyFrom(ctx context.Context, from *Store, progress func(done, total int64)) error {
	heads, err := from.allHeads(ctx)
	if err != nil {
		return err
	}
	before, err := s.allHeads(ctx)
	if err != nil {
		return err
	}
	if err := s.checkBeginnings(ctx, from, before, heads); err != nil {
		return err
	}

	c := copying{from: from, to: s, progress: progress}
	for _, h := range heads {
		c.total += h.Sequence
	}
	for _, h := range heads {
		if err := c.journal(ctx, h, headOf(before, h.InstitutionID)); err != nil {
			return fmt.Errorf("the journal of %s: %w", h.InstitutionID, err)
		}
	}
	for _, t := range copiedTables {
		if err := t.copyRows(ctx, from.database, s.database); err != nil {
			return fmt.Errorf("copy %s: %w", t.Name(), err)
		}
	}

	return c.settle(ctx, heads)
}

// allHeads reads the heads of all journals, the operator's first, as they are at one moment.
func (s *Store) allHeads(ctx context.Context) ([]head, error) {
	return all(ctx, s.database, "SELECT "+headTable.list+" FROM journal_heads ORDER BY institution_id", nil,
		headTable.scan)
}

func headOf(heads []head, of escrow.InstitutionID) head {
	at, found := slices.BinarySearchFunc(heads, of, func(h head, of escrow.InstitutionID) int {
		return h.InstitutionID.Compare(of)
	})
	if !found {
		return head{InstitutionID: of}
	}
	return heads[at]
}

// checkBeginnings returns ErrOtherSource unless every journal of the copy is the beginning of one
// of the source.
func (s *Store) checkBeginnings(ctx context.Context, from *Store, copied, heads []head) error {
	for _, h := range copied {
		if h.Sequence == 0 {
			continue // The operator has no journal.
		}

		there, _, err := s.EntryBody(ctx, h.InstitutionID, h.Sequence)
		if err != nil {
			return err
		}
		expected, found, err := from.EntryBody(ctx, h.InstitutionID, h.Sequence)
		if err != nil {
			return err
		}
		if !found || !bytes.Equal(there, expected) || headOf(heads, h.InstitutionID).Sequence < h.Sequence {
			return fmt.Errorf("%w: entry %d of %s is not in the other", ErrOtherSource, h.Sequence, h.InstitutionID)
		}
	}
	return nil
}

// copying is a copy that is under way.
type copying struct {
	from, to    *Store
	done, total int64
	progress    func(done, total int64)
}

func (c *copying) proceed(entries int64) {
	c.done += entries
	if c.progress != nil {
		c.progress(c.done, c.total)
	}
}

// journal copies a journal up to a head, from where the copy of it ends.
func (c *copying) journal(ctx context.Context, source, copied head) error {
	of, after := source.InstitutionID, copied.Sequence
	c.proceed(after)

	for after < source.Sequence {
		upTo := source.Sequence
		if after == 0 {
			upTo = 1 // It opens the journal, in the operator's books.
		}
		stored, err := c.from.StoredPage(ctx, of, after, upTo)
		if err != nil {
			return err
		}
		if len(stored) == 0 {
			return fmt.Errorf("entry %d is missing", after+1)
		}

		books := of
		if after == 0 {
			books = escrow.InstitutionID{}
		}
		if err := c.apply(ctx, books, stored); err != nil {
			return err
		}
		after = stored[len(stored)-1].Sequence
		c.proceed(int64(len(stored)))
	}
	return nil
}

// apply commits entries in the books of the copy.
func (c *copying) apply(ctx context.Context, of escrow.InstitutionID, stored []StoredEntry) error {
	entries := make([]escrow.Entry, len(stored))
	for i, s := range stored {
		entry, err := s.Entry()
		if err != nil {
			return fmt.Errorf("entry %d: %w", s.Sequence, err)
		}
		entries[i] = entry
	}

	tx, err := c.to.Begin(ctx, groupNeeds{of: escrow.ReapplyNeeds(entries)})
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	for _, entry := range entries {
		if err := tx.Books(of).Reapply(entry); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

// settle sets the heads to what those of the source were when the copy began: a head can be later
// than its last entry, and a journal can be closed. The source must not have gone on since then.
func (c *copying) settle(ctx context.Context, heads []head) error {
	copied, err := c.to.allHeads(ctx)
	if err != nil {
		return err
	}
	for _, h := range heads {
		if sameHead(headOf(copied, h.InstitutionID).Head, h.Head) {
			continue
		}
		if err := c.setHead(ctx, h); err != nil {
			return err
		}
	}

	now, err := c.from.allHeads(ctx)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(heads, now, func(a, b head) bool {
		return a.InstitutionID == b.InstitutionID && sameHead(a.Head, b.Head)
	}) {
		return ErrStillWritten
	}
	return nil
}

func (c *copying) setHead(ctx context.Context, h head) error {
	tx, err := c.to.Begin(ctx, groupNeeds{h.InstitutionID: {}})
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	tx.Books(h.InstitutionID).Head = h.Head
	return tx.Commit(ctx)
}
