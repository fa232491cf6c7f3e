package storetest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// checkPeople compares what is read of users, identity providers and secrets with what was written.
func (f *fixture) checkPeople(of escrow.InstitutionID, s samples, books *escrow.Books) {
	f.t.Helper()
	ctx := f.t.Context()
	users, err := f.Users(ctx, of, escrow.UserFilter{IncludeSuspended: true}, everything())
	f.compare("list of users", s.users, users.Items, true, err)
	for _, want := range s.users {
		got, ok, err := found(f.User(ctx, of, want.ID))
		f.compare("user", want, got, ok, err)
		got, ok, err = f.UserByIdentity(ctx, of, want.Identity)
		f.compare("user by who they are", want, got, ok, err)
		got, ok = books.Users.Get(want.ID)
		f.compare("user in the books", want, got, ok, nil)
	}

	for _, want := range s.providers {
		got, ok := books.Providers.Get(of)
		f.compare("identity provider in the books", want, got, ok, nil)
		if want.IsSet() {
			got, ok, err = found(f.IdentityProvider(ctx, of))
			f.compare("identity provider", want, got, ok, err)
		} else if _, err := f.IdentityProvider(ctx, of); escrow.ErrorCode(err) != escrow.CodeProviderNotFound {
			f.t.Errorf("an identity provider that was removed is answered with %v", err)
		}
	}

	for _, want := range s.secrets {
		got, ok := books.Secrets.Get(want.SecretName)
		f.compare("secret in the books", want, got, ok, nil)
		got, ok, err = f.Secret(ctx, of, want.SecretName)
		if want.Sealed == nil {
			if ok || err != nil {
				f.t.Errorf("a secret that was taken away is found: %t, %v", ok, err)
			}
			continue
		}
		f.compare("secret", want, got, ok, err)
	}
}

// people has somebody join, who is renamed, suspended and restored, and takes the identity provider away.
func (f *fixture) people(of escrow.InstitutionID) {
	f.t.Helper()
	membership := escrow.Membership{Issuer: "https://id.example", Groups: []string{"g"}}
	f.do(of, valid(escrow.NewSetIdentityProvider(escrow.ProviderInput{
		Issuer: membership.Issuer, ClientID: "c", RoleByGroup: map[string]string{"g": "auditor"},
	}, nil)))
	person := escrow.PersonInput{Issuer: membership.Issuer, Subject: "1", Name: "Ada"}
	join := request(of, valid(escrow.NewJoinUser(person)))
	join.Actor, join.Membership = escrow.ActorUser(escrow.UserID{}), membership
	f.write(of, join.Needs(), func(b *escrow.Books) { f.executeRequest(b, join) })
	user, found, err := f.UserByIdentity(f.t.Context(), of, escrow.Identity{Issuer: membership.Issuer, Subject: "1"})
	if err != nil || !found {
		f.t.Fatalf("who has joined is found: %t, %v", found, err)
	}

	update := request(of, escrow.NewUpdateUser(escrow.PersonInput{Name: "Ada Lovelace"}))
	update.Actor, update.Membership = escrow.ActorUser(user.ID), membership
	f.write(of, update.Needs(), func(b *escrow.Books) { f.executeRequest(b, update) })
	f.do(of, escrow.SuspendUser{User: user.ID}, escrow.RestoreUser{User: user.ID}, escrow.RemoveIdentityProvider{})
}

