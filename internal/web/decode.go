package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// DecodeBody reads a JSON object into the struct that into points to. What is not JSON
// at all is a *BodyError; values of the wrong type and members that the struct does not
// have are reported, and all of them are found. A null is the same as no value.
// Duplicate names and invalid UTF-8 are not JSON here.
//
// Further are structs whose members the object can have as well.
//
// A field is a string, a bool, an int64, a json.Unmarshaler, a list of strings, a struct
// or a list of structs, or a pointer to one of these. A list of structs has a tag
// maxItems; no more of it is read than shows that there are too many.
func DecodeBody(body []byte, into any, report Report, further ...any) error {
	d := decoding{Decoder: jsontext.NewDecoder(bytes.NewBuffer(body)), report: report}

	structs := []reflect.Value{reflect.ValueOf(into).Elem()}
	for _, one := range further {
		structs = append(structs, reflect.ValueOf(one).Elem())
	}
	var err error
	if d.PeekKind() == '{' {
		err = d.object("", structs...)
	} else {
		report("body", "must be a JSON object")
		err = d.SkipValue()
	}
	if err != nil {
		return malformed(err)
	}

	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return &BodyError{Code: CodeMalformedBody, Detail: "The body goes on after its JSON value."}
	}
	return nil
}

// decoding is a body, or a part of one, on its way into a struct. The errors of its
// methods are those of the JSON.
type decoding struct {
	*jsontext.Decoder
	report Report
}

// within begins the decoding of a value that was read as a whole.
func (d decoding) within(value jsontext.Value) decoding {
	return decoding{Decoder: jsontext.NewDecoder(bytes.NewBuffer(value)), report: d.report}
}

// object reads an object member by member, each into the struct that has it; prefix is what the
// paths of its members begin with.
func (d decoding) object(prefix string, into ...reflect.Value) error {
	targets := make([]target, len(into))
	for i, of := range into {
		targets[i] = target{of, fieldsOf(of.Type())}
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}

	for d.PeekKind() != '}' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		member := name.String() // The token is good only until the next is read.
		value, err := d.ReadValue()
		if err != nil {
			return err
		}

		field, of, known := fieldIn(targets, member)
		switch {
		case !known:
			d.report(prefix+shortened(member), "is not a known field")
		case value.Kind() == 'n' && field.null == nullRefused:
			d.report(prefix+member, "must not be null: it can be changed, and not removed")
		case value.Kind() != 'n' || field.null == nullTaken:
			if err := d.field(value, prefix+member, field, of.FieldByIndex(field.index)); err != nil {
				return err
			}
		}
	}

	_, err := d.ReadToken()
	return err
}

// target is a struct that an object is read into, with its fields by the names of members.
type target struct {
	of     reflect.Value
	fields map[string]bodyField
}

// fieldIn finds the struct that has a member.
func fieldIn(targets []target, member string) (field bodyField, of reflect.Value, known bool) {
	for _, t := range targets {
		if field, known := t.fields[member]; known {
			return field, t.of, true
		}
	}
	return field, of, false
}

// shortened cuts a client's own text in an error to what a name can be.
func shortened(name string) string {
	const longest = 64
	if len(name) > longest {
		return strconv.Quote(name[:longest]) + "…"
	}
	return name
}

func (d decoding) field(value jsontext.Value, path string, field bodyField, into reflect.Value) error {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}

	switch target := into.Addr().Interface().(type) {
	case json.Unmarshaler:
		if err := target.UnmarshalJSON(value); err != nil {
			d.report(path, "%s", err)
		}
	case *string:
		text, ok := unquote(value)
		if !ok {
			d.report(path, "must be a string")
		}
		*target = text
	case *bool:
		if value.Kind() != 't' && value.Kind() != 'f' {
			d.report(path, "must be true or false")
		}
		*target = value.Kind() == 't'
	case *int64:
		number, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			d.report(path, "must be a whole number")
		}
		*target = number
	case *[]string:
		return d.strings(value, path, target)
	default:
		return d.structs(value, path, field, into)
	}
	return nil
}

