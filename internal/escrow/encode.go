package escrow

import (
	"bytes"
	"encoding/json"

	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
)

// The bytes of an entry's body are those that encoding/json makes of entryBody with HTML
// escaping off. The frame of every body, and the events of positions, which are most of
// every journal, are written by hand; a test compares the two.

// selfEncoded is an event that writes itself.
type selfEncoded interface {
	event
	jsonwriter.Value
}

// bodySizeHint is what most bodies fit into, in bytes.
const bodySizeHint = 640

// encode returns the entry's body, made of its other fields.
func (e Entry) encode() ([]byte, error) {
	body := jsonwriter.Begin(make([]byte, 0, bodySizeHint))
	body.Number("v", bodyVersion)
	jsonwriter.Appender(&body, "institutionId", e.InstitutionID)
	body.Number("sequence", e.Sequence)
	jsonwriter.Appender(&body, "id", e.ID)
	jsonwriter.Appender(&body, "at", moment(e.At))
	jsonwriter.Appender(&body, "actor", e.Actor)
	body.Text("requestId", e.RequestID)
	body.Text("kind", string(e.Kind))
	body.Text("subject", e.Subject)
	if e.Approval != nil {
		approval, err := marshal(e.Approval)
		if err != nil {
			return nil, err
		}
		body.Raw("approval", approval)
	}

	if event, ok := e.event.(selfEncoded); ok {
		jsonwriter.Member(&body, "event", jsonwriter.Value(event))
		return body.End(), nil
	}
	event, err := marshal(e.event)
	if err != nil {
		return nil, err
	}
	body.Raw("event", event)
	return body.End(), nil
}

// marshal is json.Marshal with HTML escaping off.
func marshal(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}
