package engine_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// modelSession is a session as a small model has it.
type modelSession struct {
	token string
	user  string // empty for the key's
	// suspensions and provider are the counts at its beginning.
	suspensions, provider int
	ended                 bool
}

// people is a small model of the people of an institution.
type people struct {
	of      escrow.InstitutionID
	servers [2]*server
	// set says that there is a provider, whose groups have the role; providers counts how often
	// one was set anew or removed.
	set       bool
	role      string
	providers int

	suspended   map[string]bool
	suspensions map[string]int
	ids         map[string]escrow.UserID
	sessions    []*modelSession
	// number makes each key another one.
	number int
}

func (p *people) isValid(s *modelSession) bool {
	if s.user == "" {
		return !s.ended
	}
	return !s.ended && p.set && s.provider == p.providers && !p.suspended[s.user] && s.suspensions == p.suspensions[s.user]
}

// loginCode is what a login of a user ends with.
func (p *people) loginCode(user string) escrow.Code {
	switch {
	case !p.set:
		return escrow.CodeTokenIssuerUnknown
	case p.suspended[user]:
		return escrow.CodeInvalidToken
	}
	return ""
}

func (p *people) login(t *rapid.T, s *server, user string) (caller *engine.Caller, ok bool) {
	caller, err := s.login(p.of, claimsOf(p.of, user, "group"))
	if code := codeOf(err); code != p.loginCode(user) {
		t.Fatalf("the login of %s ends with %v, want %q", user, err, p.loginCode(user))
	}
	if err != nil {
		return caller, false
	}
	if known, ok := p.ids[user]; ok && known != caller.User.ID {
		t.Fatalf("%s is %s, and was %s", user, caller.User.ID, known)
	}
	p.ids[user] = caller.User.ID
	if may := caller.Rights.Permissions.Has(escrow.PermissionKeysManage); may != (p.role == "admin") {
		t.Fatalf("with the role %q the rights are %v", p.role, caller.Rights.Permissions.List())
	}
	return caller, true
}

// command has a caller make a key, who may do that or not.
func (p *people) command(t *rapid.T, s *server, caller *engine.Caller, want escrow.Code) {
	p.number++
	_, err := s.Do(t.Context(), asCaller(caller, newKey(p.number)))
	if code := codeOf(err); code != want {
		t.Fatalf("a command of %s ends with %v, want %q", caller.Actor(), err, want)
	}
}

// Whatever is done on one server, the other one knows at once who may come in, and who may do what.
func TestRandomPeopleOnTwoServers(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t)
		rapid.Check(t, func(t *rapid.T) {
			p := &people{
				of: servers[0].institution(), servers: servers, suspended: map[string]bool{}, suspensions: map[string]int{},
				ids: map[string]escrow.UserID{},
			}
			key := servers[0].callerOfKey(p.of, nil)
			for range rapid.IntRange(5, 25).Draw(t, "steps") {
				servers[0].clock.advance(time.Millisecond)
				p.step(t, key)
			}
			for _, s := range servers {
				for _, session := range p.sessions {
					p.check(t, s, session)
				}
			}
		})
	})
}

func (p *people) check(t *rapid.T, s *server, session *modelSession) (caller *engine.Caller, ok bool) {
	caller, err := s.SessionByToken(t.Context(), session.token)
	want := escrow.Code("")
	if !p.isValid(session) {
		want = escrow.CodeInvalidSession
	}
	if codeOf(err) != want {
		t.Fatalf("the session %+v of %+v is answered with %v, want %q", session, p, err, want)
	}
	return caller, err == nil
}

func (p *people) step(t *rapid.T, key *engine.Caller) {
	s := p.servers[rapid.IntRange(0, 1).Draw(t, "server")]
	user := rapid.SampledFrom([]string{"1", "2"}).Draw(t, "user")
	do := func(request escrow.Request) {
		if _, err := s.Do(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	mayMakeKeys := func() escrow.Code {
		if p.role == "admin" {
			return ""
		}
		return escrow.CodePermissionMissing
	}
	var session *modelSession
	if len(p.sessions) > 0 {
		session = rapid.SampledFrom(p.sessions).Draw(t, "session")
	}

	switch step := rapid.SampledFrom([]string{
		"set", "remove", "suspend", "restore", "login", "open", "open", "open for the key", "use", "use", "use", "end",
	}).Draw(t, "step"); {
	case step == "set":
		p.role = rapid.SampledFrom([]string{"admin", "auditor"}).Draw(t, "role")
		if !p.set {
			p.set = true
			p.providers++
		}
		do(setProvider(p.of, func(in *escrow.ProviderInput) { in.RoleByGroup = map[string]string{"group": p.role} }))
	case step == "remove" && p.set:
		p.set = false
		do(root(p.of, escrow.RemoveIdentityProvider{}))
	case step == "suspend" && !p.ids[user].IsZero():
		if !p.suspended[user] {
			p.suspended[user] = true
			p.suspensions[user]++
		}
		do(root(p.of, escrow.SuspendUser{User: p.ids[user]}))
	case step == "restore" && !p.ids[user].IsZero():
		p.suspended[user] = false
		do(root(p.of, escrow.RestoreUser{User: p.ids[user]}))
	case step == "login":
		if caller, ok := p.login(t, s, user); ok {
			p.command(t, s, caller, mayMakeKeys())
		}
	case step == "open":
		if caller, ok := p.login(t, s, user); ok {
			_, token := s.open(caller)
			p.sessions = append(p.sessions, &modelSession{token: token, user: user, suspensions: p.suspensions[user], provider: p.providers})
		}
	case step == "open for the key":
		_, token := s.open(key)
		p.sessions = append(p.sessions, &modelSession{token: token})
	case session == nil:
	case step == "use":
		caller, ok := p.check(t, s, session)
		if ok && session.user == "" {
			p.command(t, s, caller, "")
		} else if ok {
			p.command(t, s, caller, mayMakeKeys())
		}
	case step == "end" && !session.ended:
		if caller, ok := p.check(t, s, session); ok {
			session.ended = true
			if err := s.EndSession(t.Context(), p.of, caller.Session.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}
