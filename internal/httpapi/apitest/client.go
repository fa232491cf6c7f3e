// Package apitest is a client of the HTTP API for tests. It speaks over real
// sockets and checks in every answer what must hold for any.
package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Client sends requests with one key. Its methods may be called from several
// goroutines.
type Client struct {
	// URL is where the server is, Key the API key; an empty one is not sent.
	URL, Key string
	HTTP     *http.Client
	// Check, where it is not nil, is another check of each exchange.
	Check func(*http.Request, []byte, *http.Response, []byte) error
}

// As returns a client with another key.
func (c Client) As(key string) Client {
	c.Key = key
	return c
}

// Request is what a client sends. A body is declared as JSON unless the headers
// say otherwise.
type Request struct {
	Method, Path string
	Body         string
	// Headers are "Name: value".
	Headers []string
	// Chunked sends the body without telling its length.
	Chunked bool
	// Unreliable allows answers of the kind 5xx: the test takes the server's
	// database away, or stops it.
	Unreliable bool
}

// Answer is what came back.
type Answer struct {
	Request Request
	Status  int
	Header  http.Header
	Body    []byte
}

// Try sends a request. The error is that of the connection, or what is wrong with
// the answer whatever the request was.
func (c Client) Try(ctx context.Context, r Request) (Answer, error) {
	var content io.Reader = strings.NewReader(r.Body)
	if r.Chunked {
		content = io.MultiReader(content) // Hides the length.
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, c.URL+r.Path, content)
	if err != nil {
		return Answer{}, err
	}
	if c.Key != "" {
		request.Header.Set("X-API-KEY", c.Key)
	}
	if r.Body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for _, header := range r.Headers {
		name, value, _ := strings.Cut(header, ":")
		if name == "Content-Type" {
			request.Header.Del(name)
		}
		request.Header.Add(name, strings.TrimPrefix(value, " "))
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{Request: r, Status: response.StatusCode, Header: response.Header, Body: body}
	if fault := answer.fault(c.Key); fault != "" {
		return answer, fmt.Errorf("%s %s was answered with %s: %s", r.Method, r.Path, answer, fault)
	}
	if c.Check != nil {
		if err := c.Check(request, []byte(r.Body), response, body); err != nil {
			return answer, fmt.Errorf("%s %s was answered with %s: %w", r.Method, r.Path, answer, err)
		}
	}
	return answer, nil
}

// Send sends a request that must be answered as any request is.
func (c Client) Send(tb testing.TB, r Request) Answer {
	tb.Helper()
	answer, err := c.Try(tb.Context(), r)
	if err != nil {
		tb.Fatal(err)
	}
	return answer
}

// Get sends a GET request.
func (c Client) Get(tb testing.TB, path string, headers ...string) Answer {
	tb.Helper()
	return c.Send(tb, Request{Method: http.MethodGet, Path: path, Headers: headers})
}

// Post sends a POST request.
func (c Client) Post(tb testing.TB, path, body string, headers ...string) Answer {
	tb.Helper()
	return c.Send(tb, Request{Method: http.MethodPost, Path: path, Body: body, Headers: headers})
}

// Put sends a PUT request.
func (c Client) Put(tb testing.TB, path, body string, headers ...string) Answer {
	tb.Helper()
	return c.Send(tb, Request{Method: http.MethodPut, Path: path, Body: body, Headers: headers})
}

// fault says what no answer may be like, or "".
func (a Answer) fault(key string) string {
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
	} {
		if got := a.Header.Get(name); got != want {
			return fmt.Sprintf("%s is %q, not %q", name, got, want)
		}
	}
	if a.Header.Get("X-Request-Id") == "" || a.Header.Get("Content-Security-Policy") == "" {
		return "X-Request-Id or Content-Security-Policy is missing"
	}
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

// Problem is the body of an error.
type Problem struct {
	Type, Title, Detail, Code, RequestID string
	Status                               int
	Errors                               []struct{ Field, Message string }
	Results                              []Result
}

// Result is what became of one item of a batch.
type Result struct {
	Status   int
	Position json.RawMessage
	Error    *Problem
}

func (a Answer) problemFault(key string) string {
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		return fmt.Sprintf("an error's Content-Type is %q", got)
	}
	var p Problem
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return "the body is no problem document: " + err.Error()
	}
	replayed := a.Header.Get("Idempotent-Replayed") != ""
	switch {
	case strings.Contains(p.Detail, p.Code+":"):
		return "the detail is a wrapped error"
	case p.Status != a.Status || p.Title == "" || p.Detail == "" || p.Code == "" || p.Type != "urn:escrowgrid:error:"+p.Code:
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
	if a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable {
		if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 1 {
			return "Retry-After is missing"
		}
	}
	for _, secret := range append([]string{key}, inside...) {
		if secret != "" && strings.Contains(string(a.Body), secret) {
			return fmt.Sprintf("the error tells %q", secret)
		}
	}
	return ""
}

