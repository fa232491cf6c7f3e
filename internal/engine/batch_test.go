package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// createPositions makes a batch of new positions of ten dollars, one for each
// holder.
func createPositions(asset escrow.AssetID, atomic bool, holders ...string) escrow.Command {
	inputs := make([]escrow.PositionInput, len(holders))
	for i, holder := range holders {
		inputs[i] = escrow.PositionInput{AssetID: asset.String(), HolderReference: holder, Currency: "USD", Amount: "10"}
	}
	return valid(escrow.NewCreationBatch(inputs, atomic))
}

// holders are so many names.
func holders(count int) []string {
	names := make([]string, count)
	for i := range names {
		names[i] = fmt.Sprint("holder-", i)
	}
	return names
}

func stepOf(id escrow.PositionID, to escrow.State, amount string) escrow.TransitionItem {
	item := escrow.TransitionItem{PositionID: id.String(), TransitionInput: escrow.TransitionInput{ToState: string(to)}}
	if amount != "" {
		item.Amount = new(money.Digits(amount))
	}
	return item
}

func lead(atomic bool, items ...escrow.TransitionItem) escrow.Command {
	return valid(escrow.NewTransitionBatch(items, atomic))
}

// codesOf are the codes of a batch's items, "" for those that were accepted.
func codesOf(items escrow.ItemRefusals) []escrow.Code {
	codes := make([]escrow.Code, len(items))
	for i, refusal := range items {
		if refusal != nil {
			codes[i] = refusal.Code
		}
	}
	return codes
}

// itemsOf are the refusals of a batch that was refused as a whole.
func itemsOf(err error) escrow.ItemRefusals {
	refusal, _ := err.(*escrow.Error) //nolint:errorlint // Do returns no other.
	if refusal == nil {
		return nil
	}
	return refusal.Items
}

// batchSum is how many commands were committed, over all batches.
func (s *server) batchSum() int {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatalf("gather: %v", err)
	}
	for _, family := range families {
		if family.GetName() == "escrowgrid_group_commands" {
			return int(family.GetMetric()[0].GetHistogram().GetSampleSum())
		}
	}
	return 0
}

// refused is how many commands were refused, by code, of those codes that there were.
func (s *server) refused() map[string]int {
	s.t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		s.t.Fatalf("gather: %v", err)
	}
	counts := make(map[string]int)
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if count := int(m.GetCounter().GetValue()); family.GetName() == "escrowgrid_commands_refused_total" && count > 0 {
				counts[m.GetLabel()[0].GetValue()] = count
			}
		}
	}
	return counts
}

// The largest batch there is, on either database: one transaction, an entry for
// each item, and each item's own answer.
func TestABatchIsOneTransaction(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		asset := s.asset(of)
		before, batches, commands := len(s.journal(of, escrow.EntryFilter{})), s.metric("group_commands"), s.batchSum()

		made := accept[escrow.BatchResults](s, root(of, createPositions(asset, false, holders(escrow.MaxBatchItems)...)))
		steps := make([]escrow.TransitionItem, len(made))
		for i, result := range made {
			if result.Refusal != nil || result.Position.HolderReference != fmt.Sprint("holder-", i) || result.Position.Version != 1 {
				t.Fatalf("item %d has the result %+v", i, result)
			}
			steps[i] = stepOf(result.Position.ID, escrow.StateFunded, "")
		}
		for i, result := range accept[escrow.BatchResults](s, root(of, lead(true, steps...))) {
			if result.Refusal != nil || result.Position.ID != made[i].Position.ID || result.Position.Held != 1000 {
				t.Fatalf("item %d has the result %+v", i, result)
			}
		}
		if got, sum := s.metric("group_commands")-batches, s.batchSum()-commands; got != 2 || sum != 2*escrow.MaxBatchItems {
			t.Errorf("the batches were %d commands in %d transactions", sum, got)
		}
		if added := len(s.checkJournal(of)) - before; added != 2*escrow.MaxBatchItems {
			t.Errorf("%d entries were added", added)
		}
	})
}

