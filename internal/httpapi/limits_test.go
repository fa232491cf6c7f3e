package httpapi_test

import (
	"crypto/rand"
	"net/http"
	"strconv"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// limited serves with a rate limit that no test waits for.
func limited(t *testing.T, rps, burst int) *service {
	t.Helper()
	return serve(t, onSQLite(t), func(c *settings) { c.RateLimit = httpapi.RateLimit{Enabled: true, RPS: rps, Burst: burst} })
}

// exhaust sends a request until it is refused for its rate, and returns the
// refusal and how many were let through.
func exhaust(t *testing.T, client apitest.Client, r apitest.Request, atMost int) (apitest.Answer, int) {
	t.Helper()
	const together = 25
	for passed := 0; passed <= atMost; {
		requests := make([]apitest.Request, together)
		for i := range requests {
			requests[i] = r
		}
		for _, answer := range atOnce(t, client, requests) {
			if answer.Status == http.StatusTooManyRequests {
				return answer.Refused(t, 429, "rate_limited"), passed
			}
			passed++
		}
	}
	t.Fatalf("%d requests passed", atMost)
	return apitest.Answer{}, 0
}

func TestAKeyIsLimited(t *testing.T) {
	s := limited(t, 1, 40)
	b := s.bank(t)
	get := apitest.Request{Method: http.MethodGet, Path: "/positions"}
	refused, _ := exhaust(t, b.Admin, get, 1000)
	if seconds, err := strconv.Atoi(refused.Header.Get("Retry-After")); err != nil || seconds != 1 {
		t.Errorf("Retry-After is %q", refused.Header.Get("Retry-After"))
	}
	t.Run("whatever it asks for", func(t *testing.T) {
		for _, path := range []string{"/positions", "/nothing", "/institutions/" + b.ID} {
			exhaust(t, b.Admin, apitest.Request{Method: http.MethodGet, Path: path}, 1000)
		}
		exhaust(t, b.Admin, apitest.Request{Method: http.MethodDelete, Path: "/positions"}, 1000)
		exhaust(t, b.Admin, apitest.Request{Method: http.MethodPost, Path: "/positions", Body: "{}"}, 1000)
	})
	t.Run("no other key is", func(t *testing.T) {
		b.ReadOnly.Get(t, "/positions").Want(t, 200)
		s.Get(t, "/institutions").Want(t, 200)
		s.As(metricsKey).Get(t, "/metrics").Want(t, 200)
	})
	t.Run("public routes are not", func(t *testing.T) {
		for range 50 {
			b.Admin.Get(t, "/health").Want(t, 200)
		}
	})
	t.Run("it may go on later", func(t *testing.T) {
		eventually(t, "the key may go on", func() bool { return b.Admin.Get(t, "/positions").Status == 200 })
	})
	t.Run("the refusals are counted and logged", func(t *testing.T) {
		eventually(t, "a refusal is written", func() bool {
			return s.Get(t, "/audit-events?outcome=refused&limit=1").Text("data.0.refusal.code") == "rate_limited"
		})
	})
}

// Who makes more keys gets no more: all of an institution share a limit, and no other has less.
func TestAnInstitutionIsLimited(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) {
		c.RateLimit = httpapi.RateLimit{Enabled: true, RPS: 1000, Burst: 1000, InstitutionRPS: 1, InstitutionBurst: 60}
	})
	b, other := s.bank(t), s.bank(t)
	passed := 0
	for _, key := range []apitest.Client{b.Admin, b.ReadOnly} {
		_, more := exhaust(t, key, apitest.Request{Method: http.MethodGet, Path: "/positions"}, 1000)
		passed += more
	}
	if passed > 80 {
		t.Errorf("%d requests of two keys passed at once", passed)
	}
	other.Admin.Get(t, "/positions").Want(t, 200)
	s.Get(t, "/positions?institutionId="+b.ID).Want(t, 200)
}

// Making keys and institutions has a stricter limit of its own.
func TestCreationIsLimited(t *testing.T) {
	s := limited(t, 100_000, 100_000)
	b := s.bank(t)
	_, passed := exhaust(t, b.Admin, apitest.Request{Method: http.MethodPost, Path: "/institutions/" + b.ID + "/api-keys", Body: "{}"}, 5000)
	if passed < 99 {
		t.Errorf("only %d passed at once", passed)
	}
	b.Admin.Get(t, "/positions").Want(t, 200)
	b.Admin.Post(t, "/positions", b.claim().String()).Want(t, 201)
	exhaust(t, b.Admin, apitest.Request{Method: http.MethodPost, Path: "/institutions/" + b.ID + "/api-keys/x/rotate"}, 1000)
	exhaust(t, s.Client, apitest.Request{Method: http.MethodPost, Path: "/institutions", Body: "{}"}, 5000)
}

