package engine_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// Commands that wait together are one transaction, in which each sees what those
// before it did, and a refusal concerns its command alone.
func TestCommandsOfABatchFollowEachOther(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		position := accept[escrow.Position](s, root(of, createPosition(s.asset(of), "h", "10"))).ID
		key, _ := s.key(of, escrow.RoleAdmin, nil)
		batches := s.metric("group_commands")

		release := d.block(t, of)
		steps := []struct {
			request escrow.Request
			want    escrow.Code
		}{
			{by(key, transition(position, escrow.StateFunded, "")), ""},
			{by(key, transition(position, escrow.StateFunded, "")), escrow.CodeInvalidTransition},
			{by(key, transition(position, escrow.StatePartiallyReleased, "4")), ""},
			{by(key, transition(position, escrow.StatePartiallyReleased, "6")), escrow.CodeTransitionAmount},
			{root(of, escrow.RevokeKey{Key: key.ID}), ""},
			{by(key, transition(position, escrow.StatePartiallyReleased, "1")), escrow.CodeInvalidKey},
			{root(of, transition(position, escrow.StateReleased, "6")), ""},
			{root(of, transition(position, escrow.StateCancelled, "")), escrow.CodeInvalidTransition},
		}
		requests := []escrow.Request{root(of, createPosition(escrow.AssetID{}, "h", "1"))} // It is alone in its batch.
		for _, step := range steps {
			requests = append(requests, step.request)
		}
		attempts := s.beginInOrder(t.Context(), requests...)
		release()

		for i, step := range steps {
			if got := attempts[i+1].code(); got != step.want {
				t.Errorf("step %d, %T: the code is %q, want %q (%v)", i+1, step.request.Command, got, step.want, attempts[i+1].err)
			}
		}
		if got := s.metric("group_commands") - batches; got != 2 {
			t.Errorf("the commands were %d transactions, want 2", got)
		}
		got, err := s.Position(t.Context(), of, position)
		if err != nil || got.State != escrow.StateReleased || got.Released != 1000 || got.Version != 4 {
			t.Errorf("the position is %+v, %v", got, err)
		}
		s.checkJournal(of)
	})
}

// A batch goes through for all of its commands but those that the database
// itself refuses.
func TestAPoisonedCommandFailsAlone(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		d.poison(t, "positions", "holder_reference")
		s := d.start(t, newClock())
		of := s.institution()
		asset := s.asset(of)
		before, batches := len(s.journal(of, escrow.EntryFilter{})), s.metric("group_commands")

		release := d.block(t, of)
		var requests []escrow.Request
		for i := range 10 {
			holder := fmt.Sprint("holder-", i)
			if i == 3 || i == 8 {
				holder = "poison"
			}
			requests = append(requests, root(of, createPosition(asset, holder, "10")))
		}
		attempts := s.beginInOrder(t.Context(), requests...)
		release()

		for i, a := range attempts {
			want := escrow.Code("")
			if i == 3 || i == 8 {
				want = escrow.CodeInternal
			}
			if got := a.code(); got != want {
				t.Errorf("command %d: the code is %q, want %q", i, got, want)
			}
			if want != "" && (strings.Contains(a.answerText(), "poison") || !strings.Contains(a.err.Error(), "poison")) {
				t.Errorf("command %d: the client is told %q, the log %q", i, a.answerText(), a.err)
			}
		}
		// The nine that waited were one batch: only a batch of several is cut.
		if s.metric("group_splits_total") == 0 || s.metric("group_commands")-batches >= 9 {
			t.Errorf("there were %d splits and %d transactions", s.metric("group_splits_total"), s.metric("group_commands")-batches)
		}
		if after := len(s.checkJournal(of)); after != before+8 {
			t.Errorf("%d entries were added, want 8", after-before)
		}
		refuse(s, root(of, createPosition(asset, "poison", "10")), escrow.CodeInternal)
		accept[escrow.Position](s, root(of, createPosition(asset, "holder", "10")))
	})
}

// answerText is what an attempt's client is told.
func (a *attempt) answerText() string {
	if refusal, ok := a.err.(*escrow.Error); ok { //nolint:errorlint // Do returns no other.
		return refusal.Detail
	}
	return fmt.Sprintf("not a domain error: %v", a.err)
}

