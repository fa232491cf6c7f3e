package identity

import (
	"net/http"
)

// maxAnswer bounds every answer of a provider, in bytes. A dozen keys with their certificates,
// which is much, take a tenth of it.
const maxAnswer = 256 << 10

// bounded returns a client that sends its requests through another, reads no answer beyond
// maxAnswer, follows no redirect, and keeps no cookies.
func bounded(client *http.Client) *http.Client {
	transport := client.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	return &http.Client{
		Transport:     boundedTransport{transport},
		Timeout:       client.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type boundedTransport struct{ http.RoundTripper }

// RoundTrip sends a request; reading its answer fails after maxAnswer bytes.
func (t boundedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	return response, nil
}
