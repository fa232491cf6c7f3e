package loadtest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/apiclient"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/testbed"
)

// Correctness is the result of reading back everything that a run left.
type Correctness struct {
	Passed bool `json:"passed"`
	// NotEstablished says why it is not known whether anything is lost; "" says that it is known.
	NotEstablished string `json:"notEstablished,omitempty"`
	// Acknowledged and Refused count the operations that the server answered; of the acknowledged,
	// Waiting were kept as approvals, which waited for others. UnknownDone and UnknownNotDone count
	// those that no attempt got an answer to, and CutOffDone and CutOffNotDone those that k6 did not
	// let come to an end when the load ended, both by whether they were carried out.
	Acknowledged   int `json:"acknowledged"`
	Waiting        int `json:"waiting"`
	Refused        int `json:"refused"`
	UnknownDone    int `json:"unknownDone"`
	UnknownNotDone int `json:"unknownNotDone"`
	CutOffDone     int `json:"cutOffDone"`
	CutOffNotDone  int `json:"cutOffNotDone"`
	Journals       int `json:"journals"`
	Entries        int `json:"entries"`
	Positions      int `json:"positions"`
	// Differences has the first maxDifferences of DifferenceCount differences.
	DifferenceCount int      `json:"differenceCount"`
	Differences     []string `json:"differences"`
}

// maxDifferences bounds the differences in the report, of which a lost journal has as many
// as it had entries.
const maxDifferences = 1000

// addDifference counts a difference and keeps its description, within maxDifferences.
func (c *Correctness) addDifference(format string, args ...any) {
	c.DifferenceCount++
	if len(c.Differences) < maxDifferences {
		c.Differences = append(c.Differences, fmt.Sprintf(format, args...))
	}
}

// deny says why it is not known whether anything is lost.
func (c *Correctness) deny(format string, args ...any) {
	c.NotEstablished, c.Passed = fmt.Sprintf(format, args...), false
}

// journalEntry is an entry as the audit trail shows it.
type journalEntry struct {
	Sequence  int64
	Kind      escrow.Kind
	Subject   string
	RequestID string
	// Approval is the one with which it was carried out, if it took one.
	Approval *struct{ ID string }
	Details  json.RawMessage
}

// positionDetails is the part of an entry's details that concerns a position.
type positionDetails struct {
	ToState  escrow.State
	Currency money.Code
	Amount   string
}

// shownPosition is a position in the API's form.
type shownPosition struct {
	ID                                       string
	State                                    escrow.State
	Currency                                 money.Code
	Version                                  int64
	Amount, Funded, Released, Refunded, Held string
}

// verify reads the journals and positions back over the API and compares them with the
// operations.
func verify(
	ctx context.Context, s *testbed.Server, tenants []testbed.Tenant, operations *operations,
) (Correctness, error) {
	v := &verification{
		Correctness: Correctness{Differences: []string{}},
		entries:     make(map[string][]journalEntry),
		carriedOut:  make(map[string][]journalEntry),
	}
	journals, err := findJournals(ctx, s, tenants, operations)
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
	v.checkApprovals(operations)

	slices.Sort(v.Differences)
	v.Passed = v.DifferenceCount == 0
	if v.Acknowledged == 0 {
		v.deny("nothing was acknowledged, so nothing could be looked for")
	}
	return v.Correctness, nil
}

// findJournals returns the ids of a test's institutions, each with a key that can read it:
// the tenants, and the institutions that the operations created.
func findJournals(
	ctx context.Context, s *testbed.Server, tenants []testbed.Tenant, operations *operations,
) (map[string]string, error) {
	journals := make(map[string]string)
	for _, t := range tenants {
		journals[t.InstitutionID] = t.APIKey
	}
	createsInstitution := func(o *operation) bool { return o.kind == "institution" }
	if !slices.ContainsFunc(slices.Collect(maps.Values(operations.byID)), createsInstitution) {
		return journals, nil
	}

	// The list has institutions whose creation was not acknowledged, too.
	type institution struct {
		ID        string
		CreatedAt time.Time
	}
	var first institution
	if err := s.Call(ctx, s.RootKey, "GET", "/institutions/"+tenants[0].InstitutionID, nil, &first); err != nil {
		return nil, err
	}
	query := url.Values{"createdFrom": {first.CreatedAt.Format(time.RFC3339Nano)}}
	err := apiclient.List(ctx, s.Client, s.RootKey, "/institutions", query, math.MaxInt64, func(i institution) error {
		if journals[i.ID] == "" {
			journals[i.ID] = s.RootKey
		}
		return nil
	})
	return journals, err
}