// structs reads a struct or a list of them.
func (d decoding) structs(value jsontext.Value, path string, field bodyField, into reflect.Value) error {
	if into.Kind() == reflect.Slice {
		return d.objects(value, path, field, into)
	}
	if value.Kind() != '{' {
		d.report(path, "must be a JSON object")
		return nil
	}
	return d.within(value).object(path+".", into)
}

func (d decoding) strings(array jsontext.Value, path string, into *[]string) error {
	if array.Kind() != '[' {
		d.report(path, "must be an array of strings")
		return nil
	}
	items := d.within(array)
	if _, err := items.ReadToken(); err != nil {
		return err
	}

	*into = []string{}
	for items.PeekKind() != ']' {
		value, err := items.ReadValue()
		if err != nil {
			return err
		}
		text, ok := unquote(value)
		if !ok {
			d.report(path, "must be an array of strings")
		}
		*into = append(*into, text)
	}
	return nil
}

// objects reads an array of objects, but no more of it than shows that there are too
// many: a mebibyte holds some hundred thousand empty ones.
func (d decoding) objects(array jsontext.Value, path string, field bodyField, into reflect.Value) error {
	if array.Kind() != '[' {
		d.report(path, "must be an array of objects")
		return nil
	}
	items := d.within(array)
	if _, err := items.ReadToken(); err != nil {
		return err
	}

	into.Set(reflect.MakeSlice(into.Type(), 0, 0)) // An empty list is not the same as none.
	for items.PeekKind() != ']' && into.Len() <= field.maxItems {
		name := fmt.Sprintf("%s[%d]", path, into.Len())
		into.Set(reflect.Append(into, reflect.Zero(into.Type().Elem())))
		if items.PeekKind() == '{' {
			if err := items.object(name+".", into.Index(into.Len()-1)); err != nil {
				return err
			}
			continue
		}

		d.report(name, "must be a JSON object")
		if err := items.SkipValue(); err != nil {
			return err
		}
	}
	return nil
}

func unquote(value jsontext.Value) (string, bool) {
	if value.Kind() != '"' {
		return "", false
	}
	text, err := jsontext.AppendUnquote(nil, value)
	return string(text), err == nil
}

// bodyField is a field of a body's struct.
type bodyField struct {
	index []int
	// maxItems bounds a list of structs.
	maxItems int
	// null is what becomes of a null, which counts as no value otherwise.
	null string
}

// The values of the tag null, for bodies in which a null is something else than no value.
const (
	nullRefused = "refused"
	nullTaken   = "taken" // by the field's own json.Unmarshaler
)

// knownFields keeps the fields of each body's type by their names in JSON: there are as
// many types as there are in the program.
var knownFields sync.Map // reflect.Type → map[string]bodyField

func fieldsOf(structure reflect.Type) map[string]bodyField {
	if fields, ok := knownFields.Load(structure); ok {
		return fields.(map[string]bodyField) //nolint:errcheck,forcetypeassert // Nothing else is stored.
	}

	fields := make(map[string]bodyField)
	for _, field := range reflect.VisibleFields(structure) {
		if tag := field.Tag.Get("json"); tag != "" {
			fields[jsonName(tag)] = bodyField{
				index: field.Index, maxItems: maxItems(field), null: field.Tag.Get("null"),
			}
		}
	}

	knownFields.Store(structure, fields)
	return fields
}

// maxItems reads the tag that a list of structs must have.
func maxItems(field reflect.StructField) int {
	if field.Type.Kind() != reflect.Slice || field.Type.Elem().Kind() != reflect.Struct {
		return 0
	}
	bound, err := strconv.Atoi(field.Tag.Get("maxItems"))
	if err != nil {
		panic(fmt.Sprintf("the list %s has no bound: %v", field.Name, err))
	}
	return bound
}

// jsonName is the name in a json tag.
func jsonName(tag string) string {
	name, _, _ := strings.Cut(tag, ",")
	return name
}
