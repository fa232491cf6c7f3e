package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Every command comes the same way: the body and the query are read and checked,
// all faults are told at once, then the institution is found, then the engine
// carries the command out.

// reading is what a handler has read of a command so far.
type reading struct {
	body   []byte
	faults escrow.Faults
}

// noQuery is the query of a route that takes no parameters.
type noQuery struct{}

// readCommand reads a request's body and query into structs. A body that is nil
// is not read at all.
func (c *call) readCommand(body, query any) (*reading, error) {
	read := &reading{}
	decodeQuery(c.request.URL.RawQuery, query, &read.faults)
	c.checkIdempotencyKey(&read.faults)
	if body == nil {
		return read, nil
	}
	var err error
	if read.body, err = c.readBody(); err != nil {
		return nil, err
	}
	faults, err := decodeBody(read.body, body)
	if err != nil {
		return nil, err
	}
	read.faults.Merge(faults)
	return read, nil
}

// check adds what others found to the faults of the reading, and returns all of
// them.
func (r *reading) check(found ...escrow.Faults) error {
	for _, faults := range found {
		r.faults.Merge(faults)
	}
	return r.faults.Err()
}

// tenantCommand reads a command on a tenant's resource and carries it out. The body
// is read into a struct before build makes the command of it; named points to the
// institution that the body names.
func tenantCommand[R escrow.Resource](
	c *call, body any, named *string, build func(*reading) (escrow.Command, escrow.Faults),
) (done[R], error) {
	var query tenantQuery
	read, err := c.readCommand(body, &query)
	if err != nil {
		return done[R]{}, err
	}
	command, found := build(read)
	institution, misnamed, forbidden := c.tenant(*named, query.InstitutionID)
	if err := read.check(found, misnamed); err != nil {
		return done[R]{}, err
	}
	if forbidden != nil {
		return done[R]{}, forbidden
	}
	return do[R](c, institution, read.body, command, nil)
}

// tenant returns the institution that the request concerns: that of a tenant's
// key, which may name no other; and the one that root names.
func (c *call) tenant(named ...string) (id escrow.InstitutionID, faults escrow.Faults, err error) {
	for _, name := range named {
		if name == "" {
			continue
		}
		var parsed escrow.InstitutionID
		if err := parsed.UnmarshalText([]byte(name)); err != nil {
			faults.Add("institutionId", "%s", err)
		} else if !id.IsZero() && parsed != id {
			faults.Add("institutionId", "must be the same in body and query")
		}
		id = parsed
	}
	if id.IsZero() && c.caller.root {
		faults.Add("institutionId", "is required with the root key")
	}
	if len(faults) > 0 || c.caller.root {
		return id, faults, nil
	}
	if !id.IsZero() && id != c.caller.institution {
		return id, nil, escrow.Errorf(escrow.CodeForbidden, "The key acts for another institution.")
	}
	return c.caller.institution, nil, nil
}

// pathTenant returns the institution that the path names. Another tenant's is
// answered as one that does not exist.
func (c *call) pathTenant() (escrow.InstitutionID, error) {
	var id escrow.InstitutionID
	name := c.request.PathValue("id")
	if err := id.UnmarshalText([]byte(name)); err != nil || !c.caller.root && id != c.caller.institution {
		return id, escrow.Errorf(escrow.CodeInstitutionNotFound, "There is no such institution.")
	}
	return id, nil
}

// existingTenant is pathTenant for queries, which do not find a missing
// institution by themselves.
func (c *call) existingTenant() (escrow.InstitutionID, error) {
	id, err := c.pathTenant()
	if err != nil {
		return id, err
	}
	_, err = c.server.engine.Institution(c.request.Context(), id)
	return id, err
}

// readPathTenant returns the institution that the path names, which must exist, once
// the query has no faults.
func (c *call) readPathTenant(faults *escrow.Faults) (id escrow.InstitutionID, err error) {
	if err := faults.Err(); err != nil {
		return id, err
	}
	return c.existingTenant()
}

// queriedTenant returns the institution that the query of a single resource
// names, or the key's own.
func (c *call) queriedTenant() (escrow.InstitutionID, error) {
	var query tenantQuery
	var faults escrow.Faults
	decodeQuery(c.request.URL.RawQuery, &query, &faults)
	return c.readQueriedTenant(&faults, query)
}

// readQueriedTenant is queriedTenant for a query that has more parameters, once they have
// no faults.
func (c *call) readQueriedTenant(faults *escrow.Faults, query tenantQuery) (escrow.InstitutionID, error) {
	id, misnamed, forbidden := c.tenant(query.InstitutionID)
	faults.Merge(misnamed)
	if err := faults.Err(); err != nil {
		return id, err
	}
	return id, forbidden
}

