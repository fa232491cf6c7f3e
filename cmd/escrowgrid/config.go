package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/tracing/otlp"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// defaultDatabase is where the data is when DATABASE_URL does not say.
const defaultDatabase = "sqlite:escrowgrid.db"

// databaseFlags say where the data is.
type databaseFlags struct {
	DatabaseURL         string `env:"DATABASE_URL" secret:"" help:"The database: sqlite:PATH, sqlite::memory: or postgres://USER:PASSWORD@HOST/NAME. ${database_default}"`
	DatabaseConnections string `env:"DATABASE_CONNECTIONS" default:"0" help:"The most connections to the database, at least 8; 0 chooses a number by the processors."`
}

// logFlags say what is logged.
type logFlags struct {
	LogLevel  string `env:"LOG_LEVEL" help:"The lowest level that is logged: debug, info, warn or error. Default info; warn for demo."`
	LogFormat string `env:"LOG_FORMAT" default:"json" help:"The format of the log: json or text."`
}

// serverFlags are the configuration of a server. They are read as texts, so that a
// wrong value can be answered in one line that names the variable.
type serverFlags struct {
	databaseFlags `embed:""`
	logFlags      `embed:""`

	Host                 string `env:"HOST" default:"127.0.0.1" help:"The address to listen on."`
	Port                 string `env:"PORT" default:"4000" help:"The port to listen on; 0 chooses a free one."`
	RootAPIKey           string `env:"ROOT_API_KEY" name:"root-api-key" secret:"" help:"The operator's key, at least 32 characters. On SQLite the first start makes one and keeps it beside the database; on PostgreSQL it is required."`
	RootAPIKeyPrevious   string `env:"ROOT_API_KEY_PREVIOUS" name:"root-api-key-previous" secret:"" help:"The operator's key that ROOT_API_KEY replaces: both are valid as long as this is given."`
	RootAllowedIPs       string `env:"ROOT_API_KEY_ALLOWED_IPS" name:"root-api-key-allowed-ips" help:"The networks from which the root key is accepted, like 10.0.0.0/8,::1; any when empty."`
	MetricsAPIKey        string `env:"METRICS_API_KEY" name:"metrics-api-key" secret:"" help:"A key that reads /metrics and nothing else, at least 32 characters."`
	TrustedProxies       string `env:"TRUSTED_PROXIES" help:"The networks of the proxies whose X-Forwarded-For is trusted."`
	PublicDocsEnabled    string `env:"PUBLIC_DOCS_ENABLED" help:"Whether /docs and /openapi.json need no key: true or false. Default true when HOST is a loopback address, otherwise false."`
	CORSAllowedOrigins   string `env:"CORS_ALLOWED_ORIGINS" name:"cors-allowed-origins" help:"The web origins from which browsers may call the API, like https://console.example.com; none when empty."`
	RateLimitEnabled     string `env:"RATE_LIMIT_ENABLED" default:"true" help:"Whether requests are limited by key: true or false."`
	RateLimitRPS         string `env:"RATE_LIMIT_RPS" name:"rate-limit-rps" default:"20000" help:"The steady rate of one key, in requests per second."`
	RateLimitBurst       string `env:"RATE_LIMIT_BURST" name:"rate-limit-burst" default:"40000" help:"The requests that one key may send at once."`
	RequestTimeout       string `env:"REQUEST_TIMEOUT" default:"15s" help:"The most time for one request, like 15s."`
	ShutdownDelay        string `env:"SHUTDOWN_DELAY" default:"0s" help:"How long a server that is told to stop goes on serving while /ready answers 503, so that load balancers send no more; like 10s."`
	ShutdownTimeout      string `env:"SHUTDOWN_TIMEOUT" default:"25s" help:"The most time to finish accepted requests when the server stops."`
	QueueSize            string `env:"QUEUE_SIZE" default:"16384" help:"The most commands that wait; each item of a batch counts as one. More are answered 503. On PostgreSQL one institution can fill a quarter of it."`
	GroupSize            string `env:"GROUP_SIZE" default:"512" help:"The most commands that are committed together in one transaction; a batch of more is a group by itself."`
	CheckpointOrigin     string `env:"CHECKPOINT_ORIGIN" default:"escrowgrid" help:"Your name, with which the origin of every checkpoint begins, like escrow.example.com. It should never change."`
	CheckpointSigningKey string `env:"CHECKPOINT_SIGNING_KEY" secret:"" help:"The keys that sign checkpoints, as escrowgrid signing-key makes them, separated by commas; all of them sign. When empty, the server makes one and keeps it in the database."`
	CheckpointInterval   string `env:"CHECKPOINT_INTERVAL" default:"5s" help:"How often a journal with new entries gets a checkpoint."`
	VerifyInterval       string `env:"VERIFY_INTERVAL" default:"24h" help:"How long the server waits between two verifications of all journals and rows; 0s never verifies."`
	ExpiryInterval       string `env:"EXPIRY_INTERVAL" default:"1s" help:"How often the server looks for positions to expire."`

	traceFlags `embed:""`
}

