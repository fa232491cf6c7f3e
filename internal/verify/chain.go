package verify

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// entryPage is how many entries a worker reads at once.
const entryPage = 512

// entriesRead is what a worker found in a page of a journal.
type entriesRead struct {
	// leaves are the hashes of the entries, as far as none is missing; broken says that
	// one is.
	leaves []translog.Hash
	broken bool
	// moves are what the entries moved, by place in the page.
	moves []move
	// first is the time of the first entry, last the head after the last one, of those that
	// could be read.
	first time.Time
	last  escrow.Head
	// rotations are the entries that put an API key in the place of another.
	rotations []escrow.Entry
	// steps counts the entries of positions.
	steps int64
}

type move struct {
	place   int
	posting escrow.Posting
}

// chain is what is known of a journal so far, entry after entry.
type chain struct {
	v  *verification
	of escrow.InstitutionID
	// kept is nil where only the entries and checkpoints are.
	kept *keptTree

	roots    translog.Roots
	tiles    []tileOf // by level
	balances escrow.Balances
	// head is what the journal's head must be, by the last entry that could be read.
	head escrow.Head
	// broken says that the entries are not those of the tree that was signed: nothing
	// that follows can be compared with it.
	broken bool
	// signed is the size of the last checkpoint that the entries lead to.
	signed int64

	checkpoints checkpointReader
	held        []heldCheckpoint

	rotations rotations
	// steps counts the entries of positions.
	steps int64
}

// readChain reads a journal from its first entry to one of a sequence, and compares it
// with its checkpoints and, where kept is not nil, with what else is kept of it. end
// tells the sequence of the last entry by now.
func (v *verification) readChain(
	ctx context.Context, of escrow.InstitutionID, to int64, kept *keptTree, end func(context.Context) (int64, error),
) (*chain, error) {
	c := &chain{
		v: v, of: of, kept: kept, checkpoints: checkpointReader{v: v, of: of}, held: v.held[of],
		rotations: make(rotations),
	}

	next := int64(1)
	err := inOrder(ctx, v.config,
		func(context.Context) (page [2]int64, ok bool, err error) {
			page = [2]int64{next, min(to, next+entryPage-1)}
			next += entryPage
			return page, page[0] <= to, nil
		},
		func(ctx context.Context, page [2]int64) (entriesRead, error) {
			return v.readEntries(ctx, of, page[0], page[1])
		},
		c.take)

	if err == nil && !c.broken {
		err = c.compareLastTiles(ctx, end)
	}
	if err == nil {
		err = c.compareEnd(ctx, end)
	}

	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Entries += to
	v.report.Unsigned += to - c.signed
	return c, err
}

