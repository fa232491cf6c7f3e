package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	jose "github.com/go-jose/go-jose/v4"

	"github.com/escrowgrid/escrowgrid/internal/identity/identitytest"
)

const fetchesTotal = "escrowgrid_identity_provider_fetches_total"

// settle waits until nothing is fetched in the background.
func (f fixture) settle() { f.fetches.Wait() }

func TestARealProviderChangesItsKey(t *testing.T) {
	p := identitytest.Start(t)
	v := start(t, p.HTTP())
	provider := Provider{Issuer: p.Issuer, ClientID: identitytest.Client}
	before, _ := p.Tokens(t, identitytest.Client, identitytest.Person)
	if _, err := v.Verify(t.Context(), provider, before); err != nil {
		t.Fatal(err)
	}

	p.RotateKey(t, "second")
	after, _ := p.Tokens(t, identitytest.Client, identitytest.Person)
	_, err := v.Verify(t.Context(), provider, after)
	wantError(t, err, ErrInvalid, "its key is not one of its issuer's") // It was asked a moment ago.

	v.advance(refreshInterval)
	if _, err := v.Verify(t.Context(), provider, after); err != nil {
		t.Errorf("with the new key: %v", err)
	}
	if fetched := v.metric(t, fetchesTotal, "ok"); fetched != 2 {
		t.Errorf("fetched %v times, want 2", fetched)
	}
	_, err = v.Verify(t.Context(), provider, before)
	wantError(t, err, ErrInvalid, "its key is not one of its issuer's")
}

// A provider that removes a key, because it was stolen, ends the tokens that were signed with it,
// also those that are remembered.
func TestARemovedKeyEndsRememberedTokens(t *testing.T) {
	key, next := es256(t), identitytest.NewKey(t, "k2", jose.ES256)
	f, v := identitytest.StartForge(t, key.Public(), next.Public()), start(t, nil)
	token := key.Sign(t, nil, f.Claims(v.now(), nil))
	if _, err := v.Verify(t.Context(), forged(f), token); err != nil {
		t.Fatal(err)
	}

	f.Publish(next.Public())
	v.advance(refreshAge + time.Second)
	if _, err := v.Verify(t.Context(), forged(f), token); err != nil {
		t.Errorf("while the keys are fetched: %v", err)
	}
	v.settle()
	_, err := v.Verify(t.Context(), forged(f), token)
	wantError(t, err, ErrInvalid, "its key is not one of its issuer's")
}

// Keys under other names are other keys, and what was verified with one stays verified with it.
func TestAKeyThatIsPublishedAgainKeepsItsTokens(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	token := key.Sign(t, nil, f.Claims(v.now(), nil))
	for range 3 {
		if _, err := v.Verify(t.Context(), forged(f), token); err != nil {
			t.Fatal(err)
		}
		v.advance(refreshAge + time.Second)
		v.settle()
	}
	v.settle()
	if cached := v.metric(t, "escrowgrid_identity_tokens_total", "cached"); cached != 2 {
		t.Errorf("%v tokens were remembered, want 2", cached)
	}
	if fetched := f.Asked(identitytest.KeysPath); fetched != 3 {
		t.Errorf("the keys were asked for %d times, want 3", fetched)
	}
}

// Some providers change the key and keep its name.
func TestAKeyIsReplacedUnderItsName(t *testing.T) {
	key, next := es256(t), es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	if _, err := v.Verify(t.Context(), forged(f), key.Sign(t, nil, f.Claims(v.now(), nil))); err != nil {
		t.Fatal(err)
	}
	f.Publish(next.Public())
	v.advance(refreshInterval)
	if _, err := v.Verify(t.Context(), forged(f), next.Sign(t, nil, f.Claims(v.now(), nil))); err != nil {
		t.Error(err)
	}
	_, err := v.Verify(t.Context(), forged(f), key.Sign(t, nil, f.Claims(v.now(), map[string]any{"jti": "2"})))
	wantError(t, err, ErrInvalid, "its signature is wrong")
}

