package escrow_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestRowsTellWhatAStoreHasToWrite(t *testing.T) {
	t.Parallel()
	var rows escrow.Rows[string, int]
	rows.Load("stored and left alone", 1)
	rows.Load("stored and changed", 2)
	if rows.Changed() {
		t.Error("rows that were loaded have changed")
	}
	rows.Put("stored and changed", 3)
	if !rows.Changed() {
		t.Error("a row that was put has not changed")
	}
	rows.Put("made", 3)
	rows.Put("stored and changed", 4)
	rows.Put("made and changed", 5)
	rows.Put("stored and changed", 6)
	rows.Put("made and changed", 7)
	if diff := cmp.Diff([]int{3, 7}, rows.Created()); diff != "" {
		t.Errorf("created rows wanted (-) and given (+):\n%s", diff)
	}
	if diff := cmp.Diff([]int{6}, rows.Updated()); diff != "" {
		t.Errorf("updated rows wanted (-) and given (+):\n%s", diff)
	}
	for key, want := range map[string]int{
		"stored and left alone": 1, "stored and changed": 6, "made": 3, "made and changed": 7,
	} {
		if got, ok := rows.Get(key); got != want || !ok {
			t.Errorf("%s is %d, %t; want %d", key, got, ok, want)
		}
	}
}

func TestRowsWithoutRowsAreEmpty(t *testing.T) {
	t.Parallel()
	var rows escrow.Rows[string, int]
	if got, ok := rows.Get("missing"); got != 0 || ok {
		t.Errorf("a missing row is %d, %t", got, ok)
	}
	if len(rows.Created())+len(rows.Updated()) != 0 {
		t.Error("rows that were never put are to be written")
	}
}
