package verify_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// A server that need not be trusted must not have its client work for ever on what it says to
// have.
func TestACountThatNoJournalHasIsRefused(t *testing.T) {
	t.Parallel()
	for last, taken := range map[int64]bool{-1: false, 0: false, 1: true, 1_000_000_000_000: true, 1_000_000_000_001: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `{"data":[{"sequence":%d,"kind":"POLICY_SET","at":"2027-01-01T00:00:00Z","body":"{}"}]}`, last)
		}))
		found, err := bundle.Server{Client: apiclient.New(server.URL)}.LastSequence(t.Context(), escrow.InstitutionID{15: 1})
		if (err == nil) != taken || taken && found != last || !taken && !strings.Contains(err.Error(), "as of no journal") {
			t.Errorf("a last entry %d is answered with %d, %v", last, found, err)
		}
		server.Close()
	}
}
