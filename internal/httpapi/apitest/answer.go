package apitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Answer is the answer to a request.
type Answer struct {
	Request Request
	Status  int
	Header  http.Header
	Body    []byte
}

// fault says how an answer breaks a rule for all answers, or returns "".
func (a Answer) fault(key string) string {
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff",
		"X-Frame-Options":        "DENY",
	} {
		if got := a.Header.Get(name); got != want {
			return fmt.Sprintf("%s is %q, not %q", name, got, want)
		}
	}
	if a.Header.Get("X-Request-Id") == "" || a.Header.Get("Content-Security-Policy") == "" {
		return "X-Request-Id or Content-Security-Policy is missing"
	}
	// Only the assets of the documentation may be cached.
	if cache := a.Header.Get("Cache-Control"); cache != "no-store" && !strings.HasPrefix(a.Request.Path, "/docs/") {
		return fmt.Sprintf("Cache-Control is %q", cache)
	}

	if a.Status >= http.StatusInternalServerError && !a.Request.Unreliable {
		return "the server failed"
	}
	if a.Status < http.StatusBadRequest || a.Request.Method == http.MethodHead {
		return ""
	}
	return a.problemFault(key)
}

// Problem is the problem document of an error.
type Problem struct {
	Type, Title, Detail, Code, RequestID string
	Status                               int
	// Errors are the faults of an invalid input.
	Errors []struct{ Field, Message string }
	// Results are those of a refused batch.
	Results []Result
	// DryRun and JudgedOn are there of a dry run.
	DryRun   bool
	JudgedOn *int64
}

// Result is the result of one item of a batch.
type Result struct {
	Status int
	// Either Position or Error is there: the item was accepted or refused.
	Position json.RawMessage
	Error    *Problem
}

// problemFault says how an error breaks a rule for all errors, or returns "".
func (a Answer) problemFault(key string) string {
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		return fmt.Sprintf("an error's Content-Type is %q", got)
	}

	// An unknown member would be a part of the contract that no test knows.
	var p Problem
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return "the body is no problem document: " + err.Error()
	}

	// A replayed answer has the request id of the request that was carried out.
	replayed := a.Header.Get("Idempotent-Replayed") != ""
	switch {
	case strings.Contains(p.Detail, p.Code+":"):
		return "the detail is a wrapped error"
	case p.Status != a.Status || !p.isComplete():
		return "the problem document is not complete"
	case p.RequestID != a.Header.Get("X-Request-Id") && !replayed:
		return "the problem document has another request id"
	case (len(p.Errors) > 0) != (p.Code == "invalid_input"):
		return "errors and invalid_input do not go together"
	case (len(p.Results) > 0) != (p.Code == "batch_refused"):
		return "results and batch_refused do not go together"
	case a.Status == http.StatusUnauthorized && a.Header.Get("WWW-Authenticate") == "":
		return "WWW-Authenticate is missing"
	case a.Status == http.StatusMethodNotAllowed && a.Header.Get("Allow") == "":
		return "Allow is missing"
	}

	// A client that should try again must know when.
	if a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable {
		if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 {
			return "Retry-After is missing"
		}
	}

	// An id that the server made is random: of thousands, one has a short word in it.
	told := string(a.Body)
	if strings.HasPrefix(p.RequestID, "req_") {
		told = strings.ReplaceAll(told, p.RequestID, "")
	}
	for _, secret := range append([]string{key}, internals...) {
		if secret != "" && strings.Contains(told, secret) {
			return fmt.Sprintf("the error discloses %q", secret)
		}
	}
	return ""
}

// isComplete reports whether a problem document has all members that every one must have.
func (p *Problem) isComplete() bool {
	return p.Title != "" && p.Detail != "" && p.Code != "" && p.Type == "urn:escrowgrid:error:"+p.Code
}

// internals are words by which an error discloses the server's internals.
var internals = []string{
	"dial tcp", "connection re", "failed to connect", "context ",
	"SQLSTATE", "sqlite", "pgx.", "pgconn", "SELECT ", "INSERT ", "UPDATE ",
	"goroutine", ".go:", "panic", "runtime error",
	"egk_",
}

// String describes the answer in messages.
func (a Answer) String() string {
	// Lists would fill the screen.
	const longest = 600
	return fmt.Sprintf("%d %.*s", a.Status, longest, a.Body)
}

