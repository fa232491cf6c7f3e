package httpapi_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// BenchmarkCreateAndFund makes positions and funds them, 50 clients at a time, from
// the handler to the database: what a pair costs without sockets and the parsing of
// HTTP.
func BenchmarkCreateAndFund(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkCreateAndFund(b, onSQLite(b)) })
	b.Run("postgres", func(b *testing.B) { benchmarkCreateAndFund(b, pgtest.Shared(b).NewDatabase(b)) })
}

func benchmarkCreateAndFund(b *testing.B, databaseURL string) {
	var server *http.Server
	bank := serve(b, databaseURL, func(s *settings) {
		s.Logger = slog.New(slog.DiscardHandler)
		server = s.server
	}).bank(b)
	call := poster(b, server, bank.Admin.Key)
	creation, funding := bank.claim().String(), step("FUNDED").String()
	b.SetParallelism(25)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			position := call("/positions", creation, http.StatusCreated)
			call("/positions/"+position.ID+"/transition", funding, http.StatusOK)
		}
	})
}

// poster returns a function that posts to a server, past its sockets, as the holder of a key.
func poster(b *testing.B, server *http.Server, key string) func(path, body string, want int) struct{ ID string } {
	b.Helper()
	var requests atomic.Int64
	return func(path, body string, want int) (answer struct{ ID string }) {
		request := httptest.NewRequestWithContext(b.Context(), http.MethodPost, path, strings.NewReader(body))
		request.Header.Set("X-API-KEY", key)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", strconv.FormatInt(requests.Add(1), 10))
		recorder := httptest.NewRecorder()
		server.Handler.ServeHTTP(recorder, request)
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || recorder.Code != want {
			b.Errorf("%s: %d, %v: %s", path, recorder.Code, err, recorder.Body)
		}
		return answer
	}
}

// BenchmarkStep refuses a release of a position that has few events or as many as it can
// have: a step that is refused costs what one that is accepted does but for the writing, and
// leaves the position as it was. What the two cost must not differ.
func BenchmarkStep(b *testing.B) {
	for _, events := range []int{2, 999} {
		b.Run(fmt.Sprintf("events=%d/sqlite", events), func(b *testing.B) { benchmarkStep(b, onSQLite(b), events) })
		b.Run(fmt.Sprintf("events=%d/postgres", events), func(b *testing.B) {
			benchmarkStep(b, pgtest.Shared(b).NewDatabase(b), events)
		})
	}
}

func benchmarkStep(b *testing.B, databaseURL string, events int) {
	var server *http.Server
	bank := serve(b, databaseURL, func(s *settings) {
		s.Logger = slog.New(slog.DiscardHandler)
		s.RateLimit.Enabled = false
		server = s.server
	}).bank(b)
	call := poster(b, server, bank.Admin.Key)
	path := "/positions/" + call("/positions", bank.claim().String(), http.StatusCreated).ID + "/transition"
	call(path, step("FUNDED").String(), http.StatusOK)

	release := step("PARTIALLY_RELEASED").with("amount", "0.01").with("metadata", fields{"note": strings.Repeat("x", 900)})
	for range events - 2 {
		call(path, release.String(), http.StatusOK)
	}

	tooMuch := release.with("amount", "1000.00").String()
	b.ReportAllocs()
	for b.Loop() {
		call(path, tooMuch, http.StatusUnprocessableEntity)
	}
}

// BenchmarkCredentials reads a position with each thing that one can come with: what it costs to find out who
// that is.
func BenchmarkCredentials(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkCredentials(b, onSQLite(b)) })
	b.Run("postgres", func(b *testing.B) { benchmarkCredentials(b, pgtest.Shared(b).NewDatabase(b)) })
}

func benchmarkCredentials(b *testing.B, databaseURL string) {
	var server *http.Server
	s := serve(b, databaseURL, func(s *settings) {
		s.Logger = slog.New(slog.DiscardHandler)
		s.RateLimit.Enabled = false
		server = s.server
	})
	bank, from := s.bank(b), s.issuer(b)
	from.setFor(b, bank, fields{"staff": "operator"})
	token := from.token(b, staff, nil)
	cookie := s.cookie(b, s.As("").Post(b, "/sessions", "", token).Want(b, http.StatusCreated))
	path := "/positions/" + poster(b, server, bank.Admin.Key)("/positions", bank.claim().String(), http.StatusCreated).ID

	for _, way := range []struct{ name, header string }{
		{"key", "X-API-KEY: " + bank.Admin.Key}, {"token", token}, {"session", cookie},
	} {
		name, value, _ := strings.Cut(way.header, ": ")
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					request := httptest.NewRequestWithContext(b.Context(), http.MethodGet, path, nil)
					request.Host = "localhost" // It decides on the name of the cookie.
					request.Header.Set(name, value)
					recorder := httptest.NewRecorder()
					server.Handler.ServeHTTP(recorder, request)
					if recorder.Code != http.StatusOK {
						b.Errorf("%d: %s", recorder.Code, recorder.Body)
					}
				}
			})
		})
	}
}
