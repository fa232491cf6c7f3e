package egress_test

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/egress"
)

func TestAddressesThatAreNotPublicAreRefused(t *testing.T) {
	client := egress.New(egress.Config{})
	for _, c := range []struct{ kind, address string }{
		{"this network", "0.0.0.0"},
		{"this network", "0.1.2.3"},
		{"private", "10.0.0.1"},
		{"private, the first and the last", "172.16.0.0"},
		{"private, the first and the last", "172.31.255.255"},
		{"private", "192.168.1.1"},
		{"carrier-grade NAT", "100.64.0.1"},
		{"carrier-grade NAT, the last", "100.127.255.255"},
		{"loopback", "127.0.0.1"},
		{"loopback", "127.255.255.254"},
		{"link-local, where clouds keep secrets", "169.254.169.254"},
		{"protocol assignments, and Oracle's secrets", "192.0.0.192"},
		{"Azure's platform", "168.63.129.16"},
		{"documentation", "192.0.2.1"},
		{"documentation", "198.51.100.1"},
		{"documentation", "203.0.113.1"},
		{"6to4 relays", "192.88.99.1"},
		{"benchmarks", "198.18.0.1"},
		{"benchmarks", "198.19.255.255"},
		{"multicast", "224.0.0.1"},
		{"multicast", "239.255.255.255"},
		{"reserved", "240.0.0.1"},
		{"broadcast", "255.255.255.255"},

		{"unspecified", "::"},
		{"loopback", "::1"},
		{"mapped private", "::ffff:10.0.0.1"},
		{"mapped loopback", "::ffff:7f00:1"},
		{"mapped link-local", "::ffff:169.254.169.254"},
		{"compatible, which is given up", "::127.0.0.1"},
		{"NAT64 of private", "64:ff9b::10.0.0.1"},
		{"NAT64 of loopback", "64:ff9b::7f00:1"},
		{"NAT64 of link-local", "64:ff9b::a9fe:a9fe"},
		{"NAT64 of Azure's platform", "64:ff9b::168.63.129.16"},
		{"NAT64 of a network's own", "64:ff9b:1::8.8.8.8"},
		{"6to4 of private", "2002:a00:1::1"},
		{"6to4 of public", "2002:808:808::1"},
		{"Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2"},
		{"ORCHID", "2001:20::1"},
		{"benchmarks", "2001:2::1"},
		{"documentation", "2001:db8::1"},
		{"documentation", "3fff::1"},
		{"discarded", "100::1"},
		{"segment routing", "5f00::1"},
		{"unique local", "fc00::1"},
		{"unique local, where Amazon keeps secrets", "fd00:ec2::254"},
		{"link-local", "fe80::1"},
		{"site-local", "fec0::1"},
		{"multicast", "ff02::1"},
		{"given to nobody yet", "4000::1"},
		{"given to nobody yet", "e000::1"},
	} {
		t.Run(c.kind+" "+c.address, func(t *testing.T) {
			refusal := wantRefusal(t, client.CheckURL("https://"+bracketed(c.address)+"/"))
			if refusal.Host != c.address {
				t.Errorf("the host is %q", refusal.Host)
			}
		})
	}
}

// bracketed is an address as it stands in a URL.
func bracketed(address string) string {
	if strings.Contains(address, ":") {
		return "[" + address + "]"
	}
	return address
}

func TestPublicAddressesPass(t *testing.T) {
	client := egress.New(egress.Config{})
	for _, address := range []string{
		"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
		"192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15",
		"2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
	} {
		if err := client.CheckURL("https://" + bracketed(address)); err != nil {
			t.Error(err)
		}
	}
}

