package pgtest

import (
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
)

// Pooler is pgbouncer in front of a server.
type Pooler struct{ pooler *pgcluster.Pooler }

// Pooler starts pgbouncer in front of the server, in a mode of pgbouncer's, and ends it when the
// test ends.
func (s *Server) Pooler(tb testing.TB, mode string) *Pooler {
	tb.Helper()
	pooler, err := s.cluster.Pooler(mode)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("pgtest: end of the pooler's log:\n%s", pooler.LogTail())
		}
		if err := pooler.Close(); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return &Pooler{pooler}
}

// Through returns the URL of a database of the server, through the pooler.
func (p *Pooler) Through(tb testing.TB, databaseURL string) string {
	tb.Helper()
	through, err := p.pooler.Through(databaseURL)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	return through
}

// Restart kills the pooler, with all connections through it, and starts it again.
func (p *Pooler) Restart(tb testing.TB) {
	tb.Helper()
	if err := p.pooler.Restart(); err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
}
