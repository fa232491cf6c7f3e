// Package jsonwriter writes JSON objects by hand, member by member: the answers that
// are sent most, and the entries of positions, of which encoding by reflection took a
// third of the time. Its bytes are those of encoding/json with HTML escaping off; a
// test compares them. That matters for entries, which are hashed.
//
//	o := jsonwriter.Begin(text)
//	jsonwriter.Appender(&o, "id", v.ID)
//	o.Text("name", v.Name)
//	return o.End()
//
// Names of members are written as they are: none may hold what JSON escapes.
package jsonwriter

import (
	"encoding"
	"strconv"
	"unicode/utf8"
)

// Object writes one JSON object. Begin makes it, End returns what was written.
type Object struct {
	text []byte
}

// Value is what writes itself as JSON: it appends one value to a text and returns the
// extended text.
type Value interface {
	AppendJSON(text []byte) []byte
}

// Begin begins an object at the end of a text.
func Begin(text []byte) Object { return Object{text: append(text, '{')} }

// End ends the object and returns the text with it.
func (o *Object) End() []byte { return append(o.text, '}') }

// Text writes a member whose value is any text. Bytes that are no UTF-8 are replaced by
// U+FFFD.
func (o *Object) Text(name, value string) {
	o.name(name)
	o.text = AppendText(o.text, value)
}

// OptionalText is Text for a member that is left out when it is empty.
func (o *Object) OptionalText(name, value string) {
	if value != "" {
		o.Text(name, value)
	}
}

// Word writes a member whose value has nothing that JSON escapes: a code, an amount.
func (o *Object) Word(name, value string) {
	o.name(name)
	o.text = append(append(append(o.text, '"'), value...), '"')
}

// OptionalWord is Word for a member that is left out when it is empty.
func (o *Object) OptionalWord(name, value string) {
	if value != "" {
		o.Word(name, value)
	}
}

// Number writes a member whose value is a whole number.
func (o *Object) Number(name string, value int64) {
	o.name(name)
	o.text = strconv.AppendInt(o.text, value, 10)
}

// Raw writes a member whose value is JSON already. It is not checked.
func (o *Object) Raw(name string, value []byte) {
	o.name(name)
	o.text = append(o.text, value...)
}

// Null writes a member that has no value.
func (o *Object) Null(name string) {
	o.name(name)
	o.text = append(o.text, "null"...)
}

// Appender writes a member whose value is a word, like an id or a time. AppendText must
// not fail: its error is dropped.
func Appender[T encoding.TextAppender](o *Object, name string, value T) {
	o.name(name)
	o.text = append(o.text, '"')
	o.text, _ = value.AppendText(o.text)
	o.text = append(o.text, '"')
}

// Member writes a member whose value writes itself.
func Member[T Value](o *Object, name string, value T) {
	o.name(name)
	o.text = value.AppendJSON(o.text)
}

// Array writes a member whose value is an array of what writes itself; none of them is
// an empty array.
func Array[T Value](o *Object, name string, items []T) {
	o.name(name)
	o.text = append(o.text, '[')

	for i, item := range items {
		if i > 0 {
			o.text = append(o.text, ',')
		}
		o.text = item.AppendJSON(o.text)
	}

	o.text = append(o.text, ']')
}

// Words writes a member whose value is an array of words; see Appender.
func Words[T encoding.TextAppender](o *Object, name string, items []T) {
	o.name(name)
	o.text = append(o.text, '[')

	for i, item := range items {
		if i > 0 {
			o.text = append(o.text, ',')
		}
		o.text = append(o.text, '"')
		o.text, _ = item.AppendText(o.text)
		o.text = append(o.text, '"')
	}

	o.text = append(o.text, ']')
}

func (o *Object) name(name string) {
	// No value ends like the beginning of an object.
	if o.text[len(o.text)-1] != '{' {
		o.text = append(o.text, ',')
	}
	o.text = append(append(append(o.text, '"'), name...), '"', ':')
}

// AppendText appends a text as a JSON string, in quotes. Bytes that are no UTF-8 are
// replaced by U+FFFD.
func AppendText(text []byte, value string) []byte {
	text = append(text, '"')

	// What needs no escaping is copied in one piece; most texts are one such piece.
	begin := 0
	for i := 0; i < len(value); {
		if isPlain(value[i]) {
			i++
			continue
		}

		r, size := utf8.DecodeRuneInString(value[i:])
		if size > 1 && r != '\u2028' && r != '\u2029' {
			i += size
			continue
		}

		text = appendEscape(append(text, value[begin:i]...), r)
		i += size
		begin = i
	}

	return append(append(text, value[begin:]...), '"')
}

// isPlain reports whether a byte is a character that stands in JSON as it is.
func isPlain(c byte) bool {
	return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\'
}

// appendEscape appends a character of those that are escaped: the short escapes where
// there is one, otherwise the code point. JavaScript takes U+2028 and U+2029 for ends
// of lines.
func appendEscape(text []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(text, '\\', byte(r))
	case '\b':
		return append(text, `\b`...)
	case '\f':
		return append(text, `\f`...)
	case '\n':
		return append(text, `\n`...)
	case '\r':
		return append(text, `\r`...)
	case '\t':
		return append(text, `\t`...)
	}

	const digits = "0123456789abcdef"
	return append(text, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
