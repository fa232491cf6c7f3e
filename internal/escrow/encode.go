package escrow

import (
	"bytes"
	"encoding"
	"encoding/json"
	"strconv"
)

// The entries of positions are most of every journal, and are written by hand here,
// in the bytes that encoding/json makes of the same structs with HTML escaping off. A
// test compares them. The events of other kinds go that way themselves.

// handEncoded is an event that writes itself.
type handEncoded interface {
	appendJSON(text []byte) []byte
}

// bodySizeHint is what most bodies fit into, in bytes.
const bodySizeHint = 640

// encode returns the entry's body, made of its other fields.
func (e Entry) encode() ([]byte, error) {
	text := make([]byte, 0, bodySizeHint)
	text = strconv.AppendInt(append(text, `{"v":`...), bodyVersion, 10)
	text = appendWord(text, `,"institutionId":`, e.InstitutionID)
	text = strconv.AppendInt(append(text, `,"sequence":`...), e.Sequence, 10)
	text = appendWord(text, `,"id":`, e.ID)
	text = append(AppendTime(append(text, `,"at":"`...), e.At), '"')
	text = appendWord(text, `,"actor":`, e.Actor)
	text = appendText(text, `,"requestId":`, e.RequestID)
	text = appendText(text, `,"kind":`, string(e.Kind))
	text = appendText(text, `,"subject":`, e.Subject)
	text = append(text, `,"event":`...)
	if event, ok := e.event.(handEncoded); ok {
		return append(event.appendJSON(text), '}'), nil
	}
	event, err := marshal(e.event)
	return append(append(text, event...), '}'), err
}

func (e positionCreated) appendJSON(text []byte) []byte {
	text = appendWord(text, `{"id":`, e.ID)
	text = appendWord(text, `,"assetId":`, e.AssetID)
	text = appendText(text, `,"holderReference":`, e.HolderReference)
	text = appendOptional(text, `,"externalReference":`, e.ExternalReference)
	text = appendText(text, `,"currency":`, string(e.Currency))
	text = appendText(text, `,"amount":`, e.Amount)
	text = appendOptional(text, `,"retained":`, e.Retained)
	if e.ExpiresAt != nil {
		text = appendText(text, `,"expiresAt":`, *e.ExpiresAt)
	}
	return append(appendMetadata(text, e.Metadata), '}')
}

func (e positionStateChanged) appendJSON(text []byte) []byte {
	text = appendWord(text, `{"id":`, e.ID)
	text = appendText(text, `,"fromState":`, string(e.From))
	text = appendText(text, `,"toState":`, string(e.To))
	text = appendText(text, `,"currency":`, string(e.Currency))
	text = appendOptional(text, `,"amount":`, e.Amount)
	text = appendOptional(text, `,"reason":`, e.Reason)
	return append(appendMetadata(text, e.Metadata), '}')
}

// appendWord appends a member whose text has nothing that JSON escapes: an id, or an
// actor.
func appendWord[T encoding.TextAppender](text []byte, name string, value T) []byte {
	text = append(append(text, name...), '"')
	text, _ = value.AppendText(text) // These never fail.
	return append(text, '"')
}

// appendText appends a member of any text.
func appendText(text []byte, name, value string) []byte {
	text = append(text, name...)
	if isPlain(value) {
		return append(append(append(text, '"'), value...), '"')
	}
	quoted, _ := marshal(value) // A string always has JSON.
	return append(text, quoted...)
}

// appendOptional is appendText for a member that is left out when it is empty.
func appendOptional(text []byte, name, value string) []byte {
	if value == "" {
		return text
	}
	return appendText(text, name, value)
}

// appendMetadata appends what is JSON already, without white space.
func appendMetadata(text []byte, metadata Metadata) []byte {
	if len(metadata) == 0 {
		return text
	}
	return append(append(text, `,"metadata":`...), metadata...)
}

// isPlain reports whether a text stands in JSON as it is.
func isPlain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// marshal is json.Marshal with HTML escaping off.
func marshal(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), err
}
