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
	at, err := ParseWrittenTime(text)
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

// money reads an amount of a currency. The amount's text tells the currency's decimals.
func (r *storedReader) money(text string, code money.Code) money.Money {
	amount, decimals, err := money.ParseFormatted(text)
	r.keep(err)
	return money.Money{Amount: amount, Currency: money.Currency{Code: code, Decimals: decimals}}
}

// optionalMoney reads an amount whose absence means nothing.
func (r *storedReader) optionalMoney(text string, code money.Code) money.Money {
	if text == "" {
		return money.Money{}
	}
	return r.money(text, code)
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
	if hash.String() != text {
		r.keep(errors.New("hash is not written as 64 hexadecimal digits"))
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
