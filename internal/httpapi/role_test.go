package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// role sets a role of the institution's own, and returns a key that has it.
func (b bank) role(tb testing.TB, name string, permissions ...string) string {
	tb.Helper()
	b.setRole(tb, name, permissions...)
	return b.keyOf(tb, newKey(b).with("role", name))
}

func (b bank) setRole(tb testing.TB, name string, permissions ...string) {
	tb.Helper()
	body := fields{"permissions": append([]string{}, permissions...)}
	b.Admin.Put(tb, "/institutions/"+b.ID+"/roles/"+name, body.String()).Want(tb, 200)
}

func TestARoleGivesItsPermissionsAndTakesThemAtOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		clerk := s.As(b.role(t, "clerk", "positions.read", "positions.create"))
		clerk.Get(t, "/positions").Want(t, 200)
		clerk.Post(t, "/positions", b.claim().String()).Want(t, 201)
		clerk.Get(t, "/assets").Refused(t, 403, "permission_missing")
		funded := b.position(t).Text("id")
		refused := clerk.Post(t, "/positions/"+funded+"/transition", step("FUNDED").String()).Refused(t, 403, "permission_missing")
		if detail := refused.Problem(t).Detail; !strings.Contains(detail, "positions.fund") {
			t.Errorf("the refusal does not name what is missing: %s", detail)
		}

		b.setRole(t, "clerk", "positions.fund", "assets.read")
		clerk.Get(t, "/positions").Refused(t, 403, "permission_missing")
		clerk.Post(t, "/positions", b.claim().String()).Refused(t, 403, "permission_missing")
		clerk.Get(t, "/assets").Want(t, 200)
		clerk.Post(t, "/positions/"+funded+"/transition", step("FUNDED").String()).Want(t, 200)
		// The route takes those who move positions, the step this permission.
		clerk.Post(t, "/positions/"+funded+"/transition", step("CANCELLED").String()).Refused(t, 403, "permission_missing")
		clerk.Post(t, "/positions/transitions/batch", batchOf(
			step("FUNDED").with("positionId", b.position(t).Text("id")), step("RELEASED").with("positionId", funded)).String()).
			Refused(t, 403, "permission_missing")

		b.setRole(t, "clerk")
		for _, path := range []string{"/assets", "/institutions/" + b.ID, "/positions/" + funded} {
			clerk.Get(t, path).Refused(t, 403, "permission_missing")
		}
		clerk.Get(t, "/openapi.json").Want(t, 200)
	})
}

// shownRole is a role as the API shows it.
type shownRole struct {
	BuiltIn     bool
	Version     int
	Permissions []string
}

func roleOf(t *testing.T, answer apitest.Answer) (role shownRole) {
	t.Helper()
	answer.Decode(t, &role)
	return role
}

func TestRolesAreListed(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		roles := "/institutions/" + b.ID + "/roles"
		first := b.Admin.Put(t, roles+"/zebra", `{"permissions": ["positions.release", "positions.read"]}`).Want(t, 200)
		if got := roleOf(t, first); !slices.Equal(got.Permissions, []string{"positions.read", "positions.release"}) || got.Version != 1 || got.BuiltIn {
			t.Errorf("the role is %s", first)
		}
		b.setRole(t, "ant", "assets.read")
		var names []string
		for _, role := range escrow.BuiltInRoles() {
			names = append(names, string(role.Name))
		}
		names = append(names, "zebra", "ant")
		for _, limit := range []string{"?limit=3", "?limit=1000", ""} {
			if got := s.Walk(t, roles+limit, "name"); !slices.Equal(got, names) {
				t.Errorf("%s lists %v, want %v", limit, got, names)
			}
		}
		auditor := roleOf(t, b.Admin.Get(t, roles+"/auditor").Want(t, 200))
		if !auditor.BuiltIn || auditor.Version != 0 || !slices.Contains(auditor.Permissions, "audit.read") || slices.Contains(auditor.Permissions, "keys.manage") {
			t.Errorf("a built-in role is %+v", auditor)
		}
		b.Admin.Get(t, roles+"/nobody").Refused(t, 404, "role_not_found")
		s.bank(t).Admin.Get(t, roles+"/zebra").Refused(t, 404, "institution_not_found")

		same := b.Admin.Put(t, roles+"/zebra", `{"permissions": ["positions.read", "positions.release"]}`, `If-Match: "1"`).Want(t, 200)
		if same.Text("version") != "1" || same.Text("updatedAt") != first.Text("updatedAt") {
			t.Errorf("set to what it was, the role is %s", same)
		}
		b.Admin.Put(t, roles+"/zebra", `{"permissions": []}`, `If-Match: "2"`).Refused(t, 412, "version_mismatch")
		if got := b.Admin.Put(t, roles+"/zebra", `{"permissions": []}`, `If-Match: "1"`).Want(t, 200); got.Text("version") != "2" {
			t.Errorf("changed, the role is %s", got)
		}
		for _, name := range []string{"admin", "holder", "Upper", "1st", "a-b", strings.Repeat("a", 64)} {
			b.Admin.Put(t, roles+"/"+name, `{"permissions": []}`).Refused(t, 422, "invalid_input", "name")
		}
	})
}

