package escrow_test

import (
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// asOperator executes a command of one of the operator's people.
func (d *desk) asOperator(role escrow.OperatorRole, command escrow.Command) escrow.Outcome {
	d.t.Helper()
	request := d.request(command)
	request.Actor, request.OperatorRole = escrow.ActorOperator(escrow.NewOperatorID(issuer, "1")), role
	return d.execute(request)
}

func operators() escrow.Operators {
	return escrow.Operators{
		RootKey: "root-key", Issuer: issuer, ClientID: "client",
		RoleByGroup: map[string]escrow.OperatorRole{
			"platform": escrow.OperatorRoleRoot, "support": escrow.OperatorRoleReadOnly,
		},
	}
}

// docs/personal-data.md has the formula, and journals the ids: they never change.
func TestTheIDOfAnOperatorIsWhatTheirIssuerCallsThem(t *testing.T) {
	t.Parallel()
	// Python computes it from the documented formula:
	//
	//	h = bytearray(hashlib.sha256(b"https://login.example.com\nada").digest()[:16])
	//	h[6], h[8] = 0x80 | h[6] & 0x0f, 0x80 | h[8] & 0x3f
	//	n, letters = int.from_bytes(h, "big"), "0123456789abcdefghjkmnpqrstvwxyz"
	//	"opr_" + "".join(letters[n >> 5 * i & 31] for i in range(25, -1, -1))
	const want = "opr_7pxdw4g20qgn8a2n2k461tz9vh"
	id := escrow.NewOperatorID("https://login.example.com", "ada")
	if got := id.String(); got != want {
		t.Errorf("the id is %s, want %s", got, want)
	}
	if id[6]>>4 != 8 || id[8]>>6 != 0b10 {
		t.Errorf("%x is no UUIDv8", id)
	}
	for _, other := range [][2]string{{"https://login.example.com", "Ada"}, {"https://login.example.com/", "ada"}, {"https://login.example.com\na", "da"}} {
		if escrow.NewOperatorID(other[0], other[1]) == id {
			t.Errorf("%q is the same person", other)
		}
	}
}

func TestOperatorsHaveTheWidestRoleOfTheirGroups(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		groups []string
		want   escrow.OperatorRole
	}{
		{nil, ""},
		{[]string{"", "Platform", "others"}, ""},
		{[]string{"support"}, escrow.OperatorRoleReadOnly},
		{[]string{"others", "platform"}, escrow.OperatorRoleRoot},
		{[]string{"platform", "support"}, escrow.OperatorRoleRoot},
		{[]string{"support", "platform"}, escrow.OperatorRoleRoot},
	} {
		if got := operators().Role(test.groups); got != test.want {
			t.Errorf("%q have the role %q, want %q", test.groups, got, test.want)
		}
	}
	if got := (escrow.Operators{}).Role([]string{"platform"}); got != "" {
		t.Errorf("without any role, somebody has %q", got)
	}
}

// What a route has let through by mistake is judged once more.
func TestAnOperatorsRoleIsJudgedUnderTheLock(t *testing.T) {
	t.Parallel()
	founding := valid(escrow.NewCreateInstitution(escrow.InstitutionInput{Name: "Bank", Regions: []string{"US"}}))
	for role, want := range map[escrow.OperatorRole]escrow.Code{
		escrow.OperatorRoleRoot: "", escrow.OperatorRoleReadOnly: escrow.CodePermissionMissing,
		"": escrow.CodePermissionMissing, "admin": escrow.CodePermissionMissing,
	} {
		d := openDesk(t)
		d.wantCode("to set a role, as "+string(role), d.asOperator(role, setRole("clerk", "positions.read")), want)
		d.wantCode("to make a key, as "+string(role), d.asOperator(role, newKey(escrow.KeyInput{Role: "admin"})), want)
		if entry := d.lastEntry(); want == "" && entry.Actor != escrow.ActorOperator(escrow.NewOperatorID(issuer, "1")) {
			t.Errorf("the journal names %s", entry.Actor)
		}
		d.wantCode("to make an institution, as "+string(role), operatorDesk(t).asOperator(role, founding), want)
	}
	// No other actor has anything by it.
	d := openDesk(t)
	request := d.request(setRole("clerk"))
	request.Actor, request.OperatorRole = escrow.Actor{}, escrow.OperatorRoleRoot
	d.wantCode("nobody", d.execute(request), escrow.CodeInvalidKey)
	request.Actor = escrow.ActorKey(d.key(escrow.RoleReadOnly, nil))
	d.wantCode("a key", d.execute(request), escrow.CodePermissionMissing)
}

func TestASessionEndsWithHowTheOperatorIsConfigured(t *testing.T) {
	t.Parallel()
	people, root := escrow.ActorOperator(escrow.NewOperatorID(issuer, "1")), escrow.ActorRoot()
	for name, test := range map[string]struct {
		change               func(*escrow.Session, *escrow.Operators)
		wantPeople, wantRoot bool
	}{
		"nothing":            {func(*escrow.Session, *escrow.Operators) {}, false, false},
		"another role":       {func(_ *escrow.Session, o *escrow.Operators) { o.RoleByGroup["platform"] = escrow.OperatorRoleReadOnly }, false, false},
		"no role":            {func(_ *escrow.Session, o *escrow.Operators) { delete(o.RoleByGroup, "platform") }, true, false},
		"no groups":          {func(s *escrow.Session, _ *escrow.Operators) { s.Groups = nil }, true, false},
		"another client":     {func(_ *escrow.Session, o *escrow.Operators) { o.ClientID = "other" }, true, false},
		"another issuer":     {func(_ *escrow.Session, o *escrow.Operators) { o.Issuer += "/" }, true, false},
		"no issuer":          {func(_ *escrow.Session, o *escrow.Operators) { o.Issuer = "" }, true, false},
		"another root key":   {func(_ *escrow.Session, o *escrow.Operators) { o.RootKey = "root-key-2" }, false, true},
		"no root key":        {func(_ *escrow.Session, o *escrow.Operators) { o.RootKey = "" }, false, true},
		"another session":    {func(s *escrow.Session, _ *escrow.Operators) { s.ID = escrow.SessionID{2} }, true, true},
		"nobody who vouches": {func(s *escrow.Session, _ *escrow.Operators) { s.VouchedBy = nil }, true, true},
		"a key's":            {func(s *escrow.Session, _ *escrow.Operators) { s.Actor = escrow.ActorKey(escrow.KeyID{1}) }, true, true},
		"nobody's":           {func(s *escrow.Session, _ *escrow.Operators) { s.Actor = escrow.Actor{} }, true, true},
		"the system's":       {func(s *escrow.Session, _ *escrow.Operators) { s.Actor = escrow.ActorSystem() }, true, true},
	} {
		for actor, want := range map[escrow.Actor]bool{people: test.wantPeople, root: test.wantRoot} {
			now := operators()
			session := escrow.Session{ID: escrow.SessionID{1}, Actor: actor}
			if actor != root {
				session.Groups = []string{"others", "platform"}
			}
			session.VouchedBy = now.Vouch(session)
			test.change(&session, &now)
			if got := session.EndedWithOperators(now); got != want {
				t.Errorf("with %s, a session of %s has ended: %t", name, actor, got)
			}
		}
	}
	// Neither is the other one's, whatever they are called.
	session := escrow.Session{ID: escrow.SessionID{1}, Actor: people, Groups: []string{"platform"}}
	session.VouchedBy = operators().Vouch(session)
	session.Actor = root
	if !session.EndedWithOperators(operators()) {
		t.Error("a session of one of the operator's people is one of the root key")
	}
}
