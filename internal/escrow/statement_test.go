package escrow_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// drawJournal makes positions in several currencies and leads them some way.
func drawJournal(t *rapid.T) *desk {
	d := openDesk(t)
	for _, currency := range rapid.SliceOfN(rapid.SampledFrom([]string{"USD", "JPY", "KWD"}), 1, 6).Draw(t, "currencies") {
		id := d.position(d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"`+currency+`"}`)), "100", currency)
		for range rapid.IntRange(0, 4).Draw(t, "steps") {
			next := d.get(id).State.Next()
			if len(next) == 0 {
				break
			}
			to, amount := rapid.SampledFrom(next).Draw(t, "state"), ""
			if to == escrow.StatePartiallyReleased {
				amount = "7"
			}
			d.accept(transition(id, to, amount))
		}
	}
	return d
}

// statementOf is the statement of a part of a journal.
func statementOf(t rapid.TB, opening escrow.Balances, entries []escrow.Entry) escrow.Statement {
	t.Helper()
	statement := escrow.NewStatement(opening)
	for _, entry := range entries {
		m, moves, err := escrow.MovementOf(entry.Kind, entry.Body, entry.Private)
		if err != nil {
			t.Fatal(err)
		}
		if moves {
			statement.Add(m)
		}
	}
	return statement
}

// However a journal is cut, its statements are those of the whole: each opens with what
// the one before has closed with, and no movement is missed or repeated.
func TestStatementsAddUpWhereverTheyAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := drawJournal(t).books.Entries
		whole := statementOf(t, escrow.Balances{}, entries)
		cuts := rapid.SliceOfN(rapid.IntRange(0, len(entries)), 0, 4).Draw(t, "cuts")
		slices.Sort(cuts)
		var opening, added escrow.Balances
		var movements []escrow.Movement
		from := 0
		for _, to := range append(cuts, len(entries)) {
			opened := balancesText(t, &opening)
			part := statementOf(t, opening, entries[from:to])
			for _, entry := range entries[from:to] {
				if err := added.AddBody(entry.Kind, entry.Body); err != nil {
					t.Fatal(err)
				}
			}
			if got := balancesText(t, &part.Opening); got != opened {
				t.Errorf("the movements have changed the opening balances %s to %s", opened, got)
			}
			if got, want := balancesText(t, &part.Closing), balancesText(t, &added); got != want {
				t.Errorf("up to entry %d the statement closes with %s, and the entries add up to %s", to, got, want)
			}
			for _, currency := range part.Closing.Currencies() {
				if total := part.Closing.Total(currency); total.Sign() != 0 {
					t.Errorf("%s sums to %s", currency, total)
				}
			}
			movements = append(movements, part.Movements...)
			opening, from = part.Closing, to
		}
		if diff := cmp.Diff(whole.Movements, movements, exactly()); diff != "" {
			t.Errorf("the movements of the whole (-) and of its parts (+) differ:\n%s", diff)
		}
	})
}

// An institution's statement has the movements of its positions' statements, and each
// position's closes with what the position has.
func TestPositionsStatementsAreWithinTheInstitutions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawJournal(t)
		var movements []escrow.Movement
		for _, p := range d.books.Positions.Created() {
			p.Events = d.history(p.ID)
			statement := p.Statement()
			movements = append(movements, statement.Movements...)
			if len(statement.Opening.Currencies()) != 0 {
				t.Errorf("it opens with %s", balancesText(t, &statement.Opening))
			}
			if got := statement.Closing.Currencies(); !slices.Equal(got, []money.Currency{p.Currency}) {
				t.Errorf("the currencies of a position in %s are %v", p.Currency, got)
			}
			for account, want := range map[escrow.Account]money.Amount{
				escrow.AccountHolder: -p.Funded, escrow.AccountEscrow: p.Held,
				escrow.AccountBeneficiary: p.Released, escrow.AccountRefund: p.Refunded,
			} {
				if got := statement.Closing.Of(p.Currency, account); got.Int64() != int64(want) {
					t.Errorf("%s closes with %s, and the position has %d", account, got, want)
				}
			}
		}
		slices.SortFunc(movements, func(a, b escrow.Movement) int { return int(a.Sequence - b.Sequence) })
		if diff := cmp.Diff(statementOf(t, escrow.Balances{}, d.books.Entries).Movements, movements, exactly()); diff != "" {
			t.Errorf("the movements of the institution (-) and of its positions (+) differ:\n%s", diff)
		}
	})
}

func TestAMovementNamesItsEntry(t *testing.T) {
	d := openDesk(t)
	id := d.in(escrow.StatePartiallyReleased)
	entry := d.lastEntry()
	m, moves, err := escrow.MovementOf(entry.Kind, entry.Body, entry.Private)
	want := escrow.Movement{
		Posting:  escrow.Posting{Debit: "ESCROW", Credit: "BENEFICIARY", Currency: usd, Amount: 3000},
		Sequence: entry.Sequence, EntryID: entry.ID, At: entry.At, PositionID: id, From: "FUNDED", To: "PARTIALLY_RELEASED", Actor: entry.Actor,
	}
	if m != want || !moves || err != nil {
		t.Errorf("the partial release moves %+v, %t, %v, want %+v", m, moves, err, want)
	}
	d.accept(transition(d.position(d.escrow(), "100", "USD"), escrow.StateCancelled, ""))
	if cancelled := d.lastEntry(); cancelled.Kind != escrow.KindPositionStateChanged {
		t.Errorf("the last entry is %s", cancelled.Body)
	} else if m, moves, err := escrow.MovementOf(cancelled.Kind, cancelled.Body, cancelled.Private); moves || err != nil {
		t.Errorf("to cancel what was not funded moves %+v, %v", m, err)
	}
	// Money whose amount cannot be read must not be passed over.
	for _, body := range [][]byte{[]byte(`{}`), bytes.Replace(entry.Body, []byte(`"amount":"`), []byte(`"amount":"x`), 1)} {
		if m, _, err := escrow.MovementOf(entry.Kind, body, nil); err == nil {
			t.Errorf("%s moves %+v", body, m)
		}
	}
}
