package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

type needs = map[escrow.InstitutionID]escrow.Needs

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
func appendTo(ctx context.Context, s *store.Store, random *rand.Rand, institutions ...escrow.InstitutionID) ([]escrow.Entry, error) {
	locks := make(needs)
	for _, id := range institutions {
		locks[id] = escrow.Needs{}
	}
	batch, err := s.Begin(ctx, locks)
	if err != nil {
		return nil, err
	}
	defer batch.Rollback(ctx)
	var entries []escrow.Entry
	for id := range locks {
		if err := execute(batch.Books(id), random); err != nil {
			return nil, err
		}
		entries = append(entries, batch.Books(id).Entries...)
	}
	return entries, batch.Commit(ctx)
}

// execute makes a key, or an institution where the books are the operator's.
func execute(books *escrow.Books, random *rand.Rand) error {
	var command escrow.Command
	var faults escrow.Faults
	id := books.InstitutionID()
	if id.IsZero() {
		command, faults = escrow.NewCreateInstitution(escrow.InstitutionInput{Name: "Meridian Bank", Regions: []string{"US"}})
	} else {
		hash := escrow.HashSecret(fmt.Sprint(random.Uint64()))
		command, faults = escrow.NewCreateKey(escrow.KeyInput{Label: "k", Role: "admin"}, hash)
	}
	if err := faults.Err(); err != nil {
		return err
	}
	outcome, err := books.Execute(
		escrow.Request{Institution: id, Actor: escrow.ActorRoot(), RequestID: "r", Command: command},
		escrow.Stamp{Now: time.Now(), Random: [2]uint64{random.Uint64(), random.Uint64()}, Secret: escrow.Secret{1}})
	if err == nil && outcome.Refusal != nil {
		err = outcome.Refusal
	}
	return err
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
	institutions := []escrow.InstitutionID{{}}
	for i := range 5 {
		made, err := appendTo(t.Context(), stores[i%2], random(uint64(i)), escrow.InstitutionID{})
		if err != nil {
			t.Fatal(err)
		}
		institutions = append(institutions, made[0].InstitutionID)
	}

	var working sync.WaitGroup
	made := make([][]escrow.Entry, workers)
	for worker := range workers {
		working.Go(func() {
			random := random(uint64(100 + worker))
			for range batches {
				var some []escrow.InstitutionID
				for _, i := range random.Perm(len(institutions))[:1+random.IntN(3)] {
					some = append(some, institutions[i])
				}
				entries, err := appendTo(t.Context(), stores[worker%2], random, some...)
				if errors.Is(err, store.ErrStale) {
					entries, err = appendTo(t.Context(), stores[worker%2], random, some...)
				}
				if err != nil {
					t.Errorf("worker %d: %v", worker, err)
					return
				}
				made[worker] = append(made[worker], entries...)
			}
		})
	}
	working.Wait()

	journals := make(map[escrow.InstitutionID]int64)
	for _, entries := range made {
		for _, entry := range entries {
			journals[entry.InstitutionID]++
		}
	}
	for _, id := range institutions[1:] {
		journals[id]++ // its own creation
	}
	for id, want := range journals {
		page, err := stores[0].Entries(t.Context(), id, escrow.EntryFilter{}, escrow.PageRequest{Limit: escrow.MaxPageSize})
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

// A server that was alone on a journal counts on what it remembers. It must see
// that another one has written since, also where it would write nothing itself.
func TestABatchOnBooksThatAreOutOfDateFails(t *testing.T) {
	stores := openTwo(t)
	if err := stores[0].Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(2027, 1))
	write := func(s *store.Store, of escrow.InstitutionID) escrow.Entry {
		t.Helper()
		entries, err := appendTo(t.Context(), s, random, of)
		if err != nil {
			t.Fatal(err)
		}
		return entries[0]
	}
	one, other := write(stores[0], escrow.InstitutionID{}).InstitutionID, write(stores[0], escrow.InstitutionID{}).InstitutionID
	for name, test := range map[string]struct {
		of        []escrow.InstitutionID
		execute   bool
		interfere func(of escrow.InstitutionID, entries []escrow.Entry)
	}{
		"an entry of another server": {
			[]escrow.InstitutionID{one},
			true,
			func(of escrow.InstitutionID, _ []escrow.Entry) { write(stores[1], of) },
		},
		"nothing to write": {
			[]escrow.InstitutionID{one},
			false,
			func(of escrow.InstitutionID, _ []escrow.Entry) { write(stores[1], of) },
		},
		"one of two journals": {
			[]escrow.InstitutionID{one, other},
			true,
			func(of escrow.InstitutionID, _ []escrow.Entry) { write(stores[1], of) },
		},
		// The operator's journal has no entries of its own.
		"an institution made by another server": {
			[]escrow.InstitutionID{{}},
			true,
			func(of escrow.InstitutionID, _ []escrow.Entry) { write(stores[1], of) },
		},
		// Who was told that a batch is not in the database must be told the truth.
		"a search for the batch's entry": {
			[]escrow.InstitutionID{one},
			true,
			func(_ escrow.InstitutionID, entries []escrow.Entry) {
				if committed, err := stores[0].Committed(t.Context(), entries[0]); committed || err != nil {
					t.Errorf("before its commit an entry is committed: %t, %v", committed, err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			locks := make(needs)
			for _, id := range test.of {
				locks[id] = escrow.Needs{}
				for range 6 { // The first few find out that nobody else writes.
					write(stores[0], id)
				}
			}
			batch, err := stores[0].Begin(t.Context(), locks)
			if err != nil {
				t.Fatal(err)
			}
			defer batch.Rollback(t.Context())
			if _, used, _ := stores[0].Connections(); used != 0 {
				t.Fatal("the batch holds a connection: it does not count on what is remembered")
			}
			of := test.of[len(test.of)-1]
			if test.execute {
				if err := execute(batch.Books(of), random); err != nil {
					t.Fatal(err)
				}
			}
			entries := batch.Books(of).Entries
			test.interfere(of, entries)
			if err := batch.Commit(t.Context()); !errors.Is(err, store.ErrStale) {
				t.Errorf("the batch was committed with %v, want %v", err, store.ErrStale)
			}
			for _, entry := range entries {
				if committed, err := stores[0].Committed(t.Context(), entry); committed || err != nil {
					t.Errorf("after ErrStale an entry is committed: %t, %v", committed, err)
				}
			}
			write(stores[0], of)
		})
	}
}

// A record that another request has left under the same key is not remembered: the
// batch must not put its own in its place.
func TestABatchOnAKnownKeyFails(t *testing.T) {
	t.Parallel()
	s := openTwo(t)[0]
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(2027, 2))
	made, err := appendTo(t.Context(), s, random, escrow.InstitutionID{})
	if err != nil {
		t.Fatal(err)
	}
	of := made[0].InstitutionID
	put := func() error {
		batch, err := s.Begin(t.Context(), needs{of: {Records: []string{"k"}}})
		if err != nil {
			return err
		}
		defer batch.Rollback(t.Context())
		if _, found := batch.Books(of).Records.Get("k"); found {
			return errFound
		}
		batch.Books(of).Records.Put("k", escrow.Record{Key: "k", Subject: "s", RequestID: "r", CreatedAt: time.Now()})
		return batch.Commit(t.Context())
	}
	for range 6 {
		if _, err := appendTo(t.Context(), s, random, of); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []error{nil, store.ErrStale, errFound} {
		if err := put(); !errors.Is(err, want) {
			t.Errorf("batch %d ends with %v, want %v", i+1, err, want)
		}
	}
}

var errFound = errors.New("the record is in the books")

func TestOneServerLeads(t *testing.T) {
	t.Parallel()
	stores := openTwo(t)
	ctx := t.Context()
	if err := stores[0].Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	nothing := func(context.Context) error { return nil }
	ran, err := stores[0].IfLeader(ctx, store.DutyExpiry, func(ctx context.Context) error {
		if ran, err := stores[1].IfLeader(ctx, store.DutyExpiry, nothing); ran || err != nil {
			t.Errorf("beside the first server the second one leads: %t, %v", ran, err)
		}
		if ran, err := stores[1].IfLeader(ctx, store.DutyPurge, nothing); !ran || err != nil {
			t.Errorf("in another duty the second server leads: %t, %v", ran, err)
		}
		return nil
	})
	if !ran || err != nil {
		t.Errorf("the first server leads: %t, %v", ran, err)
	}
	if ran, err := stores[1].IfLeader(ctx, store.DutyExpiry, nothing); !ran || err != nil {
		t.Errorf("after the first server the second one leads: %t, %v", ran, err)
	}
}

// A server that is frozen, and goes on when another has taken its duty over, writes
// nothing for it any more, and is told to stop.
func TestWhatAFrozenServerWritesIsFencedOff(t *testing.T) {
	t.Parallel()
	databaseURL := pgtest.Shared(t).NewDatabase(t)
	frozen, other := open(t, databaseURL), open(t, databaseURL)
	ctx := t.Context()
	if err := frozen.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	checkpoint := func(size int64) store.Checkpoint {
		return store.Checkpoint{Institution: escrow.InstitutionID{1}, Size: size, At: time.Now(), Note: []byte("note")}
	}

	ran, err := frozen.IfLeader(ctx, store.DutyCheckpoints, func(working context.Context) error {
		if err := frozen.AddCheckpoint(working, checkpoint(1), nil, nil); err != nil {
			t.Errorf("under its lease: %v", err)
		}
		// To the database a process that is frozen is one whose lease has run out.
		exec(t, databaseURL, "UPDATE duty_leases SET ends_at = '1970-01-01Z'")
		took, err := other.IfLeader(ctx, store.DutyCheckpoints, func(working context.Context) error {
			if err := frozen.AddCheckpoint(ctx, checkpoint(2), nil, nil); err != nil {
				t.Errorf("without a lease: %v", err)
			}
			return other.AddCheckpoint(working, checkpoint(3), nil, nil)
		})
		if !took || err != nil {
			t.Errorf("the other server takes over: %t, %v", took, err)
		}

		if err := frozen.AddCheckpoint(working, checkpoint(4), nil, nil); !errors.Is(err, store.ErrNotLeader) {
			t.Errorf("after it the first server writes with %v, want %v", err, store.ErrNotLeader)
		}
		<-working.Done()
		return context.Cause(working)
	})
	if !ran || !errors.Is(err, store.ErrNotLeader) {
		t.Errorf("the first server ends with %t, %v, want %v", ran, err, store.ErrNotLeader)
	}

	page, err := other.Checkpoints(ctx, escrow.InstitutionID{1}, escrow.PageRequest{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for _, c := range page.Items {
		sizes = append(sizes, c.Size)
	}
	if !slices.Equal(sizes, []int64{1, 2, 3}) {
		t.Errorf("there are checkpoints of the sizes %v, want 1, 2 and 3", sizes)
	}
}
