package main

import (
	"net/url"
	"strings"
	"syscall"
	"testing"
)

func TestHealthCheck(t *testing.T) {
	s := serve(t, []string{"DATABASE_URL=sqlite::memory:", "HOST=0.0.0.0", "SHUTDOWN_DELAY=1m"})
	address, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	// The environment of the server: the address that it listens on is none to call.
	env := []string{"HOST=0.0.0.0", "PORT=" + address.Port()}
	check := func(want int, tells string, args ...string) {
		t.Helper()
		code, stdout, stderr := call(t, env, append([]string{"healthcheck"}, args...)...)
		if code != want || stdout != "" || !strings.Contains(stderr, tells) || strings.Count(stderr, "\n") > 1 {
			t.Errorf("healthcheck %s: %d, %q and %q, want %d and %q", args, code, stdout, stderr, want, tells)
		}
	}
	check(0, "")
	check(0, "", "--ready")
	s.signal(t, syscall.SIGTERM)
	s.eventually(t, "the server says that it is not ready", func() bool { return s.try(t, "/ready").Status == 503 })
	check(0, "")
	check(1, "shutting_down", "--ready")
	check(2, "PORT", "--port", "http")
	check(1, "the server at http://127.0.0.1:1: ", "--port", "1")
}
