package verify

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// Bundle verifies the journal in a bundle, with nothing but the file. A bundle has no
// rows; the entries of every position are applied again, with their money, and
// Report.Rows counts the positions.
func Bundle(ctx context.Context, b *bundle.Bundle, config Config) (Report, error) {
	keys := func(context.Context) ([]string, error) { return b.Keys, nil }
	v, err := newVerification(ctx, config, b, keys)
	if err != nil {
		return Report{}, err
	}
	if err := b.Check(ctx); err != nil {
		return v.report, err
	}
	v.total = 2 * b.Last
	chain, err := v.readBundledChain(ctx, b)
	if err == nil && chain.broken {
		v.findKeptOfNoJournal()
		v.judgeTails(false)
	}
	if err != nil || chain.broken {
		return v.report, err
	}

	accounted, err := compareRows(ctx, v, b.Institution, b.Last, comparison[createdPosition]{
		name:    "positions",
		page:    v.positionsCreated(b),
		cursor:  createdPosition.cursor,
		subject: func(p createdPosition) string { return p.subject },
		fields:  func(createdPosition) []field { return nil },
		rebuild: func(p createdPosition, history []escrow.Entry) (createdPosition, error) {
			_, err := rebuildPosition(history)
			return p, err
		},
	})
	if err == nil {
		err = v.compareReads(ctx, b, accounted, chain.ofPositions)
	}
	v.findKeptOfNoJournal()
	v.judgeTails(false)
	return v.report, err
}

// readBundledChain verifies the journal in a bundle, entry after entry.
func (v *verification) readBundledChain(ctx context.Context, b *bundle.Bundle) (*chain, error) {
	v.report.Institutions++
	v.redacted = b.Redacted
	chain, err := v.readChain(ctx, chainSource{
		of:      b.Institution,
		last:    b.Last,
		lastNow: func(context.Context) (int64, error) { return b.Last, nil },
	})
	if err == nil && chain.asks && !chain.broken {
		err = v.comparePrivateOfApprovals(ctx, b)
	}
	return chain, err
}

// compareReads compares the entries that the positions account for with those that the journal had
// of them before.
func (v *verification) compareReads(ctx context.Context, b *bundle.Bundle, accounted, expected multiset) error {
	switch {
	case accounted.count != expected.count:
		return v.findStrayTransition(ctx, b)
	case accounted != expected:
		v.differ(b.Institution, "the file", "other entries than when it was read before", "the same")
	}
	return nil
}

// createdPosition is a position by the entry that created it.
type createdPosition struct {
	subject  string
	sequence int64
}

func (p createdPosition) cursor() *escrow.Cursor { return new(escrow.SequenceCursor(p.sequence)) }

// positionsCreated pages through the positions that a journal's entries create.
func (v *verification) positionsCreated(
	b *bundle.Bundle,
) func(context.Context, escrow.PageRequest) (escrow.Page[createdPosition], error) {
	next := v.entryRanges(b.Institution, b.Last)
	return func(ctx context.Context, _ escrow.PageRequest) (page escrow.Page[createdPosition], err error) {
		entries, more, err := next(ctx)
		if err != nil || !more {
			return page, err
		}

		for entry, err := range v.pageEntries(ctx, b.Institution, entries.from, entries.to, nil) {
			if err != nil {
				return page, err
			}
			if entry.Kind == escrow.KindPositionCreated {
				page.Items = append(page.Items, createdPosition{subject: entry.Subject, sequence: entry.Sequence})
			}
		}
		page.More = entries.to < b.Last
		return page, nil
	}
}

// creates reports whether an entry creates a position.
func creates(stored store.StoredEntry) bool {
	entry, err := escrow.ParseEntry(stored.Body, nil)
	return err == nil && entry.Kind == escrow.KindPositionCreated
}

// findStrayTransition names the first transition of a position that no entry created.
func (v *verification) findStrayTransition(ctx context.Context, b *bundle.Bundle) error {
	for entry, err := range v.entriesUpTo(ctx, b.Institution, b.Last) {
		if err != nil {
			return err
		}
		if !entry.Kind.OfPosition() || entry.Kind == escrow.KindPositionCreated {
			continue
		}

		history, err := b.Histories(ctx, b.Institution, []string{entry.Subject})
		if err != nil {
			return err
		}
		if len(history) == 0 || !creates(history[0]) {
			v.differAt(b.Institution, entry.Sequence, "an entry on "+entry.Subject,
				"one of a position that an entry created")
			return nil
		}
	}

	v.differ(b.Institution, "the positions", "entries that are of none", "each entry once in the history of one")
	return nil
}
