package egress

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrNotAllowed is what every *NotAllowedError wraps.
var ErrNotAllowed = errors.New("not allowed to be reached from here")

// NotAllowedError says that a request was not sent, because of where it would have gone.
type NotAllowedError struct {
	// Host is what the URL names; empty where it names nothing.
	Host string
	// Address is one that the host resolved to, and invalid where it was not looked up. It is for the
	// operator alone: a tenant must not learn from it which names there are inside.
	Address netip.Addr
	// Why is the reason, for whoever has set the URL.
	Why string
}

// Error has everything that is known, for the log.
func (e *NotAllowedError) Error() string {
	if e.Address.IsValid() {
		return fmt.Sprintf("%q, which is %s, is %v: %s", e.Host, e.Address, ErrNotAllowed, e.Why)
	}
	return fmt.Sprintf("%q is %v: %s", e.Host, ErrNotAllowed, e.Why)
}

// Unwrap returns ErrNotAllowed.
func (e *NotAllowedError) Unwrap() error { return ErrNotAllowed }

// RedirectError says that the answer was a redirect, which is not followed: it would lead where nobody
// has asked to go.
type RedirectError struct {
	// Status is the answer's.
	Status int
	// Location is where it leads, as the other side wrote it.
	Location string
}

func (e *RedirectError) Error() string {
	return fmt.Sprintf("the answer is a redirect (%d) to %q, which is not followed", e.Status, e.Location)
}

// ErrBodyTooLarge means that there is more of an answer's body than is read. What was read until then is
// the body's beginning.
var ErrBodyTooLarge = errors.New("the body of the answer is larger than what is read")
