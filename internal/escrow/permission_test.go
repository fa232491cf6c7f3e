package escrow_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// setOf makes a set as it is read.
func setOf(of ...escrow.Permission) (set escrow.PermissionSet) {
	list := slices.Sorted(slices.Values(of))
	if list == nil {
		list = []escrow.Permission{}
	}
	if err := json.Unmarshal(must(json.Marshal(list)), &set); err != nil {
		panic(err)
	}
	return set
}

// names writes permissions as a client gives them.
func names(of ...escrow.Permission) (texts []string) {
	for _, permission := range of {
		texts = append(texts, string(permission))
	}
	return texts
}

// taken is a command with the permission that it takes.
type taken struct {
	command escrow.Command
	takes   escrow.Permission
}

// takenByCommands is every command there is, some more than once, with the permission that it takes.
func takenByCommands() []taken {
	var (
		key      = escrow.KeyID{1}
		template = escrow.TemplateID{1}
		asset    = escrow.AssetID{1}
		position = escrow.PositionID{1}
		approval = escrow.ApprovalID{1}
	)
	return []taken{
		{valid(escrow.NewUpdateInstitution(new("A"), nil)), "institutions.update"},
		{escrow.CloseInstitution{}, "institutions.update"},
		{escrow.AcceptHistory{}, "institutions.update"},
		{valid(escrow.NewCreateKey(escrow.KeyInput{Label: "A", Permissions: new(names("keys.manage"))}, escrow.SecretHash{})), "keys.manage"},
		{valid(escrow.NewUpdateKey(key, new("A"), nil)), "keys.manage"},
		{newRotation(key, 0), "keys.manage"},
		{escrow.RevokeKey{Key: key}, "keys.manage"},
		{valid(escrow.NewSetIdentityProvider(providerInput(nil), nil)), "identity_provider.set"},
		{escrow.RemoveIdentityProvider{}, "identity_provider.set"},
		{valid(escrow.NewJoinUser(escrow.PersonInput{Issuer: issuer, Subject: "1"})), ""},
		{escrow.NewUpdateUser(escrow.PersonInput{}), ""},
		{escrow.SuspendUser{}, "users.manage"},
		{escrow.RestoreUser{}, "users.manage"},
		{valid(escrow.NewSetRole("clerk", escrow.RoleInput{}, nil)), "roles.manage"},
		{valid(escrow.NewSetPolicy("US", rules("1", ""))), "policies.set"},
		{valid(escrow.NewCreateTemplate(templateInput(escrow.ConstructionEscrow, `{"currency":"USD"}`))), "templates.create"},
		{valid(escrow.NewUpdateTemplate(template, new("A"), nil)), "templates.update"},
		{escrow.CloseTemplate{Template: template}, "templates.update"},
		{valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template.String(), Label: "A"})), "assets.create"},
		{valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Label: new("A")}, nil)), "assets.update"},
		{escrow.CloseAsset{Asset: asset}, "assets.update"},
		{newPosition(asset, "1", "USD", nil), "positions.create"},
		{transition(position, "CREATED", ""), "positions.create"},
		{transition(position, "FUNDED", ""), "positions.fund"},
		{transition(position, "PARTIALLY_RELEASED", "1"), "positions.release"},
		{transition(position, "RELEASED", ""), "positions.release"},
		{transition(position, "CANCELLED", ""), "positions.cancel"},
		{transition(position, "EXPIRED", ""), "positions.cancel"},
		{escrow.ExpirePosition(position), "positions.cancel"},
		{erasure(position, ""), "positions.erase"},
		{escrow.RecordErasure{}, "positions.erase"},
		{hold(position, escrow.HoldCompliance, ""), "holds.place"},
		{lift(position, escrow.HoldID{1}), "holds.lift"},
		{valid(escrow.NewEraseApproval(approval, nil, nil, 0)), "positions.erase"},
		{valid(escrow.NewSetApprovalRules(nil, nil)), "approval_rules.set"},
		{valid(escrow.NewApproveApproval(approval, strings.Repeat("0", 64), nil)), "approvals.decide"},
		{valid(escrow.NewRejectApproval(approval, "No")), "approvals.decide"},
		{escrow.WithdrawApproval{Approval: approval}, ""},
		{escrow.ExpireApproval{Approval: approval}, ""},
		{escrow.CreateInstitution{}, "institutions.create"},
	}
}

