package escrow_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// issuer is that of most tests.
const issuer = "https://id.example.com/realms/bank"

func member(groups ...string) escrow.Membership {
	return escrow.Membership{Issuer: issuer, Groups: groups}
}

// requestJoin asks for a person to join.
func (d *desk) requestJoin(of escrow.Membership, person escrow.PersonInput) escrow.Request {
	request := d.request(valid(escrow.NewJoinUser(person)))
	request.Actor, request.Membership = escrow.ActorUser(escrow.UserID{}), of
	return request
}

// join has a person join, who is in all groups that have a role.
func (d *desk) join(subject, name, email string) escrow.UserID {
	d.t.Helper()
	provider, _ := d.books.Providers.Get(d.books.InstitutionID())
	of := escrow.Membership{Issuer: provider.Issuer, Groups: slices.Sorted(maps.Keys(provider.RoleByGroup))}
	outcome := d.execute(d.requestJoin(of, escrow.PersonInput{Issuer: of.Issuer, Subject: subject, Name: name, Email: email}))
	if outcome.Refusal != nil {
		d.t.Fatalf("%s cannot join: %v", subject, outcome.Refusal)
	}
	return subjectID[escrow.UserID](outcome)
}

// as executes a command of a user who is in some groups.
func (d *desk) as(user escrow.UserID, command escrow.Command, groups ...string) escrow.Outcome {
	d.t.Helper()
	provider, _ := d.books.Providers.Get(d.books.InstitutionID())
	request := d.request(command)
	request.Actor, request.Membership = escrow.ActorUser(user), escrow.Membership{Issuer: provider.Issuer, Groups: groups}
	return d.execute(request)
}

func (d *desk) wantCode(what string, outcome escrow.Outcome, want escrow.Code) {
	d.t.Helper()
	var got escrow.Code
	if outcome.Refusal != nil {
		got = outcome.Refusal.Code
	}
	if got != want {
		d.t.Errorf("%s: the refusal is %q (%v), want %q", what, got, outcome.Refusal, want)
	}
}

func (d *desk) user(id escrow.UserID) escrow.User {
	d.t.Helper()
	user, ok := d.books.Users.Get(id)
	if !ok {
		d.t.Fatalf("there is no user %s", id)
	}
	return user
}

func TestTheFirstLoginMakesAUserWhoIsTheActor(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.setProvider(nil)
	ada := d.join(" sub/1 ", "  Ada ", "ada@example.com")
	entry := d.lastEntry()
	want := escrow.User{
		ID: ada, InstitutionID: d.books.InstitutionID(), Identity: escrow.Identity{Issuer: issuer, Subject: " sub/1 "},
		DisplayName: "Ada", Email: "ada@example.com", JoinedAt: entry.At, UpdatedAt: entry.At, Version: 1,
	}
	if diff := cmp.Diff(want, d.user(ada)); diff != "" {
		t.Errorf("the user wanted (-) and made (+):\n%s", diff)
	}
	if entry.Kind != escrow.KindUserJoined || entry.Actor != escrow.ActorUser(ada) || entry.Subject != ada.String() {
		t.Errorf("the entry is %s on %s by %s", entry.Kind, entry.Subject, entry.Actor)
	}
	if body := string(entry.Body); strings.Contains(body, "sub/1") || strings.Contains(body, "Ada") || strings.Contains(body, "ada@") {
		t.Errorf("the body tells who it is: %s", body)
	}

	// Again, whatever else the token says; and others are others.
	head := d.books.Head
	if again := d.join(" sub/1 ", "Eve", ""); again != ada || d.books.Head != head {
		t.Errorf("the second login makes %s, at %v", again, d.books.Head)
	}
	if other := d.join("sub/1", "", ""); other == ada || d.user(other).DisplayName != "" {
		t.Errorf("another person is %+v", d.user(other))
	}
	d.checkReplay()
}