// An address that sends one wrong key after the other is refused for a while.
func TestFailedAuthenticationIsLimited(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) {
		c.RateLimit = httpapi.RateLimit{Enabled: true, RPS: 100_000, Burst: 100_000}
		c.Proxies = proxies("127.0.0.1/32")
	})
	const here, elsewhere = "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"
	wrong := apitest.Request{Method: http.MethodGet, Path: "/positions", Headers: []string{here}}
	if _, passed := exhaust(t, s.As("egk_wrong"), wrong, 20_000); passed < 999 {
		t.Errorf("only %d passed at once", passed)
	}
	s.As("egk_wrong").Get(t, "/positions", elsewhere).Refused(t, 401, "invalid_api_key")
	s.Get(t, "/institutions", here).Want(t, 200)
	s.As("").Get(t, "/health", here).Want(t, 200)
	// Who sends no key at all is no better.
	exhaust(t, s.As(""), wrong, 20_000)
	s.As("").Get(t, "/positions", elsewhere).Refused(t, 401, "unauthorized")
}

// What others send from the same address locks out nobody who has a valid key.
func TestInvalidKeysDoNotLockOutValidOnes(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) {
		c.RateLimit = httpapi.RateLimit{Enabled: true, RPS: 100_000, Burst: 100_000}
	})
	b := s.bank(t)
	b.ReadOnly.Get(t, "/positions").Want(t, 200)
	wrong := apitest.Request{Method: http.MethodGet, Path: "/positions"}
	exhaust(t, s.As("egk_wrong"), wrong, 20_000)
	for range 100 {
		b.ReadOnly.Get(t, "/positions").Want(t, 200)
		b.Admin.Post(t, "/positions", b.claim().String()).Want(t, 201)
	}

	// A key that was revoked is none that passes.
	key := b.Admin.Get(t, "/institutions/"+b.ID+"/api-keys?order=desc&limit=1").Text("data.0.id")
	s.Post(t, "/institutions/"+b.ID+"/api-keys/"+key+"/revoke", "").Want(t, 200)
	exhaust(t, b.ReadOnly, wrong, 20_000)
}

// Nor one whose key this instance has never seen: it is looked for while others are refused.
func TestInvalidKeysDoNotLockOutUnseenOnes(t *testing.T) {
	withLimits := func(c *settings) { c.RateLimit = httpapi.RateLimit{Enabled: true, RPS: 100_000, Burst: 100_000} }
	for name, database := range map[string]string{
		"sqlite": onSQLite(t), "postgres": pgtest.Shared(t).NewDatabase(t),
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, database, withLimits)
			b := s.bank(t)
			wrong := apitest.Request{Method: http.MethodGet, Path: "/positions"}
			// Only a database knows that no key has these.
			var random [32]byte
			_, _ = rand.Read(random[:])
			unknown := s.As(escrow.NewSecret(random))
			for range 5 {
				key := b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys", `{"label": "new", "role": "read_only"}`).Want(t, 201)
				exhaust(t, unknown, wrong, 20_000)
				s.As(key.Text("apiKey")).Get(t, "/positions").Want(t, 200)
			}
		})
	}
}

// A client has a whole /64 of IPv6 addresses, and an IPv4 address is the same mapped into IPv6.
func TestFailuresAreCountedByNetwork(t *testing.T) {
	for name, test := range map[string]struct{ here, next, elsewhere string }{
		"IPv6":   {"2001:db8::1", "2001:db8::ffff:1:2:3", "2001:db8:0:1::1"},
		"mapped": {"::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, onSQLite(t), func(c *settings) {
				c.RateLimit = httpapi.RateLimit{Enabled: true, RPS: 100_000, Burst: 100_000}
				c.Proxies = proxies("127.0.0.1/32")
			})
			wrong := apitest.Request{Method: http.MethodGet, Path: "/positions", Headers: []string{"X-Forwarded-For: " + test.here}}
			exhaust(t, s.As("egk_wrong"), wrong, 20_000)
			wrong.Headers = []string{"X-Forwarded-For: " + test.next}
			if _, passed := exhaust(t, s.As("egk_wrong"), wrong, 20_000); passed > 900 {
				t.Errorf("from the same network %d more passed", passed)
			}
			s.As("egk_wrong").Get(t, "/positions", "X-Forwarded-For: "+test.elsewhere).Refused(t, 401, "invalid_api_key")
		})
	}
}

func TestLimitsCanBeOff(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) { c.RateLimit = httpapi.RateLimit{Enabled: false, RPS: 1, Burst: 1} })
	b := s.bank(t)
	for range 50 {
		b.Admin.Get(t, "/positions").Want(t, 200)
	}
	for range 150 {
		b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys", "{}").Want(t, 422)
	}
	for range 1100 {
		s.As("egk_wrong").Get(t, "/positions").Want(t, 401)
	}
}
