package store

import (
	"net"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// Either end of a connection notices within 15 seconds that the other has vanished.
func TestBothEndsOfAConnectionBoundTheSilence(t *testing.T) {
	s, err := Open(t.Context(), pgtest.Shared(t).NewDatabase(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
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
