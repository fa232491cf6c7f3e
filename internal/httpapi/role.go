package httpapi

import (
	"crypto/sha256"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// roleBody replaces the permissions of a role.
type roleBody struct {
	Permissions *[]string `json:"permissions" doc:"What the role allows; nothing where there are none." words:"permissions" uniqueItems:"true"`
}

// roleView is a role as the API shows it. Built-in roles have no version and no times.
type roleView struct {
	Name        escrow.RoleName     `json:"name"`
	BuiltIn     bool                `json:"builtIn" doc:"Built-in roles are the same for all institutions."`
	Description string              `json:"description,omitempty" doc:"Of built-in roles."`
	Permissions []escrow.Permission `json:"permissions" nullable:"false"`
	Version     *int64              `json:"version,omitempty" doc:"One more with each change." minimum:"1"`
	CreatedAt   *timestamp          `json:"createdAt,omitempty"`
	UpdatedAt   *timestamp          `json:"updatedAt,omitempty"`
}

func viewRole(r escrow.Role) roleView {
	return roleView{
		Name:        r.Name,
		Permissions: r.Permissions.List(),
		Version:     &r.Version,
		CreatedAt:   (*timestamp)(&r.CreatedAt),
		UpdatedAt:   (*timestamp)(&r.UpdatedAt),
	}
}

func viewBuiltInRole(r escrow.BuiltInRole) roleView {
	return roleView{Name: r.Name, BuiltIn: true, Description: r.Is, Permissions: r.Permissions.List()}
}

var setRoleOperation = operation{
	Operation: web.Operation{
		ID: "setRole", Tag: "Roles", Summary: "Set one of the institution's own roles",
		Body:        roleBody{},
		BodyExample: setRoleExample, Answer: roleView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeRoleLimit, escrow.CodeVersionMismatch},
}

// setRole makes or replaces a role. Whoever has it has its new permissions at once.
func (s *server) setRole(c *call) (reply, error) {
	body := bodyOf[roleBody](c)
	if body.Permissions == nil {
		// No permissions at all are []: what was forgotten must not take them away.
		c.faults.Add("permissions", "is required")
		body.Permissions = &[]string{}
	}
	command, faults := escrow.NewSetRole(
		c.request.PathValue("name"), escrow.RoleInput{Permissions: *body.Permissions}, c.versions)

	role, err := execute[escrow.Role](c, command, faults)
	if err != nil {
		return reply{}, err
	}
	return ok(viewRole(role)).tagged(role.Version), nil
}

var getRoleOperation = operation{
	Operation: web.Operation{
		ID: "getRole", Tag: "Roles", Summary: "Get a role",
		Answer: roleView{},
	},
	refusals: codes{escrow.CodeRoleNotFound},
}

// getRole answers a role, a built-in one or the institution's own.
func (s *server) getRole(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	name := escrow.RoleName(c.request.PathValue("name"))
	for _, role := range escrow.BuiltInRoles() {
		if role.Name == name {
			return ok(viewBuiltInRole(role)), nil
		}
	}
	role, err := s.engine.Role(c.context(), institution, name)
	return ok(viewRole(role)), err
}

var listRolesOperation = operation{
	Operation: web.Operation{
		ID: "listRoles", Tag: "Roles", Summary: "List roles",
		Query: listQuery{}, Answer: listView[roleView]{},
	},
}

// listRoles answers the built-in roles, which were there from the beginning, and the institution's own
// in the order of creation. It reads all of them: there are few.
func (s *server) listRoles(c *call) (reply, error) {
	list := queryOf[listQuery](c).read(&c.faults, "roles")
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	own, err := s.engine.Roles(c.context(), institution)
	if err != nil {
		return reply{}, err
	}

	var views []roleView
	for _, role := range escrow.BuiltInRoles() {
		views = append(views, viewBuiltInRole(role))
	}
	for _, role := range own {
		views = append(views, viewRole(role))
	}
	page := pageOf(views, list, roleView.createdAt, roleCursor)
	return listed(list, page, func(v roleView) roleView { return v }, roleCursor), nil
}

// createdAt is the zero time for a built-in role.
func (v roleView) createdAt() time.Time {
	if v.CreatedAt == nil {
		return time.Time{}
	}
	return time.Time(*v.CreatedAt)
}

// roleCursor is a role's place in a list: it has no id, but its name, which can be longer than a
// cursor.
func roleCursor(v roleView) escrow.Cursor {
	hash := sha256.Sum256([]byte(v.Name))
	return escrow.Cursor(hash[:len(escrow.Cursor{})])
}
