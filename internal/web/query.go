package web

import (
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// DecodeQuery reads the parameters of a query into the struct that into points to, whose
// fields are strings with a query tag. Parameters that it does not have, those given
// twice and what cannot be read are reported: a filter that is misspelt must not list
// everything.
func DecodeQuery(query string, into any, report Report) {
	if query == "" {
		return
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		report("query", "must be pairs like name=value, joined by &, in percent-encoding")
	}

	structure := reflect.ValueOf(into).Elem()
	known := make(map[string]bool)
	for _, field := range reflect.VisibleFields(structure.Type()) {
		name := field.Tag.Get("query")
		if name == "" {
			continue
		}
		known[name] = true

		given := values[name]
		switch {
		case len(given) == 0:
		case len(given) > 1:
			report(name, "must be given once")
		case !utf8.ValidString(given[0]) || strings.ContainsFunc(given[0], unicode.IsControl):
			// No text that is kept is like this, and PostgreSQL takes no such parameter.
			report(name, "must be valid UTF-8 without control characters")
		default:
			structure.FieldByIndex(field.Index).SetString(given[0])
		}
	}

	// In the order of their names, so that the same request is always answered the same.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !known[name] {
			report(shortened(name), "is not a known parameter")
		}
	}
}
