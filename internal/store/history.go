package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// A database can go back: it fails over to a standby that had not received all of it, or
// is restored from a backup under servers that run. Each process knows how far it has seen
// every journal, and compares: with each head that it reads, with all of them when the
// database turns out to be another, and a page of them now and then. An institution whose
// journal has lost entries is closed in its head's row, which every command reads.

// LostHistory is a journal that has lost entries which this process had seen.
type LostHistory struct {
	Institution escrow.InstitutionID
	// Seen is the journal's head as it was seen before, Head as it is now. Head is zero where
	// the institution itself is gone.
	Seen, Head escrow.Head
}

// history is what a process knows of how far the journals have been.
type history struct {
	// unsettled says that the database is another than before, and that the heads have not been
	// compared since.
	unsettled atomic.Bool
	comparing sync.Mutex
	// changed is when that was, in nanoseconds since 1970; 0 where it has not happened.
	changed atomic.Int64

	mu       sync.Mutex
	identity string
	// next is where the next page of heads to compare begins.
	next int
	// gone are the institutions that are no longer there.
	gone    map[escrow.InstitutionID]bool
	notices []func(LostHistory)
}

// noteIdentity notes which database a connection leads to: a text that changes with the
// cluster, its timeline and the database in it. It reports whether it is another than before.
func (s *Store) noteIdentity(identity string) (changed bool) {
	h := &s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if changed = h.identity != "" && h.identity != identity; changed {
		h.changed.Store(time.Now().UnixNano())
		h.unsettled.Store(true)
	}
	h.identity = identity
	return changed
}

// OnHistoryLost has a function called with each journal that is found to have lost entries,
// after what was remembered of it has been dropped.
func (s *Store) OnHistoryLost(notice func(LostHistory)) {
	s.history.mu.Lock()
	defer s.history.mu.Unlock()
	s.history.notices = append(s.history.notices, notice)
}

// IdentityChangedAt is when this process last found another database behind its URL, as
// after a failover; ok is false where it has not.
func (s *Store) IdentityChangedAt() (at time.Time, ok bool) {
	changed := s.history.changed.Load()
	return time.Unix(0, changed), changed != 0
}

// comparedAtOnce bounds the heads that one statement compares.
const comparedAtOnce = 1000

// CheckHistory compares a page of the heads that this process has seen with those in the
// database, and halts the institutions that have lost entries. It returns how many are
// closed or gone.
func (s *Store) CheckHistory(ctx context.Context) (lost int, err error) {
	if err := s.database.identify(ctx); err != nil {
		return 0, err
	}
	if err := s.settleHistory(ctx); err != nil {
		return 0, err
	}

	s.history.mu.Lock()
	start := s.history.next
	s.history.mu.Unlock()
	next, err := s.compareHeads(ctx, start)
	if err != nil {
		return 0, err
	}

	s.history.mu.Lock()
	s.history.next = next
	gone := len(s.history.gone)
	s.history.mu.Unlock()
	s.confirmRead(ctx)
	closed, _, err := one(ctx, s.database, "SELECT COUNT(*) FROM journal_heads WHERE lost_sequence > 0", nil,
		scanValue[int64])
	return int(closed) + gone, err
}

// confirmTimeout bounds a wait for a standby that may be away.
const confirmTimeout = 2 * time.Second

// confirmRead has the heads that were read from a database with synchronous standbys be seen,
// once one of these has them. Until it can be done, they are kept apart.
func (s *Store) confirmRead(ctx context.Context) {
	read := s.cache.unconfirmed(comparedAtOnce)
	if len(read) == 0 {
		return
	}
	ctx, done := context.WithTimeout(ctx, confirmTimeout)
	defer done()
	if missing, err := s.database.confirm(ctx, read); err == nil {
		s.cache.settle(read, missing)
	}
}

// Confirm waits until an entry of a journal, and all before it, outlive the loss of the
// primary, where the database has synchronous standbys. It is an error if the entry with that
// sequence and time is not there.
func (s *Store) Confirm(ctx context.Context, institution escrow.InstitutionID, entry escrow.Head) error {
	if !s.cache.isSynchronous() {
		return nil
	}
	ctx, done := context.WithTimeout(ctx, confirmTimeout)
	defer done()
	missing, err := s.database.confirm(ctx, []head{{institution, entry}})
	if err == nil && len(missing) > 0 {
		err = kinded{ErrUnavailable, fmt.Errorf("entry %d is there no more", entry.Sequence)}
	}
	return err
}

// HaltedJournals returns the institutions that are halted because their journals have lost
// entries, with their heads, at most limit after an institution, in order of id.
func (s *Store) HaltedJournals(
	ctx context.Context, after escrow.InstitutionID, limit int,
) ([]LostHistory, error) {
	return all(ctx, s.database, "SELECT "+headTable.list+` FROM journal_heads
		WHERE lost_sequence > 0 AND institution_id > $1 ORDER BY institution_id LIMIT $2`,
		[]any{idArg(after), int64(limit)}, func(r row) (LostHistory, error) {
			h, err := headTable.scan(r)
			return LostHistory{
				Institution: h.InstitutionID, Head: h.Head, Seen: escrow.Head{Sequence: h.Lost},
			}, err
		})
}

