package engine_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// What is another institution's answers exactly as what does not exist, to
// queries and commands alike.
func TestInstitutionsDoNotSeeEachOther(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		ctx := t.Context()
		theirs, ours := s.institution(), s.institution()
		asset := s.asset(theirs)
		template := must(s.Asset(ctx, theirs, asset)).TemplateID
		position := accept[escrow.Position](s, root(theirs, createPosition(asset, "h", "10"))).ID
		key, _ := s.key(theirs, escrow.RoleAdmin, nil)
		before := len(s.journal(theirs, escrow.EntryFilter{}))
		do := func(command escrow.Command) error { _, err := s.Do(ctx, root(ours, command)); return err }

		for name, test := range map[string]struct {
			want escrow.Code
			// ask asks for what is theirs, or for what is nobody's.
			ask func(nobodys bool) (id fmt.Stringer, err error)
		}{
			"template": {escrow.CodeTemplateNotFound, func(nobodys bool) (fmt.Stringer, error) {
				id := either(template, nobodys)
				_, err := s.Template(ctx, ours, id)
				return id, err
			}},
			"asset": {escrow.CodeAssetNotFound, func(nobodys bool) (fmt.Stringer, error) {
				id := either(asset, nobodys)
				_, err := s.Asset(ctx, ours, id)
				return id, err
			}},
			"position": {escrow.CodePositionNotFound, func(nobodys bool) (fmt.Stringer, error) {
				id := either(position, nobodys)
				_, err := s.Position(ctx, ours, id)
				return id, err
			}},
			"asset of a template": {escrow.CodeTemplateNotFound, func(nobodys bool) (fmt.Stringer, error) {
				id := either(template, nobodys)
				return id, do(valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: id.String(), Label: "l"})))
			}},
			"position on an asset": {escrow.CodeAssetNotFound, func(nobodys bool) (fmt.Stringer, error) {
				id := either(asset, nobodys)
				return id, do(createPosition(id, "h", "10"))
			}},
			"transition": {escrow.CodePositionNotFound, func(nobodys bool) (fmt.Stringer, error) {
				id := either(position, nobodys)
				return id, do(transition(id, escrow.StateFunded, ""))
			}},
			"expiry": {escrow.CodePositionNotFound, func(nobodys bool) (fmt.Stringer, error) {
				id := either(position, nobodys)
				return id, do(escrow.ExpirePosition(id))
			}},
			"revocation": {escrow.CodeKeyNotFound, func(nobodys bool) (fmt.Stringer, error) {
				id := either(key.ID, nobodys)
				return id, do(escrow.RevokeKey{Key: id})
			}},
			"rotation": {escrow.CodeKeyNotFound, func(nobodys bool) (fmt.Stringer, error) {
				id := either(key.ID, nobodys)
				return id, do(valid(escrow.NewRotateKey(id, escrow.RotationInput{}, escrow.SecretHash{})))
			}},
		} {
			id, err := test.ask(false)
			none, missing := test.ask(true)
			if codeOf(err) != test.want || missing == nil {
				t.Errorf("%s: %v, want the code %s", name, err, test.want)
				continue
			}
			if got, want := strings.ReplaceAll(err.Error(), id.String(), "ID"), strings.ReplaceAll(missing.Error(), none.String(), "ID"); got != want {
				t.Errorf("%s: what is another's answers %q, and what does not exist %q", name, got, want)
			}
		}

		seen := s.tables(ours)
		seen.Institutions = nil
		if diff := cmp.Diff(rows{}, seen, exactly()); diff != "" {
			t.Errorf("lists hold what is another institution's (+):\n%s", diff)
		}
		if entries := s.checkJournal(ours); len(entries) != 1 {
			t.Errorf("our journal has %d entries, want that of the institution alone", len(entries))
		}
		if after := len(s.checkJournal(theirs)); after != before {
			t.Errorf("their journal has %d entries more", after-before)
		}
	})
}

// either returns an id, or one that nobody has.
func either[K escrow.IDKind](id escrow.ID[K], nobodys bool) escrow.ID[K] {
	if nobodys {
		return escrow.ID[K]{1}
	}
	return id
}

