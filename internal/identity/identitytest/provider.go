// Package identitytest runs providers of OpenID Connect for tests, on loopback: a real one, and
// one that signs and answers whatever a test wants.
package identitytest

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	jose "github.com/go-jose/go-jose/v4"
	example "github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/oauth2"
)

// The clients and the people of every Provider.
const (
	// Client has a secret and JWTs as access tokens.
	Client = "escrowgrid"
	Secret = "correct horse battery staple"
	// OtherClient is another with the same secret.
	OtherClient = "somebody-else"
	// PublicClient has no secret.
	PublicClient = "public"
	// RedirectURI is where browsers are sent back to, of all clients; see Provider.SendBackTo.
	RedirectURI = "http://127.0.0.1/auth/callback"

	// Person can log in, by this subject.
	Person = "id1"
	// OtherPerson can log in as well.
	OtherPerson = "id2"
)

// Provider is a real provider: zitadel's, over TLS.
type Provider struct {
	Issuer string
	server *httptest.Server
	store  *store
}

// Start starts a provider, until the end of the test.
func Start(tb testing.TB) *Provider {
	tb.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	tb.Cleanup(server.Close)

	clients := make(map[string]*example.Client)
	for _, client := range []*example.Client{
		example.WebClient(Client, Secret, RedirectURI),
		example.WebClient(OtherClient, Secret, RedirectURI),
		example.NativeClient(PublicClient, RedirectURI),
	} {
		clients[client.GetID()] = client
	}
	p := &Provider{Issuer: server.URL, server: server, store: &store{
		Storage: example.NewStorageWithClients(example.NewUserStore(server.URL), clients),
		groups:  make(map[string][]string),
	}}
	p.RotateKey(tb, "first")

	config := &op.Config{
		CryptoKey:                sha256.Sum256([]byte("of opaque tokens and codes")),
		CodeMethodS256:           true,
		AuthMethodPost:           true,
		DefaultLogoutRedirectURI: "/",
		SupportedScopes:          []string{"openid", "profile", "email"},
	}
	handler, err := op.NewProvider(config, p.store, op.StaticIssuer(server.URL))
	if err != nil {
		tb.Fatal(err)
	}
	server.Config.Handler = handler
	return p
}

// Stop makes the provider unreachable for the rest of the test.
func (p *Provider) Stop() { p.server.Close() }

// HTTP returns a client that trusts all providers of tests.
func (p *Provider) HTTP() *http.Client { return p.server.Client() }

// RotateKey has the provider sign with a new key from now on. It publishes that key alone.
func (p *Provider) RotateKey(tb testing.TB, id string) {
	tb.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.key = signingKey{id, private}
}

// SetGroups sets the groups that a person is in.
func (p *Provider) SetGroups(person string, groups ...string) {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.groups[person] = groups
}

// KeepClaimsOut has the provider leave names, e-mail addresses and groups out of ID tokens.
func (p *Provider) KeepClaimsOut() {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.onlyUserinfo = true
}

// SendBackTo has the provider send browsers back to a further address, of all clients.
func (p *Provider) SendBackTo(redirectURI string) {
	p.store.mu.Lock()
	defer p.store.mu.Unlock()
	p.store.redirectURIs = append(p.store.redirectURIs, redirectURI)
}

// LogIn logs a person in as a browser would at an authorization URL, and returns where the
// browser is sent back to.
func (p *Provider) LogIn(tb testing.TB, authURL, person string) *url.URL {
	tb.Helper()
	toLogin := p.redirect(tb, authURL)
	request := toLogin.Query().Get("authRequestID")
	name := map[string]string{Person: "test-user@127.0.0.1", OtherPerson: "test-user2"}[person]
	if err := p.store.CheckUsernamePassword(name, "verysecure", request); err != nil {
		tb.Fatalf("log %s in: %v, sent to %s", person, err, toLogin)
	}

	back := p.redirect(tb, p.Issuer+"/authorize/callback?id="+url.QueryEscape(request))
	if !strings.HasPrefix(back.String(), RedirectURI) {
		tb.Fatalf("the browser was sent to %s", back)
	}
	return back
}

