package httpapi_test

import (
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// Where a body can be left out, clients that send null, an empty object, or nothing at all leave it out.
func TestAnOptionalBodyCanBeNull(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	for name, test := range map[string]struct {
		body    string
		chunked bool
		status  int
	}{
		"none":                           {"", false, 200},
		"none, of a length not told":     {"", true, 200},
		"null":                           {"null", false, 200},
		"null, of a length not told":     {" null\n", true, 200},
		"an empty object":                {"{}", false, 200},
		"an object, of no length":        {"{}", true, 200},
		"a list":                         {"[]", false, 422},
		"a text":                         {`"null"`, false, 422},
		"null and more":                  {"null {}", false, 400},
		"no JSON":                        {"nul", false, 400},
		"a member that there is not":     {`{"x": 1}`, false, 422},
		"white space and nothing":        {" ", false, 400},
		"white space of a length untold": {" ", true, 400},
	} {
		// The first takes no body of its own, the second one that can be left out.
		for path, accepted := range map[string]int{
			"/assets/" + b.asset(t, b.Template) + "/close":                     200,
			"/institutions/" + b.ID + "/api-keys/" + aKey(t, b)[0] + "/rotate": 201,
		} {
			want := test.status
			if want == 200 {
				want = accepted
			}
			request := apitest.Request{Method: "POST", Path: path, Body: test.body, Chunked: test.chunked}
			if answer := b.Admin.Send(t, request); answer.Status != want {
				t.Errorf("%s, %s: the answer is %s, want %d", path, name, answer, want)
			}
		}
	}
	b.Admin.Post(t, "/assets", "null").Refused(t, 422, "invalid_input", "body", "label", "templateId")
}
