package httpapi

import (
	"encoding"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Readers of parameters note what is wrong with them; what they return then is of no use.

// readLimit reads how many items are asked for, from 1 to the largest number; the
// standard number when left out.
func readLimit(faults *escrow.Faults, text string, standard, largest int) int {
	if text == "" {
		return standard
	}
	// ParseUint takes no sign.
	limit, err := strconv.ParseUint(text, 10, 16)
	if err != nil || limit < 1 || int(limit) > largest {
		faults.Add("limit", "must be a whole number from 1 to %d", largest)
	}
	return int(limit)
}

// optionalTime reads a time; it is nil where none is given.
func optionalTime(faults *escrow.Faults, field, text string) *time.Time {
	if text == "" {
		return nil
	}
	at, err := escrow.ParseTime(text)
	addFault(faults, field, err)
	return &at
}

// optionalID reads an id of the type ID; it is nil where none is given.
func optionalID[ID any, P textReader[ID]](faults *escrow.Faults, field, text string) *ID {
	if text == "" {
		return nil
	}
	id := new(ID)
	addFault(faults, field, P(id).UnmarshalText([]byte(text)))
	return id
}

// pathID reads an id of the type ID out of the path. What is not an id names nothing: the
// refusal has the code of what is missing.
func pathID[ID any, P textReader[ID]](c *call, name string, missing escrow.Code) (id ID, err error) {
	if err := P(&id).UnmarshalText([]byte(c.request.PathValue(name))); err != nil {
		return id, escrow.Errorf(missing, "There is nothing of this id.")
	}
	return id, nil
}

// textReader is a pointer to what reads itself out of a text.
type textReader[T any] interface {
	*T
	encoding.TextUnmarshaler
}

// wholeNumber reads a number; it is nil where none is given.
func wholeNumber(faults *escrow.Faults, field, text string) *int64 {
	if text == "" {
		return nil
	}
	// ParseUint takes no sign.
	const bits = 63
	number, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		faults.Add(field, "must be a whole number")
	}
	return new(int64(number))
}

// requiredNumber is wholeNumber for a parameter that must be given.
func requiredNumber(faults *escrow.Faults, field, text string) int64 {
	if text == "" {
		faults.Add(field, "is required")
		return 0
	}
	return *wholeNumber(faults, field, text)
}

func addFault(faults *escrow.Faults, field string, err error) {
	if err != nil {
		faults.Add(field, "%s", err)
	}
}
