package money

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// MaxUnits is the largest amount in whole units of a currency: 10^15. In the two
// currencies with four decimals (CLF, UYW) the range of int64 ends a little
// below it, at 922337203685477.5807.
const MaxUnits = 1_000_000_000_000_000

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
	if len(number.fraction) > c.Decimals {
		return 0, fmt.Errorf("has more decimals than the %d of %s", c.Decimals, c)
	}

	minor, err := number.scaled(c.Decimals)
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

// ParseFormatted reads an amount as Format wrote it, 0 included, with the number of
// decimals that it was written with.
func ParseFormatted(text string) (amount Amount, decimals int, err error) {
	whole, fraction, _ := strings.Cut(text, ".")
	minor, err := strconv.ParseInt(whole+fraction, 10, 64)
	// One number has one text: two readers could take another for different amounts.
	if err != nil || minor < 0 || len(fraction) > maxDecimals || formatScaled(minor, len(fraction)) != text {
		return 0, 0, fmt.Errorf("amount %q is not a plain decimal number", text)
	}
	return Amount(minor), len(fraction), nil
}

// maxDecimals is how many decimals the currencies of ISO 4217 have at most.
const maxDecimals = 4

// Format returns the amount in units of its currency, with all of its decimals:
// 100050 is "1000.50" in USD and "100050" in JPY.
func (a Amount) Format(c Currency) string { return formatScaled(int64(a), c.Decimals) }

func formatScaled(value int64, decimals int) string {
	var text [28]byte // The longest number has 20 characters, and 4 decimals.
	digits := strconv.AppendInt(text[:4], value, 10)
	if decimals == 0 {
		return string(digits[4:])
	}

	// A number below one unit needs zeros before and behind its point.
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

// FormatSum writes a sum of minor units with a number of decimals, like Amount.Format, of
// any size and sign.
func FormatSum(sum *big.Int, decimals int) string {
	digits := new(big.Int).Abs(sum).String()
	for len(digits) <= decimals {
		digits = "0" + digits
	}

	text := digits
	if decimals > 0 {
		text = digits[:len(digits)-decimals] + "." + digits[len(digits)-decimals:]
	}
	if sum.Sign() < 0 {
		text = "-" + text
	}
	return text
}

// ParseSum reads a sum as FormatSum wrote it, with its number of decimals.
func ParseSum(text string) (sum *big.Int, decimals int, err error) {
	whole, fraction, _ := strings.Cut(text, ".")
	sum, ok := new(big.Int).SetString(whole+fraction, 10)
	if !ok || len(fraction) > maxDecimals || FormatSum(sum, len(fraction)) != text {
		return nil, 0, fmt.Errorf("sum %q is not a plain decimal number", text)
	}
	return sum, len(fraction), nil
}

// Compare orders the amount, taken in units of its currency, and a number.
func (a Amount) Compare(c Currency, d Decimal) int {
	high, low := Money{a, c}.scaled()
	if high != 0 {
		return 1
	}
	return cmp.Compare(low, d.scaled)
}

// Share returns the given percentage of the amount, rounded up to a whole minor
// unit: what must stay held is never less than the share.
func (a Amount) Share(percentage Decimal) Amount {
	hundred := new(big.Int).SetUint64(WholeDecimal(100).scaled)
	product := new(big.Int).Mul(big.NewInt(int64(a)), new(big.Int).SetUint64(percentage.scaled))

	product.Add(product, new(big.Int).Sub(hundred, big.NewInt(1)))
	return Amount(product.Quo(product, hundred).Int64())
}
