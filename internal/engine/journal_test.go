package engine_test

import (
	"context"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// rows are what the tables, or books, hold of an institution.
type rows struct {
	Institutions []escrow.Institution
	Keys         []escrow.APIKey
	Roles        []escrow.Role
	Policies     []escrow.Policy
	Templates    []escrow.AssetTemplate
	Assets       []escrow.Asset
	Positions    []escrow.Position
	Rules        []escrow.ApprovalRules
	Approvals    []escrow.Approval
}

// exactly compares the domain's values whole; of an entry, what its body tells.
func exactly() cmp.Options {
	return cmp.Options{
		cmp.AllowUnexported(money.Decimal{}, escrow.Actor{}),
		cmpopts.IgnoreUnexported(escrow.Entry{}, escrow.Error{}),
		cmpopts.EquateEmpty(),
	}
}

// wholeList reads a list page by page.
func wholeList[T any](
	s *server, cursor func(T) escrow.Cursor, list func(escrow.PageRequest) (escrow.Page[T], error),
) (items []T) {
	s.t.Helper()
	request := escrow.PageRequest{Limit: escrow.MaxPageSize}
	for range 100 { // More pages than any list here has.
		page, err := list(request)
		if err != nil {
			s.t.Fatalf("list: %v", err)
		}
		items = append(items, page.Items...)
		if !page.More {
			return items
		}
		request.After = new(cursor(items[len(items)-1]))
	}
	s.t.Fatalf("the list has no end")
	return nil
}

// journal reads an institution's whole journal.
func (s *server) journal(of escrow.InstitutionID, filter escrow.EntryFilter) []escrow.Entry {
	s.t.Helper()
	return wholeList(s, func(e escrow.Entry) escrow.Cursor { return escrow.SequenceCursor(e.Sequence) },
		func(page escrow.PageRequest) (escrow.Page[escrow.Entry], error) {
			return s.Entries(context.Background(), of, filter, page)
		})
}

// tables reads all that the tables hold of an institution.
func (s *server) tables(of escrow.InstitutionID) rows {
	s.t.Helper()
	ctx := context.Background()
	institution, err := s.Institution(ctx, of)
	if err != nil {
		s.t.Fatalf("institution: %v", err)
	}
	policies, err := s.Policies(ctx, of)
	if err != nil {
		s.t.Fatalf("policies: %v", err)
	}
	roles, err := s.Roles(ctx, of)
	if err != nil {
		s.t.Fatalf("roles: %v", err)
	}
	rules, err := s.ApprovalRules(ctx, of)
	if err != nil {
		s.t.Fatalf("approval rules: %v", err)
	}
	return rows{
		Rules: slices.DeleteFunc([]escrow.ApprovalRules{rules}, func(r escrow.ApprovalRules) bool { return r.Version == 0 }),
		Approvals: wholeList(s, func(a escrow.Approval) escrow.Cursor { return escrow.IDCursor(a.ID) },
			func(page escrow.PageRequest) (escrow.Page[escrow.Approval], error) {
				return s.Approvals(ctx, of, escrow.ApprovalFilter{}, page)
			}),
		Institutions: []escrow.Institution{institution},
		Roles:        roles,
		Policies:     policies,
		Keys: wholeList(s, func(k escrow.APIKey) escrow.Cursor { return escrow.IDCursor(k.ID) },
			func(page escrow.PageRequest) (escrow.Page[escrow.APIKey], error) {
				return s.Keys(ctx, of, escrow.KeyFilter{IncludeRevoked: true}, page)
			}),
		Templates: wholeList(s, func(t escrow.AssetTemplate) escrow.Cursor { return escrow.IDCursor(t.ID) },
			func(page escrow.PageRequest) (escrow.Page[escrow.AssetTemplate], error) {
				return s.Templates(ctx, of, escrow.TemplateFilter{}, page)
			}),
		Assets: wholeList(s, func(a escrow.Asset) escrow.Cursor { return escrow.IDCursor(a.ID) },
			func(page escrow.PageRequest) (escrow.Page[escrow.Asset], error) {
				return s.Assets(ctx, of, escrow.AssetFilter{}, page)
			}),
		Positions: wholeList(s, func(p escrow.Position) escrow.Cursor { return escrow.IDCursor(p.ID) },
			func(page escrow.PageRequest) (escrow.Page[escrow.Position], error) {
				return s.Positions(ctx, of, escrow.PositionFilter{WithEvents: true}, page)
			}),
	}
}

// checkJournal checks that an institution's journal is gapless and in order, that
// its entries alone rebuild every row of the tables, and that the money of every
// position adds up at every moment. It returns the journal.
func (s *server) checkJournal(of escrow.InstitutionID) []escrow.Entry {
	s.t.Helper()
	entries := s.journal(of, escrow.EntryFilter{})
	books := escrow.NewBooks(of, escrow.Head{}, true)
	for i, stored := range entries {
		entry, err := escrow.ParseEntry(stored.Body, stored.Private)
		if err != nil {
			s.t.Fatalf("entry %d: %v", i+1, err)
		}
		if entry.Sequence != int64(i+1) || entry.InstitutionID != of {
			s.t.Fatalf("entry %d is %d of %s", i+1, entry.Sequence, entry.InstitutionID)
		}
		if i > 0 && !entry.At.After(entries[i-1].At) {
			s.t.Errorf("entry %d is of %s, not after %s", i+1, entry.At, entries[i-1].At)
		}
		if err := books.Reapply(entry); err != nil {
			s.t.Fatalf("entry %d does not follow from those before it: %v", i+1, err)
		}
		if id, _, ok := entry.PositionEvent(); ok {
			position, _ := books.Positions.Get(id)
			if position.Funded != position.Released+position.Refunded+position.Held || position.CheckMoney() != nil {
				s.t.Errorf("after entry %d the money of %s does not add up: %+v", i+1, id, position)
			}
		}
	}
	head, found, err := s.store.Head(context.Background(), of)
	if err != nil || !found || head != books.Head {
		s.t.Errorf("the head of the journal is %+v, %v; want %+v", head, err, books.Head)
	}
	rebuilt := rows{
		Institutions: books.Institutions.Created(), Keys: books.Keys.Created(), Roles: books.Roles.Created(), Policies: books.Policies.Created(),
		Templates: books.Templates.Created(), Assets: books.Assets.Created(), Positions: books.Positions.Created(),
		Rules: books.Rules.Created(), Approvals: books.Approvals.Created(),
	}
	for i := range rebuilt.Positions {
		position := &rebuilt.Positions[i]
		for _, entry := range entries {
			if id, event, ok := entry.PositionEvent(); ok && id == position.ID {
				position.Events = append(position.Events, event)
			}
		}
	}
	slices.SortFunc(rebuilt.Roles, func(a, b escrow.Role) int { return strings.Compare(string(a.Name), string(b.Name)) })
	slices.SortFunc(rebuilt.Policies, func(a, b escrow.Policy) int {
		return slices.Compare([]byte(a.Region), []byte(b.Region))
	})
	if diff := cmp.Diff(rebuilt, s.tables(of), exactly()); diff != "" {
		s.t.Errorf("rows of the journal (-) and of the tables (+) differ:\n%s", diff)
	}
	return entries
}
