// Package web is what an API over HTTP needs and what knows nothing of the API itself:
// strict readers of bodies and queries, the writing of answers and problem documents,
// preconditions, rate limits, deadlines, request ids, clients' addresses, cross-origin
// requests, and the description of operations as OpenAPI.
package web

import "net/http"

// The content types of answers.
const (
	ContentTypeJSON    = "application/json"
	ContentTypeProblem = "application/problem+json"
	// ContentTypeMergePatch is that of the bodies of PATCH (RFC 7396).
	ContentTypeMergePatch = "application/merge-patch+json"
)

// Report notes what is wrong with a value: field is its path in the body, like
// "items[2].amount", or the name of a parameter; the format and its arguments continue
// a sentence that begins with the field. Whoever gets the reports bounds them.
type Report func(field, format string, args ...any)

// IsCommand reports whether a method asks for a change. Only those of queries are known
// not to: a method that is new asks for one.
func IsCommand(method string) bool {
	return method != http.MethodGet && method != http.MethodHead
}
