package httpapi

import (
	"encoding"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Readers of parameters note what is wrong with them; what they return then is of no use.

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

// subjectID reads the id of what a command is about out of the path. What is not an id is told
// by execute, after what is wrong with the request and whose it is: of what another
// institution has nothing is told.
func subjectID[ID any, P textReader[ID]](c *call, name string, missing escrow.Code) ID {
	id, err := pathID[ID, P](c, name, missing)
	if c.missing == nil { // Of several that are none, the first is told.
		c.missing = err
	}
	return id
}

// textReader is a pointer to what reads itself out of a text.
type textReader[T any] interface {
	*T
	encoding.TextUnmarshaler
}

// wordsOf reads values, each of which must be one of the known.
func wordsOf[W ~string](faults *escrow.Faults, field string, values []string, known []W, fault string) []W {
	var words []W
	for _, value := range values {
		if !slices.Contains(known, W(value)) {
			faults.Add(field, "%s", fault)
			return nil
		}
		words = append(words, W(value))
	}
	return words
}

func addFault(faults *escrow.Faults, field string, err error) {
	if err != nil {
		faults.Add(field, "%s", err)
	}
}
