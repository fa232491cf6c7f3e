package verify

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// entryPage is how many entries a worker has at once, of which it reads as many together as
// have escrow.MaxPageBytes.
const entryPage = 512

// entriesRead is what a worker found in a page of a journal.
type entriesRead struct {
	// leaves are the hashes of the entries up to the first that is missing; broken says
	// that one is.
	leaves []translog.Hash
	broken bool
	// postings are what the entries moved, by place in the page.
	postings []postingAt
	// first is the time of the first entry, last the head after the last one, of those
	// that could be read.
	first time.Time
	last  escrow.Head
	// rotations are the entries that put an API key in the place of another.
	rotations []escrow.Entry
	// acceptances are the entries that accept that others were lost, ofAudit those of which an
	// escrow.ApprovalAudit must be told.
	acceptances, ofAudit []escrow.Entry
	// erases says that one of the entries has erased something.
	erases bool
	// all are the entries, ofPositions those of positions.
	all, ofPositions multiset
}

// postingAt is a posting with the place of its entry in a page.
type postingAt struct {
	place   int
	posting escrow.Posting
}

func entryName(sequence int64) string { return fmt.Sprintf("entry %d", sequence) }

func rangeName(first, last int64) string {
	if first == last {
		return entryName(first)
	}
	return fmt.Sprintf("entries %d to %d", first, last)
}

// entryRange is the sequences of a page of a journal.
type entryRange struct {
	// expected is what follows on the page before; where it is less than from, entries are
	// missing between the two.
	expected int64
	from, to int64
}

// entryRanges pages through the entries of a journal up to a sequence. It looks for the
// first entry of each page: numbers alone, of which a forger can leave out as many as there
// are, make no page.
func (v *verification) entryRanges(
	of escrow.InstitutionID, last int64,
) func(context.Context) (page entryRange, ok bool, err error) {
	next := int64(1)
	return func(ctx context.Context) (page entryRange, ok bool, err error) {
		if next > last {
			return page, false, nil
		}
		from, found, err := v.journal.NextSequence(ctx, of, next)
		if err != nil {
			return page, false, err
		}
		if !found || from > last {
			from = last
		}

		page = entryRange{expected: next, from: from, to: from + min(last-from, entryPage-1)}
		if next = page.to + 1; page.to == last {
			next, last = 1, 0
		}
		return page, true, nil
	}
}

// entriesUpTo returns the entries of a journal, page by page, up to a sequence. It ends
// with the first error.
func (v *verification) entriesUpTo(
	ctx context.Context, of escrow.InstitutionID, last int64,
) iter.Seq2[store.StoredEntry, error] {
	return func(yield func(store.StoredEntry, error) bool) {
		for next := v.entryRanges(of, last); ; {
			page, ok, err := next(ctx)
			if err == nil && !ok {
				return
			}
			if err != nil {
				yield(store.StoredEntry{}, err)
				return
			}

			for entry, err := range v.pageEntries(ctx, of, page.from, page.to, nil) {
				if !yield(entry, err) || err != nil {
					return
				}
			}
		}
	}
}

// noteFault is told of an entry that cannot be read.
type noteFault func(of escrow.InstitutionID, what string, fault error)

// errTooLarge means that an entry has more bytes than any that a server writes.
var errTooLarge = errors.New("it is larger than any entry")

// pageEntries returns the entries from one sequence to another, of which it has at most
// escrow.MaxPageBytes at once. An entry that alone is larger is not read; note, unless it is nil,
// is told of it, and its body is empty. It ends with the first error.
func (v *verification) pageEntries(
	ctx context.Context, of escrow.InstitutionID, from, to int64, note noteFault,
) iter.Seq2[store.StoredEntry, error] {
	return func(yield func(store.StoredEntry, error) bool) {
		parts := []entryRange{{from: from, to: to}}
		for len(parts) > 0 {
			part := parts[len(parts)-1]
			parts = parts[:len(parts)-1]
			size, err := v.journal.EntryBytes(ctx, of, part.from, part.to)
			var entries []store.StoredEntry
			switch {
			case err != nil:
			case size <= escrow.MaxPageBytes:
				entries, err = v.storedEntries(ctx, of, part.from, part.to, note)
			case part.from == part.to:
				if note != nil {
					note(of, entryName(part.from), errTooLarge)
				}
				entries = []store.StoredEntry{{InstitutionID: of, Sequence: part.from}}
			default:
				half := part.from + (part.to-part.from)/2
				parts = append(parts, entryRange{from: half + 1, to: part.to}, entryRange{from: part.from, to: half})
			}

			if err != nil {
				yield(store.StoredEntry{}, err)
				return
			}
			for _, entry := range entries {
				if !yield(entry, nil) {
					return
				}
			}
		}
	}
}

