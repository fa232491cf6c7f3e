package storetest

import (
	"errors"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

func testSchema(t *testing.T, s *store.Store) {
	t.Run("an empty database is behind", func(t *testing.T) {
		if err := s.CheckSchema(t.Context()); !errors.Is(err, store.ErrSchemaBehind) {
			t.Errorf("CheckSchema says %v, want %v", err, store.ErrSchemaBehind)
		}
		_, err := s.Begin(t.Context(), needs{operator(): {}})
		if !errors.Is(err, store.ErrSchemaBehind) {
			t.Errorf("Begin says %v, want %v", err, store.ErrSchemaBehind)
		}
		_, err = s.Institutions(t.Context(), escrow.Period{}, escrow.PageRequest{Limit: 1})
		if !errors.Is(err, store.ErrSchemaBehind) {
			t.Errorf("a list says %v, want %v", err, store.ErrSchemaBehind)
		}
	})
	// The connections that saw the empty database see the tables as well.
	for _, time := range []string{"first", "second"} {
		t.Run("the "+time+" migration brings it to this level", func(t *testing.T) {
			if err := s.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.CheckSchema(t.Context()); err != nil {
				t.Errorf("CheckSchema says %v", err)
			}
		})
	}
	t.Run("a migrated database holds the operator's journal alone", func(t *testing.T) {
		head, found, err := s.Head(t.Context(), operator())
		if err != nil || !found || head.Sequence != 0 {
			t.Errorf("the operator's head is %+v, %t, %v; want sequence 0", head, found, err)
		}
		page, err := s.Institutions(t.Context(), escrow.Period{}, escrow.PageRequest{Limit: 1})
		if err != nil || len(page.Items) != 0 || page.More {
			t.Errorf("institutions are %+v, %v; want none", page, err)
		}
	})
}