// A transaction has so many commands, or one request that is larger than that.
func TestABatchWeighsWhatItsItemsDo(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock(), func(c *engine.Config) { c.GroupSize = 10 })
		of := s.institution()
		asset := s.asset(of)
		some := func(count int) escrow.Request { return root(of, createPositions(asset, false, holders(count)...)) }
		single := root(of, createPosition(asset, "single", "10"))
		batches, commands := s.metric("group_commands"), s.batchSum()
		release := d.block(t, of)
		// Together go the first, which is alone; three; eight and one; twenty; ten; one.
		attempts := s.beginInOrder(t.Context(), single, single, single, single, some(8), single, some(20), some(10), single)
		release()
		for i, a := range attempts {
			if code := a.code(); code != "" {
				t.Errorf("request %d: %v", i, a.err)
			}
		}
		if got, sum := s.metric("group_commands")-batches, s.batchSum()-commands; got != 6 || sum != 44 {
			t.Errorf("%d commands were %d transactions, want 44 in 6", sum, got)
		}
		if waiting := s.metric("queue_commands"); waiting != 0 {
			t.Errorf("%d commands still wait", waiting)
		}
		s.checkJournal(of)
	})
}

// What was accepted is finished, also what no batch had room for yet.
func TestCloseFinishesBatchesThatWait(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock(), func(c *engine.Config) { c.GroupSize = 10 })
		of := s.institution()
		asset := s.asset(of)
		release := d.block(t, of)
		some := func(count int) escrow.Request { return root(of, createPositions(asset, false, holders(count)...)) }
		attempts := s.beginInOrder(t.Context(), some(1), some(8), some(8), some(20), some(1))
		closed := make(chan error)
		go func() { closed <- s.Close(context.Background()) }()
		eventually(t, "new commands are refused", func() bool {
			ctx, leave := context.WithCancel(t.Context())
			leave() // One that is accepted after all is dropped.
			_, err := s.Do(ctx, some(1))
			return escrow.ErrorCode(err) == escrow.CodeShuttingDown
		})
		release()
		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
		for i, a := range attempts {
			if code := a.code(); code != "" {
				t.Errorf("request %d was accepted before the end, and failed: %v", i, a.err)
			}
		}
		if positions := len(s.tables(of).Positions); positions != 38 {
			t.Errorf("there are %d positions, want 38", positions)
		}
	})
}

// What the queue holds is bounded in commands, not in requests.
func TestAFullQueueRefusesABatch(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock(), func(c *engine.Config) { c.Committers, c.QueueSize = 1, 10 })
		of := s.institution()
		asset := s.asset(of)
		some := func(count int) escrow.Request { return root(of, createPositions(asset, false, holders(count)...)) }
		single := root(of, createPosition(asset, "single", "10"))

		release := d.block(t, of)
		attempts := s.beginInOrder(t.Context(), single, some(8))
		refuse(s, some(3), escrow.CodeOverloaded)
		last := s.begin(t.Context(), some(2))
		eventually(t, "the queue is full", func() bool { return s.metric("queue_commands") == 10 })
		refuse(s, single, escrow.CodeOverloaded)
		if refused := s.refused()[string(escrow.CodeOverloaded)]; refused != 4 {
			t.Errorf("%d commands count as refused, want those of a batch of 3 and a single one", refused)
		}
		release()
		for i, a := range append(attempts, last) {
			if code := a.code(); code != "" {
				t.Errorf("request %d was accepted before the queue was full, and failed: %v", i, a.err)
			}
		}

		// One that is larger than the queue is taken while nothing else waits.
		release = d.block(t, of)
		attempts = s.beginInOrder(t.Context(), single, some(20))
		refuse(s, single, escrow.CodeOverloaded)
		refuse(s, some(20), escrow.CodeOverloaded)
		release()
		for i, a := range attempts {
			if code := a.code(); code != "" {
				t.Errorf("request %d, larger than the queue: %v", i, a.err)
			}
		}
		if positions := len(s.tables(of).Positions); positions != 32 {
			t.Errorf("there are %d positions, want 32", positions)
		}
	})
}

