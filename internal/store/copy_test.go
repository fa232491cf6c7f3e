package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

// eachDirection runs a test with the URLs of two empty databases.
func eachDirection(t *testing.T, test func(t *testing.T, from, to string)) {
	sqlite := func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "e.db") }
	postgres := func(t *testing.T) string { return pgtest.Shared(t).NewDatabase(t) }
	t.Run("sqlite to postgres", func(t *testing.T) { test(t, sqlite(t), postgres(t)) })
	t.Run("postgres to sqlite", func(t *testing.T) { test(t, postgres(t), sqlite(t)) })
}

// filled is a database with something in every table, and an entry of every kind.
func filled(t *testing.T, databaseURL string) (*journaltest.Writer, journaltest.Example) {
	t.Helper()
	w := journaltest.Open(t, databaseURL)
	e := w.Example()
	positions := w.Positions(e, 400)
	for _, state := range []string{"RELEASED", "CANCELLED", "EXPIRED"} {
		w.Do(e.Institution, journaltest.Valid(escrow.NewTransitionPosition(positions[len(state)], escrow.TransitionInput{ToState: state}, nil)))
	}

	w.Do(e.Institution, journaltest.Valid(escrow.NewErasePosition(positions[len("RELEASED")], new("asked for"), nil, 0)),
		escrow.RecordErasure{Erasure: escrow.Erasure{Erased: 1, Open: 2, Retained: 3, RetainedUntil: new(time.UnixMicro(7)), Complete: true}})
	again, spare := new("again"), w.Asset(e.Institution, "EUR")
	template := journaltest.Must(w.Store.Asset(t.Context(), e.Institution, spare)).TemplateID
	w.Do(e.Institution,
		journaltest.Valid(escrow.NewUpdateInstitution(again, nil)), journaltest.Valid(escrow.NewUpdateKey(e.Keys[1], again, nil)),
		journaltest.Valid(escrow.NewUpdateTemplate(template, again, nil)), escrow.CloseTemplate{Template: template},
		journaltest.Valid(escrow.NewUpdateAsset(spare, escrow.AssetChange{Label: again}, nil)), escrow.CloseAsset{Asset: spare})
	w.Do(w.Institution(), escrow.CloseInstitution{})
	w.Clerk(e)
	w.People(e)
	w.Holds(e)

	// One institution has lost entries, and its operator has accepted that; another one is closed.
	closed, reopened := w.Institution(), w.Institution()
	for _, lost := range []escrow.InstitutionID{closed, reopened} {
		seen := escrow.Head{Sequence: 7, At: time.Now()}
		if _, err := w.HaltIfLost(t.Context(), lost, seen); err != nil {
			t.Fatal(err)
		}
	}
	w.Do(reopened, escrow.AcceptHistory{})

	record := escrow.Idempotency{Key: "once", Fingerprint: escrow.Fingerprint{1}, Nonce: []byte{1, 2}}
	for _, of := range []escrow.InstitutionID{e.Institution, closed} {
		record.Key += "+"
		tx := journaltest.Must(w.Begin(t.Context(), needsOf(of)))
		request := escrow.Request{Institution: of, Actor: escrow.ActorRoot(), RequestID: "r", Idempotency: &record, Command: escrow.RevokeKey{Key: e.Keys[0]}}
		if _, err := tx.Books(of).Execute(request, escrow.Stamp{Now: time.Now(), Random: [2]uint64{91, 92}, Secret: escrow.Secret{1}}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var events []escrow.SecurityEvent
	var uses []escrow.KeyUse
	for i := range 600 { // More than a page.
		id := escrow.SecurityEvent{}.ID
		id[0], id[14], id[15] = 1, byte(i>>8), byte(i)
		events = append(events, escrow.SecurityEvent{ID: id, At: time.Now().UTC().Truncate(time.Microsecond), Actor: "unknown", Code: escrow.Code(fmt.Sprint(i)), Count: 1})
		uses = append(uses, escrow.KeyUse{
			InstitutionID: e.Institution, ID: escrow.KeyID(id), LastUsedAt: events[i].At, LastUsedFrom: netip.MustParseAddr("192.0.2.1"),
		})
	}
	if err := errors.Join(w.AddSecurityEvents(t.Context(), events), w.NoteKeyUses(t.Context(), uses)); err != nil {
		t.Fatal(err)
	}

	office := w.Example()
	approved := w.Approvals(office)
	w.Ask(office.Institution, escrow.ActorRoot(), journaltest.Valid(escrow.NewErasePosition(approved.Position, nil, nil, 0)))

	log := journallog.Start(journallog.Config{
		Store: w.Store, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: prometheus.NewRegistry(),
		Origin: "escrowgrid.test", Interval: time.Hour,
	})
	defer log.Close()
	if err := log.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	late := journaltest.Must(w.Approval(t.Context(), office.Institution, approved.Pending))
	w.AskAt(late.ExpiresAt, office.Institution, escrow.ActorSystem(), escrow.ExpireApproval{Approval: late.ID})
	w.Ask(office.Institution, escrow.ActorRoot(), journaltest.Valid(escrow.NewEraseApproval(approved.Rejected, new("as asked"), nil, 0)))
	return w, e
}

func needsOf(of escrow.InstitutionID) map[escrow.InstitutionID]escrow.Needs {
	return map[escrow.InstitutionID]escrow.Needs{of: {}}
}

// target is a migrated database that is marked as a copy.
func target(t *testing.T, databaseURL string) *store.Store {
	t.Helper()
	s := open(t, databaseURL)
	if err := errors.Join(s.Migrate(t.Context()), s.BeginCopy(t.Context(), "here", time.Now())); err != nil {
		t.Fatal(err)
	}
	return s
}

func compareContents(t *testing.T, from, to *store.Store) {
	t.Helper()
	want, got := journaltest.Must(store.Contents(t.Context(), from)), journaltest.Must(store.Contents(t.Context(), to))
	for table, rows := range want {
		if len(rows) == 0 {
			t.Errorf("nothing of %s is compared", table)
		}
		if !slices.Equal(rows, got[table]) {
			t.Errorf("%s of the source (-) and of the copy (+):\n%s", table, cmp.Diff(rows, got[table]))
		}
	}
}

func TestACopyHasAllThatIsCopied(t *testing.T) {
	eachDirection(t, func(t *testing.T, fromURL, toURL string) {
		from, e := filled(t, fromURL)
		var kinds []escrow.Kind
		for of := (escrow.InstitutionID{}); ; {
			next, found, err := from.NextTenant(t.Context(), of)
			if err != nil || !found {
				break
			}
			of = next
			for _, entry := range journaltest.Must(from.StoredEntries(t.Context(), of, 1, 2000)) {
				kinds = append(kinds, entry.Kind)
			}
		}
		for _, kind := range escrow.Kinds() {
			if !slices.Contains(kinds, kind) {
				t.Errorf("no %s is copied", kind)
			}
		}

		to := target(t, toURL)
		if err := to.CopyFrom(t.Context(), from.Store, nil); err != nil {
			t.Fatal(err)
		}
		compareContents(t, from.Store, to)
		report, err := verify.Database(t.Context(), to, verify.Config{})
		// The lost entry of one institution is for its operator to accept, there as here.
		if err != nil || report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), "lost_sequence") {
			t.Errorf("the copy does not verify: %v, %v, %q", err, report.Err(), report.Differences)
		}
		if err := to.FinishCopy(t.Context()); err != nil {
			t.Fatal(err)
		}
		journaltest.On(t, to, toURL).Policies(e.Institution, 1) // It is written to like any other.
	})
}

