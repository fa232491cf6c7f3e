package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// StoredEntry is an entry as it is stored: its body, as it is hashed, and the columns
// that repeat parts of it.
type StoredEntry struct {
	InstitutionID escrow.InstitutionID
	Sequence      int64
	At            time.Time
	Actor         string
	Kind          escrow.Kind
	Subject       string
	Body          []byte
	// Private is the secret and the private values of the entry, nil where there are none or
	// they were erased. Where the entry was not read from a database, Openings has the values.
	Private  []byte
	Openings escrow.Openings
}

// Entry reads the entry from its body and what is beside it.
func (e StoredEntry) Entry() (escrow.Entry, error) {
	if e.Openings != nil {
		return escrow.ParseOpened(e.Body, e.Openings)
	}
	return escrow.ParseEntry(e.Body, e.Private)
}

var entryTable = newTable("journal_entries", func(e *StoredEntry) []column {
	return []column{
		key("institution_id", uuidColumn(&e.InstitutionID)),
		key("sequence", bigintColumn(&e.Sequence)),
		fixed("at", timeColumn(&e.At)),
		fixed("actor", textColumn(&e.Actor)),
		fixed("kind", textColumn(&e.Kind)),
		fixed("subject", textColumn(&e.Subject)),
		fixed("body", bytesColumn(&e.Body)),
		erasable("private", bytesColumn(&e.Private)),
	}
}, large("body", "private"))

func asStored(e escrow.Entry) StoredEntry {
	return StoredEntry{
		InstitutionID: e.InstitutionID,
		Sequence:      e.Sequence,
		At:            e.At,
		Actor:         e.Actor.String(),
		Kind:          e.Kind,
		Subject:       e.Subject,
		Body:          e.Body,
		Private:       e.Private,
	}
}

// wholeEntry is the columns that have all of an entry.
const wholeEntry = "body, private"

// scanEntry reads an entry from the columns of wholeEntry.
func scanEntry(r row) (escrow.Entry, error) {
	var body, private []byte
	if err := r.Scan(&body, &private); err != nil {
		return escrow.Entry{}, err
	}
	return escrow.ParseEntry(body, private)
}

// The conditions on kinds. That on the other kinds is the one of a partial index, to the
// letter.
var (
	ledgerKinds = "kind IN (" + quoted(escrow.LedgerKinds()) + ")"
	otherKinds  = "kind NOT IN (" + quoted(escrow.LedgerKinds()) + ")"
	// positionKinds are those of entries that a position is the subject of.
	positionKinds = "kind IN (" + quoted(escrow.PositionKinds()) + ")"
)

// quoted lists words of the domain as SQL does.
func quoted[T ~string](words []T) string {
	literals := make([]string, len(words))
	for i, word := range words {
		literals[i] = "'" + string(word) + "'"
	}
	return strings.Join(literals, ", ")
}

// Entries returns a page of an institution's journal. A cursor is a sequence.
func (s *Store) Entries(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.EntryFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Entry], error) {
	l := listOf(entryTable, "sequence")
	l.columns = wholeEntry
	l.where("institution_id = %s", idArg(institution))
	if filter.LedgerOnly {
		l.where(ledgerKinds)
	}
	kinds := make([]string, len(filter.Kinds))
	for i, kind := range filter.Kinds {
		kinds[i] = l.expression("kind = %s", string(kind))
		if !slices.Contains(escrow.LedgerKinds(), kind) {
			kinds[i] += " AND " + otherKinds
		}
	}
	l.whereAny(kinds)
	if filter.Actor != nil {
		l.where("actor = %s", filter.Actor.String())
	}
	l.whereText("subject", filter.Subject)
	if filter.UpTo != 0 {
		l.where("sequence <= %s", filter.UpTo)
	}

	if err := s.whereEntriesIn(ctx, l, institution, filter.Period); err != nil {
		return escrow.Page[escrow.Entry]{}, err
	}
	if page.After != nil {
		l.after(page, page.After.Sequence())
	}
	return pageOf(ctx, s.database, l, page, scanEntry)
}

