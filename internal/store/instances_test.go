package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid"
	"github.com/escrowgrid/escrowgrid/internal/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

type needs = map[escrowgrid.InstitutionID]escrowgrid.Needs

// openTwo opens a PostgreSQL database in two stores, as two servers do that share
// it.
func openTwo(t *testing.T) [2]*store.Store {
	t.Helper()
	databaseURL := pgtest.Shared(t).NewDatabase(t)
	return [2]*store.Store{open(t, databaseURL), open(t, databaseURL)}
}

func TestServersMigrateTogether(t *testing.T) {
	t.Parallel()
	var starting sync.WaitGroup
	for _, s := range openTwo(t) {
		starting.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Errorf("migrate: %v", err)
			}
			if err := s.CheckSchema(t.Context()); err != nil {
				t.Errorf("after it: %v", err)
			}
		})
	}
	starting.Wait()
}

// appendTo commits a batch that makes a key in each of some institutions, and an
// institution where the operator's books are among them. It returns those made.
func appendTo(ctx context.Context, s *store.Store, random *rand.Rand, institutions ...escrowgrid.InstitutionID) ([]escrowgrid.Entry, error) {
	locks := make(needs)
	for _, id := range institutions {
		locks[id] = escrowgrid.Needs{}
	}
	batch, err := s.Begin(ctx, locks)
	if err != nil {
		return nil, err
	}
	defer batch.Rollback(ctx)
	var entries []escrowgrid.Entry
	for id := range locks {
		var command escrowgrid.Command
		if id.IsZero() {
			command, err = escrowgrid.NewCreateInstitution(escrowgrid.InstitutionInput{Name: "Meridian Bank", Regions: []string{"US"}})
		} else {
			hash := escrowgrid.HashSecret(fmt.Sprint(random.Uint64()))
			command, err = escrowgrid.NewCreateKey(escrowgrid.KeyInput{Label: "k", Role: "admin"}, hash)
		}
		if err != nil {
			return nil, err
		}
		outcome, err := batch.Books(id).Execute(
			escrowgrid.Request{Institution: id, Actor: escrowgrid.ActorRoot(), RequestID: "r", Command: command},
			escrowgrid.Stamp{Now: time.Now(), Random: [2]uint64{random.Uint64(), random.Uint64()}})
		if err != nil {
			return nil, err
		}
		if outcome.Refusal != nil {
			return nil, outcome.Refusal
		}
		entries = append(entries, batch.Books(id).Entries...)
	}
	return entries, batch.Commit(ctx)
}

// Batches of several servers on the same institutions, and on several of them in
// any order, neither lose an entry nor lock each other up.
func TestServersShareADatabase(t *testing.T) {
	t.Parallel()
	const workers, batches = 8, 20
	stores := openTwo(t)
	if err := stores[0].Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	random := func(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(2027, seed)) }
	institutions := []escrowgrid.InstitutionID{{}}
	for i := range 5 {
		made, err := appendTo(t.Context(), stores[i%2], random(uint64(i)), escrowgrid.InstitutionID{})
		if err != nil {
			t.Fatal(err)
		}
		institutions = append(institutions, made[0].InstitutionID)
	}

	var working sync.WaitGroup
	made := make([][]escrowgrid.Entry, workers)
	for worker := range workers {
		working.Go(func() {
			random := random(uint64(100 + worker))
			for range batches {
				var some []escrowgrid.InstitutionID
				for _, i := range random.Perm(len(institutions))[:1+random.IntN(3)] {
					some = append(some, institutions[i])
				}
				entries, err := appendTo(t.Context(), stores[worker%2], random, some...)
				if err != nil {
					t.Errorf("worker %d: %v", worker, err)
					return
				}
				made[worker] = append(made[worker], entries...)
			}
		})
	}
	working.Wait()

	journals := make(map[escrowgrid.InstitutionID]int64)
	for _, entries := range made {
		for _, entry := range entries {
			journals[entry.InstitutionID]++
		}
	}
	for _, id := range institutions[1:] {
		journals[id]++ // its own creation
	}
	for id, want := range journals {
		page, err := stores[0].Entries(t.Context(), id, escrowgrid.EntryFilter{}, escrowgrid.PageRequest{Limit: escrowgrid.MaxPageSize})
		if err != nil || page.More {
			t.Fatalf("journal of %s: more is %t, %v", id, page.More, err)
		}
		for i, entry := range page.Items {
			if entry.Sequence != int64(i+1) || i > 0 && !entry.At.After(page.Items[i-1].At) {
				t.Errorf("entry %d of %s has the sequence %d and the time %s", i, id, entry.Sequence, entry.At)
			}
		}
		head, _, err := stores[1].Head(t.Context(), id)
		if err != nil || head.Sequence != want || int64(len(page.Items)) != want {
			t.Errorf("the journal of %s has %d entries and ends at %d, %v; want %d", id, len(page.Items), head.Sequence, err, want)
		}
	}
}

func TestOneServerLeads(t *testing.T) {
	t.Parallel()
	stores := openTwo(t)
	ctx := t.Context()
	nothing := func(context.Context) error { return nil }
	ran, err := stores[0].Lead(ctx, store.LeadExpiry, func(ctx context.Context) error {
		if ran, err := stores[1].Lead(ctx, store.LeadExpiry, nothing); ran || err != nil {
			t.Errorf("beside the first server the second one leads: %t, %v", ran, err)
		}
		if ran, err := stores[1].Lead(ctx, store.LeadPurge, nothing); !ran || err != nil {
			t.Errorf("in another duty the second server leads: %t, %v", ran, err)
		}
		return nil
	})
	if !ran || err != nil {
		t.Errorf("the first server leads: %t, %v", ran, err)
	}
	if ran, err := stores[1].Lead(ctx, store.LeadExpiry, nothing); !ran || err != nil {
		t.Errorf("after the first server the second one leads: %t, %v", ran, err)
	}
}
