package store

import (
	"net"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// Either end of a connection notices within 15 seconds that the other has vanished.
func TestBothEndsOfAConnectionBoundTheSilence(t *testing.T) {
	direct := pgtest.Shared(t).NewDatabase(t)
	s := openQuietly(t, direct)
	checkSilence(t, s)
	t.Run("behind a pooler", func(t *testing.T) {
		checkSilence(t, openQuietly(t, pgtest.Shared(t).Pooler(t, "transaction").Through(t, direct)))
	})
	conn, err := s.database.(*postgres).pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	raw, err := conn.Conn().PgConn().Conn().(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, option := range map[string]struct{ number, want int }{
		"TCP_KEEPIDLE":     {syscall.TCP_KEEPIDLE, 5},
		"TCP_KEEPINTVL":    {syscall.TCP_KEEPINTVL, 5},
		"TCP_KEEPCNT":      {syscall.TCP_KEEPCNT, 2},
		"TCP_USER_TIMEOUT": {tcpUserTimeout, 15000},
	} {
		var got int
		var optionErr error
		err := raw.Control(func(descriptor uintptr) {
			got, optionErr = syscall.GetsockoptInt(int(descriptor), syscall.IPPROTO_TCP, option.number)
		})
		if err != nil || optionErr != nil || got != option.want {
			t.Errorf("the client's %s is %d, %v, %v; want %d", name, got, err, optionErr, option.want)
		}
	}
}

func openQuietly(t *testing.T, databaseURL string) *Store {
	t.Helper()
	s, err := Open(t.Context(), databaseURL, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// checkSilence checks the server's end, in several sessions where transactions have others.
func checkSilence(t *testing.T, s *Store) {
	t.Helper()
	for setting, want := range map[string]string{
		"tcp_keepalives_idle":                 "5",
		"tcp_keepalives_interval":             "5",
		"tcp_keepalives_count":                "2",
		"tcp_user_timeout":                    "15000",
		"idle_in_transaction_session_timeout": "15s",
		"client_connection_check_interval":    "5s",
	} {
		got, _, err := one(t.Context(), s.database, "SELECT COALESCE(current_setting($1, true), 'none')", []any{setting}, scanValue[string])
		if got == "none" && setting == "client_connection_check_interval" {
			continue // PostgreSQL 13.
		}
		if err != nil || got != want {
			t.Errorf("the server's %s is %q, %v; want %q", setting, got, err, want)
		}
	}
}
