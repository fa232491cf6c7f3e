package engine_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const operatorIssuer = "https://login.example.com"

// operatedBy is an engine of an operator with a root key and people of two groups, changed.
func operatedBy(change func(*escrow.Operators)) option {
	return func(c *engine.Config) {
		c.Operators = escrow.Operators{
			RootKey: "root-key", Issuer: operatorIssuer, ClientID: "escrowgrid",
			RoleByGroup: map[string]escrow.OperatorRole{"platform": escrow.OperatorRoleRoot, "support": escrow.OperatorRoleReadOnly},
		}
		if change != nil {
			change(&c.Operators)
		}
	}
}

// operator is one of the operator's people, as a token of theirs makes them a caller.
func operator(subject, group string, role escrow.OperatorRole) *engine.Caller {
	said := escrow.Membership{Issuer: operatorIssuer, Groups: []string{"others", group}}
	return engine.OperatorCaller(escrow.NewOperatorID(operatorIssuer, subject), said, role)
}

func TestOperatorsHaveSessions(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t, operatedBy(nil))
		of := servers[0].institution()
		platform := operator("ada", "platform", escrow.OperatorRoleRoot)
		support := operator("eve", "support", escrow.OperatorRoleReadOnly)
		var all []escrow.Session
		var tokens []string
		for i, test := range []struct {
			caller *engine.Caller
			want   escrow.Code
		}{{platform, ""}, {engine.RootCaller(), ""}, {support, escrow.CodePermissionMissing}} {
			session, token := servers[0].open(test.caller)
			all, tokens = append(all, session), append(tokens, token)
			servers[0].clock.advance(time.Second)
			for _, s := range servers {
				got, err := s.SessionByToken(t.Context(), token)
				want := test.caller
				want.Session = &session
				if diff := cmp.Diff(want, got, exactly()); diff != "" || err != nil {
					t.Fatalf("%v; the caller wanted (-) and got (+):\n%s", err, diff)
				}
				command := asCaller(got, newKey(i))
				command.Institution = of
				if _, err := s.Do(t.Context(), command); codeOf(err) != test.want {
					t.Errorf("a command of %s is answered with %v, want %q", got.Actor(), err, test.want)
				}
				if _, _, err := s.OpenSession(t.Context(), got, clientAddress, ""); codeOf(err) != escrow.CodeForbidden {
					t.Errorf("with the session of %s another one begins: %v", got.Actor(), err)
				}
			}
			if test.want == "" {
				made := servers[1].journal(of, escrow.EntryFilter{Actor: new(test.caller.Actor())})
				if len(made) == 0 || made[len(made)-1].Kind != escrow.KindKeyCreated {
					t.Errorf("the journal names %s in %+v", test.caller.Actor(), made)
				}
			}
		}

		list := func(of escrow.InstitutionID, actor *escrow.Actor, want ...escrow.Session) {
			t.Helper()
			got := must(servers[1].Sessions(t.Context(), of, actor, escrow.PageRequest{Limit: 10}))
			if diff := cmp.Diff(want, got.Items, exactly()); diff != "" {
				t.Errorf("sessions wanted (-) and listed (+):\n%s", diff)
			}
		}
		list(escrow.InstitutionID{}, nil, all...)
		list(escrow.InstitutionID{}, new(support.Actor()), all[2])
		list(of, nil)
		if err := servers[1].EndSession(t.Context(), of, all[0].ID); codeOf(err) != escrow.CodeSessionNotFound {
			t.Errorf("to end one as if it was an institution's: %v", err)
		}
		if err := servers[1].EndSession(t.Context(), escrow.InstitutionID{}, all[0].ID); err != nil {
			t.Fatal(err)
		}
		seen(t, servers, "one that was ended", tokens[0], false)
		seen(t, servers, "another one", tokens[1], true)
	})
}

// A restart is what changes it.
func TestSessionsOfTheOperatorEndWithTheConfiguration(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		for name, test := range map[string]struct {
			change   func(*escrow.Operators)
			wantRole escrow.OperatorRole
			wantRoot bool
		}{
			"the same":        {func(*escrow.Operators) {}, escrow.OperatorRoleRoot, true},
			"a narrower role": {func(o *escrow.Operators) { o.RoleByGroup["platform"] = escrow.OperatorRoleReadOnly }, escrow.OperatorRoleReadOnly, true},
			"no role": {func(o *escrow.Operators) {
				maps.DeleteFunc(o.RoleByGroup, func(g string, _ escrow.OperatorRole) bool { return g == "platform" })
			}, "", true},
			"another client":   {func(o *escrow.Operators) { o.ClientID = "other" }, "", true},
			"no provider":      {func(o *escrow.Operators) { o.Issuer, o.ClientID, o.RoleByGroup = "", "", nil }, "", true},
			"another root key": {func(o *escrow.Operators) { o.RootKey = "another" }, escrow.OperatorRoleRoot, false},
			"no root key":      {func(o *escrow.Operators) { o.RootKey = "" }, escrow.OperatorRoleRoot, false},
		} {
			t.Run(name, func(t *testing.T) {
				clock := newClock()
				before := d.start(t, clock, operatedBy(nil))
				people, person := before.open(operator("ada", "platform", escrow.OperatorRoleRoot))
				_, root := before.open(engine.RootCaller())
				if err := errors.Join(before.Close(t.Context()), before.closeStore()); err != nil {
					t.Fatal(err)
				}

				after := d.start(t, clock, operatedBy(test.change))
				caller, err := after.SessionByToken(t.Context(), person)
				if err != nil {
					caller = new(engine.Caller)
				}
				if caller.OperatorRole != test.wantRole || (err == nil) != (test.wantRole != "") || err != nil && codeOf(err) != escrow.CodeInvalidSession {
					t.Errorf("the person has the role %q, %v; want %q", caller.OperatorRole, err, test.wantRole)
				}
				if want := escrow.RightsOfOperator(test.wantRole); caller.Rights.Permissions != want.Permissions {
					t.Errorf("the person may %v", caller.Rights.Permissions.List())
				}
				if _, err := after.SessionByToken(t.Context(), root); (err == nil) != test.wantRoot || err != nil && codeOf(err) != escrow.CodeInvalidSession {
					t.Errorf("the root key's session is answered with %v", err)
				}
				listed := must(after.Sessions(t.Context(), escrow.InstitutionID{}, new(people.Actor), escrow.PageRequest{Limit: 10}))
				if (len(listed.Items) == 1) != (test.wantRole != "") {
					t.Errorf("the sessions of the person are %+v", listed.Items)
				}
				must(0, after.EndSession(t.Context(), escrow.InstitutionID{}, people.ID))
			})
		}
	})
}
