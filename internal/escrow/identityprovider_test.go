package escrow_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func providerInput(roleByGroup map[string]string) escrow.ProviderInput {
	return escrow.ProviderInput{Issuer: issuer, ClientID: "escrowgrid", RoleByGroup: roleByGroup}
}

// setProvider sets one; with nil, its one group has the role of auditors.
func (d *desk) setProvider(roleByGroup map[string]string) {
	d.t.Helper()
	if roleByGroup == nil {
		roleByGroup = map[string]string{"staff": "auditor"}
	}
	d.accept(valid(escrow.NewSetIdentityProvider(providerInput(roleByGroup), nil)))
}

func (d *desk) provider() escrow.IdentityProvider {
	d.t.Helper()
	provider, ok := d.books.Providers.Get(d.books.InstitutionID())
	if !ok {
		d.t.Fatal("there is no identity provider")
	}
	return provider
}

func TestNewSetIdentityProviderTellsEveryFault(t *testing.T) {
	t.Parallel()
	many := make(map[string]string)
	for i := range 201 {
		many[fmt.Sprint(i)] = "admin"
	}
	heavy := make(map[string]string)
	for i := range 65 {
		heavy[fmt.Sprint(i)+strings.Repeat("é", 506)] = "admin"
	}
	const (
		url       = "issuer must be a URL, like https://login.example.com"
		plain     = "issuer must begin with https://; http:// is only for a provider on the same machine"
		bare      = "issuer must have no query and no fragment"
		document  = "issuer must be what tokens have in iss: the URL before /.well-known/openid-configuration"
		ascii     = "issuer must be a URL in visible ASCII characters"
		form      = " must be 1 to 63 small letters, digits and underscores, beginning with a letter"
		forHolder = " must not be holder, as nobody says whose positions it is for"
	)
	for _, test := range []struct {
		name   string
		change func(*escrow.ProviderInput)
		want   []string
	}{
		{"the least", func(*escrow.ProviderInput) {}, nil},
		{"all", func(in *escrow.ProviderInput) {
			in.ClientSecret, in.Audience = new(strings.Repeat("é", 1000)), new("api")
			in.Claims = escrow.ClaimsInput{Groups: new("a.b"), Name: new("n"), Email: new("e")}
			in.RoleByGroup = map[string]string{strings.Repeat("é", 512): "clerk", "a.b c": "admin"}
		}, nil},
		{"loopback by name", func(in *escrow.ProviderInput) { in.Issuer = "http://localhost:8080/a" }, nil},
		{"loopback by IPv6", func(in *escrow.ProviderInput) { in.Issuer = "http://[::1]:8080" }, nil},
		{"nothing", func(in *escrow.ProviderInput) { *in = escrow.ProviderInput{} }, []string{"issuer is required", "clientId is required"}},
		{"no URL", func(in *escrow.ProviderInput) { in.Issuer = "login.example.com" }, []string{url}},
		{"without a host", func(in *escrow.ProviderInput) { in.Issuer = "https:///a" }, []string{url}},
		{"opaque", func(in *escrow.ProviderInput) { in.Issuer = "https:a" }, []string{url}},
		{"not safe", func(in *escrow.ProviderInput) { in.Issuer = "http://login.example.com" }, []string{plain}},
		{"not safe, and called like loopback", func(in *escrow.ProviderInput) { in.Issuer = "http://localhost.example.com" }, []string{plain}},
		{"another scheme", func(in *escrow.ProviderInput) { in.Issuer = "ftp://localhost" }, []string{plain}},
		{"with a query", func(in *escrow.ProviderInput) { in.Issuer += "?a" }, []string{bare}},
		{"with an empty query", func(in *escrow.ProviderInput) { in.Issuer += "?" }, []string{bare}},
		{"with a fragment", func(in *escrow.ProviderInput) { in.Issuer += "#a" }, []string{bare}},
		{"of the document", func(in *escrow.ProviderInput) { in.Issuer = "https://a/.well-known/openid-configuration" }, []string{document}},
		{"with a user", func(in *escrow.ProviderInput) { in.Issuer = "https://a:b@login.example.com" }, []string{"issuer must not have a user"}},
		{"with a space", func(in *escrow.ProviderInput) { in.Issuer = "https://login.example.com/a b" }, []string{ascii}},
		{"of another script", func(in *escrow.ProviderInput) { in.Issuer = "https://löger.example.com" }, []string{ascii}},
		{"too long", func(in *escrow.ProviderInput) { in.Issuer = "https://a/" + strings.Repeat("b", 246) }, []string{"issuer must have at most 255 characters"}},
		{"a secret with a line end", func(in *escrow.ProviderInput) { in.ClientSecret = new("a\n") }, []string{"clientSecret must be valid UTF-8 without control characters"}},
		{"a secret that is too long", func(in *escrow.ProviderInput) { in.ClientSecret = new(strings.Repeat("a", 1001)) }, []string{"clientSecret must have at most 1000 characters"}},
		{"empty names", func(in *escrow.ProviderInput) {
			in.Audience, in.Claims = new(""), escrow.ClaimsInput{Groups: new(""), Name: new(" "), Email: new("\n")}
		}, []string{
			"audience must not be empty: leave it out instead", "claims.groups must not be empty: leave it out instead",
			"claims.name must not be empty: leave it out instead", "claims.email must not be empty: leave it out instead",
		}},
		{"too many groups", func(in *escrow.ProviderInput) { in.RoleByGroup = many }, []string{"roleByGroup must have at most 200 groups"}},
		{"too much of groups", func(in *escrow.ProviderInput) { in.RoleByGroup = heavy }, []string{"roleByGroup must have at most 65536 bytes of names of groups"}},
		{"a group without a name", func(in *escrow.ProviderInput) { in.RoleByGroup = map[string]string{"": "admin"} }, []string{"roleByGroup must not name a group without a name"}},
		{"a group with a line end", func(in *escrow.ProviderInput) { in.RoleByGroup = map[string]string{"a\n": "admin"} }, []string{"roleByGroup must not name groups with control characters"}},
		{"a group with a long name", func(in *escrow.ProviderInput) { in.RoleByGroup = map[string]string{strings.Repeat("a", 513): "admin"} }, []string{"roleByGroup must not name groups of more than 512 characters"}},
		{"roles that are none", func(in *escrow.ProviderInput) {
			in.RoleByGroup = map[string]string{"a": "", "b": "B", "c": "holder", "d": "admin"}
		}, []string{
			"roleByGroup.a" + form, "roleByGroup.b" + form, "roleByGroup.c" + forHolder,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			in := providerInput(nil)
			test.change(&in)
			_, faults := escrow.NewSetIdentityProvider(in, nil)
			checkFaults(t, faults, test.want...)
		})
	}
}