func TestForgedKeysDoNotMakeUsAskOften(t *testing.T) {
	key, nobodys := es256(t), identitytest.NewKey(t, "", jose.ES256)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	forgeries := func(count int) {
		var verifying sync.WaitGroup
		for i := range count {
			token := nobodys.Sign(t, map[string]any{"kid": fmt.Sprint("forged", i)}, f.Claims(v.now(), nil))
			verifying.Go(func() {
				_, err := v.Verify(t.Context(), forged(f), token)
				wantError(t, err, ErrInvalid, "its key is not one of its issuer's")
			})
		}
		verifying.Wait()
	}

	forgeries(50)
	if asked := f.Asked(identitytest.KeysPath); asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}
	v.advance(refreshInterval - time.Second)
	forgeries(10)
	if asked := f.Asked(identitytest.KeysPath); asked != 1 {
		t.Errorf("asked %d times before the interval was over, want once", asked)
	}
	v.advance(time.Second)
	forgeries(50)
	if asked := f.Asked(identitytest.KeysPath); asked != 2 {
		t.Errorf("asked %d times, want twice", asked)
	}
}

func TestGoesOnWhileAProviderIsDown(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	sign := func(id int) string {
		return key.Sign(t, nil, f.Claims(v.now(), map[string]any{"jti": id, "exp": v.now().Add(48 * time.Hour).Unix()}))
	}
	remembered := sign(0)
	if _, err := v.Verify(t.Context(), forged(f), remembered); err != nil {
		t.Fatal(err)
	}

	f.Stop()
	v.advance(maxKeysAge - time.Second)
	for range 2 {
		for _, token := range []string{remembered, sign(1)} {
			if _, err := v.Verify(t.Context(), forged(f), token); err != nil {
				t.Errorf("with known keys: %v", err)
			}
		}
		v.settle()
	}
	if failed, failing := v.metric(t, fetchesTotal, "failed"), v.metric(t, "escrowgrid_identity_providers_failing", ""); failed != 1 || failing != 1 {
		t.Errorf("%v fetches failed of %v providers, want 1 of 1", failed, failing)
	}
	if log := v.logged.String(); strings.Count(log, "could not be fetched") != 1 || !strings.Contains(log, f.Issuer) {
		t.Errorf("logged %s", log)
	}
	_, err := v.Verify(t.Context(), forged(f), identitytest.NewKey(t, "new", jose.ES256).Sign(t, nil, f.Claims(v.now(), nil)))
	wantError(t, err, ErrUnavailable, "")
	_, err = v.Verify(t.Context(), forged(f), es256(t).Sign(t, nil, f.Claims(v.now(), nil)))
	wantError(t, err, ErrInvalid, "its signature is wrong")

	v.advance(refreshInterval + 2*time.Second)
	for _, token := range []string{remembered, sign(2)} {
		_, err := v.Verify(t.Context(), forged(f), token)
		wantError(t, err, ErrUnavailable, "")
	}
	if log := v.logged.String(); strings.Count(log, "could not be fetched") != 1 {
		t.Errorf("logged more than once: %s", log)
	}
}

func TestAProviderThatIsDownFromTheStart(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	f.AnswerJSON(identitytest.DocumentPath, http.StatusBadGateway, "down")
	token := key.Sign(t, nil, f.Claims(v.now(), nil))
	for range 3 {
		_, err := v.Verify(t.Context(), forged(f), token)
		wantError(t, err, ErrUnavailable, "502")
	}
	if asked := f.Asked(identitytest.DocumentPath); asked != 1 {
		t.Errorf("asked %d times, want once", asked)
	}

	f.Describe(nil)
	v.advance(refreshInterval)
	if _, err := v.Verify(t.Context(), forged(f), token); err != nil {
		t.Error(err)
	}
	if log := v.logged.String(); !strings.Contains(log, "fetched again") {
		t.Errorf("logged %s", log)
	}
	if failing := v.metric(t, "escrowgrid_identity_providers_failing", ""); failing != 0 {
		t.Errorf("%v providers are failing, want none", failing)
	}
}

