package main

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// leaveTime is how long a server that stops keeps the connections that nobody uses. A client that
// sends while the server closes its connection has its request broken, and cannot know what became
// of it. One that uses its connections more often than that is told with an answer.
const leaveTime = time.Second

// closedOnce is a listener that can be closed again. This server closes it before http.Server does,
// which takes a second close for a failure to stop.
type closedOnce struct {
	net.Listener
	once sync.Once
	err  error
}

// Close implements net.Listener.
func (l *closedOnce) Close() error {
	l.once.Do(func() { l.err = l.Listener.Close() })
	return l.err
}

// connections counts those that are open.
type connections struct {
	open atomic.Int64
	// none gets a value when the last one has closed.
	none chan struct{}
}

// follow is a hook of http.Server.
func (c *connections) follow(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.open.Add(1)
	case http.StateActive, http.StateIdle:
	case http.StateClosed, http.StateHijacked:
		if c.open.Add(-1) == 0 {
			select {
			case c.none <- struct{}{}:
			default:
			}
		}
	}
}

// announceTheEnd has each answer of a server that is about to stop close its connection, so that
// clients, and load balancers, send the next request elsewhere. To disable keep-alives in the
// http.Server would close the connections that are idle at once, under their clients' hands.
func (s *service) announceTheEnd(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-s.stopping:
			w.Header().Set("Connection", "close")
		default:
		}
		next.ServeHTTP(w, r)
	})
}

// takeLeave takes no new connections, and waits until those that are open have been used once
// more, for leaveTime at most.
func (s *service) takeLeave(ctx context.Context) {
	// Serve ends with an error, which says nothing else.
	_ = s.listener.Close()
	ctx, cancel := context.WithTimeout(ctx, s.config.leaveTime)
	defer cancel()

	for s.connections.open.Load() > 0 {
		select {
		case <-s.connections.none:
		case <-ctx.Done():
			return
		}
	}
}

// drain goes on serving for the shutdown delay, while /ready answers 503: load balancers need a
// while to notice, and the server still answers what they send until then. Its error is that of a
// server that ends meanwhile.
func (s *service) drain() error {
	if s.config.shutdownDelay == 0 {
		return nil
	}
	s.config.logger.Info("about to shut down", "delay", s.config.shutdownDelay)

	timer := time.NewTimer(s.config.shutdownDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-s.served:
		return err
	}
}
