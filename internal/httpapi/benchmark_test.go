package httpapi_test

import (
	"encoding/json"
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
	var requests atomic.Int64
	call := func(path, body string, want int) (answer struct{ ID string }) {
		request := httptest.NewRequestWithContext(b.Context(), http.MethodPost, path, strings.NewReader(body))
		request.Header.Set("X-API-KEY", bank.Admin.Key)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", strconv.FormatInt(requests.Add(1), 10))
		recorder := httptest.NewRecorder()
		server.Handler.ServeHTTP(recorder, request)
		if err := json.Unmarshal(recorder.Body.Bytes(), &answer); err != nil || recorder.Code != want {
			b.Errorf("%s: %d, %v: %s", path, recorder.Code, err, recorder.Body)
		}
		return answer
	}
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
