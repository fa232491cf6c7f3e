package engine_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy stands between an engine and PostgreSQL and breaks a connection at the
// worst moment: around a COMMIT.
type proxy struct {
	t        *testing.T
	listener net.Listener
	// server is where it leads to, a string.
	server atomic.Value
	// next is what becomes of the next COMMIT; the one after it goes through.
	next atomic.Int32
	down atomic.Bool
	// silenced counts the times that the connections there were then went silent, asked those of
	// them that were asked something since.
	silenced, asked atomic.Int32

	mu    sync.Mutex
	conns []net.Conn
}

const (
	// forward lets a COMMIT through, and its answer.
	forward int32 = iota
	// loseCommit cuts the connection before the server has the COMMIT.
	loseCommit
	// loseAnswer cuts it when the server has committed and answered.
	loseAnswer
	// cutBehind hands the COMMIT to the server and leaves it alone with it.
	cutBehind
	// cutOff does that, and lets nothing through any more until it is restored.
	cutOff
	// freeze keeps the COMMIT and all that is to come, as of a client that is frozen: no
	// connection is closed.
	freeze
)

// newProxy returns a proxy and the URL that leads to the database through it.
func newProxy(t *testing.T, databaseURL string) (*proxy, string) {
	t.Helper()
	parsed, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // It ends with the test.
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: listener}
	p.server.Store(parsed.Host)
	var serving sync.WaitGroup
	serving.Go(func() { p.serve(&serving) })
	t.Cleanup(func() {
		_ = listener.Close()
		p.closeAllBut(nil)
		serving.Wait()
	})
	parsed.Host = listener.Addr().String()
	return p, parsed.String()
}

func (p *proxy) closeAllBut(kept net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.conns {
		if conn != kept {
			_ = conn.Close()
		}
	}
}

func (p *proxy) serve(serving *sync.WaitGroup) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.Dial("tcp", p.server.Load().(string)) //nolint:noctx // It ends with the test.
		if err != nil || p.down.Load() {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		link := &link{
			proxy: p, client: client, server: server, statements: make(map[string]string), born: p.silenced.Load(),
		}
		serving.Go(link.requests)
		serving.Go(link.answers)
	}
}

// link is one connection through the proxy.
type link struct {
	proxy          *proxy
	client, server net.Conn
	// statements are the texts of the prepared statements, by name.
	statements map[string]string
	// born is how often connections had gone silent before.
	born int32
	// fate is what becomes of the COMMIT that is under way.
	fate atomic.Int32
}

// leavesServer says that the server is to go on when the client is cut off.
func (l *link) leavesServer() bool { return l.fate.Load() >= cutBehind }

// isSilent says that what comes from either side is lost, and that neither is told.
func (l *link) isSilent() bool { return l.born < l.proxy.silenced.Load() }

func (l *link) close() {
	_ = l.client.Close()
	_ = l.server.Close()
}

// requests passes on what the client sends: a packet without a type that opens
// the connection, and then messages, of which a COMMIT is one that binds or runs
// the statement of that text.
func (l *link) requests() {
	opening, err := readMessage(l.client, false)
	// A broken network lets no request through to cancel what the server does.
	if err == nil && !bytes.Equal(opening[4:8], cancelRequest) {
		_, err = l.server.Write(opening)
	} else if err == nil {
		err = net.ErrClosed
	}
	for err == nil {
		var message []byte
		if message, err = readMessage(l.client, true); err != nil {
			break
		}
		if l.isSilent() {
			if message[0] != 'X' { // Terminate: nobody waits for an answer.
				l.proxy.asked.Add(1)
			}
			_, _ = io.Copy(io.Discard, l.client)
			break
		}
		if l.isCommit(message) {
			l.fate.Store(l.proxy.next.Swap(forward))
		}
		if l.fate.Load() == loseCommit {
			break
		}
		if l.fate.Load() == freeze {
			_, _ = io.Copy(io.Discard, l.client)
			return // The server's side stays open.
		}
		_, err = l.server.Write(message)
		// A message of the type S ends what belongs to the COMMIT.
		if l.leavesServer() && message[0] == 'S' {
			_ = l.client.Close()
			if l.fate.Load() == cutOff {
				l.proxy.down.Store(true)
				l.proxy.closeAllBut(l.server)
			}
			return // The server's side stays open.
		}
	}
	l.close()
}

// cancelRequest is the code, in place of the protocol's version, that asks to
// cancel what another connection does.
var cancelRequest = []byte{4, 210, 22, 46}

// isCommit also learns the texts of statements as they are prepared.
func (l *link) isCommit(message []byte) bool {
	fields := bytes.Split(message[5:], []byte{0})
	switch message[0] {
	case 'P': // Parse: the statement's name and its text
		l.statements[string(fields[0])] = string(fields[1])
	case 'B': // Bind: the portal's name and the statement's
		return l.statements[string(fields[1])] == "COMMIT"
	}
	return false
}

// answers passes on what the server sends, but for the answer to a COMMIT that is
// to be lost.
func (l *link) answers() {
	for {
		message, err := readMessage(l.server, true)
		if err != nil {
			l.close()
			return
		}
		if l.fate.Load() == loseAnswer && message[0] == 'C' && bytes.HasPrefix(message[5:], []byte("COMMIT\x00")) {
			l.close()
			return
		}
		// The answer can be there before the client is cut off.
		if l.leavesServer() {
			continue
		}
		if _, err := l.client.Write(message); err != nil && !l.leavesServer() {
			l.close()
			return
		}
	}
}

// readMessage reads one message of PostgreSQL's protocol: its type, its length
// and what is in it.
func readMessage(from io.Reader, typed bool) ([]byte, error) {
	header := make([]byte, 4)
	if typed {
		header = make([]byte, 5)
	}
	if _, err := io.ReadFull(from, header); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header[len(header)-4:])
	if length < 4 {
		return nil, errors.New("a message is shorter than its length")
	}
	body := make([]byte, length-4)
	_, err := io.ReadFull(from, body)
	return slices.Concat(header, body), err
}