func TestNobodyJoinsWithoutTheirProvider(t *testing.T) {
	t.Parallel()
	person := escrow.PersonInput{Issuer: issuer, Subject: "1"}
	d := openDesk(t)
	join := func(what string, of escrow.Membership, person escrow.PersonInput, want escrow.Code) {
		t.Helper()
		d.wantCode(what, d.execute(d.requestJoin(of, person)), want)
	}
	join("without a provider", member(), person, escrow.CodeTokenIssuerUnknown)
	d.setProvider(nil)
	join("a token of another issuer", escrow.Membership{Issuer: issuer + "/"}, person, escrow.CodeTokenIssuerUnknown)
	join("a person of another issuer", member(), escrow.PersonInput{Issuer: issuer + "/", Subject: "1"}, escrow.CodeTokenIssuerUnknown)
	d.wantCode("the operator", d.execute(d.request(valid(escrow.NewJoinUser(person)))), escrow.CodeTokenIssuerUnknown)
	key := d.key(escrow.RoleAdmin, nil)
	request := d.requestJoin(member(), person)
	request.Actor = escrow.ActorKey(key)
	d.wantCode("a key", d.execute(request), escrow.CodeTokenIssuerUnknown)
	request.Actor = escrow.Actor{}
	d.wantCode("nobody", d.execute(request), escrow.CodeInvalidKey)
	request = d.request(escrow.SuspendUser{})
	request.Actor, request.Membership = escrow.ActorUser(escrow.UserID{}), member("a")
	d.wantCode("who is not known and does something else", d.execute(request), escrow.CodeInvalidToken)
	ada := d.join("9", "", "")
	d.wantCode("a user for another one", d.as(ada, valid(escrow.NewJoinUser(person))), escrow.CodeTokenIssuerUnknown)
	d.accept(escrow.SuspendUser{User: ada})
	d.wantCode("a suspended one for another one", d.as(ada, valid(escrow.NewJoinUser(person))), escrow.CodeInvalidToken)
	d.accept(escrow.RemoveIdentityProvider{})
	join("after the provider was removed", member(), person, escrow.CodeTokenIssuerUnknown)
	if d.books.Users.Len() > 1 {
		t.Errorf("%d users have joined", d.books.Users.Len())
	}
}

// A provider signs for all of its people, and not all of them are the institution's. Who was is known.
func TestNobodyJoinsWithoutAGroupThatHasARole(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.setProvider(map[string]string{"staff": "auditor", "clerks": "read_only"})
	person := escrow.PersonInput{Issuer: issuer, Subject: "1"}
	head := d.books.Head
	for _, groups := range [][]string{nil, {}, {""}, {"others"}, {"Staff"}, {"staff "}} {
		d.wantCode(fmt.Sprintf("who is in %q", groups), d.execute(d.requestJoin(member(groups...), person)), escrow.CodePermissionMissing)
	}
	if d.books.Head != head || d.books.Users.Len() != 0 {
		t.Errorf("somebody has joined: %+v", d.books.Users.All())
	}
	d.wantCode("who is in one of them", d.execute(d.requestJoin(member("others", "clerks"), person)), "")
	d.setProvider(map[string]string{"clerks": "read_only"})
	d.wantCode("who has joined", d.execute(d.requestJoin(member("staff"), person)), "")
	person.Subject = "2"
	d.wantCode("another one", d.execute(d.requestJoin(member("staff"), person)), escrow.CodePermissionMissing)
	d.checkReplay()
}

func TestNewJoinUserTellsEveryFault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in   escrow.PersonInput
		want []string
	}{
		{escrow.PersonInput{Issuer: issuer, Subject: strings.Repeat("é", 255)}, nil},
		{escrow.PersonInput{Issuer: issuer, Subject: "1", Name: "\u202e", Email: strings.Repeat("e", 321)}, nil},
		{escrow.PersonInput{Issuer: issuer}, []string{"subject is required"}},
		{escrow.PersonInput{Issuer: issuer, Subject: strings.Repeat("s", 256)}, []string{"subject is too long"}},
		{escrow.PersonInput{Issuer: issuer, Subject: "a\x00"}, []string{"subject must be valid UTF-8 without control characters"}},
		{escrow.PersonInput{Issuer: issuer, Subject: "\xff"}, []string{"subject must be valid UTF-8 without control characters"}},
		{escrow.PersonInput{Subject: "1"}, []string{"issuer is required"}},
	} {
		_, faults := escrow.NewJoinUser(test.in)
		checkFaults(t, faults, test.want...)
	}
}

