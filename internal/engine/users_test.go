package engine_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// issuerOf is another one for each institution.
func issuerOf(of escrow.InstitutionID) string { return "https://id.example.com/" + of.String() }

func setProvider(of escrow.InstitutionID, change func(*escrow.ProviderInput)) escrow.Request {
	in := escrow.ProviderInput{
		Issuer: issuerOf(of), ClientID: "escrowgrid",
		RoleByGroup: map[string]string{"admins": "admin", "readers": "read_only", "movers": "operator"},
	}
	if change != nil {
		change(&in)
	}
	return root(of, valid(escrow.NewSetIdentityProvider(in, nil)))
}

func claimsOf(of escrow.InstitutionID, subject string, groups ...string) engine.UserClaims {
	return engine.UserClaims{Issuer: issuerOf(of), Subject: subject, Groups: groups}
}

// login authenticates a user as the API does: with the provider that there is.
func (s *server) login(of escrow.InstitutionID, claims engine.UserClaims) (*engine.Caller, error) {
	provider, err := s.IdentityProvider(context.Background(), of)
	if err != nil {
		provider = escrow.IdentityProvider{InstitutionID: of}
	}
	return s.AuthenticateUser(context.Background(), provider, "login-1", claims)
}

func (s *server) mustLogin(of escrow.InstitutionID, subject string, groups ...string) *engine.Caller {
	s.t.Helper()
	caller, err := s.login(of, claimsOf(of, subject, groups...))
	if err != nil {
		s.t.Fatal(err)
	}
	return caller
}

// asCaller is a request of a caller's.
func asCaller(c *engine.Caller, command escrow.Command) escrow.Request {
	r := root(c.Institution(), command)
	r.Actor, r.Membership, r.OperatorRole = c.Actor(), c.Membership, c.OperatorRole
	return r
}

func TestTheFirstLoginMakesAUserOnce(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		accept[escrow.IdentityProvider](servers[0], setProvider(of, nil))

		// At the same time on both servers, many times.
		const logins = 20
		callers := make([]*engine.Caller, logins)
		var waiting sync.WaitGroup
		for i := range callers {
			waiting.Go(func() {
				var err error
				claims := claimsOf(of, "1", "admins")
				claims.Name = "Ada"
				if callers[i], err = servers[i%2].login(of, claims); err != nil {
					t.Error(err)
				}
			})
		}
		waiting.Wait()
		joined := servers[0].journal(of, escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindUserJoined}})
		if len(joined) != 1 || joined[0].RequestID != "login-1" {
			t.Fatalf("%d users have joined", len(joined))
		}
		for _, caller := range callers {
			user := caller.User
			if user.ID.String() != joined[0].Subject || joined[0].Actor != caller.Actor() || user.DisplayName != "Ada" || caller.Institution() != of {
				t.Errorf("the caller is %+v", caller)
			}
		}
		other := servers[1].mustLogin(of, "2", "readers")
		if other.User.ID == callers[0].User.ID {
			t.Errorf("another one is %+v", other)
		}
		if again := servers[0].mustLogin(of, "2"); again.User.ID != other.User.ID || again.Rights.Permissions != 0 {
			t.Errorf("a user who has lost all groups is %+v", again)
		}
		for _, s := range servers {
			page := must(s.Users(t.Context(), of, escrow.UserFilter{}, escrow.PageRequest{Limit: 10}))
			if len(page.Items) != 2 {
				t.Errorf("the users are %+v", page.Items)
			}
		}
	})
}

func TestAUserMayWhatTheirGroupsMay(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		accept[escrow.Role](servers[0], root(of, valid(escrow.NewSetRole("clerk", escrow.RoleInput{Permissions: []string{"policies.set"}}, nil))))
		accept[escrow.IdentityProvider](servers[0], setProvider(of, func(in *escrow.ProviderInput) { in.RoleByGroup["clerks"] = "clerk" }))
		policy := valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))
		may := func(what string, s *server, want bool, groups ...string) {
			t.Helper()
			caller := s.mustLogin(of, "1", groups...)
			if caller.Rights.Permissions.Has(escrow.PermissionPoliciesSet) != want {
				t.Errorf("%s: the rights are %v", what, caller.Rights.Permissions.List())
			}
			_, err := s.Do(t.Context(), asCaller(caller, policy))
			if (err == nil) != want || err != nil && escrow.ErrorCode(err) != escrow.CodePermissionMissing {
				t.Errorf("%s: the command ends with %v", what, err)
			}
		}
		for i, s := range servers {
			may(fmt.Sprint("an admin on ", i), s, true, "readers", "admins")
			may(fmt.Sprint("a reader on ", i), s, false, "readers")
			may(fmt.Sprint("a clerk on ", i), s, true, "clerks")
			may(fmt.Sprint("in no group on ", i), s, false)
		}

		// What changes on one server holds on the other.
		accept[escrow.Role](servers[0], root(of, valid(escrow.NewSetRole("clerk", escrow.RoleInput{}, nil))))
		may("after the role has changed", servers[1], false, "clerks")
		accept[escrow.Role](servers[1], root(of, valid(escrow.NewSetRole("clerk", escrow.RoleInput{Permissions: []string{"policies.set"}}, nil))))
		may("after it has changed back", servers[0], true, "clerks")
		accept[escrow.IdentityProvider](servers[0], setProvider(of, func(in *escrow.ProviderInput) { delete(in.RoleByGroup, "admins") }))
		may("after the group has lost its role", servers[1], false, "admins")
	})
}