func TestAllowedNetworksPassAndNothingBesideThem(t *testing.T) {
	for _, c := range []struct {
		network         string
		passes, refused []string
	}{
		{"10.1.2.0/24", []string{"10.1.2.0", "10.1.2.255", "::ffff:10.1.2.3"}, []string{"10.1.3.0", "64:ff9b::10.1.2.3", "127.0.0.1"}},
		{"127.0.0.1/32", []string{"127.0.0.1", "::ffff:127.0.0.1"}, []string{"127.0.0.2", "::1"}},
		{"::1/128", []string{"::1"}, []string{"127.0.0.1", "::"}},
		{"fd00::/8", []string{"fd12::1"}, []string{"fc00::1", "fe80::1"}},
		{"fe80::/10", []string{"fe80::1"}, []string{"fe80::1%25eth0", "2606:4700::1%25eth0", "64:ff9b::8.8.8.8%25eth0"}},
		{"64:ff9b::a00:0/104", []string{"64:ff9b::10.1.2.3"}, []string{"10.1.2.3", "64:ff9b::192.168.0.1"}},
		{"0.0.0.0/0", []string{"10.0.0.1", "127.0.0.1"}, []string{"::1", "fd00::1"}},
		{"::/0", []string{"fd00::1", "::1"}, []string{"10.0.0.1", "::ffff:10.0.0.1"}},
	} {
		client := egress.New(egress.Config{AllowedNetworks: networks(c.network)})
		for _, address := range c.passes {
			if err := client.CheckURL("https://" + bracketed(address)); err != nil {
				t.Errorf("where %s is allowed: %v", c.network, err)
			}
		}
		for _, address := range c.refused {
			t.Run(address+" beside "+c.network, func(t *testing.T) {
				wantRefusal(t, client.CheckURL("https://"+bracketed(address)))
			})
		}
	}
}

func TestURLsThatLeadNowhereAreRefusedAtOnce(t *testing.T) {
	client := egress.New(egress.Config{AllowedNetworks: networks("10.0.0.0/8")})
	for name, address := range map[string]string{
		"nothing":                      "",
		"no scheme":                    "example.com/hook",
		"plain http":                   "http://example.com/",
		"plain http to a public IP":    "http://8.8.8.8/",
		"plain http to an allowed IP":  "http://10.0.0.1/",
		"plain http to this machine":   "http://127.0.0.1/",
		"another scheme":               "ftp://example.com/",
		"a file":                       "file:///etc/passwd",
		"no host":                      "https:///path",
		"no host, but a port":          "https://:443/",
		"opaque":                       "https:example.com",
		"a user":                       "https://user@example.com/",
		"a password":                   "https://user:secret@example.com/",
		"an empty user":                "https://@example.com/",
		"port 0":                       "https://example.com:0/",
		"a port that is too large":     "https://example.com:65536/",
		"a port that is no number":     "https://example.com:https/",
		"a control character":          "https://example.com/\n",
		"an address in C's hex":        "https://0x7f.1/",
		"an address in hex, whole":     "https://0x7F000001/",
		"hex without digits":           "https://127.0.0.0x/",
		"an address as a number":       "https://2130706433/",
		"an address in octal":          "https://0177.0.0.1/",
		"a short address":              "https://127.1/",
		"an address with a dot":        "https://127.0.0.1./",
		"an address with zeros":        "https://127.0.0.01/",
		"an address with many parts":   "https://1.127.0.0.1/",
		"digits of another script":     "https://１２７.0.0.1/",
		"a name that is not in ASCII":  "https://müller.example/",
		"dots of another script":       "https://127。0。0。1/",
		"a host that is escaped":       "https://127.0.0.%31/",
		"a host in brackets":           "https://[example.com]/",
		"an address with a zone":       "https://[fe80::1%25eth0]/",
		"an empty label":               "https://a..example/",
		"a dot":                        "https://./",
		"a label that is too long":     "https://" + strings.Repeat("a", 64) + ".example/",
		"a name that is too long":      "https://" + strings.Repeat("abcdefg.", 32) + "example/",
		"a character of no name":       "https://exa$mple.com/",
		"this machine by name":         "https://localhost/",
		"this machine, otherwise":      "https://LocalHost./",
		"this machine, below its name": "https://a.localhost/",
		"too long":                     "https://example.com/" + strings.Repeat("a", 2029),
	} {
		t.Run(name, func(t *testing.T) { wantRefusal(t, client.CheckURL(address)) })
	}
}

// Whoever has set the URL is told what to change.
func TestARefusalHasItsReason(t *testing.T) {
	client := egress.New(egress.Config{})
	for address, want := range map[string]string{
		"http://example.com/":       "the URL has to begin with https://",
		"example.com":               "the URL has to begin with https://",
		"https:///path":             "the URL names no host",
		"https:example.com":         "the URL names no host",
		"https://user@example.com/": "the URL has a user name or a password in it",
		"https://example.com:0/":    "the port has to be from 1 to 65535",
		"https://10.0.0.1/":         "the address is not of the public internet",
		"http://127.0.0.1/":         "the address is not of the public internet",
		"https://localhost/":        "the address is not of the public internet",
		"https://0x7f.1/":           "the host is neither a domain name, in ASCII, nor an address",
		"https://example.com/\n":    "it is not a URL",
		"https://example.com/" + strings.Repeat("a", 2029): "the URL is too long",
	} {
		if refusal := wantRefusal(t, client.CheckURL(address)); refusal.Why != want {
			t.Errorf("%q is refused as %q, not %q", address, refusal.Why, want)
		}
	}
}

