package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// The same request at once from many callers is done once, and all are told the
// same.
func TestARepeatedRequestIsDoneOnce(t *testing.T) {
	const callers = 20
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		asset := servers[0].asset(of)
		institutions := len(servers[0].institutions())
		for name, command := range map[string]struct {
			institution escrow.InstitutionID
			command     escrow.Command
		}{
			"position":    {of, createPosition(asset, "h", "10")},
			"asset":       {of, valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: must(servers[0].Asset(t.Context(), of, asset)).TemplateID.String(), Label: "l"}))},
			"policy":      {of, valid(escrow.NewSetPolicy("SG", escrow.PolicyInput{}))},
			"key":         {of, valid(escrow.NewCreateKey(escrow.KeyInput{Label: "l", Role: "read_only"}, escrow.HashSecret("s")))},
			"batch":       {of, createPositions(asset, false, "h")},
			"institution": {escrow.InstitutionID{}, createInstitution()},
		} {
			before := len(servers[0].journal(of, escrow.EntryFilter{}))
			attempts := make([]*attempt, callers)
			unique := name + " " + of.String() // The operator's keys are those of all tests.
			for i := range attempts {
				r := under(unique, name, root(command.institution, command.command))
				r.RequestID = fmt.Sprint("req-", i)
				attempts[i] = servers[i%2].begin(t.Context(), r)
			}
			first, replays := engine.Answer{}, 0
			for i, a := range attempts {
				if code := a.code(); code != "" {
					t.Fatalf("%s, caller %d: %v", name, i, a.err)
				}
				if a.answer.Replayed {
					replays++
				} else {
					first = a.answer
				}
			}
			if replays != callers-1 {
				t.Errorf("%s: %d callers were told that they repeat another, want %d", name, replays, callers-1)
			}
			for _, a := range attempts {
				if diff := cmp.Diff(first.Resource, a.answer.Resource, exactly()); diff != "" {
					t.Errorf("%s: the first answer (-) and another (+) differ:\n%s", name, diff)
				}
				if a.answer.RequestID != first.RequestID || a.answer.Replayed && string(a.answer.Nonce) != unique {
					t.Errorf("%s: a replay has the request id %s and the nonce %q", name, a.answer.RequestID, a.answer.Nonce)
				}
			}
			want := 1
			if institution, ok := first.Resource.(escrow.Institution); ok {
				servers[1].checkJournal(institution.ID)
				want = 0 // It is in a journal of its own.
			}
			if after := len(servers[0].journal(of, escrow.EntryFilter{})); after != before+want {
				t.Errorf("%s: %d entries were added, want %d", name, after-before, want)
			}
		}
		servers[1].checkJournal(of)
		if made := len(servers[0].institutions()) - institutions; made != 1 {
			t.Errorf("%d institutions were made, want 1", made)
		}
	})
}

func TestAnotherRequestUnderTheSameKeyIsRefused(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of, other := servers[0].institution(), servers[0].institution()
		asset := servers[0].asset(of)
		first := accept[escrow.Position](servers[0], under("k", "this", root(of, createPosition(asset, "h", "10"))))
		for range 2 {
			refuse(servers[1], under("k", "that", root(of, createPosition(asset, "other", "10"))), escrow.CodeIdempotencyKeyReused)
		}
		// It is another key in another institution.
		accept[escrow.Policy](servers[1], under("k", "that", root(other, valid(escrow.NewSetPolicy("US", escrow.PolicyInput{})))))
		answer, err := servers[1].Do(t.Context(), under("k", "this", root(of, createPosition(asset, "h", "10"))))
		if err != nil || !answer.Replayed || resource[escrow.Position](answer).ID != first.ID {
			t.Errorf("after all that the first request answers %+v, %v", answer, err)
		}
		if positions := len(servers[0].tables(of).Positions); positions != 1 {
			t.Errorf("there are %d positions, want 1", positions)
		}
	})
}

// A refusal is an answer too: it stays one when the reason is gone.
func TestARefusalIsReplayed(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		position := accept[escrow.Position](servers[0], root(of, createPosition(servers[0].asset(of), "h", "10"))).ID
		release := under("k", "release", root(of, transition(position, escrow.StateReleased, "")))
		before := len(servers[0].journal(of, escrow.EntryFilter{}))
		first, err := servers[0].Do(t.Context(), release)
		if escrow.ErrorCode(err) != escrow.CodeInvalidTransition || first.Replayed {
			t.Fatalf("the first answer is %+v, %v; want the refusal %s", first, err, escrow.CodeInvalidTransition)
		}
		if after := len(servers[0].journal(of, escrow.EntryFilter{})); after != before {
			t.Errorf("the refusal added %d entries", after-before)
		}
		accept[escrow.Position](servers[0], root(of, transition(position, escrow.StateFunded, "")))
		for _, s := range servers {
			again, repeated := s.Do(t.Context(), release)
			if diff := cmp.Diff(err, repeated, exactly()); diff != "" || !again.Replayed {
				t.Errorf("repeated, with replayed %t, the refusal (-) is (+):\n%s", again.Replayed, diff)
			}
		}
		for i, s := range servers {
			decided := 1
			if s != servers[0] {
				decided = 0
			}
			if got := s.refused()[string(escrow.CodeInvalidTransition)]; got != decided {
				t.Errorf("decided once and read again twice, it counts as refused %d times at server %d", got, i)
			}
		}
		if got := must(servers[0].Position(t.Context(), of, position)); got.State != escrow.StateFunded {
			t.Errorf("the position is %s, want FUNDED", got.State)
		}

		// So is one with faults.
		expired := valid(escrow.NewCreateKey(escrow.KeyInput{Label: "l", Role: "admin", ExpiresAt: new("2020-01-01T00:00:00Z")}, escrow.HashSecret("s")))
		_, err = servers[0].Do(t.Context(), under("faults", "f", root(of, expired)))
		again, repeated := servers[1].Do(t.Context(), under("faults", "f", root(of, expired)))
		if diff := cmp.Diff(err, repeated, exactly()); diff != "" || !again.Replayed || err == nil {
			t.Errorf("repeated, with replayed %t, the faults (-) are (+):\n%s", again.Replayed, diff)
		}
	})
}