// takenByReading are the permissions that no command takes: the routes that read do.
func takenByReading() []escrow.Permission {
	return []escrow.Permission{
		"metrics.read", "security_events.read", "institutions.read", "keys.read", "users.read", "roles.read", "policies.read",
		"templates.read", "assets.read", "positions.read", "personal_data.read", "reports.read", "audit.read",
		"journal.read", "proofs.read", "approvals.read", "holds.read",
	}
}

// takenBeside are the permissions that some commands take beside their own, as their tests tell.
func takenBeside() []escrow.Permission { return []escrow.Permission{"holds.legal"} }

// A right that is checked and given to nobody is none, and so is one that is given and checked nowhere.
func TestEachPermissionIsGivenAndTaken(t *testing.T) {
	t.Parallel()
	takers := map[escrow.Permission]bool{}
	for _, known := range takenByCommands() {
		takers[known.takes] = true
	}
	delete(takers, "") // Some take none.
	for _, permission := range append(takenByReading(), takenBeside()...) {
		if takers[permission] {
			t.Errorf("%s is taken by a command, too", permission)
		}
		takers[permission] = true
	}

	form := regexp.MustCompile(`^[a-z]+(_[a-z]+)*\.[a-z]+$`)
	for _, known := range escrow.Permissions() {
		if !takers[known.Permission] {
			t.Errorf("nothing takes %s", known.Permission)
		}
		delete(takers, known.Permission)
		var holders []escrow.RoleName
		for _, role := range escrow.BuiltInRoles() {
			if role.Permissions.Has(known.Permission) {
				holders = append(holders, role.Name)
			}
		}
		if known.Operators == (len(holders) > 0) {
			t.Errorf("%s is the operator's: %t, and of the roles %v", known.Permission, known.Operators, holders)
		}
		if slices.Contains(escrow.TenantPermissions(), known.Permission) == known.Operators {
			t.Errorf("%s is the operator's: %t, and among those of tenants", known.Permission, known.Operators)
		}
		if !form.MatchString(string(known.Permission)) || !strings.HasSuffix(known.Allows, ".") {
			t.Errorf("%q is described with %q", known.Permission, known.Allows)
		}
	}
	if len(takers) > 0 {
		t.Errorf("not known, but taken: %v", takers)
	}
}

// Whoever makes a command lists it above.
func TestEveryCommandIsListedWithItsPermission(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, known := range takenByCommands() {
		listed[typeName(known.command)] = true
	}
	method := regexp.MustCompile(`(?m)^func \((?:\w+ )?(\w+)\) permission\(\) Permission `)
	found := 0
	for _, file := range must(filepath.Glob("*.go")) {
		for _, match := range method.FindAllStringSubmatch(string(must(os.ReadFile(file))), -1) {
			found++
			if !listed[match[1]] {
				t.Errorf("%s: %s is not listed", file, match[1])
			}
		}
	}
	if found != len(listed) {
		t.Errorf("%d commands take a permission, %d are listed", found, len(listed))
	}
}

// Each command takes its permission and no other.
func TestEachCommandTakesOnePermission(t *testing.T) {
	t.Parallel()
	for _, test := range takenByCommands() {
		d := openDesk(t)
		switch test.takes {
		case "institutions.create":
			continue // Elsewhere: it is made in the operator's books alone.
		case "":
			continue // Elsewhere: users need nothing to say who they are, and others cannot.
		}
		all := escrow.TenantPermissions()
		others := slices.DeleteFunc(slices.Clone(all), func(p escrow.Permission) bool { return p == test.takes })
		d.actor = escrow.ActorKey(d.keyOf(escrow.KeyInput{Permissions: new(names(others...))}))
		refusal := d.refusal(test.command, escrow.CodePermissionMissing)
		if want := "This takes the permission " + string(test.takes) + "."; refusal.Detail != want {
			t.Errorf("%s is refused with %q, want %q", typeName(test.command), refusal.Detail, want)
		}

		if !slices.Contains(all, test.takes) {
			continue
		}
		d.actor = escrow.ActorRoot()
		d.actor = escrow.ActorKey(d.keyOf(escrow.KeyInput{Permissions: new(names(test.takes))}))
		if outcome := d.execute(d.request(test.command)); outcome.Refusal != nil && outcome.Refusal.Code == escrow.CodePermissionMissing {
			t.Errorf("%s with %s: %v", typeName(test.command), test.takes, outcome.Refusal)
		}
	}
}

