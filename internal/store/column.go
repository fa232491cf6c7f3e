package store

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// column is one column of a table, tied to the variable that it is written from and
// read into.
type column struct {
	name string
	part part
	value
}

// part is what a column is to its row.
type part int8

const (
	keyPart      part = iota // it names the row
	fixedPart                // it stays as the row was made
	changingPart             // it changes after the row was made
	erasablePart             // it stays as the row was made, until it is erased
)

func key(name string, v value) column      { return column{name: name, part: keyPart, value: v} }
func fixed(name string, v value) column    { return column{name: name, part: fixedPart, value: v} }
func erasable(name string, v value) column { return column{name: name, part: erasablePart, value: v} }

func changing(name string, v value) column { return column{name: name, part: changingPart, value: v} }

// value is a variable as it stands in a column.
type value interface {
	sqlType() sqlType
	// write hands the value to a statement.
	write(to parameters) error
	// destination is what a driver scans into; scanned then sets the variable.
	destination() any
	scanned() error
	// written is what write writes.
	written() content
}

// content is what stands in a column, as text: that of two values is alike where they are
// stored alike, byte for byte.
type content struct {
	text string
	null bool
}

// optionalText is NULL where there is no text.
func optionalText(text *string) content {
	if text == nil {
		return content{null: true}
	}
	return content{text: *text}
}

// sqlType is the name of a column's type in PostgreSQL. SQLite has a type of its own
// for each: blob, text, integer, blob, and integer for microseconds since 1970.
type sqlType string

const (
	sqlUUID   sqlType = "uuid"
	sqlText   sqlType = "text"
	sqlBigint sqlType = "bigint"
	sqlBytes  sqlType = "bytea"
	sqlTime   sqlType = "timestamptz"
)

// parameters takes the values of a row, one after the other. An error comes to light
// when the statement runs.
type parameters interface {
	id(id [16]byte)
	text(text string)
	number(number int64)
	bytes(content []byte)
	time(at time.Time)
	null()
}

// textColumn holds a text, or a word of the domain.
func textColumn[T ~string](text *T) value { return &textValue[T]{variable: text} }

type textValue[T ~string] struct {
	variable *T
	text     string
}

func (v *textValue[T]) sqlType() sqlType          { return sqlText }
func (v *textValue[T]) write(to parameters) error { to.text(string(*v.variable)); return nil }
func (v *textValue[T]) destination() any          { return &v.text }
func (v *textValue[T]) scanned() error            { *v.variable = T(v.text); return nil }
func (v *textValue[T]) written() content          { return content{text: string(*v.variable)} }

// addressColumn holds an address, or an empty text for none.
func addressColumn(address *netip.Addr) value { return &addressValue{variable: address} }

type addressValue struct {
	variable *netip.Addr
	text     string
}

func (v *addressValue) sqlType() sqlType          { return sqlText }
func (v *addressValue) write(to parameters) error { to.text(v.shown()); return nil }
func (v *addressValue) destination() any          { return &v.text }
func (v *addressValue) scanned() error            { return v.variable.UnmarshalText([]byte(v.text)) }
func (v *addressValue) written() content          { return content{text: v.shown()} }

func (v *addressValue) shown() string {
	if !v.variable.IsValid() {
		return ""
	}
	return v.variable.String()
}

// bigintColumn holds a number, or an amount in minor units.
func bigintColumn[T ~int | ~int64](number *T) value { return &bigintValue[T]{variable: number} }

type bigintValue[T ~int | ~int64] struct {
	variable *T
	number   int64
}

func (v *bigintValue[T]) sqlType() sqlType          { return sqlBigint }
func (v *bigintValue[T]) write(to parameters) error { to.number(int64(*v.variable)); return nil }
func (v *bigintValue[T]) destination() any          { return &v.number }
func (v *bigintValue[T]) scanned() error            { *v.variable = T(v.number); return nil }

func (v *bigintValue[T]) written() content {
	return content{text: strconv.FormatInt(int64(*v.variable), 10)}
}

// timeColumn holds a time, to the microsecond.
func timeColumn(at *time.Time) value { return timeValue{at} }

type timeValue struct{ variable *time.Time }

func (v timeValue) sqlType() sqlType          { return sqlTime }
func (v timeValue) write(to parameters) error { to.time(*v.variable); return nil }
func (v timeValue) destination() any          { return v.variable }
func (v timeValue) scanned() error            { return nil }
func (v timeValue) written() content          { return content{text: escrow.FormatTime(*v.variable)} }

// optionalTimeColumn holds nil as NULL.
func optionalTimeColumn(at **time.Time) value { return optionalTimeValue{at} }

type optionalTimeValue struct{ variable **time.Time }

func (v optionalTimeValue) sqlType() sqlType { return sqlTime }
func (v optionalTimeValue) destination() any { return v.variable }
func (v optionalTimeValue) scanned() error   { return nil }

func (v optionalTimeValue) write(to parameters) error {
	if *v.variable == nil {
		to.null()
	} else {
		to.time(**v.variable)
	}
	return nil
}

func (v optionalTimeValue) written() content {
	if *v.variable == nil {
		return content{null: true}
	}
	return content{text: escrow.FormatTime(**v.variable)}
}

// bytesColumn holds nil as NULL.
func bytesColumn(content *[]byte) value { return bytesValue{content} }

type bytesValue struct{ variable *[]byte }

func (v bytesValue) sqlType() sqlType { return sqlBytes }
func (v bytesValue) destination() any { return v.variable }
func (v bytesValue) scanned() error   { return nil }

func (v bytesValue) written() content {
	return content{text: string(*v.variable), null: *v.variable == nil}
}

func (v bytesValue) write(to parameters) error {
	if *v.variable == nil {
		to.null()
	} else {
		to.bytes(*v.variable)
	}
	return nil
}

// hashColumn holds the 32 bytes of a SHA-256.
func hashColumn(hash *[32]byte) value { return &hashValue{variable: hash} }

type hashValue struct {
	variable *[32]byte
	content  []byte
}

func (v *hashValue) sqlType() sqlType          { return sqlBytes }
func (v *hashValue) write(to parameters) error { to.bytes(v.variable[:]); return nil }
func (v *hashValue) destination() any          { return &v.content }
func (v *hashValue) written() content          { return content{text: fmt.Sprintf("%x", v.variable[:])} }

func (v *hashValue) scanned() error {
	copy(v.variable[:], v.content)
	if len(v.content) != len(v.variable) {
		return fmt.Errorf("a hash of %d bytes", len(v.content))
	}
	return nil
}
