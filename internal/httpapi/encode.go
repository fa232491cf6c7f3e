package httpapi

import (
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
)

// encode returns a body as a line of JSON: its end is for those who read it in a
// terminal.
func encode(body any) (content []byte, err error) {
	if itself, ok := body.(jsonwriter.Value); ok {
		content = itself.AppendJSON(make([]byte, 0, sizeHint))
	} else {
		content, err = json.Marshal(body, answerOptions)
	}
	return append(content, '\n'), err
}

// AppendJSON implements jsonwriter.Value.
func (v positionView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Appender(&o, "id", v.ID)
	jsonwriter.Appender(&o, "institutionId", v.InstitutionID)
	jsonwriter.Appender(&o, "assetId", v.AssetID)
	o.Text("holderReference", v.HolderReference)
	o.OptionalText("externalReference", v.ExternalReference)
	o.Word("currency", string(v.Currency))
	o.Word("amount", v.Amount)
	o.Word("funded", v.Funded)
	o.Word("released", v.Released)
	o.Word("refunded", v.Refunded)
	o.Word("held", v.Held)
	o.Word("state", string(v.State))
	o.Number("version", v.Version)
	if v.ExpiresAt != nil {
		jsonwriter.Appender(&o, "expiresAt", *v.ExpiresAt)
	}
	writeMetadata(&o, v.Metadata)
	jsonwriter.Appender(&o, "createdAt", v.CreatedAt)
	jsonwriter.Appender(&o, "updatedAt", v.UpdatedAt)
	if v.Events != nil {
		jsonwriter.Array(&o, "events", *v.Events)
	}

	return o.End()
}

// AppendJSON implements jsonwriter.Value.
func (v positionEventView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Appender(&o, "id", v.ID)
	o.Number("sequence", v.Sequence)
	if v.FromState != nil {
		o.Word("fromState", string(*v.FromState))
	} else {
		o.Null("fromState")
	}
	o.Word("toState", string(v.ToState))
	o.OptionalWord("amount", v.Amount)
	o.OptionalText("reason", v.Reason)
	writeMetadata(&o, v.Metadata)
	jsonwriter.Appender(&o, "actor", v.Actor)
	jsonwriter.Appender(&o, "at", v.At)

	return o.End()
}

// writeMetadata leaves an empty object out like one that is missing.
func writeMetadata(o *jsonwriter.Object, metadata escrow.Metadata) {
	if len(metadata) > len("{}") {
		o.Raw("metadata", metadata)
	}
}

// AppendJSON implements jsonwriter.Value.
func (v batchView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Array(&o, "results", v.Results)
	return o.End()
}

// AppendJSON implements jsonwriter.Value.
func (v batchItemView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	o.Number("status", int64(v.Status))
	if v.Position != nil {
		jsonwriter.Member(&o, "position", *v.Position)
	}
	if v.Error != nil {
		jsonwriter.Member(&o, "error", *v.Error)
	}
	return o.End()
}

// AppendJSON implements jsonwriter.Value.
func (p itemProblem) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	o.Word("type", p.Type)
	o.Text("title", p.Title)
	o.Number("status", int64(p.Status))
	o.Text("detail", p.Detail)
	o.Word("code", p.Code)
	if len(p.Errors) > 0 {
		jsonwriter.Array(&o, "errors", faultViews(p.Errors))
	}
	return o.End()
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