// entriesUpTo returns the entries of a journal, page by page, up to a sequence. It ends with
// the first error.
func entriesUpTo(ctx context.Context, j journal, of escrow.InstitutionID, last int64) iter.Seq2[store.StoredEntry, error] {
	return func(yield func(store.StoredEntry, error) bool) {
		for from := int64(1); from <= last; from += entryPage {
			entries, err := j.StoredEntries(ctx, of, from, min(last, from+entryPage-1))
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

// readEntries reads a page of a journal and looks at each entry by itself.
func (v *verification) readEntries(ctx context.Context, of escrow.InstitutionID, from, to int64) (entriesRead, error) {
	entries, err := v.journal.StoredEntries(ctx, of, from, to)
	if err != nil {
		return entriesRead{}, fmt.Errorf("entries %d to %d of %s: %w", from, to, of, err)
	}

	read := entriesRead{leaves: make([]translog.Hash, 0, len(entries))}
	expected := from
	for _, stored := range entries {
		if stored.Sequence != expected && !read.broken {
			v.differ(of, entryName(expected), nothing, "an entry")
			read.broken = true
		}
		expected = stored.Sequence + 1
		if !read.broken {
			read.leaves = append(read.leaves, translog.LeafHash(stored.Body))
		}
		v.readEntry(of, stored, &read)
	}

	if expected <= to && !read.broken {
		v.differ(of, entryName(expected), nothing, "an entry")
		read.broken = true
	}
	v.proceed(len(entries))
	return read, nil
}

func entryName(sequence int64) string { return fmt.Sprintf("entry %d", sequence) }

// readEntry looks at one entry.
func (v *verification) readEntry(of escrow.InstitutionID, stored store.StoredEntry, read *entriesRead) {
	entry, err := escrow.ParseEntry(stored.Body)
	if err == nil {
		err = entry.Check()
	}
	if err != nil {
		v.differ(of, entryName(stored.Sequence), shown(string(stored.Body))+" ("+err.Error()+")", "an entry as it is written")
		return
	}

	v.compare(of, entryName(stored.Sequence), []field{
		{Name: "institution", Value: entry.InstitutionID.String()},
		{Name: "sequence", Value: fmt.Sprint(entry.Sequence)},
		{Name: "column at", Value: escrow.FormatTime(stored.At)},
		{Name: "column actor", Value: stored.Actor},
		{Name: "column kind", Value: string(stored.Kind)},
		{Name: "column subject", Value: stored.Subject},
	}, []field{
		{Name: "institution", Value: of.String()},
		{Name: "sequence", Value: fmt.Sprint(stored.Sequence)},
		{Name: "column at", Value: escrow.FormatTime(entry.At)},
		{Name: "column actor", Value: entry.Actor.String()},
		{Name: "column kind", Value: string(entry.Kind)},
		{Name: "column subject", Value: entry.Subject},
	})

	if read.first.IsZero() {
		read.first = entry.At
	} else if !entry.At.After(read.last.At) {
		v.differLate(of, entry.Sequence, entry.At, read.last.At)
	}
	read.last = escrow.Head{Sequence: stored.Sequence, At: entry.At}

	if _, step, ok := entry.PositionEvent(); ok {
		read.steps++
		if posting, moves := step.Posting(); moves {
			read.moves = append(read.moves, move{len(read.leaves) - 1, posting})
		}
	}
	if _, rotates := entry.ReplacedKey(); rotates {
		read.rotations = append(read.rotations, entry)
	}
}

// differLate notes that an entry is not later than the one before it.
func (v *verification) differLate(of escrow.InstitutionID, sequence int64, at, before time.Time) {
	v.differ(of, entryName(sequence), "the time "+escrow.FormatTime(at), "one after "+escrow.FormatTime(before))
}

// take adds the next page to the chain.
func (c *chain) take(ctx context.Context, read entriesRead) error {
	if !read.first.IsZero() && !c.head.At.IsZero() && !read.first.After(c.head.At) {
		c.v.differLate(c.of, c.roots.Size()+1, read.first, c.head.At)
	}
	if !read.last.At.IsZero() {
		c.head = read.last
	}

	c.steps += read.steps
	for _, rotation := range read.rotations {
		c.rotations.add(rotation)
	}

	for place, leaf := range read.leaves {
		if c.broken {
			return nil
		}
		for len(read.moves) > 0 && read.moves[0].place == place {
			c.balances.Add(read.moves[0].posting)
			read.moves = read.moves[1:]
		}
		if err := c.add(ctx, leaf); err != nil || c.broken {
			return err
		}
		if err := c.compare(ctx); err != nil {
			return err
		}
	}
	c.broken = c.broken || read.broken
	return nil
}

// compare compares the entries so far with what was signed of so many.
func (c *chain) compare(ctx context.Context) error {
	c.compareHeld()
	for {
		next, ok, err := c.checkpoints.peek(ctx)
		if err != nil || !ok || next.Size > c.roots.Size() {
			return err
		}
		c.checkpoints.pop()
		if err := c.compareCheckpoint(ctx, next); err != nil || c.broken {
			return err
		}
	}
}
