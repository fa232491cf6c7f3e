package escrow

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"

	"github.com/bojanz/currency"
)

// MaxUnits is the largest amount in whole units of a currency: 10^15. In the two
// currencies with four decimals (CLF, UYW) the range of int64 ends a little
// below it, at 922337203685477.5807.
const MaxUnits = 1_000_000_000_000_000

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

// Amount is money in integer minor units of its currency: cents for USD. It is
// never negative where it is stored.
type Amount int64

// ParseAmount reads a plain decimal number ("1000", "1000.50") exactly, digit by
// digit. It refuses signs, exponents, zero, more decimals than the currency has,
// and amounts over MaxUnits.
func ParseAmount(text string, c Currency) (Amount, error) {
	number, err := splitDecimal(text)
	if err != nil {
		return 0, err
	}
	decimals := c.Decimals()
	if len(number.fraction) > decimals {
		return 0, fmt.Errorf("has more decimals than the %d of %s", decimals, c)
	}
	minor, err := number.scaled(decimals)
	switch {
	case err != nil:
		return 0, err
	case minor == 0:
		return 0, errors.New("must be greater than 0")
	case minor > math.MaxInt64:
		return 0, errTooLarge
	}
	return Amount(minor), nil
}

// Format returns the amount in units of its currency, with all of its decimals:
// 100050 is "1000.50" in USD and "100050" in JPY.
func (a Amount) Format(c Currency) string { return formatScaled(int64(a), c.Decimals()) }

func formatScaled(value int64, decimals int) string {
	var text [28]byte // The longest number has 20 characters, and 4 decimals.
	digits := strconv.AppendInt(text[:4], value, 10)
	if decimals == 0 {
		return string(digits[4:])
	}
	start := 4
	for len(digits)-start <= decimals {
		start--
		digits[start] = '0'
	}
	point := len(digits) - decimals
	digits = append(digits, 0)
	copy(digits[point+1:], digits[point:])
	digits[point] = '.'
	return string(digits[start:])
}

// parseStored reads an amount out of an entry's body. The text's own decimals
// say what its minor units are, so a journal stays readable when a currency's
// number of decimals changes.
func parseStored(text string) (Amount, error) {
	minor, err := strconv.ParseInt(strings.Replace(text, ".", "", 1), 10, 64)
	if err != nil || minor < 0 {
		return 0, fmt.Errorf("amount %q is not a plain decimal number", text)
	}
	return Amount(minor), nil
}

// decimalScale is the number of decimals a Decimal keeps: that of the currencies
// with the most.
const decimalScale = 4

// Decimal is an exact number without a currency, from 0 to MaxUnits with up to
// four decimals: a policy's bound or a percentage.
type Decimal struct {
	// scaled is the number times 10^decimalScale; MaxUnits gives 10^19, which
	// only the unsigned type holds.
	scaled uint64
}

// ParseDecimal reads a plain decimal number of at most four decimals exactly.
func ParseDecimal(text string) (Decimal, error) {
	number, err := splitDecimal(text)
	if err != nil {
		return Decimal{}, err
	}
	if len(number.fraction) > decimalScale {
		return Decimal{}, fmt.Errorf("must have at most %d decimals", decimalScale)
	}
	scaled, err := number.scaled(decimalScale)
	return Decimal{scaled}, err
}

// String returns the number in its shortest form: "100", "0.5".
func (d Decimal) String() string {
	const unit = 10_000
	text := strconv.FormatUint(d.scaled/unit, 10)
	if fraction := d.scaled % unit; fraction != 0 {
		text += "." + strings.TrimRight(fmt.Sprintf("%04d", fraction), "0")
	}
	return text
}

// IsZero reports whether the number is 0.
func (d Decimal) IsZero() bool { return d.scaled == 0 }

// Compare orders two numbers.
func (d Decimal) Compare(other Decimal) int { return cmp.Compare(d.scaled, other.scaled) }

// compareAmount orders an amount, taken in units of its currency, and a Decimal.
func compareAmount(a Amount, c Currency, d Decimal) int {
	// An amount's minor units times 10^(4-decimals) can pass 64 bits.
	high, low := bits.Mul64(uint64(a), pow10(decimalScale-c.Decimals()))
	if high != 0 {
		return 1
	}
	return cmp.Compare(low, d.scaled)
}

// share returns the given percentage of the amount, rounded up to a whole minor
// unit: what must stay held is never less than the share.
func (a Amount) share(percentage Decimal) Amount {
	hundred := new(big.Int).SetUint64(100 * pow10(decimalScale))
	product := new(big.Int).Mul(big.NewInt(int64(a)), new(big.Int).SetUint64(percentage.scaled))
	product.Add(product, new(big.Int).Sub(hundred, big.NewInt(1)))
	return Amount(product.Quo(product, hundred).Int64())
}

var (
	errNotDecimal = errors.New("must be a plain decimal number, like 1000 or 1000.50, without sign or exponent")
	errTooLarge   = fmt.Errorf("must be at most %d", int64(MaxUnits))
)

// maxDigits bounds what is read of a number before it is refused: 16 digits
// before the point hold MaxUnits.
const maxDigits = 40

type decimalText struct{ whole, fraction string }

// splitDecimal takes a plain decimal number apart. No other notation passes:
// general parsers also take "1e5", "NaN" or "0x1p4", or spend minutes on
// "1E1000000000".
func splitDecimal(text string) (decimalText, error) {
	whole, fraction, hasPoint := strings.Cut(text, ".")
	switch {
	case !allDigits(whole) || hasPoint && !allDigits(fraction):
		return decimalText{}, errNotDecimal
	case len(whole) > 1 && whole[0] == '0':
		return decimalText{}, errNotDecimal
	case len(whole) > maxDigits || len(fraction) > maxDigits:
		return decimalText{}, fmt.Errorf("must have at most %d digits", maxDigits)
	}
	return decimalText{whole, fraction}, nil
}

func allDigits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}

// scaled returns the number times 10^decimals; the fraction must not be longer.
func (n decimalText) scaled(decimals int) (uint64, error) {
	digits := n.whole + n.fraction + strings.Repeat("0", decimals-len(n.fraction))
	value, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || value > MaxUnits*pow10(decimals) {
		return 0, errTooLarge
	}
	return value, nil
}

func pow10(exponent int) uint64 {
	power := uint64(1)
	for range exponent {
		power *= 10
	}
	return power
}