// Institutions of one batch are one transaction, and the poison of one is not
// the other's.
func TestAPoisonedCommandFailsAloneAmongInstitutions(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		d.poison(t, "assets", "label")
		s := d.start(t, newClock(), func(c *engine.Config) { c.Committers = 1 })
		one, other := s.institution(), s.institution()
		assets := map[escrow.InstitutionID]escrow.AssetID{one: s.asset(one), other: s.asset(other)}
		template := must(s.Asset(t.Context(), one, assets[one])).TemplateID
		poison := valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template.String(), Label: "poison"}))

		release := d.block(t, one)
		attempts := s.beginInOrder(t.Context(),
			root(one, createPosition(assets[one], "h", "1")), root(other, createPosition(assets[other], "h", "1")), root(one, poison),
			root(escrow.InstitutionID{}, createInstitution()), root(one, createPosition(assets[one], "h", "1")))
		release()
		for i, a := range attempts {
			if got := a.code(); (got == escrow.CodeInternal) != (i == 2) || got != "" && i != 2 {
				t.Errorf("command %d: %v", i, a.err)
			}
		}
		if s.metric("group_splits_total") == 0 {
			t.Error("the commands were not in one batch")
		}
		s.checkJournal(one)
		s.checkJournal(other)
		s.checkJournal(resource[escrow.Institution](attempts[3].answer).ID)
	})
}

func TestAFullQueueRefusesAtOnce(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock(), func(c *engine.Config) { c.Committers, c.QueueSize = 1, 2 })
		of := s.institution()
		create := root(of, createPosition(s.asset(of), "h", "10"))

		release := d.block(t, of)
		attempts := s.beginInOrder(t.Context(), create, create, create)
		// At once: the lock is still held while this waits for the answer.
		refuse(s, create, escrow.CodeOverloaded)
		refuse(s, create, escrow.CodeOverloaded)
		// So a caller who asks before need not even make the command.
		if err := s.Admit(of); escrow.ErrorCode(err) != escrow.CodeOverloaded {
			t.Errorf("a full queue admits one more: %v", err)
		}
		release()

		for i, a := range attempts {
			if code := a.code(); code != "" {
				t.Errorf("command %d was accepted before the queue was full, and failed: %v", i, a.err)
			}
		}
		if positions := len(s.tables(of).Positions); positions != 3 {
			t.Errorf("there are %d positions, want 3", positions)
		}
		if err := s.Admit(of); err != nil {
			t.Errorf("an empty queue does not admit: %v", err)
		}
		accept[escrow.Position](s, create)
	})
}

// The commands of one institution fill one of the queues, which is what is shown: all of
// them together have room.
func TestTheFullestQueueIsShown(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock(), func(c *engine.Config) { c.Committers, c.QueueSize = 2, 8 })
		of := s.institution()
		create := root(of, createPosition(s.asset(of), "h", "10"))
		release := d.block(t, of)
		attempts := s.beginInOrder(t.Context(), create, create, create, create)
		// One is under way, and three of the four that fit wait behind it.
		if got, waiting := s.measure("queue_fullness_ratio"), s.metric("queue_commands"); got != 0.75 || waiting != 3 {
			t.Errorf("the fullest queue is %v full, and %d commands wait: want 0.75 and 3", got, waiting)
		}
		release()
		for i, a := range attempts {
			if code := a.code(); code != "" {
				t.Errorf("command %d: %v", i, a.err)
			}
		}
		if got := s.measure("queue_fullness_ratio"); got != 0 {
			t.Errorf("without commands, the fullest queue is %v full", got)
		}
	})
}

func TestACommandWhoseCallerHasGoneIsDropped(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		asset := s.asset(of)

		release := d.block(t, of)
		first := s.beginInOrder(t.Context(), root(of, createPosition(asset, "first", "10")))[0]
		ctx, leave := context.WithCancel(t.Context())
		gone := s.begin(ctx, root(of, createPosition(asset, "gone", "10")))
		eventually(t, "the command waits", func() bool { return s.metric("queue_commands") == 1 })
		leave()
		if got := gone.code(); got != escrow.CodeRequestTimeout {
			t.Errorf("the caller that left is told %v, want %s", gone.err, escrow.CodeRequestTimeout)
		}
		release()

		if code := first.code(); code != "" {
			t.Errorf("the command before it: %v", first.err)
		}
		accept[escrow.Position](s, root(of, createPosition(asset, "last", "10")))
		var holders []string
		for _, position := range s.tables(of).Positions {
			holders = append(holders, position.HolderReference)
		}
		if got := fmt.Sprint(holders); got != "[first last]" || s.metric("commands_dropped_total") != 1 {
			t.Errorf("there are positions of %s, and %d commands were dropped", got, s.metric("commands_dropped_total"))
		}
		refuseGone(t, s, root(of, createPosition(asset, "late", "10")))
	})
}

// refuseGone carries out a request whose caller has gone before it.
func refuseGone(t *testing.T, s *server, r escrow.Request) {
	t.Helper()
	ctx, leave := context.WithCancel(t.Context())
	leave()
	before := len(s.journal(r.Institution, escrow.EntryFilter{}))
	if _, err := s.Do(ctx, r); escrow.ErrorCode(err) != escrow.CodeRequestTimeout {
		t.Errorf("a caller that had left is told %v, want %s", err, escrow.CodeRequestTimeout)
	}
	if after := len(s.journal(r.Institution, escrow.EntryFilter{})); after != before {
		t.Errorf("its command added %d entries", after-before)
	}
}

