package main

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/tracing/otlp"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// logFlags say what is logged, and in which format. The log goes to stderr.
type logFlags struct {
	LogLevel  string `env:"LOG_LEVEL" help:"The lowest level that is logged: debug, info, warn or error. Default info; warn for demo."`
	LogFormat string `env:"LOG_FORMAT" default:"json" help:"The format of the log: json or text."`
}

// serverFlags are the configuration of a server. They are read as texts, so that a
// wrong value can be answered in one line that names the variable. docs/configuration.md is
// generated from them.
type serverFlags struct {
	databaseFlags `embed:""`
	logFlags      `embed:""`

	// Where the server listens. The default lets only this machine in.
	Host string `env:"HOST" default:"127.0.0.1" help:"The address to listen on."`
	Port string `env:"PORT" default:"4000" help:"The port to listen on; 0 chooses a free one."`

	// Which keys are valid besides those in the database, and where the root key may come from.
	RootAPIKey         string `env:"ROOT_API_KEY" name:"root-api-key" secret:"" help:"The operator's key, at least 32 characters. On SQLite the first start makes one and keeps it beside the database; on PostgreSQL it is required."`
	RootAPIKeyPrevious string `env:"ROOT_API_KEY_PREVIOUS" name:"root-api-key-previous" secret:"" help:"The operator's key that ROOT_API_KEY replaces: both are valid as long as this is given."`
	KeySecrets         string `env:"KEY_DERIVATION_SECRET" name:"key-derivation-secret" secret:"" help:"What the secrets of new API keys are derived from, beside the secret of the key that asks: at least 32 characters. Every instance needs the same. Several, separated by commas: the first for new keys, the others for repeated requests. The root key when left out."`
	RootAllowedIPs     string `env:"ROOT_API_KEY_ALLOWED_IPS" name:"root-api-key-allowed-ips" help:"The networks from which the root key is accepted, like 10.1.2.0/24,::1; any when left out."`
	MetricsAPIKey      string `env:"METRICS_API_KEY" name:"metrics-api-key" secret:"" help:"A key that reads /metrics and nothing else, at least 32 characters."`
	TrustedProxies     string `env:"TRUSTED_PROXIES" help:"The addresses of the proxies that are trusted to tell the client's address, like 10.0.0.10,10.0.0.11, or networks that nobody else is in."`
	ClientHeader       string `env:"CLIENT_ADDRESS_HEADER" name:"client-address-header" default:"X-Forwarded-For" help:"The header in which trusted proxies tell the client's address: X-Forwarded-For, or Forwarded (RFC 7239)."`

	peopleFlags `embed:""`

	// What browsers may see and call.
	PublicDocsEnabled  string `env:"PUBLIC_DOCS_ENABLED" help:"Whether /docs and /openapi.json need no key: true or false. Default true when HOST is a loopback address, otherwise false."`
	CORSAllowedOrigins string `env:"CORS_ALLOWED_ORIGINS" name:"cors-allowed-origins" help:"The web origins from which browsers may call the API, like https://console.example.com; none when left out."`

	// What one key may send. The defaults stop a client that is out of control, and no other.
	RateLimitEnabled string `env:"RATE_LIMIT_ENABLED" default:"true" help:"Whether requests are limited by key: true or false."`
	RateLimitRPS     string `env:"RATE_LIMIT_RPS" name:"rate-limit-rps" default:"20000" help:"The steady rate of one key, in requests per second."`
	RateLimitBurst   string `env:"RATE_LIMIT_BURST" name:"rate-limit-burst" default:"40000" help:"The requests that one key may send at once."`
	InstitutionRPS   string `env:"RATE_LIMIT_INSTITUTION_RPS" name:"rate-limit-institution-rps" default:"40000" help:"The steady rate of all keys of an institution together, in requests per second."`
	InstitutionBurst string `env:"RATE_LIMIT_INSTITUTION_BURST" name:"rate-limit-institution-burst" default:"80000" help:"The requests that all keys of an institution may send at once."`

	// How long a request and a shutdown may take.
	RequestTimeout  string `env:"REQUEST_TIMEOUT" default:"15s" help:"The longest that a request may take, like 15s."`
	ShutdownDelay   string `env:"SHUTDOWN_DELAY" default:"0s" help:"How long a server that is told to stop goes on serving while /ready answers 503, so that load balancers send no more; like 10s."`
	ShutdownTimeout string `env:"SHUTDOWN_TIMEOUT" default:"25s" help:"The longest that it may take to finish accepted requests when the server stops."`

	// How commands wait and are committed. The default queue is about a second of work; a longer
	// one makes commands wait longer, and no commit faster. In larger groups than the default's,
	// the share of each command in its transaction is hardly less.
	QueueSize string `env:"QUEUE_SIZE" default:"16384" help:"The maximum number of waiting commands; each item of a batch counts as one. More are answered 503. On PostgreSQL one institution can fill a quarter of it."`
	GroupSize string `env:"GROUP_SIZE" default:"512" help:"The most commands that are committed together in one transaction; a batch of more is a group by itself."`

	// The transparency log, and what the server does by itself.
	CheckpointOrigin     string `env:"CHECKPOINT_ORIGIN" default:"escrowgrid" help:"Your name, with which the origin of every checkpoint begins, like escrow.example.com. It should never change."`
	CheckpointSigningKey string `env:"CHECKPOINT_SIGNING_KEY" secret:"" help:"The keys that sign checkpoints, as escrowgrid signing-key makes them, separated by commas; all of them sign. When left out, the server makes one and keeps it in the database."`
	SignedCheckpoints    string `env:"SIGNED_CHECKPOINTS_PATH" name:"signed-checkpoints-path" placeholder:"PATH" help:"The file in which the server remembers what it has signed, so that it notices a database that has gone back, and never signs another root of the same size. It has to outlive restarts. Default: beside the SQLite database; on PostgreSQL, memory alone."`
	CheckpointInterval   string `env:"CHECKPOINT_INTERVAL" default:"5s" help:"How often a journal with new entries gets a checkpoint."`
	VerifyInterval       string `env:"VERIFY_INTERVAL" default:"24h" help:"How long the server waits between two verifications of all journals and rows; 0s never verifies."`
	RetentionPeriod      string `env:"RETENTION_PERIOD" default:"0s" help:"How long a position is kept after its last change before what is private of it can be erased, in hours like 87600h, which are ten years."`
	ExpiryInterval       string `env:"EXPIRY_INTERVAL" default:"1s" help:"How often the server looks for positions to expire."`

	AllowForeignSchema string `env:"ALLOW_FOREIGN_SCHEMA" default:"false" help:"Whether to serve a database that has triggers, views, rules or other things that no migration made: true or false."`

	traceFlags `embed:""`
}

