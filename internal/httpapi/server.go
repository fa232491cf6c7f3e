// Package httpapi answers the platform's HTTP contract. A handler decodes, calls
// one use case of the engine and encodes; it returns its error, and one function
// writes it. All routes stand in routes.go.
package httpapi

import (
	"crypto/sha256"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/tracing"
)

// MaxBodySize bounds a request's body, in bytes.
const MaxBodySize = 1 << 20

// Config is what the API needs.
type Config struct {
	Engine *engine.Engine
	// Log is the transparency log.
	Log     *journallog.Log
	Logger  *slog.Logger
	Version string
	// Metrics registers the API's metrics; Gatherer is what /metrics shows.
	Metrics  prometheus.Registerer
	Gatherer prometheus.Gatherer
	// Traces takes the spans of requests and of all that is done for them; nil traces
	// nothing.
	Traces trace.TracerProvider

	// RootKey acts for the operator, and so does PreviousRootKey, which is being replaced;
	// MetricsKey reads /metrics alone. An empty key is no key.
	RootKey, PreviousRootKey, MetricsKey string
	// RootNetworks are where the root key may come from; none means anywhere.
	RootNetworks []netip.Prefix
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// AllowedOrigins are the web origins that browsers may call from; "*" is any.
	AllowedOrigins []string
	PublicDocs     bool
	RateLimit      RateLimit
	// RequestTimeout bounds the handling of one request.
	RequestTimeout time.Duration
	// Stopping is closed when the server is about to stop: it serves on, but says that it
	// is not ready.
	Stopping <-chan struct{}
}

type server struct {
	config    Config
	engine    *engine.Engine
	log       *slog.Logger
	metrics   *metrics
	tracer    trace.Tracer // nil where nothing is traced
	limits    *limits
	positions positionAnswers
	routes    []route
	mux       *http.ServeMux
	resources map[string]resource
	specJSON  []byte
	rootSeen  seenAddresses
	// rootHashes and metricsHashes are those of the keys that are set.
	rootHashes, metricsHashes [][sha256.Size]byte
}

// New returns the handler of the whole API.
func New(config Config) (http.Handler, error) {
	s := &server{
		config: config, engine: config.Engine, log: config.Logger, metrics: newMetrics(config.Metrics),
		limits: newLimits(config.RateLimit, time.Now), positions: newPositionAnswers(), mux: http.NewServeMux(), resources: make(map[string]resource),
		rootHashes: hashes(config.RootKey, config.PreviousRootKey), metricsHashes: hashes(config.MetricsKey),
	}
	if config.Traces != nil {
		s.tracer = config.Traces.Tracer(tracing.Scope)
	}
	s.routes = s.table()
	s.metrics.begin(s.routes)
	var err error
	if s.specJSON, err = specification(s.routes); err != nil {
		return nil, err
	}
	for _, r := range s.routes {
		if s.resources[r.path] == nil {
			s.resources[r.path] = resource{}
			s.mux.Handle(r.path, s.resources[r.path])
		}
		s.resources[r.path][r.method] = r
	}
	return s, nil
}

// resource is a path with its routes by method. The mux finds it and sets the
// request's path values; the server answers.
type resource map[string]route

// ServeHTTP implements http.Handler and does nothing.
func (resource) ServeHTTP(http.ResponseWriter, *http.Request) {}

// match finds a request's resource.
func (s *server) match(r *http.Request) resource {
	var written nowhere
	s.mux.ServeHTTP(&written, r)
	if written {
		return nil
	}
	return s.resources[r.Pattern]
}

// nowhere notes that the mux writes itself: for paths that it does not know, and
// those that it would redirect, like //positions.
type nowhere bool

func (n *nowhere) Header() http.Header               { return make(http.Header) }
func (n *nowhere) Write(content []byte) (int, error) { return len(content), nil }
func (n *nowhere) WriteHeader(int)                   { *n = true }

// route finds what a method does here; HEAD is answered as GET without its body.
func (r resource) route(method string) (route, bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	found, ok := r[method]
	return found, ok
}

