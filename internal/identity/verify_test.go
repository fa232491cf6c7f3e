package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
)

func TestVerifiesTokensOfARealProvider(t *testing.T) {
	p := identitytest.Start(t)
	p.SetGroups(identitytest.Person, "approvers", "operators")
	v := start(t, p.HTTP())
	provider := Provider{Issuer: p.Issuer, ClientID: identitytest.Client}
	idToken, accessToken := p.Tokens(t, identitytest.Client, identitytest.Person)

	claims, err := v.Verify(t.Context(), provider, idToken)
	if err != nil {
		t.Fatal(err)
	}
	if claims.IssuedAt.IsZero() || !claims.ExpiresAt.After(claims.IssuedAt) {
		t.Errorf("issued at %s, expires at %s", claims.IssuedAt, claims.ExpiresAt)
	}
	claims.IssuedAt, claims.ExpiresAt = time.Time{}, time.Time{}
	want := Claims{
		Issuer: p.Issuer, Subject: identitytest.Person, Name: "Test User", Email: "test-user@zitadel.ch",
		Groups: []string{"approvers", "operators"}, AuthorizedParty: identitytest.Client,
	}
	if diff := cmp.Diff(want, claims); diff != "" {
		t.Errorf("ID token (-want +got):\n%s", diff)
	}

	claims, err = v.Verify(t.Context(), provider, accessToken)
	if err != nil {
		t.Fatal(err)
	}
	if claims.Subject != identitytest.Person || !slices.Equal(claims.Groups, want.Groups) {
		t.Errorf("the access token has the claims %+v", claims)
	}
}

func TestRefusesTokensOfARealProviderForOthers(t *testing.T) {
	p := identitytest.Start(t)
	v := start(t, p.HTTP())
	idToken, accessToken := p.Tokens(t, identitytest.OtherClient, identitytest.Person)
	for _, token := range []string{idToken, accessToken} {
		_, err := v.Verify(t.Context(), Provider{Issuer: p.Issuer, ClientID: identitytest.Client}, token)
		wantError(t, err, ErrInvalid, "for another audience")
	}
}

// A group that somebody was taken out of must not be in the next token's claims, nor stay
// because the token before was remembered.
func TestReadsGroupsAnewWithEachToken(t *testing.T) {
	p := identitytest.Start(t)
	v := start(t, p.HTTP())
	for _, groups := range [][]string{{"approvers", "operators"}, {"operators"}} {
		p.SetGroups(identitytest.Person, groups...)
		token, _ := p.Tokens(t, identitytest.Client, identitytest.Person)
		claims, err := v.Verify(t.Context(), Provider{Issuer: p.Issuer, ClientID: identitytest.Client}, token)
		if err != nil || !slices.Equal(claims.Groups, groups) {
			t.Errorf("groups %v, %v, want %v", claims.Groups, err, groups)
		}
	}
}

func TestVerifiesEveryAllowedAlgorithm(t *testing.T) {
	for algorithm := range fits {
		t.Run(algorithm, func(t *testing.T) {
			key := identitytest.NewKey(t, "k1", jose.SignatureAlgorithm(algorithm))
			f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
			if _, err := v.Verify(t.Context(), forged(f), key.Sign(t, nil, f.Claims(v.now(), nil))); err != nil {
				t.Error(err)
			}
		})
	}
}

// attack is what the makers of bad tokens have to work with: two keys of the provider, and one of
// nobody's.
type attack struct {
	*identitytest.Forge
	now         time.Time
	rsa, ec, no identitytest.Key
}

func (a attack) good() map[string]any { return a.Claims(a.now, nil) }

// headed signs good claims with members in the header.
func (a attack) headed(t *testing.T, headers map[string]any) string {
	t.Helper()
	return a.rsa.Sign(t, headers, a.good())
}

// claiming signs claims with changes.
func (a attack) claiming(t *testing.T, changes map[string]any) string {
	t.Helper()
	return a.rsa.Sign(t, nil, a.Claims(a.now, changes))
}

// swap changes a part of a token: 0 is the header, 1 the claims.
func swap(token string, part int, to string) string {
	parts := strings.Split(token, ".")
	parts[part] = base64.RawURLEncoding.EncodeToString([]byte(to))
	return strings.Join(parts, ".")
}

const otherClaims = `{"iss":"https://example.com","sub":"root","aud":"escrowgrid","iat":0,"exp":9999999999}`

