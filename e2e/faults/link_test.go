package faults

import (
	"io"
	"net"
	"sync"
	"testing"
)

// link is the network between two programs. It can be cut: what is sent then arrives never,
// and no connection ends, as where a cable is pulled.
type link struct {
	address, to string
	listener    net.Listener

	mu    sync.Mutex
	whole chan struct{} // closed while the link is whole
	conns map[net.Conn]bool
	ended bool
}

// newLink makes a link to an address, which ends with the test.
func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{
		address: listener.Addr().String(), to: to, listener: listener,
		whole: make(chan struct{}), conns: make(map[net.Conn]bool),
	}
	close(l.whole)

	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { l.carry(conn) })
		}
	})
	t.Cleanup(func() { l.end(); serving.Wait() })
	return l
}

// carry carries a connection, once the link is whole.
func (l *link) carry(from net.Conn) {
	defer from.Close()
	if !l.keep(from) {
		return
	}
	defer l.drop(from)
	<-l.state()
	to, err := new(net.Dialer).Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer to.Close()
	if !l.keep(to) {
		return
	}
	defer l.drop(to)

	var copying sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		copying.Go(func() {
			l.pass(way[0], way[1])
			_ = from.Close()
			_ = to.Close()
		})
	}
	copying.Wait()
}

// pass passes on what comes until the connection ends. What comes while the link is cut is
// lost, and so the connection ends with the cut.
func (l *link) pass(from io.Reader, to io.Writer) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		whole := l.state()
		select {
		case <-whole:
		default:
			<-whole
			return
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (l *link) state() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.whole
}

func (l *link) keep(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = true
	return !l.ended
}

func (l *link) drop(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}

// cut cuts the link until mend.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole = make(chan struct{})
}

// mend makes the link whole again; the connections of before are no more.
func (l *link) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.whole:
		return
	default:
	}
	close(l.whole)
	for conn := range l.conns {
		_ = conn.Close()
	}
}

func (l *link) end() {
	_ = l.listener.Close()
	l.mend()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	for conn := range l.conns {
		_ = conn.Close()
	}
}
