package escrow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// builtInTable says who has what, by hand: a column for each role, with an x for what it has.
//
//nolint:dupword // Its words are marks.
const builtInTable = `
                     admin operator maker approver compliance auditor read_only holder
institutions.create      -        -     -        -          -       -         -      -
institutions.update      -        -     -        -          -       -         -      -
metrics.read             -        -     -        -          -       -         -      -
security_events.read     -        -     -        -          -       -         -      -
institutions.read        x        x     x        x          x       x         x      -
keys.read                x        -     -        -          x       x         -      -
keys.manage              x        -     -        -          -       -         -      -
users.read               x        -     -        -          x       x         -      -
users.manage             x        -     -        -          -       -         -      -
identity_provider.set    x        -     -        -          -       -         -      -
roles.read               x        -     -        x          x       x         -      -
roles.manage             x        -     -        -          -       -         -      -
policies.read            x        x     x        x          x       x         x      -
policies.set             x        -     -        -          x       -         -      -
templates.read           x        x     x        x          x       x         x      -
templates.create         x        -     -        -          -       -         -      -
templates.update         x        -     -        -          -       -         -      -
assets.read              x        x     x        x          x       x         x      -
assets.create            x        -     x        -          -       -         -      -
assets.update            x        -     x        -          -       -         -      -
positions.read           x        x     x        x          x       x         x      x
positions.create         x        x     x        -          -       -         -      -
positions.fund           x        x     x        -          -       -         -      -
positions.release        x        x     x        -          -       -         -      -
positions.cancel         x        x     x        -          -       -         -      -
positions.erase          x        -     -        -          x       -         -      -
holds.read               x        x     x        x          x       x         x      -
holds.place              x        x     -        -          x       -         -      -
holds.lift               x        -     -        -          x       -         -      -
holds.legal              x        -     -        -          x       -         -      -
personal_data.read       x        -     -        -          x       x         -      -
reports.read             x        x     x        x          x       x         x      -
audit.read               x        -     -        -          x       x         -      -
journal.read             x        -     -        -          x       x         -      -
proofs.read              x        x     x        x          x       x         x      x
approvals.read           x        x     x        x          x       x         x      -
approvals.decide         x        -     -        x          x       -         -      -
approval_rules.set       x        -     -        -          -       -         -      -
`

func TestBuiltInRolesHaveWhatTheTableSays(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(builtInTable), "\n")
	var roles []escrow.RoleName
	for _, role := range escrow.BuiltInRoles() {
		roles = append(roles, role.Name)
		if !role.Name.IsBuiltIn() || !strings.HasSuffix(role.Is, ".") {
			t.Errorf("%s is built in: %t, and described with %q", role.Name, role.Name.IsBuiltIn(), role.Is)
		}
	}
	if diff := cmp.Diff(strings.Fields(lines[0]), strings.Fields(join(roles))); diff != "" {
		t.Fatalf("roles wanted (-) and built in (+):\n%s", diff)
	}
	if known := escrow.Permissions(); len(known) != len(lines)-1 {
		t.Fatalf("there are %d permissions, and the table has %d", len(known), len(lines)-1)
	}
	for i, known := range escrow.Permissions() {
		got := []string{string(known.Permission)}
		for _, role := range escrow.BuiltInRoles() {
			got = append(got, map[bool]string{true: "x", false: "-"}[role.Permissions.Has(known.Permission)])
		}
		if diff := cmp.Diff(strings.Fields(lines[i+1]), got); diff != "" {
			t.Errorf("%s: wanted (-) and given (+):\n%s", known.Permission, diff)
		}
	}
}

func join(roles []escrow.RoleName) string {
	var text strings.Builder
	for _, role := range roles {
		text.WriteString(string(role) + " ")
	}
	return text.String()
}

// setRole makes the command that sets a role.
func setRole(name string, permissions ...escrow.Permission) escrow.SetRole {
	return valid(escrow.NewSetRole(name, escrow.RoleInput{Permissions: names(permissions...)}, nil))
}

func (d *desk) role(name escrow.RoleName) escrow.Role {
	d.t.Helper()
	role, ok := d.books.Roles.Get(name)
	if !ok {
		d.t.Fatalf("there is no role %s", name)
	}
	return role
}

