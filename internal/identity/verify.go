package identity

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"

	"github.com/coreos/go-oidc/v3/oidc"
)

// maxKeptText bounds the texts of the claims of a token that is remembered, in bytes: 10,000 of
// them must fit into memory. A token with longer ones is verified each time.
const maxKeptText = 4 << 10

// verifiedKey is a token, by its hash, and everything of a provider that its claims depend on:
// when a provider is changed, nothing that was verified before is found.
type verifiedKey struct {
	token                      [sha256.Size]byte
	issuer, clientID, audience string
	claims                     ClaimNames
}

type verifiedToken struct {
	claims Claims
	// signedWith is the key without which the token is not valid any more.
	signedWith thumbprint
}

// Verify verifies a token that came with a request: an access token for the provider's audience,
// or an ID token where that is the client. The error is ErrInvalid, ErrExpired or ErrUnavailable.
//
// Keys are those of the provider, whose server is asked only where a token has a key that is not
// known. A token that was verified before costs little more than its hash.
func (v *Verifier) Verify(ctx context.Context, p Provider, rawToken string) (Claims, error) {
	if len(rawToken) > maxTokenBytes {
		v.metrics.invalid.Inc()
		return Claims{}, invalid("it is longer than 16 KiB")
	}
	known := verifiedKey{
		token:    sha256.Sum256([]byte(rawToken)),
		issuer:   p.Issuer,
		clientID: p.ClientID,
		audience: p.Audience,
		claims:   p.Claims,
	}
	if claims, ok := v.remembered(known); ok {
		v.metrics.cached.Inc()
		return claims, nil
	}

	claims, signed, err := v.verify(ctx, p, rawToken, forRequest)
	v.metrics.count(err)
	if err != nil {
		return Claims{}, err
	}
	if textBytes(claims) <= maxKeptText {
		v.verified.Add(known, verifiedToken{claims, signed.with})
	}
	v.keepClaimed(known.token, rawToken)
	claims.Groups = slices.Clone(claims.Groups)
	return claims, nil
}

// remembered returns the claims of a token that was verified before, and would be again: it has
// not expired, and its provider still has its key.
func (v *Verifier) remembered(known verifiedKey) (Claims, bool) {
	token, ok := v.verified.Get(known)
	if !ok {
		return Claims{}, false
	}
	s, ok := v.sources.Get(known.issuer)
	if !ok {
		return Claims{}, false
	}
	current := s.current.Load()
	if current == nil {
		return Claims{}, false
	}

	age := v.age(current)
	isValid := checkExpiry(token.claims.ExpiresAt, v.now()) == nil
	if !isValid || age > maxKeysAge || !current.keys.holds(token.signedWith) {
		v.verified.Remove(known)
		return Claims{}, false
	}
	if age > refreshAge {
		v.beginFetch(s, current)
	}

	claims := token.claims
	claims.Groups = slices.Clone(claims.Groups) // Nobody can change what others get.
	return claims, true
}

// signed is a token with the right signature.
type signed struct {
	token   *oidc.IDToken
	payload []byte
	with    thumbprint
}

// verify verifies a token for a purpose, without looking whether it was verified before.
func (v *Verifier) verify(ctx context.Context, p Provider, rawToken string, use purpose) (Claims, signed, error) {
	if !LooksLikeToken(rawToken) {
		return Claims{}, signed{}, invalid("it does not have the form of a signed token")
	}
	h, err := readHeader(rawToken)
	if err != nil {
		return Claims{}, signed{}, err
	}
	token, err := v.verifySignature(ctx, p.Issuer, rawToken, h)
	if err != nil {
		return Claims{}, signed{}, err
	}
	claims, err := readClaims(token.payload, h, p, use, v.now())
	return claims, token, err
}

// verifySignature verifies a token's signature by the key that it names. Where the provider has no
// such key, or another one of that name, it may have changed keys: it is asked, unless it was a
// moment ago.
func (v *Verifier) verifySignature(ctx context.Context, issuer, rawToken string, h header) (signed, error) {
	s := v.source(issuer)
	known, err := v.usable(ctx, s)
	if err != nil {
		return signed{}, err
	}
	chosen, found := known.keys.choose(h.KeyID, h.Algorithm)
	if found {
		if token, err := signedWith(ctx, chosen, rawToken, h); err == nil {
			return token, nil
		}
	}

	fetched, err := v.newer(ctx, s, known)
	switch {
	case errors.Is(err, errAskedBefore) || err != nil && found:
		return signed{}, unknownKey(found)
	case err != nil:
		return signed{}, err // It may well have such a key by now.
	}
	again, stillFound := fetched.keys.choose(h.KeyID, h.Algorithm)
	if !stillFound || found && again.thumbprint == chosen.thumbprint {
		return signed{}, unknownKey(stillFound)
	}
	return signedWith(ctx, again, rawToken, h)
}

func unknownKey(found bool) error {
	if found {
		return invalid("its signature is wrong, or its claims are of the wrong form")
	}
	return invalid("its key is not one of its issuer's, or is for another algorithm")
}

// signedWith verifies a token's signature by one key and the algorithm that its header names,
// which the key is for.
func signedWith(ctx context.Context, k key, rawToken string, h header) (signed, error) {
	verifier := oidc.NewVerifier("", &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{k.public}}, &oidc.Config{
		SupportedSigningAlgs: []string{h.Algorithm},
		// readClaims checks all of these, more strictly.
		SkipClientIDCheck: true,
		SkipExpiryCheck:   true,
		SkipIssuerCheck:   true,
	})
	token, err := verifier.Verify(ctx, rawToken)
	if err != nil {
		return signed{}, unknownKey(true)
	}

	var payload json.RawMessage
	if err := token.Claims(&payload); err != nil {
		return signed{}, unknownKey(true)
	}
	return signed{token: token, payload: payload, with: k.thumbprint}, nil
}

func textBytes(claims Claims) int {
	length := len(claims.Subject) + len(claims.Name) + len(claims.Email) + len(claims.AuthorizedParty)
	for _, group := range claims.Groups {
		length += len(group)
	}
	return length
}
