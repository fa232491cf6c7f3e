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
	sums map[money.Code]*sums
}

// sums are those of one currency, in minor units of the most decimals that its postings
// have had: a currency can get others while money is held in it.
type sums struct {
	decimals int
	of       map[Account]*big.Int
}

// Add adds a posting.
func (b *Balances) Add(p Posting) {
	s := b.in(p.Currency)
	amount := s.minor(big.NewInt(int64(p.Amount)), p.Currency.Decimals)
	s.of[p.Debit].Sub(s.of[p.Debit], amount)
	s.of[p.Credit].Add(s.of[p.Credit], amount)
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
		To       State      `json:"toState"`
		Currency money.Code `json:"currency"`
		Amount   string     `json:"amount"`
	}
	if err := json.Unmarshal(bytes.TrimSuffix(event, []byte("}")), &step); err != nil {
		return fmt.Errorf("entry body: event: %w", err)
	}

	var reader storedReader
	amount := reader.optionalMoney(step.Amount, step.Currency)
	moved := PositionEvent{To: step.To, Currency: amount.Currency, Amount: amount.Amount}
	if posting, moves := moved.Posting(); moves {
		b.Add(posting)
	}
	return reader.err
}

// in returns the sums of a currency, with the currency's decimals at least.
func (b *Balances) in(c money.Currency) *sums {
	if b.sums == nil {
		b.sums = make(map[money.Code]*sums)
	}

	s := b.sums[c.Code]
	if s == nil {
		s = &sums{decimals: c.Decimals, of: make(map[Account]*big.Int, len(Accounts()))}
		for _, account := range Accounts() {
			s.of[account] = new(big.Int)
		}
		b.sums[c.Code] = s
	}

	if c.Decimals > s.decimals {
		wider := &sums{decimals: c.Decimals, of: s.of}
		for account, sum := range s.of {
			s.of[account] = wider.minor(sum, s.decimals)
		}
		*s = *wider
	}
	return s
}

// minor returns minor units of a number of decimals, at most that of the sums, as minor units
// of the sums.
func (s *sums) minor(units *big.Int, decimals int) *big.Int {
	if decimals == s.decimals {
		return units
	}
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(s.decimals-decimals)), nil)
	return power.Mul(power, units)
}

// Currencies lists the currencies that there are postings in, in order of code, each with
// the decimals of its balances.
func (b *Balances) Currencies() []money.Currency {
	currencies := make([]money.Currency, 0, len(b.sums))
	for _, code := range slices.Sorted(maps.Keys(b.sums)) {
		currencies = append(currencies, money.Currency{Code: code, Decimals: b.sums[code].decimals})
	}
	return currencies
}

// Of returns an account's balance in a currency, in minor units of its decimals, which must
// be those of Currencies at least.
func (b *Balances) Of(c money.Currency, a Account) *big.Int {
	s, ok := b.sums[c.Code]
	if !ok {
		return new(big.Int)
	}
	wider := sums{decimals: c.Decimals}
	return new(big.Int).Set(wider.minor(s.of[a], s.decimals))
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
	for _, currency := range b.Currencies() {
		of := c.in(currency).of
		for account, sum := range b.sums[currency.Code].of {
			of[account].Set(sum)
		}
	}
	return c
}

// MarshalJSON writes the balances as an object of currencies, each an object of accounts
// with amounts as strings, which have the currency's decimals.
func (b *Balances) MarshalJSON() ([]byte, error) {
	out := make(map[money.Code]map[Account]string, len(b.sums))
	for code, s := range b.sums {
		out[code] = make(map[Account]string, len(s.of))
		for account, sum := range s.of {
			out[code][account] = money.FormatSum(sum, s.decimals)
		}
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (b *Balances) UnmarshalJSON(text []byte) error {
	var in map[money.Code]map[Account]string
	if err := json.Unmarshal(text, &in); err != nil {
		return fmt.Errorf("balances: %w", err)
	}

	b.sums = nil
	for code, accounts := range in {
		for account, amount := range accounts {
			if !slices.Contains(Accounts(), account) {
				return fmt.Errorf("balances: account %q is not known", account)
			}
			sum, decimals, err := money.ParseSum(amount)
			if err != nil {
				return fmt.Errorf("balances: %w", err)
			}
			s := b.in(money.Currency{Code: code, Decimals: decimals})
			s.of[account] = s.minor(sum, decimals)
		}
	}
	return nil
}
