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
	if i := firstOther(there, expected); i >= 0 {
		v.differ(of, what, there[i].Name+" "+shown(there[i]), shown(expected[i]))
	}
}

// compareEntry is compare for the parts of an entry.
func (v *verification) compareEntry(of escrow.InstitutionID, sequence int64, there, expected []field) {
	if i := firstOther(there, expected); i >= 0 {
		v.differAt(of, sequence, there[i].Name+" "+shown(there[i]), shown(expected[i]))
	}
}

// firstOther is the place of the first field that is not the expected one, or -1.
func firstOther(there, expected []field) int {
	for i, field := range there {
		if field != expected[i] {
			return i
		}
	}
	return -1
}

// shown is a field's value as a difference shows it. Two that a line has no room for may begin
// alike; what counts is that they differ.
func shown(f field) string {
	if f.Null {
		return "NULL"
	}
	return excerpt(f.Value)
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