// What was answered once is answered ever after, whatever has become of the
// resource.
func TestAReplayIsTheOldAnswer(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		of := servers[0].institution()
		asset := servers[0].asset(of)
		admin, _ := servers[0].key(of, escrow.RoleAdmin, nil)
		position := accept[escrow.Position](servers[0], root(of, createPosition(asset, "h", "10"))).ID
		policy := func(most string) escrow.Command {
			return valid(escrow.NewSetPolicy("SG", escrow.PolicyInput{Position: escrow.RulesInput{MaxAmount: new(money.Digits(most))}}))
		}
		requests := []escrow.Request{
			by(admin, createPosition(asset, "h", "10")),
			by(admin, transition(position, escrow.StateFunded, "")),
			by(admin, transition(position, escrow.StatePartiallyReleased, "4")),
			by(admin, policy("100")),
			by(admin, transition(position, escrow.StateCancelled, "")),
			by(admin, policy("200")),
			root(of, valid(escrow.NewRotateKey(admin.ID, escrow.RotationInput{OverlapSeconds: new(int64(60))}, escrow.HashSecret("n")))),
			root(of, escrow.RevokeKey{Key: admin.ID}),
			root(of, escrow.RevokeKey{Key: admin.ID}), // changes nothing any more
			root(escrow.InstitutionID{}, createInstitution()),
		}
		answers := make([]engine.Answer, len(requests))
		for i := range requests {
			requests[i] = under(fmt.Sprint(of, i), fmt.Sprint(i), requests[i])
			var err error
			if answers[i], err = servers[i%2].Do(t.Context(), requests[i]); err != nil {
				t.Fatalf("request %d: %v", i, err)
			}
			servers[0].clock.advance(time.Second)
		}
		before := len(servers[0].checkJournal(of))
		for i, request := range requests {
			request.Actor = escrow.ActorRoot() // The key can ask no more.
			again, err := servers[(i+1)%2].Do(t.Context(), request)
			if err != nil || !again.Replayed {
				t.Errorf("request %d repeated: replayed is %t, error %v", i, again.Replayed, err)
			}
			if diff := cmp.Diff(answers[i].Resource, again.Resource, exactly()); diff != "" {
				t.Errorf("request %d: the first answer (-) and that of its repetition (+) differ:\n%s", i, diff)
			}
		}
		if after := len(servers[0].journal(of, escrow.EntryFilter{})); after != before {
			t.Errorf("the repetitions added %d entries", after-before)
		}
	})
}

// The histories that a replay reads have a bound, and a policy may be set more
// often than that.
func TestAReplayOfALongHistory(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		set := func(most int) escrow.Request {
			command := valid(escrow.NewSetPolicy("SG", escrow.PolicyInput{Position: escrow.RulesInput{
				MaxAmount: new(money.Digits(fmt.Sprint(most))),
			}}))
			return under(fmt.Sprint(most), fmt.Sprint(most), root(of, command))
		}
		var attempts []*attempt
		first, err := s.Do(t.Context(), set(1))
		if err != nil {
			t.Fatal(err)
		}
		for i := range escrow.MaxPositionEvents + 10 {
			attempts = append(attempts, s.begin(t.Context(), set(i+2)))
		}
		for i, a := range attempts {
			if code := a.code(); code != "" {
				t.Fatalf("policy %d: %v", i, a.err)
			}
		}
		last, err := s.Do(t.Context(), set(9999))
		if err != nil {
			t.Fatal(err)
		}
		for most, want := range map[int]engine.Answer{1: first, 2: attempts[0].answer, 9999: last} {
			again, err := s.Do(t.Context(), set(most))
			if diff := cmp.Diff(want.Resource, again.Resource, exactly()); diff != "" || err != nil || !again.Replayed {
				t.Errorf("with the most of %d, replayed %t, error %v, the first answer (-) and its repetition (+) differ:\n%s", most, again.Replayed, err, diff)
			}
		}
	})
}

// A request that failed for the server's own reasons is not an answer: repeated,
// it is done.
func TestAFailureIsNotRemembered(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		d.exec(t, "CREATE TRIGGER fails BEFORE INSERT ON positions BEGIN SELECT RAISE(ABORT, 'fails'); END",
			"CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'fails'; END $$",
			"CREATE TRIGGER fails BEFORE INSERT ON positions FOR EACH ROW EXECUTE FUNCTION fails()")
		s := d.start(t, newClock())
		of := s.institution()
		request := under("k", "position", root(of, createPosition(s.asset(of), "h", "10")))
		refuse(s, request, escrow.CodeInternal)
		d.exec(t, "DROP TRIGGER fails", "DROP TRIGGER fails ON positions")
		answer, err := s.Do(t.Context(), request)
		if err != nil || answer.Replayed {
			t.Errorf("repeated: replayed is %t, error %v; want it done", answer.Replayed, err)
		}
		s.checkJournal(of)
	})
}
