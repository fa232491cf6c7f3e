package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/tracing/otlp"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

type serveCommand struct {
	serverFlags `embed:""`
	Migrate     bool `help:"Migrate a PostgreSQL database before serving. SQLite is always migrated."`
	PrintConfig bool `help:"Print the configuration without its secrets, and exit."`
}

// Run serves until the context ends.
func (c *serveCommand) Run(ctx context.Context, out output) error {
	config, err := c.config(out.stderr)
	if err != nil {
		return err
	}
	if c.PrintConfig {
		return c.serverFlags.show(out.stdout)
	}
	if config.rootKey == "" && !strings.HasPrefix(config.databaseURL, "sqlite:") {
		return &usageError{"ROOT_API_KEY: is required with PostgreSQL; it takes at least 32 characters"}
	}
	s, err := start(ctx, config, c.Migrate)
	if err != nil {
		return err
	}
	return s.wait(ctx)
}

// service is a server that runs.
type service struct {
	config  serverConfig
	store   *store.Store
	engine  *engine.Engine
	log     *journallog.Log
	watch   *verify.Watch  // nil where nothing is verified
	traces  *otlp.Exporter // nil where nothing is traced
	server  *http.Server
	served  chan error
	url     string
	rootKey string
	// stopping is closed when the server is about to stop.
	stopping chan struct{}
}

// garbagePercent is how much garbage may pile up before it is collected, in percent of
// the live heap, unless the variable GOGC says otherwise. A server's live heap is small:
// with Go's default of 100, collecting some 20 MB took a tenth of the CPU.
const garbagePercent = 400

// start opens the database, starts the engine and listens. When one of these fails, nothing
// of the others is left.
func start(ctx context.Context, config serverConfig, migrate bool) (_ *service, err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}

	s := &service{config: config, served: make(chan error, 1), stopping: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release(ctx))
		}
	}()

	if s.store, err = openStore(ctx, config.databaseURL, config.databaseConnections); err != nil {
		return nil, err
	}
	if migrate || s.store.Exclusive() {
		if err := s.store.Migrate(ctx); err != nil {
			return nil, err
		}
	}
	// After the migration: a database that cannot be used gets no key.
	if s.rootKey, err = rootKey(config); err != nil {
		return nil, err
	}

	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	if err := s.startWork(ctx, registry); err != nil {
		return nil, err
	}

	handler, err := s.handler(registry)
	if err != nil {
		return nil, err
	}
	if err := s.listen(ctx, handler); err != nil {
		return nil, err
	}
	return s, nil
}

// startWork starts all that works on the database, and what is told of it.
func (s *service) startWork(ctx context.Context, metrics prometheus.Registerer) (err error) {
	c := s.config
	s.engine, err = engine.New(engine.Config{
		Store:          s.store,
		Logger:         c.logger,
		Now:            time.Now,
		Random:         rand.Reader,
		Metrics:        metrics,
		QueueSize:      c.queueSize,
		GroupSize:      c.groupSize,
		ExpiryInterval: c.expiryInterval,
	})
	if err != nil {
		return err
	}

	s.log = journallog.Start(journallog.Config{
		Store:    s.store,
		Logger:   c.logger,
		Now:      time.Now,
		Metrics:  metrics,
		Origin:   c.checkpointOrigin,
		Signers:  c.signers,
		Interval: c.checkpointInterval,
	})
	if c.verifyInterval > 0 {
		s.watch = verify.StartWatch(verify.WatchConfig{
			Store:    s.store,
			Logger:   c.logger,
			Now:      time.Now,
			Metrics:  metrics,
			Interval: c.verifyInterval,
		})
	}

	if c.traces == nil {
		return nil
	}
	traces := *c.traces
	traces.Logger, traces.Metrics = c.logger, metrics
	s.traces, err = otlp.Start(ctx, traces)
	return err
}

// handler answers requests by the engine.
func (s *service) handler(registry *prometheus.Registry) (http.Handler, error) {
	c := s.config
	config := httpapi.Config{
		Engine:          s.engine,
		Log:             s.log,
		Logger:          c.logger,
		Version:         version(),
		Metrics:         registry,
		Gatherer:        registry,
		RootKey:         s.rootKey,
		PreviousRootKey: c.previousRootKey,
		MetricsKey:      c.metricsKey,
		RootNetworks:    c.rootNetworks,
		TrustedProxies:  c.trustedProxies,
		AllowedOrigins:  c.allowedOrigins,
		PublicDocs:      c.publicDocs,
		RateLimit:       httpapi.RateLimit{Enabled: c.rateLimited, RPS: c.rps, Burst: c.burst},
		RequestTimeout:  c.requestTimeout,
		Stopping:        s.stopping,
	}

	// A nil pointer in the interface would not be nil.
	if s.traces != nil {
		config.Traces = s.traces
	}
	return httpapi.New(config)
}

// The bounds of a connection. A client that sends its headers or body more slowly
// is cut off.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeaderSize = 32 << 10
)

// listen serves in the background. Its end is told in s.served.
func (s *service) listen(ctx context.Context, handler http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", s.config.address, err)
	}

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
	s.config.logger.Info("serving", "url", s.url, "version", version(), "database", store.RedactURL(s.config.databaseURL))
	return nil
}

// localURL is how a client on this machine reaches an address that is listened on.
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

// wait serves until the context ends, and then stops.
func (s *service) wait(ctx context.Context) error {
	select {
	case err := <-s.served:
		return errors.Join(err, s.close(ctx))
	case <-ctx.Done():
		return errors.Join(s.drain(), s.close(ctx))
	}
}

// drain goes on serving for the shutdown delay, while /ready answers 503.
func (s *service) drain() error {
	close(s.stopping)
	if s.config.shutdownDelay == 0 {
		return nil
	}
	s.config.logger.Info("about to shut down", "delay", s.config.shutdownDelay)
	s.server.SetKeepAlivesEnabled(false)
	timer := time.NewTimer(s.config.shutdownDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-s.served:
		return err
	}
}

// close accepts no more, finishes what was accepted within the shutdown timeout,
// and closes the database.
func (s *service) close(ctx context.Context) error {
	s.config.logger.Info("shutting down", "timeout", s.config.shutdownTimeout)
	err := s.release(ctx)
	s.config.logger.Info("stopped")
	return err
}

// release ends what was started and closes what was opened, the last first. A service of
// which only a part was started is released, too.
func (s *service) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.shutdownTimeout)
	defer cancel()

	var err error
	if s.server != nil {
		err = s.server.Shutdown(ctx)
	}
	if s.engine != nil {
		err = errors.Join(err, s.engine.Close(ctx))
	}
	if err != nil {
		err = fmt.Errorf("not all was finished within %s: %w", s.config.shutdownTimeout, err)
	}
	if err != nil && s.server != nil {
		// Whoever still waits for an answer does not get one.
		err = errors.Join(err, s.server.Close())
	}

	// What follows the journals ends after what writes them, and what sends traces after all
	// that is traced.
	if s.watch != nil {
		s.watch.Close()
	}
	if s.log != nil {
		s.log.Close()
	}
	if s.traces != nil {
		s.traces.Close(context.WithoutCancel(ctx))
	}

	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}

// buildInfo is a metric whose label tells dashboards the version.
func buildInfo() prometheus.Collector {
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "escrowgrid_build_info", Help: "Always 1; its label is the version.",
		ConstLabels: prometheus.Labels{"version": version()},
	})
	info.Set(1)
	return info
}
