package verify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// keptCheckpoint is a checkpoint that was kept elsewhere.
type keptCheckpoint struct {
	translog.Checkpoint

	// seen says that an earlier verification has found it in the database, so it must still
	// be there, or one of more entries.
	seen bool
	// signed says that a server remembers to have signed it.
	signed bool
}

// openKept opens checkpoints that were kept elsewhere, and orders those of each
// institution by size.
func openKept(notes [][]byte, trusted translog.Verifiers) (map[escrow.InstitutionID][]keptCheckpoint, error) {
	kept := make(map[escrow.InstitutionID][]keptCheckpoint)
	for _, note := range notes {
		checkpoint, err := trusted.Open(note)
		if err != nil {
			return nil, err
		}
		of, err := checkpoint.Institution()
		if err != nil {
			return nil, err
		}
		kept[of] = append(kept[of], keptCheckpoint{Checkpoint: checkpoint})
	}
	return kept, nil
}

// addRemembered adds what an earlier verification has found, and what a server has signed, to
// what was kept.
func (v *verification) addRemembered() {
	if v.config.Seen != nil {
		v.report.Seen = maps.Clone(v.config.Seen)
	}
	for of, checkpoint := range v.config.Seen {
		v.kept[of] = append(v.kept[of], keptCheckpoint{Checkpoint: checkpoint, seen: true})
	}
	for of, checkpoint := range v.config.Signed {
		v.kept[of] = append(v.kept[of], keptCheckpoint{Checkpoint: checkpoint, signed: true})
	}

	for _, ofOne := range v.kept {
		slices.SortFunc(ofOne, func(a, b keptCheckpoint) int { return cmp.Compare(a.Size, b.Size) })
	}
}

// openedCheckpoint is a stored checkpoint with what its note says.
type openedCheckpoint struct {
	store.Checkpoint

	opened translog.Checkpoint
	// fault is why the note is none of this journal's, or empty.
	fault string
}

// checkpointReader reads a journal's checkpoints in order of size.
type checkpointReader struct {
	v  *verification
	of escrow.InstitutionID

	page  []openedCheckpoint
	after *escrow.Cursor
	ended bool
}

// peek returns the next checkpoint; ok is false after the last.
func (r *checkpointReader) peek(ctx context.Context) (next openedCheckpoint, ok bool, err error) {
	if len(r.page) == 0 && !r.ended {
		if err := r.readPage(ctx); err != nil {
			return next, false, err
		}
	}

	if len(r.page) == 0 {
		return next, false, nil
	}
	return r.page[0], true, nil
}

func (r *checkpointReader) pop() { r.page = r.page[1:] }

func (r *checkpointReader) readPage(ctx context.Context) error {
	request := escrow.PageRequest{Limit: escrow.MaxPageSize, After: r.after}
	page, err := r.v.journal.Checkpoints(ctx, r.of, request)
	if store.IsUnreadable(ctx, err) {
		page, err = r.nextAlone(ctx)
	}
	if err != nil {
		return fmt.Errorf("checkpoints of %s: %w", r.of, err)
	}
	if err := r.v.renewKeys(ctx); err != nil {
		return fmt.Errorf("keys that sign checkpoints: %w", err)
	}

	r.page, r.ended = r.v.openAll(page.Items), !page.More
	if len(page.Items) > 0 {
		r.after = new(escrow.SequenceCursor(page.Items[len(page.Items)-1].Size))
	}
	return nil
}

// nextAlone reads the next checkpoint alone: one that cannot be read hides those beside it.
func (r *checkpointReader) nextAlone(ctx context.Context) (page escrow.Page[store.Checkpoint], err error) {
	page, fault := r.v.journal.Checkpoints(ctx, r.of, escrow.PageRequest{Limit: 1, After: r.after})
	if !store.IsUnreadable(ctx, fault) {
		return page, fault
	}

	var after int64
	if r.after != nil {
		after = r.after.Sequence()
	}
	next, found, err := r.v.journal.NextNote(ctx, r.of, after)
	if err != nil && !store.IsUnreadable(ctx, err) || !found || next.Size <= after {
		return page, errors.Join(fault, err)
	}
	r.v.differUnreadable(r.of, checkpointName(next.Size), fault)
	return escrow.Page[store.Checkpoint]{Items: []store.Checkpoint{next}, More: true}, nil
}

// openAll checks the signatures of checkpoints, each worker those of a share: it takes
// longer than all else about them.
func (v *verification) openAll(stored []store.Checkpoint) []openedCheckpoint {
	opened := make([]openedCheckpoint, len(stored))
	var working sync.WaitGroup
	share := (len(stored) + v.config.Workers - 1) / v.config.Workers
	for from := 0; from < len(stored); from += share {
		working.Go(func() {
			for i := from; i < min(from+share, len(stored)); i++ {
				opened[i] = v.open(stored[i])
			}
		})
	}
	working.Wait()
	return opened
}

func (v *verification) open(stored store.Checkpoint) openedCheckpoint {
	c := openedCheckpoint{Checkpoint: stored}
	var err error
	if c.opened, err = v.trusted.Open(stored.Note); err != nil {
		c.fault = err.Error()
		return c
	}

	if of, err := c.opened.Institution(); err != nil || of != stored.Institution || c.opened.Size != stored.Size {
		c.fault = fmt.Sprintf("one of %d entries of %s", c.opened.Size, c.opened.Origin)
	}
	return c
}