func TestRefusedItemsAreCountedByTheirCodes(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		position := accept[escrow.Position](s, root(of, createPosition(s.asset(of), "h", "10"))).ID
		steps := []escrow.TransitionItem{
			stepOf(position, escrow.StateReleased, ""), stepOf(position, escrow.StateFunded, ""),
			stepOf(escrow.PositionID{1}, escrow.StateFunded, ""), stepOf(position, "GONE", ""), stepOf(position, escrow.StateFunded, ""),
		}
		want := []escrow.Code{"invalid_transition", "", "position_not_found", "invalid_input", "invalid_transition"}
		_, err := s.Do(t.Context(), root(of, lead(true, steps...)))
		if diff := cmp.Diff(want, codesOf(itemsOf(err))); diff != "" || escrow.ErrorCode(err) != escrow.CodeBatchRefused {
			t.Errorf("refused as a whole with %v, the codes wanted (-) and given (+) are:\n%s", err, diff)
		}
		counted := map[string]int{"not_applied": 1, "invalid_transition": 2, "position_not_found": 1, "invalid_input": 1}
		if diff := cmp.Diff(counted, s.refused()); diff != "" {
			t.Errorf("refusals wanted (-) and counted (+):\n%s", diff)
		}
		results := accept[escrow.BatchResults](s, root(of, lead(false, steps...)))
		if diff := cmp.Diff(want, codesOf(results.Refusals())); diff != "" {
			t.Errorf("codes wanted (-) and given (+):\n%s", diff)
		}
		counted = map[string]int{"not_applied": 1, "invalid_transition": 4, "position_not_found": 2, "invalid_input": 2}
		if diff := cmp.Diff(counted, s.refused()); diff != "" {
			t.Errorf("refusals wanted (-) and counted (+):\n%s", diff)
		}
		if got := must(s.Position(t.Context(), of, position)); got.Version != 2 {
			t.Errorf("the position is %+v", got)
		}
		s.checkJournal(of)
	})
}

// A batch is answered or fails as a whole, and what the database refuses of one is
// not its neighbours'.
func TestAPoisonedBatchFailsAlone(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		d.poison(t, "positions", "holder_reference")
		s := d.start(t, newClock())
		of := s.institution()
		asset := s.asset(of)
		before := len(s.journal(of, escrow.EntryFilter{}))
		good := root(of, createPositions(asset, false, "a", "b", "c"))
		release := d.block(t, of)
		attempts := s.beginInOrder(t.Context(), good, good, root(of, createPosition(asset, "d", "10")),
			under("k", "poisoned", root(of, createPositions(asset, false, "a", "poison", "b"))), good)
		release()
		for i, a := range attempts {
			want := escrow.Code("")
			if i == 3 {
				want = escrow.CodeInternal
			}
			if got := a.code(); got != want {
				t.Errorf("request %d: the code is %q, want %q (%v)", i, got, want, a.err)
			}
		}
		if failed := s.refused()[string(escrow.CodeInternal)]; failed != 3 || s.metric("group_splits_total") == 0 {
			t.Errorf("%d commands count as failed, after %d splits", failed, s.metric("group_splits_total"))
		}
		if added := len(s.checkJournal(of)) - before; added != 10 {
			t.Errorf("%d entries were added, want 10", added)
		}
	})
}

// Where the answer to a COMMIT is lost, a batch is done once, with all its items.
func TestABatchWithoutAnAnswerIsLookedUp(t *testing.T) {
	for name, fate := range map[string]int32{
		"committed, and the answer lost": loseAnswer, "lost before the server had it": loseCommit, "committed by a server left with": cutBehind,
	} {
		t.Run(name, func(t *testing.T) {
			_, proxy, s := throughProxy(t)
			of := s.institution()
			asset := s.asset(of)
			for i := range 3 {
				before := len(s.journal(of, escrow.EntryFilter{}))
				proxy.next.Store(fate)
				request := under(fmt.Sprint(i), fmt.Sprint(i), root(of, createPositions(asset, i == 0, holders(5)...)))
				results := accept[escrow.BatchResults](s, request)
				if len(results.Refusals().Accepted()) != 5 {
					t.Errorf("the results are %+v", results)
				}
				answer, err := s.Do(t.Context(), request)
				if diff := cmp.Diff(escrow.Resource(results), answer.Resource, exactly()); diff != "" || err != nil || !answer.Replayed {
					t.Errorf("repeated, with %v and replayed %t, the results (-) are (+):\n%s", err, answer.Replayed, diff)
				}
				if added := len(s.journal(of, escrow.EntryFilter{})) - before; added != 5 {
					t.Errorf("%d entries were added, want 5", added)
				}
			}
			if unknown := s.metric("commits_unknown_total"); unknown != 3 {
				t.Errorf("%d commits were looked up, want 3", unknown)
			}
			s.checkJournal(of)
		})
	}
}