// Two rows of a person would be two users. What was erased of several is not alike.
func testOnePerson(f *fixture) {
	of, other := f.institution(), f.institution()
	user := func(of escrow.InstitutionID, issuer, subject string) escrow.User {
		return escrow.User{
			ID: f.uuid(), InstitutionID: of, Identity: escrow.Identity{Issuer: issuer, Subject: subject},
			JoinedAt: f.moment(), UpdatedAt: f.now, Version: 1,
		}
	}
	put := func(of escrow.InstitutionID, users ...escrow.User) {
		f.write(of, escrow.Needs{}, func(b *escrow.Books) {
			for _, u := range users {
				b.Users.Put(u.ID, u)
			}
		})
	}
	one := user(of, "https://id.example", "1")
	put(of, one, user(of, "https://id.example", "2"), user(of, "https://id.example/2", "1"), user(of, "https://id.example", ""), user(of, "https://id.example", ""))
	put(other, user(other, "https://id.example", "1"))

	tx := f.beginLocked(needs{of: {}})
	twin := user(of, one.Issuer, one.Subject)
	tx.Books(of).Users.Put(twin.ID, twin)
	if err := tx.Commit(f.t.Context()); err == nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrOutcomeUnknown) {
		f.t.Errorf("the same person again ends with %v, want an error of its own", err)
	}
	got, ok, err := f.UserByIdentity(f.t.Context(), of, one.Identity)
	f.compare("the first of them", one, got, ok, err)
	if got, ok, err := f.UserByIdentity(f.t.Context(), of, escrow.Identity{Issuer: one.Issuer}); ok || err != nil {
		f.t.Errorf("somebody is found by what was erased: %+v, %v", got, err)
	}
}

func testProvidersOf(f *fixture) {
	issuer := "https://shared.example"
	var want []escrow.IdentityProvider
	for i := range 5 {
		of := f.institution()
		p := escrow.IdentityProvider{
			InstitutionID: of, Issuer: issuer, ClientID: fmt.Sprint(i), Version: 1, CreatedAt: f.moment(), UpdatedAt: f.now,
		}
		switch i {
		case 1:
			p.RemovedAt = &f.now
		case 3:
			p.Issuer += "/other"
		default:
			want = append(want, p)
		}
		f.write(of, escrow.Needs{}, func(b *escrow.Books) { b.Providers.Put(of, p) })
	}
	slices.SortFunc(want, func(a, b escrow.IdentityProvider) int { return a.InstitutionID.Compare(b.InstitutionID) })
	got, err := f.ProvidersOf(f.t.Context(), issuer)
	f.compare("those that use it", want, got, true, err)
	none, err := f.ProvidersOf(f.t.Context(), "https://nobody.example")
	f.compare("those of an issuer that nobody uses", []escrow.IdentityProvider{}, none, true, err)
}

func testSecretsAnew(f *fixture) {
	ctx := f.t.Context()
	var want []store.OwnedSecret
	for i := range 3 {
		of := f.institution()
		f.write(of, escrow.Needs{}, func(b *escrow.Books) {
			for j, subject := range []string{"a", "b", "c"} {
				s := escrow.SealedSecret{SecretName: escrow.SecretName{Kind: "k", Subject: subject}, Sealed: []byte{byte(i), byte(j)}, SealedUnder: "old"}
				switch j {
				case 1:
					s.Sealed, s.SealedUnder = nil, ""
				case 2:
					s.SealedUnder = "older"
				default:
					want = append(want, store.OwnedSecret{InstitutionID: of, SealedSecret: s})
				}
				b.Secrets.Put(s.SecretName, s)
			}
		})
	}
	slices.SortFunc(want, func(a, b store.OwnedSecret) int { return a.InstitutionID.Compare(b.InstitutionID) })
	keys, err := f.SecretKeys(ctx)
	f.compare("keys", []string{"old", "older"}, keys, true, err)
	first, err := f.SecretsUnder(ctx, "old", store.OwnedSecret{}, 2)
	f.compare("the first under a key", want[:2], first, true, err)
	rest, err := f.SecretsUnder(ctx, "old", want[1], 2)
	f.compare("the rest", want[2:], rest, true, err)

	changed, err := f.SealAnew(ctx, want[0], []byte("new"), "new")
	f.compare("the secret was still the same", true, changed, true, err)
	changed, err = f.SealAnew(ctx, want[0], []byte("newer"), "newer")
	f.compare("the secret has changed meanwhile", false, changed, true, err)
	got, ok, err := f.Secret(ctx, want[0].InstitutionID, want[0].SecretName)
	f.compare("the secret", escrow.SealedSecret{SecretName: want[0].SecretName, Sealed: []byte("new"), SealedUnder: "new"}, got, ok, err)
	other, ok, err := f.Secret(ctx, want[1].InstitutionID, want[1].SecretName)
	f.compare("that of another institution", want[1].SealedSecret, other, ok, err)
	keys, err = f.SecretKeys(ctx)
	f.compare("keys afterwards", []string{"new", "old", "older"}, keys, true, err)
}

