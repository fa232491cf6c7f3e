// Package journaltest writes journals for tests, on both stores, and changes them as only
// somebody with full access to the database could.
package journaltest

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// EachStore runs a test on both stores, with the URL of a database that is empty.
func EachStore(t *testing.T, test func(t *testing.T, databaseURL string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Shared(t).NewDatabase(t)) })
}

// EachKind runs a test on both stores, with the name of one: "sqlite" or "postgres".
func EachKind(t *testing.T, test func(t *testing.T, kind string)) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) { test(t, kind) })
	}
}

// Must returns a value that a test cannot do without.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Made returns the first of the resources that commands have made.
func Made[T any](made []escrow.Resource) T {
	resource, ok := made[0].(T)
	if !ok {
		panic(fmt.Sprintf("a %T was made", made[0]))
	}
	return resource
}

// Writer writes to the journals of a database.
type Writer struct {
	*store.Store
	URL string

	tb    testing.TB
	count uint64
}

// Open opens and migrates a database.
func Open(tb testing.TB, databaseURL string) *Writer {
	tb.Helper()
	s, err := store.Open(tb.Context(), databaseURL, 0)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	return On(tb, s, databaseURL)
}

// On writes to a database that is open.
func On(tb testing.TB, s *store.Store, databaseURL string) *Writer {
	return &Writer{Store: s, URL: databaseURL, tb: tb}
}

// Do commits commands of the operator together, in the books of one institution, and
// returns what they made.
func (w *Writer) Do(of escrow.InstitutionID, commands ...escrow.Command) (made []escrow.Resource) {
	w.tb.Helper()
	requests := make([]escrow.Request, len(commands))
	for i, command := range commands {
		requests[i] = escrow.Request{Actor: escrow.ActorRoot(), Command: command}
	}
	return w.do(of, requests...)
}

// do commits requests on the books of one institution together, and returns what they made.
func (w *Writer) do(of escrow.InstitutionID, requests ...escrow.Request) (made []escrow.Resource) {
	w.tb.Helper()
	for i := range requests {
		requests[i].Institution, requests[i].RequestID = of, "test"
	}
	tx, err := w.Begin(w.tb.Context(), map[escrow.InstitutionID]escrow.Needs{of: escrow.MergeNeeds(requests)})
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, request := range requests {
		w.count += 2
		outcome, err := tx.Books(of).Execute(request, escrow.Stamp{
			Now: time.Now(), Random: [2]uint64{w.count, w.count + 1}, Secret: escrow.Secret{1}.OfItem(int(w.count)),
		})
		if err != nil || outcome.Refusal != nil || outcome.Lacks != nil {
			tx.Rollback(w.tb.Context())
			w.tb.Fatal(err, outcome.Refusal, outcome.Lacks)
		}
		made = append(made, outcome.Resource)
	}
	if err := tx.Commit(w.tb.Context()); err != nil {
		w.tb.Fatal(err)
	}
	return made
}

// Institution makes an institution, whose journal then has one entry.
func (w *Writer) Institution() escrow.InstitutionID {
	w.tb.Helper()
	return Made[escrow.Institution](w.Do(escrow.InstitutionID{}, Valid(escrow.NewCreateInstitution(escrow.InstitutionInput{
		Name: "Meridian Bank", Regions: []string{"US", "SG"},
	})))).ID
}

// Policies appends so many entries to a journal, the cheapest that there are.
func (w *Writer) Policies(of escrow.InstitutionID, entries int) {
	w.tb.Helper()
	for made := 0; made < entries; {
		var commands []escrow.Command
		for ; made < entries && len(commands) < 1000; made++ {
			least := money.Digits(fmt.Sprint(w.count + uint64(made) + 1))
			commands = append(commands, Valid(escrow.NewSetPolicy("US", escrow.PolicyInput{Position: escrow.RulesInput{MinAmount: &least}})))
		}
		w.Do(of, commands...)
	}
}

// Example is an institution with something of everything.
type Example struct {
	Institution escrow.InstitutionID
	Asset       escrow.AssetID
	// Keys are one that was rotated, with an overlap, its successor, and one that was revoked.
	Keys [3]escrow.KeyID
}

