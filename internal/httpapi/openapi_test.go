package httpapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
)

// That every answer is as documented is checked by the client of all tests here;
// see Contract.Check.

func TestTheDocumentThatIsServed(t *testing.T) {
	for _, isPublic := range []bool{true, false} {
		s := serve(t, onSQLite(t), func(c *settings) { c.PublicDocs = isPublic })
		want, err := httpapi.PrivateSpecification()
		if isPublic {
			want, err = httpapi.Specification()
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Get(t, "/openapi.json").Want(t, 200); string(got.Body) != string(want) {
			t.Errorf("with public documentation %t, another document is served than the one that these tests go by", isPublic)
		}
	}
}

// The check of the other tests is only good if it finds what is wrong.
func TestTheCheckOfAnswersFindsFaults(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	position := b.position(t)
	request := position.Request
	for name, body := range map[string]string{
		"a field is missing":   strings.Replace(string(position.Body), `"state":"CREATED",`, "", 1),
		"a field is new":       strings.Replace(string(position.Body), `"state":`, `"surprise":1,"state":`, 1),
		"a type is another":    strings.Replace(string(position.Body), `"version":1`, `"version":"1"`, 1),
		"a word is unknown":    strings.Replace(string(position.Body), `"CREATED"`, `"MADE"`, 1),
		"a time is no time":    strings.Replace(string(position.Body), `"createdAt":"`, `"createdAt":"x`, 1),
		"an id is another's":   strings.Replace(string(position.Body), `"id":"pos_`, `"id":"ast_`, 1),
		"an amount is no text": strings.Replace(string(position.Body), `"amount":"1000.00"`, `"amount":1000`, 1),
	} {
		if body == string(position.Body) {
			t.Fatalf("%s: nothing was changed in %s", name, body)
		}
		if err := contract(false).compare(request, 201, "application/json", body); err == nil {
			t.Errorf("%s, and that is not found", name)
		}
	}
	if err := contract(false).compare(request, 201, "application/json", string(position.Body)); err != nil {
		t.Errorf("a true answer is refused: %v", err)
	}
	if err := contract(false).compare(request, 418, "application/json", string(position.Body)); err == nil {
		t.Error("an unknown status is not found")
	}
	request.Body = strings.Replace(request.Body, `"currency"`, `"surprise":1,"currency"`, 1)
	if err := contract(false).compare(request, 201, "application/json", string(position.Body)); err == nil {
		t.Error("a field that is accepted and not documented is not found")
	}
}

// Each error's code stands in one table, and in the document with its status.
func TestErrorsAreDocumented(t *testing.T) {
	document, err := httpapi.Specification()
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Description string }
		}
	}
	if err := json.Unmarshal(document, &parsed); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, kind := range httpapi.ErrorKinds() {
		code := string(kind.Code)
		if slices.Contains(codes, code) || kind.Title == "" || kind.Meaning == "" || kind.Status < 400 {
			t.Errorf("the error %q is listed twice or not whole", code)
		}
		codes = append(codes, code)
		found := false
		for _, methods := range parsed.Paths {
			for _, operation := range methods {
				found = found || strings.Contains(operation.Responses[fmt.Sprint(kind.Status)].Description, "`"+code+"`")
			}
		}
		// These are of no operation, the last only of an item of one.
		if none := code == "route_not_found" || code == "method_not_allowed" || code == "not_applied"; !found && !none {
			t.Errorf("no operation of the document has the error %q", code)
		}
	}
	if !slices.IsSortedFunc(httpapi.ErrorKinds(), func(a, b httpapi.ErrorKind) int { return a.Status - b.Status }) {
		t.Error("the errors are not in the order of their status")
	}
}
