package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/vault"
)

// keyring is one of some keys, of which the first seals.
func keyring(keys ...int) option {
	texts := make([]string, len(keys))
	for i, key := range keys {
		texts[i] = fmt.Sprintf("%064x", key)
	}
	return func(c *engine.Config) { c.Keyring = must(vault.ParseKeyring(strings.Join(texts, ","))) }
}

func setSecret(of escrow.InstitutionID, secret string) escrow.Request {
	return setProvider(of, func(in *escrow.ProviderInput) { in.ClientSecret = &secret })
}

func (s *server) checkSecret(what string, of escrow.InstitutionID, want string) {
	s.t.Helper()
	got, err := s.clientSecret(of)
	if escrow.ErrorCode(err) == escrow.CodeProviderNotFound {
		err = nil
	}
	if got != want || err != nil {
		s.t.Errorf("%s: the secret is %q, %v; want %q", what, got, err, want)
	}
}

// clientSecret returns the secret of the client at the provider that there is.
func (s *server) clientSecret(of escrow.InstitutionID) (string, error) {
	provider, err := s.IdentityProvider(context.Background(), of)
	if err != nil {
		return "", err
	}
	return s.ClientSecret(context.Background(), provider)
}

// Who logs in at a provider while another takes its place brings it no secret of that one's.
func TestNoProviderIsToldTheSecretOfAnother(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t, keyring(1))
		of := servers[0].institution()
		moved := setProvider(of, func(in *escrow.ProviderInput) {
			in.Issuer, in.ClientSecret = "https://other.example.com", new("of the other")
		})
		for i, change := range []escrow.Request{moved, setSecret(of, "changed"), root(of, escrow.RemoveIdentityProvider{})} {
			accept[escrow.IdentityProvider](servers[0], setSecret(of, fmt.Sprint("of the one ", i)))
			ctx := engine.WithSnapshot(t.Context())
			before, err := servers[1].IdentityProvider(ctx, of)
			if err != nil {
				t.Fatal(err)
			}
			accept[escrow.IdentityProvider](servers[0], change)
			if secret, err := servers[1].ClientSecret(ctx, before); escrow.ErrorCode(err) != escrow.CodeTokenIssuerUnknown || secret != "" {
				t.Errorf("after the change %d, the provider before is told %q, %v", i, secret, err)
			}
		}
	})
}

func TestAClientSecretIsKeptSealed(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t, keyring(1))
		of, other := servers[0].institution(), servers[0].institution()
		servers[0].checkSecret("before", of, "")
		set := accept[escrow.IdentityProvider](servers[0], setSecret(of, "s3cret-of-the-client"))
		if !set.HasSecret || set.SecretNumber != 1 {
			t.Errorf("the provider is %+v", set)
		}
		for _, s := range servers {
			s.checkSecret("set", of, "s3cret-of-the-client")
			s.checkSecret("of another institution", other, "")
		}
		var sealed []byte
		if err := d.raw.QueryRowContext(t.Context(), "SELECT sealed FROM secrets WHERE sealed IS NOT NULL ORDER BY institution_id DESC LIMIT 1").Scan(&sealed); err != nil || strings.Contains(string(sealed), "s3cret") || len(sealed) < 69 {
			t.Errorf("%q is kept, %v", sealed, err)
		}

		accept[escrow.IdentityProvider](servers[1], setProvider(of, func(in *escrow.ProviderInput) { in.Audience = new("api") }))
		servers[0].checkSecret("kept", of, "s3cret-of-the-client")
		accept[escrow.IdentityProvider](servers[1], setSecret(of, "another"))
		servers[0].checkSecret("changed", of, "another")
		accept[escrow.IdentityProvider](servers[0], root(of, escrow.RemoveIdentityProvider{}))
		servers[1].checkSecret("removed", of, "")
	})
}

// Sealed for one place, it opens at no other.
func TestASealedSecretIsBoundToItsPlace(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock(), keyring(1))
		one, other := s.institution(), s.institution()
		accept[escrow.IdentityProvider](s, setSecret(one, "the one"))
		accept[escrow.IdentityProvider](s, setSecret(other, "the other"))
		const swap = "UPDATE secrets SET sealed = (SELECT max(sealed) FROM secrets)"
		d.exec(t, swap, "UPDATE secrets SET sealed = (SELECT sealed FROM secrets LIMIT 1)")
		opened := 0
		for _, of := range []escrow.InstitutionID{one, other} {
			if secret, err := s.clientSecret(of); err == nil {
				opened++
			} else if escrow.ErrorCode(err) != escrow.CodeInternal || secret != "" {
				t.Errorf("it opens as %q, %v", secret, err)
			}
		}
		d.exec(t, "DELETE FROM secrets", "DELETE FROM secrets")
		if secret, err := s.clientSecret(one); escrow.ErrorCode(err) != escrow.CodeInternal || secret != "" {
			t.Errorf("a secret that is gone is %q, %v", secret, err)
		}
		if opened != 1 {
			t.Errorf("%d of two places open what is sealed for one", opened)
		}
		if _, err := s.RotateSecrets(t.Context()); err != nil {
			t.Errorf("there is nothing to rotate: %v", err)
		}
	})
}

