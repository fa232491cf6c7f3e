package verify_test

import (
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// A login fails where the secret of a provider is away, and one that nothing tells of is kept for nobody.
func TestSecretsAreThoseThatRowsAreSaidToHave(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		of := f.Example.Institution
		set := func(secret *string) {
			t.Helper()
			command := valid(escrow.NewSetIdentityProvider(escrow.ProviderInput{
				Issuer: "https://id.example.com", ClientID: "escrowgrid", ClientSecret: secret, RoleByGroup: map[string]string{"clerks": "operator"},
			}, nil))
			if secret == nil {
				f.Do(of, command)
			} else {
				f.Do(of, command.WithSealed([]byte("sealed"), "0123456789abcdef"))
			}
		}
		check := func(what string, wants ...string) {
			t.Helper()
			report := f.verify(nil)
			if report.DifferenceCount != int64(len(wants)) {
				t.Fatalf("%s: the differences are %v", what, report.Differences)
			}
			for i, want := range wants {
				if got := report.Differences[i].String(); !strings.Contains(got, want) || !strings.HasPrefix(got, of.String()) {
					t.Errorf("%s: the difference is %s, want %s", what, got, want)
				}
			}
		}
		const client = "secrets identity_provider_client of identity-provider: there is "

		set(new("s3cret"))
		check("as it is")
		f.tamper("UPDATE secrets SET sealed = NULL, sealed_under = '' WHERE institution_id = $1", of)
		check("taken away", client+"nothing")
		f.tamper("DELETE FROM secrets WHERE institution_id = $1", of)
		check("deleted", client+"nothing")
		f.tamper("INSERT INTO secrets VALUES ($1, 'webhook', 'pos_1', $2, 'k')", of, []byte("sealed"))
		check("another in its place", client+"nothing", "secrets webhook of pos_1: there is a row")

		f.tamper("DELETE FROM secrets WHERE institution_id = $1", of)
		set(new("anew"))
		check("set anew")
		f.Do(of, escrow.RemoveIdentityProvider{})
		check("removed")
		f.tamper("UPDATE secrets SET sealed = $2, sealed_under = 'k' WHERE institution_id = $1", of, []byte("sealed"))
		check("kept although the provider was removed", client+"a row")
		f.tamper("DELETE FROM secrets WHERE institution_id = $1", of)
		set(nil)
		check("without a secret")
	})
}

// A provider that is approved without its secret lets nobody log in, and what has waited is for nobody afterwards.
func TestSecretsThatWaitAreThoseOfApprovals(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		of := f.Example.Institution
		checker := f.Writer.Approvals(f.Example).Checker
		in := escrow.KeyInput{Label: "admin", Role: "admin", Owner: new("admin@example.com")}
		admin := escrow.ActorKey(f.Ask(of, escrow.ActorRoot(), valid(escrow.NewCreateKey(in, escrow.HashSecret("admin")))).(escrow.APIKey).ID)
		ask := func(client string, secret *string) escrow.Approval {
			t.Helper()
			command := valid(escrow.NewSetIdentityProvider(escrow.ProviderInput{
				Issuer: "https://id.example.com", ClientID: client, ClientSecret: secret, RoleByGroup: map[string]string{"clerks": "operator"},
			}, nil))
			if secret == nil {
				return f.Ask(of, admin, command).(escrow.Approval)
			}
			return f.Ask(of, admin, command.WithSealed([]byte("sealed"), "0123456789abcdef")).(escrow.Approval)
		}
		approve := func(a escrow.Approval) {
			f.Ask(of, checker, valid(escrow.NewApproveApproval(a.ID, must(a.Asked()).Digest.String(), nil)))
		}
		check := func(what, want string) {
			t.Helper()
			report := f.verify(nil)
			if want == "" {
				if report.DifferenceCount != 0 {
					t.Fatalf("%s: the differences are %v", what, report.Differences)
				}
				return
			}
			if report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), "secrets identity_provider_client_waiting of identity-provider: there is "+want) {
				t.Errorf("%s: the differences are %v, want that there is %s", what, report.Differences, want)
			}
		}
		const waiting = " WHERE institution_id = $1 AND kind = 'identity_provider_client_waiting'"

		a := ask("one", new("s3cret"))
		check("as it waits", "")
		f.tamper("UPDATE secrets SET kind = 'away'"+waiting, of)
		f.tamper("UPDATE secrets SET sealed = NULL, sealed_under = '' WHERE institution_id = $1 AND kind = 'away'", of)
		check("taken away", "nothing")
		f.tamper("UPDATE secrets SET kind = 'identity_provider_client_waiting', sealed = $2, sealed_under = 'k' WHERE institution_id = $1 AND kind = 'away'", of, []byte("sealed"))
		approve(a)
		check("approved", "")
		f.tamper("UPDATE secrets SET sealed = $2, sealed_under = 'k'"+waiting, of, []byte("sealed"))
		check("kept although it is approved", "a row")
		a = ask("two", nil)
		check("kept beside one without a secret", "a row")
		f.tamper("DELETE FROM secrets"+waiting, of)
		check("without a secret", "")
		approve(a)
		check("approved without a secret", "")
	})
}