// settleHistory compares all heads once the database has turned out to be another. Until
// then nothing is answered from memory, and no group begins.
func (s *Store) settleHistory(ctx context.Context) error {
	if !s.history.unsettled.Load() {
		return nil
	}
	s.history.comparing.Lock()
	defer s.history.comparing.Unlock()
	if !s.history.unsettled.Load() {
		return nil
	}

	for start := 0; ; {
		next, err := s.compareHeads(ctx, start)
		if err != nil {
			return err
		}
		if start = next; start == 0 {
			break
		}
	}
	s.history.unsettled.Store(false)
	return nil
}

// compareHeads compares the heads of a page that begins at a place, and returns where the
// next one begins, 0 after the last.
func (s *Store) compareHeads(ctx context.Context, start int) (next int, err error) {
	seen := s.cache.seenHeads(start, comparedAtOnce)
	suspects, err := s.database.behind(ctx, seen)
	if err != nil {
		return start, err
	}

	for _, institution := range suspects {
		at := slices.IndexFunc(seen, func(h head) bool { return h.InstitutionID == institution })
		if _, err := s.HaltIfLost(ctx, institution, seen[at].Head); err != nil {
			return start, err
		}
	}
	if len(seen) < comparedAtOnce {
		return 0, nil
	}
	return start + len(seen), nil
}

// HaltIfLost halts an institution whose journal has been at a head that is no longer
// there, unless the operator has accepted that; lost says whether it is not there. The head's
// time is that of its entry or later.
func (s *Store) HaltIfLost(
	ctx context.Context, institution escrow.InstitutionID, seen escrow.Head,
) (lost bool, err error) {
	s.cache.forget(institution)
	tx, err := s.database.begin(ctx, groupNeeds{institution: {}})
	if err != nil {
		return false, err
	}
	defer tx.Rollback(ctx)

	books := tx.Books(institution)
	if lost, err = s.isLost(ctx, tx, books, seen); err != nil {
		return false, err
	}
	if lost && books.Exists() && books.Head.Lost < seen.Sequence {
		books.Head.Lost = seen.Sequence
		moveOn(books)
		if err := commitRepeatable(ctx, tx); err != nil {
			return false, err
		}
	}

	s.cache.forget(institution)
	if books.Exists() {
		s.cache.setSeen(institution, books.Head)
	} else {
		s.cache.unsee(institution)
	}
	if lost {
		s.history.notify(LostHistory{Institution: institution, Seen: seen, Head: books.Head})
	}
	return lost, nil
}

func (h *history) notify(l LostHistory) {
	h.mu.Lock()
	if l.Head == (escrow.Head{}) {
		if h.gone == nil {
			h.gone = make(map[escrow.InstitutionID]bool)
		}
		h.gone[l.Institution] = true
	}
	notices := slices.Clone(h.notices)
	h.mu.Unlock()
	for _, notice := range notices {
		notice(l)
	}
}

// isLost reports whether a journal that was seen at a head has not come from there.
func (s *Store) isLost(ctx context.Context, tx Tx, books *escrow.Books, seen escrow.Head) (bool, error) {
	institution := books.InstitutionID()
	if seen.Sequence == 0 {
		return false, nil
	}
	if !books.Exists() {
		return true, nil
	}

	if books.Head.Sequence >= seen.Sequence {
		// An entry that was made instead of the one that was seen is a later one.
		var at time.Time
		err := tx.read(ctx, timeOfEntry, []any{idArg(institution), seen.Sequence},
			func(r row) error { return r.Scan(&at) })
		if err != nil || !at.IsZero() && !at.After(seen.At) {
			return false, err
		}
	}

	accepted, err := s.IsLossAccepted(ctx, institution, seen.Sequence)
	return !accepted, err
}

// IsLossAccepted reports whether the operator has accepted that a journal has lost an
// entry.
func (s *Store) IsLossAccepted(ctx context.Context, institution escrow.InstitutionID, sequence int64) (bool, error) {
	acceptances := escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindHistoryAccepted}}
	page := escrow.PageRequest{Limit: escrow.MaxPageSize, Descending: true}

	for {
		accepted, err := s.Entries(ctx, institution, acceptances, page)
		if err != nil {
			return false, err
		}
		for _, entry := range accepted.Items {
			if lost, _ := entry.AcceptedLoss(); entry.Sequence <= sequence && sequence <= lost {
				return true, nil
			}
		}
		if !accepted.More {
			return false, nil
		}
		page.After = new(escrow.SequenceCursor(accepted.Items[len(accepted.Items)-1].Sequence))
	}
}
