package httpapi_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

func TestHowAKeyIsSent(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	nobody, key := s.As(""), b.Admin.Key
	for _, headers := range [][]string{
		{"X-API-KEY: " + key},
		{"x-api-key:  " + key + " "},
		{"Authorization: Bearer " + key},
		{"Authorization: bearer " + key},
		{"Authorization: BEARER  " + key},
		{"X-API-KEY: " + key, "Authorization: Bearer " + key},
		{"X-API-KEY: " + key, "Authorization: Basic YTpi"},
	} {
		nobody.Get(t, "/positions", headers...).Want(t, 200)
	}
	for _, headers := range [][]string{
		nil,
		{"X-API-KEY:"},
		{"Authorization:"},
		{"Authorization: Bearer"},
		{"Authorization: Bearer "},
		{"Authorization: Basic " + key},
		{"Authorization: " + key},
		{"X-API-KEY: " + key, "Authorization: Bearer " + b.ReadOnly.Key},
		{"Cookie: X-API-KEY=" + key},
		{"X-API-KEY: " + key, "X-API-KEY: " + b.ReadOnly.Key},
		{"X-API-KEY: " + key, "X-API-KEY: " + key},
		{"Authorization: Bearer " + key, "Authorization: Bearer " + b.ReadOnly.Key},
		{"Authorization: Basic YTpi", "Authorization: Bearer " + key},
	} {
		nobody.Get(t, "/positions", headers...).Refused(t, 401, "unauthorized")
	}
	nobody.Get(t, "/positions?apiKey="+key).Refused(t, 401, "unauthorized")
	other := "x"
	if key[10] == 'x' {
		other = "y"
	}
	for _, wrong := range []string{
		key[:len(key)-1], key + "x", strings.ToLower(key), "egk_", strings.Repeat("x", 10_000), key[:10] + other + key[11:], "root", "'", "\xff",
	} {
		nobody.Get(t, "/positions", "X-API-KEY: "+wrong).Refused(t, 401, "invalid_api_key")
		nobody.Post(t, "/positions", "{}", "Authorization: Bearer "+wrong).Refused(t, 401, "invalid_api_key")
	}
}

// The operator chooses keys as they like, also in the form of a token: three parts with dots between them.
func TestTheOperatorsKeysCanLookLikeTokens(t *testing.T) {
	const root, metrics = "root.of-the-operator_0123456789.0123456789", "metrics.of-the-operator_0123456789.0123456789"
	people := serve(t, onSQLite(t), func(c *settings) { c.RootKey, c.PreviousRootKey, c.MetricsKey = "", root, metrics }).As("")
	if me := people.Get(t, "/me", "Authorization: Bearer "+root).Want(t, 200); me.Text("actor") != "root" {
		t.Errorf("the root key is %s", me)
	}
	people.Get(t, "/metrics", "Authorization: Bearer "+metrics).Want(t, 200)
	people.Get(t, "/me", "Authorization: Bearer "+metrics).Refused(t, 401, "invalid_api_key")
	people.Get(t, "/me", "Authorization: Bearer "+root+"0").Refused(t, 401, "invalid_token")
}

func TestMetricsKeyReadsMetricsAlone(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	s.As(metricsKey).Get(t, "/metrics").Want(t, 200)
	s.As("").Get(t, "/metrics", "Authorization: Bearer "+metricsKey).Want(t, 200)
	s.As(metricsKey).Post(t, "/metrics", "{}").Refused(t, 401, "invalid_api_key")
	s.As(metricsKey).Get(t, "/positions").Refused(t, 401, "invalid_api_key")
	without := serve(t, onSQLite(t), func(c *settings) { c.MetricsKey, c.RootKey = "", "" })
	without.As("").Get(t, "/metrics").Refused(t, 401, "unauthorized")
	without.As(metricsKey).Get(t, "/metrics").Refused(t, 401, "invalid_api_key")
	without.As(rootKey).Get(t, "/positions").Refused(t, 401, "invalid_api_key")
}

func TestDocumentationMayBePublic(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) { c.PublicDocs = true })
	for _, path := range []string{"/openapi.json", "/docs", "/docs/docs.js"} {
		s.As("").Get(t, path).Want(t, 200)
		s.As("egk_wrong").Get(t, path).Want(t, 200)
	}
	s.As("").Get(t, "/positions").Refused(t, 401, "unauthorized")
}

// networks reads a list of networks.
func networks(list ...string) (read []netip.Prefix) {
	for _, network := range list {
		read = append(read, netip.MustParsePrefix(network))
	}
	return read
}

// proxies trusts those in the networks, which write X-Forwarded-For.
func proxies(trusted ...string) web.Proxies {
	return web.Proxies{Trusted: networks(trusted...), Header: web.XForwardedFor}
}

func TestTheRootKeysNetworks(t *testing.T) {
	refused := serve(t, onSQLite(t), func(c *settings) { c.RootNetworks = networks("10.0.0.0/8", "::1/128") })
	refused.Get(t, "/institutions").Refused(t, 403, "address_not_allowed")
	refused.Post(t, "/institutions", newInstitution(bank{}).String()).Refused(t, 403, "address_not_allowed")
	refused.Get(t, "/metrics").Refused(t, 403, "address_not_allowed")
	refused.Get(t, "/institutions", "X-Forwarded-For: 10.0.0.1").Refused(t, 403, "address_not_allowed")
	refused.As(metricsKey).Get(t, "/metrics").Want(t, 200)
	allowed := serve(t, onSQLite(t), func(c *settings) { c.RootNetworks = networks("10.0.0.0/8", "127.0.0.1/32") })
	allowed.Get(t, "/institutions").Want(t, 200)
	b := allowed.bank(t)
	t.Run("bind nobody else", func(t *testing.T) {
		behind := serve(t, onSQLite(t), func(c *settings) {
			c.RootNetworks, c.Proxies = networks("10.0.0.0/8"), proxies("127.0.0.0/8")
		})
		_ = b
		inside := behind.bankFrom(t, "X-Forwarded-For: 10.1.2.3")
		inside.Admin.Get(t, "/positions").Want(t, 200)
		behind.Get(t, "/institutions").Refused(t, 403, "address_not_allowed")
		// The proxy itself is in no allow-list because of what it cannot tell.
		behind.Get(t, "/institutions", "X-Forwarded-For: 10.1.2.3:51234").Want(t, 200)
		behind.Get(t, "/institutions", "X-Forwarded-For: 198.51.100.1:51234").Refused(t, 403, "address_not_allowed")
		behind.Get(t, "/institutions", "X-Forwarded-For: unknown").Refused(t, 403, "address_not_allowed")
	})
}