// Tokens logs a person in as a client does that has Secret, and returns what it gets.
func (p *Provider) Tokens(tb testing.TB, client, person string) (idToken, accessToken string) {
	tb.Helper()
	config := oauth2.Config{
		ClientID:     client,
		ClientSecret: Secret,
		RedirectURL:  RedirectURI,
		Endpoint: oauth2.Endpoint{
			AuthURL: p.Issuer + "/authorize", TokenURL: p.Issuer + "/oauth/token", AuthStyle: oauth2.AuthStyleInHeader,
		},
		Scopes: []string{"openid", "profile", "email"},
	}
	back := p.LogIn(tb, config.AuthCodeURL("state"), person).Query()
	ctx := context.WithValue(tb.Context(), oauth2.HTTPClient, p.HTTP())
	tokens, err := config.Exchange(ctx, back.Get("code"))
	if err != nil {
		tb.Fatal(err)
	}
	idToken, ok := tokens.Extra("id_token").(string)
	if !ok {
		tb.Fatal("there is no ID token")
	}
	return idToken, tokens.AccessToken
}

// PublicKey is the key that tokens are signed with, as everybody can read it.
func (p *Provider) PublicKey() *rsa.PublicKey { return &p.store.current().private.PublicKey }

// redirect returns where a page sends a browser.
func (p *Provider) redirect(tb testing.TB, address string) *url.URL {
	tb.Helper()
	client := *p.HTTP()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	request, err := http.NewRequestWithContext(tb.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		tb.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		tb.Fatal(err)
	}
	defer response.Body.Close()

	location, err := response.Location()
	if err != nil {
		tb.Fatalf("%s was answered with %s and no address to go to", address, response.Status)
	}
	return location
}

// store is the example's, with keys that change and groups.
type store struct {
	*example.Storage
	mu           sync.Mutex
	key          signingKey
	groups       map[string][]string
	onlyUserinfo bool
	redirectURIs []string // beside RedirectURI
}

type signingKey struct {
	id      string
	private *rsa.PrivateKey
}

func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k signingKey) Key() any                                    { return k.private }
func (k signingKey) ID() string                                  { return k.id }

type publishedKey struct{ signingKey }

func (k publishedKey) Algorithm() jose.SignatureAlgorithm { return jose.RS256 }
func (k publishedKey) Use() string                        { return "sig" }
func (k publishedKey) Key() any                           { return &k.private.PublicKey }

func (s *store) current() signingKey {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.key
}

func (s *store) SigningKey(context.Context) (op.SigningKey, error) { return s.current(), nil }

func (s *store) KeySet(context.Context) ([]op.Key, error) {
	return []op.Key{publishedKey{s.current()}}, nil
}

func (s *store) GetClientByClientID(ctx context.Context, id string) (op.Client, error) {
	client, err := s.Storage.GetClientByClientID(ctx, id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return asked{client, !s.onlyUserinfo, append(client.RedirectURIs(), s.redirectURIs...)}, nil
}

// asked is a client whose tokens have everything in them.
type asked struct {
	op.Client
	claimsInIDToken bool
	redirectURIs    []string
}

func (asked) AccessTokenType() op.AccessTokenType    { return op.AccessTokenTypeJWT }
func (a asked) IDTokenUserinfoClaimsAssertion() bool { return a.claimsInIDToken }
func (asked) IsScopeAllowed(string) bool             { return false }
func (a asked) RedirectURIs() []string               { return a.redirectURIs }

func (s *store) groupsOf(person string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groups[person]
}

func (s *store) SetUserinfoFromRequest(
	ctx context.Context, info *oidc.UserInfo, request op.IDTokenRequest, scopes []string,
) error {
	s.mu.Lock()
	leaveOut := s.onlyUserinfo
	s.mu.Unlock()
	if groups := s.groupsOf(request.GetSubject()); groups != nil && !leaveOut {
		info.AppendClaims("groups", groups)
	}
	return s.Storage.SetUserinfoFromRequest(ctx, info, request, scopes)
}

func (s *store) SetUserinfoFromToken(ctx context.Context, info *oidc.UserInfo, token, subject, origin string) error {
	if groups := s.groupsOf(subject); groups != nil {
		info.AppendClaims("groups", groups)
	}
	return s.Storage.SetUserinfoFromToken(ctx, info, token, subject, origin)
}

func (s *store) GetPrivateClaimsFromScopes(_ context.Context, person, _ string, _ []string) (map[string]any, error) {
	if groups := s.groupsOf(person); groups != nil {
		return map[string]any{"groups": groups}, nil
	}
	return nil, nil //nolint:nilnil // No claims are an answer.
}
