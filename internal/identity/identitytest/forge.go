package identitytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
)

// Key is a key to sign tokens with.
type Key struct {
	ID        string
	Algorithm jose.SignatureAlgorithm
	Private   crypto.Signer
}

// NewKey makes a key for an algorithm.
func NewKey(tb testing.TB, id string, algorithm jose.SignatureAlgorithm) Key {
	tb.Helper()
	var private crypto.Signer
	var err error
	switch algorithm { //nolint:exhaustive // The rest are those of RSA.
	case jose.ES256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.ES512:
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case jose.EdDSA:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return Key{id, algorithm, private}
}

// Public is the key as a provider publishes it.
func (k Key) Public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: string(k.Algorithm), Use: "sig"}
}

// Sign signs claims, with more members of the header. A member kid takes the place of the key's id.
func (k Key) Sign(tb testing.TB, headers map[string]any, claims any) string {
	tb.Helper()
	options := &jose.SignerOptions{}
	options.WithHeader("kid", k.ID)
	for name, value := range headers {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.Algorithm, Key: k.Private}, options)
	if err != nil {
		tb.Fatal(err)
	}

	payload, isRaw := claims.([]byte)
	if !isRaw {
		if payload, err = json.Marshal(claims); err != nil {
			tb.Fatal(err)
		}
	}
	signature, err := signer.Sign(payload)
	if err != nil {
		tb.Fatal(err)
	}
	token, err := signature.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return token
}

// Unsigned puts a token together from its parts, whatever they are.
func Unsigned(header, claims string, signature []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(claims)) + "." + encode(signature)
}

// Forge is a provider that publishes and answers what a test wants.
type Forge struct {
	Issuer string
	server *httptest.Server

	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	asked   map[string]int
}

// StartForge starts a provider over plain HTTP, until the end of the test. It publishes the keys.
func StartForge(tb testing.TB, keys ...jose.JSONWebKey) *Forge {
	tb.Helper()
	f := &Forge{answers: make(map[string]http.HandlerFunc), asked: make(map[string]int)}
	f.server = httptest.NewServer(f)
	tb.Cleanup(f.server.Close)

	f.Issuer = f.server.URL
	f.Describe(nil)
	f.Publish(keys...)
	return f
}

// The paths of a forge.
const (
	DocumentPath = "/.well-known/openid-configuration"
	KeysPath     = "/keys"
	TokenPath    = "/token"
	UserinfoPath = "/userinfo"
)

// Describe changes members of the discovery document; nil takes one away.
func (f *Forge) Describe(changes map[string]any) {
	document := map[string]any{
		"issuer":                                f.Issuer,
		"authorization_endpoint":                f.Issuer + "/authorize",
		"token_endpoint":                        f.Issuer + TokenPath,
		"jwks_uri":                              f.Issuer + KeysPath,
		"id_token_signing_alg_values_supported": []string{"RS256"},
	}
	for name, value := range changes {
		document[name] = value
		if value == nil {
			delete(document, name)
		}
	}
	f.AnswerJSON(DocumentPath, http.StatusOK, document)
}

// Publish has the provider publish these keys and no others.
func (f *Forge) Publish(keys ...jose.JSONWebKey) {
	f.AnswerJSON(KeysPath, http.StatusOK, jose.JSONWebKeySet{Keys: keys})
}

// Answer sets how requests to a path are answered.
func (f *Forge) Answer(path string, answer http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[path] = answer
}

// AnswerJSON sets the answer to requests to a path.
func (f *Forge) AnswerJSON(path string, status int, body any) {
	f.Answer(path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	})
}

// Asked returns how often a path was asked for.
func (f *Forge) Asked(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[path]
}

// Stop makes the provider unreachable for the rest of the test.
func (f *Forge) Stop() { f.server.Close() }

// ServeHTTP answers a request.
func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.asked[r.URL.Path]++
	answer := f.answers[r.URL.Path]
	f.mu.Unlock()

	if answer == nil {
		http.NotFound(w, r)
		return
	}
	answer(w, r)
}

// Claims are those of a good ID token for Client, issued at a time and with changes; nil takes a
// claim away.
func (f *Forge) Claims(at time.Time, changes map[string]any) map[string]any {
	claims := map[string]any{
		"iss": f.Issuer,
		"sub": Person,
		"aud": Client,
		"iat": at.Unix(),
		"exp": at.Add(time.Hour).Unix(),
	}
	for name, value := range changes {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}