// A name that cannot be shown keeps nobody out.
func TestWhatCannotBeShownOfAPersonIsLeftOut(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.setProvider(nil)
	longest := strings.Repeat("é", escrow.MaxPersonLength)
	for i, test := range []struct{ given, kept string }{
		{"a\u202eb", ""},
		{"a\nb", ""},
		{"\xff", ""},
		{"\u200b", ""},
		{longest + "é", ""},
		{longest, longest},
		{" a ", "a"},
	} {
		user := d.user(d.join(fmt.Sprint(i), test.given, test.given))
		if user.DisplayName != test.kept || user.Email != test.kept {
			t.Errorf("of %q the name %q and the address %q are kept", test.given, user.DisplayName, user.Email)
		}
	}
}

func TestALaterTokenUpdatesItsUser(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.setProvider(map[string]string{"a": "read_only"})
	ada, eve := d.join("1", "Ada", ""), d.join("2", "Eve", "eve@example.com")
	update := func(name, email string) escrow.UpdateUser {
		return escrow.NewUpdateUser(escrow.PersonInput{Name: name, Email: email})
	}
	for _, test := range []struct {
		command           escrow.UpdateUser
		name, email, kind string
	}{
		{update("Ada", ""), "Ada", "", ""},
		{update("", ""), "Ada", "", ""},
		{update("", "ada@example.com"), "Ada", "ada@example.com", "USER_UPDATED"},
		{update("Ada L.", ""), "Ada L.", "ada@example.com", "USER_UPDATED"},
		{update("\n", "a\nb"), "Ada L.", "ada@example.com", ""},
	} {
		head, before := d.books.Head, d.user(ada)
		changes := test.command.Changes(before)
		d.wantCode("a token of a user in no group", d.as(ada, test.command), "")
		after := d.user(ada)
		if after.DisplayName != test.name || after.Email != test.email || changes != (test.kind != "") || changes != (d.books.Head != head) {
			t.Errorf("%+v makes %+v of %+v", test.command, after, before)
		}
		if entry := d.lastEntry(); changes && (entry.Actor != escrow.ActorUser(ada) || string(entry.Kind) != test.kind || after.Version != before.Version+1 || after.UpdatedAt != entry.At) {
			t.Errorf("%s by %s makes %+v", entry.Kind, entry.Actor, after)
		}
	}
	if d.user(eve).DisplayName != "Eve" {
		t.Errorf("another one is %+v", d.user(eve))
	}
	d.wantCode("the operator's", d.execute(d.request(update("x", ""))), escrow.CodeInvalidToken)
	d.accept(escrow.SuspendUser{User: ada})
	d.wantCode("a suspended one's", d.as(ada, update("x", "")), escrow.CodeInvalidToken)
	d.checkReplay()
}

func TestASuspendedUserDoesNothing(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.setProvider(map[string]string{"admins": "admin"})
	ada, eve := d.join("1", "", ""), d.join("2", "", "")
	rename := valid(escrow.NewSetRole("clerk", escrow.RoleInput{}, nil))
	d.wantCode("before", d.as(ada, rename, "admins"), "")
	d.wantCode("to suspend", d.as(eve, escrow.SuspendUser{User: ada, IfVersion: []int64{1}}, "admins"), "")
	suspended := d.user(ada)
	if at := d.lastEntry().At; suspended.SuspendedAt == nil || *suspended.SuspendedAt != at || suspended.Suspensions != 1 || suspended.Version != 2 {
		t.Errorf("at %s they are %+v", at, suspended)
	}

	d.wantCode("suspended", d.as(ada, rename, "admins"), escrow.CodeInvalidToken)
	d.wantCode("to restore themselves", d.as(ada, escrow.RestoreUser{User: ada}, "admins"), escrow.CodeInvalidToken)
	head := d.books.Head
	d.accept(escrow.SuspendUser{User: ada})
	if d.books.Head != head || d.user(ada) != suspended {
		t.Errorf("to suspend again makes %+v", d.user(ada))
	}
	if again := d.join("1", "", ""); again != ada {
		t.Errorf("a suspended one joins again as %s", again)
	}

	d.refuse(escrow.RestoreUser{User: ada, IfVersion: []int64{1}}, escrow.CodeVersionMismatch)
	d.refuse(escrow.SuspendUser{User: eve, IfVersion: []int64{2}}, escrow.CodeVersionMismatch)
	d.refuse(escrow.SuspendUser{User: escrow.UserID{1}}, escrow.CodeUserNotFound)
	d.refuse(escrow.RestoreUser{User: escrow.UserID{1}}, escrow.CodeUserNotFound)
	d.wantCode("to restore", d.as(eve, escrow.RestoreUser{User: ada, IfVersion: []int64{2}}, "admins"), "")
	if restored := d.user(ada); restored.SuspendedAt != nil || restored.Suspensions != 1 || restored.Version != 3 {
		t.Errorf("restored they are %+v", restored)
	}
	head = d.books.Head
	d.accept(escrow.RestoreUser{User: ada})
	if d.books.Head != head {
		t.Error("to restore again is an entry")
	}
	d.wantCode("restored", d.as(ada, valid(escrow.NewSetRole("clerk2", escrow.RoleInput{}, nil)), "admins"), "")
	d.checkReplay()
}

