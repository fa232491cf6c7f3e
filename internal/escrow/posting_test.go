package escrow_test

import (
	"cmp"
	"encoding/json"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

func TestStepsMoveMoneyBetweenAccounts(t *testing.T) {
	for to, want := range map[escrow.State]escrow.Posting{
		escrow.StateFunded:            {Debit: "HOLDER", Credit: "ESCROW", Currency: usd, Amount: 5},
		escrow.StatePartiallyReleased: {Debit: "ESCROW", Credit: "BENEFICIARY", Currency: usd, Amount: 5},
		escrow.StateReleased:          {Debit: "ESCROW", Credit: "BENEFICIARY", Currency: usd, Amount: 5},
		escrow.StateCancelled:         {Debit: "ESCROW", Credit: "REFUND", Currency: usd, Amount: 5},
		escrow.StateExpired:           {Debit: "ESCROW", Credit: "REFUND", Currency: usd, Amount: 5},
	} {
		step := escrow.PositionEvent{To: to, Currency: usd, Amount: 5}
		if got, moves := step.Posting(); got != want || !moves {
			t.Errorf("to %s moves %+v, %v, want %+v", to, got, moves, want)
		}
		step.Amount = 0
		if _, moves := step.Posting(); moves {
			t.Errorf("to %s with nothing moves something", to)
		}
	}
	// What is promised at the creation has not moved yet.
	if posting, moves := (escrow.PositionEvent{To: escrow.StateCreated, Currency: usd, Amount: 5}).Posting(); moves {
		t.Errorf("the creation moves %+v", posting)
	}
}

// Whatever is posted, the accounts of a currency sum to zero, and what is written is read
// again.
func TestBalancesSumToZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var balances escrow.Balances
		sums := map[string]*big.Int{}
		for range rapid.IntRange(0, 30).Draw(t, "postings") {
			posting := escrow.Posting{
				Debit:    rapid.SampledFrom(escrow.Accounts()).Draw(t, "debit"),
				Credit:   rapid.SampledFrom(escrow.Accounts()).Draw(t, "credit"),
				Currency: rapid.SampledFrom([]money.Currency{usd, jpy, {Code: "KWD", Decimals: 3}}).Draw(t, "currency"),
				// Some of the largest are more than 64 bits hold.
				Amount: money.Amount(rapid.Int64Min(1).Draw(t, "amount")),
			}
			balances.Add(posting)
			for account, sign := range map[escrow.Account]int64{posting.Debit: -1, posting.Credit: 1} {
				key := posting.Currency.String() + string(account)
				if sums[key] == nil {
					sums[key] = new(big.Int)
				}
				if posting.Debit != posting.Credit {
					sums[key].Add(sums[key], new(big.Int).Mul(big.NewInt(sign), big.NewInt(int64(posting.Amount))))
				}
			}
		}
		if !slices.IsSortedFunc(balances.Currencies(), byCode) {
			t.Errorf("the currencies are %v", balances.Currencies())
		}
		for _, currency := range balances.Currencies() {
			if total := balances.Total(currency); total.Sign() != 0 {
				t.Errorf("%s sums to %s", currency, total)
			}
			for _, account := range escrow.Accounts() {
				want := sums[currency.String()+string(account)]
				if want == nil {
					want = new(big.Int)
				}
				if got := balances.Of(currency, account); got.Cmp(want) != 0 {
					t.Errorf("%s %s is %s, want %s", currency, account, got, want)
				}
			}
		}
		text := balancesText(t, &balances)
		var read escrow.Balances
		if err := json.Unmarshal([]byte(text), &read); err != nil || balancesText(t, &read) != text {
			t.Errorf("%s is read as %+v, %v", text, read, err)
		}
		clone := balances.Clone()
		clone.Add(escrow.Posting{Debit: "HOLDER", Credit: "ESCROW", Currency: usd, Amount: 1})
		if balancesText(t, &clone) == text || balancesText(t, &balances) != text {
			t.Error("a copy shares what it has with the original")
		}
	})
}

// balancesText is all that balances have, in an order.
func balancesText(t rapid.TB, balances *escrow.Balances) string {
	t.Helper()
	text, err := json.Marshal(balances)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestBalancesThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{`[]`, `{"USD": {"CASH": "1"}}`, `{"USD": {"ESCROW": "1.50000"}}`, `{"USD": {"ESCROW": "01"}}`, `{"USD": {"ESCROW": "x"}}`, `{"USD": {"ESCROW": 1}}`} {
		var balances escrow.Balances
		if err := json.Unmarshal([]byte(text), &balances); err == nil {
			t.Errorf("%s is read as %+v", text, balances)
		}
	}
	var balances escrow.Balances
	if err := json.Unmarshal([]byte(`{"USD": {"ESCROW": "0.07"}}`), &balances); err != nil || balances.Total(usd).Int64() != 7 {
		t.Errorf("balances that do not sum to zero hide it: %s, %v", balances.Total(usd), err)
	}
}