// From the moment that it is acknowledged, on every server.
func TestASuspendedUserIsOutAtOnceOnEveryServer(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		accept[escrow.IdentityProvider](servers[0], setProvider(of, nil))
		var callers [2]*engine.Caller
		for i, s := range servers {
			callers[i] = s.mustLogin(of, "1", "admins")
			accept[escrow.APIKey](s, asCaller(callers[i], newKey(i)))
		}
		ada := callers[0].User.ID
		for round, end := range []struct {
			command, undo escrow.Request
			code          escrow.Code
		}{
			{root(of, escrow.SuspendUser{User: ada}), root(of, escrow.RestoreUser{User: ada}), escrow.CodeInvalidToken},
			{root(of, escrow.RemoveIdentityProvider{}), setProvider(of, nil), escrow.CodeTokenIssuerUnknown},
			{setProvider(of, func(in *escrow.ProviderInput) { in.Issuer += "/2" }), setProvider(of, nil), escrow.CodeTokenIssuerUnknown},
		} {
			if _, err := servers[round%2].Do(t.Context(), end.command); err != nil {
				t.Fatal(err)
			}
			for i, s := range [2]*server{servers[1-round%2], servers[round%2]} {
				if caller, err := s.login(of, claimsOf(of, "1", "admins")); escrow.ErrorCode(err) != end.code {
					t.Errorf("%d: after %T server %d lets in %+v, %v", round, end.command.Command, i, caller, err)
				}
				refuse(s, asCaller(callers[i], newKey(10+i)), end.code)
			}
			if _, err := servers[round%2].Do(t.Context(), end.undo); err != nil {
				t.Fatal(err)
			}
			for i, s := range [2]*server{servers[1-round%2], servers[round%2]} {
				accept[escrow.APIKey](s, asCaller(s.mustLogin(of, "1", "admins"), newKey(100*(round+1)+i)))
			}
		}
	})
}

func newKey(i int) escrow.Command {
	return valid(escrow.NewCreateKey(escrow.KeyInput{Label: "k", Role: "read_only"}, escrow.HashSecret(fmt.Sprint(i))))
}

func TestATokenIsOfTheProviderThatThereIs(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of, other := servers[0].institution(), servers[0].institution()
		login := func(what string, provider escrow.IdentityProvider, claims engine.UserClaims, want escrow.Code) {
			t.Helper()
			for i, s := range servers {
				if caller, err := s.AuthenticateUser(t.Context(), provider, "r", claims); escrow.ErrorCode(err) != want {
					t.Errorf("%s, on server %d: %+v, %v", what, i, caller, err)
				}
			}
		}
		provider := accept[escrow.IdentityProvider](servers[0], setProvider(of, nil))
		elsewhere := provider
		elsewhere.InstitutionID = other
		login("of an institution without one", elsewhere, claimsOf(of, "1", "admins"), escrow.CodeTokenIssuerUnknown)
		login("of another issuer", provider, claimsOf(other, "1", "admins"), escrow.CodeTokenIssuerUnknown)
		login("without a subject", provider, claimsOf(of, "", "admins"), escrow.CodeInvalidToken)
		login("with a subject that no database takes", provider, claimsOf(of, "a\x00", "admins"), escrow.CodeInvalidToken)
		older := provider
		provider = accept[escrow.IdentityProvider](servers[1], setProvider(of, func(in *escrow.ProviderInput) { in.Audience = new("api") }))
		login("verified with what the provider was", older, claimsOf(of, "1", "admins"), escrow.CodeTokenIssuerUnknown)
		if entries := servers[0].journal(of, escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindUserJoined}}); len(entries) > 0 {
			t.Errorf("%d users have joined", len(entries))
		}
		if _, err := servers[0].AuthenticateUser(t.Context(), provider, "r", claimsOf(of, "1", "admins")); err != nil {
			t.Error(err)
		}
	})
}

