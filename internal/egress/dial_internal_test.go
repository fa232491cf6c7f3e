package egress

import (
	"errors"
	"net/http"
	"testing"
)

// What connects without checking must not take having no proxy for a way to the place itself.
func TestARequestOnTheWayToNoProxyIsNotSent(t *testing.T) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://10.0.0.1/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}

	if response, err := New(Config{}).proxied.RoundTrip(request); err == nil {
		response.Body.Close()
		t.Error("it was sent")
	} else if !errors.Is(err, errNoProxy) {
		t.Error(err)
	}
}
