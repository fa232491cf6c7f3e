package money

import (
	"cmp"
	"errors"
	"math/bits"
	"strings"

	"github.com/bojanz/currency"
)

// Code is an upper-case ISO 4217 code, e.g. "USD".
type Code string

// codeLength is that of a currency's code, in bytes.
const codeLength = 3

// ParseCode reads the code of any currency, of one that ISO 4217 has withdrawn too, in
// upper or lower case.
func ParseCode(text string) (Code, error) {
	code := strings.TrimSpace(text)
	for i := range len(code) {
		if letter := code[i] | 0x20; letter < 'a' || letter > 'z' {
			return "", errNoCode
		}
	}
	if len(code) != codeLength {
		return "", errNoCode
	}
	return Code(strings.ToUpper(code)), nil
}

var errNoCode = errors.New("must be an ISO 4217 currency code, like USD")

// Currency is a currency with the number of decimals that its amounts have: 2 for USD, 0
// for JPY, 3 for KWD. Lists of currencies change; what is stored keeps the decimals that
// it was written with.
type Currency struct {
	Code     Code
	Decimals int
}

// ParseCurrency reads the code of a currency that is in use, in upper or lower case.
func ParseCurrency(text string) (Currency, error) {
	code, err := ParseCode(text)
	if err != nil {
		return Currency{}, err
	}
	decimals, known := currency.GetDigits(string(code))
	if !known {
		return Currency{}, errNoCode
	}
	return Currency{Code: code, Decimals: int(decimals)}, nil
}

// String returns the code.
func (c Currency) String() string { return string(c.Code) }

// Money is an amount with its currency. The zero value is no money at all.
type Money struct {
	Amount   Amount
	Currency Currency
}

// IsZero reports whether there is no money.
func (m Money) IsZero() bool { return m == Money{} }

// Format returns the amount in units of its currency; see Amount.Format.
func (m Money) Format() string { return m.Amount.Format(m.Currency) }

// Compare orders two sums of money in units, whatever their numbers of decimals. They must
// be of one currency.
func (m Money) Compare(other Money) int {
	high, low := m.scaled()
	otherHigh, otherLow := other.scaled()
	return cmp.Or(cmp.Compare(high, otherHigh), cmp.Compare(low, otherLow))
}

// scaled returns the amount in units times 10^maxDecimals, which can pass 64 bits.
func (m Money) scaled() (high, low uint64) {
	return bits.Mul64(uint64(m.Amount), pow10(maxDecimals-m.Currency.Decimals))
}
