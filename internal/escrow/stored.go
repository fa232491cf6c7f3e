package escrow

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// storedReader reads values back out of an event's JSON and keeps the first
// error, so that an event can be read in one expression.
type storedReader struct{ err error }

func (r *storedReader) keep(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *storedReader) time(text string) time.Time {
	at, err := ParseTime(text)
	r.keep(err)
	return at
}

func (r *storedReader) optionalTime(text *string) *time.Time {
	if text == nil {
		return nil
	}
	at := r.time(*text)
	return &at
}

func (r *storedReader) amount(text string) Amount {
	amount, err := parseStored(text)
	r.keep(err)
	return amount
}

// optionalAmount reads an amount whose absence means nothing.
func (r *storedReader) optionalAmount(text string) Amount {
	if text == "" {
		return 0
	}
	return r.amount(text)
}

func (r *storedReader) decimal(text string) *Decimal {
	if text == "" {
		return nil
	}
	decimal, err := ParseDecimal(text)
	r.keep(err)
	return &decimal
}

func (r *storedReader) hash(text string) (hash SecretHash) {
	bits, err := hex.DecodeString(text)
	r.keep(err)
	if copy(hash[:], bits) != len(hash) {
		r.keep(errors.New("hash is too short"))
	}
	return hash
}

func formatOptionalTime(at *time.Time) *string {
	if at == nil {
		return nil
	}
	text := FormatTime(*at)
	return &text
}

// invalid makes the refusal of a single field.
func invalid(field, format string, args ...any) error {
	var faults Faults
	faults.Add(field, format, args...)
	return faults.Err()
}

// Digits is an amount as a client wrote it, a JSON number or a string: the
// characters, never a float.
type Digits string

// UnmarshalJSON takes the characters of a number or the content of a string.
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
