package escrow_test

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestNetworksAreReadInOneForm(t *testing.T) {
	t.Parallel()
	const (
		noNetwork = "must be a network like 192.0.2.0/24, or an address"
		mapped    = "must be written as an IPv4 network"
	)
	for _, test := range []struct{ text, want, fault string }{
		{"192.0.2.0/24", "192.0.2.0/24", ""},
		{"192.0.2.7", "192.0.2.7/32", ""},
		{"192.0.2.7/32", "192.0.2.7/32", ""},
		{"0.0.0.0/0", "0.0.0.0/0", ""},
		{"::/0", "::/0", ""},
		{"2001:db8::/32", "2001:db8::/32", ""},
		{"2001:DB8:0:0::/32", "2001:db8::/32", ""},
		{"2001:db8::1", "2001:db8::1/128", ""},
		{"::1/128", "::1/128", ""},
		{"::ffff:192.0.2.7", "192.0.2.7/32", ""},
		{"::ffff:c000:207", "192.0.2.7/32", ""},

		{"::ffff:192.0.2.0/120", "", mapped},
		{"::ffff:192.0.2.7/128", "", mapped},
		{"::ffff:0:0/96", "", mapped},
		{"192.0.2.7/24", "", "must have no bits beyond its prefix; 192.0.2.0/24 may be meant"},
		{"1.0.0.0/0", "", "must have no bits beyond its prefix; 0.0.0.0/0 may be meant"},
		{"2001:db8::1/32", "", "must have no bits beyond its prefix; 2001:db8::/32 may be meant"},
		{"", "", noNetwork},
		{"192.0.2.0/33", "", noNetwork},
		{"2001:db8::/129", "", noNetwork},
		{"192.0.2.0/-1", "", noNetwork},
		{"192.0.2.0/024", "", noNetwork},
		{"192.0.2.0/", "", noNetwork},
		{"192.0.2/24", "", noNetwork},
		{"192.0.02.0/24", "", noNetwork},
		{"192.0.2.0/255.255.255.0", "", noNetwork},
		{" 192.0.2.0/24", "", noNetwork},
		{"192.0.2.0-192.0.2.9", "", noNetwork},
		{"192.0.2.7:443", "", noNetwork},
		{"[2001:db8::1]", "", noNetwork},
		{"fe80::1%eth0", "", noNetwork},
		{"fe80::%eth0/10", "", noNetwork},
		{"fe80::/10%eth0", "", noNetwork},
		{"localhost", "", noNetwork},
	} {
		network, err := escrow.ParseNetwork(test.text)
		if string(network) != test.want || (err == nil) != (test.fault == "") || err != nil && err.Error() != test.fault {
			t.Errorf("%q is read as %q, %v; want %q, %q", test.text, network, err, test.want, test.fault)
		}
		// What was read is read as it is.
		if again, err := escrow.ParseNetwork(string(network)); test.fault == "" && (again != network || err != nil) {
			t.Errorf("%s is read as %q, %v", network, again, err)
		}
	}
}

func TestANetworkHasItsAddresses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		network escrow.Network
		address string
		want    bool
	}{
		{"192.0.2.0/24", "192.0.2.0", true},
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "::ffff:192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"192.0.2.0/24", "192.0.1.255", false},
		{"192.0.2.7/32", "192.0.2.6", false},
		{"0.0.0.0/0", "255.255.255.255", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "192.0.2.7", false},
		{"::/0", "::ffff:192.0.2.7", false},
		{"fe80::/10", "fe80::1", true},
		{"fe80::/10", "fe80::1%eth0", false}, // It is of that machine alone.
		{"", "192.0.2.7", false},
		{"192.0.2.7", "192.0.2.7", false}, // No network was ever written so.
		{"everywhere", "192.0.2.7", false},
	} {
		if got := test.network.Has(netip.MustParseAddr(test.address)); got != test.want {
			t.Errorf("%q has %s: %t", test.network, test.address, got)
		}
	}
	if escrow.Network("0.0.0.0/0").Has(netip.Addr{}) || escrow.Network("::/0").Has(netip.Addr{}) {
		t.Error("a network has no address at all")
	}
}

// Compared with the arithmetic of 32 bits.
func TestAnAddressIsInANetworkByItsFirstBits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.IntRange(0, 32).Draw(t, "bits")
		mask := uint32(uint64(1)<<32 - uint64(1)<<(32-bits))
		base, other := rapid.Uint32().Draw(t, "base")&mask, rapid.Uint32().Draw(t, "other")
		if rapid.Bool().Draw(t, "near") {
			other = base ^ 1<<rapid.IntRange(0, 31).Draw(t, "flipped")
		}
		network := must(escrow.ParseNetwork(netip.PrefixFrom(address(base), bits).String()))
		if got := network.Has(address(other)); got != (other&mask == base) {
			t.Errorf("%s has %s: %t", network, address(other), got)
		}
	})
}

func address(bits uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, bits)))
}