// session makes one that lasts for an hour.
func (f *fixture) session(of escrow.InstitutionID, actor escrow.Actor) escrow.Session {
	f.moment()
	s := escrow.Session{
		ID: f.uuid(), InstitutionID: of, Actor: actor, CreatedAt: f.now, LastSeenAt: f.now,
		EndsAt: f.now.Add(time.Hour), Client: "2001:db8::1", Agent: "«agent»",
	}
	s.Hash = escrow.HashSecret(s.ID.String())
	if actor.IsUser() {
		s.Groups, s.Suspensions, s.VouchedSince = []string{"a,b", "銀行"}, 3, new(f.now.Add(-time.Hour))
	}
	if actor.IsOperators() {
		s.Groups, s.VouchedBy = []string{"platform"}, slices.Repeat([]byte{7}, 32)
	}
	return s
}

func testSessions(f *fixture) {
	ctx := f.t.Context()
	of, other := f.institution(), f.institution()
	key, user := escrow.ActorKey(escrow.KeyID(f.uuid())), escrow.ActorUser(escrow.UserID(f.uuid()))
	all := []escrow.Session{f.session(of, key), f.session(of, user), f.session(of, user), f.session(other, key), f.session(of, escrow.ActorKey(escrow.KeyID(user.User)))}
	for _, s := range all {
		if err := f.AddSession(ctx, s); err != nil {
			f.t.Fatal(err)
		}
	}
	for _, want := range all {
		got, err := f.SessionByHash(ctx, want.Hash)
		f.compare("session of a token", want, got, true, err)
		got, err = f.Session(ctx, want.InstitutionID, want.ID)
		f.compare("session", want, got, true, err)
	}
	if _, err := f.SessionByHash(ctx, escrow.HashSecret("nobody's")); escrow.ErrorCode(err) != escrow.CodeInvalidSession {
		f.t.Errorf("a token of no session is answered with %v", err)
	}
	if _, err := f.Session(ctx, other, all[0].ID); escrow.ErrorCode(err) != escrow.CodeSessionNotFound {
		f.t.Errorf("the session of another institution is answered with %v", err)
	}

	all[1].LastSeenAt = f.now.Add(20 * time.Minute)
	if err := f.NoteSessions(ctx, []escrow.Session{all[1]}); err != nil {
		f.t.Fatal(err)
	}
	list := func(what string, actor *escrow.Actor, want ...escrow.Session) {
		f.t.Helper()
		for limit := 1; limit < 6; limit++ {
			got := walk(f.t, what, limit, false, func(s escrow.Session) escrow.Cursor { return escrow.IDCursor(s.ID) },
				func(page escrow.PageRequest) (escrow.Page[escrow.Session], error) {
					return f.Sessions(ctx, of, actor, page)
				})
			equal(f.t, what, want, got)
		}
	}
	list("all", nil, all[0], all[1], all[2], all[4])
	list("of the key", &key, all[0])
	list("of the user", &user, all[1], all[2])

	ended, err := f.EndSession(ctx, other, all[0].ID)
	f.compare("to end one of another institution", false, ended, true, err)
	ended, err = f.EndSession(ctx, of, all[0].ID)
	f.compare("to end one", true, ended, true, err)
	ended, err = f.EndSession(ctx, of, all[0].ID)
	f.compare("to end it again", false, ended, true, err)
	if err := f.NoteSessions(ctx, []escrow.Session{all[0]}); err != nil {
		f.t.Fatal(err)
	}
	list("without the one that was ended", nil, all[1], all[2], all[4])
	if _, err := f.SessionByHash(ctx, all[0].Hash); escrow.ErrorCode(err) != escrow.CodeInvalidSession {
		f.t.Errorf("the token of a session that was ended is answered with %v", err)
	}
}

