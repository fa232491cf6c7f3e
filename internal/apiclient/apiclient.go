// Package apiclient calls the HTTP API of a server.
package apiclient

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/escrowgrid/escrowgrid/internal/visible"
)

// Client calls the API of a server. A call is part of the trace in its context, if there
// is one. A client is safe for concurrent use.
type Client struct {
	// URL is the prefix of the server's paths, without a slash at its end.
	URL string
	// HTTP sends the requests. Redirections are not followed.
	HTTP *http.Client
	// InsecureHTTP allows a key to be sent over HTTP without TLS to another machine.
	InsecureHTTP bool
	// Budget, unless it is nil, bounds the bytes of all answers together.
	Budget *Budget
}

// Budget is how many bytes may be received of a server that need not be trusted.
type Budget struct {
	most     int64
	received atomic.Int64
}

// NewBudget makes a budget of so many bytes.
func NewBudget(most int64) *Budget { return &Budget{most: most} }

// ErrTooMuch means that a server has sent more than its Budget.
var ErrTooMuch = errors.New("the server sends more than there is room for")

func (b *Budget) take(bytes int) error {
	if b == nil || b.received.Add(int64(bytes)) <= b.most {
		return nil
	}
	return fmt.Errorf("%w: %d MiB", ErrTooMuch, b.most>>20)
}

// ErrInsecureHTTP means that a key was not sent, as whoever is on the way could read it.
var ErrInsecureHTTP = errors.New("an API key is sent over https, or to this machine alone")

// IsSafe reports whether nobody on the way can read what is sent to a URL: it is https, or
// of this machine. It looks up no names.
func IsSafe(address string) bool {
	parsed, err := url.Parse(address)
	return err == nil && (parsed.Scheme == "https" || IsLoopback(parsed.Hostname()))
}

// IsLoopback reports whether only this machine can reach a host. It looks up no names.
func IsLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// New returns a client of the server at a URL, with a timeout of a minute a request.
func New(url string) Client {
	return Client{URL: url, HTTP: &http.Client{Timeout: time.Minute}}
}

// Error is an answer with a status of at least 400.
type Error struct {
	Method, Path string
	Status       int
	// Code and Detail are those of the API's problem document. They are empty where the
	// answer came from elsewhere, such as a proxy.
	Code, Detail string
}

func (e *Error) Error() string {
	return visible.Line(fmt.Sprintf("%s %s: %d %s: %s", e.Method, e.Path, e.Status, e.Code, e.Detail))
}

// maxAttempts bounds the attempts of a call. The pause between two of them grows by
// pauseStep each time: together some ten seconds, in which a server can recover.
const (
	maxAttempts = 10
	pauseStep   = 200 * time.Millisecond
)

// Call sends a request with an API key and decodes the answer's JSON into answer, unless
// that is nil. When the connection or the server fails, or asks to slow down, it tries
// again with the same idempotency key. An answer of 400 or above is an *Error.
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
		retry, err := c.send(ctx, key, idempotencyKey, method, path, content, answer)
		if !retry || attempt == maxAttempts {
			return err
		}

		select {
		case <-time.After(time.Duration(attempt) * pauseStep):
		case <-ctx.Done():
			// The last answer says more than that the context has ended.
			return err
		}
	}
}

// GetOnce is Call for a GET request, but tries only once.
func (c Client) GetOnce(ctx context.Context, key, path string, answer any) error {
	_, err := c.send(ctx, key, "", http.MethodGet, path, nil, answer)
	return err
}

// send sends a request once; retry says that another attempt may succeed.
func (c Client) send(
	ctx context.Context, key, idempotencyKey, method, path string, content []byte, answer any,
) (retry bool, err error) {
	if key != "" && !c.InsecureHTTP && !IsSafe(c.URL) {
		return false, fmt.Errorf("%s: %w", c.URL, ErrInsecureHTTP)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(content))
	if err != nil {
		return false, err
	}
	request.Header.Set("X-API-KEY", key)
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(request.Header))
	// Reads need no key: a retry cannot do anything twice.
	if method != http.MethodGet {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	if content != nil {
		request.Header.Set("Content-Type", "application/json")
	}

	// Another server than the one that was named would be given the key.
	client := *c.HTTP
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	response, err := client.Do(request)
	if err != nil {
		return true, err
	}
	defer response.Body.Close()
	received, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerSize+1))
	if err != nil {
		return true, err
	}
	if len(received) > maxAnswerSize {
		return false, fmt.Errorf("%s %s: the answer has more than %d MiB", method, path, maxAnswerSize>>20)
	}
	if err := c.Budget.take(len(received)); err != nil {
		return false, err
	}

	if status := response.StatusCode; status >= http.StatusMultipleChoices && status < http.StatusBadRequest {
		return false, fmt.Errorf("%s %s: %d: the server points to %q, and redirections are not followed",
			method, path, status, response.Header.Get("Location"))
	}
	if status := response.StatusCode; status >= http.StatusBadRequest {
		var problem struct{ Code, Detail string }
		_ = json.Unmarshal(received, &problem) // A proxy's error may be no JSON.
		retry = status >= http.StatusInternalServerError || status == http.StatusTooManyRequests
		return retry, &Error{
			Method: method,
			Path:   path,
			Status: status,
			Code:   problem.Code,
			Detail: problem.Detail,
		}
	}
	if answer == nil {
		return false, nil
	}
	return false, json.Unmarshal(received, answer)
}

// The bounds of what a server can have a client take, which need not trust it.
const (
	// pageSize is how many items are asked for at once.
	pageSize = 250
	// maxAnswerSize is in bytes: twice as much as a page of the largest items.
	maxAnswerSize = 64 << 20
)

// listPage is a page of a list in the API's form.
type listPage[T any] struct {
	Data       []T `json:"data"`
	Pagination struct {
		// NextCursor is empty on the last page.
		NextCursor string `json:"nextCursor"`
	} `json:"pagination"`
}

// ErrEndless means that a server lists more than it can have, or never ends a list.
var ErrEndless = errors.New("the server's list does not end")

// List calls each for every item of a list, in the list's order, until each returns an
// error. A list of more than most items is ErrEndless, as is one with an empty page that
// says it goes on. It changes query, and requests the next page while each handles the
// items of the current one.
func List[T any](
	ctx context.Context, c Client, key, path string, query url.Values, most int64, each func(T) error,
) error {
	type answer struct {
		page listPage[T]
		err  error
	}
	// A page that is under way when each returns an error is not needed.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	request := func() <-chan answer {
		answers := make(chan answer, 1)
		pathAndQuery := path + "?" + query.Encode()
		go func() {
			var a answer
			a.err = c.Call(ctx, key, http.MethodGet, pathAndQuery, nil, &a.page)
			answers <- a
		}()
		return answers
	}

	query.Set("limit", strconv.Itoa(pageSize))
	var listed int64
	for next := request(); next != nil; {
		a := <-next
		if a.err != nil {
			return a.err
		}

		items := len(a.page.Data)
		listed += int64(items)
		goesOn := a.page.Pagination.NextCursor != ""
		if listed > most || items > pageSize || goesOn && items == 0 {
			return fmt.Errorf("%w: %s: %d items, the last %d in a page", ErrEndless, path, listed, items)
		}
		if next = nil; goesOn {
			query.Set("cursor", a.page.Pagination.NextCursor)
			next = request()
		}

		for _, item := range a.page.Data {
			if err := each(item); err != nil {
				return err
			}
		}
	}
	return nil
}
