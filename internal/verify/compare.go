package verify

import (
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// field is a part of something with its value as text: a column of a row, for one.
type field = store.Column

// compare notes the first field whose value is not the expected one. Both lists have the
// same fields in the same order.
func (v *verification) compare(of escrow.InstitutionID, what string, there, expected []field) {
	for i, field := range there {
		if field.Value != expected[i].Value {
			v.differ(of, what, field.Name+" "+excerpt(field.Value), excerpt(expected[i].Value))
			return
		}
	}
}

// maxExcerpt bounds the characters of a value that a difference shows.
const maxExcerpt = 200

// excerpt is as much of a value as a line has room for.
func excerpt(value string) string {
	if value == "" {
		return "(empty)"
	}
	if len(value) > maxExcerpt {
		return fmt.Sprintf("%.*s… (%d bytes)", maxExcerpt, value, len(value))
	}
	return value
}
