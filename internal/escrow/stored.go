package escrow

import (
	"encoding/hex"
	"errors"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
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

func (r *storedReader) amount(text string) money.Amount {
	amount, err := money.ParseFormatted(text)
	r.keep(err)
	return amount
}

// optionalAmount reads an amount whose absence means nothing.
func (r *storedReader) optionalAmount(text string) money.Amount {
	if text == "" {
		return 0
	}
	return r.amount(text)
}

func (r *storedReader) decimal(text string) *money.Decimal {
	if text == "" {
		return nil
	}
	decimal, err := money.ParseDecimal(text)
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
