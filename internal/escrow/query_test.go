package escrow_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestCursorsHoldAnItemsPlace(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id, sequence := drawID(t, "id"), rapid.Int64Min(0).Draw(t, "sequence")
		if got := escrow.PositionID(escrow.IDCursor(id)); got != id {
			t.Errorf("the place of %s is that of %s", id, got)
		}
		if got := escrow.SequenceCursor(sequence).Sequence(); got != sequence {
			t.Errorf("the place of entry %d is that of entry %d", sequence, got)
		}
	})
}