// Wherever a copy is cut off, it is gone on with.
func TestACopyThatIsCutOffIsGoneOnWith(t *testing.T) {
	eachDirection(t, func(t *testing.T, fromURL, toURL string) {
		from, e := filled(t, fromURL)
		held := from.Positions(e, 1)
		keys := from.Do(e.Institution, newKey("rotated"), newKey("revoked"))
		to := target(t, toURL)
		for cutOff := range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			calls := 0
			err := to.CopyFrom(ctx, from.Store, func(done, _ int64) {
				calls++
				if done > int64(cutOff)*500 {
					cancel()
				}
			})
			cut := ctx.Err() != nil
			cancel()
			if !cut || err == nil {
				t.Fatalf("cut off for the %d. time after %d calls, the copy ends with %v", cutOff, calls, err)
			}
			if err := to.CheckCopy(t.Context()); !errors.Is(err, store.ErrUnfinishedCopy) {
				t.Errorf("the copy that was cut off says %v", err)
			}
		}
		if err := errors.Join(to.BeginCopy(t.Context(), "here", time.Now()), to.CopyFrom(t.Context(), from.Store, nil)); err != nil {
			t.Fatal(err)
		}
		compareContents(t, from.Store, to)

		// What is written to the source later is copied too, also where it changes what is there.
		from.Do(e.Institution,
			journaltest.Valid(escrow.NewRotateKey(journaltest.Made[escrow.APIKey](keys).ID, escrow.RotationInput{}, escrow.HashSecret("new"))),
			escrow.RevokeKey{Key: journaltest.Made[escrow.APIKey](keys[1:]).ID},
			journaltest.Valid(escrow.NewTransitionPosition(held[0], escrow.TransitionInput{ToState: "RELEASED"}, nil)))
		from.Policies(e.Institution, 2)
		from.Positions(e, 2)
		from.Do(e.Institution, journaltest.Valid(escrow.NewSetRole("clerk", escrow.RoleInput{}, nil)))
		again := escrow.KeyUse{InstitutionID: e.Institution, ID: escrow.KeyID{1}, LastUsedAt: time.Now().Add(time.Hour), LastUsedFrom: netip.MustParseAddr("192.0.2.2")}
		if err := from.NoteKeyUses(t.Context(), []escrow.KeyUse{again}); err != nil {
			t.Fatal(err)
		}
		if err := to.CopyFrom(t.Context(), from.Store, nil); err != nil {
			t.Fatal(err)
		}
		compareContents(t, from.Store, to)
	})
}

