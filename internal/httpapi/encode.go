package httpapi

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
)

// Positions are what is answered most, and encoding them by reflection took a third
// of the time of an answer. What is written by hand here is what the json package
// makes of the same structs; a test compares them.

// sizeHint is what most answers fit into, in bytes: their text then needs no second
// allocation.
const sizeHint = 1024

// answerOptions are how answers are encoded that do not write themselves.
var answerOptions = json.JoinOptions(
	// The names in our own structs differ; metadata was checked as it came.
	jsontext.AllowDuplicateNames(true),
	// As jsonwriter does.
	jsontext.EscapeForJS(true),
	// Metadata is answered in the bytes that its client wrote.
	jsontext.PreserveRawStrings(true),
)

// encode returns a body as a line of JSON: its end is for those who read it in a
// terminal.
func encode(body any) ([]byte, error) {
	content, err := appendJSON(make([]byte, 0, sizeHint), body)
	return append(content, '\n'), err
}

// appendJSON appends a value as JSON.
func appendJSON(text []byte, value any) ([]byte, error) {
	if itself, ok := value.(jsonwriter.Value); ok {
		return itself.AppendJSON(text), nil
	}
	buffer := bytes.NewBuffer(text)
	err := json.MarshalWrite(buffer, value, answerOptions)
	return buffer.Bytes(), err
}

// writeErased leaves false out.
func writeErased(o *jsonwriter.Object, erased bool) {
	if erased {
		o.Raw("erased", []byte("true"))
	}
}

// writeMetadata leaves an empty object out like one that is missing.
func writeMetadata(o *jsonwriter.Object, metadata escrow.Metadata) {
	if len(metadata) > len("{}") {
		o.Raw("metadata", metadata)
	}
}

// faultView is a fault that writes itself.
type faultView escrow.Fault

func faultViews(faults []escrow.Fault) []faultView {
	views := make([]faultView, len(faults))
	for i, fault := range faults {
		views[i] = faultView(fault)
	}
	return views
}

// AppendJSON implements jsonwriter.Value.
func (f faultView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	o.Text("field", f.Field)
	o.Text("message", f.Message)
	return o.End()
}