// What is left to do in an institution that was closed is to keep people out.
func TestPeopleOfAClosedInstitution(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.setProvider(nil)
	ada := d.join("1", "", "")
	d.accept(escrow.CloseInstitution{})
	d.wantCode("to join", d.execute(d.requestJoin(member("staff"), escrow.PersonInput{Issuer: issuer, Subject: "2"})), escrow.CodeInstitutionClosed)
	d.wantCode("to be updated", d.as(ada, escrow.NewUpdateUser(escrow.PersonInput{Name: "x"})), escrow.CodeInstitutionClosed)
	d.accept(escrow.SuspendUser{User: ada})
	d.refuse(escrow.RestoreUser{User: ada}, escrow.CodeInstitutionClosed)
	d.accept(escrow.RemoveIdentityProvider{})
	d.refuse(valid(escrow.NewSetIdentityProvider(providerInput(nil), nil)), escrow.CodeInstitutionClosed)
}

func TestRightsOfAUserAreThoseOfAllRolesOfTheirGroups(t *testing.T) {
	t.Parallel()
	provider := escrow.IdentityProvider{Issuer: issuer, Version: 1, RoleByGroup: map[string]escrow.RoleName{
		"readers": "read_only", "clerks": "clerk", "movers": "operator", "gone": "nowhere", "nobody": "none",
	}}
	own := func(name escrow.RoleName) (escrow.Role, bool) {
		// What is not there counts for nothing, whatever comes with it.
		return escrow.Role{Permissions: setOf("keys.manage")}, name == "clerk"
	}
	reads, moves := builtInSet("read_only"), builtInSet("operator")
	for name, test := range map[string]struct {
		groups []string
		want   escrow.PermissionSet
	}{
		"of none":               {nil, 0},
		"of one without a role": {[]string{"others", "", "Readers"}, 0},
		"of one":                {[]string{"readers"}, reads},
		"of one of its own":     {[]string{"clerks"}, setOf("keys.manage")},
		"of several":            {[]string{"readers", "others", "clerks", "movers", "movers"}, reads | moves | setOf("keys.manage")},
		"of a role that is not": {[]string{"gone"}, 0},
	} {
		rights, refusal := escrow.RightsOfUser(escrow.User{Identity: escrow.Identity{Issuer: issuer}}, member(test.groups...), provider, own)
		if refusal != nil || rights.Permissions != test.want || !rights.Restriction.IsZero() {
			t.Errorf("%s: the rights are %v, %v; want %v", name, rights, refusal, test.want.List())
		}
	}

	user := escrow.User{Identity: escrow.Identity{Issuer: issuer}}
	removed, other, suspended := provider, provider, user
	removed.RemovedAt, other.Issuer, suspended.SuspendedAt = new(opening()), issuer+"/2", new(opening())
	moved := escrow.User{Identity: escrow.Identity{Issuer: other.Issuer}}
	for name, test := range map[string]struct {
		user     escrow.User
		of       escrow.Membership
		provider escrow.IdentityProvider
		want     escrow.Code
	}{
		"without a provider":        {user, member("readers"), escrow.IdentityProvider{}, escrow.CodeTokenIssuerUnknown},
		"with one that was removed": {user, member("readers"), removed, escrow.CodeTokenIssuerUnknown},
		"with another":              {user, member("readers"), other, escrow.CodeTokenIssuerUnknown},
		"a user of another":         {moved, member("readers"), provider, escrow.CodeTokenIssuerUnknown},
		"a token of another":        {user, escrow.Membership{Issuer: other.Issuer, Groups: []string{"readers"}}, provider, escrow.CodeTokenIssuerUnknown},
		"a user and a token of it":  {moved, escrow.Membership{Issuer: other.Issuer}, provider, escrow.CodeTokenIssuerUnknown},
		"without a token":           {user, escrow.Membership{}, provider, escrow.CodeTokenIssuerUnknown},
		"suspended":                 {suspended, member("readers"), provider, escrow.CodeInvalidToken},
		"suspended without one":     {suspended, member("readers"), removed, escrow.CodeTokenIssuerUnknown},
	} {
		if rights, refusal := escrow.RightsOfUser(test.user, test.of, test.provider, own); refusal == nil || refusal.Code != test.want || rights.Permissions != 0 {
			t.Errorf("%s: the rights are %v, %v; want %s", name, rights, refusal, test.want)
		}
	}
}