func newKey(label string) escrow.Command {
	return journaltest.Valid(escrow.NewCreateKey(escrow.KeyInput{Label: label, Role: "admin"}, escrow.HashSecret(label)))
}

func TestACopyIsRefused(t *testing.T) {
	eachDirection(t, func(t *testing.T, fromURL, toURL string) {
		t.Run("to a database that has something in it", func(t *testing.T) {
			w := journaltest.Open(t, fromURL)
			w.Institution()
			if err := w.BeginCopy(t.Context(), "here", time.Now()); !errors.Is(err, store.ErrNotEmpty) {
				t.Errorf("it says %v", err)
			}
			if err := w.CheckCopy(t.Context()); err != nil {
				t.Errorf("the database says %v", err)
			}
		})
		t.Run("to a copy of another one", func(t *testing.T) {
			to := target(t, toURL)
			from := journaltest.Open(t, fromURL)
			from.Institution()
			other := journaltest.Open(t, "sqlite::memory:")
			other.Institution()
			if err := to.CopyFrom(t.Context(), from.Store, nil); err != nil {
				t.Fatal(err)
			}
			before := journaltest.Must(store.Contents(t.Context(), to))
			if err := to.CopyFrom(t.Context(), other.Store, nil); !errors.Is(err, store.ErrOtherSource) {
				t.Errorf("it says %v", err)
			}
			if diff := cmp.Diff(before, journaltest.Must(store.Contents(t.Context(), to))); diff != "" {
				t.Errorf("it changes the copy:\n%s", diff)
			}
		})
	})
}

// A copy that lacks the last entries must not be taken for whole.
func TestACopyOfWhatIsWrittenToIsNotWhole(t *testing.T) {
	eachDirection(t, func(t *testing.T, fromURL, toURL string) {
		from := journaltest.Open(t, fromURL)
		e := from.Example()
		to := target(t, toURL)
		wrote := false
		err := to.CopyFrom(t.Context(), from.Store, func(int64, int64) {
			if !wrote {
				wrote = true
				from.Policies(e.Institution, 1)
			}
		})
		if !errors.Is(err, store.ErrStillWritten) {
			t.Errorf("it says %v", err)
		}
		if err := to.CopyFrom(t.Context(), from.Store, nil); err != nil {
			t.Errorf("the next one says %v", err)
		}
		if want, got := journaltest.Must(from.CountEntries(t.Context())), journaltest.Must(to.CountEntries(t.Context())); want != got {
			t.Errorf("the copy has %d entries of %d", got, want)
		}
	})
}

// A copy that is gone on with must not keep what a secret was when it began.
func TestACopyThatIsGoneOnWithHasTheSecretsOfNow(t *testing.T) {
	eachDirection(t, func(t *testing.T, fromURL, toURL string) {
		w := journaltest.Open(t, fromURL)
		e := w.Example()
		set := func(sealed string) {
			command := journaltest.Valid(escrow.NewSetIdentityProvider(escrow.ProviderInput{
				Issuer: "https://id.example.com", ClientID: "c", ClientSecret: new("s3cret"),
			}, nil))
			w.Do(e.Institution, command.WithSealed([]byte(sealed), "k1"))
		}
		to := target(t, toURL)
		for _, sealed := range []string{"first", "second"} {
			set(sealed)
			if err := to.CopyFrom(t.Context(), w.Store, nil); err != nil {
				t.Fatal(err)
			}
			got, found, err := to.Secret(t.Context(), e.Institution, escrow.ClientSecretName())
			if string(got.Sealed) != sealed || !found || err != nil {
				t.Errorf("the copy has the secret %q (%t, %v), want %q", got.Sealed, found, err, sealed)
			}
		}
	})
}

// A table that is neither copied nor made anew would be lost.
func TestEveryTableIsCopiedOrMadeAnew(t *testing.T) {
	without := store.NotCopied()
	slices.Sort(without)
	if want := []string{"duty_leases", "goose_db_version", "sessions", "unfinished_copies"}; !slices.Equal(without, want) {
		t.Errorf("a copy is without %q, want %q", without, want)
	}
}