// inside is what an error would hold that tells of the server's insides.
var inside = []string{
	"dial tcp", "connection re", "failed to connect", "context ", "SQLSTATE", "sqlite", "pgx.", "pgconn", "goroutine", ".go:", "SELECT ", "INSERT ", "UPDATE ", "panic", "runtime error", "egk_",
}

// String is the answer for messages.
func (a Answer) String() string {
	const longest = 600
	return fmt.Sprintf("%d %.*s", a.Status, longest, a.Body)
}

// Want checks the status, and returns the answer.
func (a Answer) Want(tb testing.TB, status int) Answer {
	tb.Helper()
	if a.Status != status {
		tb.Fatalf("%s %s %.300s was answered with %s, want %d", a.Request.Method, a.Request.Path, a.Request.Body, a, status)
	}
	return a
}

// Refused checks that the answer is the refusal with a code, and, for invalid
// input, that it names exactly these fields.
func (a Answer) Refused(tb testing.TB, status int, code string, fields ...string) Answer {
	tb.Helper()
	var p Problem
	if a.Status >= http.StatusBadRequest {
		a.Decode(tb, &p)
	}
	if p.Code != code || a.Status != status {
		tb.Fatalf("%s %s %.300s was answered with %s, want %d %s", a.Request.Method, a.Request.Path, a.Request.Body, a, status, code)
	}
	named := make([]string, len(p.Errors))
	for i, fault := range p.Errors {
		named[i] = fault.Field
	}
	slices.Sort(named)
	slices.Sort(fields)
	if !slices.Equal(named, fields) {
		tb.Fatalf("%s %s %.300s: the errors name %q, want %q: %s", a.Request.Method, a.Request.Path, a.Request.Body, named, fields, a)
	}
	return a
}

// Problem returns the body of an error.
func (a Answer) Problem(tb testing.TB) (p Problem) {
	tb.Helper()
	a.Decode(tb, &p)
	return p
}

// Results returns what became of the items of a batch, which must be so many.
func (a Answer) Results(tb testing.TB, items int) []Result {
	tb.Helper()
	var batch struct{ Results []Result }
	a.Decode(tb, &batch)
	if len(batch.Results) != items {
		tb.Fatalf("%s %s was answered with %s, want %d results", a.Request.Method, a.Request.Path, a, items)
	}
	for i, result := range batch.Results {
		if fault := result.fault(); fault != "" {
			tb.Fatalf("%s %s was answered with %s: result %d: %s", a.Request.Method, a.Request.Path, a, i, fault)
		}
	}
	return batch.Results
}

// fault says what no result may be like, or "".
func (r Result) fault() string {
	p := r.Error
	switch {
	case (p == nil) == (r.Position == nil) || (p == nil) != (r.Status < http.StatusBadRequest):
		return "there must be either a position or an error"
	case p == nil:
		return ""
	case p.Status != r.Status || p.Title == "" || p.Detail == "" || p.Code == "" || p.Type != "urn:escrowgrid:error:"+p.Code || p.RequestID != "":
		return "the error is not one of an item"
	case (len(p.Errors) > 0) != (p.Code == "invalid_input"):
		return "errors and invalid_input do not go together"
	}
	return ""
}

// String is the result's status, with an error's code and the fields that it names.
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

// Decode reads the body.
func (a Answer) Decode(tb testing.TB, into any) {
	tb.Helper()
	if err := json.Unmarshal(a.Body, into); err != nil {
		tb.Fatalf("%s %s was answered with %s: %v", a.Request.Method, a.Request.Path, a, err)
	}
}

// Text returns a value out of the body by its path: "pagination.limit",
// "data.0.id". What is not there is "".
func (a Answer) Text(path string) string {
	decoder := json.NewDecoder(bytes.NewReader(a.Body))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) != nil {
		return ""
	}
	for part := range strings.SplitSeq(path, ".") {
		switch of := value.(type) {
		case map[string]any:
			value = of[part]
		case []any:
			index, err := strconv.Atoi(part)
			if err != nil || index < 0 || index >= len(of) {
				return ""
			}
			value = of[index]
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

// Texts returns a value out of each element of data.
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

// Walk follows a list to its end and returns a value out of each of its items.
func (c Client) Walk(tb testing.TB, path, value string) (texts []string) {
	tb.Helper()
	join := "?"
	if strings.Contains(path, "?") {
		join = "&"
	}
	for cursor := ""; ; {
		next := path
		if cursor != "" {
			next += join + "cursor=" + cursor
		}
		page := c.Get(tb, next).Want(tb, http.StatusOK)
		texts = append(texts, page.Texts(tb, value)...)
		cursor = page.Text("pagination.nextCursor")
		if (cursor != "") != (page.Text("pagination.hasMore") == "true") {
			tb.Fatalf("%s: nextCursor and hasMore do not go together: %s", next, page.Text("pagination"))
		}
		if cursor == "" {
			return texts
		}
	}
}
