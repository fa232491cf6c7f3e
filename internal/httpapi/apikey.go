package httpapi

import (
	"net/http"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

type keyBody struct {
	Label     string  `json:"label" doc:"1 to 255 characters." minLength:"1" maxLength:"255" example:"payments service"`
	Role      string  `json:"role" doc:"admin reads and writes, read_only reads." enum:"admin,read_only"`
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
		k.ID, k.InstitutionID, k.Label, k.Role, timestamp(k.CreatedAt), (*timestamp)(k.ExpiresAt), (*timestamp)(k.RevokedAt),
	}
}

func (s *server) createKey(c *call) (reply, error) {
	var body keyBody
	read, err := c.readCommand(&body, &noQuery{})
	if err != nil {
		return reply{}, err
	}
	secret, nonce := c.newSecret()
	command, faults := escrow.NewCreateKey(escrow.KeyInput(body), escrow.HashSecret(secret))
	if err := read.check(faults); err != nil {
		return reply{}, err
	}
	return c.makeKey(read.body, command, nonce)
}

func (s *server) rotateKey(c *call) (reply, error) {
	var body rotationBody
	var given any
	if c.request.ContentLength != 0 {
		given = &body
	}
	read, err := c.readCommand(given, &noQuery{})
	if err != nil {
		return reply{}, err
	}
	var old escrow.KeyID
	if err := pathID(c, "keyId", &old, escrow.CodeKeyNotFound); err != nil {
		return reply{}, err
	}
	secret, nonce := c.newSecret()
	command, faults := escrow.NewRotateKey(old, escrow.RotationInput(body), escrow.HashSecret(secret))
	if err := read.check(faults); err != nil {
		return reply{}, err
	}
	return c.makeKey(read.body, command, nonce)
}

// makeKey carries out a command that makes a key, and shows the secret.
func (c *call) makeKey(body []byte, command escrow.Command, nonce []byte) (reply, error) {
	institution, err := c.pathTenant()
	if err != nil {
		return reply{}, err
	}
	done, err := do[escrow.APIKey](c, institution, body, command, nonce)
	if err != nil {
		return reply{}, err
	}
	key := done.resource
	secret := c.secretOf(done.nonce)
	if escrow.HashSecret(secret) != key.Hash {
		// The operator's key was changed in between.
		return reply{}, escrow.Errorf(escrow.CodeIdempotencyKeyReused,
			"The secret can be shown again only to the key that asked for it first.")
	}
	return created("/institutions/"+institution.String()+"/api-keys", newKeyView{viewKey(key), secret}, done.replayed), nil
}

func (s *server) revokeKey(c *call) (reply, error) {
	read, err := c.readCommand(nil, &noQuery{})
	if err != nil {
		return reply{}, err
	}
	if err := read.faults.Err(); err != nil {
		return reply{}, err
	}
	institution, err := c.pathTenant()
	if err != nil {
		return reply{}, err
	}
	var command escrow.RevokeKey
	if err := pathID(c, "keyId", &command.Key, escrow.CodeKeyNotFound); err != nil {
		return reply{}, err
	}
	done, err := do[escrow.APIKey](c, institution, nil, command, nil)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: viewKey(done.resource), replayed: done.replayed}, nil
}

func (s *server) listKeys(c *call) (reply, error) {
	var query keyQuery
	read := c.readList(&query, &query.listQuery)
	if query.IncludeRevoked != "" && query.IncludeRevoked != "true" && query.IncludeRevoked != "false" {
		read.faults.Add("includeRevoked", "must be true or false")
	}
	institution, err := c.readPathTenant(&read.faults)
	if err != nil {
		return reply{}, err
	}
	keys, err := s.engine.Keys(c.request.Context(), institution,
		escrow.KeyFilter{Period: read.period, IncludeRevoked: query.IncludeRevoked == "true"}, read.page)
	return listed(keys, read.page.Limit, viewKey, func(k escrow.APIKey) escrow.Cursor {
		return escrow.IDCursor(k.ID)
	}), err
}

// timestamp is a time as the API writes it.
type timestamp time.Time

// AppendText implements encoding.TextAppender.
func (t timestamp) AppendText(text []byte) ([]byte, error) {
	return escrow.AppendTime(text, time.Time(t)), nil
}

// String returns what AppendText appends.
func (t timestamp) String() string { return escrow.FormatTime(time.Time(t)) }
