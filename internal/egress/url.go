package egress

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// maxURLBytes is as much as servers and proxies commonly take.
const maxURLBytes = 2048

// checkURL returns a *NotAllowedError for a URL that is refused whatever its name resolves to.
func (g guard) checkURL(u *url.URL) error {
	why := g.whyNot(u)
	if why == "" {
		return nil
	}
	return &NotAllowedError{Host: u.Hostname(), Why: why}
}

// whyNot says why a URL is refused; it is empty for one that is not.
func (g guard) whyNot(u *url.URL) string {
	host := u.Hostname()
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return onlyHTTPS
	case u.Opaque != "" || host == "":
		return "the URL names no host"
	case u.User != nil:
		return "the URL has a user name or a password in it"
	case !isPort(u.Port()):
		return "the port has to be from 1 to 65535"
	}

	address, err := netip.ParseAddr(host)
	isAddress := err == nil
	switch {
	case isAddress && !g.isAllowed(address), isLocalhost(host) && !g.allowsLoopback():
		return notPublic
	case !isAddress && !isName(host):
		return "the host is neither a domain name, in ASCII, nor an address"
	case u.Scheme == "http" && !address.IsLoopback():
		return onlyHTTPS // A loopback address that got here is in an allowed network.
	}
	return ""
}

const onlyHTTPS = "the URL has to begin with https://"

// notPublic is the reason of each address that is refused. It does not say which kind of address it
// is, which would tell a tenant about the network inside.
const notPublic = "the address is not of the public internet"

// isPort reports whether there is a port that can be connected to, or none.
func isPort(port string) bool {
	number, err := strconv.ParseUint(port, 10, 16)
	return port == "" || err == nil && number > 0
}

// isLocalhost reports whether a name is this machine's by definition (RFC 6761), in any resolver.
func isLocalhost(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// The bounds of names in the DNS (RFC 1035), in bytes.
const (
	maxNameBytes  = 253
	maxLabelBytes = 63
)

// isName reports whether a host can be a domain name. One whose last label is a number is not: old
// resolvers read 0x7f.1, 2130706433 or 0177.0.0.1 as an address, and no domain ends in a number.
func isName(host string) bool {
	name := strings.TrimSuffix(host, ".")
	if name == "" || len(name) > maxNameBytes {
		return false
	}

	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > maxLabelBytes || strings.Trim(label, nameCharacters) != "" {
			return false
		}
		last = label
	}
	return !isNumber(last)
}

// nameCharacters includes the underscore, which is in names that people use.
const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"

// isNumber reports whether a label is a number, as programs in C read one: 10, 012 or 0xa, of any size.
func isNumber(label string) bool {
	if digits, isHex := strings.CutPrefix(strings.ToLower(label), "0x"); isHex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}