func checkpointName(size int64) string { return fmt.Sprintf("checkpoint of %d entries", size) }

func (k keptCheckpoint) name() string {
	switch {
	case k.seen:
		return checkpointName(k.Size) + " that an earlier verification has found"
	case k.signed:
		return checkpointName(k.Size) + " that the server has signed"
	}
	return checkpointName(k.Size) + " that was kept elsewhere"
}

// compareCheckpoint compares a checkpoint with the entries that it covers.
func (c *chain) compareCheckpoint(ctx context.Context, stored openedCheckpoint) error {
	c.v.mu.Lock()
	c.v.report.Checkpoints++
	c.v.mu.Unlock()

	if stored.fault != "" {
		c.v.differ(c.of, checkpointName(stored.Size), stored.fault,
			"one of this size and journal, signed by a key that is trusted")
		return nil
	}
	if root := c.roots.Root(); root != stored.opened.Root {
		return c.findBreak(ctx, stored, root)
	}

	c.signed, c.lastSigned = stored.Size, stored.opened
	return c.compareColumns(stored)
}

// findBreak notes that the entries have another root than was signed, or, if the tree tells
// it, which of them are not those that were.
func (c *chain) findBreak(ctx context.Context, stored openedCheckpoint, root translog.Hash) error {
	for level := range c.tiles {
		if err := c.compareTile(ctx, level); err != nil || c.broken {
			return err
		}
	}

	c.broken, c.brokenAt = true, stored.Size
	c.v.differIn(c.of, c.signed+1, stored.Size, "the root "+root.String(),
		stored.opened.Root.String()+", as it was signed")
	return nil
}

// compareColumns compares what is stored beside the note of a checkpoint.
func (c *chain) compareColumns(stored openedCheckpoint) error {
	if stored.At.IsZero() {
		return nil // It could not be read.
	}
	name := checkpointName(stored.Size)
	if !stored.At.Equal(stored.opened.At) {
		c.v.differ(c.of, name+", column at", escrow.FormatTime(stored.At), escrow.FormatTime(stored.opened.At))
	}
	if c.tree == nil {
		return nil // Balances are in a database alone.
	}

	expected, err := json.Marshal(&c.balances)
	if err != nil {
		return err
	}
	there, err := json.Marshal(&stored.Balances)
	if err != nil {
		return err
	}

	if !bytes.Equal(there, expected) {
		c.v.differ(c.of, name+", column balances", string(there), string(expected))
	}
	return nil
}

// compareKept compares the entries so far with the checkpoints of so many that were kept
// elsewhere.
func (c *chain) compareKept() {
	for len(c.kept) > 0 && c.kept[0].Size <= c.roots.Size() {
		kept := c.kept[0]
		c.kept = c.kept[1:]

		root := c.roots.Root()
		switch {
		case kept.Size != c.roots.Size():
		case root != kept.Root && c.forgets(kept):
		case root != kept.Root:
			c.v.differ(c.of, fmt.Sprintf("entries 1 to %d", kept.Size), "the root "+root.String(),
				kept.Root.String()+", as the "+kept.name()+" says")
		case kept.seen:
			c.seen = kept.Size
		case kept.signed: // The file has no signature, so it covers nothing.
		default:
			c.signed = max(c.signed, kept.Size)
		}
	}
}

// compareSeen looks whether a checkpoint that was in the database is still there, or one of
// more entries.
func (c *chain) compareSeen() {
	if c.seen > c.lastSigned.Size && !c.broken {
		c.v.differ(c.of, checkpointName(c.seen), nothing, "a checkpoint, as an earlier verification has found it")
		return
	}

	c.v.mu.Lock()
	defer c.v.mu.Unlock()
	if c.v.report.Seen != nil && (c.forgotten || c.lastSigned.Size > c.v.report.Seen[c.of].Size) {
		c.v.report.Seen[c.of] = c.lastSigned
	}
	c.v.newest = later(c.v.newest, c.lastSigned.At)
}

// findCheckpointsBeyond finds checkpoints of more entries than there are.
func (c *chain) findCheckpointsBeyond(ctx context.Context) error {
	const all = "all of the entries"
	if !c.broken {
		c.kept = slices.DeleteFunc(c.kept, c.forgets)
	}
	if len(c.kept) > 0 && !c.broken {
		c.v.differ(c.of, c.kept[len(c.kept)-1].name(), journalOf(c.roots.Size()), all)
	}

	for last := int64(0); ; {
		next, ok, err := c.checkpoints.peek(ctx)
		if err != nil || !ok {
			return err
		}
		c.checkpoints.pop()
		if next.Size <= last {
			continue
		}

		// Both may have grown since the entries were read.
		if last, err = c.lastNow(ctx); err != nil {
			return err
		}
		if next.Size > last {
			c.v.differ(c.of, checkpointName(next.Size), journalOf(last), all)
			return nil
		}
	}
}

func journalOf(entries int64) string { return fmt.Sprintf("a journal of %d entries", entries) }

// findKeptOfNoJournal notes the checkpoints that were kept elsewhere of journals that are
// not there.
func (v *verification) findKeptOfNoJournal() {
	for of, kept := range v.kept {
		for _, checkpoint := range kept {
			if checkpoint.signed && !v.whole {
				continue
			}
			v.differ(of, checkpoint.name(), "no journal", "all of the entries")
		}
	}
}
