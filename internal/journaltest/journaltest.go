// Package journaltest writes journals for tests, on both stores, and changes them as only
// somebody with full access to the database could.
package journaltest

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid"
	"github.com/escrowgrid/escrowgrid/internal/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// EachStore runs a test on both stores, with the URL of a database that is empty.
func EachStore(t *testing.T, test func(t *testing.T, databaseURL string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Shared(t).NewDatabase(t)) })
}

// Must returns a value that a test cannot do without.
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Made returns the first of the resources that commands have made.
func Made[T any](made []escrowgrid.Resource) T {
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
func (w *Writer) Do(of escrowgrid.InstitutionID, commands ...escrowgrid.Command) (made []escrowgrid.Resource) {
	w.tb.Helper()
	requests := make([]escrowgrid.Request, len(commands))
	for i, command := range commands {
		requests[i] = escrowgrid.Request{Institution: of, Actor: escrowgrid.ActorRoot(), RequestID: "test", Command: command}
	}
	batch, err := w.Begin(w.tb.Context(), map[escrowgrid.InstitutionID]escrowgrid.Needs{of: escrowgrid.MergeNeeds(requests)})
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, request := range requests {
		w.count += 2
		outcome, err := batch.Books(of).Execute(request, escrowgrid.Stamp{Now: time.Now(), Random: [2]uint64{w.count, w.count + 1}})
		if err != nil || outcome.Refusal != nil {
			w.tb.Fatal(err, outcome.Refusal)
		}
		made = append(made, outcome.Resource)
	}
	if err := batch.Commit(w.tb.Context()); err != nil {
		w.tb.Fatal(err)
	}
	return made
}

// Institution makes an institution, whose journal then has one entry.
func (w *Writer) Institution() escrowgrid.InstitutionID {
	w.tb.Helper()
	return Made[escrowgrid.Institution](w.Do(escrowgrid.InstitutionID{}, Must(escrowgrid.NewCreateInstitution(escrowgrid.InstitutionInput{
		Name: "Meridian Bank", Regions: []string{"US", "SG"},
	})))).ID
}

// Policies appends so many entries to a journal, the cheapest that there are.
func (w *Writer) Policies(of escrowgrid.InstitutionID, entries int) {
	w.tb.Helper()
	for made := 0; made < entries; {
		var commands []escrowgrid.Command
		for ; made < entries && len(commands) < 1000; made++ {
			least := escrowgrid.Digits(fmt.Sprint(w.count + uint64(made) + 1))
			commands = append(commands, Must(escrowgrid.NewSetPolicy("US", escrowgrid.PolicyInput{Position: escrowgrid.RulesInput{MinAmount: &least}})))
		}
		w.Do(of, commands...)
	}
}

// Example is an institution with something of everything.
type Example struct {
	Institution escrowgrid.InstitutionID
	Asset       escrowgrid.AssetID
	// Keys are one that was rotated, with an overlap, its successor, and one that was revoked.
	Keys [3]escrowgrid.KeyID
}

// Example makes an institution with API keys, a policy, a template and an asset: nine
// entries.
func (w *Writer) Example() Example {
	w.tb.Helper()
	e := Example{Institution: w.Institution()}
	key := func(label string) escrowgrid.KeyID {
		return Made[escrowgrid.APIKey](w.Do(e.Institution, Must(escrowgrid.NewCreateKey(
			escrowgrid.KeyInput{Label: label, Role: "admin"}, escrowgrid.HashSecret(label))))).ID
	}
	e.Keys[0], e.Keys[2] = key("ledger"), key("console")
	e.Keys[1] = Made[escrowgrid.APIKey](w.Do(e.Institution, Must(escrowgrid.NewRotateKey(
		e.Keys[0], escrowgrid.RotationInput{OverlapSeconds: new(int64(3600))}, escrowgrid.HashSecret("ledger-2"))))).ID
	w.Do(e.Institution, escrowgrid.RevokeKey{Key: e.Keys[2]})
	w.Policies(e.Institution, 2)
	e.Asset = w.Asset(e.Institution, "USD")
	return e
}

// Asset makes an asset of a template in a currency: two entries.
func (w *Writer) Asset(of escrowgrid.InstitutionID, currency string) escrowgrid.AssetID {
	w.tb.Helper()
	template := Made[escrowgrid.AssetTemplate](w.Do(of, Must(escrowgrid.NewCreateTemplate(escrowgrid.TemplateInput{
		Code: "CONSTR_ESCROW", Name: "Escrow", Vertical: "CONSTRUCTION", Region: "US", Config: []byte(`{"currency":"` + currency + `"}`),
	})))).ID
	return Made[escrowgrid.Asset](w.Do(of, Must(escrowgrid.NewCreateAsset(escrowgrid.AssetInput{
		TemplateID: template.String(), Label: "Pier 7", Metadata: []byte(`{"site":"north"}`),
	})))).ID
}

// Positions makes positions on an asset, funds each and releases a part of it: three
// entries a position.
func (w *Writer) Positions(e Example, count int) (ids []escrowgrid.PositionID) {
	w.tb.Helper()
	const most = 500
	for len(ids) < count {
		create := make([]escrowgrid.Command, min(most, count-len(ids)))
		for i := range create {
			create[i] = Must(escrowgrid.NewCreatePosition(escrowgrid.PositionInput{
				AssetID: e.Asset.String(), HolderReference: fmt.Sprintf("holder-%d", i), Currency: "USD", Amount: "900000.00",
				Metadata: []byte(`{"contract":"C-17"}`),
			}))
		}
		var made []escrowgrid.PositionID
		for _, position := range w.Do(e.Institution, create...) {
			made = append(made, Made[escrowgrid.Position]([]escrowgrid.Resource{position}).ID)
		}
		for _, step := range []escrowgrid.TransitionInput{
			{ToState: "FUNDED"}, {ToState: "PARTIALLY_RELEASED", Amount: new(escrowgrid.Digits("125.50")), Reason: new("first milestone")},
		} {
			steps := make([]escrowgrid.Command, len(made))
			for i, position := range made {
				steps[i] = Must(escrowgrid.NewTransitionPosition(position, step, nil))
			}
			w.Do(e.Institution, steps...)
		}
		ids = append(ids, made...)
	}
	return ids
}
