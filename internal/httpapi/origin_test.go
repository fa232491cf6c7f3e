package httpapi_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

func preflight(t *testing.T, s *service, origin string) apitest.Answer {
	t.Helper()
	return s.As("").Send(t, apitest.Request{
		Method: http.MethodOptions, Path: "/positions",
		Headers: []string{"Origin: " + origin, "Access-Control-Request-Method: POST", "Access-Control-Request-Headers: x-api-key"},
	}).Want(t, http.StatusNoContent)
}

func TestCrossOriginRequests(t *testing.T) {
	const console, other = "https://console.example.com", "https://evil.example.com"
	for _, test := range []struct {
		behaviour, origin string
		allowed           []string
		want              string
	}{
		{"no origin is allowed by itself", console, nil, ""},
		{"an origin that is allowed", console, []string{"https://a.example.com", console}, console},
		{"an origin that is not", other, []string{console}, ""},
		{"a part of one that is", "https://console.example.com.evil.com", []string{console}, ""},
		{"another scheme", "http://console.example.com", []string{console}, ""},
		{"another port", console + ":8443", []string{console}, ""},
		{"null", "null", []string{console}, ""},
		{"any", other, []string{"*"}, other},
		{"no origin", "", []string{"*"}, ""},
	} {
		t.Run(test.behaviour, func(t *testing.T) {
			s := serve(t, onSQLite(t), func(c *settings) { c.AllowedOrigins = test.allowed })
			asked := preflight(t, s, test.origin)
			answers := []apitest.Answer{
				asked, s.Get(t, "/institutions", "Origin: "+test.origin).Want(t, 200), s.As("").Get(t, "/positions", "Origin: "+test.origin).Want(t, 401),
				s.Get(t, "/nothing", "Origin: "+test.origin).Want(t, 404),
			}
			for _, answer := range answers {
				if got := answer.Header.Get("Access-Control-Allow-Origin"); got != test.want {
					t.Errorf("%d allows %q, want %q", answer.Status, got, test.want)
				}
				if varies := answer.Header.Get("Vary") == "Origin"; varies != (len(test.allowed) > 0) {
					t.Errorf("%d: Vary is %q", answer.Status, answer.Header.Get("Vary"))
				}
				if answer.Header.Get("Access-Control-Allow-Credentials") != "" {
					t.Error("credentials are allowed")
				}
				for _, exposed := range []string{"ETag", "Retry-After", "X-Request-Id", "Location", "Idempotent-Replayed", "Link", "Content-Disposition", "Allow", "WWW-Authenticate"} {
					if got := strings.Contains(answer.Header.Get("Access-Control-Expose-Headers"), exposed); got != (test.want != "") {
						t.Errorf("%d exposes %q", answer.Status, answer.Header.Get("Access-Control-Expose-Headers"))
					}
				}
				if shared := answer.Header.Get("Cross-Origin-Resource-Policy") == "cross-origin"; shared != (test.want != "") {
					t.Errorf("%d: Cross-Origin-Resource-Policy is %q", answer.Status, answer.Header.Get("Cross-Origin-Resource-Policy"))
				}
			}
			for _, name := range []string{"X-API-KEY", "Authorization", "Idempotency-Key", "If-Match", "Content-Type", "Traceparent", "Tracestate"} {
				if got := strings.Contains(asked.Header.Get("Access-Control-Allow-Headers"), name); got != (test.want != "") {
					t.Errorf("the headers %q are allowed", asked.Header.Get("Access-Control-Allow-Headers"))
				}
			}
			if methods := asked.Header.Get("Access-Control-Allow-Methods"); methods != map[bool]string{true: "DELETE, GET, HEAD, PATCH, POST, PUT"}[test.want != ""] {
				t.Errorf("the methods %q are allowed", methods)
			}
		})
	}
	t.Run("OPTIONS that is no preflight", func(t *testing.T) {
		s := serve(t, onSQLite(t), func(c *settings) { c.AllowedOrigins = []string{console} })
		s.Send(t, apitest.Request{Method: http.MethodOptions, Path: "/positions", Headers: []string{"Origin: " + console}}).Refused(t, 405, "method_not_allowed")
	})
}
