package escrow_test

import (
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestAnInstitutionThatHasLostEntriesIsHalted(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	admin := d.key(escrow.RoleAdmin, nil)
	d.books.Head.Lost = d.books.Head.Sequence + 5

	create := valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))
	_ = d.refusal(create, escrow.CodeHistoryLost)
	d.actor = escrow.ActorKey(admin)
	_ = d.refusal(create, escrow.CodeHistoryLost)
	_ = d.refusal(escrow.AcceptHistory{}, escrow.CodePermissionMissing)

	d.actor = escrow.ActorRoot()
	before := d.books.Head.Sequence
	d.accept(escrow.AcceptHistory{})
	if d.books.Head.Lost != 0 || d.books.Head.Sequence != before+1 {
		t.Errorf("the head is %+v, want an entry after %d and nothing lost", d.books.Head, before)
	}
	if lost, ok := d.books.Entries[len(d.books.Entries)-1].AcceptedLoss(); !ok || lost != before+5 {
		t.Errorf("the entry accepts the loss of %d, %t, want %d", lost, ok, before+5)
	}

	// Where nothing is lost there is nothing to say.
	d.accept(escrow.AcceptHistory{})
	if d.books.Head.Sequence != before+1 {
		t.Errorf("the journal ends at %d, want %d", d.books.Head.Sequence, before+1)
	}
	d.accept(create)
	d.checkReplay()
}