// verification is the state of verify.
type verification struct {
	Correctness
	// entries has the entries of all journals, by the id of the request that made them, but those
	// that an approval has carried out: carriedOut has these, by the id of the approval.
	entries, carriedOut map[string][]journalEntry
}

// readJournal reads an institution's journal, rebuilds its positions, and compares the result with the
// institution's positions.
func (v *verification) readJournal(ctx context.Context, s *testbed.Server, institution, key string) error {
	v.Journals++
	rebuilt, err := v.rebuildPositions(ctx, s, institution, key)
	if err != nil {
		return err
	}

	seen := make(map[string]bool)
	query := url.Values{"institutionId": {institution}}
	err = apiclient.List(ctx, s.Client, key, "/positions", query, math.MaxInt64, func(p shownPosition) error {
		v.Positions++
		if seen[p.ID] {
			v.addDifference("the position %s is listed twice", p.ID)
		}
		seen[p.ID] = true

		r, ok := rebuilt[p.ID]
		if !ok {
			v.addDifference("the position %s has no entry in the journal", p.ID)
			return nil
		}
		if err := r.compare(p); err != nil {
			v.addDifference("the position %s: %s", p.ID, err)
		}
		return nil
	})
	if err != nil {
		return err
	}

	for id := range rebuilt {
		if !seen[id] {
			v.addDifference("the position %s is in the journal, but not among the positions", id)
		}
	}
	return nil
}

// rebuildPositions reads an institution's journal, checks its sequences, and returns its
// positions by id as their entries make them.
func (v *verification) rebuildPositions(
	ctx context.Context, s *testbed.Server, institution, key string,
) (map[string]*rebuiltPosition, error) {
	rebuilt := make(map[string]*rebuiltPosition)
	next := int64(1)
	query := url.Values{"institutionId": {institution}}
	err := apiclient.List(ctx, s.Client, key, "/audit-events", query, math.MaxInt64, func(e journalEntry) error {
		if e.Sequence != next {
			v.addDifference("the journal of %s has the sequence %d instead of %d", institution, e.Sequence, next)
		}
		next = e.Sequence + 1
		v.Entries++
		if e.Approval == nil {
			v.entries[e.RequestID] = append(v.entries[e.RequestID], e)
		} else {
			v.carriedOut[e.Approval.ID] = append(v.carriedOut[e.Approval.ID], e)
		}

		// Other kinds do not change a position.
		if e.Kind == escrow.KindPositionCreated || e.Kind == escrow.KindPositionStateChanged {
			if rebuilt[e.Subject] == nil {
				rebuilt[e.Subject] = &rebuiltPosition{}
			}
			if err := rebuilt[e.Subject].apply(e); err != nil {
				v.addDifference("entry %d of %s: %s", e.Sequence, institution, err)
			}
		}
		return nil
	})
	return rebuilt, err
}

// checkOperation compares the answer to an operation with the journals.
func (v *verification) checkOperation(id string, o *operation) {
	entries := v.entries[id]
	if len(entries) > 1 {
		v.addDifference("operation %s (%s) was carried out %d times", id, o.kind, len(entries))
	}

	// An operation without an answer may have been carried out, or not.
	done := len(entries) > 0
	switch o.outcome {
	case outcomeOK, outcomeWaiting:
		v.Acknowledged++
		if o.outcome == outcomeWaiting {
			v.Waiting++
		}
		if !done {
			v.addDifference("operation %s (%s %s) was acknowledged, but is in no journal", id, o.kind, o.subject)
		}
	case outcomeRefused:
		v.Refused++
		if done {
			v.addDifference("operation %s (%s) was refused with %s, but is in the journal", id, o.kind, o.code)
		}
	default:
		v.countUnanswered(o.ended, done)
	}
	if !done {
		return
	}

	// Without an answer, the client does not know an approval that waits.
	entry := entries[0]
	waits := entry.Kind == escrow.KindApprovalRequested
	if o.subject != "" && o.subject != entry.Subject && (!waits || o.outcome != outcomeUnknown) {
		v.addDifference("operation %s was answered with %s, but the journal has it on %s", id, o.subject, entry.Subject)
	}
	if o.outcome == outcomeWaiting && !waits || o.outcome == outcomeOK && waits {
		v.addDifference("operation %s (%s) was answered as %s, but the journal has %s", id, o.kind, o.outcome, entry.Kind)
	}
	v.checkState(id, o, entry)
}

