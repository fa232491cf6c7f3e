package money

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Digits is a number as a client wrote it, a JSON number or a string: the
// characters, never a float.
type Digits string

// UnmarshalJSON takes the characters of a number or the content of a string. It does
// not check them further; see Check.
func (d *Digits) UnmarshalJSON(value []byte) error {
	text := string(value)

	if strings.HasPrefix(text, `"`) {
		if err := json.Unmarshal(value, &text); err != nil {
			return fmt.Errorf("digits: %w", err)
		}
	} else if text != "" && text[0] != '-' && (text[0] < '0' || text[0] > '9') {
		return errors.New("must be a number, or a string that holds one")
	}

	*d = Digits(text)
	return nil
}

// Check refuses what is not a plain decimal number, of whatever size and decimals.
func (d Digits) Check() error {
	_, err := splitDecimal(string(d))
	return err
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