func typeName(command escrow.Command) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", command), "escrow.")
}

// keyOf makes a key as the operator does. Its label is given, and it is an admin's where the input says nothing.
func (d *desk) keyOf(in escrow.KeyInput) escrow.KeyID {
	d.t.Helper()
	actor := d.actor
	defer func() { d.actor = actor }()
	d.actor = escrow.ActorRoot()
	in.Label = "A key"
	if in.Role == "" && in.Permissions == nil {
		in.Role = "admin"
	}
	hash := escrow.HashSecret(escrow.FormatTime(d.now) + string(rune(len(d.books.Entries))))
	return subjectID[escrow.KeyID](d.accept(valid(escrow.NewCreateKey(in, hash))))
}

// What is stored stays as it is, whatever permissions there will be.
func TestPermissionsAreWrittenInTheOrderOfTheAlphabet(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]escrow.Permission{
		`[]`:                 {},
		`["positions.read"]`: {"positions.read"},
		`["assets.create","institutions.read","keys.read"]`: {"institutions.read", "keys.read", "assets.create"},
		`["institutions.create","positions.fund"]`:          {"institutions.create", "positions.fund"},
	} {
		var set escrow.PermissionSet
		if err := json.Unmarshal([]byte(text), &set); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := string(must(json.Marshal(set))); got != text {
			t.Errorf("%s is written as %s", text, got)
		}
		if diff := cmp.Diff(want, set.List()); diff != "" {
			t.Errorf("%s: permissions wanted (-) and listed (+):\n%s", text, diff)
		}
	}
}

func TestWhatIsNotWrittenSoIsNoSetOfPermissions(t *testing.T) {
	t.Parallel()
	for _, text := range unwritten() {
		if set := setOf("positions.read"); set.UnmarshalJSON([]byte(text)) == nil {
			t.Errorf("%s is read as %v", text, set.List())
		}
	}
}

func unwritten() []string {
	return []string{
		``, `null`, `{}`, `"positions.read"`, `[null]`, `[1]`, `["positions.read"`, `[""]`, `["positions"]`, `["positions.*"]`,
		`["Positions.read"]`, `["positions.read "]`, `["positions.read","positions.read"]`, `["positions.read","assets.read"]`,
		`["positions.read","root"]`, `[ "positions.read"]`, `["positions.read"] `, `["positions\u002eread"]`,
	}
}

func FuzzPermissionSet(f *testing.F) {
	for _, text := range append(unwritten(), `[]`, `["assets.read","positions.read"]`) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var set escrow.PermissionSet
		if set.UnmarshalJSON(text) != nil {
			return
		}
		if got := must(set.MarshalJSON()); string(got) != string(text) {
			t.Errorf("%s is written as %s", text, got)
		}
		var list []escrow.Permission
		if err := json.Unmarshal(text, &list); err != nil || !slices.IsSorted(list) || len(slices.Compact(list)) != len(set.List()) {
			t.Errorf("%s is read as %v: %v", text, set.List(), err)
		}
	})
}