// A currency can get other decimals while money is held in it.
func TestBalancesAreInUnitsWhateverTheDecimals(t *testing.T) {
	old, now := money.Currency{Code: "ISK", Decimals: 2}, money.Currency{Code: "ISK"}
	for _, order := range [][]money.Currency{{old, now}, {now, old}} {
		var balances escrow.Balances
		for _, currency := range order {
			unit := must(money.ParseAmount("3", currency))
			balances.Add(escrow.Posting{Debit: "HOLDER", Credit: "ESCROW", Currency: currency, Amount: unit})
		}
		if got := balances.Currencies(); !slices.Equal(got, []money.Currency{old}) || balances.Of(old, "ESCROW").Int64() != 600 {
			t.Errorf("the balances of %v are %s", got, balancesText(t, &balances))
		}
		var read escrow.Balances
		text := balancesText(t, &balances)
		if err := json.Unmarshal([]byte(text), &read); err != nil || balancesText(t, &read) != text {
			t.Errorf("%s is read as %s, %v", text, balancesText(t, &read), err)
		}
	}
}

func byCode(a, b money.Currency) int { return cmp.Compare(a.Code, b.Code) }

// What the accounts have is what the positions have.
func TestBalancesAgreeWithPositions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		promised := money.Amount(rapid.Int64Range(2, 1e9).Draw(t, "amount"))
		part := money.Amount(rapid.Int64Range(1, int64(promised)-1).Draw(t, "part"))
		end := rapid.SampledFrom([]escrow.State{escrow.StateReleased, escrow.StateCancelled, escrow.StateExpired}).Draw(t, "end")
		var balances escrow.Balances
		for _, step := range []escrow.PositionEvent{
			{To: escrow.StateCreated, Currency: eur, Amount: promised},
			{To: escrow.StateFunded, Currency: eur, Amount: promised},
			{To: escrow.StatePartiallyReleased, Currency: eur, Amount: part},
			{To: end, Currency: eur, Amount: promised - part},
		} {
			if posting, moves := step.Posting(); moves {
				balances.Add(posting)
			}
		}
		if balances.Of(eur, "HOLDER").Int64() != -int64(promised) || balances.Of(eur, "ESCROW").Sign() != 0 {
			t.Errorf("after its end the accounts have %s and %s", balances.Of(eur, "HOLDER"), balances.Of(eur, "ESCROW"))
		}
	})
}

// What is read of a body alone is what the whole entry says.
func TestBodiesAddWhatTheirEntriesSay(t *testing.T) {
	// What looks like the beginning of an event is none within one.
	misleading := `,"event":{"amount":"7.00"}`
	d := openDesk(t)
	id := d.in(escrow.StatePartiallyReleased)
	d.accept(valid(escrow.NewTransitionPosition(id, escrow.TransitionInput{
		ToState: "CANCELLED", Reason: &misleading, Metadata: escrow.Metadata(`{"a":1,"event":{"amount":"7.00"}}`),
	}, nil)))
	d.in(escrow.StateReleased)
	var whole, alone escrow.Balances
	for _, entry := range d.books.Entries {
		if _, step, ok := entry.PositionEvent(); ok {
			if posting, moves := step.Posting(); moves {
				whole.Add(posting)
			}
		}
		if err := alone.AddBody(entry.Kind, entry.Body); err != nil {
			t.Fatal(err)
		}
	}
	if of := whole.Of(eur, escrow.AccountEscrow); of.Sign() != 0 {
		t.Errorf("in a currency that nothing was posted in, the balance is %s", of)
	}
	if balancesText(t, &alone) != balancesText(t, &whole) || len(whole.Currencies()) != 1 {
		t.Errorf("the bodies add up to %+v, and the entries to %+v", alone, whole)
	}
	for _, body := range []string{`{}`, `{"v":1,"event":7}`, `{"v":1,"event":{"toState":"FUNDED","currency":"USD","amount":"x"}}`} {
		if err := alone.AddBody(escrow.KindPositionStateChanged, []byte(body)); err == nil {
			t.Errorf("the body %s adds something", body)
		}
	}
}