// allowed is the Allow header.
func (r resource) allowed() string {
	methods := slices.Sorted(maps.Keys(r))
	if _, ok := r[http.MethodGet]; ok {
		methods = append(methods, http.MethodHead)
	}
	return strings.Join(methods, ", ")
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	ctx, span := s.startSpan(r)
	c := &call{
		server: s, request: r, writer: countingWriter{ResponseWriter: w}, requestID: requestID(r),
		client: s.clientAddress(r), pattern: "unmatched", span: span,
	}
	s.setHeaders(c)
	defer func() {
		if problem := recover(); problem != nil {
			s.log.Error("panic in a handler", "request_id", c.requestID, "panic", problem, "stack", string(debug.Stack()))
			if c.writer.status == 0 {
				c.writeError(escrow.Errorf(escrow.CodeInternal, "Something went wrong on the server."))
			}
		}
		s.finish(c, time.Since(begun))
	}()
	if s.answerPreflight(c) {
		return
	}
	timed := &timedContext{Context: ctx, deadline: begun.Add(s.config.RequestTimeout)}
	defer timed.end()
	ctx = timed
	if !c.isCommand() {
		ctx = engine.WithSnapshot(ctx)
	}
	c.request = r.WithContext(ctx)
	answer, err := s.serve(c)
	if err != nil {
		c.gone = r.Context().Err() != nil
		c.writeError(err)
		return
	}
	c.write(answer)
}

// statusClientGone is how a request is logged and counted that failed because its
// client did not wait for the answer: it is no failure of the server's. nginx made
// the number known.
const statusClientGone = 499

// serve checks a request in the documented order (key, rate, route, method,
// role) and calls its handler.
func (s *server) serve(c *call) (reply, error) {
	found := s.match(c.request)
	if found != nil {
		c.pattern = c.request.Pattern
	}
	matched, hasMethod := found.route(c.request.Method)
	if !hasMethod || matched.access != public {
		if err := s.authenticate(c, hasMethod && matched.access == metricsKey); err != nil {
			return reply{}, err
		}
		if err := s.limits.check(c, matched); err != nil {
			return reply{}, err
		}
	}
	switch {
	case found == nil:
		return reply{}, escrow.Errorf(codeRouteNotFound, "There is nothing at this path.")
	case !hasMethod:
		c.writer.Header().Set("Allow", found.allowed())
		return reply{}, escrow.Errorf(codeMethodNotAllowed, "This path takes %s.", found.allowed())
	}
	if err := matched.access.check(c); err != nil {
		return reply{}, err
	}
	if c.isCommand() && !c.caller.root {
		if err := s.engine.Admit(c.caller.institution); err != nil {
			return reply{}, err
		}
	}
	return matched.handle(c)
}

// securityHeaders are those of every answer, which pages replace some of. The
// lists are shared by all answers: a header is to be set anew, not added to.
var securityHeaders = http.Header{
	"X-Content-Type-Options":       {"nosniff"},
	"Cache-Control":                {"no-store"},
	"Content-Security-Policy":      {"default-src 'none'; frame-ancestors 'none'"},
	"X-Frame-Options":              {"DENY"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
}

func (s *server) setHeaders(c *call) {
	c.setHeader("X-Request-Id", c.requestID)
	maps.Copy(c.writer.Header(), securityHeaders)
	s.setOrigin(c)
}

// levelOf is the level at which a failure of the server is logged. An overloaded server
// has better things to do than to complain of each, and there is a metric; one that shuts
// down was told to.
func levelOf(failure error) slog.Level {
	if code := escrow.ErrorCode(failure); code == escrow.CodeOverloaded || code == escrow.CodeShuttingDown {
		return slog.LevelInfo
	}
	return slog.LevelError
}

// finish logs and counts a request that was answered.
func (s *server) finish(c *call, duration time.Duration) {
	method, status := c.loggedMethod(), c.writer.status
	if c.gone {
		status = statusClientGone
	}
	s.metrics.observe(c.pattern, method, status, duration)
	c.endSpan(method, status)
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = levelOf(c.failure)
	}
	if !s.log.Enabled(c.request.Context(), level) {
		return
	}
	attributes := make([]slog.Attr, 0, 12)
	attributes = append(attributes,
		slog.String("request_id", c.requestID), slog.String("method", method), slog.String("route", c.pattern),
		slog.Int("status", status), slog.Duration("duration", duration), slog.String("client", c.client.String()),
		slog.String("actor", c.caller.name()))
	if !c.caller.institution.IsZero() {
		attributes = append(attributes, slog.String("institution_id", c.caller.institution.String()))
	}
	if c.failure != nil {
		attributes = append(attributes, slog.String("code", string(escrow.ErrorCode(c.failure))))
		if status >= http.StatusInternalServerError {
			attributes = append(attributes, slog.String("error", c.failure.Error()))
		}
	}
	attributes = append(attributes, c.traceAttributes()...)
	s.log.LogAttrs(c.request.Context(), level, "request", attributes...)
}
