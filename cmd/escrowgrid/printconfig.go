package main

import (
	"cmp"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// show writes the configuration that results from flags, environment and defaults, one
// variable on each line, as in an environment file; those without a value are comments. Of
// secrets it says only whether they are set.
func (f serverFlags) show(out io.Writer) error {
	// These have defaults that depend on the command, or on another variable.
	f.LogLevel = cmp.Or(f.LogLevel, "info")
	if f.PublicDocsEnabled == "" {
		f.PublicDocsEnabled = fmt.Sprint(apiclient.IsLoopback(f.Host))
	}

	// Reflection finds every variable, so that none can be forgotten here.
	var lines strings.Builder
	values := reflect.ValueOf(f)
	for _, field := range reflect.VisibleFields(values.Type()) {
		name, isVariable := field.Tag.Lookup("env")
		if !isVariable {
			continue
		}

		value := values.FieldByIndex(field.Index).String()
		_, isSecret := field.Tag.Lookup("secret")
		switch {
		case name == "DATABASE_URL": // Only the password in it is secret.
			value = store.RedactURL(cmp.Or(value, defaultDatabase))
		case isSecret && value != "":
			value = "(set)"
		}

		// A variable that is set but empty is refused.
		if value == "" {
			name = "# " + name
		}
		fmt.Fprintf(&lines, "%s=%s\n", name, value)
	}

	_, err := io.WriteString(out, lines.String())
	return err
}