// Example makes an institution with API keys, a policy, a template and an asset: nine
// entries.
func (w *Writer) Example() Example {
	w.tb.Helper()
	e := Example{Institution: w.Institution()}
	key := func(label string) escrow.KeyID {
		return Made[escrow.APIKey](w.Do(e.Institution, Valid(escrow.NewCreateKey(
			escrow.KeyInput{Label: label, Role: "admin"}, escrow.HashSecret(label))))).ID
	}
	e.Keys[0], e.Keys[2] = key("ledger"), key("console")
	e.Keys[1] = Made[escrow.APIKey](w.Do(e.Institution, Valid(escrow.NewRotateKey(
		e.Keys[0], escrow.RotationInput{OverlapSeconds: new(int64(3600))}, escrow.HashSecret("ledger-2"))))).ID
	w.Do(e.Institution, escrow.RevokeKey{Key: e.Keys[2]})
	w.Policies(e.Institution, 2)
	e.Asset = w.Asset(e.Institution, "USD")
	return e
}

// Clerk makes a role of the institution's own, and two keys that are restricted: one that has the
// role, and one with permissions, for one holder alone and from one network: three entries.
func (w *Writer) Clerk(e Example) (keys [2]escrow.KeyID) {
	w.tb.Helper()
	within := escrow.RestrictionInput{
		AssetIDs: &[]string{e.Asset.String()}, MaxAmount: map[string]money.Digits{"USD": "900000.5", "JPY": "7"},
	}
	made := w.Do(e.Institution, Valid(escrow.NewSetRole("clerk", escrow.RoleInput{
		Permissions: []string{"positions.create", "assets.read", "positions.read"},
	}, nil)), Valid(escrow.NewCreateKey(escrow.KeyInput{
		Label: "branch", Owner: new("Branch 7"), Role: "clerk", Restrict: &within,
	}, escrow.HashSecret("branch"))), Valid(escrow.NewCreateKey(escrow.KeyInput{
		Label: "portal", Permissions: &[]string{"positions.read", "assets.read"},
		Restrict:        &escrow.RestrictionInput{HolderReferences: &[]string{"holder-7", "holder-8"}},
		AllowedNetworks: &[]string{"192.0.2.0/24", "2001:db8::1"},
	}, escrow.HashSecret("portal"))))
	return [2]escrow.KeyID{Made[escrow.APIKey](made[1:]).ID, Made[escrow.APIKey](made[2:]).ID}
}

// People sets an identity provider with a client's secret, has two people join, of whom one is renamed,
// suspended and restored, and the other one suspended by one of the operator's people, and removes the
// provider: eight entries.
func (w *Writer) People(e Example) (ids [2]escrow.UserID) {
	w.tb.Helper()
	of, membership := e.Institution, escrow.Membership{Issuer: "https://id.example.com/a", Groups: []string{"clerks"}}
	set := Valid(escrow.NewSetIdentityProvider(escrow.ProviderInput{
		Issuer: membership.Issuer, ClientID: "escrowgrid", ClientSecret: new("s3cret"), Audience: new("https://api.example.com"),
		Claims:      escrow.ClaimsInput{Groups: new("realm_access.roles")},
		RoleByGroup: map[string]string{"clerks": "operator", "Prüfer <&>": "auditor"},
	}, nil))
	w.Do(of, set.WithSealed([]byte("sealed"), "0123456789abcdef"))
	for i, name := range []string{"Ada", ""} {
		person := escrow.PersonInput{Issuer: membership.Issuer, Subject: fmt.Sprint("subject-", i), Name: name}
		ids[i] = Made[escrow.User](w.do(of, escrow.Request{
			Actor: escrow.ActorUser(escrow.UserID{}), Membership: membership, Command: Valid(escrow.NewJoinUser(person)),
		})).ID
	}
	w.do(of, escrow.Request{
		Actor: escrow.ActorUser(ids[0]), Membership: membership,
		Command: escrow.NewUpdateUser(escrow.PersonInput{Name: "Ada Lovelace", Email: "ada@example.com"}),
	})
	w.Do(of, escrow.SuspendUser{User: ids[0]}, escrow.RestoreUser{User: ids[0]})
	w.do(of, escrow.Request{
		Actor:        escrow.ActorOperator(escrow.NewOperatorID("https://login.example.com", "ada")),
		OperatorRole: escrow.OperatorRoleRoot,
		Command:      escrow.SuspendUser{User: ids[1]},
	})
	w.Do(of, escrow.RemoveIdentityProvider{})
	return ids
}

