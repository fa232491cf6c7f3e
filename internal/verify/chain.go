package verify

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// chainSource says which journal is read, and what is beside its entries.
type chainSource struct {
	of escrow.InstitutionID
	// last is the sequence of the last entry that is read, lastNow that of the last one
	// by now.
	last    int64
	lastNow func(context.Context) (int64, error)
	// tree is the tree over the journal and says that balances are stored too; it is nil
	// where only entries and checkpoints are.
	tree *storedTree
}

// chain is what is known of a journal so far, entry after entry.
type chain struct {
	chainSource

	v *verification

	roots    translog.Roots
	tiles    []tileInMaking // by level
	balances escrow.Balances
	// head is what the journal's head must be, by the last entry that could be read.
	head escrow.Head
	// broken says that the entries are not those of the tree that was signed: nothing
	// that follows can be compared with it.
	broken bool
	// signed is how many entries the last checkpoint that they match covers, one that was
	// kept elsewhere as well; lastSigned is the last of those beside them.
	signed     int64
	lastSigned translog.Checkpoint
	// seen is the size of the last checkpoint that an earlier verification has found.
	seen int64

	checkpoints checkpointReader
	kept        []keptCheckpoint

	rotations       rotations
	positionEntries int64
}

// readChain reads a journal from its first entry, and compares it with its checkpoints,
// with those that were kept elsewhere, and with the stored tree.
func (v *verification) readChain(ctx context.Context, source chainSource) (*chain, error) {
	c := &chain{
		v:           v,
		chainSource: source,
		checkpoints: checkpointReader{v: v, of: source.of},
		kept:        v.kept[source.of],
		rotations:   make(rotations),
	}
	delete(v.kept, source.of)

	err := inOrder(ctx, v.config,
		v.entryRanges(c.of, c.last),
		func(ctx context.Context, page entryRange) (entriesRead, error) {
			return v.readEntries(ctx, c.of, page)
		},
		c.addPage)

	if err == nil && !c.broken {
		err = c.compareLastTiles(ctx)
	}
	if err == nil {
		err = c.findCheckpointsBeyond(ctx)
	}
	if err != nil {
		return c, err
	}

	c.compareSeen()
	return c, v.noteCoverage(ctx, c)
}

// addPage adds the next page of entries to the chain.
func (c *chain) addPage(ctx context.Context, read entriesRead) error {
	if !read.first.IsZero() && !c.head.At.IsZero() && !read.first.After(c.head.At) {
		c.v.differLate(c.of, c.roots.Size()+1, read.first, c.head.At)
	}
	if !read.last.At.IsZero() {
		c.head = read.last
	}

	c.positionEntries += read.positionEntries
	for _, rotation := range read.rotations {
		c.rotations.add(rotation)
	}

	for place, leaf := range read.leaves {
		if c.broken {
			return nil
		}
		for len(read.postings) > 0 && read.postings[0].place == place {
			c.balances.Add(read.postings[0].posting)
			read.postings = read.postings[1:]
		}
		if err := c.addLeaf(ctx, leaf); err != nil || c.broken {
			return err
		}
		if err := c.compareCheckpoints(ctx); err != nil {
			return err
		}
	}
	c.broken = c.broken || read.broken
	return nil
}

// compareCheckpoints compares the entries so far with the checkpoints of so many.
func (c *chain) compareCheckpoints(ctx context.Context) error {
	c.compareKept()
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
