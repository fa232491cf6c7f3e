package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
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
func (s *service) listen(ctx context.Context, api *httpapi.API) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.address)
	if err != nil {
		return listenError(s.config.address, err)
	}

	// WriteTimeout counts from the end of the headers: it covers reading the body and answering.
	s.url = localURL(listener.Addr().String())
	s.listener = &closedOnce{Listener: api.Listener(listener)}
	s.server = &http.Server{
		Handler:           s.announceTheEnd(api),
		ConnState:         s.connections.follow,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      s.config.requestTimeout + bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderSize,
		// It would answer without a key, and without our headers.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(s.config.logger.Handler(), slog.LevelWarn),
	}
	go func() { s.served <- s.server.Serve(s.listener) }()

	database := store.RedactURL(s.config.databaseURL)
	s.config.logger.Info("serving",
		"url", s.url, "address", listener.Addr().String(), "version", version(), "database", database)
	return nil
}

// listenError says why the server cannot listen, and what to do where another process does.
func listenError(address string, err error) error {
	// What the system says, without the address once more.
	if operation, ok := errors.AsType[*net.OpError](err); ok {
		err = operation.Err
	}
	remedy := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		remedy = ": stop the process that has the port, or choose another PORT"
	case errors.Is(err, syscall.EACCES):
		remedy = ": choose a PORT above 1023, or let the process use those below"
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.As(err, new(*net.DNSError)):
		remedy = ": HOST takes an address or name of this machine, such as 127.0.0.1, or 0.0.0.0 for all its addresses"
	}
	return fmt.Errorf("listen on %s: %w%s", address, err, remedy)
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
