package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/store"
)

// The bounds of a connection. The server cuts off a client that sends its headers or body more
// slowly: otherwise a few clients that send a byte per second could hold all connections.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	// idleTimeout is longer than the minute after which load balancers commonly close a connection:
	// when the server closes first, a request that is on its way gets no answer.
	idleTimeout = 2 * time.Minute
	// maxHeaderSize is in bytes. Keys, trace contexts and what proxies add need a tenth of it.
	maxHeaderSize = 32 << 10
)

// listen serves in the background. When the server ends, s.served gets its error.
func (s *service) listen(ctx context.Context, handler http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.config.address, err)
	}

	// WriteTimeout counts from the end of the headers: it covers reading the body and answering.
	s.url = localURL(listener.Addr().String())
	s.server = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      s.config.requestTimeout + bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderSize,
		ErrorLog:          slog.NewLogLogger(s.config.logger.Handler(), slog.LevelWarn),
	}
	go func() { s.served <- s.server.Serve(listener) }()

	database := store.RedactURL(s.config.databaseURL)
	s.config.logger.Info("serving", "url", s.url, "version", version(), "database", database)
	return nil
}

// localURL returns the URL at which a client on this machine reaches a server that listens on an
// address. A server can listen on 0.0.0.0 and ::, but no client can call them.
func localURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}

	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