// Asset makes an asset of a template in a currency: two entries.
func (w *Writer) Asset(of escrow.InstitutionID, currency string) escrow.AssetID {
	w.tb.Helper()
	template := Made[escrow.AssetTemplate](w.Do(of, Valid(escrow.NewCreateTemplate(escrow.TemplateInput{
		Code: "CONSTR_ESCROW", Name: "Escrow", Vertical: "CONSTRUCTION", Region: "US",
		Config: fmt.Appendf(nil, `{"currency":%q,"uniqueExternalReference":true}`, currency),
	})))).ID
	return Made[escrow.Asset](w.Do(of, Valid(escrow.NewCreateAsset(escrow.AssetInput{
		TemplateID: template.String(), Label: "Pier 7", Metadata: []byte(`{"site":"north"}`),
	})))).ID
}

// Positions makes positions on an asset, funds each and releases a part of it: three
// entries a position.
func (w *Writer) Positions(e Example, count int) (ids []escrow.PositionID) {
	w.tb.Helper()
	const most = 500
	for len(ids) < count {
		create := make([]escrow.Command, min(most, count-len(ids)))
		for i := range create {
			create[i] = Valid(escrow.NewCreatePosition(escrow.PositionInput{
				AssetID: e.Asset.String(), HolderReference: fmt.Sprintf("holder-%d", i), Currency: "USD", Amount: "900000.00",
				// Another one for each, whoever has written to the database before.
				ExternalReference: new("contract " + rand.Text()),
				Metadata:          []byte(`{"contract":"C-17"}`),
			}))
		}
		var made []escrow.PositionID
		for _, position := range w.Do(e.Institution, create...) {
			made = append(made, Made[escrow.Position]([]escrow.Resource{position}).ID)
		}
		for _, step := range []escrow.TransitionInput{
			{ToState: "FUNDED"}, {ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("125.50")), Reason: new("first milestone")},
		} {
			steps := make([]escrow.Command, len(made))
			for i, position := range made {
				steps[i] = Valid(escrow.NewTransitionPosition(position, step, nil))
			}
			w.Do(e.Institution, steps...)
		}
		ids = append(ids, made...)
	}
	return ids
}

// Holds makes a position that holds money, and puts it under a legal hold on a part, with a reference and a time of
// review, which is lifted, one on all, and one of compliance on a part: six entries.
func (w *Writer) Holds(e Example) (position escrow.PositionID, holds [3]escrow.HoldID) {
	w.tb.Helper()
	position = Made[escrow.Position](w.Do(e.Institution, Valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: e.Asset.String(), HolderReference: "Grace Hopper", Currency: "USD", Amount: "1000.00",
	})))).ID
	w.Do(e.Institution, Valid(escrow.NewTransitionPosition(position, escrow.TransitionInput{ToState: "FUNDED"}, nil)))
	for i, in := range []escrow.HoldInput{
		{Kind: "LEGAL", Amount: new(money.Digits("400")), Reason: "Order of the court", Reference: new("HC 7/27"), ReviewAt: new("2999-01-01T00:00:00Z")},
		{Kind: "LEGAL", Reason: "Another order"},
		{Kind: "COMPLIANCE", Amount: new(money.Digits("0.01")), Reason: "A question"},
	} {
		holds[i] = Made[escrow.Hold](w.Do(e.Institution, Valid(escrow.NewPlaceHold(position, in, nil)))).ID
	}
	w.Do(e.Institution, Valid(escrow.NewLiftHold(position, holds[0], "Set aside")))
	return position, holds
}

// Valid returns a command whose input a test knows to be valid.
func Valid[C escrow.Command](command C, faults escrow.Faults) C {
	if err := faults.Err(); err != nil {
		panic(err)
	}
	return command
}
