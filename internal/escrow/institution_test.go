package escrow_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestCreateInstitutionOpensAJournalOfItsOwn(t *testing.T) {
	t.Parallel()
	operator := operatorDesk(t)
	outcome := operator.accept(valid(escrow.NewCreateInstitution(escrow.InstitutionInput{
		Name: "Meridian Bank", Regions: []string{"SG", "US"}, Verticals: &[]string{"TRADE_FINANCE"},
	})))
	entry := operator.lastEntry()
	if entry.Sequence != 1 || outcome.Sequence != 1 || entry.InstitutionID.String() != outcome.Subject {
		t.Errorf("the entry is %d of %s, the answer %+v", entry.Sequence, entry.InstitutionID, outcome)
	}
	if operator.books.Head.Sequence != 0 {
		t.Errorf("the operator's own journal stands at %d, want 0", operator.books.Head.Sequence)
	}
	got, _ := operator.books.Institutions.Get(entry.InstitutionID)
	want := escrow.Institution{
		ID: entry.InstitutionID, Name: "Meridian Bank", Regions: []escrow.Region{"SG", "US"},
		Verticals: []escrow.Vertical{escrow.TradeFinance}, Upkeep: escrow.Upkeep{Version: 1, CreatedAt: opening()},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("institution wanted (-) and made (+):\n%s", diff)
	}
}

func TestAnInstitutionsJournalBeginsAtOneWhateverTheOperatorsStandsAt(t *testing.T) {
	t.Parallel()
	operator := operatorDesk(t)
	operator.books.Head.Sequence = 41
	outcome := operator.accept(valid(escrow.NewCreateInstitution(
		escrow.InstitutionInput{Name: "Meridian Bank", Regions: []string{"US"}},
	)))
	if outcome.Sequence != 1 || operator.books.Head.Sequence != 41 {
		t.Errorf("the first entry is %d, and the operator's journal stands at %d", outcome.Sequence, operator.books.Head.Sequence)
	}
}

func TestInstitutionsOfOneBatchFollowEachOtherInTime(t *testing.T) {
	t.Parallel()
	operator := operatorDesk(t)
	command := valid(escrow.NewCreateInstitution(escrow.InstitutionInput{Name: "Meridian Bank", Regions: []string{"US"}}))
	first := operator.accept(command)
	second := operator.accept(command)
	if first.Subject >= second.Subject || second.Sequence != 1 {
		t.Errorf("the second institution is %+v, after %+v", second, first)
	}
	if a, b := operator.books.Entries[0].At, operator.books.Entries[1].At; !a.Before(b) {
		t.Errorf("the entries are of %s and %s", a, b)
	}
}

func TestInstitutionWithoutVerticalsIsActiveInAll(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	institution, _ := d.books.Institutions.Get(d.books.InstitutionID())
	if diff := cmp.Diff([]escrow.Vertical{"CONSTRUCTION", "TRADE_FINANCE"}, institution.Verticals); diff != "" {
		t.Errorf("verticals wanted (-) and kept (+):\n%s", diff)
	}
}

func TestNewCreateInstitutionTellsEveryFault(t *testing.T) {
	t.Parallel()
	const (
		regions   = "regions must be one of US, EU_UK, SG, UAE"
		verticals = "verticals must be one of CONSTRUCTION, TRADE_FINANCE"
	)
	for _, test := range []struct {
		name  string
		input escrow.InstitutionInput
		want  []string
	}{
		{"every region", escrow.InstitutionInput{Name: "A", Regions: []string{"US", "EU_UK", "SG", "UAE"}}, nil},
		{
			"nothing",
			escrow.InstitutionInput{},
			[]string{"name is required", "regions must have at least one element"},
		},
		{
			"everything wrong",
			escrow.InstitutionInput{Regions: []string{"EU"}, Verticals: &[]string{"SHIPPING"}},
			[]string{"name is required", regions, verticals},
		},
		{"a region in lower case", escrow.InstitutionInput{Name: "A", Regions: []string{"us"}}, []string{regions}},
		{"two unknown regions", escrow.InstitutionInput{Name: "A", Regions: []string{"EU", "UK"}}, []string{regions}},
		{
			"a region twice",
			escrow.InstitutionInput{Name: "A", Regions: []string{"US", "SG", "US"}},
			[]string{"regions must not name US twice"},
		},
		{
			"an empty list of verticals",
			escrow.InstitutionInput{Name: "A", Regions: []string{"US"}, Verticals: &[]string{}},
			[]string{"verticals must have at least one element"},
		},
		{
			"a vertical twice",
			escrow.InstitutionInput{
				Name: "A", Regions: []string{"US"}, Verticals: &[]string{"CONSTRUCTION", "CONSTRUCTION"},
			},
			[]string{"verticals must not name CONSTRUCTION twice"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewCreateInstitution(test.input)
			checkFaults(t, faults, test.want...)
		})
	}
}
