package identity

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"

	jose "github.com/go-jose/go-jose/v4"
)

// Bounds of a provider's keys.
const (
	// maxKeys is some times what providers have while they change keys.
	maxKeys = 50
	// A smaller RSA key can be broken; with a larger one, a forged token costs more than it should.
	minRSABits, maxRSABits = 2048, 8192
)

// fits tells for every algorithm that is allowed whether a public key is one for it. There is
// none here that needs a shared secret, and none without a signature.
var fits = map[string]func(crypto.PublicKey) bool{
	"RS256": isRSA, "RS384": isRSA, "RS512": isRSA,
	"PS256": isRSA, "PS384": isRSA, "PS512": isRSA,
	"ES256": isOn(elliptic.P256()), "ES384": isOn(elliptic.P384()), "ES512": isOn(elliptic.P521()),
	"EdDSA": func(public crypto.PublicKey) bool { _, ok := public.(ed25519.PublicKey); return ok },
}

func isRSA(public crypto.PublicKey) bool {
	key, ok := public.(*rsa.PublicKey)
	return ok && key.N.BitLen() >= minRSABits && key.N.BitLen() <= maxRSABits
}

func isOn(curve elliptic.Curve) func(crypto.PublicKey) bool {
	return func(public crypto.PublicKey) bool {
		key, ok := public.(*ecdsa.PublicKey)
		return ok && key.Curve == curve
	}
}

// thumbprint is the hash of a key itself, by RFC 7638: not of its id or its use.
type thumbprint [sha256.Size]byte

// key is a public key that a provider signs tokens with.
type key struct {
	id string
	// algorithm is the only one that the key is for; empty where the provider does not say.
	algorithm  string
	public     crypto.PublicKey
	thumbprint thumbprint
}

func (k key) isFor(algorithm string) bool {
	return (k.algorithm == "" || k.algorithm == algorithm) && fits[algorithm](k.public)
}

// keySet are the keys that a provider has published at one time.
type keySet struct {
	keys   []key
	prints map[thumbprint]bool
}

func (s keySet) holds(hash thumbprint) bool { return s.prints[hash] }

// choose returns the key that a token must be signed with. A token that names none has one only
// where a single key is for its algorithm: to try them all would be work for every forged token.
func (s keySet) choose(id, algorithm string) (chosen key, found bool) {
	for _, candidate := range s.keys {
		if !candidate.isFor(algorithm) || id != "" && candidate.id != id {
			continue
		}
		if id != "" {
			return candidate, true
		}
		if found {
			return key{}, false
		}
		chosen, found = candidate, true
	}
	return chosen, found
}

// publishedKey are the members of a key of a provider that matter. The certificates that some
// add are not among them: keys are trusted for where they come from.
type publishedKey struct {
	Type       string          `json:"kty"`
	Use        string          `json:"use,omitempty"`
	Operations []string        `json:"key_ops,omitempty"`
	Algorithm  string          `json:"alg,omitempty"`
	ID         string          `json:"kid,omitempty"`
	Curve      string          `json:"crv,omitempty"`
	N          string          `json:"n,omitempty"`
	E          string          `json:"e,omitempty"`
	X          string          `json:"x,omitempty"`
	Y          string          `json:"y,omitempty"`
	Private    json.RawMessage `json:"d,omitempty"`
}

// readKeys reads a JSON Web Key Set. Keys that sign no tokens, or cannot be used here, are left
// out, as RFC 7517 wants it; one whose private half was published is nobody's.
func readKeys(body []byte) (keySet, error) {
	var published struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &published); err != nil {
		return keySet{}, errors.New("the keys are not a JSON Web Key Set")
	}
	if len(published.Keys) > maxKeys {
		return keySet{}, fmt.Errorf("there are %d keys, and at most %d are read", len(published.Keys), maxKeys)
	}

	set := keySet{prints: make(map[thumbprint]bool)}
	for _, raw := range published.Keys {
		var member publishedKey
		if json.Unmarshal(raw, &member) != nil || !member.signsTokens() {
			continue
		}
		if k, err := member.read(); err == nil {
			set.keys = append(set.keys, k)
			set.prints[k.thumbprint] = true
		}
	}
	if len(set.keys) == 0 {
		return keySet{}, errors.New("there is no key that can sign tokens")
	}
	return set, nil
}

func (p publishedKey) signsTokens() bool {
	return p.Private == nil &&
		(p.Use == "" || p.Use == "sig") &&
		(len(p.Operations) == 0 || slices.Contains(p.Operations, "verify")) &&
		(p.Algorithm == "" || fits[p.Algorithm] != nil)
}

func (p publishedKey) read() (key, error) {
	encoded, err := json.Marshal(p)
	if err != nil {
		return key{}, err
	}
	var read jose.JSONWebKey
	if err := json.Unmarshal(encoded, &read); err != nil {
		return key{}, err
	}
	hash, err := read.Thumbprint(crypto.SHA256)
	if err != nil {
		return key{}, err
	}

	k := key{id: p.ID, algorithm: p.Algorithm, public: read.Key, thumbprint: thumbprint(hash)}
	for algorithm := range fits {
		if k.isFor(algorithm) {
			return k, nil
		}
	}
	return key{}, errors.New("it is for no algorithm that is allowed")
}

// fetchKeys fetches the keys at a URL.
func (v *Verifier) fetchKeys(ctx context.Context, url string) (keySet, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return keySet{}, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := v.client.Do(request)
	if err != nil {
		return keySet{}, err
	}
	defer response.Body.Close()

	if response.StatusCode != http.StatusOK {
		return keySet{}, fmt.Errorf("the keys were answered with status %d", response.StatusCode)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return keySet{}, err
	}
	return readKeys(body)
}