func builtInSet(name escrow.RoleName) escrow.PermissionSet {
	roles := escrow.BuiltInRoles()
	return roles[slices.IndexFunc(roles, func(r escrow.BuiltInRole) bool { return r.Name == name })].Permissions
}

// Rights are judged by what roles and provider are when the command comes.
func TestAUserMayWhatTheirRolesAllowNow(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.accept(setRole("clerk", "roles.manage"))
	d.setProvider(map[string]string{"clerks": "clerk"})
	ada := d.join("1", "", "")
	number := 0
	try := func(what string, want escrow.Code, groups ...string) {
		t.Helper()
		number++
		d.wantCode(what, d.as(ada, setRole(fmt.Sprint("r", number)), groups...), want)
	}
	try("in the group", "", "others", "clerks")
	try("in no group", escrow.CodePermissionMissing)
	try("in another group", escrow.CodePermissionMissing, "clerk")
	d.accept(setRole("clerk", "roles.read"))
	try("after the role has changed", escrow.CodePermissionMissing, "clerks")
	d.accept(setRole("clerk", "roles.manage"))
	try("after it has changed back", "", "clerks")
	d.setProvider(map[string]string{"clerks": "auditor"})
	try("after the group has another role", escrow.CodePermissionMissing, "clerks")
	d.wantCode("more than they have", d.as(ada, setRole("clerk", "keys.manage"), "clerks"), escrow.CodePermissionMissing)

	request := d.request(setRole("r"))
	request.Actor, request.Membership = escrow.ActorUser(ada), escrow.Membership{Issuer: "https://other.example", Groups: []string{"clerks"}}
	d.wantCode("with a token of another issuer", d.execute(request), escrow.CodeTokenIssuerUnknown)
	request.Actor, request.Membership = escrow.ActorUser(escrow.UserID{1}), member("clerks")
	d.wantCode("who is not there", d.execute(request), escrow.CodeInvalidToken)
	d.accept(escrow.RemoveIdentityProvider{})
	try("after the provider was removed", escrow.CodeTokenIssuerUnknown, "clerks")
}

func TestActorsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	for _, actor := range []escrow.Actor{
		escrow.ActorRoot(), escrow.ActorSystem(), escrow.ActorKey(escrow.KeyID{1}), escrow.ActorKey(escrow.KeyID{}),
		escrow.ActorUser(escrow.UserID{1}), escrow.ActorUser(escrow.UserID{}),
		escrow.ActorOperator(escrow.OperatorID{1}), escrow.ActorOperator(escrow.OperatorID{}),
	} {
		text := actor.String()
		read, err := escrow.ParseActor(text)
		if err != nil || read != actor || read.IsUser() != strings.HasPrefix(text, "usr_") ||
			read.IsOperators() != (text == "root" || strings.HasPrefix(text, "opr_")) {
			t.Errorf("%s is read as %s, %v", actor, read, err)
		}
	}
	for _, text := range []string{"", "usr_", "usr", "usr_1", "opr_", "root_", "system_", "ses_" + escrow.UserID{1}.String()[4:], "USR_" + escrow.UserID{1}.String()[4:]} {
		if read, err := escrow.ParseActor(text); err == nil {
			t.Errorf("%q is read as %s", text, read)
		}
	}
	if !escrow.IsID(escrow.UserID{1}.String()) || !escrow.IsID(escrow.SessionID{1}.String()) || !escrow.IsID(escrow.OperatorID{1}.String()) {
		t.Error("ids of users and sessions are none")
	}
}

