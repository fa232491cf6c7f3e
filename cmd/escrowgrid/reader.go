package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// usageError says that the command line or the environment is wrong: exit code 2. Its message
// names the flag or variable and says what it takes.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

// wrongUsage returns a usageError with a formatted message.
func wrongUsage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// reader parses values and keeps the first error. So a configuration reads as a list, with one
// check for an error at its end. What reader returns for a wrong value has no meaning.
type reader struct{ err error }

// wrong keeps an error that shows the value, unless there is one already. Callers pass
// "(secret)" instead of a secret.
func (r *reader) wrong(variable, value, takes string) {
	if r.err == nil {
		r.err = &usageError{fmt.Sprintf("%s: %q is not valid: it takes %s", variable, value, takes)}
	}
}

// whole reads a whole number from low to high, inclusive.
func (r *reader) whole(variable, value string, low, high int) int {
	number, err := strconv.Atoi(value)
	if err != nil || number < low || number > high {
		r.wrong(variable, value, fmt.Sprintf("a whole number from %d to %d", low, high))
	}
	return number
}

// yesNo reads true or false, and nothing else: a typo in a switch must not turn it off.
func (r *reader) yesNo(variable, value string) bool {
	if value != "true" && value != "false" {
		r.wrong(variable, value, "true or false")
	}
	return value == "true"
}

// word reads one of a few words, in any case, and returns it as it is listed.
func (r *reader) word(variable, value string, known ...string) string {
	for _, one := range known {
		if strings.EqualFold(value, one) {
			return one
		}
	}
	r.wrong(variable, value, strings.Join(known, " or "))
	return value
}

// duration reads a duration from low to high, inclusive.
func (r *reader) duration(variable, value string, low, high time.Duration) time.Duration {
	duration, err := time.ParseDuration(value)
	if err != nil || duration < low || duration > high {
		r.wrong(variable, value, fmt.Sprintf("a duration from %s to %s, like 15s", low, high))
	}
	return duration
}

// networks reads a list of networks. A single address is a network of one.
func (r *reader) networks(variable, value string) (networks []netip.Prefix) {
	for _, text := range r.list(variable, value) {
		// ParsePrefix takes no address without a length.
		network, err := netip.ParsePrefix(text)
		if address, single := netip.ParseAddr(text); single == nil {
			network, err = netip.PrefixFrom(address, address.BitLen()), nil
		}
		network, plain := unmapped(network)
		if err != nil || !plain {
			r.wrong(variable, value, "a list of networks, like 10.1.2.0/24,192.0.2.7")
		}
		networks = append(networks, network)
	}
	return networks
}

// unmapped returns a network of IPv4 addresses that are mapped into IPv6 as the network of these
// addresses, as which clients' addresses are compared; any other as it is. It is false for one that
// has mapped addresses and others.
func unmapped(network netip.Prefix) (netip.Prefix, bool) {
	const mappedBits = 96 // of ::ffff:0:0/96

	network = network.Masked()
	mapped := netip.PrefixFrom(netip.AddrFrom16([16]byte{10: 0xff, 11: 0xff}), mappedBits)
	switch {
	case !network.Addr().Is6() || !network.Overlaps(mapped):
		return network, true
	case network.Bits() >= mappedBits:
		return netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-mappedBits), true
	}
	// ::/0 is all of IPv6, and nobody takes it for IPv4.
	return network, network.Bits() == 0
}

// origins reads a list of web origins as browsers send them: without a path, not even a slash.
// The origin * means all of them.
func (r *reader) origins(variable, value string) []string {
	origins := r.list(variable, value)
	for _, origin := range origins {
		parsed, err := url.Parse(origin)
		isOrigin := err == nil && parsed.Scheme != "" && parsed.Host != "" && origin == parsed.Scheme+"://"+parsed.Host
		if origin != "*" && !isOrigin {
			r.wrong(variable, value, "a list of origins, like https://console.example.com, or *")
		}
	}
	return origins
}

// minKeyLength is the least length of a key that the operator chooses, in characters.
const minKeyLength = 32

// secret reads one of the operator's keys, which may be left empty. No message holds the value.
// It refuses characters that a header cannot carry, because no request could use such a key.
func (r *reader) secret(variable, value string) string {
	if value != "" && len(value) < minKeyLength {
		r.wrong(variable, "(secret)", fmt.Sprintf("at least %d characters", minKeyLength))
	}
	if strings.ContainsFunc(value, func(c rune) bool { return c <= ' ' || c > '~' }) {
		r.wrong(variable, "(secret)", "visible ASCII characters only")
	}
	return value
}

// secrets reads a list of secrets, each as long as a key of the operator's.
func (r *reader) secrets(variable, value string) (secrets []string) {
	for _, secret := range r.list(variable, value) {
		secrets = append(secrets, r.secret(variable, secret))
	}
	return secrets
}

// checkpointOrigin reads the name that every checkpoint's origin begins with. It is also the name
// of the keys that sign, which signed notes end at a space or a plus sign.
func (r *reader) checkpointOrigin(variable, value string) string {
	if !translog.IsName(value) {
		r.wrong(variable, value, "a name without spaces and plus signs, like escrow.example.com")
	}
	return value
}

// signers reads a list of signing keys, which must all have a name. No message holds them.
func (r *reader) signers(variable, value, name string) (signers []translog.Signer) {
	for _, key := range r.list(variable, value) {
		signer, err := translog.NewSigner(key)
		if err != nil || signer.Name() != name {
			r.wrong(variable, "(secret)",
				"keys of the name "+name+" as escrowgrid signing-key makes them, separated by commas")
		}
		signers = append(signers, signer)
	}
	return signers
}

// logger returns the logger that the flags ask for. It is never nil, not even for a wrong value.
func (r *reader) logger(flags logFlags, to io.Writer) *slog.Logger {
	var level slog.Level
	err := level.UnmarshalText([]byte(cmp.Or(flags.LogLevel, "info")))
	// slog itself also takes levels like "info+2".
	if err != nil || strings.ContainsAny(flags.LogLevel, "+-") {
		r.wrong("LOG_LEVEL", flags.LogLevel, "debug, info, warn or error")
	}

	options := &slog.HandlerOptions{Level: level, ReplaceAttr: inMilliseconds}
	switch flags.LogFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(to, options))
	case "text":
		return slog.New(slog.NewTextHandler(to, options))
	}
	r.wrong("LOG_FORMAT", flags.LogFormat, "json or text")
	return slog.New(slog.DiscardHandler)
}

// inMilliseconds has the log tell each duration in milliseconds, with the unit in its name: slog's
// JSON has bare nanoseconds.
func inMilliseconds(_ []string, attribute slog.Attr) slog.Attr {
	if attribute.Value.Kind() != slog.KindDuration {
		return attribute
	}
	return slog.Float64(attribute.Key+"_ms", float64(attribute.Value.Duration().Microseconds())/1000)
}

// list reads the parts of a list that commas separate, without the spaces around them. No
// message holds them.
func (r *reader) list(variable, value string) (parts []string) {
	if value == "" {
		return nil
	}
	for part := range strings.SplitSeq(value, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			// Left out, it could leave an empty list, which means something else.
			r.wrong(variable, "(list)", "a list without empty elements")
		}
		parts = append(parts, part)
	}
	return parts
}

// isWebURL reports whether a text is an http or https URL with a host.
func isWebURL(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && parsed.Host != "" && (parsed.Scheme == "http" || parsed.Scheme == "https")
}
