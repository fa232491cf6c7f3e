package engine_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var clientAddress = netip.MustParseAddr("192.0.2.7")

func (s *server) open(caller *engine.Caller) (escrow.Session, string) {
	s.t.Helper()
	session, token, err := s.OpenSession(context.Background(), caller, clientAddress, "Mozilla\n/5.0")
	if err != nil {
		s.t.Fatal(err)
	}
	return session, token
}

// seen checks whether a token is accepted on both servers.
func seen(t *testing.T, servers [2]*server, what, token string, want bool) {
	t.Helper()
	for i, s := range servers {
		caller, err := s.SessionByToken(t.Context(), token)
		if want != (err == nil) || err != nil && escrow.ErrorCode(err) != escrow.CodeInvalidSession {
			t.Errorf("%s, on server %d: %+v, %v; want it accepted: %t", what, i, caller, err, want)
		}
	}
}

func (s *server) callerOfKey(of escrow.InstitutionID, expiresAt *time.Time) *engine.Caller {
	s.t.Helper()
	_, secret := s.key(of, escrow.RoleAdmin, expiresAt)
	return must(s.Authenticate(context.Background(), secret, false))
}

func TestASessionActsForItsKeyOrUser(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		accept[escrow.IdentityProvider](servers[0], setProvider(of, nil))
		for name, caller := range map[string]*engine.Caller{
			"a key": servers[0].callerOfKey(of, nil), "a user": servers[0].mustLogin(of, "1", "admins", "others"),
		} {
			session, token := servers[0].open(caller)
			now := servers[0].clock.now()
			if session.Client != "192.0.2.7" || session.Agent != "Mozilla/5.0" || session.EndsAt != now.Add(12*time.Hour) || session.Actor != caller.Actor() {
				t.Errorf("the session of %s is %+v", name, session)
			}
			for i, s := range servers {
				want := caller
				want.Session = &session
				got, err := s.SessionByToken(t.Context(), token)
				if diff := cmp.Diff(want, got, exactly()); diff != "" || err != nil {
					t.Errorf("%s on server %d: %v; the caller wanted (-) and got (+):\n%s", name, i, err, diff)
				}
				accept[escrow.APIKey](s, asCaller(got, newKey(i)))
				if _, _, err := s.OpenSession(t.Context(), got, clientAddress, ""); escrow.ErrorCode(err) != escrow.CodeForbidden {
					t.Errorf("with the session of %s another one begins: %v", name, err)
				}
			}
		}
		_, stranger := servers[0].key(of, escrow.RoleAdmin, nil)
		for what, token := range map[string]string{"nothing": "", "a key": stranger, "nobody's": escrow.NewSessionToken([32]byte{1})} {
			seen(t, servers, what, token, false)
		}
	})
}

func TestASessionEndsByTheClockOnEveryServer(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of, clock := servers[0].institution(), servers[0].clock
		soon := clock.now().Add(20 * time.Minute)
		_, idle := servers[0].open(servers[0].callerOfKey(of, nil))
		_, short := servers[0].open(servers[0].callerOfKey(of, &soon))
		_, used := servers[1].open(servers[1].callerOfKey(of, nil))
		seen(t, servers, "at once", idle, true)
		seen(t, servers, "of a key that ends soon", short, true)
		clock.advance(20 * time.Minute)
		seen(t, servers, "of a key that has ended", short, false)
		for range 35 { // For longer than any session lasts at one time.
			if _, err := servers[0].SessionByToken(t.Context(), used); err != nil {
				t.Fatalf("at %s: %v", clock.now(), err)
			}
			clock.advance(20 * time.Minute)
		}
		seen(t, servers, "not used", idle, false)
		clock.advance(-10 * time.Minute)
		if _, err := servers[0].SessionByToken(t.Context(), used); err != nil {
			t.Errorf("before its end: %v", err)
		}
		clock.advance(20 * time.Minute)
		seen(t, servers, "at its end", used, false)
	})
}