// serverConfig is serverFlags after parsing and checking.
type serverConfig struct {
	// stderr is where a new root key is printed; it never reaches the log.
	stderr io.Writer
	logger *slog.Logger

	// databaseURL is valid as far as it can be checked without connecting.
	databaseURL string
	// databaseConnections is the most connections to the database; 0 chooses by the processors.
	databaseConnections int

	// address is the host and port to listen on; port 0 chooses a free one.
	address string
	// rootKey is empty when a file beside the SQLite database has the key, or will have it.
	rootKey string
	// previousRootKey and metricsKey are empty when there is no such key.
	previousRootKey string
	metricsKey      string
	// keySecrets are what the secrets of new keys are derived from; the root key without any.
	keySecrets []string
	// people is how people come in, beside the keys.
	people peopleConfig
	// rootNetworks are those from which the root key is accepted; without any, all are.
	rootNetworks []netip.Prefix
	proxies      web.Proxies
	publicDocs   bool
	// allowedOrigins are the sites whose pages may call the API from a browser.
	allowedOrigins []string

	// rps and burst limit one key: requests per second, and requests at once; the others limit
	// all keys of an institution together.
	rateLimited                      bool
	rps, burst                       int
	institutionRPS, institutionBurst int

	// A server that is told to stop waits for shutdownDelay; shutdownTimeout counts from then on.
	requestTimeout  time.Duration
	shutdownDelay   time.Duration
	shutdownTimeout time.Duration
	// leaveTime bounds how long a server that stops keeps connections that nobody uses.
	leaveTime time.Duration

	// queueSize and groupSize are in commands.
	queueSize int
	groupSize int

	checkpointOrigin   string
	signers            []translog.Signer // without any, the server makes one
	signedPath         string            // empty where what is signed is remembered in memory alone
	checkpointInterval time.Duration
	verifyInterval     time.Duration // 0 never verifies
	expiryInterval     time.Duration
	retentionPeriod    time.Duration
	allowForeignSchema bool         // serves a database with things that no migration made
	traces             *otlp.Config // nil traces nothing
}