// serverConfig is serverFlags after parsing and checking.
type serverConfig struct {
	// stderr is where a new root key is printed; it never reaches the log.
	stderr              io.Writer
	databaseURL         string
	databaseConnections int
	logger              *slog.Logger
	address             string
	rootKey             string
	previousRootKey     string
	metricsKey          string
	rootNetworks        []netip.Prefix
	trustedProxies      []netip.Prefix
	publicDocs          bool
	allowedOrigins      []string
	rateLimited         bool
	rps, burst          int
	requestTimeout      time.Duration
	shutdownDelay       time.Duration
	shutdownTimeout     time.Duration
	queueSize           int
	groupSize           int
	checkpointOrigin    string
	signers             []translog.Signer
	checkpointInterval  time.Duration
	verifyInterval      time.Duration // 0 is never
	expiryInterval      time.Duration
	traces              *otlp.Config // nil is nowhere
}

// usageError says that the command line or the environment is wrong: exit code 2.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// reader parses values and keeps the first error.
type reader struct{ err error }

func (r *reader) wrong(variable, value, takes string) {
	if r.err == nil {
		r.err = &usageError{fmt.Sprintf("%s: %q is not valid: it takes %s", variable, value, takes)}
	}
}

func (r *reader) whole(variable, value string, low, high int) int {
	number, err := strconv.Atoi(value)
	if err != nil || number < low || number > high {
		r.wrong(variable, value, fmt.Sprintf("a whole number from %d to %d", low, high))
	}
	return number
}

func (r *reader) yesNo(variable, value string) bool {
	if value != "true" && value != "false" {
		r.wrong(variable, value, "true or false")
	}
	return value == "true"
}

func (r *reader) duration(variable, value string, low, high time.Duration) time.Duration {
	duration, err := time.ParseDuration(value)
	if err != nil || duration < low || duration > high {
		r.wrong(variable, value, fmt.Sprintf("a duration from %s to %s, like 15s", low, high))
	}
	return duration
}

func (r *reader) networks(variable, value string) (networks []netip.Prefix) {
	for _, text := range split(value) {
		network, err := netip.ParsePrefix(text)
		if address, single := netip.ParseAddr(text); single == nil {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		if err != nil {
			r.wrong(variable, value, "a list of networks, like 10.0.0.0/8,192.0.2.7")
		}
		networks = append(networks, network.Masked())
	}
	return networks
}

func (r *reader) origins(variable, value string) []string {
	origins := split(value)
	for _, origin := range origins {
		parsed, err := url.Parse(origin)
		if origin != "*" && (err != nil || parsed.Scheme == "" || parsed.Host == "" || origin != parsed.Scheme+"://"+parsed.Host) {
			r.wrong(variable, value, "a list of origins, like https://console.example.com, or *")
		}
	}
	return origins
}

// minKeyLength is the least length of a key that the operator chooses, in characters.
const minKeyLength = 32

// secret reads one of the operator's keys. No message holds the value.
func (r *reader) secret(variable, value string) string {
	if value != "" && len(value) < minKeyLength {
		r.wrong(variable, "(secret)", fmt.Sprintf("at least %d characters", minKeyLength))
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }) {
		r.wrong(variable, "(secret)", "visible ASCII characters only")
	}
	return value
}

// checkpointOrigin reads the name that every checkpoint's origin begins with. It is also the name
// of the keys that sign, which signed notes end at a space or a plus sign.
func (r *reader) checkpointOrigin(variable, value string) string {
	if !translog.IsName(value) {
		r.wrong(variable, value, "a name without spaces and plus signs, like escrow.example.com")
	}
	return value
}

// signers reads signing keys. No message holds them.
func (r *reader) signers(variable, value, name string) (signers []translog.Signer) {
	for _, key := range split(value) {
		signer, err := translog.NewSigner(key)
		if err != nil || signer.Name() != name {
			r.wrong(variable, "(secret)", "keys of the name "+name+" as escrowgrid signing-key makes them, separated by commas")
		}
		signers = append(signers, signer)
	}
	return signers
}

func (r *reader) logger(flags logFlags, to io.Writer) *slog.Logger {
	var level slog.Level
	// slog itself also takes levels like "info+2".
	if err := level.UnmarshalText([]byte(cmp.Or(flags.LogLevel, "info"))); err != nil || strings.ContainsAny(flags.LogLevel, "+-") {
		r.wrong("LOG_LEVEL", flags.LogLevel, "debug, info, warn or error")
	}
	options := &slog.HandlerOptions{Level: level}
	switch flags.LogFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(to, options))
	case "text":
		return slog.New(slog.NewTextHandler(to, options))
	}
	r.wrong("LOG_FORMAT", flags.LogFormat, "json or text")
	return slog.New(slog.DiscardHandler)
}

const databaseURLTakes = "sqlite:PATH, sqlite::memory: or postgres://USER:PASSWORD@HOST/NAME" //nolint:gosec // No credentials: the names of their places.

