package money

import (
	"errors"
	"strings"

	"github.com/bojanz/currency"
)

// Currency is an upper-case ISO 4217 code, e.g. "USD".
type Currency string

// ParseCurrency reads an ISO 4217 code in any case.
func ParseCurrency(text string) (Currency, error) {
	code := strings.ToUpper(strings.TrimSpace(text))
	if len(code) != 3 || !currency.IsValid(code) {
		return "", errors.New("must be an ISO 4217 currency code, like USD")
	}
	return Currency(code), nil
}

// Decimals returns how many decimals the currency's amounts have: 2 for USD, 0
// for JPY, 3 for KWD.
func (c Currency) Decimals() int {
	digits, _ := currency.GetDigits(string(c))
	return int(digits)
}
