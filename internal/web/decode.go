package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// decodeBody reads a JSON object into the struct that into points to. What is no
// JSON at all is an error; values of the wrong type and members that the struct
// does not have are faults, and all of them are found. A null is the same as no
// value. Duplicate names and invalid UTF-8 are no JSON here.
func decodeBody(body []byte, into any) (faults escrow.Faults, err error) {
	decoder := jsontext.NewDecoder(bytes.NewBuffer(body))
	if decoder.PeekKind() == '{' {
		err = decodeObject(decoder, "", reflect.ValueOf(into).Elem(), &faults)
	} else {
		faults.Add("body", "must be a JSON object")
		err = decoder.SkipValue()
	}
	if err != nil {
		return escrow.Faults{}, malformed(err)
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return escrow.Faults{}, escrow.Errorf(codeMalformedBody, "There is something behind the JSON value.")
	}
	return faults, nil
}

// malformed tells where the JSON breaks, without repeating what is there.
func malformed(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return escrow.Wrap(codeMalformedBody, err, fmt.Sprintf("The body is not valid JSON, at byte %d.", syntax.ByteOffset))
	}
	return escrow.Wrap(codeMalformedBody, err, "The body is not valid JSON.")
}

// decodeObject reads an object member by member. The error is that of the JSON.
func decodeObject(decoder *jsontext.Decoder, path string, into reflect.Value, faults *escrow.Faults) error {
	fields := fieldsOf(into.Type())
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	for decoder.PeekKind() != '}' {
		name, err := decoder.ReadToken()
		if err != nil {
			return err
		}
		member := name.String()
		value, err := decoder.ReadValue()
		if err != nil {
			return err
		}
		index, known := fields[member]
		switch {
		case !known:
			// A client's own text in an error is cut to what a name can be.
			faults.Add(path+shortened(member), "is not a known field")
		case value.Kind() != 'n':
			if err := decodeField(value, path+member, into.FieldByIndex(index), faults); err != nil {
				return err
			}
		}
	}
	_, err := decoder.ReadToken()
	return err
}

func shortened(name string) string {
	const longest = 64
	if len(name) > longest {
		return strconv.Quote(name[:longest]) + "…"
	}
	return name
}

func decodeField(value jsontext.Value, path string, field reflect.Value, faults *escrow.Faults) error {
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	switch target := field.Addr().Interface().(type) {
	case *string:
		text, ok := unquote(value)
		if !ok {
			faults.Add(path, "must be a string")
		}
		*target = text
	case *bool:
		if value.Kind() != 't' && value.Kind() != 'f' {
			faults.Add(path, "must be true or false")
		}
		*target = value.Kind() == 't'
	case *int64:
		number, err := strconv.ParseInt(string(value), 10, 64)
		if err != nil {
			faults.Add(path, "must be a whole number")
		}
		*target = number
	case *money.Digits:
		if err := target.UnmarshalJSON(value); err != nil {
			faults.Add(path, "%s", err)
		}
	case *escrow.Metadata:
		if value.Kind() != '{' {
			faults.Add(path, "must be a JSON object")
		}
		*target = bytes.Clone(value)
	case *[]string:
		return decodeStrings(value, path, target, faults)
	default:
		if field.Kind() == reflect.Slice {
			return decodeObjects(value, path, field, faults)
		}
		if value.Kind() != '{' {
			faults.Add(path, "must be a JSON object")
			return nil
		}
		return decodeObject(jsontext.NewDecoder(bytes.NewBuffer(value)), path+".", field, faults)
	}
	return nil
}

func decodeStrings(array jsontext.Value, path string, into *[]string, faults *escrow.Faults) error {
	if array.Kind() != '[' {
		faults.Add(path, "must be an array of strings")
		return nil
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(array))
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	*into = []string{}
	for decoder.PeekKind() != ']' {
		value, err := decoder.ReadValue()
		if err != nil {
			return err
		}
		text, ok := unquote(value)
		if !ok {
			faults.Add(path, "must be an array of strings")
		}
		*into = append(*into, text)
	}
	return nil
}

// decodeObjects reads an array of objects, but no more of it than shows that there
// are too many: a mebibyte holds some hundred thousand empty ones.
func decodeObjects(array jsontext.Value, path string, into reflect.Value, faults *escrow.Faults) error {
	if array.Kind() != '[' {
		faults.Add(path, "must be an array of objects")
		return nil
	}
	decoder := jsontext.NewDecoder(bytes.NewBuffer(array))
	if _, err := decoder.ReadToken(); err != nil {
		return err
	}
	for decoder.PeekKind() != ']' && into.Len() <= escrow.MaxBatchItems {
		name := fmt.Sprintf("%s[%d]", path, into.Len())
		into.Set(reflect.Append(into, reflect.Zero(into.Type().Elem())))
		if decoder.PeekKind() == '{' {
			if err := decodeObject(decoder, name+".", into.Index(into.Len()-1), faults); err != nil {
				return err
			}
			continue
		}
		faults.Add(name, "must be a JSON object")
		if err := decoder.SkipValue(); err != nil {
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

// knownFields keeps the fields of each body's type by their names in JSON.
var knownFields sync.Map // reflect.Type → map[string][]int

func fieldsOf(structure reflect.Type) map[string][]int {
	if fields, ok := knownFields.Load(structure); ok {
		return fields.(map[string][]int) //nolint:errcheck,forcetypeassert // Nothing else is stored.
	}
	fields := make(map[string][]int)
	for _, field := range reflect.VisibleFields(structure) {
		if name := field.Tag.Get("json"); name != "" {
			fields[jsonName(name)] = field.Index
		}
	}
	knownFields.Store(structure, fields)
	return fields
}
