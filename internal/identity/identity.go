// Package identity verifies the tokens of people, and logs people in with a browser, at
// providers of OpenID Connect. It knows nothing of institutions, routes or tables: who a
// person is to an institution is decided by its callers.
package identity

import (
	"crypto/sha256"
	"log/slog"
	"net/http"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of what a verifier keeps and waits for.
const (
	// maxProviders bounds the providers whose keys are kept, a few kilobytes each.
	maxProviders = 1000
	// maxVerified bounds the tokens that are remembered as verified, most of them of less
	// than a kilobyte.
	maxVerified = 10_000
	// fetchTimeout bounds a fetch of a provider's document and keys, and each request of a login.
	fetchTimeout = 10 * time.Second

	// refreshInterval is the least time between two fetches from a provider. Whoever sends
	// tokens of a key that is not there makes this server ask for it, at most so often.
	refreshInterval = 10 * time.Second
	// refreshAge is how old keys get before they are fetched again, in the background. A key
	// that a provider has removed verifies for so long.
	refreshAge = 5 * time.Minute
	// maxKeysAge is how long keys are used while the provider cannot be asked. Somebody who
	// keeps a server from its provider must not make it trust a stolen key for ever.
	maxKeysAge = 24 * time.Hour
)

// Provider is a provider of OpenID Connect as one institution uses it.
type Provider struct {
	// Issuer is the provider's URL, byte for byte as in its discovery document and its tokens.
	Issuer string
	// ClientID is the client that this server is to the provider. ClientSecret is empty for a
	// public client.
	ClientID, ClientSecret string
	// Audience is whom access tokens must be for. Empty, or the same as ClientID, it is the
	// client itself, and ID tokens are accepted as well.
	Audience string
	Claims   ClaimNames
}

// ClaimNames are the names of the claims that are read from tokens. Where a token has no claim
// of that name, dots lead into objects, as in realm_access.roles. An empty name takes the usual
// one: groups, name, email.
type ClaimNames struct {
	Groups, Name, Email string
}

// String is the issuer: the secret must not get into a message by accident.
func (p Provider) String() string { return p.Issuer }

// LogValue is the issuer.
func (p Provider) LogValue() slog.Value { return slog.StringValue(p.Issuer) }

// audience is whom bearer tokens must be for.
func (p Provider) audience() string {
	if p.Audience == "" {
		return p.ClientID
	}
	return p.Audience
}

// Claims are what a provider says of a person in a verified token. Issuer and Subject together
// name the person for ever; the rest can differ in the next token.
type Claims struct {
	Issuer, Subject string
	// Name and Email are empty where the token has none that can be shown. An e-mail address is
	// no identity: people can have chosen it themselves.
	Name, Email string
	// Groups are at most 200, each once, in the token's order.
	Groups              []string
	ExpiresAt, IssuedAt time.Time
	// AuthorizedParty is the client that the token was issued to, empty where it does not say.
	AuthorizedParty string
}

// Config is what a verifier needs; all of it must be set.
type Config struct {
	// Client sends all requests. Redirects are not followed and answers are bounded, whatever
	// it would do.
	Client *http.Client
	// Now tells the time.
	Now    func() time.Time
	Logger *slog.Logger
	// Metrics registers the verifier's metrics.
	Metrics prometheus.Registerer
}

// Verifier verifies tokens and logs people in. There is one in a process: it keeps the keys of
// providers and the tokens that it has verified. Its methods may be called from several
// goroutines.
type Verifier struct {
	client  *http.Client
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics

	// sources are the providers by their issuers.
	sources *lru.Cache[string, *source]
	// verified are tokens that were verified, and claimed what Claimed reads of them.
	verified *lru.Cache[verifiedKey, verifiedToken]
	claimed  *lru.Cache[[sha256.Size]byte, Claimed]

	// closing is closed to end the fetches under way; closed, which mu guards, says that it is.
	closing chan struct{}
	mu      sync.Mutex
	closed  bool
	fetches sync.WaitGroup
}

// New returns a verifier, which must be closed.
func New(config Config) *Verifier {
	v := &Verifier{
		client:   bounded(config.Client),
		now:      config.Now,
		log:      config.Logger,
		sources:  newCache[string, *source](maxProviders),
		verified: newCache[verifiedKey, verifiedToken](maxVerified),
		claimed:  newCache[[sha256.Size]byte, Claimed](maxVerified),
		closing:  make(chan struct{}),
	}
	v.metrics = newMetrics(config.Metrics, v.failing)
	return v
}

// newCache returns an empty cache of so many.
func newCache[K comparable, V any](size int) *lru.Cache[K, V] {
	cache, err := lru.New[K, V](size)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return cache
}

// Close ends the fetches under way and waits for them. From then on tokens are verified with the
// keys that are known, and no others.
func (v *Verifier) Close() {
	v.mu.Lock()
	if !v.closed {
		v.closed = true
		close(v.closing)
	}
	v.mu.Unlock()

	v.fetches.Wait()
}
