package web

import (
	"fmt"
	"maps"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// DecodeQuery reads the parameters of a query into the struct that into points to, whose
// fields have a query tag. Parameters that it does not have, those given twice and what
// cannot be read are reported: a filter that is misspelt must not list everything.
//
// A field is a string, a bool, an int64 or a pointer to one of these, which stays nil where
// the parameter is left out; or a slice of strings, for values between commas, of which each
// stands in it once. Its other tags are those that Description knows, and what they
// say is checked: required, default, enum, minimum and maximum, and maxItems for a slice. A number
// has a minimum, and it is not below 0.
func DecodeQuery(query string, into any, report Report) {
	var values url.Values
	if query != "" {
		var err error
		if values, err = url.ParseQuery(query); err != nil {
			report("query", "must be pairs like name=value, joined by &, in percent-encoding")
		}
	}

	structure := reflect.ValueOf(into).Elem()
	known := parametersOf(structure.Type())
	for i := range known {
		known[i].decode(values[known[i].name], structure.FieldByIndex(known[i].index), report)
	}

	// In the order of their names, so that the same request is always answered the same.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.ContainsFunc(known, func(p parameter) bool { return p.name == name }) {
			report(shortened(name), "is not a known parameter")
		}
	}
}

// parameter is a parameter of a query, as its field and the tags of that have it.
type parameter struct {
	name     string
	index    []int
	required bool
	// standard is the text that stands for one that is left out; empty for none.
	standard string
	// words are those that it can be; nil where it can be any text.
	words []string
	// minimum and maximum bound a number.
	minimum, maximum uint64
	// most is how many values there can be of a slice.
	most int
}

// decode reads what is given for a parameter into its field.
func (p *parameter) decode(given []string, into reflect.Value, report Report) {
	switch {
	case len(given) == 0 && p.required:
		report(p.name, "is required")
	case len(given) == 0 && p.standard != "":
		p.read(p.standard, into, report)
	case len(given) == 0:

	case len(given) > 1:
		report(p.name, "must be given once")
	case strings.TrimSpace(given[0]) == "":
		// As no filter it would list everything; no value is like this.
		report(p.name, "must not be empty: leave it out instead")
	case !utf8.ValidString(given[0]) || strings.ContainsFunc(given[0], unicode.IsControl):
		// No text that is kept is like this, and PostgreSQL takes no such parameter.
		report(p.name, "must be valid UTF-8 without control characters")
	default:
		p.read(given[0], into, report)
	}
}

// read reads a text into the field of its parameter.
func (p *parameter) read(text string, into reflect.Value, report Report) {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}

	switch target := into.Addr().Interface().(type) {
	case *int64:
		*target = p.number(text, report)
	case *bool:
		if text != "true" && text != "false" {
			report(p.name, "must be true or false")
		}
		*target = text == "true"
	case *[]string:
		*target = p.values(strings.Split(text, ","), report)
	case *string:
		if p.words != nil && !slices.Contains(p.words, text) {
			report(p.name, "must be %s", alternatives(p.words))
		}
		*target = text
	}
}

// number reads a number within its bounds.
func (p *parameter) number(text string, report Report) int64 {
	// ParseUint takes no sign.
	number, err := strconv.ParseUint(text, 10, 63)

	switch {
	case err == nil && number >= p.minimum && number <= p.maximum:
	case p.maximum < math.MaxInt64:
		report(p.name, "must be a whole number from %d to %d", p.minimum, p.maximum)
	default:
		report(p.name, "must be a whole number of at least %d", p.minimum)
	}
	return int64(number)
}

// values reads the values of a slice, each of which it has once.
func (p *parameter) values(values []string, report Report) (each []string) {
	for _, value := range values {
		switch {
		case strings.TrimSpace(value) == "":
			report(p.name, "must not have an empty value between its commas")
			return nil
		case p.words != nil && !slices.Contains(p.words, value):
			report(p.name, "must be %s, or several of these with commas between them", alternatives(p.words))
			return nil
		case !slices.Contains(each, value):
			each = append(each, value)
		}
	}

	if len(each) > p.most {
		report(p.name, "must have at most %d values", p.most)
	}
	return each
}

// alternatives lists words as a sentence does: "a, b or c".
func alternatives(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// knownParameters keeps the parameters of each query's type: there are as many types as
// there are in the program.
var knownParameters sync.Map // reflect.Type → []parameter

func parametersOf(structure reflect.Type) []parameter {
	if known, ok := knownParameters.Load(structure); ok {
		return known.([]parameter) //nolint:errcheck,forcetypeassert // Nothing else is stored.
	}

	var all []parameter
	for _, field := range reflect.VisibleFields(structure) {
		if field.Tag.Get("query") != "" {
			all = append(all, parameterOf(field))
		}
	}

	knownParameters.Store(structure, all)
	return all
}

// parameterOf reads the tags of a field. It panics where the field is none that DecodeQuery
// reads, or has a tag that means nothing for its type.
func parameterOf(field reflect.StructField) parameter {
	p := parameter{
		name:     field.Tag.Get("query"),
		index:    field.Index,
		required: field.Tag.Get("required") == "true",
		standard: field.Tag.Get("default"),
		maximum:  math.MaxInt64,
	}
	if words := field.Tag.Get("enum"); words != "" {
		p.words = strings.Split(words, ",")
	}

	of := field.Type
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch reflect.Zero(of).Interface().(type) {
	case string, bool:
	case int64:
		p.minimum = bound(field, "minimum")
		if field.Tag.Get("maximum") != "" {
			p.maximum = bound(field, "maximum")
		}
	case []string:
		p.most = int(bound(field, "maxItems"))
	default:
		panic(fmt.Sprintf("the parameter %s is a %s", p.name, field.Type))
	}
	return p
}

// bound reads a tag with a whole number.
func bound(field reflect.StructField, tag string) uint64 {
	number, err := strconv.ParseUint(field.Tag.Get(tag), 10, 63)
	if err != nil {
		panic(fmt.Sprintf("the parameter %s needs a tag %s: %v", field.Name, tag, err))
	}
	return number
}
