package identity

import (
	"fmt"
	"testing"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
)

// BenchmarkVerify verifies a token of usual size: remembered, as all but the first are, and anew.
func BenchmarkVerify(b *testing.B) {
	for _, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.ES256} {
		key := identitytest.NewKey(b, "k1", algorithm)
		f, v := identitytest.StartForge(b, key.Public()), start(b, nil)
		p := forged(f)
		token := key.Sign(b, map[string]any{"typ": "JWT"}, usualClaims(f, v))
		b.Run(fmt.Sprintf("remembered/%s", algorithm), func(b *testing.B) {
			for b.Loop() {
				if _, err := v.Verify(b.Context(), p, token); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("anew/%s", algorithm), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := v.verify(b.Context(), p, token, forRequest); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// usualClaims are about what Keycloak puts into a token.
func usualClaims(f *identitytest.Forge, v fixture) map[string]any {
	return f.Claims(v.now(), map[string]any{
		"jti": "2f9c6e6a-6a0e-4d0c-9a57-3a6f5fd7a0d1", "sid": "a1c7e1b2-9f44-4a1e-8a77-5a2f1f0b7d4e", "azp": identitytest.Client,
		"name": "Ann Example", "email": "ann@example.com", "email_verified": true, "scope": "openid profile email",
		"groups":       []string{"approvers", "operators", "construction", "trade-finance", "emea"},
		"realm_access": map[string]any{"roles": []string{"default-roles-bank", "offline_access", "uma_authorization"}},
	})
}

// BenchmarkClaimed reads whom a token is from: of one that was verified, as most were, and of another.
func BenchmarkClaimed(b *testing.B) {
	key := es256(b)
	f, v := identitytest.StartForge(b, key.Public()), start(b, nil)
	verified, another := key.Sign(b, nil, usualClaims(f, v)), es256(b).Sign(b, nil, usualClaims(f, v))
	if _, err := v.Verify(b.Context(), forged(f), verified); err != nil {
		b.Fatal(err)
	}

	for name, token := range map[string]string{"verified": verified, "another": another} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, ok := v.Claimed(token); !ok {
					b.Fatal("no issuer")
				}
			}
		})
	}
}

func BenchmarkLooksLikeToken(b *testing.B) {
	key := es256(b)
	f, v := identitytest.StartForge(b, key.Public()), start(b, nil)
	token := key.Sign(b, nil, usualClaims(f, v))
	for b.Loop() {
		if !LooksLikeToken(token) {
			b.Fatal("no token")
		}
	}
}
