package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// ClientAddress returns the address of a request's client: the peer's, or, where the
// peer is a trusted proxy, the last one in X-Forwarded-For that is not. It is the zero
// address where the peer has none.
func ClientAddress(r *http.Request, trustedProxies []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := peer.Addr().Unmap()
	if len(trustedProxies) == 0 {
		return client
	}

	// Each proxy adds whom it was asked by at the end. What stands before the entry of the
	// last trusted one, the client may have written itself.
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(forwarded) {
		if !IsWithin(client, trustedProxies) {
			break
		}
		address, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		// A zone is any text, and means nothing beyond the proxy's own machine.
		client = address.Unmap().WithZone("")
	}
	return client
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