// listTenant returns the institution that a list concerns, once the list's query
// has no faults. One that root names must exist: an empty list would hide a
// mistyped id.
func (c *call) listTenant(read *listReading, query tenantQuery) (escrow.InstitutionID, error) {
	id, err := c.readQueriedTenant(&read.faults, query)
	if err == nil && c.caller.root {
		_, err = c.server.engine.Institution(c.request.Context(), id)
	}
	return id, err
}

// pathID reads an id out of the path. One that is no id names nothing.
func pathID[K escrow.IDKind](c *call, name string, into *escrow.ID[K], missing escrow.Code) error {
	if err := into.UnmarshalText([]byte(c.request.PathValue(name))); err != nil {
		return escrow.Errorf(missing, "There is nothing of this id.")
	}
	return nil
}

// maxIdempotencyKey bounds an Idempotency-Key, in characters.
const maxIdempotencyKey = 255

// done is what a command that was carried out led to.
type done[R escrow.Resource] struct {
	resource R
	// replayed says that this is the answer to an earlier request, of which nonce is.
	replayed bool
	nonce    []byte
}

// do carries out a command on a resource of the type R. A nonce says that the
// answer holds a secret made with it.
func do[R escrow.Resource](
	c *call, institution escrow.InstitutionID, body []byte, command escrow.Command, nonce []byte,
) (done[R], error) {
	idempotency, err := c.idempotency(institution, body, nonce)
	if err != nil {
		return done[R]{}, err
	}
	answer, err := c.server.engine.Do(c.request.Context(), escrow.Request{
		Institution: institution, Actor: c.caller.actor(), RequestID: c.requestID, Command: command, Idempotency: idempotency,
	})
	if err != nil {
		if answer.Replayed {
			err = replayedError{err, answer.RequestID}
		}
		return done[R]{}, err
	}
	resource, ok := answer.Resource.(R)
	if !ok {
		return done[R]{}, fmt.Errorf("%T led to a %T", command, answer.Resource)
	}
	if answer.Replayed {
		nonce = answer.Nonce
	}
	return done[R]{resource, answer.Replayed, nonce}, nil
}

// replayedError is the refusal of an earlier request, repeated.
type replayedError struct {
	error
	requestID string
}

func (r replayedError) Unwrap() error { return r.error }

// checkIdempotencyKey notes an Idempotency-Key that is none.
func (c *call) checkIdempotencyKey(faults *escrow.Faults) {
	given := c.request.Header.Values("Idempotency-Key")
	if len(given) > 0 && (len(given) > 1 || given[0] == "" || len(given[0]) > maxIdempotencyKey || !visibleASCII(given[0])) {
		faults.Add("Idempotency-Key", "must be given once and be 1 to %d visible ASCII characters", maxIdempotencyKey)
	}
}

// idempotency reads the Idempotency-Key, if there is one; it was checked. The fingerprint is over
// what decides about the answer: method, path, institution, If-Match and the
// body without its white space; for an answer that holds a secret, also who asks.
func (c *call) idempotency(institution escrow.InstitutionID, body, nonce []byte) (*escrow.Idempotency, error) {
	given := c.request.Header.Values("Idempotency-Key")
	if len(given) == 0 {
		return nil, nil //nolint:nilnil // No key is no fault.
	}
	decides := make([]byte, 0, len(body)+512)
	for _, part := range []string{c.request.Method, c.request.URL.EscapedPath(), institution.String(), strings.Join(c.request.Header.Values("If-Match"), ", ")} {
		// No part can hold the end of a line.
		decides = append(append(decides, part...), '\n')
	}
	if len(body) > 0 {
		compact := jsontext.Value(append(decides, body...)[len(decides):])
		if err := compact.Compact(); err != nil {
			return nil, malformed(err)
		}
		decides = append(decides, compact...)
	}
	if nonce != nil {
		decides = append(append(decides, '\n'), c.caller.actor().String()...)
	}
	return &escrow.Idempotency{Key: given[0], Fingerprint: sha256.Sum256(decides), Nonce: nonce}, nil
}

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
func (c *call) newSecret() (secret string, nonce []byte) {
	nonce = make([]byte, 32)
	_, _ = rand.Read(nonce) // It never fails.
	return c.secretOf(nonce), nonce
}

func (c *call) secretOf(nonce []byte) string {
	return escrow.NewSecret(escrow.DeriveSecret(c.caller.secret, nonce))
}
