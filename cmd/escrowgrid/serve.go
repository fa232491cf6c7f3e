package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/escrowgrid/escrowgrid/internal/egress"
	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/identity"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/tracing/otlp"
	"github.com/escrowgrid/escrowgrid/internal/vault"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

// serveCommand runs the server.
type serveCommand struct {
	serverFlags `embed:""`
	Migrate     bool `help:"Migrate a PostgreSQL database before serving. SQLite is always migrated."`
	PrintConfig bool `help:"Print the configuration without its secrets, and exit."`
}

// Run serves until the context ends, and then stops within SHUTDOWN_DELAY and SHUTDOWN_TIMEOUT.
func (c *serveCommand) Run(ctx context.Context, out output, wrong misspellings) error {
	config, err := c.config(out.stderr)
	// One of them may be why the rest is wrong.
	wrong.log(config.logger)
	if err != nil {
		return err
	}

	if c.PrintConfig {
		return c.serverFlags.show(out.stdout)
	}
	if err := checkPrototypeVariables(config.databaseURL, config.logger); err != nil {
		return err
	}
	// A server can make a key only where it can keep it, which is beside an SQLite file.
	isSQLite := strings.HasPrefix(config.databaseURL, "sqlite:")
	switch {
	case config.rootKey != "" || isSQLite:
	case !config.people.rootDisabled:
		return &usageError{"ROOT_API_KEY: is required with PostgreSQL; it takes at least 32 characters"}
	case len(config.keySecrets) == 0:
		return &usageError{"KEY_DERIVATION_SECRET: is required with PostgreSQL where there is no ROOT_API_KEY"}
	}

	s, err := start(ctx, config, c.Migrate)
	if err != nil {
		return err
	}
	return s.wait(ctx)
}

// service is a server that runs. start makes it, and wait ends it.
type service struct {
	config serverConfig
	// These are nil until start has set them, in this order.
	store           *store.Store
	engine          *engine.Engine
	transparencyLog *journallog.Log
	watch           *verify.Watch  // nil when VERIFY_INTERVAL is 0s
	traces          *otlp.Exporter // nil when nothing is traced
	egress          *egress.Client
	people          *identity.Verifier
	handler         *httpapi.API
	server          *http.Server
	listener        net.Listener
	connections     connections
	// served gets the error with which the server ends.
	served chan error
	// url is where a client on this machine reaches the server.
	url string
	// rootKey is the configured key, or the one in the file beside the database; keyring the same of
	// the encryption keys, nil where there is none.
	rootKey string
	keyring *vault.Keyring
	// stopping is closed when the server is about to stop: from then on /ready answers 503.
	stopping chan struct{}
}

// garbagePercent is how much garbage may pile up before it is collected, in percent of
// the live heap, unless the variable GOGC says otherwise. A server's live heap is small:
// with Go's default of 100, collecting some 20 MB took a tenth of the CPU.
const garbagePercent = 400

// start opens the database, starts the engine and listens. With migrate it migrates a PostgreSQL
// database first, and it always migrates an SQLite database. When one of these steps fails, it
// releases what the others have opened and started.
func start(ctx context.Context, config serverConfig, migrate bool) (_ *service, err error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}

	// The channel has a buffer, because the server may end when nobody receives from it.
	s := &service{config: config, served: make(chan error, 1), stopping: make(chan struct{})}
	s.connections.none = make(chan struct{}, 1)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release(ctx))
		}
	}()

	if s.store, err = openStore(ctx, config.databaseURL, config.databaseConnections); err != nil {
		return nil, err
	}
	// No other process can use the SQLite file of a server, so the server itself migrates it.
	if migrate || s.store.Exclusive() {
		if err := s.store.Migrate(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.refuseForeignSchema(ctx); err != nil {
		return nil, err
	}
	// Where the database cannot be asked yet, /ready says so later.
	if err := s.store.CheckCopy(ctx); errors.Is(err, store.ErrUnfinishedCopy) {
		return nil, err
	}
	// The key comes after the migration: a database that cannot be used gets none.
	if s.rootKey, err = rootKey(config); err != nil {
		return nil, err
	}
	if s.keyring, err = keyringOf(ctx, config, s.store); err != nil {
		return nil, err
	}

	// Libraries register metrics in the default registry by themselves; this one has only ours.
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(),
	)
	if err := s.startWork(ctx, registry); err != nil {
		return nil, err
	}

	if s.handler, err = s.api(registry); err != nil {
		return nil, err
	}
	if err := s.listen(ctx, s.handler); err != nil {
		return nil, err
	}
	return s, nil
}

