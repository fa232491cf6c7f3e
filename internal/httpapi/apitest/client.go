// Package apitest is a client of the HTTP API for tests. It uses real sockets and checks
// every answer for what must hold for any answer.
package apitest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// Client sends requests with one key. Its methods may be called from several
// goroutines.
type Client struct {
	// URL is the prefix of the server's paths. Key is the API key; an empty one is not sent.
	URL, Key string
	HTTP     *http.Client
	// Check, unless it is nil, checks each request and answer with their bodies.
	Check func(request *http.Request, sent []byte, response *http.Response, received []byte) error
}

// As returns a client with another key.
func (c Client) As(key string) Client {
	c.Key = key
	return c
}

// Request is a request to the API. Its body is declared as JSON unless Headers has another
// Content-Type.
type Request struct {
	Method, Path string
	Body         string
	// Headers are written as "Name: value".
	Headers []string
	// Chunked sends the body without its length.
	Chunked bool
	// Unreliable allows statuses from 500 on: the test takes away the server's database, or
	// stops the server.
	Unreliable bool
}

// String describes the request in messages.
func (r Request) String() string {
	const maxBody = 300
	return fmt.Sprintf("%s %s %.*s", r.Method, r.Path, maxBody, r.Body)
}

// Try sends a request. Its error is that of the connection, or says how the answer breaks
// a rule for all answers.
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
	given := make(http.Header)
	for _, header := range r.Headers {
		name, value, _ := strings.Cut(header, ":")
		// A media type takes the place of the usual one. Any header may be sent twice.
		if name == "Content-Type" && given[name] == nil {
			request.Header.Del(name)
		}
		given.Add(name, value)
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

	answer := Answer{
		Request: r,
		Status:  response.StatusCode,
		Header:  response.Header,
		Body:    body,
	}
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

// Send sends a request. The test fails where Try returns an error.
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

// Walk follows a list to its last page and returns a value of each item, by its path in
// the item.
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