func TestAProviderIsSetChangedAndRemoved(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.refuse(escrow.RemoveIdentityProvider{}, escrow.CodeProviderNotFound)
	d.accept(setRole("clerk", "positions.read"))
	in := providerInput(map[string]string{"b": "clerk", "a": "admin"})
	in.Audience, in.Claims.Groups = new("api"), new("roles")
	set := func(ifVersion ...int64) escrow.SetIdentityProvider {
		return valid(escrow.NewSetIdentityProvider(in, ifVersion))
	}
	d.refuse(set(1), escrow.CodeVersionMismatch)
	d.accept(set(0))
	want := escrow.IdentityProvider{
		InstitutionID: d.books.InstitutionID(), Issuer: issuer, ClientID: "escrowgrid", Audience: "api",
		Claims: escrow.ClaimNames{Groups: "roles"}, RoleByGroup: map[string]escrow.RoleName{"a": "admin", "b": "clerk"}, Version: 1,
	}
	check := func(what string, kind escrow.Kind) {
		t.Helper()
		entry := d.lastEntry()
		want.UpdatedAt = entry.At
		if diff := cmp.Diff(want, d.provider()); diff != "" {
			t.Errorf("%s: wanted (-) and set (+):\n%s", what, diff)
		}
		if entry.Kind != kind || entry.Subject != "identity-provider" {
			t.Errorf("%s: the entry is %s on %s", what, entry.Kind, entry.Subject)
		}
		d.checkReplay()
	}
	want.CreatedAt = d.lastEntry().At
	check("set", escrow.KindProviderSet)

	head := d.books.Head
	d.accept(set())
	if d.books.Head != head {
		t.Error("to set it again is an entry")
	}
	d.refuse(set(0), escrow.CodeVersionMismatch)
	d.now = d.now.Add(time.Hour)
	in.RoleByGroup, in.Audience = nil, nil
	d.accept(set(7, 1))
	want.RoleByGroup, want.Audience, want.Version = nil, "", 2
	check("changed", escrow.KindProviderSet)

	d.now = d.now.Add(time.Hour)
	in.Issuer += "/other"
	d.accept(set())
	want.Issuer, want.Version, want.CreatedAt = in.Issuer, 3, d.lastEntry().At
	check("with another issuer", escrow.KindProviderSet)

	d.refuse(escrow.RemoveIdentityProvider{IfVersion: []int64{2}}, escrow.CodeVersionMismatch)
	d.now = d.now.Add(time.Hour)
	d.accept(escrow.RemoveIdentityProvider{IfVersion: []int64{3}})
	want.Version, want.RemovedAt = 4, new(d.lastEntry().At)
	check("removed", escrow.KindProviderRemoved)
	if want.IsSet() {
		t.Error("it is set")
	}
	d.refuse(escrow.RemoveIdentityProvider{}, escrow.CodeProviderNotFound)

	d.accept(set())
	want.Version, want.RemovedAt, want.CreatedAt = 5, nil, d.lastEntry().At
	check("set again", escrow.KindProviderSet)
}

