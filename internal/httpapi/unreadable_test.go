package httpapi_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// What net/http refuses before any handler is a refusal like any other: a problem document with
// our headers, counted and logged.
func TestWhatIsNoRequest(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	const get = "GET /health HTTP/1.1\r\n"
	for _, test := range []struct {
		behaviour, request, code string
		status                   int
	}{
		{"no HTTP at all", "hello\r\n\r\n", "malformed_request", 400},
		{"no host", get + "\r\n", "malformed_request", 400},
		{"two hosts", get + "Host: x\r\nHost: y\r\n\r\n", "malformed_request", 400},
		{"a header that is none", get + "Host: x\r\nno header\r\n\r\n", "malformed_request", 400},
		{"two lengths", get + "Host: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "malformed_request", 400},
		{"an expectation", get + "Host: x\r\nExpect: a miracle\r\n\r\n", "expectation_failed", 417},
		{"too many headers", get + "Host: x\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n", "headers_too_large", 431},
		{"another transfer encoding", get + "Host: x\r\nTransfer-Encoding: gzip\r\n\r\n", "unsupported_transfer_encoding", 501},
		{"another version", "GET / HTTP/3.0\r\nHost: x\r\n\r\n", "unsupported_http_version", 505},
	} {
		t.Run(test.behaviour, func(t *testing.T) {
			before := s.errorsCounted(t, test.code)
			response := s.exchange(t, test.request, test.status)
			var document struct {
				Status                  int
				Code, Detail, RequestID string
			}
			if err := json.NewDecoder(response.Body).Decode(&document); err != nil {
				t.Fatal(err)
			}
			if document.Code != test.code || document.Status != test.status || document.Detail == "" || document.RequestID == "" {
				t.Errorf("the document is %+v", document)
			}
			if response.Header.Get("Content-Type") != "application/problem+json" || !response.Close ||
				response.Header.Get("X-Content-Type-Options") != "nosniff" || response.Header.Get("X-Request-Id") != document.RequestID {
				t.Errorf("the headers are %v", response.Header)
			}
			if logged := s.logged(t, document.RequestID); logged["code"] != test.code || logged["client"] != "127.0.0.1" {
				t.Errorf("it is logged as %v", logged)
			}
			if after := s.errorsCounted(t, test.code); after != before+1 {
				t.Errorf("%d were counted, then %d", before, after)
			}
		})
	}
	t.Run("OPTIONS of everything is asked for a key like all else", func(t *testing.T) {
		s.exchange(t, "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 401)
		s.exchange(t, "OPTIONS * HTTP/1.1\r\nHost: x\r\nX-API-KEY: "+rootKey+"\r\n\r\n", 404)
	})
}

// errorsCounted returns how many answers with an error's code the metrics count.
func (s *service) errorsCounted(t *testing.T, code string) (count int) {
	t.Helper()
	sample := `escrowgrid_http_errors_total{code="` + code + `"} `
	for line := range strings.Lines(string(s.Get(t, "/metrics").Want(t, 200).Body)) {
		if value, found := strings.CutPrefix(line, sample); found {
			if _, err := fmt.Sscan(value, &count); err != nil {
				t.Fatal(err)
			}
			return count
		}
	}
	t.Fatalf("no metric counts %s", code)
	return 0
}
