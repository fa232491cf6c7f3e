package store_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

// A database of the level before this one, with data, is migrated: it keeps serving, and
// every byte of its journals.
func TestADatabaseOfTheLevelBeforeIsUpgraded(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		s := open(t, databaseURL)
		if err := store.MigrateTo(t.Context(), s, int64(store.SchemaLevel-1)); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckSchema(t.Context()); err == nil {
			t.Fatal("the level before is taken for this one")
		}
		w := journaltest.On(t, s, databaseURL)
		example := w.Example()
		w.Positions(example, 10)
		bodies := func() [][]byte {
			var all [][]byte
			for _, entry := range journaltest.Must(s.StoredEntries(t.Context(), example.Institution, 1, math.MaxInt64)) {
				all = append(all, entry.Body)
			}
			return all
		}
		before := bodies()

		for range 2 {
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.CheckSchema(t.Context()); err != nil {
			t.Error(err)
		}
		after := bodies()
		if len(before) != 9+3*10 || len(after) != len(before) {
			t.Fatalf("of %d entries there are %d", len(before), len(after))
		}
		for i := range before {
			if !bytes.Equal(before[i], after[i]) {
				t.Errorf("entry %d was\n%s\nand is\n%s", i+1, before[i], after[i])
			}
		}
		w.Positions(example, 10)
		report := journaltest.Must(verify.Database(t.Context(), s, verify.Config{}))
		if report.DifferenceCount != 0 || report.Entries != int64(len(before)+3*10) {
			t.Errorf("the upgraded database is verified as %+v", report)
		}
		page := journaltest.Must(s.Positions(t.Context(), example.Institution, escrow.PositionFilter{}, escrow.PageRequest{Limit: 100}))
		if len(page.Items) != 20 {
			t.Errorf("there are %d positions", len(page.Items))
		}
	})
}
