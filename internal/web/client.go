package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// The headers in which proxies tell whose requests they pass on.
const (
	// XForwardedFor lists addresses, with ports or without.
	XForwardedFor = "X-Forwarded-For"
	// Forwarded is the header of RFC 7239, whose for= is the address.
	Forwarded = "Forwarded"
)

// Proxies are those that stand before the server. The zero value trusts none.
type Proxies struct {
	// Trusted are the networks of the peers that are believed.
	Trusted []netip.Prefix
	// Header is where they write the address: XForwardedFor, or Forwarded. A proxy passes
	// the other one on as its client wrote it.
	Header string
}

// Client returns the address of a request's client: the peer's, or, where the peer is a
// trusted proxy, the last one in the header that is not. It is the zero address, which is in no
// network, where that entry is no address: "unknown", a name, or what cannot be read.
func (p Proxies) Client(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := peer.Addr().Unmap()
	if len(p.Trusted) == 0 {
		return client
	}

	// Each proxy adds whom it was asked by at the end. What stands before the entry of the
	// last trusted one, the client may have written itself.
	for _, hop := range slices.Backward(p.hops(r)) {
		if !IsWithin(client, p.Trusted) {
			break
		}
		client = hopAddress(hop)
	}
	return client
}

// hops returns the addresses as the proxies have written them, oldest first.
func (p Proxies) hops(r *http.Request) []string {
	given := r.Header.Values(p.Header)
	if len(given) == 0 {
		return nil
	}
	hops := strings.Split(strings.Join(given, ","), ",")
	if p.Header != Forwarded {
		return hops
	}

	// An element has pairs like for="[2001:db8::1]:80";proto=https. What an entry of the
	// proxy's own can hold has no comma in quotes.
	for i, element := range hops {
		hops[i] = ""
		for pair := range strings.SplitSeq(element, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if strings.EqualFold(name, "for") {
				hops[i] = strings.Trim(value, `"`)
			}
		}
	}
	return hops
}

// hopAddress reads an address with a port, with brackets and with a zone, or without them.
func hopAddress(text string) netip.Addr {
	text = strings.TrimSpace(text)
	address, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		withPort, _ := netip.ParseAddrPort(text)
		address = withPort.Addr()
	}
	// A zone is any text, and means nothing beyond the proxy's own machine.
	return address.Unmap().WithZone("")
}

// clientNetworkBits is the length of the smallest network that providers hand out to one
// client on IPv6.
const clientNetworkBits = 64

// ClientNetwork returns the network all of which one client may have: its address on IPv4, the
// /64 of its address on IPv6.
func ClientNetwork(client netip.Addr) netip.Prefix {
	client = client.Unmap()
	bits := client.BitLen()
	if client.Is6() {
		bits = clientNetworkBits
	}
	// It fails for the zero address alone, whose network is the zero one.
	network, _ := client.Prefix(bits)
	return network
}

// IsWithin reports whether an address is in one of several networks.
func IsWithin(address netip.Addr, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}
