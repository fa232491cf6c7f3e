package egress

import (
	"net/netip"
	"slices"

	"code.dny.dev/ssrf"
)

// guard decides what may be reached.
type guard struct {
	allowed []netip.Prefix
	public  *ssrf.Guardian
}

// platformNetworks are of the public internet by their numbers, but lead into the machine's own platform.
var platformNetworks = []netip.Prefix{
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's, at which a machine asks for its configuration
}

func newGuard(allowed []netip.Prefix) guard {
	return guard{
		allowed: slices.Clone(allowed),
		public: ssrf.New(ssrf.WithAnyNetwork(), ssrf.WithAnyPort(),
			ssrf.WithDeniedV4Prefixes(slices.Clone(platformNetworks)...)),
	}
}

// isAllowed reports whether an address may be connected to: it is in an allowed network, or public.
// An IPv4 address that is mapped into IPv6 is taken for what it is. One with a zone, which is an interface
// of this machine, is in no network.
func (g guard) isAllowed(address netip.Addr) bool {
	address = address.Unmap()
	if !address.IsValid() {
		return false // It is in no network that is not public, either.
	}
	if slices.ContainsFunc(g.allowed, func(n netip.Prefix) bool { return n.Contains(address) }) {
		return true
	}

	// Behind NAT64, a public IPv4 address is reached by an IPv6 one that ends in it. 6to4 and
	// Teredo, which have such addresses too, are given up, and no address of theirs is public.
	if ssrf.IPv6NAT64Prefix.Contains(address) {
		bytes := address.As16()
		address = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	return g.public.SafeAddr(address) == nil
}

// loopbackNetworks are those of the machine itself.
var loopbackNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// allowsLoopback reports whether some loopback address may be connected to.
func (g guard) allowsLoopback() bool {
	return slices.ContainsFunc(g.allowed, func(n netip.Prefix) bool {
		return slices.ContainsFunc(loopbackNetworks, n.Overlaps)
	})
}
