package web

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// ProblemMembers are those of any RFC 9457 problem document. A document embeds them,
// and may have members of its own.
type ProblemMembers struct {
	Type   string `json:"type" doc:"A URN made of the code." example:"urn:escrowgrid:error:invalid_input"`
	Title  string `json:"title" doc:"What the code means, in a few words."`
	Status int    `json:"status" doc:"The HTTP status."`
	Detail string `json:"detail" doc:"What happened, for people."`
	Code   string `json:"code" doc:"What happened, for programs; see the table of errors."`
}

// EncodeProblem returns a problem document as a line of JSON.
func EncodeProblem(document any) []byte {
	// A name or a path that the client made up, and that an error repeats, may be
	// invalid UTF-8.
	content, err := json.Marshal(document, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		// Texts and numbers can always be written.
		content = []byte(`{"status":500,"code":"internal"}`)
	}
	return append(content, '\n')
}
