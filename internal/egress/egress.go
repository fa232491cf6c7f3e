// Package egress is the one way out of the server: every request that it sends to a place which others
// have named goes through a Client.
//
// A URL of a tenant's must not make the server a door into the network that it stands in. A Client
// sends by https alone, connects only to addresses of the public internet and to networks that the
// operator allows, follows no redirect, keeps no cookie, and bounds the time and the size of an
// exchange.
//
// A name is resolved once for a connection. Each of its addresses is checked, and those that pass are
// connected to as they are, without asking for the name again: a name that has other addresses a
// moment later (DNS rebinding) gains nothing. Addresses that do not pass are left out; where none
// passes, the request is not allowed. A connection that is kept is used again without resolving; it
// still leads to an address that was checked.
//
// Which addresses are public is what IANA's registries of special-purpose addresses say
// (https://www.iana.org/assignments/iana-ipv4-special-registry and …/iana-ipv6-special-registry).
//
// Where Config.Proxy names a proxy for a URL, the proxy resolves the name and connects. The client then
// checks what the URL says by itself, an address in it included, and nothing else: it is for the
// proxy to refuse names that lead inside. The proxy's own address is the operator's word, and may
// be anywhere.
package egress

import (
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a Client needs to know. Its zero value reaches the public internet, without a proxy.
type Config struct {
	// AllowedNetworks can be reached although they are not public. IPv4 networks are written as such,
	// not as IPv6 ones that they are mapped into. Plain http is sent to a URL with a loopback address
	// that is among them, for development on one machine, and to nothing else.
	AllowedNetworks []netip.Prefix
	// Bounds are those of every exchange.
	Bounds Bounds
	// Proxy names the proxy for a request, or nil for none: http.ProxyFromEnvironment, for one. It is not
	// asked about plain http, which stays on this machine.
	Proxy func(*http.Request) (*url.URL, error)

	// Resolver finds the addresses of names; nil is net.DefaultResolver.
	Resolver *net.Resolver
	// RootCAs are who may certify servers; nil is what the system trusts.
	RootCAs *x509.CertPool

	// Version is the program's, which every request tells.
	Version string
	// Registry gets the metrics; nil keeps them to the client.
	Registry prometheus.Registerer
}

// Bounds are those of one exchange: a request with its answer. One that is zero is the default.
type Bounds struct {
	// Connect is for finding the addresses of a name and connecting to one of them.
	Connect time.Duration
	// Handshake is for agreeing on TLS.
	Handshake time.Duration
	// Headers is for the head of the answer, from when the request was sent.
	Headers time.Duration
	// Exchange is for all of it, to the end of the answer's body.
	Exchange time.Duration
	// Body is for the answer's body, in bytes as they are received. Nothing is decompressed.
	Body int64
}

// The defaults. A place that is well answers in a fraction of them, from the other end of the world, too.
const (
	// connectTime lets a lost packet be sent twice again, after one second and after two more. The addresses
	// of a name share it.
	connectTime = 5 * time.Second
	// handshakeTime is for two round trips and the other side's arithmetic, on a bad line.
	handshakeTime = 5 * time.Second
	// headersTime leaves the other side time to do what it is asked for before it answers.
	headersTime = 10 * time.Second
	// exchangeTime is what a request to this server may take by default: whoever waits for
	// the answer would wait no longer.
	exchangeTime = 15 * time.Second
	// bodyBytes is many times what an identity provider's keys and documents take.
	bodyBytes = 1 << 20
)

// orDefaults returns the bounds with a default in the place of each that is zero.
func (b Bounds) orDefaults() Bounds {
	defaults := Bounds{
		Connect: connectTime, Handshake: handshakeTime, Headers: headersTime, Exchange: exchangeTime, Body: bodyBytes,
	}
	if b.Connect == 0 {
		b.Connect = defaults.Connect
	}
	if b.Handshake == 0 {
		b.Handshake = defaults.Handshake
	}

	if b.Headers == 0 {
		b.Headers = defaults.Headers
	}
	if b.Exchange == 0 {
		b.Exchange = defaults.Exchange
	}
	if b.Body == 0 {
		b.Body = defaults.Body
	}
	return b
}

// Client sends requests out of the server. It is safe for concurrent use.
type Client struct {
	guard     guard
	bounds    Bounds
	proxy     func(*http.Request) (*url.URL, error)
	userAgent string
	metrics   *metrics

	// direct connects to addresses that the guard lets pass, proxied to proxies alone.
	direct, proxied *http.Transport
}

// New makes a client.
func New(config Config) *Client {
	c := &Client{
		guard:     newGuard(config.AllowedNetworks),
		bounds:    config.Bounds.orDefaults(),
		proxy:     config.Proxy,
		userAgent: "escrowgrid/" + config.Version,
		metrics:   newMetrics(config.Registry),
	}

	resolver := config.Resolver
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	checked := checkedDialer{guard: c.guard, resolver: resolver, patience: c.bounds.Connect}
	operators := &net.Dialer{Resolver: resolver, Timeout: c.bounds.Connect}
	c.direct = c.transport(checked.dial, config.RootCAs)
	c.proxied = c.transport(operators.DialContext, config.RootCAs)
	c.proxied.Proxy = chosenProxy
	return c
}

// For returns the client for requests of a purpose, as libraries take one: in the context, or as a
// field. Its errors wrap a *NotAllowedError, a *RedirectError or ErrBodyTooLarge, a context's error,
// or are of the network. The caller closes the bodies of answers.
func (c *Client) For(purpose Purpose) *http.Client {
	return &http.Client{Transport: exchanger{client: c, purpose: purpose}}
}

// CheckURL returns a *NotAllowedError for a URL that would be refused whatever its name resolves to.
// It looks up no name, so a URL that passes can still lead where requests are not allowed to go.
func (c *Client) CheckURL(raw string) error {
	if len(raw) > maxURLBytes {
		return &NotAllowedError{Why: "the URL is too long"}
	}
	parsed, err := url.Parse(raw)
	if err != nil {
		return &NotAllowedError{Why: "it is not a URL"}
	}
	return c.guard.checkURL(parsed)
}

// CloseIdleConnections closes the connections that are kept for later requests.
func (c *Client) CloseIdleConnections() {
	c.direct.CloseIdleConnections()
	c.proxied.CloseIdleConnections()
}
