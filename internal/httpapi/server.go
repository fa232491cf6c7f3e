// Package httpapi answers the platform's HTTP contract. All routes stand in routes.go; a
// request goes through the steps of serve to the handler of its route, in the file of its
// noun. A handler reads what the steps have decoded, calls one use case of the engine and
// returns what to answer, or its error, which one function writes.
package httpapi

import (
	"crypto/sha256"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/identity"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/tracing"
	"github.com/escrowgrid/escrowgrid/internal/vault"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// Config is what the API needs.
type Config struct {
	Engine          *engine.Engine
	TransparencyLog *journallog.Log
	Logger          *slog.Logger
	Version         string
	// Metrics registers the API's metrics; Gatherer is what /metrics shows.
	Metrics  prometheus.Registerer
	Gatherer prometheus.Gatherer
	// Traces takes the spans of requests and of all that is done for them; nil traces
	// nothing.
	Traces trace.TracerProvider

	// RootKey acts for the operator, and so does PreviousRootKey, which is being replaced;
	// MetricsKey reads /metrics alone. An empty key is no key.
	RootKey, PreviousRootKey, MetricsKey string
	// KeySecrets are what the secrets of new API keys are derived from, beside the secret of the
	// key that asks: the first of them, or RootKey without any. A repeated request is answered
	// with the secret that was derived from any of these.
	KeySecrets []string
	// RootKeyDisabled refuses the root keys. New API keys' secrets are derived from them nevertheless.
	RootKeyDisabled bool
	// RootNetworks are where the root key may come from; none means anywhere.
	RootNetworks []netip.Prefix
	// Proxies are those whose word about a client's address is taken.
	Proxies web.Proxies
	// AllowedOrigins are the web origins that browsers may call from; "*" is any.
	AllowedOrigins []string
	PublicDocs     bool

	// Identity verifies people's tokens and logs people in; without it no token is valid. Operators is
	// where the operator's people come from, nil where nowhere.
	Identity  *identity.Verifier
	Operators *Operators
	// CheckURL is the error of a URL that the server may send nothing to; nil allows all.
	CheckURL func(string) error
	// PublicURL is the origin at which browsers reach the server, and Keyring seals logins that are
	// under way; without either, nobody logs in with a browser.
	PublicURL string
	Keyring   *vault.Keyring

	RateLimit RateLimit
	// AnswerMemory bounds what large answers take at the same time, in bytes; 0 takes
	// DefaultAnswerMemory.
	AnswerMemory int64
	// RequestTimeout bounds the handling of one request.
	RequestTimeout time.Duration
	// RetentionPeriod is how long a position is kept after its last change, before what is
	// private of it can be erased.
	RetentionPeriod time.Duration
	// Stopping is closed when the server is about to stop: it serves on, but says that it
	// is not ready.
	Stopping <-chan struct{}
}

type server struct {
	config      Config
	engine      *engine.Engine
	log         *slog.Logger
	metrics     *metrics
	tracer      trace.Tracer // nil where nothing is traced
	limits      *limits
	memory      *answerMemory
	crossOrigin web.CrossOrigin
	positions   positionAnswers
	mux         *http.ServeMux
	// document is that of the API, as it is served.
	document atomic.Pointer[[]byte]
	rootSeen seenAddresses
	// finishedLogins are the states of logins that were finished here.
	finishedLogins *lru.Cache[string, struct{}]
	// keySecrets are Config.KeySecrets, and the root keys after them.
	keySecrets []string
	// rootHashes and metricsHashes are those of the keys that are set.
	rootHashes, metricsHashes [][sha256.Size]byte
}

// New returns the handler of the whole API.
func New(config Config) (*API, error) {
	s := &server{
		config:        config,
		engine:        config.Engine,
		log:           config.Logger,
		metrics:       newMetrics(config.Metrics),
		limits:        newLimits(config.RateLimit, time.Now),
		memory:        newAnswerMemory(config.AnswerMemory),
		positions:     newPositionAnswers(),
		mux:           http.NewServeMux(),
		rootHashes:    hashes(config.RootKey, config.PreviousRootKey),
		metricsHashes: hashes(config.MetricsKey),
		keySecrets:    append(slices.Clone(config.KeySecrets), config.RootKey),
	}
	if config.PreviousRootKey != "" {
		s.keySecrets = append(s.keySecrets, config.PreviousRootKey)
	}
	if config.RootKeyDisabled {
		s.rootHashes = nil
	}
	var err error
	if s.finishedLogins, err = lru.New[string, struct{}](maxFinishedLogins); err != nil {
		return nil, err
	}
	if config.Traces != nil {
		s.tracer = config.Traces.Tracer(tracing.Scope)
	}

	routes := s.table()
	s.crossOrigin = newCrossOrigin(config.AllowedOrigins, routes)
	s.metrics.declareSeries(routes)
	document, err := Specification()
	if err != nil {
		return nil, err
	}
	s.document.Store(&document)

	for path, found := range resources(routes) {
		s.mux.Handle(path, s.handler(path, found))
	}
	s.mux.Handle("/", s.nothing())
	return &API{s}, nil
}

// ServeHTTP implements http.Handler.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The mux would redirect clients from such a path to another one.
	if !isClean(r.URL.EscapedPath()) {
		s.nothing().ServeHTTP(w, r)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// isClean reports whether http.ServeMux takes a path as it is.
func isClean(escaped string) bool {
	if !strings.HasPrefix(escaped, "/") {
		return false
	}
	clean := path.Clean(escaped)
	return escaped == clean || clean != "/" && escaped == clean+"/"
}

// handler answers the requests for a resource; pattern is its path's template.
func (s *server) handler(pattern string, found resource) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, pattern, found) })
}

// nothing answers the requests for what is not there.
func (s *server) nothing() http.Handler { return s.handler("unmatched", nil) }

// newCrossOrigin lets browsers use all of the API from some origins.
func newCrossOrigin(origins []string, routes []route) web.CrossOrigin {
	// GET routes answer HEAD too. The headers are those that no operation names.
	methods := []string{http.MethodHead}
	taken := []string{
		"Authorization", "Content-Type", "Traceparent", "Tracestate", "X-API-KEY", "X-Correlation-Id",
		institutionHeader, "X-Request-Id",
	}
	given := []string{"Allow", "Location", "X-Request-Id"}

	for i := range routes {
		methods = append(methods, routes[i].method())
		described := routes[i].describe()
		for _, header := range described.RequestHeaders {
			taken = append(taken, header.Name)
		}
		for _, header := range slices.Concat(slices.Collect(maps.Values(described.FailureHeaders))...) {
			given = append(given, header.Name)
		}
		for _, header := range described.AnswerHeaders {
			given = append(given, header.Name)
		}
	}

	return web.CrossOrigin{
		Origins:        origins,
		Methods:        listOnce(methods),
		RequestHeaders: listOnce(taken),
		AnswerHeaders:  listOnce(given),
	}
}

// listOnce lists names in order, each once, as headers list them.
func listOnce(names []string) string {
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ", ")
}