// A batch that was answered once is answered so ever after, also where its items
// were refused, whatever has become of the positions.
func TestABatchIsReplayed(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		asset := servers[0].asset(of)
		one := accept[escrow.Position](servers[0], root(of, createPosition(asset, "one", "10"))).ID
		other := accept[escrow.Position](servers[0], root(of, createPosition(asset, "other", "10"))).ID
		fund := []escrow.TransitionItem{stepOf(one, escrow.StateFunded, ""), stepOf(other, escrow.StateFunded, "")}
		// Turn by turn, so that an entry of the one position stands between those of the other.
		release := slices.Repeat([]escrow.TransitionItem{
			stepOf(one, escrow.StatePartiallyReleased, "1"), stepOf(other, escrow.StatePartiallyReleased, "4"),
		}, 4)
		missing := valid(escrow.NewCreationBatch([]escrow.PositionInput{
			{AssetID: escrow.AssetID{1}.String(), HolderReference: "h", Currency: "USD", Amount: "1"}, {Amount: "x"},
		}, false))
		requests := []escrow.Command{
			createPositions(asset, true, holders(3)...), lead(true, fund...), lead(false, release...), lead(true, release...), missing,
			lead(false, stepOf(one, escrow.StateCancelled, ""), stepOf(one, escrow.StateFunded, "")),
		}
		type answered struct {
			answer engine.Answer
			err    error
		}
		first := make([]answered, len(requests))
		for i, command := range requests {
			name := fmt.Sprint("batch ", i, " of ", of)
			first[i].answer, first[i].err = servers[i%2].Do(t.Context(), under(name, name, root(of, command)))
			if first[i].answer.Replayed {
				t.Fatalf("batch %d is a replay", i)
			}
		}
		if escrow.ErrorCode(first[3].err) != escrow.CodeBatchRefused {
			t.Errorf("the atomic batch is answered with %+v, %v", first[3].answer, first[3].err)
		}
		before := len(servers[0].checkJournal(of))
		for i, command := range requests {
			for _, s := range servers {
				name := fmt.Sprint("batch ", i, " of ", of)
				again, err := s.Do(t.Context(), under(name, name, root(of, command)))
				if diff := cmp.Diff(first[i].answer.Resource, again.Resource, exactly()); diff != "" || !again.Replayed {
					t.Errorf("batch %d: with replayed %t, the first results (-) and those of the repetition (+) differ:\n%s", i, again.Replayed, diff)
				}
				if diff := cmp.Diff(first[i].err, err, exactly()); diff != "" {
					t.Errorf("batch %d: the first refusal (-) and that of the repetition (+) differ:\n%s", i, diff)
				}
			}
			name := fmt.Sprint("batch ", i, " of ", of)
			refuse(servers[0], under(name, "another", root(of, command)), escrow.CodeIdempotencyKeyReused)
		}
		if after := len(servers[0].journal(of, escrow.EntryFilter{})); after != before {
			t.Errorf("the repetitions added %d entries", after-before)
		}
	})
}

// A key that has ended writes no batch, and the operator's books take none.
func TestABatchIsWrittenByWhoMay(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		batch := createPositions(s.asset(of), false, "a", "b")
		admin, _ := s.key(of, escrow.RoleAdmin, nil)
		reader, _ := s.key(of, escrow.RoleReadOnly, nil)
		accept[escrow.BatchResults](s, by(admin, batch))
		refuse(s, by(reader, batch), escrow.CodePermissionMissing)
		accept[escrow.APIKey](s, root(of, escrow.RevokeKey{Key: admin.ID}))
		refuse(s, by(admin, batch), escrow.CodeInvalidKey)
		refuse(s, root(escrow.InstitutionID{}, batch), escrow.CodeForbidden)
		entries := s.checkJournal(of)
		var actors []string
		for _, entry := range entries {
			if entry.Kind == escrow.KindPositionCreated {
				actors = append(actors, entry.Actor.String()+" "+entry.RequestID)
			}
		}
		if got, want := strings.Join(actors, ", "), fmt.Sprintf("%s req-1, %s req-1", admin.ID, admin.ID); got != want {
			t.Errorf("the positions were made by %s, want %s", got, want)
		}
	})
}
