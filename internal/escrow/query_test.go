package escrow_test

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
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

// Lists by last steps are ordered by the bytes of these.
func TestStepCursorsSortByTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawMoment(t, "a"), drawMoment(t, "b")
		first, second := escrow.StepCursor(a), escrow.StepCursor(b)
		if got, want := bytes.Compare(first[:], second[:]), a.Compare(b); got != want {
			t.Errorf("the places of %s and %s compare as %d, want %d", a, b, got, want)
		}
	})
}

func TestAPeriodHasItsBeginningAndNotItsEnd(t *testing.T) {
	t.Parallel()
	from, to := opening(), opening().Add(time.Hour)
	for name, test := range map[string]struct {
		period escrow.Period
		at     time.Time
		want   bool
	}{
		"any time":               {escrow.Period{}, from, true},
		"before its beginning":   {escrow.Period{From: &from}, from.Add(-time.Microsecond), false},
		"at its beginning":       {escrow.Period{From: &from, To: &to}, from, true},
		"right before its end":   {escrow.Period{From: &from, To: &to}, to.Add(-time.Microsecond), true},
		"at its end":             {escrow.Period{To: &to}, to, false},
		"in one that is empty":   {escrow.Period{From: &from, To: &from}, from, false},
		"its beginning in Tokyo": {escrow.Period{From: &from}, from.In(time.FixedZone("", 9*60*60)), true},
	} {
		if got := test.period.Has(test.at); got != test.want {
			t.Errorf("%s: it has it: %t", name, got)
		}
	}
}

func TestAFilterChoosesWhatAllOfItsPartsChoose(t *testing.T) {
	t.Parallel()
	asset, later := escrow.AssetID{1}, opening().Add(time.Hour)
	p := escrow.Position{
		AssetID: asset, HolderReference: "Ada", ExternalReference: "invoice 1", Currency: usd, State: escrow.StateFunded,
		CreatedAt: opening(), UpdatedAt: later,
	}
	for name, test := range map[string]struct {
		filter escrow.PositionFilter
		want   bool
	}{
		"nothing":                    {escrow.PositionFilter{}, true},
		"its asset":                  {escrow.PositionFilter{Asset: &asset}, true},
		"another asset":              {escrow.PositionFilter{Asset: &escrow.AssetID{2}}, false},
		"its holder":                 {escrow.PositionFilter{HolderReference: "Ada"}, true},
		"another case of its holder": {escrow.PositionFilter{HolderReference: "ada"}, false},
		"its reference":              {escrow.PositionFilter{ExternalReference: "invoice 1"}, true},
		"a part of its reference":    {escrow.PositionFilter{ExternalReference: "invoice"}, false},
		"one of its states":          {escrow.PositionFilter{States: []escrow.State{"CREATED", "FUNDED"}}, true},
		"other states":               {escrow.PositionFilter{States: []escrow.State{"CREATED", "RELEASED"}}, false},
		"one of its currencies":      {escrow.PositionFilter{Currencies: []money.Code{"EUR", "USD"}}, true},
		"other currencies":           {escrow.PositionFilter{Currencies: []money.Code{"EUR"}}, false},
		"created in time":            {escrow.PositionFilter{Period: escrow.Period{To: &later}}, true},
		"created too late":           {escrow.PositionFilter{Period: escrow.Period{From: &later}}, false},
		"whatever the last step":     {escrow.PositionFilter{Updated: escrow.Period{To: &later}}, true},
		"one part that is another's": {escrow.PositionFilter{Asset: &asset, HolderReference: "Bob"}, false},
	} {
		if got := test.filter.Matches(p); got != test.want {
			t.Errorf("%s: it is chosen: %t", name, got)
		}
	}
}