func TestWhatDoesNotExistIsNotFound(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		nobody := escrow.InstitutionID{1}
		_, institution := s.Institution(t.Context(), nobody)
		_, policy := s.Policy(t.Context(), of, "US")
		_, command := s.Do(t.Context(), root(nobody, createPosition(escrow.AssetID{1}, "h", "10")))
		for want, err := range map[escrow.Code][]error{
			escrow.CodeInstitutionNotFound: {institution, command},
			escrow.CodePolicyNotFound:      {policy},
		} {
			for _, err := range err {
				if codeOf(err) != want {
					t.Errorf("%v, want the code %s", err, want)
				}
			}
		}
		accept[escrow.Policy](s, root(of, valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))))
		if policy, err := s.Policy(t.Context(), of, "US"); err != nil || policy.Region != "US" {
			t.Errorf("the policy is %+v, %v", policy, err)
		}
	})
}

// A server on a database that was not migrated says so, and does nothing.
func TestADatabaseThatIsNotMigratedIsNotReady(t *testing.T) {
	migrated := newSQLite(t)
	migrated.url = "sqlite:" + filepath.Join(t.TempDir(), "empty.db")
	s := migrated.start(t, newClock())
	_, listed := s.Institutions(t.Context(), escrow.Period{}, escrow.PageRequest{Limit: 1})
	_, done := s.Do(t.Context(), root(escrow.InstitutionID{}, createInstitution()))
	for what, err := range map[string]error{"readiness": s.Ready(t.Context()), "a query": listed, "a command": done} {
		if codeOf(err) != escrow.CodeStoreUnavailable {
			t.Errorf("%s: %v, want %s", what, err, escrow.CodeStoreUnavailable)
		}
	}
	if ready := s.metric("store_ready"); ready != 0 {
		t.Errorf("escrowgrid_store_ready is %d, want 0", ready)
	}
	if err := s.store.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err != nil {
		t.Errorf("after the migration: %v", err)
	}
	if ready := s.metric("store_ready"); ready != 1 {
		t.Errorf("escrowgrid_store_ready is %d after the migration, want 1", ready)
	}
	s.institution()
}

// A reader on any server sees every step that was acknowledged before it asked,
// though most of its answers come from memory.
func TestReadersSeeWhatWasAcknowledged(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		asset := servers[0].asset(of)
		const positions, steps = 4, 40
		var ids [positions]escrow.PositionID
		var acknowledged [positions]atomic.Int64
		for i := range ids {
			ids[i] = accept[escrow.Position](servers[0], root(of, createPosition(asset, "h", "1000"))).ID
			accept[escrow.Position](servers[1], root(of, transition(ids[i], escrow.StateFunded, "")))
			acknowledged[i].Store(2)
		}
		var writing, reading sync.WaitGroup
		done := make(chan struct{})
		for i, id := range ids {
			writing.Go(func() {
				for step := range steps {
					// Bursts on one server let it count on its books; then the other comes.
					s := servers[(i+step/10)%2]
					answer, err := s.Do(t.Context(), root(of, transition(id, escrow.StatePartiallyReleased, "1")))
					if err != nil {
						t.Errorf("step %d of position %d: %v", step, i, err)
						return
					}
					acknowledged[i].Store(resource[escrow.Position](answer).Version)
				}
			})
		}
		for reader := range 6 {
			reading.Go(func() {
				for i := reader; ; i++ {
					select {
					case <-done:
						return
					default:
					}
					place := i % positions
					least := acknowledged[place].Load()
					ctx := engine.WithSnapshot(t.Context())
					got, err := servers[reader%2].Position(ctx, of, ids[place])
					if err == nil {
						got, err = servers[reader%2].WithEvents(ctx, got)
					}
					if err != nil || got.Version < least || int64(len(got.Events)) != got.Version {
						t.Errorf("server %d shows version %d with %d events after %d was acknowledged, %v",
							reader%2, got.Version, len(got.Events), least, err)
						return
					}
				}
			})
		}
		writing.Wait()
		close(done)
		reading.Wait()
		for i, id := range ids {
			for _, s := range servers {
				if got := must(s.Position(t.Context(), of, id)); got.Version != steps+2 {
					t.Errorf("position %d has the version %d at the end, want %d", i, got.Version, steps+2)
				}
			}
		}
	})
}