// storedEntries reads the entries from one sequence to another. One that cannot be read hides
// those beside it, so it is looked for; note, unless it is nil, is told of it, and its body
// stands alone.
func (v *verification) storedEntries(
	ctx context.Context, of escrow.InstitutionID, from, to int64, note noteFault,
) ([]store.StoredEntry, error) {
	entries, err := v.journal.StoredEntries(ctx, of, from, to)
	if !store.IsUnreadable(ctx, err) {
		return entries, err
	}
	if from < to {
		half := from + (to-from)/2
		before, err := v.storedEntries(ctx, of, from, half, note)
		if err != nil {
			return nil, err
		}
		after, err := v.storedEntries(ctx, of, half+1, to, note)
		return append(before, after...), err
	}

	body, found, failed := v.journal.EntryBody(ctx, of, from)
	if failed != nil && !store.IsUnreadable(ctx, failed) || !found {
		return nil, errors.Join(err, failed)
	}
	if note != nil {
		note(of, entryName(from), err)
	}
	entry, _ := escrow.ParseEntry(body, nil)
	return []store.StoredEntry{{
		InstitutionID: of,
		Sequence:      from,
		At:            entry.At,
		Actor:         entry.Actor.String(),
		Kind:          entry.Kind,
		Subject:       entry.Subject,
		Body:          body,
	}}, nil
}

// readEntries reads a page of a journal and looks at each entry by itself.
func (v *verification) readEntries(
	ctx context.Context, of escrow.InstitutionID, page entryRange,
) (entriesRead, error) {
	read := entriesRead{leaves: make([]translog.Hash, 0, entryPage)}
	expected, count := page.expected, 0
	for stored, err := range v.pageEntries(ctx, of, page.from, page.to, v.differUnreadable) {
		if err != nil {
			return entriesRead{}, fmt.Errorf("entries %d to %d of %s: %w", page.from, page.to, of, err)
		}
		count++
		if stored.Sequence != expected && !read.broken {
			v.differAt(of, expected, nothing, "an entry")
			read.broken = true
		}
		expected = stored.Sequence + 1
		read.broken = read.broken || len(stored.Body) == 0 // What was not read makes no leaf.
		if !read.broken {
			read.leaves = append(read.leaves, translog.LeafHash(stored.Body))
		}
		v.readEntry(of, stored, &read)
	}

	if expected <= page.to && !read.broken {
		v.differAt(of, expected, nothing, "an entry")
		read.broken = true
	}
	v.proceed(count)
	return read, nil
}

// readEntry looks at one entry, and adds to what was read what follows from it.
func (v *verification) readEntry(of escrow.InstitutionID, stored store.StoredEntry, read *entriesRead) {
	entry, err := stored.Entry()
	if err == nil {
		err = entry.Check()
	}
	if err != nil {
		v.differAt(of, stored.Sequence, excerpt(string(stored.Body))+" ("+err.Error()+")", "an entry as it is written")
		return
	}

	v.compareParts(of, stored, entry)
	v.comparePrivate(of, entry)
	if read.first.IsZero() {
		read.first = entry.At
	} else if !entry.At.After(read.last.At) {
		v.differLate(of, entry.Sequence, entry.At, read.last.At)
	}
	read.last.Sequence, read.last.At = stored.Sequence, entry.At
	if entry.Kind == escrow.KindInstitutionClosed {
		read.last.Closed = stored.Sequence
	}

	read.all.add(v.secret, entry.Body)
	if entry.Kind.OfPosition() {
		read.ofPositions.add(v.secret, entry.Body)
	}
	if _, transition, ok := entry.PositionEvent(); ok {
		if posting, moves := transition.Posting(); moves {
			read.postings = append(read.postings, postingAt{place: len(read.leaves) - 1, posting: posting})
		}
	}
	if entry.IsOfAudit() {
		read.ofAudit = append(read.ofAudit, entry)
	}
	read.erases = read.erases || entry.Erases()
	if _, rotates := entry.ReplacedKey(); rotates {
		read.rotations = append(read.rotations, entry)
	}
	if _, accepts := entry.AcceptedLoss(); accepts {
		read.acceptances = append(read.acceptances, entry)
	}
}

// compareParts compares the parts of an entry with where it stands, and with the columns
// that repeat them.
func (v *verification) compareParts(of escrow.InstitutionID, stored store.StoredEntry, entry escrow.Entry) {
	there := []field{
		{Name: "institution", Value: entry.InstitutionID.String()},
		{Name: "sequence", Value: fmt.Sprint(entry.Sequence)},
		{Name: "column at", Value: escrow.FormatTime(stored.At)},
		{Name: "column actor", Value: stored.Actor},
		{Name: "column kind", Value: string(stored.Kind)},
		{Name: "column subject", Value: stored.Subject},
	}
	expected := []field{
		{Name: "institution", Value: of.String()},
		{Name: "sequence", Value: fmt.Sprint(stored.Sequence)},
		{Name: "column at", Value: escrow.FormatTime(entry.At)},
		{Name: "column actor", Value: entry.Actor.String()},
		{Name: "column kind", Value: string(entry.Kind)},
		{Name: "column subject", Value: entry.Subject},
	}

	v.compareEntry(of, stored.Sequence, there, expected)
}

// differLate notes that an entry is not later than the one before it.
func (v *verification) differLate(of escrow.InstitutionID, sequence int64, at, before time.Time) {
	v.differAt(of, sequence, "the time "+escrow.FormatTime(at), "one after "+escrow.FormatTime(before))
}
