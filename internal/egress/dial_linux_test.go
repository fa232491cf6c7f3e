package egress_test

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/egress"
)

// listenDeaf makes a port of 127.0.0.2 silent: who connects is neither accepted nor refused. The system
// ignores connections to a listener whose queue is full.
func listenDeaf(t *testing.T, portText string) {
	t.Helper()
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(socket) })
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 2}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(socket, 0); err != nil {
		t.Fatal(err)
	}

	// To a queue that is not full, a connection takes no time.
	dialer := net.Dialer{Timeout: 10 * short}
	for range 10 {
		waiting, err := dialer.DialContext(t.Context(), "tcp", net.JoinHostPort("127.0.0.2", portText))
		if isTimeout(err) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { waiting.Close() })
	}
	t.Fatal("the queue does not fill")
}

// An address that is silent takes its part of the time, and leaves the others theirs.
func TestASilentAddressLeavesTimeForTheNext(t *testing.T) {
	p := newPlace(t, here)
	listenDeaf(t, p.port)
	config := p.config()
	config.AllowedNetworks = networks("127.0.0.0/8")
	config.Bounds = egress.Bounds{Connect: 4 * time.Second, Exchange: long}
	config.Resolver = newNameServer(t, func(int) []netip.Addr { return addresses("127.0.0.2", "127.0.0.1") }).resolver()

	if _, body, err := newSender(t, config).get(t, "https://silent.example.com:"+p.port); err != nil || body != "here" {
		t.Errorf("it is answered %q, %v", body, err)
	}
}
