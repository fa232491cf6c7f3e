package httpapi

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// execute carries out a command on a resource of the type R, on the institution that the
// request concerns. Faults are those that were found when the command was made; the error
// is all that is wrong with the request, or the command's refusal.
func execute[R escrow.Resource](c *call, command escrow.Command, faults escrow.Faults) (R, error) {
	return executeBy[R](c, faults, func(request escrow.Request) (engine.Answer, error) {
		request.Command = command
		return c.do(request)
	})
}

// do carries out a request. Where the caller is restricted to some templates, the assets of the
// positions that it names, or asks for, are looked for first: they never change.
func (c *call) do(request escrow.Request) (answer engine.Answer, err error) {
	if len(c.caller.rights.Restriction.TemplateIDs) > 0 {
		positions := request.Command.Needs().Positions
		request.Assets, err = c.server.engine.AssetsOf(c.context(), request.Institution, positions)
		if erasure, ok := request.Command.(escrow.EraseApproval); ok {
			request.Assets, err = c.assetsAskedFor(request.Institution, erasure.Erases())
		}
		if err != nil {
			return answer, err
		}
	}
	return c.server.engine.Do(c.context(), request)
}

// assetsAskedFor lists the assets on which an approval asks for positions, none where there is no such approval.
func (c *call) assetsAskedFor(of escrow.InstitutionID, id escrow.ApprovalID) ([]escrow.AssetID, error) {
	approval, err := c.server.engine.Approval(c.context(), of, id)
	switch {
	case escrow.ErrorCode(err) == escrow.CodeApprovalNotFound:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return approval.CreatedOn()
}

// executeBy has a function carry out the request, which has all but its command.
func executeBy[R escrow.Resource](
	c *call, faults escrow.Faults, do func(escrow.Request) (engine.Answer, error),
) (resource R, err error) {
	c.faults.Merge(faults)
	breakGlass := c.readBreakGlass()
	institution, err := c.institution()
	if err == nil && breakGlass != "" && !c.caller.root {
		err = escrow.Errorf(escrow.CodeBreakGlassForbidden, "Only the operator can break the glass.")
	}
	if err == nil {
		err = c.missing
	}
	if err != nil {
		return resource, err
	}

	idempotency, err := c.idempotency(institution)
	if err != nil {
		return resource, err
	}
	request := c.requestOn(institution)
	request.Idempotency, request.DryRun, request.BreakGlass = idempotency, c.dryRun, breakGlass
	done, err := do(request)
	c.judgedOn = done.JudgedOn
	if err != nil {
		// Refusals are kept under the key as well, and repeated as whose they were.
		if done.Replayed {
			err = replayedError{error: err, requestID: done.RequestID}
		}
		return resource, err
	}

	if done.Replayed {
		c.replayed, c.nonce = true, done.Nonce
	}
	resource, ok := done.Resource.(R)
	if ok {
		return resource, nil
	}
	if approval, waits := done.Resource.(escrow.Approval); waits {
		return resource, awaitedError{approval}
	}
	return resource, fmt.Errorf("a command for a %T answered with a %T", resource, done.Resource)
}

// requestOn is who asks for something on an institution.
func (c *call) requestOn(institution escrow.InstitutionID) escrow.Request {
	return escrow.Request{
		Institution:  institution,
		Actor:        c.caller.actor(),
		OwnRole:      c.caller.ownRole,
		Membership:   c.caller.as.Membership,
		OperatorRole: c.caller.as.OperatorRole,
		RequestID:    c.requestID,
	}
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
	if len(given) == 0 || c.dryRun {
		return
	}
	if !c.route.isKeyed() {
		c.faults.Add("Idempotency-Key", "is not taken here: the answer is not kept")
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
	if len(given) == 0 || c.dryRun {
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
	fingerprint := sha256.Sum256(decides)
	if c.route.takesSecret {
		// Who has the database alone must not be able to try which secret it was.
		mac := hmac.New(sha256.New, []byte(c.server.keySecrets[0]))
		mac.Write(fingerprint[:])
		fingerprint = [sha256.Size]byte(mac.Sum(nil))
	}
	return &escrow.Idempotency{Key: given[0], Fingerprint: fingerprint, Nonce: c.nonce}, nil
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

// newSecret makes the secret of a new key. It is derived from the caller's own and one of the
// servers', so that a repeated request is answered with the same secret although only its
// hash is kept; the random nonce alone leads nowhere.
func (c *call) newSecret() string {
	c.nonce = make([]byte, 32)
	_, _ = rand.Read(c.nonce) // It never fails.
	return c.derivedSecret(c.server.keySecrets[0])
}

func (c *call) derivedSecret(servers string) string {
	return escrow.NewSecret(escrow.DeriveSecret(servers, c.caller.shown.text, c.nonce))
}

// secretOf returns the secret of the key in the answer: after a repeated request, the first
// one's. It is an error where what that was derived from is there no longer.
func (c *call) secretOf(key escrow.APIKey) (string, error) {
	if secret, ok := c.secretWith(key.Hash); ok {
		return secret, nil
	}
	return "", escrow.Errorf(escrow.CodeKeySecretGone,
		"The request made the API key %s, but its secret can no longer be shown: the key that asked for it or the "+
			"servers' KEY_DERIVATION_SECRET has changed since, or the database comes from a backup. Revoke it and "+
			"make another.", key.ID)
}

// secretWith returns the secret in the answer, where it is the one with a hash.
func (c *call) secretWith(hash escrow.SecretHash) (string, bool) {
	for _, servers := range c.server.keySecrets {
		if secret := c.derivedSecret(servers); escrow.HashSecret(secret) == hash {
			return secret, true
		}
	}
	return "", false
}
