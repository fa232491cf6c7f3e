package store

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func scanEntry(r row, e *escrow.Entry) error {
	var body []byte
	if err := r.Scan(&body); err != nil {
		return err
	}
	var err error
	*e, err = escrow.ParseEntry(body)
	return err
}

var entryTable = newTable("journal_entries", 2,
	[]string{
		"institution_id uuid", "sequence bigint", "at timestamptz", "actor text", "kind text", "subject text", "body bytea",
	},
	func(e *escrow.Entry, to columns) error {
		to.id(e.InstitutionID)
		to.number(e.Sequence)
		to.time(e.At)
		to.text(e.Actor.String())
		to.text(string(e.Kind))
		to.text(e.Subject)
		to.bytes(e.Body)
		return nil
	})

// head is the end of a journal with the institution whose it is.
type head struct {
	institution escrow.InstitutionID
	escrow.Head
}

var headTable = newTable("journal_heads", 1,
	[]string{"institution_id uuid", "sequence bigint", "last_at timestamptz"},
	func(h *head, to columns) error {
		to.id(h.institution)
		to.number(h.Sequence)
		to.time(h.At)
		return nil
	})

// headMove is what a batch does to the end of a journal.
type headMove struct {
	institution escrow.InstitutionID
	from, to    escrow.Head
}

// headMoves changes the rows of headTable. An end that is not where the batch
// found it would become -1, which the table's CHECK refuses: the batch was decided
// on books that are out of date.
var headMoves = table[headMove]{
	updateRow: `UPDATE journal_heads SET
		sequence = CASE WHEN sequence = $2 AND last_at = $3 THEN $4 ELSE -1 END, last_at = $5
		WHERE institution_id = $1`,
	updateSet: `UPDATE journal_heads AS t SET
		sequence = CASE WHEN t.sequence = n.from_sequence AND t.last_at = n.from_at THEN n.to_sequence ELSE -1 END, last_at = n.to_at
		FROM unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::timestamptz[])
			AS n (institution_id, from_sequence, from_at, to_sequence, to_at)
		WHERE t.institution_id = n.institution_id`,
	write: func(m *headMove, to columns) error {
		to.id(m.institution)
		to.number(m.from.Sequence)
		to.time(m.from.At)
		to.number(m.to.Sequence)
		to.time(m.to.At)
		return nil
	},
}

func scanHead(r row, h *head) error {
	return r.Scan((*[16]byte)(&h.institution), &h.Sequence, &h.At)
}

// otherKinds is the condition of the partial index on the other kinds, to the
// letter.
const otherKinds = "kind NOT IN ('POSITION_CREATED', 'POSITION_STATE_CHANGED')"

// Entries returns a page of an institution's journal. A cursor is a sequence.
func (s *Store) Entries(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.EntryFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Entry], error) {
	l := &list{from: "SELECT body FROM journal_entries", key: "sequence"}
	l.where("institution_id = %s", idArg(institution))
	if filter.LedgerOnly {
		l.where("kind IN ('POSITION_CREATED', 'POSITION_STATE_CHANGED')")
	}
	if kind := filter.Kind; kind != "" {
		l.where("kind = %s", string(kind))
		if kind != escrow.KindPositionCreated && kind != escrow.KindPositionStateChanged {
			l.where(otherKinds)
		}
	}
	if filter.Actor != nil {
		l.where("actor = %s", filter.Actor.String())
	}
	l.whereText("subject", filter.Subject)
	if filter.UpTo != 0 {
		l.where("sequence <= %s", filter.UpTo)
	}
	if err := s.entriesOf(ctx, l, institution, filter.Period); err != nil {
		return escrow.Page[escrow.Entry]{}, err
	}
	if page.After != nil {
		l.after(page, page.After.Sequence())
	}
	return pageOf(ctx, s, l, page, scanEntry)
}

// entriesOf restricts a list of entries to a period. The times of a journal rise
// with its sequence, so the period is a range of sequences.
func (s *Store) entriesOf(ctx context.Context, l *list, institution escrow.InstitutionID, period escrow.Period) error {
	if period.From != nil {
		sequence, err := s.FirstSequence(ctx, institution, *period.From)
		if err != nil {
			return err
		}
		l.where("sequence >= %s", sequence)
	}
	if period.To != nil {
		sequence, err := s.FirstSequence(ctx, institution, *period.To)
		if err != nil {
			return err
		}
		l.where("sequence < %s", sequence)
	}
	return nil
}

// FirstSequence returns the sequence of the first entry at or after a moment, by
// bisection on the primary key; one past the last where there is none.
func (s *Store) FirstSequence(ctx context.Context, institution escrow.InstitutionID, at time.Time) (int64, error) {
	head, _, err := s.Head(ctx, institution)
	if err != nil {
		return 0, err
	}
	before := sort.Search(int(head.Sequence), func(i int) bool {
		if err != nil {
			return true
		}
		var entryAt time.Time
		entryAt, _, err = one(ctx, s, "SELECT at FROM journal_entries WHERE institution_id = $1 AND sequence = $2",
			[]any{idArg(institution), int64(i + 1)}, func(r row, at *time.Time) error { return r.Scan(at) })
		return !entryAt.Before(at)
	})
	return int64(before) + 1, err
}

// Head returns the end of an institution's journal; found is false where there
// is no such institution.
func (s *Store) Head(ctx context.Context, institution escrow.InstitutionID) (head escrow.Head, found bool, err error) {
	return one(ctx, s, "SELECT sequence, last_at FROM journal_heads WHERE institution_id = $1",
		[]any{idArg(institution)}, func(r row, h *escrow.Head) error { return r.Scan(&h.Sequence, &h.At) })
}

// Committed finds out whether a batch whose outcome is not known was committed,
// by one of its entries. It waits for a transaction that the database may still
// be ending. Where the entry is not there, it moves the end of the journal on by a
// microsecond, so that a transaction which has yet to begin fails: the entry will
// never be there.
func (s *Store) Committed(ctx context.Context, entry escrow.Entry) (bool, error) {
	journal := entry.InstitutionID
	if entry.Kind == escrow.KindInstitutionCreated {
		// The batch that opens a journal is one on the operator's.
		journal = escrow.InstitutionID{}
	}
	s.Forget(journal)
	batch, err := s.Begin(ctx, batchNeeds{journal: {}})
	if err != nil {
		return false, err
	}
	defer batch.Rollback(ctx)
	stored, found, err := one(ctx, s, "SELECT body FROM journal_entries WHERE institution_id = $1 AND sequence = $2",
		[]any{idArg(entry.InstitutionID), entry.Sequence}, scanEntry)
	if err != nil || found && stored.ID == entry.ID {
		return err == nil, err
	}
	books := batch.Books(journal)
	books.Head.At = books.Head.At.Add(time.Microsecond)
	if err = batch.Commit(ctx); errors.Is(err, ErrOutcomeUnknown) {
		return false, kinded{ErrUnavailable, err} // It can be tried again.
	}
	return false, err
}