// config parses and checks the flags; its error is a usageError about the first wrong value. The
// server will write its log to stderr, and print a new root key there.
func (f serverFlags) config(stderr io.Writer) (serverConfig, error) {
	var r reader
	config := serverConfig{
		stderr:          stderr,
		logger:          r.logger(f.logFlags, stderr),
		address:         net.JoinHostPort(f.Host, strconv.Itoa(r.whole("PORT", f.Port, 0, 65535))),
		rootKey:         r.secret("ROOT_API_KEY", f.RootAPIKey),
		previousRootKey: r.secret("ROOT_API_KEY_PREVIOUS", f.RootAPIKeyPrevious),
		metricsKey:      r.secret("METRICS_API_KEY", f.MetricsAPIKey),
		keySecrets:      r.secrets("KEY_DERIVATION_SECRET", f.KeySecrets),
		rootNetworks:    r.networks("ROOT_API_KEY_ALLOWED_IPS", f.RootAllowedIPs),
		proxies: web.Proxies{
			Trusted: r.networks("TRUSTED_PROXIES", f.TrustedProxies),
			Header:  r.word("CLIENT_ADDRESS_HEADER", f.ClientHeader, web.XForwardedFor, web.Forwarded),
		},
		allowedOrigins:   r.origins("CORS_ALLOWED_ORIGINS", f.CORSAllowedOrigins),
		rateLimited:      r.yesNo("RATE_LIMIT_ENABLED", f.RateLimitEnabled),
		rps:              r.whole("RATE_LIMIT_RPS", f.RateLimitRPS, 1, 1_000_000),
		burst:            r.whole("RATE_LIMIT_BURST", f.RateLimitBurst, 1, 1_000_000),
		institutionRPS:   r.whole("RATE_LIMIT_INSTITUTION_RPS", f.InstitutionRPS, 1, 1_000_000),
		institutionBurst: r.whole("RATE_LIMIT_INSTITUTION_BURST", f.InstitutionBurst, 1, 1_000_000),
		requestTimeout:   r.duration("REQUEST_TIMEOUT", f.RequestTimeout, 100*time.Millisecond, 10*time.Minute),
		shutdownDelay:    r.duration("SHUTDOWN_DELAY", f.ShutdownDelay, 0, 10*time.Minute),
		shutdownTimeout:  r.duration("SHUTDOWN_TIMEOUT", f.ShutdownTimeout, 0, 10*time.Minute),
		leaveTime:        leaveTime,
		queueSize:        r.whole("QUEUE_SIZE", f.QueueSize, 1, 1_000_000),
		groupSize:        r.whole("GROUP_SIZE", f.GroupSize, 1, 10_000),
		checkpointOrigin: r.checkpointOrigin("CHECKPOINT_ORIGIN", f.CheckpointOrigin),
		retentionPeriod:  r.duration("RETENTION_PERIOD", f.RetentionPeriod, 0, 100*365*24*time.Hour),
		expiryInterval:   r.duration("EXPIRY_INTERVAL", f.ExpiryInterval, 10*time.Millisecond, time.Hour),
		traces:           r.traces(f.traceFlags),

		allowForeignSchema: r.yesNo("ALLOW_FOREIGN_SCHEMA", f.AllowForeignSchema),
	}
	config.databaseURL, config.databaseConnections = r.database(f.databaseFlags)
	config.people = r.people(f.peopleFlags,
		append([]string{config.rootKey, config.previousRootKey, config.metricsKey}, config.keySecrets...)...)
	// A signing key has a name, which must be the origin's.
	config.signers = r.signers("CHECKPOINT_SIGNING_KEY", f.CheckpointSigningKey, config.checkpointOrigin)
	config.signedPath = signedPath(f.SignedCheckpoints, config.databaseURL)

	// With a shorter interval, the server would do little else.
	const shortest = 100 * time.Millisecond
	config.checkpointInterval = r.duration("CHECKPOINT_INTERVAL", f.CheckpointInterval, shortest, 24*time.Hour)
	if f.VerifyInterval != "0s" && f.VerifyInterval != "0" {
		config.verifyInterval = r.duration("VERIFY_INTERVAL", f.VerifyInterval, shortest, 30*24*time.Hour)
	}

	// Only this machine's users can reach a loopback address.
	config.publicDocs = apiclient.IsLoopback(f.Host)
	if f.PublicDocsEnabled != "" {
		config.publicDocs = r.yesNo("PUBLIC_DOCS_ENABLED", f.PublicDocsEnabled)
	}
	return config, r.err
}
