package money

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// decimalScale is the number of decimals a Decimal keeps: that of the currencies
// with the most.
const decimalScale = maxDecimals

// Decimal is an exact number without a currency, from 0 to MaxUnits with up to
// four decimals: a policy's bound or a percentage.
type Decimal struct {
	// scaled is the number times 10^decimalScale; MaxUnits gives 10^19, which
	// only the unsigned type holds.
	scaled uint64
}

// WholeDecimal returns a whole number, at most MaxUnits.
func WholeDecimal(number uint64) Decimal { return Decimal{number * pow10(decimalScale)} }

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

// MarshalText implements encoding.TextMarshaler; see String.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; see ParseDecimal. It takes what String writes,
// and no other form of the same number.
func (d *Decimal) UnmarshalText(text []byte) (err error) {
	if *d, err = ParseDecimal(string(text)); err == nil && d.String() != string(text) {
		err = fmt.Errorf("must be written as %s", d)
	}
	return err
}

// IsZero reports whether the number is 0.
func (d Decimal) IsZero() bool { return d.scaled == 0 }

// Compare orders two numbers.
func (d Decimal) Compare(other Decimal) int { return cmp.Compare(d.scaled, other.scaled) }
