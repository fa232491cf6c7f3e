package escrow_test

import (
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestASessionEndsByTheClock(t *testing.T) {
	t.Parallel()
	begun := opening()
	for _, test := range []struct {
		name         string
		seen, at     time.Duration
		wantIsActive bool
	}{
		{"at once", 0, 0, true},
		{"before it was idle for too long", 0, escrow.SessionIdleTime - 1, true},
		{"idle for too long", 0, escrow.SessionIdleTime, false},
		{"seen later", time.Hour, time.Hour + escrow.SessionIdleTime - 1, true},
		{"seen later, and idle", time.Hour, time.Hour + escrow.SessionIdleTime, false},
		{"to its end", 12*time.Hour - 1, 12*time.Hour - 1, true},
		{"at its end", 12*time.Hour - 1, 12 * time.Hour, false},
	} {
		s := escrow.Session{LastSeenAt: begun.Add(test.seen), EndsAt: begun.Add(escrow.SessionLifetime)}
		if s.Active(begun.Add(test.at)) != test.wantIsActive {
			t.Errorf("%s: it is active: %t", test.name, !test.wantIsActive)
		}
	}
}

func TestASessionEndsWithItsKey(t *testing.T) {
	t.Parallel()
	key := escrow.APIKey{ID: escrow.KeyID{1}}
	later := opening().Add(time.Hour)
	for name, test := range map[string]struct {
		change func(*escrow.APIKey)
		want   bool
	}{
		"not changed":   {func(*escrow.APIKey) {}, false},
		"ends later":    {func(k *escrow.APIKey) { k.ExpiresAt = &later }, false},
		"has ended":     {func(k *escrow.APIKey) { k.ExpiresAt = new(opening()) }, true},
		"was revoked":   {func(k *escrow.APIKey) { k.RevokedAt = &later }, true},
		"was rotated":   {func(k *escrow.APIKey) { k.RotatedTo, k.ExpiresAt = escrow.KeyID{2}, &later }, true},
		"is another":    {func(k *escrow.APIKey) { k.ID = escrow.KeyID{2} }, true},
		"was relabeled": {func(k *escrow.APIKey) { k.Label, k.Version = "x", 2 }, false},
	} {
		changed := key
		test.change(&changed)
		if got := (escrow.Session{Actor: escrow.ActorKey(key.ID)}).EndedWithKey(changed, opening()); got != test.want {
			t.Errorf("with a key that %s it has ended: %t", name, got)
		}
	}
}

func TestASessionEndsWithItsUserAndProvider(t *testing.T) {
	t.Parallel()
	session := escrow.Session{Actor: escrow.ActorUser(escrow.UserID{1}), Suspensions: 2, VouchedSince: new(opening())}
	for name, test := range map[string]struct {
		change func(*escrow.Session, *escrow.User, *escrow.IdentityProvider)
		want   bool
	}{
		"nothing":    {func(*escrow.Session, *escrow.User, *escrow.IdentityProvider) {}, false},
		"a new name": {func(_ *escrow.Session, u *escrow.User, _ *escrow.IdentityProvider) { u.DisplayName, u.Version = "x", 9 }, false},
		"other groups": {func(_ *escrow.Session, _ *escrow.User, p *escrow.IdentityProvider) {
			p.Version, p.UpdatedAt = 9, opening()
		}, false},
		"a suspension":         {func(_ *escrow.Session, u *escrow.User, _ *escrow.IdentityProvider) { u.SuspendedAt = new(opening()) }, true},
		"one that is over":     {func(_ *escrow.Session, u *escrow.User, _ *escrow.IdentityProvider) { u.Suspensions++ }, true},
		"another user":         {func(_ *escrow.Session, u *escrow.User, _ *escrow.IdentityProvider) { u.ID = escrow.UserID{2} }, true},
		"a removal":            {func(_ *escrow.Session, _ *escrow.User, p *escrow.IdentityProvider) { p.RemovedAt = new(opening()) }, true},
		"one that was undone":  {func(_ *escrow.Session, _ *escrow.User, p *escrow.IdentityProvider) { p.CreatedAt = opening().Add(1) }, true},
		"another issuer":       {func(_ *escrow.Session, _ *escrow.User, p *escrow.IdentityProvider) { p.Issuer = "x" }, true},
		"no provider":          {func(_ *escrow.Session, _ *escrow.User, p *escrow.IdentityProvider) { *p = escrow.IdentityProvider{} }, true},
		"nobody who vouches":   {func(s *escrow.Session, _ *escrow.User, _ *escrow.IdentityProvider) { s.VouchedSince = nil }, true},
		"the zero user of all": {func(_ *escrow.Session, u *escrow.User, _ *escrow.IdentityProvider) { u.ID = escrow.UserID{} }, true},
	} {
		s := session
		user := escrow.User{ID: s.Actor.User, Identity: escrow.Identity{Issuer: issuer}, Suspensions: 2}
		provider := escrow.IdentityProvider{Issuer: issuer, Version: 1, CreatedAt: opening()}
		test.change(&s, &user, &provider)
		if got := s.EndedWithUser(user, provider); got != test.want {
			t.Errorf("with %s it has ended: %t", name, got)
		}
	}
}

func TestTheLabelOfAnAgentIsCut(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"":                        "",
		"Mozilla/5.0 (X; é)":      "Mozilla/5.0 (X; é)",
		"a\nb\u202ec\xffd\u200be": "abc\ufffdde",
		strings.Repeat("é", 300):  strings.Repeat("é", 255),
	} {
		if got := escrow.ShownAgent(given); got != want {
			t.Errorf("of %q is kept %q", given, got)
		}
	}
}

func TestTokensOfSessionsAreNoKeys(t *testing.T) {
	t.Parallel()
	random := [32]byte{1, 31: 7}
	token, key := escrow.NewSessionToken(random), escrow.NewSecret(random)
	if escrow.CheckSessionToken(token) != nil || escrow.CheckSecret(key) != nil || !strings.HasPrefix(token, "egs_") || token == key {
		t.Errorf("%s and %s are none", token, key)
	}
	for _, text := range []string{"", key, token[:len(token)-1], token + "0", "egs_" + key[4:], strings.ToUpper(token), "egs_" + strings.Repeat("z", 49)} {
		if escrow.CheckSessionToken(text) == nil {
			t.Errorf("%q is a token", text)
		}
	}
	if escrow.CheckSecret(token) == nil || escrow.CheckSecret("egk_"+token[4:]) == nil {
		t.Error("the token of a session is a key")
	}
}
