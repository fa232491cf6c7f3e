package httpapi

import (
	"encoding"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Positions are what is answered most, and encoding them by reflection took a third
// of the time of an answer. What is written by hand here is what the json package
// makes of the same structs; a test compares them.

// encodable is a body that writes itself as JSON.
type encodable interface {
	appendJSON(text []byte) []byte
}

const contentTypeJSON = "application/json"

// encode returns a body as a line of JSON: its end is for those who read it in a
// terminal.
func encode(body any) (content []byte, err error) {
	if itself, ok := body.(encodable); ok {
		content = itself.appendJSON(make([]byte, 0, sizeHint))
	} else {
		// The names in our own structs differ; metadata was checked as it came.
		content, err = json.Marshal(body, jsontext.AllowDuplicateNames(true))
	}
	return append(content, '\n'), err
}

// sizeHint is what most answers fit into, in bytes.
const sizeHint = 1024

// object writes a JSON object, member by member.
type object struct {
	text []byte
	// members counts those that were written.
	members int
}

func (o *object) name(name string) {
	if o.members > 0 {
		o.text = append(o.text, ',')
	}
	o.members++
	o.text = append(append(append(o.text, '"'), name...), '"', ':')
}

// word writes a member whose value has no characters that JSON escapes.
func (o *object) word(name, value string) {
	o.name(name)
	o.text = append(append(append(o.text, '"'), value...), '"')
}

// optionalWord is word for a value that may be null.
func (o *object) optionalWord(name string, value *string) {
	if value != nil {
		o.word(name, *value)
		return
	}
	o.name(name)
	o.text = append(o.text, "null"...)
}

// string writes a member whose value can be any text.
func (o *object) string(name, value string) {
	o.name(name)
	// All text was checked for valid UTF-8 as it came; invalid bytes would be replaced.
	o.text, _ = jsontext.AppendQuote(o.text, value)
}

func (o *object) number(name string, value int64) {
	o.name(name)
	o.text = strconv.AppendInt(o.text, value, 10)
}

// metadata writes a member whose value is an object; an empty one is left out like
// one that is missing.
func (o *object) metadata(name string, value []byte) {
	if len(value) > len("{}") {
		o.name(name)
		o.text = append(o.text, value...)
	}
}

// member writes a member whose value is a word.
func member[T encoding.TextAppender](o *object, name string, value T) {
	o.name(name)
	o.text = append(o.text, '"')
	// Ids, actors and times always have a text.
	o.text, _ = value.AppendText(o.text)
	o.text = append(o.text, '"')
}

func (v positionView) appendJSON(text []byte) []byte {
	o := &object{text: append(text, '{')}
	member(o, "id", v.ID)
	member(o, "institutionId", v.InstitutionID)
	member(o, "assetId", v.AssetID)
	o.string("holderReference", v.HolderReference)
	if v.ExternalReference != "" {
		o.string("externalReference", v.ExternalReference)
	}
	o.word("currency", string(v.Currency))
	o.word("amount", v.Amount)
	o.word("funded", v.Funded)
	o.word("released", v.Released)
	o.word("refunded", v.Refunded)
	o.word("held", v.Held)
	o.word("state", string(v.State))
	o.number("version", v.Version)
	if v.ExpiresAt != nil {
		member(o, "expiresAt", *v.ExpiresAt)
	}
	o.metadata("metadata", v.Metadata)
	member(o, "createdAt", v.CreatedAt)
	member(o, "updatedAt", v.UpdatedAt)
	if v.Events != nil {
		o.name("events")
		o.text = appendArray(o.text, *v.Events)
	}
	return append(o.text, '}')
}

func (v positionEventView) appendJSON(text []byte) []byte {
	o := &object{text: append(text, '{')}
	member(o, "id", v.ID)
	o.number("sequence", v.Sequence)
	o.optionalWord("fromState", (*string)(v.FromState))
	o.word("toState", string(v.ToState))
	if v.Amount != "" {
		o.word("amount", v.Amount)
	}
	if v.Reason != "" {
		o.string("reason", v.Reason)
	}
	o.metadata("metadata", v.Metadata)
	member(o, "actor", v.Actor)
	member(o, "at", v.At)
	return append(o.text, '}')
}

func (v batchView) appendJSON(text []byte) []byte {
	o := &object{text: append(text, '{')}
	o.name("results")
	o.text = appendArray(o.text, v.Results)
	return append(o.text, '}')
}

func (v batchItemView) appendJSON(text []byte) []byte {
	o := &object{text: append(text, '{')}
	o.number("status", int64(v.Status))
	if v.Position != nil {
		o.name("position")
		o.text = v.Position.appendJSON(o.text)
	}
	if v.Error != nil {
		o.name("error")
		o.text = v.Error.appendJSON(o.text)
	}
	return append(o.text, '}')
}

func (p itemProblem) appendJSON(text []byte) []byte {
	o := &object{text: append(text, '{')}
	o.word("type", p.Type)
	o.string("title", p.Title)
	o.number("status", int64(p.Status))
	o.string("detail", p.Detail)
	o.word("code", string(p.Code))
	if len(p.Errors) > 0 {
		o.name("errors")
		o.text = append(o.text, '[')
		for i, fault := range p.Errors {
			if i > 0 {
				o.text = append(o.text, ',')
			}
			o.text = appendFault(o.text, fault)
		}
		o.text = append(o.text, ']')
	}
	return append(o.text, '}')
}

func appendFault(text []byte, fault escrow.Fault) []byte {
	o := &object{text: append(text, '{')}
	o.string("field", fault.Field)
	o.string("message", fault.Message)
	return append(o.text, '}')
}

func appendArray[T encodable](text []byte, items []T) []byte {
	text = append(text, '[')
	for i, item := range items {
		if i > 0 {
			text = append(text, ',')
		}
		text = item.appendJSON(text)
	}
	return append(text, ']')
}