func TestNewSetRoleTellsEveryFault(t *testing.T) {
	t.Parallel()
	const form = "must be 1 to 63 small letters, digits and underscores, beginning with a letter"
	longest := strings.Repeat("a", 63)
	var tenants []string
	for _, permission := range escrow.TenantPermissions() {
		tenants = append(tenants, string(permission))
	}
	oneOf := "must be one of " + strings.Join(tenants, ", ")
	for _, test := range []struct {
		name        string
		permissions []string
		want        []string
	}{
		{"clerk", []string{"positions.read", "assets.read"}, nil},
		{"clerk", nil, nil},
		{"a", tenants, nil},
		{"a_1", []string{}, nil},
		{longest, nil, nil},
		{"", nil, []string{"name " + form}},
		{longest + "a", nil, []string{"name " + form}},
		{"1st", nil, []string{"name " + form}},
		{"_a", nil, []string{"name " + form}},
		{"Clerk", nil, []string{"name " + form}},
		{"a-b", nil, []string{"name " + form}},
		{"a b", nil, []string{"name " + form}},
		{"a\n", nil, []string{"name " + form}},
		{"é", nil, []string{"name " + form}},
		{"root", nil, nil},
		{"clerk", []string{"positions.read", "positions.read"}, []string{"permissions must not name positions.read twice"}},
		{"clerk", []string{"positions"}, []string{"permissions " + oneOf + `, and not "positions"`}},
		{"clerk", []string{"positions.read", ""}, []string{"permissions " + oneOf + `, and not ""`}},
		{"clerk", []string{"institutions.create"}, []string{"permissions " + oneOf + `, and not "institutions.create"`}},
		{"clerk", []string{"institutions.update"}, []string{"permissions " + oneOf + `, and not "institutions.update"`}},
		{"clerk", []string{"metrics.read"}, []string{"permissions " + oneOf + `, and not "metrics.read"`}},
		{"clerk", []string{"security_events.read"}, []string{"permissions " + oneOf + `, and not "security_events.read"`}},
		{"X", []string{"y"}, []string{"name " + form, "permissions " + oneOf + `, and not "y"`}},
	} {
		t.Run(fmt.Sprintf("%q %v", test.name, len(test.permissions)), func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewSetRole(test.name, escrow.RoleInput{Permissions: test.permissions}, nil)
			checkFaults(t, faults, test.want...)
		})
	}
	for _, role := range escrow.BuiltInRoles() {
		_, faults := escrow.NewSetRole(string(role.Name), escrow.RoleInput{}, nil)
		checkFaults(t, faults, "name must not be that of a built-in role, which nobody changes")
	}
}

func TestARoleIsSetAndChangedWithOneMoreVersion(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	outcome := d.accept(setRole("clerk", "positions.read", "positions.fund"))
	made := d.lastEntry().At
	want := escrow.Role{
		InstitutionID: d.books.InstitutionID(), Name: "clerk", Permissions: setOf("positions.read", "positions.fund"), Version: 1,
		CreatedAt: made, UpdatedAt: made,
	}
	if diff := cmp.Diff(escrow.Resource(want), outcome.Resource); diff != "" || outcome.Subject != "role/clerk" || d.lastEntry().Kind != "ROLE_SET" {
		t.Errorf("role wanted (-) and made (+) as %s with %s:\n%s", outcome.Subject, d.lastEntry().Kind, diff)
	}

	d.now = d.now.Add(time.Hour)
	d.accept(setRole("clerk"))
	want.Permissions, want.Version, want.UpdatedAt = 0, 2, d.lastEntry().At
	if diff := cmp.Diff(want, d.role("clerk")); diff != "" {
		t.Errorf("role wanted (-) and changed (+):\n%s", diff)
	}
	if body := string(d.lastEntry().Body); !strings.Contains(body, `"event":{"name":"clerk","permissions":[],"version":2,`) {
		t.Errorf("a role without permissions is written as %s", body)
	}

	entries, sequence := len(d.books.Entries), d.books.Head.Sequence
	unchanged := d.accept(setRole("clerk"))
	if len(d.books.Entries) != entries || unchanged.Sequence != sequence || unchanged.Subject != "role/clerk" {
		t.Errorf("setting it to what it is gives %+v", unchanged)
	}
	if diff := cmp.Diff(escrow.Resource(want), unchanged.Resource); diff != "" {
		t.Errorf("role wanted (-) and unchanged (+):\n%s", diff)
	}
	d.checkReplay()
}

func TestARoleIsSetAtTheVersionsThatTheRequestNames(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	at := func(versions ...int64) escrow.SetRole {
		return valid(escrow.NewSetRole("clerk", escrow.RoleInput{Permissions: []string{"assets.read"}}, versions))
	}
	d.refuse(at(1), escrow.CodeVersionMismatch) // It is not there.
	d.accept(setRole("clerk", "proofs.read"))
	d.refuse(at(2), escrow.CodeVersionMismatch)
	d.accept(at(7, 1))
	d.refuse(at(1), escrow.CodeVersionMismatch) // Although it asks for what is so.
	d.accept(at(2))
	if got := d.role("clerk").Version; got != 2 {
		t.Errorf("the version is %d, want 2", got)
	}
}

func TestAnInstitutionHasABoundOnRoles(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	for i := range escrow.MaxRoles {
		d.accept(setRole(fmt.Sprint("role_", i)))
	}
	d.refuse(setRole("one_more"), escrow.CodeRoleLimit)
	d.accept(setRole("role_7", "positions.read"))
}

// Those that the store has loaded count, too.
func TestStoredRolesCountToTheBound(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	for i := range escrow.MaxRoles - 1 {
		name := escrow.RoleName(fmt.Sprint("role_", i))
		d.books.Roles.Load(name, escrow.Role{Name: name, Version: 1})
	}
	_ = d.accept(setRole("the_last"))
	_ = d.refusal(setRole("one_more"), escrow.CodeRoleLimit)
}