// modelUser is a user as a small model has them.
type modelUser struct {
	subject, name string
	suspended     bool
}

// Random people join, are renamed, suspended and restored, while the provider comes and goes; an
// independent model says what becomes of each command.
func TestRandomPeople(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := openDesk(t)
		issuers := []string{issuer, "https://other.example"}
		var (
			current string // the issuer that is set
			groups  map[string]string
			ids     []escrow.UserID
		)
		users := map[escrow.UserID]*modelUser{}
		byIdentity := map[escrow.Identity]escrow.UserID{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			d.now = d.now.Add(time.Second)
			from := rapid.SampledFrom(issuers).Draw(t, "issuer")
			var user escrow.UserID
			if len(ids) > 0 {
				user = rapid.SampledFrom(ids).Draw(t, "user")
			}
			known := users[user]
			switch step := rapid.SampledFrom([]string{"set", "remove", "join", "update", "suspend", "restore", "act", "act"}).Draw(t, "step"); {
			case step == "set":
				groups = map[string]string{"a": rapid.SampledFrom([]string{"admin", "auditor"}).Draw(t, "role")}
				in := providerInput(groups)
				in.Issuer, current = from, from
				d.accept(valid(escrow.NewSetIdentityProvider(in, nil)))
			case step == "remove" && current == "":
				d.refusal(escrow.RemoveIdentityProvider{}, escrow.CodeProviderNotFound)
			case step == "remove":
				current = ""
				d.accept(escrow.RemoveIdentityProvider{})
			case step == "join":
				who := escrow.Identity{Issuer: from, Subject: rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "subject")}
				in := rapid.SampledFrom([][]string{nil, {"b"}, {"b", "a"}}).Draw(t, "groups")
				outcome := d.execute(d.requestJoin(escrow.Membership{Issuer: from, Groups: in}, escrow.PersonInput{Issuer: from, Subject: who.Subject, Name: "n"}))
				if from != current {
					d.wantCode("join", outcome, escrow.CodeTokenIssuerUnknown)
					continue
				}
				if _, ok := byIdentity[who]; !ok && !slices.Contains(in, "a") {
					d.wantCode("join", outcome, escrow.CodePermissionMissing)
					continue
				}
				d.wantCode("join", outcome, "")
				id := subjectID[escrow.UserID](outcome)
				if before, ok := byIdentity[who]; ok != (users[id] != nil) || ok && before != id {
					t.Fatalf("%v is %s, and was %s", who, id, before)
				}
				if users[id] == nil {
					ids = append(ids, id)
					users[id], byIdentity[who] = &modelUser{subject: who.Subject, name: "n"}, id
				}
			case known == nil:
			case step == "suspend":
				known.suspended = true
				d.accept(escrow.SuspendUser{User: user})
			case step == "restore":
				known.suspended = false
				d.accept(escrow.RestoreUser{User: user})
			default:
				request := d.request(escrow.SuspendUser{User: escrow.UserID{1}})
				name := rapid.SampledFrom([]string{"n", "m", ""}).Draw(t, "name")
				if step == "update" {
					request.Command = escrow.NewUpdateUser(escrow.PersonInput{Name: name})
				}
				in := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "group")
				request.Actor, request.Membership = escrow.ActorUser(user), escrow.Membership{Issuer: from, Groups: []string{in}}
				own := d.user(user).Issuer
				var want escrow.Code
				switch {
				case current == "" || from != current || own != current:
					want = escrow.CodeTokenIssuerUnknown
				case known.suspended:
					want = escrow.CodeInvalidToken
				case step == "update":
					if name != "" {
						known.name = name
					}
				case in != "a" || groups["a"] != "admin":
					want = escrow.CodePermissionMissing
				default:
					want = escrow.CodeUserNotFound
				}
				d.wantCode(step, d.execute(request), want)
			}
		}

		for id, want := range users {
			got := d.user(id)
			if got.DisplayName != want.name || (got.SuspendedAt != nil) != want.suspended || got.Subject != want.subject {
				t.Errorf("%s is %+v, want %+v", id, got, want)
			}
		}
		d.checkReplay()
	})
}