// ending is a context that ends with an error of the test's choice when it says so.
type ending struct {
	context.Context //nolint:containedctx // It is one.

	done chan struct{}
	err  error
}

func (e ending) Done() <-chan struct{} { return e.done }

func (e ending) Err() error {
	select {
	case <-e.done:
		return e.err
	default:
		return nil
	}
}

// A caller that goes away in the middle does not stop what has begun, and is told
// that it cannot know. It counts where somebody was there to be told.
func TestACallerThatGoesTooLateCannotKnow(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		for name, test := range map[string]struct {
			end     error
			counted int
		}{
			"its time is up": {end: context.DeadlineExceeded, counted: 1},
			"it left":        {end: context.Canceled, counted: 0},
		} {
			t.Run(name, func(t *testing.T) {
				s := d.start(t, newClock())
				of := s.institution()
				create := under("k", "position", root(of, createPosition(s.asset(of), "h", "10")))

				release := d.block(t, of)
				ctx := ending{Context: t.Context(), done: make(chan struct{}), err: test.end}
				a := s.beginInOrder(ctx, create)[0]
				close(ctx.done)
				if got := a.code(); got != escrow.CodeOutcomeUnknown {
					t.Errorf("the caller is told %v, want %s", a.err, escrow.CodeOutcomeUnknown)
				}
				release()

				answer, err := s.Do(t.Context(), create)
				if err != nil || !answer.Replayed || len(s.tables(of).Positions) != 1 {
					t.Errorf("repeated: %+v, %v, with %d positions; want a replay", answer, err, len(s.tables(of).Positions))
				}
				if got := s.refused()[string(escrow.CodeOutcomeUnknown)]; got != test.counted {
					t.Errorf("%d outcomes count as unknown, want %d", got, test.counted)
				}
			})
		}
	})
}

// Close finishes what was accepted, refuses the rest, and leaves nothing running.
func TestCloseFinishesWhatWasAccepted(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		running := goleak.IgnoreCurrent()
		s := d.start(t, newClock())
		of := s.institution()
		create := root(of, createPosition(s.asset(of), "h", "10"))
		s.NoteSecurityEvent(netip.Prefix{}, escrow.SecurityEvent{InstitutionID: of, Actor: "unknown", Code: escrow.CodeInvalidKey})

		release := d.block(t, of)
		attempts := s.beginInOrder(t.Context(), create, create, create, create)
		closed := make(chan error)
		go func() { closed <- s.Close(context.Background()) }()
		eventually(t, "new commands are refused", func() bool {
			ctx, leave := context.WithCancel(t.Context())
			leave() // One that is accepted after all is dropped.
			_, err := s.Do(ctx, create)
			return escrow.ErrorCode(err) == escrow.CodeShuttingDown
		})
		release()

		if err := <-closed; err != nil {
			t.Errorf("close: %v", err)
		}
		for i, a := range attempts {
			if code := a.code(); code != "" {
				t.Errorf("command %d was accepted before the end, and failed: %v", i, a.err)
			}
		}
		refuse(s, create, escrow.CodeShuttingDown)
		if positions := len(s.tables(of).Positions); positions != 4 {
			t.Errorf("there are %d positions, want 4", positions)
		}
		page, err := s.SecurityEvents(t.Context(), escrow.SecurityEventFilter{Institution: &of}, escrow.PageRequest{Limit: 10})
		if err != nil || len(page.Items) != 1 {
			t.Errorf("refused attempts: %+v, %v; want the one that waited", page.Items, err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("close again: %v", err)
		}
		if err := s.closeStore(); err != nil {
			t.Errorf("close the store: %v", err)
		}
		// goleak itself looks for half a second only.
		eventually(t, "nothing runs on", func() bool { return goleak.Find(running) == nil })
	})
}

// What Close has no time for is given up: its callers are told, and nothing of it
// is done.
func TestCloseGivesUpWhatItHasNoTimeFor(t *testing.T) {
	eachDatabase(t, func(t *testing.T, d database) {
		s := d.start(t, newClock())
		of := s.institution()
		create := root(of, createPosition(s.asset(of), "h", "10"))
		release := d.block(t, of)
		attempts := s.beginInOrder(t.Context(), create, create, create)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := s.Close(ctx); err == nil {
			t.Error("close says that all was done")
		}
		for i, a := range attempts {
			if code := a.code(); code != escrow.CodeStoreUnavailable {
				t.Errorf("command %d: %v, want %s", i, a.err, escrow.CodeStoreUnavailable)
			}
		}
		release()
		if positions := len(s.tables(of).Positions); positions != 0 {
			t.Errorf("there are %d positions, want none", positions)
		}
	})
}
