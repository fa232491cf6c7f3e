package verify

import (
	"context"
	"slices"

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
	// that follows can be compared with it. brokenAt is the last of the entries of which one is
	// the first that is another, or missing; 0 where that is not known.
	broken   bool
	brokenAt int64
	// signed is how many entries the last checkpoint that they match covers, one that was
	// kept elsewhere as well; lastSigned is the last of those beside them.
	signed     int64
	lastSigned translog.Checkpoint
	// seen is the size of the last checkpoint that an earlier verification has found; forgotten
	// says that the loss of one was accepted.
	seen      int64
	forgotten bool

	checkpoints checkpointReader
	kept        []keptCheckpoint

	// acceptances are the entries that accept a loss.
	acceptances []escrow.Entry
	rotations   rotations
	// audit finds what had no approval, and tells what comes of approval rules. erases says that an entry has
	// erased something, and asks that one has asked for an approval, or erased one.
	audit        *escrow.ApprovalAudit
	erases, asks bool
	// all are the entries that were read, ofPositions those of positions.
	all, ofPositions multiset
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
		audit:       escrow.NewApprovalAudit(source.of),
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

	if c.brokenAt > 0 {
		v.forgetBehind(c.of, c.brokenAt)
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
		read.last.Closed = max(read.last.Closed, c.head.Closed)
		c.head = read.last
	}

	c.all.merge(read.all)
	c.ofPositions.merge(read.ofPositions)
	for _, rotation := range read.rotations {
		c.rotations.add(rotation)
	}

	c.acceptances = append(c.acceptances, read.acceptances...)
	c.erases = c.erases || read.erases
	if err := c.auditApprovals(ctx, read.ofAudit); err != nil {
		return err
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
	if read.broken && !c.broken {
		c.broken, c.brokenAt = true, c.roots.Size()+1
	}
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

// forgets reports whether the operator has accepted the loss of a checkpoint that this
// installation remembers. Whoever else has kept one is told of the loss all the same.
func (c *chain) forgets(kept keptCheckpoint) bool {
	if !kept.seen && !kept.signed {
		return false
	}
	accepted := slices.ContainsFunc(c.acceptances, func(entry escrow.Entry) bool {
		lost, _ := entry.AcceptedLoss()
		return entry.Sequence <= kept.Size && kept.Size <= lost
	})
	c.forgotten = c.forgotten || accepted && kept.seen
	return accepted
}