func TestProvidersAreFoundByTheirIssuer(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		one, other := servers[0].institution(), servers[0].institution()
		issuer := issuerOf(one)
		find := func(what string, s *server, again bool, want ...escrow.InstitutionID) {
			t.Helper()
			var got []escrow.InstitutionID
			for _, provider := range must(s.ProvidersOf(t.Context(), issuer, again)) {
				got = append(got, provider.InstitutionID)
			}
			if diff := cmp.Diff(want, got, exactly()); diff != "" {
				t.Errorf("%s: institutions wanted (-) and found (+):\n%s", what, diff)
			}
		}
		for _, s := range servers {
			find("before", s, false)
		}
		accept[escrow.IdentityProvider](servers[0], setProvider(one, nil))
		for i, s := range servers {
			find(fmt.Sprint("the first on ", i), s, false, one)
		}
		accept[escrow.IdentityProvider](servers[0], setProvider(other, func(in *escrow.ProviderInput) { in.Issuer = issuer }))
		find("both on the server that did it", servers[0], false, one, other)
		find("both on the other, asked again", servers[1], true, one, other)
		accept[escrow.IdentityProvider](servers[1], root(one, escrow.RemoveIdentityProvider{}))
		find("one less on the server that did it", servers[1], false, other)
		find("one less on the other, asked again", servers[0], true, other)
	})
}

// Whoever the provider signs for can ask, and the journal must not grow by it.
func TestWhoIsInNoGroupWithARoleDoesNotJoin(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		accept[escrow.IdentityProvider](servers[0], setProvider(of, nil))
		before := len(servers[0].journal(of, escrow.EntryFilter{}))
		for _, s := range servers {
			for _, groups := range [][]string{nil, {"others", "Readers"}} {
				if caller, err := s.login(of, claimsOf(of, "1", groups...)); codeOf(err) != escrow.CodePermissionMissing || caller != nil {
					t.Errorf("who is in %q is %+v, %v", groups, caller, err)
				}
			}
		}
		if entries := servers[1].journal(of, escrow.EntryFilter{}); len(entries) != before {
			t.Errorf("the journal has %d entries, and had %d", len(entries), before)
		}
		servers[0].mustLogin(of, "1", "others", "readers")
		accept[escrow.IdentityProvider](servers[1], setProvider(of, func(in *escrow.ProviderInput) { delete(in.RoleByGroup, "readers") }))
		if caller := servers[0].mustLogin(of, "1", "readers"); caller.Rights.Permissions != 0 {
			t.Errorf("a user whose group has no role any more is %+v", caller)
		}
		if _, err := servers[0].login(of, claimsOf(of, "2", "readers")); codeOf(err) != escrow.CodePermissionMissing {
			t.Errorf("somebody new in that group is answered with %v", err)
		}
	})
}

func TestALaterTokenRenamesItsUser(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		accept[escrow.IdentityProvider](servers[0], setProvider(of, nil))
		login := func(s *server, name, email, wantName, wantEmail string) {
			t.Helper()
			claims := claimsOf(of, "1", "readers")
			claims.Name, claims.Email = name, email
			caller, err := s.login(of, claims)
			if err != nil || caller.User.DisplayName != wantName || caller.User.Email != wantEmail {
				t.Errorf("with %q, %q it is %+v, %v", name, email, caller.User, err)
			}
		}
		login(servers[0], "Ada", "", "Ada", "")
		login(servers[1], "Eve", "", "Ada", "") // Less than a minute later.
		servers[0].clock.advance(time.Minute + time.Millisecond)
		login(servers[1], "", "", "Ada", "")
		login(servers[1], "Ada L.", "a@example.com", "Ada L.", "a@example.com")
		login(servers[0], "", "", "Ada L.", "a@example.com")
		if entries := servers[0].journal(of, escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindUserUpdated}}); len(entries) != 1 {
			t.Errorf("there are %d updates", len(entries))
		}

		// Where nothing can be noted, people are who they were, and read.
		accept[escrow.Institution](servers[0], root(of, escrow.CloseInstitution{}))
		servers[0].clock.advance(time.Hour)
		login(servers[1], "Eve", "", "Ada L.", "a@example.com")
		if _, err := servers[0].login(of, claimsOf(of, "2", "readers")); escrow.ErrorCode(err) != escrow.CodeInstitutionClosed {
			t.Errorf("somebody new is answered with %v", err)
		}
	})
}