func TestAnInstitutionHasSoManyRoles(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	for i := range escrow.MaxRoles {
		b.setRole(t, fmt.Sprintf("role_%d", i))
	}
	b.Admin.Put(t, "/institutions/"+b.ID+"/roles/one_more", `{"permissions": []}`).Refused(t, 409, "role_limit")
	b.setRole(t, "role_7", "assets.read")
}

// Who may make keys and roles makes none that may do more.
func TestNobodyGivesWhatTheyDoNotHave(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		keys, roles := "/institutions/"+b.ID+"/api-keys", "/institutions/"+b.ID+"/roles"
		chief := s.As(b.role(t, "chief", "keys.manage", "roles.manage", "positions.read"))
		admins := aKey(t, b)[0]
		for _, key := range []fields{
			{"label": "k", "role": "admin"},
			{"label": "k", "role": "holder", "restrict": fields{"holderReferences": []string{"h"}}},
			{"label": "k", "permissions": []string{"positions.read", "positions.fund"}},
		} {
			chief.Post(t, keys, key.String()).Refused(t, 403, "permission_missing")
		}
		chief.Post(t, keys+"/"+admins+"/rotate", "").Refused(t, 403, "permission_missing")
		chief.Put(t, roles+"/chief", `{"permissions": ["keys.manage", "roles.manage", "positions.read", "positions.fund"]}`).Refused(t, 403, "permission_missing")
		chief.Put(t, roles+"/clerk", `{"permissions": ["positions.fund"]}`).Refused(t, 403, "permission_missing")

		chief.Put(t, roles+"/clerk", `{"permissions": ["positions.read"]}`).Want(t, 200)
		chief.Post(t, keys, `{"label": "k", "role": "clerk"}`).Want(t, 201)
		chief.Post(t, keys, `{"label": "k", "role": "chief"}`).Want(t, 201)
		own := chief.Post(t, keys, `{"label": "k", "permissions": ["positions.read"]}`).Want(t, 201).Text("id")
		chief.Post(t, keys+"/"+own+"/rotate", "").Want(t, 201)
		// To end what may do more takes nothing away from anybody who should have it.
		chief.Post(t, keys+"/"+admins+"/revoke", "").Want(t, 200)

		b.Admin.Post(t, keys, `{"label": "k", "role": "nobody"}`).Refused(t, 422, "invalid_input", "role")
		b.Admin.Post(t, keys, `{"label": "k", "role": "holder"}`).Refused(t, 422, "invalid_input", "restrict.holderReferences")
		b.Admin.Post(t, keys, `{"label": "k", "role": "admin", "permissions": ["positions.read"]}`).Refused(t, 422, "invalid_input", "permissions")
	})
}

// A permission that is checked but can be given to nobody, or that opens nothing, is a promise that
// is not kept.
func TestEveryPermissionIsGivenAndOpensSomething(t *testing.T) {
	var given, opens []escrow.Permission
	for _, role := range escrow.BuiltInRoles() {
		given = append(given, role.Permissions.List()...)
	}
	for _, route := range httpapi.RouteAccesses() {
		opens = append(append(opens, route.OneOf...), route.Parts...)
	}
	for _, info := range escrow.Permissions() {
		if info.Operators == slices.Contains(given, info.Permission) {
			t.Errorf("%s is the operator's alone: %t; a role has it: %t", info.Permission, info.Operators, !info.Operators)
		}
		if !slices.Contains(opens, info.Permission) {
			t.Errorf("%s opens no route", info.Permission)
		}
	}
}