// bankFrom makes an institution with an admin key by requests with a header.
func (s *service) bankFrom(t *testing.T, header string) (b bank) {
	t.Helper()
	b.ID = s.Post(t, "/institutions", newInstitution(b).String(), header).Want(t, 201).Text("id")
	b.Admin = s.As(s.Post(t, "/institutions/"+b.ID+"/api-keys", newKey(b).String(), header).Want(t, 201).Text("apiKey"))
	return b
}

// What X-Forwarded-For says is believed of trusted proxies alone, from the last
// of them on.
func TestTheClientsAddress(t *testing.T) {
	for _, test := range []struct {
		behaviour string
		trusted   []string
		headers   []string
		want      string
	}{
		{"without trusted proxies the peer is the client", nil, []string{"X-Forwarded-For: 10.0.0.1"}, "127.0.0.1"},
		{"nor is another header believed", []string{"127.0.0.1/32"}, []string{"X-Real-IP: 10.0.0.1", "Forwarded: for=10.0.0.1"}, "127.0.0.1"},
		{"a trusted proxy tells the client", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: 10.0.0.1"}, "10.0.0.1"},
		{"what the client made up before it does not count", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: 10.0.0.1, 192.0.2.7"}, "192.0.2.7"},
		{"in a header of its own neither", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: 10.0.0.1", "X-Forwarded-For: 192.0.2.7"}, "192.0.2.7"},
		{"proxies in a row are passed", []string{"127.0.0.0/8", "192.0.2.0/24"}, []string{"X-Forwarded-For: 6.6.6.6, 10.0.0.1, 192.0.2.7"}, "10.0.0.1"},
		{"the first of a chain of proxies is the client", []string{"127.0.0.0/8", "192.0.2.0/24"}, []string{"X-Forwarded-For: 192.0.2.9"}, "192.0.2.9"},
		{"what is no address is nobody's", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: 10.0.0.1, unknown"}, "unknown"},
		{"nor is nothing", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: 10.0.0.1,"}, "unknown"},
		{"a port is left out", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: 198.51.100.1:51234"}, "198.51.100.1"},
		{"brackets are", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: [2001:db8::1]"}, "2001:db8::1"},
		{"brackets and a port are", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: [2001:db8::1%eth0]:80"}, "2001:db8::1"},
		{"an IPv4 address in IPv6 is the IPv4 address", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: ::ffff:10.0.0.1"}, "10.0.0.1"},
		{"a zone is left out", []string{"127.0.0.1/32"}, []string{"X-Forwarded-For: fe80::1%<\xff>"}, "fe80::1"},
	} {
		t.Run(test.behaviour, func(t *testing.T) {
			s := serve(t, onSQLite(t), func(c *settings) { c.Proxies = proxies(test.trusted...) })
			s.As("").Get(t, "/positions", append(test.headers, "X-Request-Id: asked")...).Refused(t, 401, "unauthorized")
			if got := s.logged(t, "asked")["client"]; got != test.want {
				t.Errorf("the client is %v, want %s", got, test.want)
			}
		})
	}
	for header, want := range map[string]string{
		"Forwarded: for=198.51.100.1":                                          "198.51.100.1",
		`Forwarded: for="198.51.100.1:51234";proto=https;by=203.0.113.43`:      "198.51.100.1",
		`Forwarded: proto=https; For="[2001:db8:cafe::17]:4711"`:               "2001:db8:cafe::17",
		`Forwarded: for="a,b";by=",", for=10.0.0.1, for=198.51.100.2;host="x"`: "198.51.100.2",
		`Forwarded: for=198.51.100.1, for=_hidden`:                             "unknown",
		`Forwarded: for=198.51.100.1, proto=https`:                             "unknown",
		"X-Forwarded-For: 198.51.100.1":                                        "127.0.0.1",
	} {
		t.Run(header, func(t *testing.T) {
			s := serve(t, onSQLite(t), func(c *settings) {
				c.Proxies = web.Proxies{Trusted: networks("127.0.0.1/32"), Header: web.Forwarded}
			})
			s.As("").Get(t, "/positions", header, "X-Request-Id: asked").Refused(t, 401, "unauthorized")
			if got := s.logged(t, "asked")["client"]; got != want {
				t.Errorf("the client is %v, want %s", got, want)
			}
		})
	}
	t.Run("what a proxy makes up does not spoil the log of refusals", func(t *testing.T) {
		s := serve(t, pgtest.Shared(t).NewDatabase(t), func(c *settings) { c.Proxies = proxies("127.0.0.1/32") })
		s.As("").Get(t, "/positions", "X-Forwarded-For: fe80::1%<\xff>").Refused(t, 401, "unauthorized")
		eventually(t, "the refusal is written", func() bool {
			return s.Get(t, "/audit-events?outcome=refused").Text("data.0.refusal.client") == "fe80::1"
		})
	})
}
