package identity

import (
	"errors"
	"fmt"
	"strings"
)

// What the errors of this package are, for errors.Is. Their text adds a reason, which is made for
// the log: it never has any part of a token, a code or a secret in it.
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

func because(kind error, reason string) error { return fmt.Errorf("%w: %s", kind, reason) }

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
