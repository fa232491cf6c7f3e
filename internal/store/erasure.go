package store

import (
	"context"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var erasureTable = newTable("erasures", func(e *escrow.Erasure) []column {
	return []column{
		key("institution_id", uuidColumn(&e.InstitutionID)),
		key("id", uuidColumn(&e.ID)),
		fixed("erased", bigintColumn(&e.Erased)),
		fixed("open", bigintColumn(&e.Open)),
		fixed("retained", bigintColumn(&e.Retained)),
		fixed("on_hold", bigintColumn(&e.OnHold)),
		fixed("approvals_erased", bigintColumn(&e.ApprovalsErased)),
		fixed("approvals_pending", bigintColumn(&e.ApprovalsPending)),
		fixed("approvals_retained", bigintColumn(&e.ApprovalsRetained)),
		fixed("retained_until", optionalTimeColumn(&e.RetainedUntil)),
		fixed("complete", flagColumn(&e.Complete)),
		fixed("created_at", timeColumn(&e.CreatedAt)),
	}
})

var erasureRows = newRows(rowsOf[escrow.ErasureID, escrow.Erasure, escrow.Erasure]{
	table:   erasureTable,
	in:      func(b *escrow.Books) *escrow.Rows[escrow.ErasureID, escrow.Erasure] { return &b.Erasures },
	key:     func(e escrow.Erasure) escrow.ErasureID { return e.ID },
	pack:    asIs[escrow.Erasure],
	unpack:  func(e escrow.Erasure) (escrow.InstitutionID, escrow.Erasure) { return e.InstitutionID, e },
	named:   func(n *escrow.Needs) *[]escrow.ErasureID { return &n.Erasures },
	keys:    idKeysOf(escrow.ErasureID{}),
	subject: func(e escrow.Erasure) string { return e.ID.String() },
})

// Erasure returns one erasure of an institution, or CodeErasureNotFound.
func (s *Store) Erasure(
	ctx context.Context, institution escrow.InstitutionID, id escrow.ErasureID,
) (escrow.Erasure, error) {
	erasure, found, err := one(ctx, s.database, erasureTable.byKey,
		[]any{idArg(institution), idArg(id)}, erasureTable.scan)
	return must(erasure, found, err, escrow.CodeErasureNotFound, "erasure", id)
}

// Erasures returns a page of an institution's erasures.
func (s *Store) Erasures(
	ctx context.Context, institution escrow.InstitutionID, page escrow.PageRequest,
) (escrow.Page[escrow.Erasure], error) {
	l := listOf(erasureTable, "id")
	l.where("institution_id = %s", idArg(institution))
	return idPage(ctx, s.database, l, escrow.Period{}, page, erasureTable.scan)
}

// clearing is what an entry that erases takes away: the private values of a position or of an approval, in
// its row and in its entries before that one.
type clearing struct {
	InstitutionID escrow.InstitutionID
	Subject       string
	// Position or Approval is what the entry erases; the other one is zero.
	Position escrow.PositionID
	Approval escrow.ApprovalID
	Sequence int64
}

// The statements that clear are no updates of their tables, which write what changes with a step:
// nothing private does.
var (
	clearedEntries = newClearing("journal_entries", erasedIn(entryTable.layout), func(c *clearing) []column {
		return []column{
			key("institution_id", uuidColumn(&c.InstitutionID)),
			key("subject", textColumn(&c.Subject)),
			key("sequence", bigintColumn(&c.Sequence)),
		}
	}, statement{
		perRow: "institution_id = $1 AND subject = $2 AND sequence < $3 AND private IS NOT NULL",
		perSet: "t.institution_id = n.institution_id AND t.subject = n.subject AND t.sequence < n.sequence" +
			" AND t.private IS NOT NULL",
	})
	clearedPositions = newClearing("positions", erasedIn(positionTable.layout), func(c *clearing) []column {
		return []column{
			key("institution_id", uuidColumn(&c.InstitutionID)),
			key("id", uuidColumn(&c.Position)),
		}
	}, statement{
		perRow: "institution_id = $1 AND id = $2",
		perSet: "t.institution_id = n.institution_id AND t.id = n.id",
	})
)

// erasedIn sets the columns that an erasure clears.
func erasedIn(layout []column) string {
	var cleared []string
	for _, c := range partsOf(layout, erasablePart) {
		cleared = append(cleared, c.name+" = NULL")
	}
	return strings.Join(cleared, ", ")
}

// newClearing describes a table by the columns that say where to clear it.
func newClearing(name, cleared string, columnsOf func(*clearing) []column, where statement) *table[clearing] {
	t := newTable(name, columnsOf)
	t.updates = statement{
		perRow: "UPDATE " + name + " SET " + cleared + " WHERE " + where.perRow,
		perSet: "UPDATE " + name + " AS t SET " + cleared +
			" FROM unnest(" + arrays(t.layout) + ") AS n (" + t.list + ") WHERE " + where.perSet,
	}
	return t
}

// clearingsOf lists what the entries of a group take away.
func clearingsOf(group []*escrow.Books) (clearings []clearing, err error) {
	for _, books := range group {
		for _, entry := range books.Entries {
			if !entry.Erases() {
				continue
			}

			c := clearing{InstitutionID: entry.InstitutionID, Subject: entry.Subject, Sequence: entry.Sequence}
			if entry.Kind.OfApproval() {
				c.Approval, err = approvalRows.keys.parse(entry.Subject)
			} else {
				c.Position, err = positionRows.keys.parse(entry.Subject)
			}
			if err != nil {
				return nil, err
			}
			clearings = append(clearings, c)
		}
	}
	return clearings, nil
}

// erases reports whether any entry of a group erases.
func erases(group groupBooks) bool {
	for _, books := range group {
		if slices.ContainsFunc(books.Entries, escrow.Entry.Erases) {
			return true
		}
	}
	return false
}

// clearPrivate takes away what the entries of a group erase. It comes after all else that is written.
func clearPrivate(sink changeSink, clearings []clearing) error {
	if err := update(sink, clearedEntries, clearings); err != nil {
		return err
	}
	var positions, approvals []clearing
	for _, c := range clearings {
		if c.Approval.IsZero() {
			positions = append(positions, c)
		} else {
			approvals = append(approvals, c)
		}
	}

	if err := update(sink, clearedPositions, positions); err != nil {
		return err
	}
	if err := update(sink, clearedApprovalEntries, positions); err != nil {
		return err
	}
	if err := update(sink, clearedApprovals, positions); err != nil {
		return err
	}
	return update(sink, clearedApproval, approvals)
}
