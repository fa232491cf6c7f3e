package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// coming is how somebody comes to a server, each time anew and with the same credential.
type coming func(*server) (*engine.Caller, error)

// loser is somebody who may erase and set policies, until they lose it on the first server.
type loser struct {
	servers [2]*server
	of      escrow.InstitutionID
	come    coming
	// key is the one that comes, or that the session acts for; groups are those of the next token.
	key     escrow.APIKey
	groups  []string
	session *escrow.Session
}

func newLoser(servers [2]*server) *loser {
	l := &loser{servers: servers, of: servers[0].institution()}
	l.setClerk("positions.erase", "policies.set")
	l.setProvider("compliance")
	return l
}

func (l *loser) setClerk(permissions ...string) { l.servers[0].setRole(l.of, clerk, permissions...) }

// setProvider has the group of checkers have a role; clerks have that of their name.
func (l *loser) setProvider(checkers string) {
	accept[escrow.IdentityProvider](l.servers[0], setProvider(l.of, func(in *escrow.ProviderInput) {
		in.RoleByGroup = map[string]string{"checkers": checkers, "clerks": "clerk"}
	}))
}

func (l *loser) byKey(in escrow.KeyInput) {
	var secret string
	in.Label = "k"
	l.key, secret = l.servers[0].keyWith(l.of, in)
	l.come = func(s *server) (*engine.Caller, error) { return s.Authenticate(context.Background(), secret, false) }
}

// byToken comes as the API does it: with the providers that the server remembers, and if none of them will
// do with those that there are.
func (l *loser) byToken(group string) {
	l.groups = []string{group}
	l.come = func(s *server) (caller *engine.Caller, err error) {
		claims := claimsOf(l.of, "1", l.groups...)
		for _, again := range []bool{false, true} {
			err = escrow.UnknownIssuer()
			for _, provider := range must(s.ProvidersOf(context.Background(), claims.Issuer, again)) {
				caller, err = s.AuthenticateUser(context.Background(), provider, "r", claims)
			}
			if err == nil {
				return caller, nil
			}
		}
		return caller, err
	}
}

// bySession has them come with a session that they begin.
func (l *loser) bySession() {
	session, token := l.servers[0].open(must(l.come(l.servers[0])))
	l.session = &session
	l.come = func(s *server) (*engine.Caller, error) { return s.SessionByToken(context.Background(), token) }
}

// The ways in which they come.
var comings = map[string]func(*loser){
	"a key with a role":              func(l *loser) { l.byKey(escrow.KeyInput{Role: "compliance"}) },
	"a key with a role of its own":   func(l *loser) { l.byKey(escrow.KeyInput{Role: "clerk"}) },
	"a key with permissions":         func(l *loser) { l.byKey(escrow.KeyInput{Permissions: &[]string{"positions.erase", "policies.set"}}) },
	"a user with a role":             func(l *loser) { l.byToken("checkers") },
	"a user with a role of its own":  func(l *loser) { l.byToken("clerks") },
	"a key's session":                func(l *loser) { l.byKey(escrow.KeyInput{Role: "compliance"}); l.bySession() },
	"a session of a clerk's key":     func(l *loser) { l.byKey(escrow.KeyInput{Role: "clerk"}); l.bySession() },
	"a user's session":               func(l *loser) { l.byToken("checkers"); l.bySession() },
	"a session of a user as a clerk": func(l *loser) { l.byToken("clerks"); l.bySession() },
}

// losses are what somebody can lose, by whom it concerns.
var losses = []struct {
	what string
	of   []string
	lose func(*testing.T, *loser)
	// code is of the refusal of what has begun before the loss; empty where that goes on.
	code escrow.Code
}{
	{"the key is revoked", ofKeys, func(_ *testing.T, l *loser) {
		accept[escrow.APIKey](l.servers[0], root(l.of, escrow.RevokeKey{Key: l.key.ID}))
		l.servers[0].clock.advance(time.Millisecond)
	}, escrow.CodeInvalidKey},
	{"the key is rotated", ofKeys, func(_ *testing.T, l *loser) {
		accept[escrow.APIKey](l.servers[0], root(l.of, valid(escrow.NewRotateKey(l.key.ID, escrow.RotationInput{}, escrow.HashSecret(l.key.ID.String())))))
		l.servers[0].clock.advance(time.Millisecond)
	}, escrow.CodeInvalidKey},
	{"the role loses the permissions", ofClerks, func(_ *testing.T, l *loser) { l.setClerk("positions.read") }, escrow.CodePermissionMissing},
	{"the role has nothing any more", ofClerks, func(_ *testing.T, l *loser) { l.setClerk() }, escrow.CodePermissionMissing},
	{"the user is suspended", ofUsers, func(_ *testing.T, l *loser) {
		accept[escrow.User](l.servers[0], root(l.of, escrow.SuspendUser{User: must(l.come(l.servers[0])).User.ID}))
	}, escrow.CodeInvalidToken},
	{"the provider is removed", ofUsers, func(t *testing.T, l *loser) {
		t.Helper()
		must(l.servers[0].Do(t.Context(), root(l.of, escrow.RemoveIdentityProvider{})))
	}, escrow.CodeTokenIssuerUnknown},
	{"the provider is another", ofUsers, func(_ *testing.T, l *loser) {
		accept[escrow.IdentityProvider](l.servers[0], setProvider(l.of, func(in *escrow.ProviderInput) { in.Issuer += "/2" }))
	}, escrow.CodeTokenIssuerUnknown},
	{"the group has another role", ofCheckers, func(_ *testing.T, l *loser) { l.setProvider("auditor") }, escrow.CodePermissionMissing},
	{"the group has no role", ofUsers, func(_ *testing.T, l *loser) {
		accept[escrow.IdentityProvider](l.servers[0], setProvider(l.of, nil))
	}, escrow.CodePermissionMissing},
	{"the session is ended", ofSessions, func(t *testing.T, l *loser) {
		t.Helper()
		must(0, l.servers[0].EndSession(t.Context(), l.of, l.session.ID))
	}, ""},
}

