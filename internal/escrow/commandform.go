package escrow

import (
	"encoding/json"
	"fmt"
	"slices"

	jsonv2 "github.com/go-json-experiment/json"
)

// A command that waits for approval stands in the journal, and is carried out later from what stands
// there. For that each has one written form: its input after it was checked, as JSON whose members stand
// in the order of the form's struct, with private members as events have them.

// commandType says what a written command does.
type commandType string

// approvable is a command that can wait for approval.
type approvable interface {
	single
	// written returns the command's written form.
	written() form
	// concerns returns how the journal names what the command changes; empty where it makes something.
	concerns() string
}

// form is a command's written form.
type form interface {
	// each returns the form after a function was called with each private member.
	each(do func(name string, member *private)) form
	// command makes the command anew, or tells what is wrong with the form.
	command() (Command, error)
}

// redactingForm is a form with what is kept from those to whom it is shown.
type redactingForm interface{ redacted() form }

// formType is what there is to know of a written form.
type formType struct {
	name   commandType
	decode func([]byte) (form, error)
}

// formTypes is every written form. A noun lists its own beside its commands.
var formTypes []formType

func init() { //nolint:gochecknoinits // A batch's form holds forms, so that the list refers to itself.
	formTypes = slices.Concat(
		positionFormTypes, holdFormTypes, policyFormTypes, templateFormTypes, assetFormTypes, keyFormTypes,
		userFormTypes, roleFormTypes, rulesFormTypes, providerFormTypes,
	)
}

// decodeForm reads a form of the type F.
func decodeForm[F form](text []byte) (form, error) {
	var f F
	err := jsonv2.Unmarshal(text, &f, asStored)
	return f, err
}

// writtenCommand is a form of whatever type. Its first member is its type.
type writtenCommand struct{ form }

// MarshalJSON implements json.Marshaler.
func (w writtenCommand) MarshalJSON() ([]byte, error) { return marshal(w.form) }

// UnmarshalJSON implements json.Unmarshaler.
func (w *writtenCommand) UnmarshalJSON(text []byte) (err error) {
	var header struct {
		Type commandType `json:"type"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return err
	}
	for _, known := range formTypes {
		if known.name == header.Type {
			w.form, err = known.decode(text)
			return err
		}
	}
	return fmt.Errorf("command of the type %q is not known", header.Type)
}

// writtenOf returns the written form of a command; ok is false for one that cannot wait.
func writtenOf(command Command) (w writtenCommand, ok bool) {
	switch c := command.(type) {
	case PositionBatch:
		return c.written()
	case approvable:
		return writtenCommand{c.written()}, true
	}
	return w, false
}

// typed is the first member of every form.
type typed struct {
	Type commandType `json:"type"`
}

// made returns a command that was made of what a form tells, or an error where that has faults.
func made[C Command](command C, faults Faults) (Command, error) {
	if err := faults.Err(); err != nil {
		return nil, fmt.Errorf("a written command: %w", err)
	}
	return command, nil
}

// givenText returns nil for a text that is not there.
func givenText(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
