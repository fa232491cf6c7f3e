package identity

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// source is a provider as its issuer names it, whoever uses it.
type source struct {
	issuer string
	// current is what was fetched last, nil before the first time.
	current atomic.Pointer[document]

	mu sync.Mutex
	// attempted is when the last fetch began. failure is why it failed, nil where it did not.
	attempted time.Time
	failure   error
	// fetching is closed when the fetch under way has ended; nil while there is none.
	fetching chan struct{}
}

// document is what a provider says of itself, with its keys.
type document struct {
	provider  *oidc.Provider
	metadata  metadata
	keys      keySet
	fetchedAt time.Time
}

// metadata are the members of a discovery document that go-oidc does not offer.
type metadata struct {
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	Userinfo      string   `json:"userinfo_endpoint"`
	Keys          string   `json:"jwks_uri"`
	Scopes        []string `json:"scopes_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	// NamesIssuer promises that every answer to a browser names the issuer, as RFC 9207 has it.
	NamesIssuer bool `json:"authorization_response_iss_parameter_supported"`
}

// source returns the source of an issuer.
func (v *Verifier) source(issuer string) *source {
	if known, ok := v.sources.Get(issuer); ok {
		return known
	}

	// Of two callers at the same time, both take the source of the first.
	added := &source{issuer: issuer}
	if known, ok, _ := v.sources.PeekOrAdd(issuer, added); ok {
		return known
	}
	return added
}

// DiscoveryURL is where the provider of an issuer says what it is, by OpenID Connect Discovery.
func DiscoveryURL(issuer string) string {
	return strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
}

// Prepare begins to fetch what the provider of an issuer says of itself, so that the log tells of one that
// cannot be asked before anybody needs it.
func (v *Verifier) Prepare(issuer string) { v.beginFetch(v.source(issuer), nil) }

// usable returns the document of a source, which is fetched first where there is none or where it
// is too old to be trusted. One that is merely no longer new is fetched again in the background.
// The error is ErrUnavailable.
func (v *Verifier) usable(ctx context.Context, s *source) (*document, error) {
	known := s.current.Load()
	age := v.age(known)
	if known != nil && age <= maxKeysAge {
		if age > refreshAge {
			v.beginFetch(s, known)
		}
		return known, nil
	}
	return v.newer(ctx, s, known)
}

// age is how long ago a document was fetched.
func (v *Verifier) age(d *document) time.Duration {
	if d == nil {
		return 0
	}
	return v.now().Sub(d.fetchedAt)
}

// newer returns a document that is newer than the one that a caller has seen, nil for none. It
// waits for a fetch where one is due or under way. The error is ErrUnavailable.
func (v *Verifier) newer(ctx context.Context, s *source, seen *document) (*document, error) {
	if fetching := v.beginFetch(s, seen); fetching != nil {
		select {
		case <-fetching:
		case <-ctx.Done():
			return nil, unavailable(ctx.Err())
		}
	}

	if current := s.current.Load(); current != seen {
		return current, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure != nil {
		return nil, unavailable(s.failure)
	}
	return nil, errAskedBefore
}

// errAskedBefore says that a provider was asked a moment ago, and that nothing is newer than what
// it answered.
var errAskedBefore = unavailable(errors.New("it was asked a moment ago"))

// beginFetch begins a fetch in the background, unless there is something newer than what the
// caller has seen, or one is under way, or the last was a moment ago. It returns a channel that is
// closed at the end of the fetch under way, nil for none.
func (v *Verifier) beginFetch(s *source, seen *document) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Load() != seen {
		return nil
	}
	if s.fetching != nil {
		return s.fetching
	}

	now := v.now()
	if since := now.Sub(s.attempted); !s.attempted.IsZero() && since >= 0 && since < refreshInterval {
		return nil
	}
	// A fetch that begins while the verifier is closed would outlive it.
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}

	s.attempted = now
	s.fetching = make(chan struct{})
	v.fetches.Go(func() { v.fetch(s, now) })
	return s.fetching
}

// fetch fetches what a provider says of itself, and its keys. Where that fails, what is known
// stays.
func (v *Verifier) fetch(s *source, now time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	go func() {
		select {
		case <-v.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	fetched, err := v.fetchDocument(ctx, s.issuer)
	if err != nil {
		err = errors.New(excerpt(err.Error())) // It can have the whole answer in it.
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	v.report(s, err)
	s.failure = err
	if err == nil {
		fetched.fetchedAt = now
		s.current.Store(fetched)
	}
	close(s.fetching)
	s.fetching = nil
}

// report counts a fetch, and logs when fetches begin to fail and when they succeed again.
func (v *Verifier) report(s *source, err error) {
	if err == nil {
		v.metrics.fetched.Inc()
		if s.failure != nil {
			v.log.Info("the keys of an identity provider were fetched again", "issuer", s.issuer)
		}
		return
	}

	v.metrics.fetchFailed.Inc()
	if s.failure == nil {
		known := s.current.Load()
		v.log.Warn("the keys of an identity provider could not be fetched; those that are known are used for a day",
			"issuer", s.issuer, "error", err,
			"known", known != nil, "age_seconds", int(v.age(known).Seconds()))
	}
}

// failing counts the providers whose last fetch failed.
func (v *Verifier) failing() (count int) {
	for _, s := range v.sources.Values() {
		s.mu.Lock()
		if s.failure != nil {
			count++
		}
		s.mu.Unlock()
	}
	return count
}

// fetchDocument fetches a provider's discovery document, which must be of exactly that issuer,
// and its keys.
func (v *Verifier) fetchDocument(ctx context.Context, issuer string) (*document, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, v.client), issuer)
	if err != nil {
		return nil, fmt.Errorf("read its discovery document: %w", err)
	}
	var m metadata
	if err := provider.Claims(&m); err != nil {
		return nil, fmt.Errorf("read its discovery document: %w", err)
	}
	if err := m.check(issuer); err != nil {
		return nil, err
	}

	keys, err := v.fetchKeys(ctx, m.Keys)
	if err != nil {
		return nil, fmt.Errorf("read its keys: %w", err)
	}
	return &document{provider: provider, metadata: m, keys: keys}, nil
}

// check checks the addresses of a provider: browsers are sent to one of them, and a client secret
// to another.
func (m metadata) check(issuer string) error {
	base, err := url.Parse(issuer)
	if err != nil {
		return errors.New("its issuer is not a URL")
	}
	for _, endpoint := range []struct{ name, address string }{
		{"authorization_endpoint", m.Authorization},
		{"token_endpoint", m.Token},
		{"userinfo_endpoint", m.Userinfo},
		{"jwks_uri", m.Keys},
	} {
		if endpoint.address == "" {
			continue // A login that needs it is told.
		}
		at, err := url.Parse(endpoint.address)
		isSecure := err == nil && (at.Scheme == "https" || at.Scheme == "http" && base.Scheme == "http")
		if !isSecure || at.Host == "" || at.User != nil || at.Fragment != "" {
			return fmt.Errorf("its %s is not a URL that can be trusted", endpoint.name)
		}
	}

	if m.Keys == "" {
		return errors.New("it names no jwks_uri")
	}
	return nil
}
