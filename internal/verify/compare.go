package verify

import (
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// field is a part of something with its value as text: a column, of a row.
type field = store.Column

// compare notes the first field that differs between what is there and what should be.
// Both have the same fields in the same order.
func (v *verification) compare(of escrow.InstitutionID, what string, there, expected []field) {
	for i, field := range there {
		if field.Value != expected[i].Value {
			v.differ(of, what, field.Name+" "+shown(field.Value), shown(expected[i].Value))
			return
		}
	}
}

// maxShown bounds the characters of a value that a difference shows.
const maxShown = 200

func shown(value string) string {
	if value == "" {
		return "(empty)"
	}
	if len(value) > maxShown {
		return fmt.Sprintf("%.*s… (%d bytes)", maxShown, value, len(value))
	}
	return value
}
