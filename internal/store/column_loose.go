package store

import (
	"encoding/json"
	"strconv"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// looseValue is a value that is read out of more than one content, such as JSON with and without
// spaces.
type looseValue interface {
	value

	// stored is the content that was read.
	stored() content
}

// storedIn is the content that a column was read from.
func storedIn(c column) content {
	if loose, ok := c.value.(looseValue); ok {
		return loose.stored()
	}
	return c.written()
}

// optionalTextColumn holds an empty text as NULL.
func optionalTextColumn(text *string) value { return &optionalTextValue{variable: text} }

type optionalTextValue struct {
	variable *string
	text     *string
}

func (v *optionalTextValue) sqlType() sqlType          { return sqlText }
func (v *optionalTextValue) write(to parameters) error { writeOptional(to, *v.variable); return nil }
func (v *optionalTextValue) destination() any          { return &v.text }
func (v *optionalTextValue) stored() content           { return optionalText(v.text) }

func (v *optionalTextValue) written() content {
	return content{text: *v.variable, null: *v.variable == ""}
}

func (v *optionalTextValue) scanned() error {
	*v.variable = ""
	if v.text != nil {
		*v.variable = *v.text
	}
	return nil
}

// flagColumn holds true as 1 and false as 0. Any other number is read as true.
func flagColumn(flag *bool) value { return &flagValue{variable: flag} }

type flagValue struct {
	variable *bool
	number   int64
}

func (v *flagValue) sqlType() sqlType          { return sqlBigint }
func (v *flagValue) write(to parameters) error { to.number(v.flag()); return nil }
func (v *flagValue) destination() any          { return &v.number }
func (v *flagValue) scanned() error            { *v.variable = v.number != 0; return nil }
func (v *flagValue) stored() content           { return content{text: strconv.FormatInt(v.number, 10)} }

func (v *flagValue) written() content { return content{text: strconv.FormatInt(v.flag(), 10)} }

// flag is the number that the flag is written as.
func (v *flagValue) flag() int64 {
	if *v.variable {
		return 1
	}
	return 0
}

// writeOptional writes NULL for an empty text.
func writeOptional(to parameters, text string) {
	if text == "" {
		to.null()
	} else {
		to.text(text)
	}
}

// optionalDecimalColumn holds a decimal number as its text, nil as NULL.
func optionalDecimalColumn(number **money.Decimal) value {
	return &optionalDecimalValue{variable: number}
}

type optionalDecimalValue struct {
	variable **money.Decimal
	text     *string
}

func (v *optionalDecimalValue) sqlType() sqlType { return sqlText }
func (v *optionalDecimalValue) write(to parameters) error {
	writeOptional(to, v.written().text)
	return nil
}
func (v *optionalDecimalValue) destination() any { return &v.text }

func (v *optionalDecimalValue) scanned() error {
	*v.variable = nil
	if v.text == nil {
		return nil
	}

	number, err := money.ParseDecimal(*v.text)
	*v.variable = &number
	return err
}

func (v *optionalDecimalValue) stored() content { return optionalText(v.text) }

func (v *optionalDecimalValue) written() content {
	if *v.variable == nil {
		return content{null: true}
	}
	return content{text: (*v.variable).String()}
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

func (v *wordsValue[T]) stored() content { return content{text: v.text} }

func (v *wordsValue[T]) written() content {
	// Not the words alone: a word with a comma in it would look like two.
	text, err := v.json()
	if err != nil {
		return content{text: err.Error()}
	}
	return content{text: text}
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

func (v *jsonValue[T]) stored() content { return optionalText(v.text) }

func (v *jsonValue[T]) written() content {
	if v.isAbsent() {
		return content{null: true}
	}
	text, err := json.Marshal(v.variable)
	if err != nil {
		return content{text: err.Error()}
	}
	return content{text: string(text)}
}