func TestRefusesBadTokens(t *testing.T) {
	const (
		wrongSignature = "its signature is wrong"
		wrongKey       = "its key is not one of its issuer's"
		wrongAlgorithm = "its algorithm is not allowed"
		wrongHeader    = "its header"
		wrongForm      = "not have the form"
	)
	for name, c := range map[string]struct {
		token  func(*testing.T, attack) string
		kind   error
		reason string
	}{
		"nothing":               {func(*testing.T, attack) string { return "" }, ErrInvalid, wrongForm},
		"an API key":            {func(*testing.T, attack) string { return "egk_8X4xXAyzAkPuWVZZ1Nc" }, ErrInvalid, wrongForm},
		"white space around it": {func(t *testing.T, a attack) string { return " " + a.headed(t, nil) + "\n" }, ErrInvalid, wrongForm},
		"JSON serialization":    {func(*testing.T, attack) string { return `{"payload":"","signatures":[]}` }, ErrInvalid, wrongForm},
		"longer than 16 KiB": {func(t *testing.T, a attack) string {
			return a.headed(t, map[string]any{"x": strings.Repeat("a", 16<<10)})
		}, ErrInvalid, "longer than 16 KiB"},
		"no signature":             {func(t *testing.T, a attack) string { s := a.headed(t, nil); return s[:strings.LastIndexByte(s, '.')+1] }, ErrInvalid, wrongForm},
		"a header that is no JSON": {func(t *testing.T, a attack) string { return swap(a.headed(t, nil), 0, "garbage") }, ErrInvalid, wrongHeader},
		"two algorithms": {func(t *testing.T, a attack) string {
			return swap(a.headed(t, nil), 0, `{"alg":"RS256","alg":"none","kid":"rsa"}`)
		}, ErrInvalid, wrongHeader},

		"alg none": {func(*testing.T, attack) string {
			return identitytest.Unsigned(`{"alg":"none","kid":"rsa"}`, otherClaims, []byte("x"))
		}, ErrInvalid, wrongAlgorithm},
		"alg nOnE": {func(*testing.T, attack) string {
			return identitytest.Unsigned(`{"alg":"nOnE"}`, otherClaims, []byte("x"))
		}, ErrInvalid, wrongAlgorithm},
		"no alg": {func(t *testing.T, a attack) string { return swap(a.headed(t, nil), 0, `{"kid":"rsa"}`) }, ErrInvalid, wrongAlgorithm},
		"HMAC with the public RSA key": {func(t *testing.T, a attack) string {
			public, err := x509.MarshalPKIXPublicKey(a.rsa.Private.Public())
			if err != nil {
				t.Fatal(err)
			}
			secret := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
			unsigned := strings.TrimSuffix(identitytest.Unsigned(`{"alg":"HS256","kid":"rsa"}`, otherClaims, nil), ".")
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(unsigned))
			return unsigned + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
		}, ErrInvalid, wrongAlgorithm},
		"RS256 by the EC key": {func(t *testing.T, a attack) string {
			return swap(a.ec.Sign(t, nil, a.good()), 0, `{"alg":"RS256","kid":"ec"}`)
		}, ErrInvalid, wrongKey},
		"ES256 by the RSA key": {func(t *testing.T, a attack) string {
			return swap(a.headed(t, nil), 0, `{"alg":"ES256","kid":"rsa"}`)
		}, ErrInvalid, wrongKey},
		"ES384 by a key on P-256": {func(t *testing.T, a attack) string {
			return swap(a.ec.Sign(t, nil, a.good()), 0, `{"alg":"ES384","kid":"ec"}`)
		}, ErrInvalid, wrongKey},
		"PS256 by a key for RS256": {func(t *testing.T, a attack) string {
			key := a.rsa
			key.Algorithm = jose.PS256
			return key.Sign(t, nil, a.good())
		}, ErrInvalid, wrongKey},

		"signed with another key of the provider": {func(t *testing.T, a attack) string {
			return a.no.Sign(t, map[string]any{"kid": "rsa"}, a.good())
		}, ErrInvalid, wrongSignature},
		"a kid that is not there":      {func(t *testing.T, a attack) string { return a.no.Sign(t, nil, a.good()) }, ErrInvalid, wrongKey},
		"a kid that is a path":         {func(t *testing.T, a attack) string { return a.headed(t, map[string]any{"kid": "../../dev/null"}) }, ErrInvalid, wrongKey},
		"a kid that is no text":        {func(t *testing.T, a attack) string { return swap(a.headed(t, nil), 0, `{"alg":"RS256","kid":1}`) }, ErrInvalid, wrongHeader},
		"claims changed after signing": {func(t *testing.T, a attack) string { return swap(a.headed(t, nil), 1, otherClaims) }, ErrInvalid, wrongSignature},
		"crit":                         {func(t *testing.T, a attack) string { return a.headed(t, map[string]any{"crit": []string{"x"}, "x": 1}) }, ErrInvalid, "extensions"},
		"a payload that is not encoded": {func(t *testing.T, a attack) string {
			return a.headed(t, map[string]any{"b64": false, "crit": []string{"b64"}})
		}, ErrInvalid, "extensions"},
		"b64 without crit": {func(t *testing.T, a attack) string {
			return swap(a.headed(t, nil), 0, `{"alg":"RS256","kid":"rsa","b64":false}`)
		}, ErrInvalid, "extensions"},
		"its own key in jwk": {func(t *testing.T, a attack) string {
			return a.no.Sign(t, map[string]any{"jwk": a.no.Public(), "kid": "rsa"}, a.good())
		}, ErrInvalid, wrongSignature},
		"its own keys at jku": {func(t *testing.T, a attack) string {
			return a.no.Sign(t, map[string]any{"jku": a.Issuer + "/jku", "x5u": a.Issuer + "/jku"}, a.good())
		}, ErrInvalid, wrongKey},
		"the type of a logout token":    {func(t *testing.T, a attack) string { return a.headed(t, map[string]any{"typ": "logout+jwt"}) }, ErrInvalid, "another type"},
		"a logout token without a type": {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"events": map[string]any{}}) }, ErrInvalid, "events"},
		"bound to a client's key": {func(t *testing.T, a attack) string {
			return a.claiming(t, map[string]any{"cnf": map[string]any{"jkt": "x"}})
		}, ErrInvalid, "cnf"},
		"claims that are no object": {func(t *testing.T, a attack) string { return a.rsa.Sign(t, nil, []byte(`[]`)) }, ErrInvalid, wrongSignature},
		"a claim twice": {func(t *testing.T, a attack) string {
			return a.rsa.Sign(t, nil, []byte(`{"iss":"`+a.Issuer+`","sub":"a","sub":"b","aud":"escrowgrid","exp":9999999999,"iat":0}`))
		}, ErrInvalid, "not a JSON object of the right form"},
		"a claim in other letters": {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"sub": nil, "SUB": "root"}) }, ErrInvalid, "no subject"},
		"another issuer": {func(t *testing.T, a attack) string {
			return a.claiming(t, map[string]any{"iss": "https://example.com"})
		}, ErrInvalid, "another issuer"},
		"the issuer with a slash": {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"iss": a.Issuer + "/"}) }, ErrInvalid, "another issuer"},
		"no issuer":               {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"iss": nil}) }, ErrInvalid, "another issuer"},
		"no audience":             {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"aud": nil}) }, ErrInvalid, "no audience"},
		"an audience that is no text": {func(t *testing.T, a attack) string {
			return a.claiming(t, map[string]any{"aud": []any{"escrowgrid", 1}})
		}, ErrInvalid, wrongSignature},
		"no subject":       {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"sub": nil}) }, ErrInvalid, "no subject"},
		"an empty subject": {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"sub": ""}) }, ErrInvalid, "no subject"},
		"a subject of 256 characters": {func(t *testing.T, a attack) string {
			return a.claiming(t, map[string]any{"sub": strings.Repeat("ä", 256)})
		}, ErrInvalid, "too long"},
		"a subject with a line end":      {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"sub": "a\nb"}) }, ErrInvalid, "no subject"},
		"no expiry":                      {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"exp": nil}) }, ErrInvalid, "when it expires"},
		"an expiry in a text":            {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"exp": "9999999999"}) }, ErrInvalid, "when it expires"},
		"an expiry after the year 9999":  {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"exp": 1e15}) }, ErrInvalid, "when it expires"},
		"no time of issue":               {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"iat": nil}) }, ErrInvalid, "when it was issued"},
		"groups that are no texts":       {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"groups": []any{"a", nil}}) }, ErrInvalid, "not a list of texts"},
		"expired, and for somebody else": {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"exp": 1, "aud": "x"}) }, ErrInvalid, "another audience"},
		"expired":                        {func(t *testing.T, a attack) string { return a.claiming(t, map[string]any{"exp": 1}) }, ErrExpired, "1970-01-01T00:00:01Z"},
	} {
		t.Run(name, func(t *testing.T) {
			a := attack{rsa: rsaKey(t), ec: identitytest.NewKey(t, "ec", jose.ES256), no: otherRSAKey(t)}
			v := start(t, nil)
			ec := a.ec.Public()
			ec.Algorithm = "" // Its curve alone says what it is for.
			a.Forge, a.now = identitytest.StartForge(t, a.rsa.Public(), ec), v.now()
			token := c.token(t, a)
			claims, err := v.Verify(t.Context(), forged(a.Forge), token)
			wantError(t, err, c.kind, c.reason)
			if claims.Subject != "" {
				t.Errorf("it has the claims %+v", claims)
			}

			if err != nil && len(token) > 20 && strings.Contains(err.Error(), token[:20]) {
				t.Errorf("the error shows the token: %v", err)
			}
			if asked := a.Asked("/jku"); asked > 0 {
				t.Error("the token's own address was asked for keys")
			}
		})
	}
}

