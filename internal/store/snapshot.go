package store

import (
	"context"
	"sync/atomic"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// snapshot is where a journal stood at some time after a reader asked. What is
// remembered of its generation answers the reader; that is nothing where it is 0.
type snapshot struct {
	institution escrow.InstitutionID
	generation  int64
	head        escrow.Head
}

// WithSnapshot returns a context for the reads of one request: all of them are at least
// as new as one snapshot, which is taken once.
func WithSnapshot(ctx context.Context) context.Context {
	return context.WithValue(ctx, snapshotKey{}, new(atomic.Pointer[snapshot]))
}

type snapshotKey struct{}

// snapshotFor returns the snapshot of a context, or takes one.
func (s *Store) snapshotFor(ctx context.Context, institution escrow.InstitutionID) (snapshot, error) {
	if err := ctx.Err(); err != nil {
		return snapshot{}, kinded{ErrUnavailable, err}
	}
	held, _ := ctx.Value(snapshotKey{}).(*atomic.Pointer[snapshot])
	if held == nil {
		return s.database.snapshot(ctx, institution)
	}
	if taken := held.Load(); taken != nil && taken.institution == institution {
		return *taken, nil
	}

	taken, err := s.database.snapshot(ctx, institution)
	if err == nil && taken.generation != 0 {
		held.Store(&taken)
	}
	return taken, err
}

// recallOr returns a row that is remembered and was good at some time after the
// call, or reads it and remembers it, if it is small.
func recallOr[K comparable, V any](
	ctx context.Context, s *Store, institution escrow.InstitutionID, id K,
	small func(V) bool, read func() (V, bool, error),
) (value V, found bool, err error) {
	at, err := s.snapshotFor(ctx, institution)
	if err != nil {
		return value, false, Failure(err)
	}
	if value, ok := s.cache.recall(at, id); ok {
		return value.(V), true, nil //nolint:errcheck,forcetypeassert // By the type of its key.
	}

	value, found, err = read()
	if found && err == nil && small(value) {
		s.cache.remember(at, id, value)
	}
	return value, found, err
}

// recall returns a row that is remembered of a snapshot, or of a later one.
func (c *rowCache) recall(at snapshot, id any) (any, bool) {
	if at.generation == 0 {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rows.Get(rowKey{at.institution, at.generation, id})
}

// remember keeps a row that was read after a snapshot, unless this process has
// written since: the row could be an older one than that of the group. If another
// process has, the row may be newer than the snapshot, but then the head is found to
// have moved before anything of this generation is used again.
func (c *rowCache) remember(at snapshot, id, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.heads.Get(at.institution)
	if ok && known.generation == at.generation && sameHead(known.head, at.head) {
		c.rows.Add(rowKey{at.institution, at.generation, id}, value)
	}
}

// known returns the snapshot of a head as this process has left it. The evictions so far
// are for observeAlone.
func (c *rowCache) known(institution escrow.InstitutionID) (at snapshot, ok bool, evictions int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.heads.Get(institution)
	if !ok {
		return snapshot{}, false, c.evictions
	}
	return snapshot{institution, known.generation, known.head}, true, c.evictions
}

// observeAlone is observe for a database that no other process writes to. The evictions
// are those that known returned before the head was read: if the cache has dropped a head
// since then, that head may have been a later one, and nothing would ever show it.
func (c *rowCache) observeAlone(institution escrow.InstitutionID, head escrow.Head, evictions int64) snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.evictions != evictions {
		return snapshot{}
	}
	return c.observeLocked(institution, head)
}

// observe notes a head that was read from the database, and returns the snapshot
// that a reader who asked before is to be answered of.
func (c *rowCache) observe(institution escrow.InstitutionID, head escrow.Head) snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.observeLocked(institution, head)
}

func (c *rowCache) observeLocked(institution escrow.InstitutionID, head escrow.Head) snapshot {
	known, ok := c.heads.Get(institution)
	switch {
	case ok && !isBefore(known.head, head):
		// This process was there when the head was read, or has moved it since.
	case ok && c.writing[institution] > 0:
		// Most likely it is this process that has moved it, and is about to know.
		return snapshot{}
	default:
		known = c.addHead(institution, head)
		c.seen.noteRead(institution, head)
	}
	return snapshot{institution, known.generation, known.head}
}