func TestURLsOfNamesPassUntilTheyAreResolved(t *testing.T) {
	client := egress.New(egress.Config{})
	for _, address := range []string{
		"https://example.com", "HTTPS://EXAMPLE.COM/", "https://example.com:8443/hook?a=b#c", "https://example.com./",
		"https://xn--mller-kva.example/", "https://under_score.example/", "https://10.example/", "https://0x7f.example/",
		"https://localhost.example/", "https://notlocalhost/", "https://0xg/", "https://intranet/",
		"https://" + strings.Repeat("a", 63) + ".example/", "https://" + strings.Repeat("abcdefg.", 31) + "exam/",
		"https://example.com/" + strings.Repeat("a", 2028),
	} {
		if err := client.CheckURL(address); err != nil {
			t.Error(err)
		}
	}
}

func TestLocalhostPassesWhereLoopbackIsAllowed(t *testing.T) {
	for _, network := range []string{"127.0.0.0/8", "::1/128", "127.0.0.1/32", "::/0"} {
		client := egress.New(egress.Config{AllowedNetworks: networks(network)})
		if err := client.CheckURL("https://localhost:8443/"); err != nil {
			t.Errorf("where %s is allowed: %v", network, err)
		}
		// A name can lead anywhere, and plain http must not.
		wantRefusal(t, client.CheckURL("http://localhost:8080/"))
	}
}

// FuzzCheckURL looks for a URL that passes although its host is no name that anybody can look up, or an
// address, in any notation, that is not public.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/", "https://10.0.0.1:443/", "https://[::ffff:10.0.0.1]/", "http://127.0.0.1", "https://0x7f.1",
		"https://a@b", "https://[fe80::1%25eth0]:1/", "https://xn--mller-kva.example", "https://2130706433", "//a", "https:a",
		"https://1.1.1.1", "https://[64:ff9b::a00:1]", "https://localhost.", "https://%31.1", "https://１.1",
	} {
		f.Add(seed)
	}

	client := egress.New(egress.Config{})
	f.Fuzz(func(t *testing.T, address string) {
		if err := client.CheckURL(address); err != nil {
			wantRefusal(t, err)
			return
		}

		parsed, err := url.Parse(address)
		if err != nil || parsed.Scheme != "https" || parsed.User != nil || parsed.Opaque != "" || parsed.Host == "" {
			t.Fatalf("%q passes: %v, %v", address, parsed, err)
		}
		if port := parsed.Port(); port != "" {
			if number, err := strconv.Atoi(port); err != nil || number < 1 || number > 65535 {
				t.Fatalf("%q passes with port %q", address, port)
			}
		}
		host := strings.ToLower(parsed.Hostname())
		if ip, err := netip.ParseAddr(host); err == nil {
			ip = ip.Unmap()
			if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" {
				t.Fatalf("%q passes", address)
			}
			return
		}
		labels := strings.Split(strings.TrimSuffix(host, "."), ".")
		last := labels[len(labels)-1]
		if last == "" || last == "localhost" || '0' <= last[0] && last[0] <= '9' && strings.Trim(last, "0123456789abcdefx") == "" && !hasLetter(last) {
			t.Fatalf("%q passes", address)
		}
		for _, r := range host {
			if r <= ' ' || r > '~' || strings.ContainsRune(`/\?#@:[]%`, r) {
				t.Fatalf("%q passes with %q in its host", address, r)
			}
		}
	})
}

// hasLetter reports whether a label that begins with a digit has a letter that no number has.
func hasLetter(label string) bool {
	if digits, isHex := strings.CutPrefix(label, "0x"); isHex {
		return strings.Trim(digits, "0123456789abcdef") != ""
	}
	return strings.ContainsAny(label, "abcdefghijklmnopqrstuvwxyz-_")
}