// redacted shows only the scheme of a database URL: the rest may hold a password, and so
// may any part of what is no URL, like "host=db password=…".
func redacted(databaseURL string) string {
	scheme, _, isURL := strings.Cut(databaseURL, ":")
	notInScheme := func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '+' }
	if !isURL || strings.ContainsFunc(scheme, notInScheme) {
		return "(not shown)"
	}
	return scheme + ":…"
}

// openStore opens the database.
func openStore(ctx context.Context, databaseURL string, connections int) (*store.Store, error) {
	opened, err := store.Open(ctx, databaseURL, connections)
	if err != nil && !strings.HasPrefix(databaseURL, "sqlite:") {
		// Nothing has connected to PostgreSQL yet, so only its URL can be wrong.
		r := reader{}
		r.wrong("DATABASE_URL", redacted(databaseURL), databaseURLTakes)
		return nil, r.err
	}
	return opened, err
}

func (r *reader) database(flags databaseFlags) (databaseURL string, connections int) {
	databaseURL = cmp.Or(flags.DatabaseURL, defaultDatabase)
	scheme, rest, _ := strings.Cut(databaseURL, ":")
	isPostgres := scheme == "postgres" || scheme == "postgresql"
	if scheme != "sqlite" && !isPostgres || rest == "" {
		r.wrong("DATABASE_URL", redacted(databaseURL), databaseURLTakes)
	}
	connections = r.whole("DATABASE_CONNECTIONS", flags.DatabaseConnections, 0, 1000)
	if connections > 0 && connections < store.MinConnections {
		r.wrong("DATABASE_CONNECTIONS", flags.DatabaseConnections, fmt.Sprintf("0, or a whole number from %d to 1000", store.MinConnections))
	}
	return databaseURL, connections
}

func split(list string) (parts []string) {
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// config parses and checks the flags; its error is the first wrong value.
func (f serverFlags) config(log io.Writer) (serverConfig, error) {
	var r reader
	config := serverConfig{
		stderr:           log,
		logger:           r.logger(f.logFlags, log),
		address:          net.JoinHostPort(f.Host, strconv.Itoa(r.whole("PORT", f.Port, 0, 65535))),
		rootKey:          r.secret("ROOT_API_KEY", f.RootAPIKey),
		previousRootKey:  r.secret("ROOT_API_KEY_PREVIOUS", f.RootAPIKeyPrevious),
		metricsKey:       r.secret("METRICS_API_KEY", f.MetricsAPIKey),
		rootNetworks:     r.networks("ROOT_API_KEY_ALLOWED_IPS", f.RootAllowedIPs),
		trustedProxies:   r.networks("TRUSTED_PROXIES", f.TrustedProxies),
		allowedOrigins:   r.origins("CORS_ALLOWED_ORIGINS", f.CORSAllowedOrigins),
		rateLimited:      r.yesNo("RATE_LIMIT_ENABLED", f.RateLimitEnabled),
		rps:              r.whole("RATE_LIMIT_RPS", f.RateLimitRPS, 1, 1_000_000),
		burst:            r.whole("RATE_LIMIT_BURST", f.RateLimitBurst, 1, 1_000_000),
		requestTimeout:   r.duration("REQUEST_TIMEOUT", f.RequestTimeout, 100*time.Millisecond, 10*time.Minute),
		shutdownDelay:    r.duration("SHUTDOWN_DELAY", f.ShutdownDelay, 0, 10*time.Minute),
		shutdownTimeout:  r.duration("SHUTDOWN_TIMEOUT", f.ShutdownTimeout, 0, 10*time.Minute),
		queueSize:        r.whole("QUEUE_SIZE", f.QueueSize, 1, 1_000_000),
		groupSize:        r.whole("GROUP_SIZE", f.GroupSize, 1, 10_000),
		checkpointOrigin: r.checkpointOrigin("CHECKPOINT_ORIGIN", f.CheckpointOrigin),
		expiryInterval:   r.duration("EXPIRY_INTERVAL", f.ExpiryInterval, 10*time.Millisecond, time.Hour),
	}
	config.checkpointInterval = r.duration("CHECKPOINT_INTERVAL", f.CheckpointInterval, 100*time.Millisecond, 24*time.Hour)
	if f.VerifyInterval != "0s" && f.VerifyInterval != "0" {
		config.verifyInterval = r.duration("VERIFY_INTERVAL", f.VerifyInterval, 100*time.Millisecond, 30*24*time.Hour)
	}
	config.signers = r.signers("CHECKPOINT_SIGNING_KEY", f.CheckpointSigningKey, config.checkpointOrigin)
	config.traces = r.traces(f.traceFlags)
	config.databaseURL, config.databaseConnections = r.database(f.databaseFlags)
	config.publicDocs = isLoopback(f.Host)
	if f.PublicDocsEnabled != "" {
		config.publicDocs = r.yesNo("PUBLIC_DOCS_ENABLED", f.PublicDocsEnabled)
	}
	return config, r.err
}

// isWebURL reports whether a text is the address of something that speaks HTTP.
func isWebURL(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && parsed.Host != "" && (parsed.Scheme == "http" || parsed.Scheme == "https")
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}