// The operator's sessions are of no institution, and all of them can be listed together.
func testSessionsOfTheOperator(f *fixture) {
	ctx := f.t.Context()
	of, nobody := f.institution(), escrow.InstitutionID{}
	person, other := escrow.ActorOperator(escrow.OperatorID(f.uuid())), escrow.ActorOperator(escrow.OperatorID(f.uuid()))
	all := []escrow.Session{
		f.session(nobody, person), f.session(nobody, escrow.ActorRoot()), f.session(nobody, other), f.session(nobody, person),
		f.session(of, escrow.ActorKey(escrow.KeyID(person.Operator))),
	}
	for _, s := range all {
		if err := f.AddSession(ctx, s); err != nil {
			f.t.Fatal(err)
		}
		got, err := f.SessionByHash(ctx, s.Hash)
		f.compare("session of a token", s, got, true, err)
		got, err = f.Session(ctx, s.InstitutionID, s.ID)
		f.compare("session", s, got, true, err)
	}
	for actor, want := range map[*escrow.Actor][]escrow.Session{
		nil: all[:4], &person: {all[0], all[3]}, &other: {all[2]}, new(escrow.ActorRoot()): {all[1]},
	} {
		got, err := f.Sessions(ctx, nobody, actor, everything())
		f.compare(fmt.Sprint("sessions of the operator, of ", actor), want, got.Items, true, err)
	}

	ended, err := f.EndSession(ctx, of, all[0].ID)
	f.compare("to end one as if it was an institution's", false, ended, true, err)
	ended, err = f.EndSession(ctx, nobody, all[0].ID)
	f.compare("to end one", true, ended, true, err)
	for range escrow.MaxSessions + 1 {
		if err := f.AddSession(ctx, f.session(nobody, escrow.ActorRoot())); err != nil {
			f.t.Fatal(err)
		}
	}
	got, err := f.Sessions(ctx, nobody, new(escrow.ActorRoot()), everything())
	f.compare("the newest of the root key", escrow.MaxSessions, len(got.Items), true, err)
	got, err = f.Sessions(ctx, nobody, &person, everything())
	f.compare("those of a person", all[3:4], got.Items, true, err)
}

func testTooManySessions(f *fixture) {
	ctx := f.t.Context()
	of, other := f.institution(), f.institution()
	user := escrow.ActorUser(escrow.UserID(f.uuid()))
	others := []escrow.Session{f.session(other, user), f.session(of, escrow.ActorKey(escrow.KeyID(user.User)))}
	sessions := slices.Clone(others)
	for range escrow.MaxSessions + 2 {
		sessions = append(sessions, f.session(of, user))
	}
	for _, s := range sessions {
		if err := f.AddSession(ctx, s); err != nil {
			f.t.Fatal(err)
		}
	}
	got, err := f.Sessions(ctx, of, &user, everything())
	f.compare("the newest", sessions[len(others)+2:], got.Items, true, err)
	for _, s := range others {
		got, err := f.SessionByHash(ctx, s.Hash)
		f.compare("one of another actor", s, got, true, err)
	}
}

func testPurgeSessions(f *fixture) {
	ctx := f.t.Context()
	of := f.institution()
	key := escrow.ActorKey(escrow.KeyID(f.uuid()))
	var sessions []escrow.Session
	for range 4 {
		s := f.session(of, key)
		sessions = append(sessions, s)
		if err := f.AddSession(ctx, s); err != nil {
			f.t.Fatal(err)
		}
	}
	for _, want := range []int64{2, 1, 0} {
		removed, err := f.Purge(ctx, sessions[2].EndsAt, 2)
		f.compare("sessions that have ended", want, removed, true, err)
	}
	left, err := f.SessionByHash(ctx, sessions[3].Hash)
	f.compare("the one that has not ended", sessions[3], left, true, err)
}
