package httpapi_test

import (
	"strings"
	"testing"
)

func TestRequestIDs(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	long := strings.Repeat("x", 128)
	for _, test := range []struct {
		headers []string
		want    string // "" is one that is made
	}{
		{nil, ""},
		{[]string{"X-Request-Id: abc"}, "abc"},
		{[]string{"X-Request-Id: aZ09._:-"}, "aZ09._:-"},
		{[]string{"X-Request-Id: " + long}, long},
		{[]string{"X-Correlation-Id: other"}, "other"},
		{[]string{"X-Request-Id: first", "X-Correlation-Id: other"}, "first"},
		{[]string{"X-Request-Id: not safe", "X-Correlation-Id: other"}, "other"},
		{[]string{"X-Request-Id:"}, ""},
		{[]string{"X-Request-Id: " + long + "x"}, ""},
		{[]string{"X-Request-Id: a b"}, ""},
		{[]string{"X-Request-Id: a\tb"}, ""},
		{[]string{"X-Request-Id: ä"}, ""},
		{[]string{"X-Request-Id: \xff"}, ""},
		{[]string{"X-Request-Id: <script>"}, ""},
		{[]string{`X-Request-Id: a"b`}, ""},
		{[]string{"X-Request-Id: a;b", "X-Correlation-Id: {}"}, ""},
	} {
		// In the answer, in an error, in the journal and in the log.
		answer := b.Admin.Get(t, "/assets/x", test.headers...).Refused(t, 404, "asset_not_found")
		id := answer.Header.Get("X-Request-Id")
		if test.want != "" && id != test.want || test.want == "" && !strings.HasPrefix(id, "req_") || answer.Problem(t).RequestID != id {
			t.Errorf("%q leads to %q in the header and %q in the error, want %q", test.headers, id, answer.Problem(t).RequestID, test.want)
		}
		written := b.Admin.Post(t, "/positions", b.claim().String(), test.headers...).Want(t, 201).Header.Get("X-Request-Id")
		if last := b.Admin.Get(t, "/audit-events?order=desc&limit=1").Text("data.0.requestId"); last != written || test.want != "" && last != test.want {
			t.Errorf("%q leads to %q in the journal, want %q", test.headers, last, test.want)
		}
		eventually(t, written+" is in the log", func() bool { return strings.Contains(s.logs.String(), `"request_id":"`+written+`"`) })
	}
	if one, other := s.Get(t, "/health").Header.Get("X-Request-Id"), s.Get(t, "/health").Header.Get("X-Request-Id"); one == other {
		t.Errorf("two requests have the request id %q", one)
	}
}

func TestHeadersOfAnswers(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	// The client of these tests looks at every answer; this is what it looks for.
	for _, path := range []string{"/health", "/positions", "/positions/x", "/nothing", "/docs", "/openapi.json"} {
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "X-Frame-Options": "DENY",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := b.Admin.Get(t, path).Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	challenge := s.As("").Get(t, "/positions").Refused(t, 401, "unauthorized").Header.Get("WWW-Authenticate")
	if !strings.Contains(challenge, "Bearer") || !strings.Contains(challenge, "X-API-KEY") {
		t.Errorf("WWW-Authenticate is %q", challenge)
	}
}