// From the moment that it is acknowledged, on every server, and for good.
func TestASessionEndsWithWhomItActsForOnEveryServer(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		accept[escrow.IdentityProvider](servers[0], setProvider(of, nil))
		for name, end := range map[string]func(escrow.KeyID) escrow.Command{
			"revoked": func(id escrow.KeyID) escrow.Command { return escrow.RevokeKey{Key: id} },
			"rotated": func(id escrow.KeyID) escrow.Command {
				return valid(escrow.NewRotateKey(id, escrow.RotationInput{OverlapSeconds: new(int64(3600))}, escrow.HashSecret("new")))
			},
		} {
			caller := servers[1].callerOfKey(of, nil)
			_, token := servers[1].open(caller)
			seen(t, servers, "before its key is "+name, token, true)
			accept[escrow.APIKey](servers[0], root(of, end(caller.Key.ID)))
			servers[0].clock.advance(time.Millisecond)
			seen(t, servers, "of a key that is "+name, token, false)
		}

		for name, end := range map[string]struct {
			command, undo func(escrow.UserID) escrow.Request
		}{
			"suspended": {
				func(id escrow.UserID) escrow.Request { return root(of, escrow.SuspendUser{User: id}) },
				func(id escrow.UserID) escrow.Request { return root(of, escrow.RestoreUser{User: id}) },
			},
			"removed": {
				func(escrow.UserID) escrow.Request { return root(of, escrow.RemoveIdentityProvider{}) },
				func(escrow.UserID) escrow.Request { return setProvider(of, nil) },
			},
			"moved": {
				func(escrow.UserID) escrow.Request {
					return setProvider(of, func(in *escrow.ProviderInput) { in.Issuer += "/2" })
				},
				func(escrow.UserID) escrow.Request { return setProvider(of, nil) },
			},
		} {
			caller := servers[1].mustLogin(of, "1", "admins")
			session, token := servers[1].open(caller)
			seen(t, servers, "before it is "+name, token, true)
			before := must(servers[0].SessionByToken(t.Context(), token))
			if _, err := servers[0].Do(t.Context(), end.command(caller.User.ID)); err != nil {
				t.Fatal(err)
			}
			seen(t, servers, name, token, false)
			if _, err := servers[1].Do(t.Context(), asCaller(before, newKey(1))); err == nil {
				t.Errorf("%s: a command of the session is carried out", name)
			}
			if _, err := servers[1].Do(t.Context(), end.undo(caller.User.ID)); err != nil {
				t.Fatal(err)
			}
			seen(t, servers, "not "+name+" any more", token, false)
			listed := must(servers[0].Sessions(t.Context(), of, new(session.Actor), escrow.PageRequest{Limit: 10}))
			if len(listed.Items) > 0 {
				t.Errorf("%s: the sessions are %+v", name, listed.Items)
			}
			_, fresh := servers[1].open(servers[1].mustLogin(of, "1", "admins"))
			seen(t, servers, "a new one", fresh, true)
			must(0, servers[0].EndSession(t.Context(), of, must(servers[0].SessionByToken(t.Context(), fresh)).Session.ID))
		}
	})
}

func TestASessionIsListedAndEnded(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of, other := servers[0].institution(), servers[0].institution()
		accept[escrow.IdentityProvider](servers[0], setProvider(of, nil))
		key, user := servers[0].callerOfKey(of, nil), servers[0].mustLogin(of, "1", "admins")
		var sessions []escrow.Session
		var tokens []string
		for _, caller := range []*engine.Caller{user, key, user, user} {
			session, token := servers[0].open(caller)
			sessions, tokens = append(sessions, session), append(tokens, token)
			servers[0].clock.advance(time.Second)
		}
		list := func(what string, s *server, actor *escrow.Actor, want ...escrow.Session) {
			t.Helper()
			got := wholeList(s, func(session escrow.Session) escrow.Cursor { return escrow.IDCursor(session.ID) },
				func(page escrow.PageRequest) (escrow.Page[escrow.Session], error) {
					return s.Sessions(t.Context(), of, actor, page)
				})
			if diff := cmp.Diff(want, got, exactly()); diff != "" {
				t.Errorf("%s: sessions wanted (-) and listed (+):\n%s", what, diff)
			}
		}
		for _, s := range servers {
			list("all", s, nil, sessions...)
			list("of the user", s, new(user.Actor()), sessions[0], sessions[2], sessions[3])
			list("of the key", s, new(key.Actor()), sessions[1])
		}

		if err := servers[0].EndSession(t.Context(), other, sessions[0].ID); escrow.ErrorCode(err) != escrow.CodeSessionNotFound {
			t.Errorf("to end that of another institution: %v", err)
		}
		got, err := servers[1].Session(t.Context(), of, sessions[0].ID)
		if diff := cmp.Diff(sessions[0], got, exactly()); diff != "" || err != nil {
			t.Errorf("%v; the session wanted (-) and got (+):\n%s", err, diff)
		}
		if err := servers[1].EndSession(t.Context(), of, sessions[0].ID); err != nil {
			t.Error(err)
		}
		seen(t, servers, "ended", tokens[0], false)
		seen(t, servers, "another one", tokens[2], true)
		if err := servers[0].EndSession(t.Context(), of, sessions[0].ID); escrow.ErrorCode(err) != escrow.CodeSessionNotFound {
			t.Errorf("to end it again: %v", err)
		}
		list("without the one that was ended", servers[0], nil, sessions[1:]...)
		servers[0].clock.advance(escrow.SessionIdleTime)
		list("idle ones", servers[1], nil)

		old := servers[0].callerOfKey(of, nil)
		rotated := accept[escrow.APIKey](servers[0], root(of, valid(escrow.NewRotateKey(old.Key.ID, escrow.RotationInput{OverlapSeconds: new(int64(60))}, escrow.HashSecret("next")))))
		old.Key.RotatedTo = rotated.ID
		if _, _, err := servers[0].OpenSession(t.Context(), old, clientAddress, ""); escrow.ErrorCode(err) != escrow.CodeKeyRotated {
			t.Errorf("a key that was rotated begins a session: %v", err)
		}
	})
}

// What one server has seen is written when it ends at the latest, and then holds for the others.
func TestWhenASessionWasSeenOutlivesTheServer(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		clock := newClock()
		first := d.start(t, clock)
		of := first.institution()
		session, token := first.open(first.callerOfKey(of, nil))
		clock.advance(29 * time.Minute)
		if _, err := first.SessionByToken(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if err := first.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := first.closeStore(); err != nil {
			t.Fatal(err)
		}
		clock.advance(29 * time.Minute)
		next := d.start(t, clock)
		got, err := next.SessionByToken(t.Context(), token)
		if err != nil || got.Session.LastSeenAt != clock.now() || got.Session.ID != session.ID {
			t.Errorf("on the next server it is %+v, %v", got.Session, err)
		}
	})
}
