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
	IncludeRevoked string `query:"includeRevoked" doc:"true lists revoked keys too." enum:"true,false" default:"false"`
}

// KeyView is a key as the API shows it, without its secret, of which only a hash is kept.
// The hash is not shown: it would let a reader test guesses at the secret.
type KeyView struct {
	ID            escrow.KeyID         `json:"id"`
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	Label         string               `json:"label"`
	Role          escrow.Role          `json:"role"`
	CreatedAt     timestamp            `json:"createdAt"`
	ExpiresAt     *timestamp           `json:"expiresAt,omitempty"`
	RevokedAt     *timestamp           `json:"revokedAt,omitempty"`
}

// newKeyView is a key with its secret, which is shown this once.
type newKeyView struct {
	KeyView
	APIKey string `json:"apiKey" doc:"The secret. It is shown this once; only its hash is kept." example:"egk_…"`
}

// viewKey shows a key, without its secret.
func viewKey(k escrow.APIKey) KeyView {
	return KeyView{
		ID:            k.ID,
		InstitutionID: k.InstitutionID,
		Label:         k.Label,
		Role:          k.Role,
		CreatedAt:     timestamp(k.CreatedAt),
		ExpiresAt:     (*timestamp)(k.ExpiresAt),
		RevokedAt:     (*timestamp)(k.RevokedAt),
	}
}

// keyCursor is a key's place in a list.
func keyCursor(k escrow.APIKey) escrow.Cursor { return escrow.IDCursor(k.ID) }

var createKeyOperation = operation{
	Operation: web.Operation{
		ID: "createApiKey", Tag: "API keys", Summary: "Create an API key",
		Body: keyBody{}, Answer: newKeyView{}, Status: http.StatusCreated,
	},
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
		Body: rotationBody{}, BodyOptional: true, Answer: newKeyView{}, Status: http.StatusCreated,
	},
	refusals: codes{escrow.CodeKeyNotFound, escrow.CodeKeyInactive},
}

// rotateKey makes a key that takes over label and role of another, which ends at once or
// after an overlap.
func (s *server) rotateKey(c *call) (reply, error) {
	old, err := pathID[escrow.KeyID](c, "keyId", escrow.CodeKeyNotFound)
	if err != nil {
		return reply{}, err
	}

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

	secret := c.secret()
	if escrow.HashSecret(secret) != key.Hash {
		// The caller's own key is a part of the secret. It is another one than the first
		// time: the operator's key was changed in between.
		return reply{}, escrow.Errorf(escrow.CodeIdempotencyKeyReused,
			"The secret can be shown again only to the key that asked for it first.")
	}
	// A key has no path of its own, only the list.
	location := "/institutions/" + key.InstitutionID.String() + "/api-keys"
	return created(location, newKeyView{KeyView: viewKey(key), APIKey: secret}), nil
}

var revokeKeyOperation = operation{
	Operation: web.Operation{
		ID: "revokeApiKey", Tag: "API keys", Summary: "Revoke an API key",
		Answer: KeyView{},
	},
	refusals: codes{escrow.CodeKeyNotFound},
}

// revokeKey ends a key for good. For one that is revoked already nothing is done, and the
// answer is the same.
func (s *server) revokeKey(c *call) (reply, error) {
	// Whose key it is comes first: of an id in another institution nothing is told.
	if _, err := c.institution(); err != nil {
		return reply{}, err
	}
	id, err := pathID[escrow.KeyID](c, "keyId", escrow.CodeKeyNotFound)
	if err != nil {
		return reply{}, err
	}

	key, err := execute[escrow.APIKey](c, escrow.RevokeKey{Key: id}, nil)
	if err != nil {
		return reply{}, err
	}
	return ok(viewKey(key)), nil
}

var listKeysOperation = operation{
	Operation: web.Operation{
		ID: "listApiKeys", Tag: "API keys", Summary: "List API keys",
		Query: keyQuery{}, Answer: listView[KeyView]{},
	},
}

// listKeys answers an institution's keys in the order of creation, without those that
// were revoked unless they are asked for.
func (s *server) listKeys(c *call) (reply, error) {
	query := queryOf[keyQuery](c)
	list := query.read(&c.faults)
	if query.IncludeRevoked != "" && query.IncludeRevoked != "true" && query.IncludeRevoked != "false" {
		c.faults.Add("includeRevoked", "must be true or false")
	}
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	filter := escrow.KeyFilter{Period: list.period, IncludeRevoked: query.IncludeRevoked == "true"}
	keys, err := s.engine.Keys(c.context(), institution, filter, list.page)
	return listed(keys, list.page.Limit, viewKey, keyCursor), err
}
