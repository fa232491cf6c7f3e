package store

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
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
)

func key(name string, v value) column      { return column{name: name, part: keyPart, value: v} }
func fixed(name string, v value) column    { return column{name: name, part: fixedPart, value: v} }
func changing(name string, v value) column { return column{name: name, part: changingPart, value: v} }

// value is a variable as it stands in a column.
type value interface {
	sqlType() sqlType
	// write hands the value to a statement.
	write(to parameters) error
	// destination is what a driver scans into; scanned then sets the variable.
	destination() any
	scanned() error
	// String is the value for people, and for a comparison with another.
	String() string
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

// uuidColumn holds an id.
func uuidColumn[K escrow.IDKind](id *escrow.ID[K]) value { return uuidValue[K]{id} }

type uuidValue[K escrow.IDKind] struct{ variable *escrow.ID[K] }

func (v uuidValue[K]) sqlType() sqlType          { return sqlUUID }
func (v uuidValue[K]) write(to parameters) error { to.id(*v.variable); return nil }
func (v uuidValue[K]) destination() any          { return (*[16]byte)(v.variable) }
func (v uuidValue[K]) scanned() error            { return nil }
func (v uuidValue[K]) String() string            { return v.variable.String() }

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
func (v *textValue[T]) String() string            { return string(*v.variable) }

// optionalTextColumn holds an empty text as NULL.
func optionalTextColumn(text *string) value { return &optionalTextValue{variable: text} }

type optionalTextValue struct {
	variable *string
	text     *string
}

func (v *optionalTextValue) sqlType() sqlType          { return sqlText }
func (v *optionalTextValue) write(to parameters) error { writeOptional(to, *v.variable); return nil }
func (v *optionalTextValue) destination() any          { return &v.text }
func (v *optionalTextValue) String() string            { return *v.variable }

func (v *optionalTextValue) scanned() error {
	*v.variable = ""
	if v.text != nil {
		*v.variable = *v.text
	}
	return nil
}

// writeOptional writes NULL for an empty text.
func writeOptional(to parameters, text string) {
	if text == "" {
		to.null()
	} else {
		to.text(text)
	}
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
func (v *bigintValue[T]) String() string            { return strconv.FormatInt(int64(*v.variable), 10) }

// timeColumn holds a time, to the microsecond.
func timeColumn(at *time.Time) value { return timeValue{at} }

type timeValue struct{ variable *time.Time }

func (v timeValue) sqlType() sqlType          { return sqlTime }
func (v timeValue) write(to parameters) error { to.time(*v.variable); return nil }
func (v timeValue) destination() any          { return v.variable }
func (v timeValue) scanned() error            { return nil }
func (v timeValue) String() string            { return escrow.FormatTime(*v.variable) }

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

func (v optionalTimeValue) String() string {
	if *v.variable == nil {
		return ""
	}
	return escrow.FormatTime(**v.variable)
}

// bytesColumn holds nil as NULL.
func bytesColumn(content *[]byte) value { return bytesValue{content} }

type bytesValue struct{ variable *[]byte }

func (v bytesValue) sqlType() sqlType { return sqlBytes }
func (v bytesValue) destination() any { return v.variable }
func (v bytesValue) scanned() error   { return nil }
func (v bytesValue) String() string   { return string(*v.variable) }

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
func (v *hashValue) String() string            { return fmt.Sprintf("%x", v.variable[:]) }

func (v *hashValue) scanned() error {
	if copy(v.variable[:], v.content) != len(v.variable) {
		return fmt.Errorf("a hash of %d bytes", len(v.content))
	}
	return nil
}

// optionalDecimalColumn holds a decimal number as its text, nil as NULL.
func optionalDecimalColumn(number **money.Decimal) value {
	return &optionalDecimalValue{variable: number}
}

type optionalDecimalValue struct {
	variable **money.Decimal
	text     *string
}

func (v *optionalDecimalValue) sqlType() sqlType          { return sqlText }
func (v *optionalDecimalValue) write(to parameters) error { writeOptional(to, v.String()); return nil }
func (v *optionalDecimalValue) destination() any          { return &v.text }

func (v *optionalDecimalValue) scanned() error {
	*v.variable = nil
	if v.text == nil {
		return nil
	}

	number, err := money.ParseDecimal(*v.text)
	*v.variable = &number
	return err
}

func (v *optionalDecimalValue) String() string {
	if *v.variable == nil {
		return ""
	}
	return (*v.variable).String()
}

// wordsColumn holds a list of words as a JSON array. An empty list is read as nil.
func wordsColumn[T ~string](words *[]T) value { return &wordsValue[T]{variable: words} }

type wordsValue[T ~string] struct {
	variable *[]T
	text     string
}

func (v *wordsValue[T]) sqlType() sqlType { return sqlText }
func (v *wordsValue[T]) destination() any { return &v.text }

func (v *wordsValue[T]) write(to parameters) error {
	text, err := v.json()
	to.text(text)
	return err
}

func (v *wordsValue[T]) json() (string, error) {
	words := *v.variable
	if words == nil {
		words = []T{}
	}
	text, err := json.Marshal(words)
	return string(text), err
}

func (v *wordsValue[T]) scanned() error {
	// A new list: the one before belongs to another row by now.
	var words []T
	err := json.Unmarshal([]byte(v.text), &words)
	if len(words) == 0 {
		words = nil
	}
	*v.variable = words
	return err
}

func (v *wordsValue[T]) String() string {
	// Not the words alone: a word with a comma in it would look like two.
	text, err := v.json()
	if err != nil {
		return err.Error()
	}
	return text
}

// jsonColumn holds a value as its JSON.
func jsonColumn[T any](variable *T) value {
	return &jsonValue[T]{variable: variable, isAbsent: func() bool { return false }}
}

// optionalJSONColumn holds NULL where the value is absent.
func optionalJSONColumn[T any](variable *T, isAbsent func() bool) value {
	return &jsonValue[T]{variable: variable, isAbsent: isAbsent}
}

type jsonValue[T any] struct {
	variable *T
	isAbsent func() bool
	text     *string
}

func (v *jsonValue[T]) sqlType() sqlType { return sqlText }
func (v *jsonValue[T]) destination() any { return &v.text }

func (v *jsonValue[T]) write(to parameters) error {
	if v.isAbsent() {
		to.null()
		return nil
	}
	text, err := json.Marshal(v.variable)
	to.text(string(text))
	return err
}

func (v *jsonValue[T]) scanned() error {
	// A new value: what the one before points to belongs to another row by now.
	var fresh T
	*v.variable = fresh
	if v.text == nil {
		return nil
	}
	return json.Unmarshal([]byte(*v.text), v.variable)
}

func (v *jsonValue[T]) String() string {
	if v.isAbsent() {
		return ""
	}
	text, err := json.Marshal(v.variable)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