// whereEntriesIn restricts a list of entries to a period. The times of a journal rise
// with its sequence, so the period is a range of sequences.
func (s *Store) whereEntriesIn(
	ctx context.Context, l *list, institution escrow.InstitutionID, period escrow.Period,
) error {
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

// FirstSequence returns the sequence of the first entry at or after a time, by
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
		entryAt, _, err = one(ctx, s.database, timeOfEntry,
			[]any{idArg(institution), int64(i + 1)}, scanValue[time.Time])
		return !entryAt.Before(at)
	})
	return int64(before) + 1, err
}

// StoredEntries returns the entries of a journal from one sequence to another, both
// included.
func (s *Store) StoredEntries(
	ctx context.Context, institution escrow.InstitutionID, from, to int64,
) ([]StoredEntry, error) {
	return all(ctx, s.database, "SELECT "+entryTable.list+` FROM journal_entries
		WHERE institution_id = $1 AND sequence BETWEEN $2 AND $3 ORDER BY sequence`,
		[]any{idArg(institution), from, to}, entryTable.scan)
}

// EntryBytes returns how many bytes the bodies of entries have together, from one sequence to
// another, both included.
func (s *Store) EntryBytes(
	ctx context.Context, institution escrow.InstitutionID, from, to int64,
) (total int64, err error) {
	total, _, err = one(ctx, s.database, `SELECT coalesce(sum(octet_length(body)), 0) FROM journal_entries
		WHERE institution_id = $1 AND sequence BETWEEN $2 AND $3`,
		[]any{idArg(institution), from, to}, scanValue[int64])
	return total, err
}

// StoredPage returns the entries of a journal after one sequence up to another, as far as a
// page has room for them: at least one where there is one.
func (s *Store) StoredPage(
	ctx context.Context, institution escrow.InstitutionID, after, to int64,
) ([]StoredEntry, error) {
	l := listOf(entryTable, "sequence")
	l.where("institution_id = %s", idArg(institution))
	l.where("sequence <= %s", to)
	page := escrow.PageRequest{Limit: escrow.MaxPageSize}
	l.after(page, after)
	found, err := pageOf(ctx, s.database, l, page, entryTable.scan)
	return found.Items, err
}

// MaxHistories bounds the subjects that Histories is asked for.
const MaxHistories = 64

// Histories returns all entries of at most MaxHistories subjects, those of each in order,
// with their sequence, subject, body and private values.
func (s *Store) Histories(
	ctx context.Context, institution escrow.InstitutionID, subjects []string,
) ([]StoredEntry, error) {
	if len(subjects) == 0 {
		return nil, nil
	}

	// One statement for any number of subjects: those that are missing repeat the last.
	args := append(make([]any, 0, 1+MaxHistories), idArg(institution))
	for i := range MaxHistories {
		args = append(args, subjects[min(i, len(subjects)-1)])
	}

	// Planned once, while the table was small, it would read whole journals ever after.
	entries := []StoredEntry{}
	err := s.database.list(ctx, historiesQuery, args, appendRow(&entries, func(r row) (e StoredEntry, err error) {
		err = r.Scan(&e.Sequence, &e.Subject, &e.Body, &e.Private)
		return e, err
	}))

	// PostgreSQL would not read the index in its order for a list of subjects.
	slices.SortFunc(entries, func(a, b StoredEntry) int {
		return cmp.Or(strings.Compare(a.Subject, b.Subject), cmp.Compare(a.Sequence, b.Sequence))
	})
	return entries, Failure(err)
}

var historiesQuery = "SELECT sequence, subject, " + wholeEntry +
	" FROM journal_entries WHERE institution_id = $1 AND subject IN (" +
	places(2, MaxHistories) + ")"