// checkState compares the state that an operation asked for with the one that an entry has.
func (v *verification) checkState(id string, o *operation, entry journalEntry) {
	if entry.Kind != escrow.KindPositionStateChanged {
		return
	}
	var d positionDetails
	if err := json.Unmarshal(entry.Details, &d); err != nil || string(d.ToState) != o.kind {
		v.addDifference("operation %s asked for the state %s, but the journal has %s", id, o.kind, d.ToState)
	}
}

// checkApprovals compares what was approved with what was carried out: each approval that was given
// once, as it was asked for, and nothing else. The load's approvals take one person each.
func (v *verification) checkApprovals(operations *operations) {
	given := make(map[string]bool)
	for _, entries := range v.entries {
		for _, e := range entries {
			if e.Kind == escrow.KindApprovalGiven {
				given[e.Subject] = true
			}
		}
	}

	for approval := range given {
		if n := len(v.carriedOut[approval]); n != 1 {
			v.addDifference("the approval %s was given, and what it is about carried out %d times", approval, n)
		}
	}
	for approval := range v.carriedOut {
		if !given[approval] {
			v.addDifference("what the approval %s is about was carried out, although nobody approved it", approval)
		}
	}
	for id, o := range operations.byID {
		if o.outcome != outcomeWaiting {
			continue
		}
		for _, entry := range v.carriedOut[o.subject] {
			v.checkState(id, o, entry)
		}
	}
}

// countUnanswered counts an operation whose outcome its client did not learn.
func (v *verification) countUnanswered(ended, done bool) {
	switch {
	case ended && done:
		v.UnknownDone++
	case ended:
		v.UnknownNotDone++
	case done:
		v.CutOffDone++
	default:
		v.CutOffNotDone++
	}
}

// rebuiltPosition is a position as its entries make it.
type rebuiltPosition struct {
	currency                                 money.Currency
	state                                    escrow.State
	amount, funded, released, refunded, held money.Amount
	entries                                  int64
}

// apply applies an entry. It repeats the rules of the lifecycle instead of using the
// server's, because it checks whether the server keeps them.
func (r *rebuiltPosition) apply(e journalEntry) error {
	var d positionDetails
	if err := json.Unmarshal(e.Details, &d); err != nil {
		return fmt.Errorf("details: %w", err)
	}
	var moved money.Amount
	currency := r.currency
	if d.Amount != "" {
		var err error
		if moved, currency.Decimals, err = money.ParseFormatted(d.Amount); err != nil {
			return err
		}
		currency.Code = d.Currency
	}

	r.entries++
	if e.Kind == escrow.KindPositionCreated {
		r.state, r.amount, r.currency = escrow.StateCreated, moved, currency
		return nil
	}
	if currency != r.currency {
		return fmt.Errorf("amount %q is not in the decimals of %s", d.Amount, r.currency)
	}
	switch r.state = d.ToState; d.ToState {
	case escrow.StateFunded:
		r.funded, r.held = r.funded+moved, r.held+moved
	case escrow.StatePartiallyReleased, escrow.StateReleased:
		r.released, r.held = r.released+moved, r.held-moved
	case escrow.StateCancelled, escrow.StateExpired:
		r.refunded, r.held = r.refunded+moved, r.held-moved
	case escrow.StateCreated:
		return fmt.Errorf("a position went back to %s", d.ToState)
	}

	if r.held < 0 {
		return fmt.Errorf("%s is negative", r.held.Format(r.currency))
	}
	return nil
}

// compare returns an error that says how the server's position differs, or nil.
func (r *rebuiltPosition) compare(p shownPosition) error {
	if p.State != r.state || p.Version != r.entries {
		return fmt.Errorf("it is %s, version %d; its entries make it %s, version %d",
			p.State, p.Version, r.state, r.entries)
	}

	if p.Currency != r.currency.Code {
		return fmt.Errorf("it is of %s; its entries make it of %s", p.Currency, r.currency)
	}

	for _, figure := range []struct {
		name    string
		shown   string
		rebuilt money.Amount
	}{
		{"amount", p.Amount, r.amount},
		{"funded", p.Funded, r.funded},
		{"released", p.Released, r.released},
		{"refunded", p.Refunded, r.refunded},
		{"held", p.Held, r.held},
		{"funded less released and refunded", p.Held, r.funded - r.released - r.refunded},
	} {
		if rebuilt := figure.rebuilt.Format(r.currency); rebuilt != figure.shown {
			return fmt.Errorf("%s is %s; its entries make it %s", figure.name, figure.shown, rebuilt)
		}
	}
	return nil
}
