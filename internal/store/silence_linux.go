package store

import (
	"errors"
	"strings"
	"syscall"
)

// tcpUserTimeout is TCP_USER_TIMEOUT of linux/tcp.h, in milliseconds.
const tcpUserTimeout = 0x12

// boundSilence has a connection break where what was sent on it is not acknowledged in
// time; keepalives are not sent while anything is.
func boundSilence(network, _ string, conn syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var optionErr error
	err := conn.Control(func(descriptor uintptr) {
		optionErr = syscall.SetsockoptInt(
			int(descriptor), syscall.IPPROTO_TCP, tcpUserTimeout, int(silenceLimit.Milliseconds()))
	})
	return errors.Join(err, optionErr)
}