// places lists so many parameters, beginning with one of this number.
func places(first, count int) string {
	list := make([]string, count)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", first+i)
	}
	return strings.Join(list, ", ")
}

// Range returns the sequences of the first and the last entry that is stored of a
// journal, 0 where there is none.
func (s *Store) Range(ctx context.Context, institution escrow.InstitutionID) (first, last int64, err error) {
	const sequence = "SELECT sequence FROM journal_entries WHERE institution_id = $1 ORDER BY sequence "
	args := []any{idArg(institution)}
	if first, _, err = one(ctx, s.database, sequence+"ASC LIMIT 1", args, scanValue[int64]); err != nil {
		return 0, 0, err
	}
	if last, _, err = one(ctx, s.database, sequence+"DESC LIMIT 1", args, scanValue[int64]); err != nil {
		return 0, 0, err
	}
	return first, last, nil
}

// The queries for a part of one entry.
const (
	bodyOfEntry = "SELECT body FROM journal_entries WHERE institution_id = $1 AND sequence = $2"
	timeOfEntry = "SELECT at FROM journal_entries WHERE institution_id = $1 AND sequence = $2"
)

// EntryBody returns the body of an entry, whatever its other columns have; found is false
// where there is none.
func (s *Store) EntryBody(
	ctx context.Context, institution escrow.InstitutionID, sequence int64,
) (body []byte, found bool, err error) {
	return one(ctx, s.database, bodyOfEntry, []any{idArg(institution), sequence}, scanValue[[]byte])
}

// NextSequence returns the sequence of the first entry of a journal from one on; found is
// false where there is none.
func (s *Store) NextSequence(
	ctx context.Context, institution escrow.InstitutionID, from int64,
) (sequence int64, found bool, err error) {
	return one(ctx, s.database,
		"SELECT sequence FROM journal_entries WHERE institution_id = $1 AND sequence >= $2 ORDER BY sequence LIMIT 1",
		[]any{idArg(institution), from}, scanValue[int64])
}

// Committed finds out whether a group whose outcome is not known was committed,
// by one of its entries. It waits for a transaction that the database may still
// be ending, or that waits for a synchronous standby. Where the entry is not there, it
// moves the head of the journal on, so that a transaction which has yet to begin fails: the
// entry will never be there.
func (s *Store) Committed(ctx context.Context, entry escrow.Entry) (bool, error) {
	journal := entry.InstitutionID
	if entry.Kind == escrow.KindInstitutionCreated {
		// The group that opens a journal is one on the operator's.
		journal = escrow.InstitutionID{}
	}
	s.Forget(journal)
	tx, err := s.Begin(ctx, groupNeeds{journal: {}})
	if err != nil {
		return false, err
	}
	defer tx.Rollback(ctx)

	found := false
	err = tx.read(ctx, bodyOfEntry, []any{idArg(entry.InstitutionID), entry.Sequence}, func(r row) error {
		body, err := scanValue[[]byte](r)
		if err != nil {
			return err
		}
		stored, err := escrow.ParseEntry(body, nil)
		found = stored.ID == entry.ID
		return err
	})
	if err != nil {
		return false, err
	}

	if !found {
		moveOn(tx.Books(journal))
	}
	// Where it is found, the lock has written too: its commit is confirmed only after
	// that of the entry.
	err = commitRepeatable(ctx, tx)
	return found && err == nil, err
}

// moveOn moves the head of a journal on by a microsecond, without an entry: whoever is
// optimistic about the head, or has decided at it, fails.
func moveOn(books *escrow.Books) { books.Head.At = books.Head.At.Add(time.Microsecond) }

// commitRepeatable commits what can be done twice: where its outcome is not known, it can be
// tried again.
func commitRepeatable(ctx context.Context, tx Tx) error {
	err := tx.Commit(ctx)
	if errors.Is(err, ErrOutcomeUnknown) {
		return kinded{ErrUnavailable, err}
	}
	return err
}
