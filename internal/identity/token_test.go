package identity

import (
	"encoding/base64"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
)

func TestTellsTokensFromAPIKeys(t *testing.T) {
	for raw, want := range map[string]bool{
		"a.b.c":         true,
		"eyJ-_0.A.z":    true,
		"":              false,
		".":             false,
		"..":            false,
		"a.b":           false,
		"a.b.":          false,
		".b.c":          false,
		"a..c":          false,
		"a.b.c.d":       false,
		"a.b.c.":        false,
		"a.b.c=":        false,
		"a.b.c+/":       false,
		" a.b.c":        false,
		"a.b.c\n":       false,
		"a.b.ä":         false,
		"egk_8X4xXAyzA": false,
		"a.b." + strings.Repeat("c", maxTokenBytes-4): true,
		"a.b." + strings.Repeat("c", maxTokenBytes-3): false,
	} {
		if got := LooksLikeToken(raw); got != want {
			t.Errorf("%.30q: %v, want %v", raw, got, want)
		}
	}
}

func TestReadsWhomATokenClaimsToBeFrom(t *testing.T) {
	v := start(t, nil)
	for name, c := range map[string]struct {
		claims    string
		issuer    string
		audiences []string
		ok        bool
	}{
		"one audience":          {`{"iss":"https://a","aud":"x","sub":1}`, "https://a", []string{"x"}, true},
		"several audiences":     {`{"aud":["x","y"],"iss":"https://a"}`, "https://a", []string{"x", "y"}, true},
		"no audience":           {`{"iss":"https://a"}`, "https://a", nil, true},
		"an audience of no use": {`{"iss":"https://a","aud":1}`, "", nil, false},
		"no issuer":             {`{"aud":"x"}`, "", nil, false},
		"an empty issuer":       {`{"iss":""}`, "", nil, false},
		"two issuers":           {`{"iss":"https://a","iss":"https://b"}`, "", nil, false},
		"no object":             {`"iss"`, "", nil, false},
		"no JSON":               {`{`, "", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			read, ok := v.Claimed(identitytest.Unsigned(`{}`, c.claims, []byte("x")))
			if ok != c.ok || ok && (read.Issuer != c.issuer || !slices.Equal(read.Audiences, c.audiences)) {
				t.Errorf("%q, %v", read, ok)
			}
		})
	}
	if _, ok := v.Claimed("egk_8X4xXAyzA"); ok {
		t.Error("an API key has an issuer")
	}
	if _, ok := v.Claimed("a.b.c"); ok { // b is not base64url: a single character of it has no byte.
		t.Error("a part that cannot be decoded has an issuer")
	}
}

// What is remembered of verified tokens is what each of them says.
func TestReadsWhomAVerifiedTokenIsFrom(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	for _, audiences := range [][]string{{identitytest.Client}, {identitytest.Client, "another"}} {
		token := key.Sign(t, nil, f.Claims(v.now(), map[string]any{"aud": audiences, "azp": identitytest.Client}))
		before, _ := v.Claimed(token)
		if _, err := v.Verify(t.Context(), forged(f), token); err != nil {
			t.Fatal(err)
		}
		after, ok := v.Claimed(token)
		if !ok || after.Issuer != f.Issuer || !slices.Equal(after.Audiences, audiences) || !reflect.DeepEqual(before, after) {
			t.Errorf("%v, and before it was verified %v", after, before)
		}
	}
}

func FuzzLooksLikeToken(f *testing.F) {
	for _, seed := range []string{"a.b.c", "egk_x", "..", "a.b.c.d", "\x00.a.b"} {
		f.Add(seed)
	}
	form := regexp.MustCompile(`\A[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\z`)
	f.Fuzz(func(t *testing.T, raw string) {
		if got, want := LooksLikeToken(raw), len(raw) <= maxTokenBytes && form.MatchString(raw); got != want {
			t.Errorf("%q: %v, want %v", raw, got, want)
		}
	})
}

func FuzzReadClaimed(f *testing.F) {
	for _, seed := range []string{`{"iss":"https://a","aud":["x"]}`, `{"iss":1}`, `[]`, `{"iss":"a","aud":{"x":[]}}`, `{"iss":"https://a","aud":"x","sub":"s","iat":1,"exp":2e9}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, claims string) {
		raw := "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".x"
		read, ok := readClaimed(raw)
		issuer := read.Issuer
		if ok != (issuer != "") {
			t.Errorf("%q: issuer %q, %v", claims, issuer, ok)
		}
		// What can be verified can be found.
		p := Provider{Issuer: "https://a", ClientID: "x"}
		_, err := readClaims([]byte(claims), header{}, p, forRequest, time.Unix(150, 0))
		if err == nil && issuer != p.Issuer && LooksLikeToken(raw) {
			t.Errorf("%q is of %q, and verifies as of %q", claims, issuer, p.Issuer)
		}
	})
}
