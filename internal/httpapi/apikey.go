package httpapi

import (
	"net/http"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// keyBody makes a key.
type keyBody struct {
	Label     string  `json:"label" limit:"text" example:"payments service"`
	Role      string  `json:"role" doc:"admin reads and writes, read_only reads." words:"roles"`
	ExpiresAt *string `json:"expiresAt,omitempty" doc:"When the key ends; never when left out." format:"date-time"`
}

// rotationBody replaces a key; it may be left out.
type rotationBody struct {
	OverlapSeconds *int64 `json:"overlapSeconds,omitempty" doc:"How long the old key lives on; 0 when left out." minimum:"0" maximum:"2592000"`
}

// keyQuery is the parameters of the list of keys.
type keyQuery struct {
	listQuery
	IncludeRevoked bool `query:"includeRevoked" doc:"true lists revoked keys too." default:"false"`
}

// APIKeyView is a key as the API shows it, without its secret, of which only a hash is kept.
// The hash is not shown: it would let a reader test guesses at the secret.
type APIKeyView struct {
	ID            escrow.KeyID         `json:"id"`
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	Label         string               `json:"label"`
	Role          escrow.Role          `json:"role"`
	CreatedAt     timestamp            `json:"createdAt"`
	ExpiresAt     *timestamp           `json:"expiresAt,omitempty"`
	RevokedAt     *timestamp           `json:"revokedAt,omitempty"`
	Version       int64                `json:"version" doc:"One more with each change." minimum:"1"`
	RotatedTo     *escrow.KeyID        `json:"rotatedTo,omitempty" doc:"The key that takes its place."`
}

// newAPIKeyView is a key with its secret, which is shown this once.
type newAPIKeyView struct {
	APIKeyView
	APIKey string `json:"apiKey" doc:"The secret. It is shown this once; only its hash is kept." example:"egk_…"`
}

// viewKey shows a key, without its secret.
func viewKey(k escrow.APIKey) APIKeyView {
	view := APIKeyView{
		ID:            k.ID,
		InstitutionID: k.InstitutionID,
		Label:         k.Label,
		Role:          k.Role,
		CreatedAt:     timestamp(k.CreatedAt),
		ExpiresAt:     (*timestamp)(k.ExpiresAt),
		RevokedAt:     (*timestamp)(k.RevokedAt),
		Version:       k.Version,
	}
	if !k.RotatedTo.IsZero() {
		view.RotatedTo = &k.RotatedTo
	}
	return view
}

// keyCursor is a key's place in a list.
func keyCursor(k escrow.APIKey) escrow.Cursor { return escrow.IDCursor(k.ID) }

var createKeyOperation = operation{
	Operation: web.Operation{
		ID: "createApiKey", Tag: "API keys", Summary: "Create an API key",
		Body:        keyBody{},
		BodyExample: createKeyExample, Answer: newAPIKeyView{}, Status: http.StatusCreated,
	},
	refusals: codes{escrow.CodeKeyLimit, escrow.CodeKeySecretGone},
}

// createKey makes a key for an institution, and shows its secret.
func (s *server) createKey(c *call) (reply, error) {
	input := escrow.KeyInput(bodyOf[keyBody](c))
	command, faults := escrow.NewCreateKey(input, escrow.HashSecret(c.newSecret()))
	return c.makeKey(command, faults)
}

var rotateKeyOperation = operation{
	Operation: web.Operation{
		ID: "rotateApiKey", Tag: "API keys", Summary: "Replace an API key",
		Body: rotationBody{}, BodyOptional: true,
		BodyExample: rotateKeyExample, Answer: newAPIKeyView{}, Status: http.StatusCreated,
	},
	refusals: codes{
		escrow.CodeKeyNotFound, escrow.CodeKeyInactive, escrow.CodeKeyRotated, escrow.CodeKeyLimit,
		escrow.CodeKeySecretGone,
	},
}

// rotateKey makes a key that takes over label and role of another, which ends at once or
// after an overlap.
func (s *server) rotateKey(c *call) (reply, error) {
	old := subjectID[escrow.KeyID](c, "keyId", escrow.CodeKeyNotFound)
	input := escrow.RotationInput(bodyOf[rotationBody](c))
	command, faults := escrow.NewRotateKey(old, input, escrow.HashSecret(c.newSecret()))

	return c.makeKey(command, faults)
}

// makeKey carries out a command that makes a key, and shows the secret, also when the
// request is repeated.
func (c *call) makeKey(command escrow.Command, faults escrow.Faults) (reply, error) {
	key, err := execute[escrow.APIKey](c, command, faults)
	if err != nil {
		return reply{}, err
	}

	secret, err := c.secretOf(key)
	if err != nil {
		return reply{}, err
	}
	// A key has no path of its own, only the list.
	location := "/institutions/" + key.InstitutionID.String() + "/api-keys"
	return created(location, newAPIKeyView{APIKeyView: viewKey(key), APIKey: secret}), nil
}

// labelPatch changes what a key is called.
type labelPatch struct {
	Label *string `json:"label,omitempty" null:"refused" limit:"text" example:"payments service, Frankfurt"`
}

var updateKeyOperation = operation{
	Operation: web.Operation{
		ID: "updateApiKey", Tag: "API keys", Summary: "Change an API key's label",
		Body:        labelPatch{},
		BodyExample: updateKeyExample, Answer: APIKeyView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeKeyNotFound, escrow.CodeVersionMismatch},
}

// updateKey changes what a key is called. What it may do stays: it was given out for that.
func (s *server) updateKey(c *call) (reply, error) {
	id := subjectID[escrow.KeyID](c, "keyId", escrow.CodeKeyNotFound)
	command, faults := escrow.NewUpdateKey(id, bodyOf[labelPatch](c).Label, c.versions)
	key, err := execute[escrow.APIKey](c, command, faults)
	return ok(viewKey(key)).tagged(key.Version), err
}

var revokeKeyOperation = operation{
	Operation: web.Operation{
		ID: "revokeApiKey", Tag: "API keys", Summary: "Revoke an API key",
		Answer: APIKeyView{},
	},
	refusals: codes{escrow.CodeKeyNotFound},
}

// revokeKey ends a key for good. For one that is revoked already nothing is done, and the
// answer is the same.
func (s *server) revokeKey(c *call) (reply, error) {
	id := subjectID[escrow.KeyID](c, "keyId", escrow.CodeKeyNotFound)

	key, err := execute[escrow.APIKey](c, escrow.RevokeKey{Key: id}, nil)
	if err != nil {
		return reply{}, err
	}
	return ok(viewKey(key)), nil
}

var listKeysOperation = operation{
	Operation: web.Operation{
		ID: "listApiKeys", Tag: "API keys", Summary: "List API keys",
		Query: keyQuery{}, Answer: listView[APIKeyView]{},
	},
}

// listKeys answers an institution's keys in the order of creation, without those that
// were revoked unless they are asked for.
func (s *server) listKeys(c *call) (reply, error) {
	query := queryOf[keyQuery](c)
	list := query.read(&c.faults, "api-keys")
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	filter := escrow.KeyFilter{Period: list.period, IncludeRevoked: query.IncludeRevoked}
	keys, err := s.engine.Keys(c.context(), institution, filter, list.page)
	return listed(list, keys, viewKey, keyCursor), err
}
