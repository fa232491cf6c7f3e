package httpapi

import (
	"errors"
	"net/http"
	"net/netip"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// keyBody makes a key. It has a role or permissions.
type keyBody struct {
	Label           string           `json:"label" limit:"text" example:"payments service"`
	Owner           *string          `json:"owner,omitempty" doc:"Who answers for the key." limit:"text" example:"Treasury operations"`
	Role            string           `json:"role,omitempty" doc:"What the key may do: a built-in role or one of the institution's own." pattern:"^[a-z][a-z0-9_]{0,62}$" example:"operator"`
	Permissions     *[]string        `json:"permissions,omitempty" doc:"What the key may do, in the place of a role." words:"permissions" minItems:"1" uniqueItems:"true"`
	Restrict        *restrictionBody `json:"restrict,omitempty" doc:"Narrows the key to a part of the institution's business. Of what is named, each must allow."`
	AllowedNetworks *[]string        `json:"allowedNetworks,omitempty" doc:"Where the key can be used from: networks in CIDR notation, or addresses; anywhere when left out." minItems:"1" maxItems:"30" uniqueItems:"true"`
	ExpiresAt       *string          `json:"expiresAt,omitempty" doc:"When the key ends; never when left out." format:"date-time"`
}

// restrictionBody narrows a key.
type restrictionBody struct {
	TemplateIDs      *[]string    `json:"templateIds,omitempty" doc:"Only what is of these asset templates." minItems:"1" maxItems:"30" uniqueItems:"true"`
	AssetIDs         *[]string    `json:"assetIds,omitempty" doc:"Only positions on these assets." minItems:"1" maxItems:"30" uniqueItems:"true"`
	HolderReferences *[]string    `json:"holderReferences,omitempty" doc:"Only positions of these holders." minItems:"1" maxItems:"30" uniqueItems:"true"`
	MaxAmount        amountBounds `json:"maxAmount,omitempty" doc:"The most that one command may create a position of, or move, by currency. Other currencies are not for the key."`
}

// amountBounds are amounts by currency.
type amountBounds map[string]money.Digits

// UnmarshalJSON implements json.Unmarshaler. Currencies are checked later.
func (b *amountBounds) UnmarshalJSON(text []byte) error {
	var bounds map[string]money.Digits
	if err := jsonv2.Unmarshal(text, &bounds); err != nil || bounds == nil {
		return errors.New("must be an object of amounts, by currency")
	}
	*b = bounds
	return nil
}

// input is what the domain reads.
func (b keyBody) input() escrow.KeyInput {
	input := escrow.KeyInput{
		Label:           b.Label,
		Owner:           b.Owner,
		Role:            b.Role,
		Permissions:     b.Permissions,
		AllowedNetworks: b.AllowedNetworks,
		ExpiresAt:       b.ExpiresAt,
	}

	if r := b.Restrict; r != nil {
		input.Restrict = &escrow.RestrictionInput{
			TemplateIDs: r.TemplateIDs, AssetIDs: r.AssetIDs, HolderReferences: r.HolderReferences,
			MaxAmount: r.MaxAmount,
		}
	}
	return input
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
	Owner         string               `json:"owner,omitempty"`
	Role          escrow.RoleName      `json:"role,omitempty" doc:"What the key may do; permissions where it has none."`
	Permissions   []escrow.Permission  `json:"permissions,omitempty" nullable:"false"`
	Restrict      *restrictionView     `json:"restrict,omitempty"`
	Networks      []escrow.Network     `json:"allowedNetworks,omitempty" nullable:"false"`
	CreatedAt     timestamp            `json:"createdAt"`
	ExpiresAt     *timestamp           `json:"expiresAt,omitempty"`
	RevokedAt     *timestamp           `json:"revokedAt,omitempty"`
	Version       int64                `json:"version" doc:"One more with each change." minimum:"1"`
	RotatedTo     *escrow.KeyID        `json:"rotatedTo,omitempty" doc:"The key that takes its place."`
	LastUsedAt    *timestamp           `json:"lastUsedAt,omitempty" doc:"When the key was last used, as far as is known: up to a minute late. In lists alone."`
	LastUsedFrom  netip.Addr           `json:"lastUsedFrom,omitzero" doc:"The address that it was last used from."`
}

// restrictionView is a restriction as the API shows it.
type restrictionView struct {
	TemplateIDs      []escrow.TemplateID   `json:"templateIds,omitempty" nullable:"false"`
	AssetIDs         []escrow.AssetID      `json:"assetIds,omitempty" nullable:"false"`
	HolderReferences []string              `json:"holderReferences,omitempty" nullable:"false"`
	MaxAmount        map[money.Code]string `json:"maxAmount,omitempty" doc:"Amounts in units of the currency, by ISO 4217 code."`
}

func viewRestriction(r escrow.Restriction) *restrictionView {
	if r.IsZero() {
		return nil
	}
	view := &restrictionView{TemplateIDs: r.TemplateIDs, AssetIDs: r.AssetIDs, HolderReferences: r.HolderReferences}
	for code, bound := range r.MaxAmount {
		if view.MaxAmount == nil {
			view.MaxAmount = make(map[money.Code]string)
		}
		view.MaxAmount[code] = bound.String()
	}
	return view
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
		Owner:         k.Owner,

		Role:        k.Role,
		Permissions: k.Permissions.List(),
		Restrict:    viewRestriction(k.Restriction),
		Networks:    k.AllowedNetworks,

		CreatedAt: timestamp(k.CreatedAt),
		ExpiresAt: (*timestamp)(k.ExpiresAt),
		RevokedAt: (*timestamp)(k.RevokedAt),
		Version:   k.Version,
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
	rehearsed: APIKeyView{}, awaited: awaitedKeyView{},
	refusals: codes{escrow.CodeKeyLimit, escrow.CodeKeySecretGone},
}

// createKey makes a key for an institution, and shows its secret.
func (s *server) createKey(c *call) (reply, error) {
	command, faults := escrow.NewCreateKey(bodyOf[keyBody](c).input(), escrow.HashSecret(c.newSecret()))
	return c.makeKey(command, faults)
}

var rotateKeyOperation = operation{
	Operation: web.Operation{
		ID: "rotateApiKey", Tag: "API keys", Summary: "Replace an API key",
		Body: rotationBody{}, BodyOptional: true,
		BodyExample: rotateKeyExample, Answer: newAPIKeyView{}, Status: http.StatusCreated,
	},
	rehearsed: APIKeyView{}, awaited: awaitedKeyView{},
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

	if c.dryRun {
		return ok(viewKey(key)), nil // There is no key that a secret would open anything with.
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
	if err != nil {
		return reply{}, err
	}
	ids := make([]escrow.KeyID, len(keys.Items))
	for i, key := range keys.Items {
		ids[i] = key.ID
	}
	uses, err := s.engine.KeyUses(c.context(), institution, ids)
	view := func(key escrow.APIKey) APIKeyView {
		view := viewKey(key)
		if use, used := uses[key.ID]; used {
			view.LastUsedAt = (*timestamp)(&use.LastUsedAt)
			view.LastUsedFrom = use.LastUsedFrom
		}
		return view
	}
	return listed(list, keys, view, keyCursor), err
}