func TestTellsOfAProviderThatIsDownBeforeAnybodyNeedsIt(t *testing.T) {
	f, v := identitytest.StartForge(t, es256(t).Public()), start(t, nil)
	f.Stop()
	v.Prepare(f.Issuer)
	v.settle()
	if log := v.logged.String(); strings.Count(log, "could not be fetched") != 1 || !strings.Contains(log, f.Issuer) {
		t.Errorf("logged %s", log)
	}
}

func TestTwoProvidersWithTheSameKeyID(t *testing.T) {
	ours, theirs := es256(t), es256(t)
	a, b, v := identitytest.StartForge(t, ours.Public()), identitytest.StartForge(t, theirs.Public()), start(t, nil)
	if _, err := v.Verify(t.Context(), forged(b), theirs.Sign(t, nil, b.Claims(v.now(), nil))); err != nil {
		t.Fatal(err)
	}
	// It claims to be of the one, and is signed by the other.
	token := theirs.Sign(t, nil, a.Claims(v.now(), nil))
	for _, p := range []Provider{forged(a), forged(b)} {
		if _, err := v.Verify(t.Context(), p, token); !errors.Is(err, ErrInvalid) {
			t.Errorf("at %s: %v, want %v", p, err, ErrInvalid)
		}
	}
}

