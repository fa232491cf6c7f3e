package httpapi

import "github.com/escrowgrid/escrowgrid/internal/escrow"

type keyBody struct {
	Label     string  `json:"label" doc:"1 to 255 characters." minLength:"1" maxLength:"255" example:"payments service"`
	Role      string  `json:"role" doc:"admin reads and writes, read_only reads." words:"roles"`
	ExpiresAt *string `json:"expiresAt,omitempty" doc:"When the key ends; never when left out." format:"date-time"`
}

type rotationBody struct {
	OverlapSeconds *int64 `json:"overlapSeconds,omitempty" doc:"How long the old key lives on; 0 when left out." minimum:"0" maximum:"2592000"`
}

type keyQuery struct {
	listQuery
	IncludeRevoked string `query:"includeRevoked" doc:"true lists revoked keys too." enum:"true,false" default:"false"`
}

// KeyView is a key as the API shows it, without its secret.
type KeyView struct {
	ID            escrow.KeyID         `json:"id"`
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	Label         string               `json:"label"`
	Role          escrow.Role          `json:"role"`
	CreatedAt     timestamp            `json:"createdAt"`
	ExpiresAt     *timestamp           `json:"expiresAt,omitempty"`
	RevokedAt     *timestamp           `json:"revokedAt,omitempty"`
}

// newKeyView shows a key's secret, this once.
type newKeyView struct {
	KeyView
	APIKey string `json:"apiKey" doc:"The secret. It is shown this once; only its hash is kept." example:"egk_…"`
}

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

func keyCursor(k escrow.APIKey) escrow.Cursor { return escrow.IDCursor(k.ID) }

func (s *server) createKey(c *call) (reply, error) {
	input := escrow.KeyInput(bodyOf[keyBody](c))
	command, faults := escrow.NewCreateKey(input, escrow.HashSecret(c.newSecret()))
	return c.makeKey(command, faults)
}

func (s *server) rotateKey(c *call) (reply, error) {
	old, err := pathID[escrow.KeyID](c, "keyId", escrow.CodeKeyNotFound)
	if err != nil {
		return reply{}, err
	}

	input := escrow.RotationInput(bodyOf[rotationBody](c))
	command, faults := escrow.NewRotateKey(old, input, escrow.HashSecret(c.newSecret()))
	return c.makeKey(command, faults)
}

// makeKey carries out a command that makes a key, and shows the secret.
func (c *call) makeKey(command escrow.Command, faults escrow.Faults) (reply, error) {
	key, err := execute[escrow.APIKey](c, command, faults)
	if err != nil {
		return reply{}, err
	}

	secret := c.secret()
	if escrow.HashSecret(secret) != key.Hash {
		// The operator's key was changed in between.
		return reply{}, escrow.Errorf(escrow.CodeIdempotencyKeyReused,
			"The secret can be shown again only to the key that asked for it first.")
	}
	return created("/institutions/"+key.InstitutionID.String()+"/api-keys", newKeyView{KeyView: viewKey(key), APIKey: secret}), nil
}

func (s *server) revokeKey(c *call) (reply, error) {
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