// startWork starts what works on the database: the engine, the transparency log and, as far as the
// configuration asks for them, verification and the export of traces.
func (s *service) startWork(ctx context.Context, metrics prometheus.Registerer) (err error) {
	c := s.config
	s.engine, err = engine.New(engine.Config{
		Store:          s.store,
		Logger:         c.logger,
		Now:            time.Now,
		Random:         rand.Reader,
		Metrics:        metrics,
		Operators:      httpapi.EngineOperators(c.people.activeRootKey(s.rootKey), c.people.operators),
		Keyring:        s.keyring,
		QueueSize:      c.queueSize,
		GroupSize:      c.groupSize,
		ExpiryInterval: c.expiryInterval,
	})
	if err != nil {
		return err
	}
	if err := s.checkSecrets(ctx); err != nil {
		return err
	}
	s.reachOut(metrics)

	signed, err := journallog.OpenSigned(c.signedPath)
	if err != nil {
		return fmt.Errorf("read what was signed: %w", err)
	}
	s.transparencyLog = journallog.Start(journallog.Config{
		Store:    s.store,
		Logger:   c.logger,
		Now:      time.Now,
		Metrics:  metrics,
		Origin:   c.checkpointOrigin,
		Signers:  c.signers,
		Signed:   signed,
		Interval: c.checkpointInterval,
	})
	if c.verifyInterval > 0 {
		s.watch = verify.StartWatch(verify.WatchConfig{
			Store:    s.store,
			Logger:   c.logger,
			Now:      time.Now,
			Metrics:  metrics,
			Interval: c.verifyInterval,

			AllowForeignSchema: c.allowForeignSchema,
			CheckpointInterval: c.checkpointInterval,
		})
	}

	// The exporter comes last, because nothing else needs it to start.
	if c.traces == nil {
		return nil
	}
	traces := *c.traces
	traces.Logger, traces.Metrics = c.logger, metrics
	s.traces, err = otlp.Start(ctx, traces)
	return err
}

// api returns the API of the engine.
func (s *service) api(registry *prometheus.Registry) (*httpapi.API, error) {
	c := s.config
	config := httpapi.Config{
		Engine:          s.engine,
		TransparencyLog: s.transparencyLog,
		Logger:          c.logger,
		Version:         version(),
		Metrics:         registry,
		Gatherer:        registry,
		RootKey:         s.rootKey,
		PreviousRootKey: c.previousRootKey,
		RootKeyDisabled: c.people.rootDisabled,
		KeySecrets:      c.keySecrets,
		MetricsKey:      c.metricsKey,
		RootNetworks:    c.rootNetworks,
		Proxies:         c.proxies,
		AllowedOrigins:  c.allowedOrigins,
		PublicDocs:      c.publicDocs,
		PublicURL:       c.people.publicURL,
		Identity:        s.people,
		Operators:       c.people.operators,
		CheckURL:        s.egress.CheckURL,
		Keyring:         s.keyring,
		RateLimit: httpapi.RateLimit{
			Enabled:          c.rateLimited,
			RPS:              c.rps,
			Burst:            c.burst,
			InstitutionRPS:   c.institutionRPS,
			InstitutionBurst: c.institutionBurst,
		},
		AnswerMemory:    limitMemory(c.logger),
		RequestTimeout:  c.requestTimeout,
		RetentionPeriod: c.retentionPeriod,
		Stopping:        s.stopping,
	}

	// A nil *otlp.Exporter in the interface would not be nil.
	if s.traces != nil {
		config.Traces = s.traces
	}
	return httpapi.New(config)
}

// wait serves until the context ends, and then stops. It returns an error when the server ends by
// itself, when its database has moved, and when it cannot finish all requests in time.
func (s *service) wait(ctx context.Context) error {
	select {
	case err := <-s.served:
		return errors.Join(err, s.close(ctx))
	case <-s.store.Moved():
		// Another server may have the database by now, or nobody will ever find what this one writes.
		close(s.stopping)
		return errors.Join(s.store.CheckWritable(ctx), s.close(ctx))
	case <-ctx.Done():
		close(s.stopping)
		return errors.Join(s.drain(), s.close(ctx))
	}
}

// close accepts no more requests, finishes the accepted ones within the shutdown timeout, and
// closes the database.
func (s *service) close(ctx context.Context) error {
	s.config.logger.Info("shutting down", "timeout", s.config.shutdownTimeout)
	err := s.release(ctx)
	s.config.logger.Info("stopped")
	return err
}

// release ends what was started and closes what was opened, the last first. It also releases a
// service that was started only in part.
func (s *service) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.shutdownTimeout)
	defer cancel()

	// The server ends before the engine, which carries out the requests that the server has
	// accepted.
	var err error
	if s.server != nil {
		s.takeLeave(ctx)
		err = s.server.Shutdown(ctx)
	}
	if s.engine != nil {
		err = errors.Join(err, s.engine.Close(ctx))
	}
	if s.people != nil {
		s.people.Close()
		s.egress.CloseIdleConnections()
	}
	if err != nil {
		err = fmt.Errorf("not all was finished within %s: %w", s.config.shutdownTimeout, err)
	}
	if err != nil && s.server != nil {
		// Clients that still wait get no answer.
		err = errors.Join(err, s.server.Close())
	}

	// What follows the journals ends after the engine, which writes them. The exporter of traces
	// ends after everything that is traced.
	if s.watch != nil {
		s.watch.Close()
	}
	if s.transparencyLog != nil {
		s.transparencyLog.Close()
	}
	if s.traces != nil {
		s.traces.Close(context.WithoutCancel(ctx))
	}

	if s.store != nil {
		err = errors.Join(err, s.store.Close())
	}
	return err
}