func TestTokensWithoutAKeyID(t *testing.T) {
	unnamed := func(t *testing.T, key identitytest.Key) identitytest.Key {
		t.Helper()
		key.ID = ""
		return key
	}
	ec, other, rsa := es256(t), es256(t), rsaKey(t)
	for name, c := range map[string]struct {
		published []jose.JSONWebKey
		reason    string
	}{
		"one key":                          {[]jose.JSONWebKey{ec.Public()}, ""},
		"one key of the algorithm":         {[]jose.JSONWebKey{rsa.Public(), ec.Public()}, ""},
		"several keys that it could be":    {[]jose.JSONWebKey{ec.Public(), other.Public()}, "its key is not one"},
		"a key of another algorithm alone": {[]jose.JSONWebKey{rsa.Public()}, "its key is not one"},
		"another key alone":                {[]jose.JSONWebKey{other.Public()}, "its signature is wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			f, v := identitytest.StartForge(t, c.published...), start(t, nil)
			_, err := v.Verify(t.Context(), forged(f), unnamed(t, ec).Sign(t, nil, f.Claims(v.now(), nil)))
			if c.reason != "" {
				wantError(t, err, ErrInvalid, c.reason)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestKeysThatAreNotForTokens(t *testing.T) {
	key := es256(t)
	good := map[string]any{"kty": "EC", "crv": "P-256", "kid": key.ID}
	point := key.Public()
	encoded, err := point.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	var all members
	if err := unmarshalMembers(encoded, &all); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "y"} {
		good[name], _ = all.text(name)
	}
	small := identitytest.Key{ID: key.ID, Algorithm: jose.RS256, Private: smallRSA(t)}

	for name, c := range map[string]struct {
		key     any
		usable  bool
		another identitytest.Key
	}{
		"a key that says nothing of its use":    {changed(good, nil), true, key},
		"a key to verify with":                  {changed(good, map[string]any{"key_ops": []string{"verify"}, "use": "sig"}), true, key},
		"a certificate that cannot be read":     {changed(good, map[string]any{"x5c": []string{"garbage"}}), true, key},
		"a key for encryption":                  {changed(good, map[string]any{"use": "enc"}), false, key},
		"a key to derive others with":           {changed(good, map[string]any{"key_ops": []string{"deriveKey"}}), false, key},
		"a key for an algorithm that we refuse": {changed(good, map[string]any{"alg": "ES256K"}), false, key},
		"a key for another algorithm":           {changed(good, map[string]any{"alg": "ES512"}), false, key},
		"a key with its private half":           {jose.JSONWebKey{Key: key.Private, KeyID: key.ID, Use: "sig"}, false, key},
		"a point that is not on the curve":      {changed(good, map[string]any{"x": "AQ", "y": "AQ"}), false, key},
		"a member of the wrong type":            {changed(good, map[string]any{"alg": 1}), false, key},
		"no object":                             {"garbage", false, key},
		"an RSA key of 1024 bits":               {small.Public(), false, small},
	} {
		t.Run(name, func(t *testing.T) {
			f, v := identitytest.StartForge(t), start(t, nil)
			bystander := identitytest.NewKey(t, "bystander", jose.EdDSA)
			f.AnswerJSON(identitytest.KeysPath, http.StatusOK, map[string]any{"keys": []any{c.key, bystander.Public()}})
			_, err := v.Verify(t.Context(), forged(f), c.another.Sign(t, nil, f.Claims(v.now(), nil)))
			if c.usable && err != nil {
				t.Error(err)
			}
			if !c.usable {
				wantError(t, err, ErrInvalid, "its key is not one")
			}
			if _, err := v.Verify(t.Context(), forged(f), bystander.Sign(t, nil, f.Claims(v.now(), nil))); err != nil {
				t.Errorf("with the key beside it: %v", err)
			}
		})
	}
}

// changed is a copy of an object with changes.
func changed(object, changes map[string]any) map[string]any {
	copied := make(map[string]any)
	for _, from := range []map[string]any{object, changes} {
		maps.Copy(copied, from)
	}
	return copied
}

func TestHostileProviders(t *testing.T) {
	key := es256(t)
	endless := func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":["`))
		for range 1 << 10 { // Far beyond what is read.
			if _, err := w.Write(make([]byte, 16<<10)); err != nil {
				return
			}
		}
	}
	many := make([]any, 10_000)
	for i := range many {
		many[i] = map[string]any{"kty": "EC"}
	}
	symmetric := []any{map[string]any{"kty": "oct", "kid": key.ID, "alg": "HS256", "k": "c2VjcmV0"}}

	for name, c := range map[string]struct {
		prepare func(*identitytest.Forge)
		reason  string
	}{
		"an endless document": {func(f *identitytest.Forge) { f.Answer(identitytest.DocumentPath, endless) }, "too large"},
		"endless keys":        {func(f *identitytest.Forge) { f.Answer(identitytest.KeysPath, endless) }, "too large"},
		"a document that leads elsewhere": {func(f *identitytest.Forge) {
			f.Answer(identitytest.DocumentPath, http.RedirectHandler("/elsewhere", http.StatusFound).ServeHTTP)
		}, "302"},
		"keys that lead elsewhere": {func(f *identitytest.Forge) {
			f.Answer(identitytest.KeysPath, http.RedirectHandler("/elsewhere", http.StatusTemporaryRedirect).ServeHTTP)
		}, "307"},
		"10,000 keys": {func(f *identitytest.Forge) {
			f.AnswerJSON(identitytest.KeysPath, http.StatusOK, map[string]any{"keys": many})
		}, "10000 keys"},
		"symmetric keys": {func(f *identitytest.Forge) {
			f.AnswerJSON(identitytest.KeysPath, http.StatusOK, map[string]any{"keys": symmetric})
		}, "no key that can sign"},
		"no keys":         {func(f *identitytest.Forge) { f.Publish() }, "no key that can sign"},
		"keys of garbage": {func(f *identitytest.Forge) { f.AnswerJSON(identitytest.KeysPath, http.StatusOK, "garbage") }, "not a JSON Web Key Set"},
		"a long error": {func(f *identitytest.Forge) {
			f.AnswerJSON(identitytest.DocumentPath, http.StatusInternalServerError, strings.Repeat("x", 100_000))
		}, "500"},
		"a missing document": {func(f *identitytest.Forge) { f.Answer(identitytest.DocumentPath, http.NotFound) }, "404"},
		"a document of garbage": {func(f *identitytest.Forge) {
			f.AnswerJSON(identitytest.DocumentPath, http.StatusOK, []string{"garbage"})
		}, "discovery document"},
		"a document of another issuer": {func(f *identitytest.Forge) {
			f.Describe(map[string]any{"issuer": "https://accounts.example.com"})
		}, "did not match"},
		"a document of the issuer with a slash": {func(f *identitytest.Forge) {
			f.Describe(map[string]any{"issuer": f.Issuer + "/"})
		}, "did not match"},
		"no address of keys": {func(f *identitytest.Forge) { f.Describe(map[string]any{"jwks_uri": nil}) }, "no jwks_uri"},
		"keys in a file":     {func(f *identitytest.Forge) { f.Describe(map[string]any{"jwks_uri": "file:///etc/passwd"}) }, "jwks_uri is not a URL"},
		"a login that is a script": {func(f *identitytest.Forge) {
			f.Describe(map[string]any{"authorization_endpoint": "javascript:alert(1)"})
		}, "authorization_endpoint is not a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
			c.prepare(f)
			_, err := v.Verify(t.Context(), forged(f), key.Sign(t, nil, f.Claims(v.now(), nil)))
			wantError(t, err, ErrUnavailable, c.reason)
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if failure := v.source(f.Issuer).failure; len(failure.Error()) > maxReason+len("…") {
				t.Errorf("an error of %d bytes is kept", len(failure.Error()))
			}
			if f.Asked("/elsewhere") > 0 {
				t.Error("a redirect was followed")
			}
		})
	}
}

// What a provider answers at a bad moment does not take away the keys that are known.
func TestKeepsItsKeysWhenAProviderTurnsBad(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	if _, err := v.Verify(t.Context(), forged(f), key.Sign(t, nil, f.Claims(v.now(), nil))); err != nil {
		t.Fatal(err)
	}
	f.Publish()
	v.advance(refreshAge + time.Second)
	for i := range 2 {
		if _, err := v.Verify(t.Context(), forged(f), key.Sign(t, nil, f.Claims(v.now(), map[string]any{"jti": i}))); err != nil {
			t.Error(err)
		}
		v.settle()
	}
	if asked := f.Asked(identitytest.KeysPath); asked != 2 {
		t.Errorf("asked %d times, want twice", asked)
	}
}

// Whoever has waited while another's fetch brought something newer needs no fetch of its own.
func TestAsksNotForWhatHasCome(t *testing.T) {
	f, v := identitytest.StartForge(t, es256(t).Public()), start(t, nil)
	s := v.source(f.Issuer)
	first, err := v.usable(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	v.advance(refreshInterval)
	second, err := v.newer(t.Context(), s, first)
	if err != nil || second == first {
		t.Fatalf("%p, %v", second, err)
	}

	v.advance(refreshInterval)
	if again, err := v.newer(t.Context(), s, first); again != second || err != nil {
		t.Errorf("%p, %v, want what has come", again, err)
	}
	if asked := f.Asked(identitytest.KeysPath); asked != 2 {
		t.Errorf("asked %d times, want twice", asked)
	}
}

// An endpoint without TLS would be sent the client's secret where everybody can read it.
func TestAProviderWithTLSHasNoEndpointWithout(t *testing.T) {
	var m metadata
	m.Keys, m.Token = "https://a.example.com/keys", "http://a.example.com/token"
	if err := m.check("https://a.example.com"); err == nil || !strings.Contains(err.Error(), "token_endpoint") {
		t.Error(err)
	}
	if err := m.check("http://a.example.com"); err != nil {
		t.Error(err)
	}
	for _, address := range []string{"https:///keys", "https://u:p@a.example.com/keys", "https://a.example.com/keys#x", "keys", ":"} {
		m = metadata{Keys: address}
		if err := m.check("https://a.example.com"); err == nil {
			t.Errorf("%q is an address of keys", address)
		}
	}
}

func TestWhoeverWaitsCanGiveUp(t *testing.T) {
	key := es256(t)
	f, v := identitytest.StartForge(t, key.Public()), start(t, nil)
	asked := make(chan struct{})
	f.Answer(identitytest.DocumentPath, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()
	_, err := v.Verify(ctx, forged(f), key.Sign(t, nil, f.Claims(v.now(), nil)))
	wantError(t, err, ErrUnavailable, "canceled")

	v.Close() // Ends the request, which would wait until its time is over.
	v.advance(time.Hour)
	if fetching := v.beginFetch(v.source(f.Issuer), nil); fetching != nil {
		t.Error("a fetch begins after the end")
	}
	_, err = v.Verify(t.Context(), forged(f), key.Sign(t, nil, f.Claims(v.now(), nil)))
	wantError(t, err, ErrUnavailable, "context canceled")
}
