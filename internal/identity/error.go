package identity

import (
	"errors"
	"strings"
)

// What the errors of this package are, for errors.Is. Their text adds a reason, which never has any part of a
// token, a code or a secret in it.
var (
	// ErrInvalid is a token that must not be accepted.
	ErrInvalid = errors.New("the token is not valid")
	// ErrExpired is a token that was valid until it expired.
	ErrExpired = errors.New("the token has expired")
	// ErrUnavailable says that nothing can be decided: the provider cannot be asked, or what it
	// answers makes no sense.
	ErrUnavailable = errors.New("the identity provider is not available")
	// ErrLogin is a login that cannot be finished: it was begun too long ago, in another browser,
	// or at another provider.
	ErrLogin = errors.New("the login cannot be finished")
	// ErrRefused says that the provider does not finish the login: the person has declined, the
	// code was used before, or the client is not registered as this server thinks.
	ErrRefused = errors.New("the identity provider refused the login")
)

// reasoned is an error of a kind, for a reason.
type reasoned struct {
	kind   error
	reason string
}

// Error implements error.
func (e *reasoned) Error() string { return e.kind.Error() + ": " + e.reason }

// Unwrap returns the kind, for errors.Is.
func (e *reasoned) Unwrap() error { return e.kind }

// Reason returns why an error is what it is, without what it is; empty for an error of others. That of an
// ErrUnavailable can tell of the network that the server is in, and that of an ErrRefused is a provider's
// text: neither is for callers as it is.
func Reason(err error) string {
	if e, ok := errors.AsType[*reasoned](err); ok {
		return e.reason
	}
	return ""
}

func because(kind error, reason string) error { return &reasoned{kind, reason} }

func invalid(reason string) error { return because(ErrInvalid, reason) }

// maxReason bounds, in bytes, what is repeated of others' errors, which can quote a provider's answer.
const maxReason = 200

// unavailable is ErrUnavailable because of another error.
func unavailable(err error) error { return because(ErrUnavailable, excerpt(err.Error())) }

// excerpt is a text of others without line ends, cut to maxReason bytes.
func excerpt(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if len(text) > maxReason {
		text = strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}
