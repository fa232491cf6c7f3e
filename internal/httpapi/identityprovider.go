package httpapi

import (
	"errors"
	"net/http"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// providerBody replaces the identity provider of an institution.
type providerBody struct {
	Issuer       string     `json:"issuer" doc:"The provider's URL, exactly as in its tokens." limit:"text" example:"https://login.example.com"`
	ClientID     string     `json:"clientId" doc:"The client that EscrowGrid is to the provider." limit:"text" example:"escrowgrid"`
	ClientSecret *string    `json:"clientSecret,omitempty" doc:"The client's secret. Left out, the one that is kept stays as long as issuer and client do; empty, it is taken away." maxLength:"1000"`
	Audience     *string    `json:"audience,omitempty" doc:"Whom access tokens must be for; the client when left out." limit:"text"`
	Claims       claimsBody `json:"claims,omitzero" doc:"The claims that tell of a person; dots lead into objects."`
	RoleByGroup  groupRoles `json:"roleByGroup" doc:"The role of the members of each group: a built-in role except holder, or one of the institution's own. Who is in several has the permissions of all." maxProperties:"200"`
}

// groupRoles are names of roles by group.
type groupRoles map[string]string

// UnmarshalJSON implements json.Unmarshaler. Groups and roles are checked later.
func (g *groupRoles) UnmarshalJSON(text []byte) error {
	var roles map[string]string
	if err := jsonv2.Unmarshal(text, &roles); err != nil || roles == nil {
		return errors.New("must be an object of roles, by group")
	}
	*g = roles
	return nil
}

// claimsBody names claims.
type claimsBody struct {
	Groups *string `json:"groups,omitempty" doc:"groups when left out." limit:"text"`
	Name   *string `json:"name,omitempty" doc:"name when left out." limit:"text"`
	Email  *string `json:"email,omitempty" doc:"email when left out." limit:"text"`
}

// providerView is an identity provider as the API shows it, without the client's secret.
type providerView struct {
	Issuer      string                     `json:"issuer"`
	ClientID    string                     `json:"clientId"`
	HasSecret   bool                       `json:"hasSecret" doc:"Whether a secret of the client is kept. It is never shown."`
	Audience    string                     `json:"audience,omitempty"`
	Claims      claimsView                 `json:"claims"`
	RoleByGroup map[string]escrow.RoleName `json:"roleByGroup"`
	RedirectURI string                     `json:"redirectUri,omitempty" doc:"Where the provider must let logins with a browser come back to. Left out where the operator has set no PUBLIC_URL."`
	Version     int64                      `json:"version" doc:"One more with each change." minimum:"1"`
	CreatedAt   timestamp                  `json:"createdAt" doc:"Since when the issuer vouches for the institution's people."`
	UpdatedAt   timestamp                  `json:"updatedAt"`
}

// claimsView names claims, those that were left out as well.
type claimsView struct {
	Groups string `json:"groups"`
	Name   string `json:"name"`
	Email  string `json:"email"`
}

func (s *server) viewProvider(p escrow.IdentityProvider) providerView {
	view := providerView{
		Issuer:      p.Issuer,
		ClientID:    p.ClientID,
		HasSecret:   p.HasSecret,
		Audience:    p.Audience,
		Claims:      claimsView{Groups: "groups", Name: "name", Email: "email"},
		RoleByGroup: p.RoleByGroup,
		RedirectURI: s.redirectURI(p.InstitutionID),
		Version:     p.Version,
		CreatedAt:   timestamp(p.CreatedAt),
		UpdatedAt:   timestamp(p.UpdatedAt),
	}

	if view.RoleByGroup == nil {
		view.RoleByGroup = map[string]escrow.RoleName{}
	}
	for shown, claim := range map[*string]string{
		&view.Claims.Groups: p.Claims.Groups, &view.Claims.Name: p.Claims.Name, &view.Claims.Email: p.Claims.Email,
	} {
		if claim != "" {
			*shown = claim
		}
	}
	return view
}

var setProviderOperation = operation{
	Operation: web.Operation{
		ID: "setIdentityProvider", Tag: "People", Summary: "Set the identity provider",
		Body: providerBody{}, BodyExample: setProviderExample, Answer: providerView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeVersionMismatch, escrow.CodeEncryptionKeyMissing},
}

// setProvider sets whom the institution trusts to say who its people are.
func (s *server) setProvider(c *call) (reply, error) {
	body := bodyOf[providerBody](c)
	command, faults := escrow.NewSetIdentityProvider(escrow.ProviderInput{
		Issuer:       body.Issuer,
		ClientID:     body.ClientID,
		ClientSecret: body.ClientSecret,
		Audience:     body.Audience,
		Claims:       escrow.ClaimsInput(body.Claims),
		RoleByGroup:  body.RoleByGroup,
	}, c.versions)
	if body.RoleByGroup == nil {
		// No groups at all are {}: what was forgotten must not take them away.
		faults.Add("roleByGroup", "is required")
	}
	if s.config.CheckURL != nil && len(faults) == 0 && s.config.CheckURL(body.Issuer) != nil {
		faults.Add("issuer", "must be a URL that the server may reach: https, and not of a private network that the "+
			"operator has not allowed with EGRESS_ALLOWED_NETWORKS")
	}

	provider, err := execute[escrow.IdentityProvider](c, command, faults)
	return ok(s.viewProvider(provider)).tagged(provider.Version), err
}

var getProviderOperation = operation{
	Operation: web.Operation{
		ID: "getIdentityProvider", Tag: "People", Summary: "Get the identity provider",
		Answer: providerView{}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeProviderNotFound},
}

// getProvider answers the identity provider of an institution.
func (s *server) getProvider(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	provider, err := s.engine.IdentityProvider(c.context(), institution)
	if err != nil {
		return reply{}, err
	}
	return c.conditional(provider.Version, func() (reply, error) { return ok(s.viewProvider(provider)), nil })
}

var removeProviderOperation = operation{
	Operation: web.Operation{
		ID: "removeIdentityProvider", Tag: "People", Summary: "Remove the identity provider",
		Status: http.StatusNoContent, RequestHeaders: headers{ifMatchHeader},
	},
	refusals: codes{escrow.CodeProviderNotFound, escrow.CodeVersionMismatch},
}

// removeProvider ends what the institution's people may do, and their sessions.
func (s *server) removeProvider(c *call) (reply, error) {
	_, err := execute[escrow.IdentityProvider](c, escrow.RemoveIdentityProvider{IfVersion: c.versions}, nil)
	return reply{status: http.StatusNoContent}, err
}
