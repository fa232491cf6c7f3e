package egress

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// exchanger carries out the exchanges of one purpose.
type exchanger struct {
	client  *Client
	purpose Purpose
}

// errExchangeTime is why the context of an exchange ends that has taken longer than its bound.
var errExchangeTime = fmt.Errorf("the exchange has taken too long: %w", context.DeadlineExceeded)

// RoundTrip sends a request, if it is allowed. The exchange ends with the body of the answer, and is
// counted then.
func (e exchanger) RoundTrip(request *http.Request) (*http.Response, error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeoutCause(request.Context(), e.client.bounds.Exchange, errExchangeTime)
	end := func(status int, err error) {
		cancel()
		e.client.metrics.count(e.purpose, outcomeOf(status, err), time.Since(begun))
	}

	outgoing := request.Clone(ctx)
	if outgoing.Header == nil {
		outgoing.Header = make(http.Header)
	}
	outgoing.Header.Set("User-Agent", e.client.userAgent)

	response, err := e.client.send(outgoing)
	if err != nil {
		end(0, err)
		return nil, err
	}

	var once sync.Once
	response.Body = &boundedBody{
		ReadCloser: response.Body,
		left:       e.client.bounds.Body,
		ended:      func(err error) { once.Do(func() { end(response.StatusCode, err) }) },
	}
	return response, nil
}

// send sends a request by the way that it has to take. It closes the request's body in any case.
func (c *Client) send(request *http.Request) (*http.Response, error) {
	transport, request, err := c.route(request)
	if err != nil {
		if request.Body != nil {
			request.Body.Close()
		}
		return nil, err
	}

	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	if slices.Contains(redirects, response.StatusCode) {
		response.Body.Close()
		return nil, &RedirectError{Status: response.StatusCode, Location: response.Header.Get("Location")}
	}
	return response, nil
}

// redirects are the statuses that clients follow by themselves.
var redirects = []int{
	http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
	http.StatusTemporaryRedirect, http.StatusPermanentRedirect,
}

// route returns the transport for a request, and the request as that transport wants it.
func (c *Client) route(request *http.Request) (*http.Transport, *http.Request, error) {
	if err := c.guard.checkURL(request.URL); err != nil {
		return nil, request, err
	}
	if c.proxy == nil || request.URL.Scheme != "https" {
		return c.direct, request, nil
	}

	proxy, err := c.proxy(request)
	if err != nil {
		return nil, request, fmt.Errorf("choosing a proxy: %w", err)
	}
	if proxy == nil {
		return c.direct, request, nil
	}
	return c.proxied, request.WithContext(context.WithValue(request.Context(), proxyKey{}, proxy)), nil
}

// boundedBody is the body of an answer, of which no more is read than there is room for.
type boundedBody struct {
	io.ReadCloser

	// left is how many bytes there is room for.
	left int64
	// ended is told how the body ended: nil where it was read to its end, or closed before.
	ended func(err error)
	// tooLarge stays once there was more.
	tooLarge bool
}

// Read reads on, up to the bound. It is ErrBodyTooLarge, and not the body's end, if there is more.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.tooLarge {
		return 0, ErrBodyTooLarge
	}

	// A byte more than there is room for tells a body that is too large from one that just fits.
	n, err := b.ReadCloser.Read(p[:min(int64(len(p))-1, b.left)+1])
	if int64(n) > b.left {
		n, err, b.tooLarge = int(b.left), ErrBodyTooLarge, true
	}
	b.left -= int64(n)

	if errors.Is(err, io.EOF) {
		b.ended(nil)
	} else if err != nil {
		b.ended(err)
	}
	return n, err
}

// Close ends the exchange. What was not read is not received.
func (b *boundedBody) Close() error {
	err := b.ReadCloser.Close()
	b.ended(nil)
	return err
}
