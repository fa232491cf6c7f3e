package verify

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// Bundle verifies the journal in a bundle, with nothing but the file. There are no rows
// in it; every position is led through its life again, with its money. Report.Rows counts
// the positions.
func Bundle(ctx context.Context, b *bundle.Bundle, config Config) (Report, error) {
	v, err := begin(ctx, config, b, func(context.Context) ([]string, error) { return b.Keys, nil })
	if err != nil {
		return Report{}, err
	}
	v.total = 2 * b.Last
	chain, err := v.bundled(ctx, b)
	if err != nil {
		return v.report, err
	}

	accounted, err := compareRows(ctx, v, b.Institution, b.Last, comparison[life]{
		name:    "positions",
		page:    v.lives(b),
		cursor:  life.cursor,
		subject: life.subject,
		fields:  func(life) []field { return nil },
		rebuild: func(l life, history []escrow.Entry) (life, error) {
			_, err := positionOf(history)
			return l, err
		},
	})
	if err == nil && accounted != chain.steps && !chain.broken {
		err = v.findStrayStep(ctx, b)
	}
	v.differHeld()
	return v.report, err
}

// bundled verifies the journal in a bundle, entry after entry.
func (v *verification) bundled(ctx context.Context, b *bundle.Bundle) (*chain, error) {
	v.report.Institutions++
	chain, err := v.readChain(ctx, b.Institution, b.Last, nil, func(context.Context) (int64, error) { return b.Last, nil })
	delete(v.held, b.Institution)
	return chain, err
}

// life is a position by the entry that made it.
type life struct {
	position string
	sequence int64
}

func (l life) cursor() *escrow.Cursor { return new(escrow.SequenceCursor(l.sequence)) }
func (l life) subject() string        { return l.position }

// lives pages through the positions that a journal's entries make.
func (v *verification) lives(b *bundle.Bundle) func(context.Context, escrow.PageRequest) (escrow.Page[life], error) {
	var read int64
	return func(ctx context.Context, _ escrow.PageRequest) (page escrow.Page[life], err error) {
		entries, err := b.StoredEntries(ctx, b.Institution, read+1, read+rowPage)
		if err != nil {
			return page, err
		}

		read += rowPage
		for _, entry := range entries {
			if entry.Kind == escrow.KindPositionCreated {
				page.Items = append(page.Items, life{entry.Subject, entry.Sequence})
			}
		}
		page.More = read < b.Last
		return page, nil
	}
}

// findStrayStep names the first step of a position that no entry has made.
func (v *verification) findStrayStep(ctx context.Context, b *bundle.Bundle) error {
	for entry, err := range entriesUpTo(ctx, b, b.Institution, b.Last) {
		if err != nil {
			return err
		}
		if entry.Kind != escrow.KindPositionStateChanged {
			continue
		}

		history, err := b.Histories(ctx, b.Institution, []string{entry.Subject})
		if err != nil {
			return err
		}
		if len(history) == 0 || history[0].Kind != escrow.KindPositionCreated {
			v.differ(b.Institution, entryName(entry.Sequence), "a step of "+entry.Subject, "one of a position that an entry has made")
			return nil
		}
	}

	v.differ(b.Institution, "the positions", "entries that are of none", "each entry once in the life of one")
	return nil
}