// Want checks the status and returns the answer.
func (a Answer) Want(tb testing.TB, status int) Answer {
	tb.Helper()
	if a.Status != status {
		tb.Fatalf("%s was answered with %s, want %d", a.Request, a, status)
	}
	return a
}

// Refused checks that the answer is the refusal with a status and a code and that, for
// invalid input, it names exactly these fields.
func (a Answer) Refused(tb testing.TB, status int, code string, fields ...string) Answer {
	tb.Helper()
	var p Problem
	if a.Status >= http.StatusBadRequest {
		a.Decode(tb, &p)
	}
	if p.Code != code || a.Status != status {
		tb.Fatalf("%s was answered with %s, want %d %s", a.Request, a, status, code)
	}

	named := make([]string, len(p.Errors))
	for i, fault := range p.Errors {
		named[i] = fault.Field
	}
	slices.Sort(named)
	slices.Sort(fields)
	if !slices.Equal(named, fields) {
		tb.Fatalf("%s: the errors name %q, want %q: %s", a.Request, named, fields, a)
	}
	return a
}

// Problem returns the problem document of an error.
func (a Answer) Problem(tb testing.TB) (p Problem) {
	tb.Helper()
	a.Decode(tb, &p)
	return p
}

// Results returns the results of a batch, which must have this many items.
func (a Answer) Results(tb testing.TB, items int) []Result {
	tb.Helper()
	var batch struct{ Results []Result }
	a.Decode(tb, &batch)
	if len(batch.Results) != items {
		tb.Fatalf("%s %s was answered with %s, want %d results", a.Request.Method, a.Request.Path, a, items)
	}

	for i, result := range batch.Results {
		if fault := result.fault(); fault != "" {
			tb.Fatalf("%s %s was answered with %s: result %d: %s",
				a.Request.Method, a.Request.Path, a, i, fault)
		}
	}
	return batch.Results
}

// fault says how a result breaks a rule for all results, or returns "".
func (r Result) fault() string {
	p := r.Error
	switch {
	case (p == nil) == (r.Position == nil) || (p == nil) != (r.Status < http.StatusBadRequest):
		return "there must be either a position or an error"
	case p == nil:
		return ""
	case p.Status != r.Status || !p.isComplete() || p.RequestID != "":
		return "the error is not that of an item"
	case (len(p.Errors) > 0) != (p.Code == "invalid_input"):
		return "errors and invalid_input do not go together"
	}
	return ""
}

// String returns the result's status with an error's code and the fields that it names.
func (r Result) String() string {
	words := []string{strconv.Itoa(r.Status)}
	if r.Error != nil {
		words = append(words, r.Error.Code)
		for _, fault := range r.Error.Errors {
			words = append(words, fault.Field)
		}
	}
	return strings.Join(words, " ")
}

// Decode decodes the body's JSON.
func (a Answer) Decode(tb testing.TB, into any) {
	tb.Helper()
	if err := json.Unmarshal(a.Body, into); err != nil {
		tb.Fatalf("%s %s was answered with %s: %v", a.Request.Method, a.Request.Path, a, err)
	}
}

// Text returns a value of the body by its path, such as "pagination.limit" or "data.0.id",
// and "" where there is none.
func (a Answer) Text(path string) string {
	// Numbers keep the digits with which the server wrote them.
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return ""
	}

	for part := range strings.SplitSeq(path, ".") {
		switch container := value.(type) {
		case map[string]any:
			value = container[part]
		case []any:
			index, err := strconv.Atoi(part)
			if err != nil || index < 0 || index >= len(container) {
				return ""
			}
			value = container[index]
		default:
			return ""
		}
	}

	switch found := value.(type) {
	case nil:
		return ""
	case string:
		return found
	}
	text, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(text)
}

// Texts returns a value of each item of a list's page, by its path in the item.
func (a Answer) Texts(tb testing.TB, path string) []string {
	tb.Helper()
	var list struct{ Data []json.RawMessage }
	a.Decode(tb, &list)
	texts := make([]string, len(list.Data))
	for i, item := range list.Data {
		texts[i] = Answer{Body: item}.Text(path)
	}
	return texts
}
