package httpapi

import (
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// meView is who sends the request, and what they may do.
type meView struct {
	Actor         escrow.Actor          `json:"actor" doc:"The caller as journals name it."`
	Via           string                `json:"via" doc:"How the caller is known." enum:"key,token,session"`
	InstitutionID *escrow.InstitutionID `json:"institutionId,omitempty" doc:"Left out for the operator's keys and people, who act for all."`
	Permissions   []string              `json:"permissions" doc:"What the caller may do; the operator's have permissions that no role of an institution gives." nullable:"false"`
	Restrict      *restrictionView      `json:"restrict,omitempty"`
	Key           *APIKeyView           `json:"key,omitempty" doc:"The key that calls, or that the session acts for."`
	User          *userView             `json:"user,omitempty" doc:"The user who calls."`
	Groups        []string              `json:"groups,omitempty" doc:"The groups that the token of a person named; for a session, at the login." nullable:"false"`
	Session       *sessionView          `json:"session,omitempty" doc:"The session that the request came with."`
}

var getMeOperation = operation{
	Operation: web.Operation{
		ID: "getMe", Tag: "People", Summary: "Who sends the request, and what they may do",
		Answer: meView{},
	},
}

// getMe answers who sends the request.
func (s *server) getMe(c *call) (reply, error) {
	view := meView{
		Actor:       c.caller.actor(),
		Via:         string(c.caller.shown.way),
		Permissions: []string{},
		Restrict:    viewRestriction(c.caller.rights.Restriction),
	}
	for _, permission := range c.caller.rights.Permissions.List() {
		view.Permissions = append(view.Permissions, string(permission))
	}

	as := c.caller.as
	view.Groups = as.Membership.Groups
	switch actor := as.Actor(); {
	case actor.IsOperators():
	case actor.IsUser():
		view.InstitutionID, view.User = &c.caller.institution, new(viewUser(*as.User))
	default:
		view.InstitutionID, view.Key = &c.caller.institution, new(viewKey(as.Key))
	}
	if as.Session != nil {
		view.Session = new(c.viewSession(*as.Session))
	}
	return ok(view), nil
}