func TestIgnoresKeysThatATokenBrings(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	token := key.Sign(t, map[string]any{"jwk": key.Public(), "jku": f.Issuer + "/jku"}, f.Claims(v.now(), nil))
	if _, err := v.Verify(t.Context(), forged(f), token); err != nil || f.Asked("/jku") > 0 {
		t.Errorf("%v; the address was asked %d times", err, f.Asked("/jku"))
	}
}

func TestChecksWhomATokenIsFor(t *testing.T) {
	const api = "https://api.example.com"
	key := es256(t)
	f := identitytest.StartForge(t, key.Public())
	for name, c := range map[string]struct {
		audience, typ string
		claims        map[string]any
		party, reason string
	}{
		"an ID token":                            {"", "JWT", map[string]any{"aud": "escrowgrid"}, "", ""},
		"an ID token, the client named":          {"escrowgrid", "", map[string]any{"aud": []string{"escrowgrid"}, "azp": "escrowgrid"}, "escrowgrid", ""},
		"an ID token of another client":          {"", "", map[string]any{"aud": "other"}, "", "another audience"},
		"an ID token that another got for it":    {"", "", map[string]any{"azp": "other"}, "", "another client"},
		"an ID token for several":                {"", "", map[string]any{"aud": []string{"escrowgrid", "other"}}, "", "several audiences"},
		"an ID token for several, by the client": {"", "", map[string]any{"aud": []string{"escrowgrid", "other"}, "azp": "escrowgrid"}, "escrowgrid", ""},
		"an ID token where the API is meant":     {api, "JWT", map[string]any{"aud": "escrowgrid"}, "", "another audience"},
		"an access token":                        {api, "at+jwt", map[string]any{"aud": api, "client_id": "cli"}, "cli", ""},
		"an access token, the type in full":      {api, "application/AT+JWT", map[string]any{"aud": []string{"x", api}, "azp": "cli"}, "cli", ""},
		"an access token without its type":       {api, "JWT", map[string]any{"aud": api, "azp": "cli", "client_id": "no"}, "cli", ""},
		"an access token for another API":        {api, "at+jwt", map[string]any{"aud": "https://other.example.com"}, "", "another audience"},
		"an access token for the client":         {"", "at+jwt", map[string]any{"azp": "cli"}, "cli", ""},
		"an audience in other letters":           {api, "at+jwt", map[string]any{"aud": strings.ToUpper(api)}, "", "another audience"},
		"an audience that begins so":             {api, "at+jwt", map[string]any{"aud": api + "/"}, "", "another audience"},
		"an azp that is no text":                 {"", "", map[string]any{"azp": 1}, "", "azp is not a text"},
		"a client_id that is no text":            {api, "at+jwt", map[string]any{"aud": api, "client_id": 1}, "", "client_id is not a text"},
	} {
		t.Run(name, func(t *testing.T) {
			v := start(t, nil)
			p := forged(f)
			p.Audience = c.audience
			headers := map[string]any{"typ": c.typ}
			if c.typ == "" {
				headers = nil
			}
			claims, err := v.Verify(t.Context(), p, key.Sign(t, headers, f.Claims(v.now(), c.claims)))
			if c.reason != "" {
				wantError(t, err, ErrInvalid, c.reason)
			} else if err != nil || claims.AuthorizedParty != c.party {
				t.Errorf("party %q, %v, want %q", claims.AuthorizedParty, err, c.party)
			}
		})
	}
}

