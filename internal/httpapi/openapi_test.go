package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// That every answer is as documented is checked by the client of all tests here;
// see Contract.Check.

func TestTheDocumentThatIsServed(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	if got := s.Get(t, "/openapi.json").Want(t, 200); string(got.Body) != string(journaltest.Must(httpapi.Specification())) {
		t.Error("another document is served than the one that these tests go by")
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
		if err := contract().compare(request, 201, position.Header, body); err == nil {
			t.Errorf("%s, and that is not found", name)
		}
	}
	if err := contract().compare(request, 201, position.Header, string(position.Body)); err != nil {
		t.Errorf("a true answer is refused: %v", err)
	}
	if err := contract().compare(request, 418, position.Header, string(position.Body)); err == nil {
		t.Error("an unknown status is not found")
	}
	for name, value := range map[string]string{"Etag": "", "X-Request-Id": "", "Retry-After": "1"} {
		header := position.Header.Clone()
		header.Set(name, value)
		if value == "" {
			header.Del(name)
		}
		if err := contract().compare(request, 201, header, string(position.Body)); err == nil {
			t.Errorf("the header %s: %q is not found", name, value)
		}
	}
	request.Body = strings.Replace(request.Body, `"currency"`, `"surprise":1,"currency"`, 1)
	if err := contract().compare(request, 201, position.Header, string(position.Body)); err == nil {
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
		// These are of no operation, the first only of an item of one.
		none := []string{
			"not_applied", "route_not_found", "method_not_allowed", "malformed_request", "expectation_failed",
			"headers_too_large", "unsupported_transfer_encoding", "unsupported_http_version", "login_failed", "login_not_configured",
		}
		if !found && !slices.Contains(none, code) {
			t.Errorf("no operation of the document has the error %q", code)
		}
	}
	if !slices.IsSortedFunc(httpapi.ErrorKinds(), func(a, b httpapi.ErrorKind) int { return a.Status - b.Status }) {
		t.Error("the errors are not in the order of their status")
	}
}

// Who opens the server in a browser finds its page, whether the page takes a key or not.
func TestAPersonFindsThePage(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) { c.PublicDocs = false })
	// These are no part of the document that the other tests check answers by.
	get := func(path, key string) *http.Response {
		request := journaltest.Must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody))
		if key != "" {
			request.Header.Set("X-API-KEY", key)
		}
		response := journaltest.Must(s.HTTP.Do(request))
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
		return response
	}

	for _, path := range []string{"/", "/docs/"} {
		if page := get(path, ""); page.StatusCode != http.StatusSeeOther || page.Header.Get("Location") != "/docs" {
			t.Errorf("%s leads to %q with %d", path, page.Header.Get("Location"), page.StatusCode)
		}
	}
	if icon := get("/favicon.ico", ""); icon.StatusCode != http.StatusOK || icon.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("the icon is %d %s", icon.StatusCode, icon.Header.Get("Content-Type"))
	}

	// Collectors that were set up for the prototype go on.
	if metrics := get("/metrics/prometheus", ""); metrics.StatusCode != http.StatusUnauthorized {
		t.Errorf("metrics without a key are %d", metrics.StatusCode)
	}
	metrics := get("/metrics/prometheus", s.Key)
	if metrics.StatusCode != http.StatusOK || !strings.HasPrefix(metrics.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("metrics are %d %s", metrics.StatusCode, metrics.Header.Get("Content-Type"))
	}
}

// parameter is a query parameter as the document has it.
type parameter struct {
	Name, In string
	Schema   parameterSchema
}

type parameterSchema struct {
	Ref              string `json:"$ref"`
	Type, Format     string
	Enum             []string
	Minimum, Maximum *int64
}

// samples are values that the schema allows, and those that it does not. There are none of a
// text that can be anything.
func (p parameter) samples() (allowed, refused []string) {
	switch {
	case p.Schema.Type == "integer":
		allowed, refused = []string{fmt.Sprint(*p.Schema.Minimum)}, []string{fmt.Sprint(*p.Schema.Minimum - 1), "x", "1.5"}
		if p.Schema.Maximum != nil {
			allowed, refused = append(allowed, fmt.Sprint(*p.Schema.Maximum)), append(refused, fmt.Sprint(*p.Schema.Maximum+1))
		}
	case p.Schema.Type == "boolean":
		allowed, refused = []string{"true", "false"}, []string{"1", "TRUE"}
	case p.Schema.Enum != nil:
		allowed, refused = p.Schema.Enum, []string{"surprise"}
	case p.Schema.Format == "date-time":
		allowed, refused = []string{"2027-01-31T12:00:00.5Z"}, []string{"2027-01-31"}
	}
	return allowed, refused
}

// The server takes of each parameter what its schema allows, and refuses what it does not.
func TestParametersAreAsDocumented(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	ids := strings.NewReplacer("/positions/{id}", "/positions/"+b.position(t).Text("id"), "/institutions/{id}", "/institutions/"+b.ID)
	var parsed struct {
		Paths      map[string]map[string]struct{ Parameters []parameter }
		Components struct{ Schemas map[string]json.RawMessage }
	}
	if err := json.Unmarshal(journaltest.Must(httpapi.Specification()), &parsed); err != nil {
		t.Fatal(err)
	}

	seen := 0
	for template, methods := range parsed.Paths {
		for _, p := range methods["get"].Parameters {
			if p.In != "query" {
				continue
			}
			if name, ok := strings.CutPrefix(p.Schema.Ref, "#/components/schemas/"); ok {
				if err := json.Unmarshal(parsed.Components.Schemas[name], &p.Schema); err != nil {
					t.Fatal(err)
				}
			}
			query := ids.Replace(template) + "?"
			// Root, who alone may ask for refused attempts, must name an institution.
			if slices.ContainsFunc(methods["get"].Parameters, func(p parameter) bool { return p.Name == "institutionId" }) {
				query += "institutionId=" + b.ID + "&"
			}
			isWrong := func(value string) bool {
				answer := s.Get(t, query+p.Name+"="+value)
				if answer.Status != http.StatusUnprocessableEntity {
					return false
				}
				return slices.ContainsFunc(answer.Problem(t).Errors, func(e struct{ Field, Message string }) bool { return e.Field == p.Name })
			}

			allowed, refused := p.samples()
			for _, value := range allowed {
				seen++
				if isWrong(value) {
					t.Errorf("%s%s=%s is refused", query, p.Name, value)
				}
			}
			for _, value := range refused {
				if !isWrong(value) {
					t.Errorf("%s%s=%s is not refused", query, p.Name, value)
				}
			}
		}
	}
	if seen < 100 {
		t.Errorf("only %d values were tried", seen)
	}
}
