package escrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// Account is one of the four between which a position's money moves. Money is not
// created or lost between them: over all four an institution's balances in one
// currency sum to zero.
type Account string

// The accounts. The holder's balance is negative: what was paid in came from there.
const (
	AccountHolder      Account = "HOLDER"
	AccountEscrow      Account = "ESCROW"
	AccountBeneficiary Account = "BENEFICIARY"
	AccountRefund      Account = "REFUND"
)

// Accounts lists the accounts in the order in which money passes them.
func Accounts() []Account {
	return []Account{AccountHolder, AccountEscrow, AccountBeneficiary, AccountRefund}
}

// Posting is a movement of money between two accounts, as an entry of a journal
// records it: Debit is where the amount comes from, Credit where it goes to.
type Posting struct {
	Debit, Credit Account
	Currency      money.Currency
	Amount        money.Amount // greater than 0
}

// Posting returns the movement of money that an event of a position is; ok is
// false where nothing moved.
func (e PositionEvent) Posting() (posting Posting, ok bool) {
	rules := e.To.rules()
	if rules.debit == "" || e.Amount == 0 {
		return Posting{}, false
	}
	return Posting{Debit: rules.debit, Credit: rules.credit, Currency: e.Currency, Amount: e.Amount}, true
}

// Balances are the sums of postings by currency and account. They have no bound:
// many positions of the largest amount are more than an Amount holds.
type Balances struct {
	sums map[money.Currency]map[Account]*big.Int
}

// Add adds a posting.
func (b *Balances) Add(p Posting) {
	amount := big.NewInt(int64(p.Amount))
	of := b.of(p.Currency)
	of[p.Debit].Sub(of[p.Debit], amount)
	of[p.Credit].Add(of[p.Credit], amount)
}

// AddBody adds what an entry of a kind moves, by its body. Most kinds move nothing. Only
// the body's event is read: balances are made of whole journals.
func (b *Balances) AddBody(kind Kind, body []byte) error {
	if !kind.movesMoney() {
		return nil
	}

	// No member before the event can have these characters in its value.
	_, event, found := bytes.Cut(body, []byte(`,"event":`))
	if !found {
		return errors.New("entry body: it has no event")
	}

	var step struct {
		To       State          `json:"toState"`
		Currency money.Currency `json:"currency"`
		Amount   string         `json:"amount"`
	}
	if err := json.Unmarshal(bytes.TrimSuffix(event, []byte("}")), &step); err != nil {
		return fmt.Errorf("entry body: event: %w", err)
	}

	var reader storedReader
	moved := PositionEvent{To: step.To, Currency: step.Currency, Amount: reader.optionalAmount(step.Amount)}
	if posting, moves := moved.Posting(); moves {
		b.Add(posting)
	}
	return reader.err
}

func (b *Balances) of(c money.Currency) map[Account]*big.Int {
	if b.sums == nil {
		b.sums = make(map[money.Currency]map[Account]*big.Int)
	}

	if b.sums[c] == nil {
		b.sums[c] = make(map[Account]*big.Int, len(Accounts()))
		for _, account := range Accounts() {
			b.sums[c][account] = new(big.Int)
		}
	}
	return b.sums[c]
}

// Currencies lists the currencies that there are postings in, in order of code.
func (b *Balances) Currencies() []money.Currency { return slices.Sorted(maps.Keys(b.sums)) }

// Of returns an account's balance in a currency, in minor units.
func (b *Balances) Of(c money.Currency, a Account) *big.Int {
	sum := new(big.Int)
	if balance, ok := b.sums[c][a]; ok {
		sum.Set(balance)
	}
	return sum
}

// Total returns the sum over all accounts in a currency: zero, unless the balances
// were read from somewhere that they were not written to.
func (b *Balances) Total(c money.Currency) *big.Int {
	total := new(big.Int)
	for _, account := range Accounts() {
		total.Add(total, b.Of(c, account))
	}
	return total
}

// Clone returns a copy that shares nothing.
func (b *Balances) Clone() Balances {
	var c Balances
	for currency, sums := range b.sums {
		of := c.of(currency)
		for account, sum := range sums {
			of[account].Set(sum)
		}
	}
	return c
}

// MarshalJSON writes the balances as an object of currencies, each an object of
// accounts with whole numbers of minor units as strings.
func (b *Balances) MarshalJSON() ([]byte, error) {
	out := make(map[money.Currency]map[Account]string, len(b.sums))
	for currency, sums := range b.sums {
		out[currency] = make(map[Account]string, len(sums))
		for account, sum := range sums {
			out[currency][account] = sum.String()
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (b *Balances) UnmarshalJSON(text []byte) error {
	var in map[money.Currency]map[Account]string
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("balances: %w", err)
	}

	b.sums = nil
	for currency, sums := range in {
		of := b.of(currency)
		for account, sum := range sums {
			if of[account] == nil {
				return fmt.Errorf("balances: account %q is not known", account)
			}
			if _, ok := of[account].SetString(sum, 10); !ok {
				return fmt.Errorf("balances: %q is no whole number", sum)
			}
		}
	}
	return nil
}
