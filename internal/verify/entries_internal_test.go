package verify

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// measured is a journal that notes the most bytes that were read of it at once.
type measured struct {
	journal
	most int
}

func (m *measured) StoredEntries(
	ctx context.Context, of escrow.InstitutionID, from, to int64,
) ([]store.StoredEntry, error) {
	entries, err := m.journal.StoredEntries(ctx, of, from, to)
	size := 0
	for _, entry := range entries {
		size += len(entry.Body)
	}
	m.most = max(m.most, size)
	return entries, err
}

// A database and a bundle can be anybody's: how much memory they take must not be for them to say.
func TestEntriesAreReadByBytes(t *testing.T) {
	t.Parallel()
	const (
		last  = 120
		small = 100 << 10
		large = 50 // The entry that is larger than any can be.
	)
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		t.Parallel()
		w := journaltest.Open(t, databaseURL)
		of := w.Institution()
		w.Policies(of, last-1)
		fill := "UPDATE journal_entries SET body = $1 WHERE institution_id = $2 AND sequence >= $3 AND sequence <= $4"
		w.Tamper(fill, bytes.Repeat([]byte("x"), small), of, int64(1), int64(last))
		w.Tamper(fill, bytes.Repeat([]byte("x"), escrow.MaxPageBytes+1), of, int64(large), int64(large))
		path := filepath.Join(t.TempDir(), "large.bundle")
		if err := bundle.FromStore(t.Context(), w.Store, of, path, time.Now(), nil, nil); err != nil {
			t.Fatal(err)
		}
		b, err := bundle.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = b.Close() }()

		for name, from := range map[string]journal{"the database": storedJournals{w.Store}, "a bundle": b} {
			m := &measured{journal: from}
			v, err := newVerification(t.Context(), Config{}, m, func(context.Context) ([]string, error) { return nil, nil })
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.readEntries(t.Context(), of, entryRange{expected: 1, from: 1, to: last}); err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, difference := range v.report.Differences {
				if strings.Contains(difference.There, errTooLarge.Error()) {
					found++
				}
			}
			next := int64(1)
			for entry, err := range v.entriesUpTo(t.Context(), of, last) {
				if err != nil || entry.Sequence != next {
					t.Fatalf("%s: entry %d comes after %d, %v", name, entry.Sequence, next-1, err)
				}
				next++
			}
			if next != last+1 || found == 0 || m.most > escrow.MaxPageBytes || m.most < 2*small {
				t.Errorf("%s: %d entries, %d bytes at once, the differences are %v", name, next-1, m.most, v.report.Differences)
			}
		}
	})
}