// A provider that was set up without a client or an audience accepts nothing.
func TestAcceptsNothingWithoutAnAudience(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	_, err := v.Verify(t.Context(), Provider{Issuer: f.Issuer}, key.Sign(t, nil, f.Claims(v.now(), map[string]any{"aud": ""})))
	wantError(t, err, ErrInvalid, "another audience")
}

func TestAllowsAMinuteBetweenClocks(t *testing.T) {
	key := es256(t)
	f := identitytest.StartForge(t, key.Public())
	for name, c := range map[string]struct {
		claim string
		// offset is how far the claim's time is from the verifier's, in seconds.
		offset int64
		kind   error
	}{
		"expired 59 s ago":      {"exp", -59, nil},
		"expired 60 s ago":      {"exp", -60, ErrExpired},
		"valid in 60 s":         {"nbf", 60, nil},
		"valid in 61 s":         {"nbf", 61, ErrInvalid},
		"issued in 60 s":        {"iat", 60, nil},
		"issued in 61 s":        {"iat", 61, ErrInvalid},
		"valid for a long time": {"nbf", -1e6, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := start(t, nil)
			token := key.Sign(t, nil, f.Claims(v.now(), map[string]any{c.claim: v.now().Unix() + c.offset}))
			for range 2 { // The second time it can be one that was remembered.
				if _, err := v.Verify(t.Context(), forged(f), token); !errors.Is(err, c.kind) {
					t.Errorf("%v, want %v", err, c.kind)
				}
			}
		})
	}
}

