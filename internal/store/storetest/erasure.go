package storetest

import (
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func erase(id escrow.PositionID, reason string) escrow.Command {
	return valid(escrow.NewErasePosition(id, &reason, nil, 0))
}

// An erasure takes the private values of a position, from its row and its entries, and leaves
// those of others, the bodies, and the reason that it was made for.
func testErasure(f *fixture) {
	of := f.institution()
	asset := f.asset(of)
	erased, kept := f.withPrivate(of, asset), f.withPrivate(of, asset)
	before := must(f.Entries(f.t.Context(), of, escrow.EntryFilter{}, everything())).Items
	want := must(f.Position(f.t.Context(), of, erased))
	other := must(f.Position(f.t.Context(), of, kept))

	// What was written in the same transaction is erased as well.
	outcomes := f.do(of, transition(erased, escrow.StateReleased, "", []byte(`{"final":"Ada"}`)...), erase(erased, "asked for"))
	answered := resource[escrow.Position](outcomes[1:])[0]
	got := must(f.Position(f.t.Context(), of, erased))
	want.HolderReference, want.ExternalReference, want.Metadata = "", "", nil
	want.State, want.Released, want.Held, want.Version = escrow.StateReleased, want.Amount, 0, want.Version+2
	want.HistoryBytes, want.UpdatedAt = int64(len("asked for")), answered.UpdatedAt
	equal(f.t, "the position that was erased", want, got)
	answered.Events = nil
	equal(f.t, "the answer", want, answered)
	equal(f.t, "the other position", other, must(f.Position(f.t.Context(), of, kept)))

	after := must(f.Entries(f.t.Context(), of, escrow.EntryFilter{}, everything())).Items
	for i, entry := range after {
		if i < len(before) && !slices.Equal(entry.Body, before[i].Body) {
			f.t.Errorf("the body of entry %d has become %s", entry.Sequence, entry.Body)
		}
		switch {
		case entry.Subject == erased.String() && !entry.Erases():
			if entry.Private != nil || len(entry.Openings()) > 0 {
				f.t.Errorf("entry %d has %q beside it", entry.Sequence, entry.Private)
			}
		case i < len(before) && !slices.Equal(entry.Private, before[i].Private):
			f.t.Errorf("entry %d of %s has lost what was beside it", entry.Sequence, entry.Subject)
		}
	}
	last := after[len(after)-1]
	equal(f.t, "what the erasure says", "asked for", last.Openings()["reason"].Value)
	equal(f.t, "positions of the holder", []escrow.PositionID{kept}, f.positionsOf(of, "Ada Lovelace"))

	// To erase it again takes the reason, too, and once more changes nothing.
	f.do(of, erase(erased, "once more"), erase(erased, "and again"))
	after = must(f.Entries(f.t.Context(), of, escrow.EntryFilter{Subject: erased.String()}, everything())).Items
	equal(f.t, "entries of the position", 5, len(after))
	for _, entry := range after {
		if entry.Private != nil {
			f.t.Errorf("entry %d has %q beside it", entry.Sequence, entry.Private)
		}
	}
}

// withPrivate makes a position of Ada Lovelace with all that is private.
func (f *fixture) withPrivate(of escrow.InstitutionID, asset escrow.AssetID) escrow.PositionID {
	f.t.Helper()
	external, reason := "PO Ada", "as Ada asked"
	id := resource[escrow.Position](f.do(of, valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: asset.String(), HolderReference: "Ada Lovelace", ExternalReference: &external, Currency: "USD", Amount: "100",
		Metadata: []byte(`{"contact":"ada@example.com"}`),
	}))))[0].ID
	f.do(of, valid(escrow.NewTransitionPosition(id, escrow.TransitionInput{ToState: "FUNDED", Reason: &reason}, nil)))
	return id
}

func (f *fixture) positionsOf(of escrow.InstitutionID, holder string) (ids []escrow.PositionID) {
	f.t.Helper()
	for _, p := range must(f.Positions(f.t.Context(), of, escrow.PositionFilter{HolderReference: holder}, everything())).Items {
		ids = append(ids, p.ID)
	}
	return ids
}
