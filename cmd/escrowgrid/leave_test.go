package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// keepAlive is a connection that a client uses again.
type keepAlive struct {
	net.Conn
	answers *bufio.Reader
}

func dialKeepAlive(t *testing.T, address string) *keepAlive {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &keepAlive{conn, bufio.NewReader(conn)}
}

// ask sends a request, which must be answered, and reports whether the answer closes the connection.
func (k *keepAlive) ask(t *testing.T) (closes bool) {
	t.Helper()
	if _, err := k.Write([]byte("GET /health HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(k.answers, nil)
	if err != nil {
		t.Fatalf("the request is broken: %v", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("the answer is %s", answer.Status)
	}
	return answer.Close
}

// A connection that a client keeps is not closed under its hands: its next request is answered,
// and told that it was the last. Once all have been told, the server stops.
func TestAServerThatStopsAnswersOnConnectionsThatAreKept(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	s, err := start(ctx, serverConfig{
		databaseURL:        "sqlite:" + filepath.Join(t.TempDir(), "e.db"),
		logger:             slog.New(slog.DiscardHandler),
		address:            "127.0.0.1:0",
		rootKey:            testRootKey,
		requestTimeout:     time.Hour,
		stderr:             io.Discard,
		shutdownTimeout:    time.Hour,
		leaveTime:          time.Hour,
		queueSize:          1,
		groupSize:          1,
		checkpointOrigin:   "escrowgrid",
		checkpointInterval: time.Hour,
		expiryInterval:     time.Hour,
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.wait(ctx) }()
	address := s.listener.Addr().String()
	kept := []*keepAlive{dialKeepAlive(t, address), dialKeepAlive(t, address)}
	for _, k := range kept {
		if k.ask(t) {
			t.Error("a connection is closed before the server stops")
		}
	}

	stop()
	for {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	for _, k := range kept {
		if !k.ask(t) {
			t.Error("the client is not told that the connection closes")
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestConnectionsAreKeptWhileAServerWaitsToStop(t *testing.T) {
	p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "SHUTDOWN_DELAY=10m"})
	k := dialKeepAlive(t, p.URL[len("http://"):])
	k.ask(t)
	p.signal(t, syscall.SIGTERM)
	p.eventually(t, "the server is not ready", func() bool { return p.try(t, "/ready").Text("code") == "shutting_down" })
	if !k.ask(t) {
		t.Error("the client is not told that the connection closes")
	}
}