// Sets are what sets are: compared with maps.
func TestSetsOfPermissionsAreSets(t *testing.T) {
	t.Parallel()
	var all []escrow.Permission
	for _, known := range escrow.Permissions() {
		all = append(all, known.Permission)
	}
	draw := func(t *rapid.T, label string) ([]escrow.Permission, map[escrow.Permission]bool) {
		of, in := []escrow.Permission{}, map[escrow.Permission]bool{}
		for _, permission := range all {
			if rapid.Bool().Draw(t, label+" has "+string(permission)) {
				of, in[permission] = append(of, permission), true
			}
		}
		return of, in
	}
	rapid.Check(t, func(t *rapid.T) {
		listA, inA := draw(t, "a")
		listB, inB := draw(t, "b")
		a, b := setOf(listA...), setOf(listB...)
		if diff := cmp.Diff(listA, a.List()); diff != "" {
			t.Errorf("the set's list (-) and what it has (+):\n%s", diff)
		}
		without := a.Without(b)
		for _, permission := range all {
			if a.Has(permission) != inA[permission] || without.Has(permission) != (inA[permission] && !inB[permission]) {
				t.Errorf("%s is in %v: %t, and without %v: %t", permission, listA, a.Has(permission), listB, without.Has(permission))
			}
		}
		oneOf := slices.ContainsFunc(listB, func(p escrow.Permission) bool { return inA[p] })
		if a.Has(listB...) != oneOf || (a.CheckPermission(listB...) == nil) != oneOf {
			t.Errorf("%v has one of %v: %t", listA, listB, !oneOf)
		}
		if (a == b) != slices.Equal(listA, listB) {
			t.Errorf("%v and %v are the same: %t", listA, listB, a == b)
		}
		if a.Has() || a.Has("") || a.Has("positions.destroy") || a.Without(a) != 0 || a.Without(0) != a {
			t.Errorf("%v has what is not there", listA)
		}
	})
}

func TestWhoHasNoneOfSomePermissionsIsToldWhichItTakes(t *testing.T) {
	t.Parallel()
	has := setOf("positions.read", "assets.read")
	for _, test := range []struct {
		oneOf []escrow.Permission
		want  string
	}{
		{[]escrow.Permission{"positions.read"}, ""},
		{[]escrow.Permission{"positions.fund", "assets.read"}, ""},
		{[]escrow.Permission{"positions.fund"}, "This takes the permission positions.fund."},
		{[]escrow.Permission{"positions.fund", "keys.read"}, "This takes one of the permissions positions.fund, keys.read."},
	} {
		err := has.CheckPermission(test.oneOf...)
		if test.want == "" && err != nil || test.want != "" && (escrow.ErrorCode(err) != escrow.CodePermissionMissing || err.Error() != "permission_missing: "+test.want) {
			t.Errorf("%v: the error is %v, want %q", test.oneOf, err, test.want)
		}
	}
}

// What is handed out is not what is gone by.
func TestWhoChangesTheListsOfPermissionsAndRolesChangesTheirOwn(t *testing.T) {
	t.Parallel()
	permissions, roles := escrow.Permissions(), escrow.BuiltInRoles()
	permissions[0].Permission, roles[0].Permissions = "nothing", 0
	if escrow.Permissions()[0].Permission == "nothing" || escrow.BuiltInRoles()[0].Permissions == 0 {
		t.Error("the domain's own lists have changed")
	}
}

// The operator and the system do everything; who was never set is nobody.
func TestTheOperatorAndTheSystemHaveAllRights(t *testing.T) {
	t.Parallel()
	rights := escrow.AllRights()
	if got := len(rights.Permissions.List()); got != len(escrow.Permissions()) || !rights.Restriction.IsZero() {
		t.Errorf("the operator has %d permissions, restricted to %+v", got, rights.Restriction)
	}
	for _, actor := range []escrow.Actor{escrow.ActorRoot(), escrow.ActorSystem()} {
		d := openDesk(t)
		d.actor = actor
		d.accept(valid(escrow.NewUpdateInstitution(new("Another"), nil)))
		d.accept(valid(escrow.NewSetRole("clerk", escrow.RoleInput{Permissions: names(escrow.TenantPermissions()...)}, nil)))
	}
	d := openDesk(t)
	d.actor = escrow.Actor{}
	d.refuse(valid(escrow.NewUpdateInstitution(new("Another"), nil)), escrow.CodeInvalidKey)
}