// Whoever has a role has what it is now, already with the next command in the same books.
func TestARolesChangeIsFeltAtOnce(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.accept(setRole("clerk", "policies.set"))
	clerk := escrow.ActorKey(d.keyOf(escrow.KeyInput{Role: "clerk"}))
	command := valid(escrow.NewSetPolicy("US", rules("1", "")))
	steps := []struct {
		permissions []escrow.Permission
		want        escrow.Code
	}{
		{[]escrow.Permission{"policies.set"}, ""},
		{[]escrow.Permission{"policies.read"}, escrow.CodePermissionMissing},
		{[]escrow.Permission{"policies.read", "policies.set"}, ""},
		{nil, escrow.CodePermissionMissing},
	}
	for _, step := range steps {
		d.actor = escrow.ActorRoot()
		d.accept(setRole("clerk", step.permissions...))
		d.actor = clerk
		if step.want == "" {
			d.accept(command)
		} else {
			d.refuse(command, step.want)
		}
	}
}

// A store that was not told of the role loads none: better no right than one of before.
func TestAKeyWhoseRoleIsNotInTheBooksMayDoNothing(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.accept(setRole("clerk", escrow.TenantPermissions()...))
	key := d.getKey(d.keyOf(escrow.KeyInput{Role: "clerk"}))
	key.Permissions = setOf("policies.set") // No row has this: a key has a role or permissions.
	for _, test := range takenByCommands() {
		if test.takes == "" {
			continue
		}
		books := newDesk(t, d.books.InstitutionID())
		books.books.Keys.Load(key.ID, key)
		books.actor = escrow.ActorKey(key.ID)
		if test.takes != "institutions.create" {
			_ = books.refusal(test.command, escrow.CodePermissionMissing)
		}
	}
}

func TestRightsOfAKeyAreThoseOfItsRoleOrItsList(t *testing.T) {
	t.Parallel()
	within := escrow.Restriction{HolderReferences: []string{"a"}}
	own := func(name escrow.RoleName) (escrow.Role, bool) {
		return escrow.Role{Permissions: setOf("positions.fund")}, name == "clerk" || name.IsBuiltIn()
	}
	for name, test := range map[string]struct {
		key  escrow.APIKey
		want escrow.PermissionSet
	}{
		"a built-in role, whatever the institution has": {escrow.APIKey{Role: "holder"}, setOf("positions.read", "proofs.read")},
		"the institution's own":                         {escrow.APIKey{Role: "clerk"}, setOf("positions.fund")},
		"a role that is nowhere":                        {escrow.APIKey{Role: "gone", Permissions: setOf("keys.read")}, 0},
		"a list":                                        {escrow.APIKey{Permissions: setOf("keys.read")}, setOf("keys.read")},
		"nothing":                                       {escrow.APIKey{}, 0},
	} {
		test.key.Restriction = within
		want := escrow.Rights{Permissions: test.want, Restriction: within}
		if diff := cmp.Diff(want, escrow.RightsOfKey(test.key, own)); diff != "" {
			t.Errorf("%s: rights wanted (-) and given (+):\n%s", name, diff)
		}
	}
}

// The store loads an institution's roles for the commands that need them.
func TestRolesAreNeededWhereTheyDecide(t *testing.T) {
	t.Parallel()
	key := func(in escrow.KeyInput) escrow.Command {
		in.Label = "A"
		return valid(escrow.NewCreateKey(in, escrow.SecretHash{}))
	}
	for _, test := range []struct {
		name    string
		request escrow.Request
		want    bool
	}{
		{"a role", escrow.Request{Command: setRole("clerk")}, true},
		{"a key of a built-in role", escrow.Request{Command: key(escrow.KeyInput{Role: "maker"})}, false},
		{"a key of another", escrow.Request{Command: key(escrow.KeyInput{Role: "clerk"})}, true},
		{"a key with a list", escrow.Request{Command: key(escrow.KeyInput{Permissions: new(names("keys.read"))})}, false},
		{"a rotation, of whatever key", escrow.Request{Command: newRotation(escrow.KeyID{1}, 0)}, true},
		{"an actor of a built-in role", escrow.Request{Command: escrow.RevokeKey{}}, false},
		{"an actor of another", escrow.Request{Command: escrow.RevokeKey{}, OwnRole: true}, true},
	} {
		if got := test.request.Needs().Roles; got != test.want {
			t.Errorf("%s: roles are needed: %t", test.name, got)
		}
		if got := escrow.MergeNeeds([]escrow.Request{{Command: escrow.RevokeKey{}}, test.request}).Roles; got != test.want {
			t.Errorf("%s, and another: roles are needed: %t", test.name, got)
		}
	}
	assets := []escrow.AssetID{{3}, {2}}
	if got := (escrow.Request{Command: escrow.RevokeKey{}, Assets: assets}).Needs().Assets; !slices.Equal(got, assets) {
		t.Errorf("the assets needed are %v", got)
	}
}
