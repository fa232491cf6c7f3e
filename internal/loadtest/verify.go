package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// Correctness is what was found when everything that a run left was read back.
type Correctness struct {
	Passed bool `json:"passed"`
	// Acknowledged and Refused count the operations that the server answered; the
	// unknown ones turned out to be carried out or not.
	Acknowledged   int `json:"acknowledged"`
	Refused        int `json:"refused"`
	UnknownDone    int `json:"unknownDone"`
	UnknownNotDone int `json:"unknownNotDone"`
	Journals       int `json:"journals"`
	Entries        int `json:"entries"`
	Positions      int `json:"positions"`
	// Differences are at most maxDifferences of DifferenceCount.
	DifferenceCount int      `json:"differenceCount"`
	Differences     []string `json:"differences"`
}

const maxDifferences = 1000

func (c *Correctness) differ(format string, args ...any) {
	c.DifferenceCount++
	if len(c.Differences) < maxDifferences {
		c.Differences = append(c.Differences, fmt.Sprintf(format, args...))
	}
}

// journalEntry is an entry as the audit trail shows it.
type journalEntry struct {
	Sequence  int64
	Kind      escrow.Kind
	Subject   string
	RequestID string
	Details   json.RawMessage
}

// step is the part of an entry's details that concerns a position.
type step struct {
	ToState  escrow.State
	Currency money.Currency
	Amount   string
}

// shownPosition is a position as a list shows it.
type shownPosition struct {
	ID                                       string
	State                                    escrow.State
	Currency                                 money.Currency
	Version                                  int64
	Amount, Funded, Released, Refunded, Held string
}

// verify reads back over the API what the operations left.
func verify(ctx context.Context, s *testbed.Server, tenants []testbed.Tenant, operations *operations) (Correctness, error) {
	v := &verification{
		Correctness: Correctness{Differences: []string{}}, entries: make(map[string][]journalEntry),
	}
	journals, err := journalsOf(ctx, s, tenants, operations)
	if err != nil {
		return v.Correctness, err
	}
	for _, institution := range slices.Sorted(maps.Keys(journals)) {
		if err := v.readJournal(ctx, s, institution, journals[institution]); err != nil {
			return v.Correctness, err
		}
	}
	for id, operation := range operations.byID {
		v.checkOperation(id, operation)
	}
	slices.Sort(v.Differences)
	v.Passed = v.DifferenceCount == 0
	return v.Correctness, nil
}

// journalsOf returns the institutions of a test with the keys that read them:
// those that it was given, and those that its operations made.
func journalsOf(ctx context.Context, s *testbed.Server, tenants []testbed.Tenant, operations *operations) (map[string]string, error) {
	journals := make(map[string]string)
	for _, t := range tenants {
		journals[t.InstitutionID] = t.APIKey
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(operations.byID)), func(o *operation) bool { return o.kind == "institution" }) {
		return journals, nil
	}
	// Also those whose making was not acknowledged.
	type institution struct {
		ID        string
		CreatedAt time.Time
	}
	var first institution
	if err := s.Call(ctx, s.RootKey, "GET", "/institutions/"+tenants[0].InstitutionID, nil, &first); err != nil {
		return nil, err
	}
	query := url.Values{"createdFrom": {first.CreatedAt.Format(time.RFC3339Nano)}}
	err := apiclient.List(ctx, s.Client, s.RootKey, "/institutions", query, func(i institution) error {
		if journals[i.ID] == "" {
			journals[i.ID] = s.RootKey
		}
		return nil
	})
	return journals, err
}

// verification is a reading back that is under way.
type verification struct {
	Correctness
	// entries are those of all journals, by the request that made them.
	entries map[string][]journalEntry
}

