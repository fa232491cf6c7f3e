package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

// What is kept of connections between requests: a few, as most places are asked rarely, for so long that
// a place which is asked every minute does not shake hands each time.
const (
	maxIdle        = 100
	maxIdlePerHost = 4
	idleTime       = 90 * time.Second
)

// maxHeaderBytes is many times what the head of an answer takes.
const maxHeaderBytes = 64 << 10

// transport returns one that connects with dial. How many requests there are at once is for those to
// bound who send them.
func (c *Client) transport(
	dial func(ctx context.Context, network, address string) (net.Conn, error), roots *x509.CertPool,
) *http.Transport {
	// An exchange by HTTP/1.1 has a connection to itself: what bounds it bounds all that the other
	// side can make of it.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)

	return &http.Transport{
		DialContext:            dial,
		Protocols:              protocols,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    c.bounds.Handshake,
		ResponseHeaderTimeout:  c.bounds.Headers,
		MaxResponseHeaderBytes: maxHeaderBytes,
		// What is small when it is sent and large when it is read could not be bounded by its bytes.
		DisableCompression:  true,
		ProxyConnectHeader:  http.Header{"User-Agent": {c.userAgent}},
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: maxIdlePerHost,
		IdleConnTimeout:     idleTime,
	}
}

// checkedDialer connects to addresses that its guard lets pass.
type checkedDialer struct {
	guard    guard
	resolver *net.Resolver
	patience time.Duration
}

// dial resolves the name in a host with a port, and connects to the first of its addresses that is
// allowed and answers.
func (d checkedDialer) dial(ctx context.Context, network, hostPort string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.patience)
	defer cancel()

	host, portText, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}

	addresses, err := d.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	return connect(ctx, network, addresses, uint16(port))
}

// addresses returns those of a host that are allowed, at least one, in the resolver's order.
func (d checkedDialer) addresses(ctx context.Context, host string) (allowed []netip.Addr, err error) {
	found, err := d.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}

	refusal := &NotAllowedError{Host: host, Why: notPublic}
	for _, address := range found {
		if !d.guard.isAllowed(address) {
			refusal.Address = address.Unmap()
			continue
		}
		allowed = append(allowed, address.Unmap())
	}
	if len(allowed) == 0 {
		return nil, refusal
	}
	return allowed, nil
}

// connect tries addresses, one after the other. Each has an equal part of the time that is left, so that
// one which does not answer leaves some to the next.
func connect(ctx context.Context, network string, addresses []netip.Addr, port uint16) (net.Conn, error) {
	var dialer net.Dialer
	var failures []error
	for i, address := range addresses {
		attempt, cancel := ctx, context.CancelFunc(func() {})
		if deadline, ok := ctx.Deadline(); ok {
			attempt, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(addresses)-i))
		}

		// An address is no name: nothing is resolved here.
		connection, err := dialer.DialContext(attempt, network, netip.AddrPortFrom(address, port).String())
		cancel()
		if err == nil {
			return connection, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// proxyKey is the key of the proxy in a request's context.
type proxyKey struct{}

// errNoProxy cannot be seen from outside: what has no proxy is not sent on the way to one.
var errNoProxy = errors.New("a request on the way to a proxy has none")

// chosenProxy returns the proxy that was chosen for a request. A transport that connects to proxies
// without checking must never connect to anything else.
func chosenProxy(request *http.Request) (*url.URL, error) {
	if proxy, ok := request.Context().Value(proxyKey{}).(*url.URL); ok && proxy != nil {
		return proxy, nil
	}
	return nil, errNoProxy
}
