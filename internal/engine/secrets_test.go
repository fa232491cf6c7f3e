package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

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

// A secret that is given with what waits for approval is the one that is set, whatever keys the servers have by then,
// and none is kept of what was not carried out.
func TestASecretWaitsForApprovalSealed(t *testing.T) {
	for name, end := range map[string]struct {
		with   func(o office, a escrow.Approval)
		status escrow.ApprovalStatus
		secret string
	}{
		"approved": {func(o office, a escrow.Approval) {
			accept[escrow.Approval](o.servers[1], o.approval(0, a))
		}, escrow.ApprovalExecuted, "of the other"},
		"rejected": {func(o office, a escrow.Approval) {
			accept[escrow.Approval](o.servers[1], by(o.checkers[0], valid(escrow.NewRejectApproval(a.ID, "no"))))
		}, escrow.ApprovalRejected, "of the one"},
		"withdrawn": {func(o office, a escrow.Approval) {
			accept[escrow.Approval](o.servers[1], escrow.Request{
				Institution: o.of, Actor: a.Maker, RequestID: "r", Command: escrow.WithdrawApproval{Approval: a.ID},
			})
		}, escrow.ApprovalWithdrawn, "of the one"},
		"expired": {func(o office, a escrow.Approval) {
			o.servers[1].clock.advance(escrow.DefaultApprovalTerm + time.Second)
			r := root(o.of, escrow.ExpireApproval{Approval: a.ID})
			r.Actor = escrow.ActorSystem()
			accept[escrow.Approval](o.servers[1], r)
		}, escrow.ApprovalExpired, "of the one"},
		"failed": {func(o office, a escrow.Approval) {
			accept[escrow.IdentityProvider](o.servers[1], root(o.of, escrow.RemoveIdentityProvider{}))
			accept[escrow.Approval](o.servers[1], o.approval(0, a))
		}, escrow.ApprovalFailed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			eachOwnDatabase(t, func(t *testing.T, d database) {
				servers := d.pair(t, keyring(2, 1))
				o := newOffice(servers, 1)
				a := o.askForProvider(t, d)
				end.with(o, a)
				if after := must(servers[0].Approval(t.Context(), o.of, a.ID)); after.Status != end.status {
					t.Fatalf("the approval is %s, want %s", after.Status, end.status)
				}
				if n := d.waitingSecrets(t); n != 0 {
					t.Errorf("%d secrets still wait", n)
				}
				servers[1].checkSecret("afterwards", o.of, end.secret)
				for _, entry := range servers[0].checkJournal(o.of) {
					if strings.Contains(string(entry.Body)+string(entry.Private), "of the other") {
						t.Errorf("the journal has the secret: %s", entry.Body)
					}
				}
			})
		})
	}
}

// askForProvider asks for another provider, with another secret, than there is.
func (o office) askForProvider(t *testing.T, d database) escrow.Approval {
	t.Helper()
	s := o.servers[0]
	set := accept[escrow.IdentityProvider](s, setSecret(o.of, "of the one"))
	admin, _ := s.keyWith(o.of, escrow.KeyInput{Label: "admin", Role: "admin", Owner: new("admin@example.com")})
	o.rule(1, "identity_provider.set")

	in := escrow.ProviderInput{
		Issuer: "https://other.example.com", ClientID: "escrowgrid", ClientSecret: new("of the other"), RoleByGroup: map[string]string{"a": "admin"},
	}
	asking := by(admin, valid(escrow.NewSetIdentityProvider(in, []int64{set.Version})))
	rehearse := func(r escrow.Request, want int) {
		t.Helper()
		r.DryRun = true
		accept[escrow.Approval](s, r)
		if n := d.waitingSecrets(t); n != want {
			t.Errorf("after a dry run %d secrets wait, want %d", n, want)
		}
	}
	rehearse(asking, 0)
	a := accept[escrow.Approval](s, asking)
	rehearse(o.approval(0, a), 1)
	s.checkSecret("while it waits", o.of, "of the one")
	return a
}

// waitingSecrets counts the secrets that wait for approval.
func (d database) waitingSecrets(t *testing.T) (count int) {
	t.Helper()
	const waiting = "SELECT count(*) FROM secrets WHERE kind = 'identity_provider_client_waiting' AND sealed IS NOT NULL"
	if err := d.raw.QueryRowContext(t.Context(), waiting).Scan(&count); err != nil {
		t.Fatal(err)
	}
	return count
}

func TestSecretsThatWaitAreRotated(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		clock := newClock()
		var o office
		var a escrow.Approval
		for i, keys := range [][]int{{1}, {2, 1}, {2}} {
			s := d.start(t, clock, keyring(keys...))
			if err := s.CheckSecrets(t.Context()); err != nil {
				t.Errorf("with the keys %v: %v", keys, err)
			}
			switch o.servers = [2]*server{s, s}; i {
			case 0:
				o = newOffice(o.servers, 1)
				a = o.askForProvider(t, d)
			case 1:
				if rotated, err := s.RotateSecrets(t.Context()); rotated != 2 || err != nil {
					t.Errorf("%d are rotated, %v", rotated, err)
				}
			case 2:
				s.checkSecret("while it waits", o.of, "of the one")
				accept[escrow.Approval](s, o.approval(0, a))
				s.checkSecret("approved", o.of, "of the other")
			}
			if err := s.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.closeStore(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// No provider is set without the secret that was approved with it.
func TestAnApprovalWhoseSecretIsGoneFails(t *testing.T) {
	for name, take := range map[string]string{
		"taken away": "UPDATE secrets SET sealed = NULL, sealed_under = ''", "deleted": "DELETE FROM secrets",
	} {
		t.Run(name, func(t *testing.T) {
			eachOwnDatabase(t, func(t *testing.T, d database) {
				o := newOffice(d.pair(t, keyring(1)), 1)
				a := o.askForProvider(t, d)
				gone := take + " WHERE kind = 'identity_provider_client_waiting'"
				d.exec(t, gone, gone)
				after := accept[escrow.Approval](o.servers[1], o.approval(0, a))
				if after.Status != escrow.ApprovalFailed || after.Refusal.Code != escrow.CodeApprovalClosed {
					t.Errorf("the approval is %s, %+v", after.Status, after.Refusal)
				}
				o.servers[0].checkSecret("afterwards", o.of, "of the one")
			})
		})
	}
}

func TestWithBrokenGlassNoSecretWaits(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		o := newOffice(d.pair(t, keyring(1)), 1, "identity_provider.set")
		r := setSecret(o.of, "of the one")
		r.BreakGlass = "the provider is gone"
		accept[escrow.IdentityProvider](o.servers[0], r)
		o.servers[1].checkSecret("set at once", o.of, "of the one")
		if n := d.waitingSecrets(t); n != 0 {
			t.Errorf("%d secrets wait", n)
		}
	})
}