// readJournal reads one institution's journal and its positions, and checks each
// by itself and the two against each other.
func (v *verification) readJournal(ctx context.Context, s *testbed.Server, institution, key string) error {
	v.Journals++
	query := func() url.Values { return url.Values{"institutionId": {institution}} }
	lives := make(map[string]*life)
	next := int64(1)
	err := apiclient.List(ctx, s.Client, key, "/audit-events", query(), func(e journalEntry) error {
		if e.Sequence != next {
			v.differ("the journal of %s has the sequence %d where %d is due", institution, e.Sequence, next)
		}
		next = e.Sequence + 1
		v.Entries++
		v.entries[e.RequestID] = append(v.entries[e.RequestID], e)
		if e.Kind == escrow.KindPositionCreated || e.Kind == escrow.KindPositionStateChanged {
			if lives[e.Subject] == nil {
				lives[e.Subject] = &life{}
			}
			if err := lives[e.Subject].apply(e); err != nil {
				v.differ("entry %d of %s: %s", e.Sequence, institution, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	seen := make(map[string]bool)
	err = apiclient.List(ctx, s.Client, key, "/positions", query(), func(p shownPosition) error {
		v.Positions++
		if seen[p.ID] {
			v.differ("the position %s is listed twice", p.ID)
		}
		seen[p.ID] = true
		l, ok := lives[p.ID]
		if !ok {
			v.differ("the position %s has no entry in the journal", p.ID)
			return nil
		}
		if err := l.compare(p); err != nil {
			v.differ("the position %s: %s", p.ID, err)
		}
		return nil
	})
	for id := range lives {
		if err == nil && !seen[id] {
			v.differ("the position %s is in the journal, but not among the positions", id)
		}
	}
	return err
}

// checkOperation compares what a client was told with what the journals have.
func (v *verification) checkOperation(id string, o *operation) {
	entries := v.entries[id]
	if len(entries) > 1 {
		v.differ("operation %s (%s) was carried out %d times", id, o.kind, len(entries))
	}
	done := len(entries) > 0
	switch o.outcome {
	case outcomeOK:
		v.Acknowledged++
		if !done {
			v.differ("operation %s (%s %s) was acknowledged, but is in no journal", id, o.kind, o.subject)
		}
	case outcomeRefused:
		v.Refused++
		if done {
			v.differ("operation %s (%s) was refused with %s, but is in the journal", id, o.kind, o.code)
		}
	default:
		if done {
			v.UnknownDone++
		} else {
			v.UnknownNotDone++
		}
	}
	if !done {
		return
	}
	entry := entries[0]
	if o.subject != "" && o.subject != entry.Subject {
		v.differ("operation %s was answered with %s, but the journal has it on %s", id, o.subject, entry.Subject)
	}
	if entry.Kind == escrow.KindPositionStateChanged {
		var s step
		if err := json.Unmarshal(entry.Details, &s); err != nil || string(s.ToState) != o.kind {
			v.differ("operation %s was to lead to %s, but the journal has %s", id, o.kind, s.ToState)
		}
	}
}

// life is what a position's entries make of it, in minor units.
type life struct {
	state                                    escrow.State
	amount, funded, released, refunded, held money.Amount
	steps                                    int64
}

// apply adds an entry. The rules here are those of the lifecycle, put down a
// second time: the server's own word is what is being checked.
func (l *life) apply(e journalEntry) error {
	var s step
	if err := json.Unmarshal(e.Details, &s); err != nil {
		return fmt.Errorf("details: %w", err)
	}
	var moved money.Amount
	if s.Amount != "" {
		var err error
		if moved, err = money.ParseAmount(s.Amount, s.Currency); err != nil {
			return fmt.Errorf("amount %q: %w", s.Amount, err)
		}
	}
	l.steps++
	if e.Kind == escrow.KindPositionCreated {
		l.state, l.amount = escrow.StateCreated, moved
		return nil
	}
	switch l.state = s.ToState; s.ToState {
	case escrow.StateFunded:
		l.funded, l.held = l.funded+moved, l.held+moved
	case escrow.StatePartiallyReleased, escrow.StateReleased:
		l.released, l.held = l.released+moved, l.held-moved
	case escrow.StateCancelled, escrow.StateExpired:
		l.refunded, l.held = l.refunded+moved, l.held-moved
	case escrow.StateCreated:
		return fmt.Errorf("a position went back to %s", s.ToState)
	}
	if l.held < 0 {
		return fmt.Errorf("%s is less than nothing", l.held.Format(s.Currency))
	}
	return nil
}

// compare returns what is different in the position that the server shows.
func (l *life) compare(p shownPosition) error {
	if p.State != l.state || p.Version != l.steps {
		return fmt.Errorf("it is %s, version %d; its entries make it %s, version %d", p.State, p.Version, l.state, l.steps)
	}
	for _, money := range []struct {
		name  string
		shown string
		made  money.Amount
	}{
		{"amount", p.Amount, l.amount},
		{"funded", p.Funded, l.funded},
		{"released", p.Released, l.released},
		{"refunded", p.Refunded, l.refunded},
		{"held", p.Held, l.held},
		{"funded less released and refunded", p.Held, l.funded - l.released - l.refunded},
	} {
		if made := money.made.Format(p.Currency); made != money.shown {
			return fmt.Errorf("%s is %s; its entries make it %s", money.name, money.shown, made)
		}
	}
	return nil
}
