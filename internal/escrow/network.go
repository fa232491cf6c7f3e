package escrow

import (
	"errors"
	"net/netip"
)

// Network is a part of the Internet in CIDR notation: "192.0.2.0/24", "2001:db8::/32".
type Network string

// ParseNetwork reads a network, or a single address as the network of it alone.
func ParseNetwork(text string) (Network, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		address = address.Unmap()
		return Network(netip.PrefixFrom(address, address.BitLen()).String()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return "", errors.New("must be a network like 192.0.2.0/24, or an address")
	case prefix.Addr().Is4In6():
		return "", errors.New("must be written as an IPv4 network")
	case prefix != prefix.Masked():
		return "", errors.New("must have no bits beyond its prefix; " + prefix.Masked().String() + " may be meant")
	}
	return Network(prefix.String()), nil
}

// Has reports whether an address is in the network.
func (n Network) Has(address netip.Addr) bool {
	prefix, err := netip.ParsePrefix(string(n))
	return err == nil && prefix.Contains(address.Unmap())
}

// network reads a network.
func (f *Faults) network(field, text string) Network {
	network, err := ParseNetwork(text)
	f.check(field, err)
	return network
}
