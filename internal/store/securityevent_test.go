package store

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// shortLog is a database whose log of refused attempts has a bound that a test
// can reach.
type shortLog struct {
	database
	bound int
}

func (s shortLog) exec(ctx context.Context, sql string, args []any) (int64, error) {
	if i := slices.Index(args, any(int64(MaxSecurityEvents))); i >= 0 {
		args[i] = int64(s.bound)
	}
	return s.database.exec(ctx, sql, args)
}

func TestThePurgeKeepsTheNewestRefusedAttempts(t *testing.T) {
	const bound, surplus = 7, 5
	for _, databaseURL := range []string{"sqlite::memory:", pgtest.Shared(t).NewDatabase(t)} {
		s, err := Open(t.Context(), databaseURL, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		now := time.Date(2027, time.March, 1, 9, 0, 0, 0, time.UTC)
		attempts := make([]escrow.SecurityEvent, bound+surplus)
		for i := range attempts {
			attempts[i].At = now.Add(time.Duration(i) * time.Second)
			attempts[i].LastAt, attempts[i].Count, attempts[i].Actor = attempts[i].At, 1, escrow.ActorUnknown
			attempts[i].ID = escrow.EntryID(escrow.NewUUID(attempts[i].At, 0))
		}
		// One of a known caller is older than all of them.
		known := escrow.SecurityEvent{Actor: "root", At: now.Add(-time.Hour), LastAt: now, Count: 1}
		known.ID = escrow.EntryID(escrow.NewUUID(known.At, 0))
		if err := s.AddSecurityEvents(t.Context(), slices.Concat(attempts, []escrow.SecurityEvent{known})); err != nil {
			t.Fatal(err)
		}
		short := newStore(shortLog{s.database, bound}, s.cache)
		for i, want := range []int64{3, 2, 0} {
			if removed, err := short.Purge(t.Context(), now, 3); removed != want || err != nil {
				t.Errorf("%s: purge %d of at most 3 removed %d, %v; want %d", s.Name(), i+1, removed, err, want)
			}
		}
		page, err := s.SecurityEvents(t.Context(), escrow.SecurityEventFilter{}, escrow.PageRequest{Limit: 100})
		if diff := cmp.Diff(append([]escrow.SecurityEvent{known}, attempts[surplus:]...), page.Items); diff != "" || err != nil {
			t.Errorf("%s: attempts that are to be left (-) and that are (+), %v:\n%s", s.Name(), err, diff)
		}
	}
}