var (
	ofKeys     = []string{"a key with a role", "a key with a role of its own", "a key with permissions", "a key's session", "a session of a clerk's key"}
	ofClerks   = []string{"a key with a role of its own", "a user with a role of its own", "a session of a clerk's key", "a session of a user as a clerk"}
	ofCheckers = []string{"a user with a role", "a user's session"}
	ofUsers    = append([]string{"a user with a role of its own", "a session of a user as a clerk"}, ofCheckers...)
	ofSessions = []string{"a key's session", "a session of a clerk's key", "a user's session", "a session of a user as a clerk"}
)

// From the moment that a loss is acknowledged, on every server: nobody who comes reads or writes by what
// is lost, and nothing that had begun before it is answered or carried out.
func TestWhatSomebodyMayIsWhatTheyMayNow(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		for _, loss := range losses {
			for _, who := range loss.of {
				l := newLoser(servers)
				comings[who](l)
				before := must(l.come(servers[0]))
				for range 6 { // The first few find out that nobody else writes.
					for _, s := range servers {
						l.may(t, who, s, must(l.come(s)), true, "")
					}
				}
				loss.lose(t, l)

				entries := len(servers[1].journal(l.of, escrow.EntryFilter{}))
				for i, s := range [2]*server{servers[1], servers[0]} {
					what := loss.what + ", " + who + " on server " + []string{"1", "0"}[i]
					l.comes(t, what, s, loss.code)
					l.may(t, what, s, before, loss.code == "", loss.code)
				}
				if after := len(servers[1].journal(l.of, escrow.EntryFilter{})); loss.code != "" && after != entries {
					t.Errorf("%s, %s: %d entries were added", loss.what, who, after-entries)
				}
			}
		}
	})
}

// comes checks what becomes of somebody who comes once more. Who has lost permissions alone is let in
// without them.
func (l *loser) comes(t *testing.T, what string, s *server, code escrow.Code) {
	t.Helper()
	want := code
	switch {
	case code == escrow.CodePermissionMissing:
		want = ""
	case l.session != nil:
		want = escrow.CodeInvalidSession
	}
	caller, err := l.come(s)
	if codeOf(err) != want {
		t.Errorf("%s: who comes is answered with %v, want %q", what, err, want)
	}
	if err != nil {
		return
	}
	if caller.Rights.Permissions.Has(escrow.PermissionPositionsErase) || caller.Rights.Permissions.Has(escrow.PermissionPoliciesSet) {
		t.Errorf("%s: who comes may %v", what, caller.Rights.Permissions.List())
	}
	l.may(t, what+", who comes anew", s, caller, false, code)
}

// may checks what a caller can do on a server: have something answered before a command, anew and once
// more, and have a command carried out.
func (l *loser) may(t *testing.T, what string, s *server, caller *engine.Caller, want bool, code escrow.Code) {
	t.Helper()
	request := func(command escrow.Command) escrow.Request {
		r := asCaller(caller, command)
		r.OwnRole = caller.Key.HasOwnRole()
		return r
	}
	erase := func(r escrow.Request, dryRun bool) error {
		_, err := s.EraseHolder(t.Context(), engine.HolderErasure{Request: r, HolderReference: "h", DryRun: dryRun})
		return err
	}
	_, command := s.Do(t.Context(), request(valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))))
	for how, err := range map[string]error{
		"what an erasure would do":   erase(request(nil), true),
		"an erasure":                 erase(request(nil), false),
		"what an erasure had become": erase(under("once", "erasure", request(nil)), false),
		"a command":                  command,
	} {
		if want && err != nil || !want && codeOf(err) != code {
			t.Errorf("%s: %s is answered with %v, want %q", what, how, err, code)
		}
	}
}
