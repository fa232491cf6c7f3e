// Package apiclient calls the API of a server.
package apiclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/propagation"
)

// Client calls the API of a server, in the trace of the calls' context if it has one.
type Client struct {
	// URL is where the server's paths begin, without a slash at its end.
	URL string
	// HTTP sends the requests.
	HTTP *http.Client
}

// New returns a client of the server at a URL.
func New(url string) Client {
	return Client{URL: url, HTTP: &http.Client{Timeout: time.Minute}}
}

// Error is an answer that is none: a status from 400 on.
type Error struct {
	Method, Path string
	Status       int
	// Code and Detail are the API's, empty where the answer was not the API's.
	Code, Detail string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %d %s: %s", e.Method, e.Path, e.Status, e.Code, e.Detail)
}

// maxAttempts bounds how often a call is tried. Between two the pause grows by
// pauseStep: together some ten seconds, in which a server can recover.
const (
	maxAttempts = 10
	pauseStep   = 200 * time.Millisecond
)

// Call sends a request with a key and reads the answer's JSON. It is tried again,
// under the same idempotency key, when the connection or the server failed.
func (c Client) Call(ctx context.Context, key, method, path string, body, answer any) error {
	var content []byte
	if body != nil {
		var err error
		if content, err = json.Marshal(body); err != nil {
			return err
		}
	}
	idempotencyKey := rand.Text()
	for attempt := 1; ; attempt++ {
		retry, err := c.try(ctx, key, idempotencyKey, method, path, content, answer)
		if !retry || attempt == maxAttempts {
			return err
		}
		select {
		case <-time.After(time.Duration(attempt) * pauseStep):
		case <-ctx.Done():
			return err
		}
	}
}

// GetOnce asks for something, and does not try again.
func (c Client) GetOnce(ctx context.Context, key, path string, answer any) error {
	_, err := c.try(ctx, key, "", http.MethodGet, path, nil, answer)
	return err
}

// try sends a request once; retry says that it may be answered better another time.
func (c Client) try(
	ctx context.Context, key, idempotencyKey, method, path string, content []byte, answer any,
) (retry bool, err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(content))
	if err != nil {
		return false, err
	}
	request.Header.Set("X-API-KEY", key)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	if method != http.MethodGet {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	if err != nil {
		return true, err
	}
	if response.StatusCode >= http.StatusBadRequest {
		var problem struct{ Code, Detail string }
		_ = json.Unmarshal(received, &problem) // A proxy's error may be no JSON.
		return response.StatusCode >= http.StatusInternalServerError || response.StatusCode == http.StatusTooManyRequests,
			&Error{method, path, response.StatusCode, problem.Code, problem.Detail}
	}
	if answer == nil {
		return false, nil
	}
	return false, json.Unmarshal(received, answer)
}

// pageSize is the largest page that the API gives.
const pageSize = 1000

// listPage is a page of a list, as the API gives it.
type listPage[T any] struct {
	Data       []T `json:"data"`
	Pagination struct {
		NextCursor string `json:"nextCursor"`
	} `json:"pagination"`
}

// List calls each for every item of a list, until one is an error. While the items of a
// page have their turn, the next page is on its way.
func List[T any](ctx context.Context, c Client, key, path string, query url.Values, each func(T) error) error {
	type answer struct {
		page listPage[T]
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ask := func() <-chan answer {
		asked := make(chan answer, 1)
		where := path + "?" + query.Encode()
		go func() {
			var a answer
			a.err = c.Call(ctx, key, http.MethodGet, where, nil, &a.page)
			asked <- a
		}()
		return asked
	}
	query.Set("limit", strconv.Itoa(pageSize))
	for next := ask(); next != nil; {
		a := <-next
		if a.err != nil {
			return a.err
		}
		if next = nil; a.page.Pagination.NextCursor != "" {
			query.Set("cursor", a.page.Pagination.NextCursor)
			next = ask()
		}
		for _, item := range a.page.Data {
			if err := each(item); err != nil {
				return err
			}
		}
	}
	return nil
}