func TestRememberedTokensExpire(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	token := key.Sign(t, nil, f.Claims(v.now(), map[string]any{"exp": v.now().Add(time.Minute).Unix()}))
	for _, step := range []struct {
		after time.Duration
		kind  error
	}{{0, nil}, {time.Minute + 59*time.Second, nil}, {time.Second, ErrExpired}} {
		v.advance(step.after)
		if _, err := v.Verify(t.Context(), forged(f), token); !errors.Is(err, step.kind) {
			t.Errorf("%v, want %v", err, step.kind)
		}
	}
	if cached := v.metric(t, "escrowgrid_identity_tokens_total", "cached"); cached != 1 {
		t.Errorf("%v tokens were remembered, want 1", cached)
	}
}

func TestRemembersATokenForTheProviderAsItIs(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	token := key.Sign(t, nil, f.Claims(v.now(), map[string]any{"groups": "g", "roles": "r"}))
	p := forged(f)
	for range 3 {
		claims, err := v.Verify(t.Context(), p, token)
		if err != nil || !slices.Equal(claims.Groups, []string{"g"}) {
			t.Fatalf("groups %v, %v", claims.Groups, err)
		}
		claims.Groups[0] = "admins" // Must not be what the next one gets.
	}

	p.Claims.Groups = "roles"
	if claims, err := v.Verify(t.Context(), p, token); err != nil || !slices.Equal(claims.Groups, []string{"r"}) {
		t.Errorf("groups %v, %v, after the claim was changed", claims.Groups, err)
	}
	p.Audience = "https://api.example.com"
	_, err := v.Verify(t.Context(), p, token)
	wantError(t, err, ErrInvalid, "another audience")
	p = forged(f)
	p.ClientID = "other"
	_, err = v.Verify(t.Context(), p, token)
	wantError(t, err, ErrInvalid, "another audience")
}

// The claims of ten thousand tokens are kept: those that are too long for that are verified
// each time.
func TestRemembersNoLongClaims(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	groups := make([]string, 20)
	for i := range groups {
		groups[i] = strings.Repeat(string(rune('a'+i)), 250)
	}
	token := key.Sign(t, nil, f.Claims(v.now(), map[string]any{"groups": groups}))
	for range 2 {
		if _, err := v.Verify(t.Context(), forged(f), token); err != nil {
			t.Fatal(err)
		}
	}
	if verified := v.metric(t, "escrowgrid_identity_tokens_total", "verified"); verified != 2 || v.verified.Len() != 0 {
		t.Errorf("verified %v times, want 2; %d are remembered", verified, v.verified.Len())
	}
}