func TestWithoutAKeyringNoSecretIsKept(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		refuse(s, setSecret(of, "s3cret"), escrow.CodeEncryptionKeyMissing)
		accept[escrow.IdentityProvider](s, setProvider(of, nil))
		if err := s.CheckSecrets(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := s.RotateSecrets(t.Context()); escrow.ErrorCode(err) != escrow.CodeEncryptionKeyMissing {
			t.Errorf("secrets are rotated: %v", err)
		}
	})
}

func TestSecretsAreRotated(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		clock := newClock()
		start := func(keys ...int) *server { return d.start(t, clock, keyring(keys...)) }
		stop := func(s *server) {
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.closeStore(); err != nil {
				t.Fatal(err)
			}
		}
		old := start(1)
		var institutions []escrow.InstitutionID
		for i := range 3 {
			of := old.institution()
			institutions = append(institutions, of)
			accept[escrow.IdentityProvider](old, setSecret(of, fmt.Sprint("secret ", i)))
		}
		accept[escrow.IdentityProvider](old, root(institutions[2], escrow.RemoveIdentityProvider{}))
		if err := old.CheckSecrets(t.Context()); err != nil {
			t.Error(err)
		}
		stop(old)

		wrong := start(2)
		id := must(vault.ParseKeyring(fmt.Sprintf("%064x", 1))).IDs()[0]
		if err := wrong.CheckSecrets(t.Context()); err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("a server without the key %s is told %v", id, err)
		}
		if secret, err := wrong.clientSecret(institutions[0]); escrow.ErrorCode(err) != escrow.CodeEncryptionKeyMissing {
			t.Errorf("without its key the secret is %q, %v", secret, err)
		}
		if rotated, err := wrong.RotateSecrets(t.Context()); rotated != 0 || err == nil || !strings.Contains(err.Error(), id) {
			t.Errorf("without their key %d are rotated, %v", rotated, err)
		}
		stop(wrong)

		both := start(2, 1)
		if err := both.CheckSecrets(t.Context()); err != nil {
			t.Error(err)
		}
		for _, want := range []int{2, 0} {
			if rotated, err := both.RotateSecrets(t.Context()); rotated != want || err != nil {
				t.Errorf("%d are rotated, %v; want %d", rotated, err, want)
			}
		}
		stop(both)

		fresh := start(2)
		if err := fresh.CheckSecrets(t.Context()); err != nil {
			t.Error(err)
		}
		for i, of := range institutions[:2] {
			fresh.checkSecret("rotated", of, fmt.Sprint("secret ", i))
		}
		fresh.checkSecret("removed", institutions[2], "")
	})
}

// What is taken away is not there any more, sealed or not, also where a server that writes alone reads next to
// nothing before it writes.
func TestASecretThatIsTakenAwayIsNotKept(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t, keyring(1))
		for name, take := range map[string]func(of escrow.InstitutionID) escrow.Request{
			"with the provider": func(of escrow.InstitutionID) escrow.Request { return root(of, escrow.RemoveIdentityProvider{}) },
			"with an empty one": func(of escrow.InstitutionID) escrow.Request { return setSecret(of, "") },
			"as it is another client": func(of escrow.InstitutionID) escrow.Request {
				return setProvider(of, func(in *escrow.ProviderInput) { in.ClientID = "b" })
			},
		} {
			for _, s := range servers {
				of := s.institution()
				accept[escrow.IdentityProvider](s, setSecret(of, "s3cret"))
				for i := range 20 {
					accept[escrow.Policy](s, root(of, valid(escrow.NewSetPolicy("US", escrow.PolicyInput{
						Position: escrow.RulesInput{MinAmount: new(money.Digits(fmt.Sprint(i + 1)))},
					}))))
				}
				accept[escrow.IdentityProvider](s, take(of))
				if secret, found, err := s.store.Secret(t.Context(), of, escrow.ClientSecretName()); found || err != nil {
					t.Errorf("taken away %s, it is kept: %t, %v, sealed in %d bytes", name, found, err, len(secret.Sealed))
				}
			}
		}
	})
}
