package testbed

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
)

// Client calls the API of a server.
type Client struct {
	// URL is where the server's paths begin, without a slash at its end.
	URL  string
	http *http.Client
}

// NewClient returns a client of the server at a URL.
func NewClient(url string) Client {
	return Client{URL: url, http: &http.Client{Timeout: time.Minute}}
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

// try sends a request once; retry says that it may be answered better another time.
func (c Client) try(
	ctx context.Context, key, idempotencyKey, method, path string, content []byte, answer any,
) (retry bool, err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(content))
	if err != nil {
		return false, err
	}
	request.Header.Set("X-API-KEY", key)
	if method != http.MethodGet {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.http.Do(request)
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
			fmt.Errorf("%s %s: %d %s: %s", method, path, response.StatusCode, problem.Code, problem.Detail)
	}
	if answer == nil {
		return false, nil
	}
	return false, json.Unmarshal(received, answer)
}

// pageSize is the largest page that the API gives.
const pageSize = 1000

// List calls each for every item of a list.
func List[T any](ctx context.Context, c Client, key, path string, query url.Values, each func(T)) error {
	query.Set("limit", strconv.Itoa(pageSize))
	for {
		var page struct {
			Data       []T `json:"data"`
			Pagination struct {
				NextCursor string `json:"nextCursor"`
			} `json:"pagination"`
		}
		if err := c.Call(ctx, key, http.MethodGet, path+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		for _, item := range page.Data {
			each(item)
		}
		if page.Pagination.NextCursor == "" {
			return nil
		}
		query.Set("cursor", page.Pagination.NextCursor)
	}
}
