package verify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// heldCheckpoint is a checkpoint that was kept elsewhere.
type heldCheckpoint = translog.Checkpoint

// readHeld opens checkpoints that were kept elsewhere, and orders those of each
// institution by size.
func readHeld(notes [][]byte, trusted translog.Verifiers) (map[escrow.InstitutionID][]heldCheckpoint, error) {
	held := make(map[escrow.InstitutionID][]heldCheckpoint)
	for _, note := range notes {
		checkpoint, err := trusted.Open(note)
		if err != nil {
			return nil, err
		}
		of, err := institutionOf(checkpoint)
		if err != nil {
			return nil, err
		}
		held[of] = append(held[of], checkpoint)
	}

	for _, ofOne := range held {
		slices.SortFunc(ofOne, func(a, b heldCheckpoint) int { return cmp.Compare(a.Size, b.Size) })
	}
	return held, nil
}

// institutionOf reads whose journal a checkpoint is of out of its origin.
func institutionOf(c translog.Checkpoint) (escrow.InstitutionID, error) {
	var of escrow.InstitutionID
	if err := of.UnmarshalText([]byte(c.Origin[strings.LastIndex(c.Origin, "/")+1:])); err != nil {
		return of, fmt.Errorf("the origin of a checkpoint, %q, ends in no institution: %w", c.Origin, err)
	}
	return of, nil
}

// readCheckpoint is a checkpoint as it is kept, with what its note says.
type readCheckpoint struct {
	store.Checkpoint
	opened translog.Checkpoint
	// fault, where there is one, is why the note is none of this journal's.
	fault string
}

// checkpointReader reads a journal's checkpoints in order of size.
type checkpointReader struct {
	v  *verification
	of escrow.InstitutionID

	page  []readCheckpoint
	after *escrow.Cursor
	ended bool
}

// peek returns the next checkpoint; ok is false after the last.
func (r *checkpointReader) peek(ctx context.Context) (next readCheckpoint, ok bool, err error) {
	if len(r.page) == 0 && !r.ended {
		page, err := r.v.journal.Checkpoints(ctx, r.of, escrow.PageRequest{Limit: escrow.MaxPageSize, After: r.after})
		if err != nil {
			return next, false, fmt.Errorf("checkpoints of %s: %w", r.of, err)
		}
		if err := r.v.renewKeys(ctx); err != nil {
			return next, false, fmt.Errorf("keys that sign checkpoints: %w", err)
		}
		r.page, r.ended = r.v.open(page.Items), !page.More
		if len(page.Items) > 0 {
			r.after = new(escrow.SequenceCursor(page.Items[len(page.Items)-1].Size))
		}
	}

	if len(r.page) == 0 {
		return next, false, nil
	}
	return r.page[0], true, nil
}

func (r *checkpointReader) pop() { r.page = r.page[1:] }

// open checks the signatures of checkpoints, which takes longer than all else about them.
func (v *verification) open(kept []store.Checkpoint) []readCheckpoint {
	read := make([]readCheckpoint, len(kept))
	var working sync.WaitGroup
	share := (len(kept) + v.config.Workers - 1) / v.config.Workers
	for from := 0; from < len(kept); from += share {
		working.Go(func() {
			for i := from; i < min(from+share, len(kept)); i++ {
				read[i] = v.openOne(kept[i])
			}
		})
	}
	working.Wait()
	return read
}

func (v *verification) openOne(kept store.Checkpoint) readCheckpoint {
	read := readCheckpoint{Checkpoint: kept}
	var err error
	if read.opened, err = v.trusted.Open(kept.Note); err != nil {
		read.fault = err.Error()
		return read
	}
	if of, err := institutionOf(read.opened); err != nil || of != kept.Institution || read.opened.Size != kept.Size {
		read.fault = fmt.Sprintf("one of %d entries of %s", read.opened.Size, read.opened.Origin)
	}
	return read
}

func checkpointName(size int64) string { return fmt.Sprintf("checkpoint of %d entries", size) }

// compareCheckpoint compares a checkpoint with the entries that it covers.
func (c *chain) compareCheckpoint(ctx context.Context, kept readCheckpoint) error {
	c.v.mu.Lock()
	c.v.report.Checkpoints++
	c.v.mu.Unlock()

	name := checkpointName(kept.Size)
	if kept.fault != "" {
		c.v.differ(c.of, name, kept.fault, "one of this size and journal, signed by a key that is trusted")
		return nil
	}

	if root := c.roots.Root(); root != kept.opened.Root {
		for level := range c.tiles {
			if err := c.compareTile(ctx, level); err != nil || c.broken {
				return err // The tile tells where it is.
			}
		}
		c.broken = true
		c.v.differ(c.of, fmt.Sprintf("entries %d to %d", c.signed+1, kept.Size), "the root "+root.String(),
			kept.opened.Root.String()+", as it was signed")
		return nil
	}

	c.signed = kept.Size
	if c.kept == nil {
		return nil
	}

	sums, err := json.Marshal(&c.balances)
	if err != nil {
		return err
	}
	keptSums, err := json.Marshal(&kept.Balances)
	if err != nil {
		return err
	}
	if !bytes.Equal(sums, keptSums) {
		c.v.differ(c.of, name+", column balances", string(keptSums), string(sums))
	}

	if !kept.At.Equal(kept.opened.At) {
		c.v.differ(c.of, name+", column at", escrow.FormatTime(kept.At), escrow.FormatTime(kept.opened.At))
	}
	return nil
}

// compareHeld compares the entries with a checkpoint of this size that was kept elsewhere.
func (c *chain) compareHeld() {
	for len(c.held) > 0 && c.held[0].Size <= c.roots.Size() {
		if root := c.roots.Root(); c.held[0].Size == c.roots.Size() && root != c.held[0].Root {
			c.v.differ(c.of, fmt.Sprintf("entries 1 to %d", c.held[0].Size), "the root "+root.String(),
				c.held[0].Root.String()+", as the checkpoint says that was kept elsewhere")
		}
		c.held = c.held[1:]
	}
}

// compareEnd finds checkpoints of more entries than there are. end tells the sequence of
// the last entry by now.
func (c *chain) compareEnd(ctx context.Context, end func(context.Context) (int64, error)) error {
	if len(c.held) > 0 && !c.broken {
		c.v.differ(c.of, checkpointName(c.held[len(c.held)-1].Size)+" that was kept elsewhere",
			fmt.Sprintf("a journal of %d entries", c.roots.Size()), "all of the entries")
	}

	for size := int64(0); ; {
		next, ok, err := c.checkpoints.peek(ctx)
		if err != nil || !ok {
			return err
		}
		c.checkpoints.pop()
		if next.Size <= size {
			continue
		}
		if size, err = end(ctx); err != nil {
			return err
		}
		if next.Size > size {
			c.v.differ(c.of, checkpointName(next.Size), fmt.Sprintf("a journal of %d entries", size), "all of the entries")
			return nil
		}
	}
}
