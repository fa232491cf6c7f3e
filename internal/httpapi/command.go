package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// execute carries out a command on a resource of the type R, on the institution that the
// request concerns. Faults are those that were found when the command was made; the error
// is all that is wrong with the request, or the command's refusal.
func execute[R escrow.Resource](c *call, command escrow.Command, faults escrow.Faults) (resource R, err error) {
	c.faults.Merge(faults)
	institution, err := c.institution()
	if err != nil {
		return resource, err
	}

	idempotency, err := c.idempotency(institution)
	if err != nil {
		return resource, err
	}
	done, err := c.server.engine.Do(c.context(), escrow.Request{
		Institution: institution,
		Actor:       c.caller.actor(),
		RequestID:   c.requestID,
		Command:     command,
		Idempotency: idempotency,
	})
	if err != nil {
		// Refusals are kept under the key as well, and repeated as whose they were.
		if done.Replayed {
			err = replayedError{error: err, requestID: done.RequestID}
		}
		return resource, err
	}

	resource, ok := done.Resource.(R)
	if !ok {
		return resource, fmt.Errorf("%T answered with a %T", command, done.Resource)
	}
	if done.Replayed {
		c.replayed, c.nonce = true, done.Nonce
	}
	return resource, nil
}

// replayedError is the refusal of an earlier request, repeated.
type replayedError struct {
	error
	requestID string
}

func (r replayedError) Unwrap() error { return r.error }

// maxIdempotencyKey bounds an Idempotency-Key, in characters.
const maxIdempotencyKey = 255

// checkIdempotencyKey notes an Idempotency-Key that is not valid. An empty one is not the
// same as none: a client that sends it believes to be safe.
func (c *call) checkIdempotencyKey() {
	given := c.request.Header.Values("Idempotency-Key")
	if len(given) == 0 {
		return
	}
	if len(given) > 1 || given[0] == "" || len(given[0]) > maxIdempotencyKey || !visibleASCII(given[0]) {
		c.faults.Add("Idempotency-Key", "must be given once and be 1 to %d visible ASCII characters", maxIdempotencyKey)
	}
}

// idempotency reads the Idempotency-Key, if there is one; it was checked. The fingerprint
// is over what decides about the answer: method, path, institution, If-Match and the body
// without its white space; for an answer that holds a secret, also who asks.
func (c *call) idempotency(institution escrow.InstitutionID) (*escrow.Idempotency, error) {
	given := c.request.Header.Values("Idempotency-Key")
	if len(given) == 0 {
		return nil, nil //nolint:nilnil // No key is no fault.
	}

	decides := make([]byte, 0, len(c.rawBody)+512)
	for _, part := range []string{
		c.request.Method,
		c.request.URL.EscapedPath(),
		institution.String(),
		strings.Join(c.request.Header.Values("If-Match"), ", "),
	} {
		// No part can hold the end of a line.
		decides = append(append(decides, part...), '\n')
	}

	if len(c.rawBody) > 0 {
		compact := jsontext.Value(append(decides, c.rawBody...)[len(decides):])
		if err := compact.Compact(); err != nil {
			return nil, fmt.Errorf("compact a body that was decoded: %w", err)
		}
		decides = append(decides, compact...)
	}
	if c.nonce != nil {
		decides = append(append(decides, '\n'), c.caller.actor().String()...)
	}
	return &escrow.Idempotency{Key: given[0], Fingerprint: sha256.Sum256(decides), Nonce: c.nonce}, nil
}

// visibleASCII reports whether a text has no spaces, controls or other letters, which
// some proxies change on the way.
func visibleASCII(text string) bool {
	for i := range len(text) {
		if text[i] < '!' || text[i] > '~' {
			return false
		}
	}
	return true
}

// newSecret makes the secret of a new key. It is derived from the caller's own,
// so that a repeated request is answered with the same secret although only its
// hash is kept; the random nonce alone leads nowhere.
func (c *call) newSecret() string {
	c.nonce = make([]byte, 32)
	_, _ = rand.Read(c.nonce) // It never fails.
	return c.secret()
}

// secret is that of the key in the answer: after a repeated request, the first one's.
func (c *call) secret() string {
	return escrow.NewSecret(escrow.DeriveSecret(c.caller.secret, c.nonce))
}