func TestOnlyRolesThatThereAreAreGivenToGroups(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	refusal := d.refusal(valid(escrow.NewSetIdentityProvider(providerInput(map[string]string{"a": "admin", "b": "clerk", "c": "clerks"}), nil)), escrow.CodeInvalidInput)
	const oneOf = " must be one of admin, operator, maker, approver, compliance, auditor, read_only, or a role of the institution"
	checkFaults(t, refusal.Faults, "roleByGroup.b"+oneOf, "roleByGroup.c"+oneOf)
	d.accept(setRole("clerk"))
	d.setProvider(map[string]string{"b": "clerk"})
}

// Who says which groups there are gives all that they get.
func TestWhoSetsAProviderHasWhatItsGroupsGet(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.accept(setRole("setter", "identity_provider.set", "positions.read", "proofs.read"))
	d.accept(setRole("clerk", "positions.read"))
	d.accept(setRole("mover", "positions.read", "positions.fund"))
	d.actor = escrow.ActorKey(d.key("setter", nil))
	d.setProvider(map[string]string{"a": "clerk", "b": "setter"})
	for _, role := range []string{"mover", "admin", "read_only"} {
		d.refuse(valid(escrow.NewSetIdentityProvider(providerInput(map[string]string{"a": "clerk", "b": role}), nil)), escrow.CodePermissionMissing)
	}
	in := providerInput(nil)
	in.Issuer += "/2"
	d.accept(valid(escrow.NewSetIdentityProvider(in, nil)))
	d.accept(escrow.RemoveIdentityProvider{})
	d.refuse(escrow.SuspendUser{}, escrow.CodePermissionMissing)
}

// What one issuer was told is never told to another.
func TestAClientSecretStaysWithItsClient(t *testing.T) {
	t.Parallel()
	type state struct {
		has    bool
		number int64
		sealed string
	}
	d := openDesk(t)
	in := providerInput(nil)
	sets := 0
	set := func(what string, secret *string, want state) {
		t.Helper()
		sets++
		in.ClientSecret = secret
		command := escrow.Command(valid(escrow.NewSetIdentityProvider(in, nil)))
		if name, text, ok := command.(escrow.Sealing).Secret(); ok {
			if secret == nil || text != *secret || name != escrow.ClientSecretName() {
				t.Errorf("%s: %q is to be sealed for %v", what, text, name)
			}
			command = command.(escrow.Sealing).WithSealed(fmt.Append(nil, "sealed ", text), "k1")
			all := cmp.Exporter(func(reflect.Type) bool { return true })
			if shown := cmp.Diff(nil, command, all); strings.Contains(shown, `"`+text+`"`) {
				t.Errorf("%s: the command still has its secret: %s", what, shown)
			}
			if _, _, again := command.(escrow.Sealing).Secret(); again {
				t.Errorf("%s: it is to be sealed again", what)
			}
		}
		d.accept(command)
		check := d.provider()
		kept, _ := d.books.Secrets.Get(escrow.ClientSecretName())
		if got := (state{check.HasSecret, check.SecretNumber, string(kept.Sealed)}); got != want || (kept.Sealed == nil) != (kept.SealedUnder == "") {
			t.Errorf("%s: it is %+v under %q, want %+v", what, got, kept.SealedUnder, want)
		}
	}
	set("none", nil, state{})
	set("taken away where there is none", new(""), state{})
	set("the first", new("first-secret"), state{true, 1, "sealed first-secret"})
	set("the same again", new("first-secret"), state{true, 2, "sealed first-secret"})
	set("kept", nil, state{true, 2, "sealed first-secret"})
	in.Audience = new("api")
	set("kept with another audience", nil, state{true, 2, "sealed first-secret"})
	set("taken away", new(""), state{false, 3, ""})
	set("the next", new("next-secret"), state{true, 4, "sealed next-secret"})
	in.Issuer += "/2"
	set("another issuer", nil, state{false, 5, ""})
	set("a secret for it", new("third-secret"), state{true, 6, "sealed third-secret"})
	in.ClientID += "/2"
	set("another client", nil, state{false, 7, ""})
	set("a secret for that", new("fourth-secret"), state{true, 8, "sealed fourth-secret"})
	in.Issuer += "/3"
	set("another issuer with a secret", new("fifth-secret"), state{true, 9, "sealed fifth-secret"})

	d.accept(escrow.RemoveIdentityProvider{})
	if kept, _ := d.books.Secrets.Get(escrow.ClientSecretName()); d.provider().HasSecret || d.provider().SecretNumber != 10 || kept.Sealed != nil || kept.SealedUnder != "" {
		t.Errorf("removed it is %+v, with %+v", d.provider(), kept)
	}
	set("set again", nil, state{false, 10, ""})
	for _, entry := range d.books.Entries {
		if bytes.Contains(entry.Body, []byte("-secret")) || bytes.Contains(entry.Private, []byte("-secret")) {
			t.Errorf("an entry has a secret: %s", entry.Body)
		}
	}
	d.checkReplay()
}

func TestASecretThatIsNotSealedIsRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	in := providerInput(nil)
	in.ClientSecret = new("s3cret")
	d.refuse(valid(escrow.NewSetIdentityProvider(in, nil)), escrow.CodeEncryptionKeyMissing)
	if d.books.Secrets.Len() > 0 {
		t.Error("a secret is kept")
	}
}

// Entries that nothing of ours has written, and that tell of no state that there can be.
func TestEntriesOfPeopleThatContradictThemselves(t *testing.T) {
	t.Parallel()
	removed := `,"removedAt":"2027-03-01T09:00:00.000001Z"`
	provider := func(has, groups, removed string) string {
		return `{"issuer":"i","clientId":"c","hasSecret":` + has + `,"secretNumber":1,"claims":{}` + groups + `,"version":1,"createdAt":"2027-03-01T09:00:00.000001Z"` + removed + `}`
	}
	id := escrow.UserID{1}.String()
	user := `{"id":"` + id + `","issuer":"i","joinedAt":"2027-03-01T09:00:00.000001Z","suspensions":0,"version":1}`
	for _, test := range []struct{ kind, actor, subject, event, want string }{
		{"IDENTITY_PROVIDER_SET", "root", "identity-provider", provider("true", `,"roleByGroup":{"a":"admin","b":"x"}`, ""), ""},
		{"IDENTITY_PROVIDER_SET", "root", "identity-provider", provider("true", `,"roleByGroup":{"b":"x","a":"admin"}`, ""), "not written as"},
		{"IDENTITY_PROVIDER_SET", "root", "identity-provider", provider("true", `,"roleByGroup":{}`, ""), "not written as"},
		{"IDENTITY_PROVIDER_SET", "root", "identity-provider", provider("true", `,"roleByGroup":{"a":"holder"}`, ""), "holder cannot be given"},
		{"IDENTITY_PROVIDER_SET", "root", "identity-provider", provider("false", "", removed), "was removed"},
		{"IDENTITY_PROVIDER_SET", "root", "identity-provider/2", provider("true", "", ""), "concerns identity-provider"},
		{"IDENTITY_PROVIDER_REMOVED", "root", "identity-provider", provider("false", "", removed), ""},
		{"IDENTITY_PROVIDER_REMOVED", "root", "identity-provider", provider("true", "", removed), "still there, or has a secret"},
		{"IDENTITY_PROVIDER_REMOVED", "root", "identity-provider", provider("false", "", ""), "still there, or has a secret"},
		{"USER_JOINED", id, id, user, ""},
		{"USER_JOINED", "root", id, user, "joins by themselves"},
		{"USER_UPDATED", "root", id, user, ""},
		{"USER_UPDATED", "usr_0", id, user, "must end in"},
	} {
		body := `{"v":2,"institutionId":"` + escrow.InstitutionID{1}.String() + `","sequence":2,"id":"` + escrow.EntryID{1}.String() +
			`","at":"2027-03-01T09:00:00.000001Z","actor":"` + test.actor + `","requestId":"r","kind":"` + test.kind + `","subject":"` + test.subject + `","event":` + test.event + `}`
		entry, err := escrow.ParseEntry([]byte(body), nil)
		if err == nil {
			err = entry.Check()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: it is found to be %v, want %q", body, err, test.want)
		}
	}
}
