package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

var subjectTable = newTable("approval_subjects", func(s *escrow.ApprovalSubject) []column {
	return []column{
		key("institution_id", uuidColumn(&s.InstitutionID)),
		key("approval_id", uuidColumn(&s.ApprovalID)),
		key("number", bigintColumn(&s.Number)),
		fixed("subject", optionalTextColumn(&s.Subject)),
		fixed("permission", textColumn(&s.Permission)),
		fixed("currency", optionalTextColumn((*string)(&s.Amount.Currency.Code))),
		fixed("decimals", bigintColumn(&s.Amount.Currency.Decimals)),
		fixed("amount", bigintColumn(&s.Amount.Amount)),
		fixed("holds", flagColumn(&s.Holds)),
		erasable("holder_reference", optionalTextColumn(&s.HolderReference)),
	}
})

// subjectRows are asked for by what they are about, and not by their keys: those of approvals that are
// pending. An institution that has none needs none of them, which its head tells.
var subjectRows = pendingSubjects{newRows(rowsOf[string, escrow.ApprovalSubject, escrow.ApprovalSubject]{
	table: subjectTable,
	in:    func(b *escrow.Books) *escrow.Rows[string, escrow.ApprovalSubject] { return &b.Subjects },
	key:   escrow.ApprovalSubject.Name,
	pack:  asIs[escrow.ApprovalSubject],
	unpack: func(s escrow.ApprovalSubject) (escrow.InstitutionID, escrow.ApprovalSubject) {
		return s.InstitutionID, s
	},
	named: func(*escrow.Needs) *[]string { return new([]string) },
	also: &furtherRows{
		needed: func(n *escrow.Needs) bool { return len(n.PendingOn) > 0 },
		each:   pendingOn.perRow,
		all:    pendingOn.perSet,
		texts: func(n *escrow.Needs) (texts [][]string) {
			for _, subject := range n.PendingOn {
				texts = append(texts, []string{subject})
			}
			return texts
		},
	},
	keys:    textKeys(),
	derived: true,
})}

// pendingOn reads the subjects of pending approvals by what they are about. It goes from those subjects to
// the approvals, of which there are as many as people have asked for on one subject, and not by the indexes of
// what is pending, which IS TRUE keeps it from: on small tables a planner would read all that is pending.
var pendingOn = statement{
	perRow: "SELECT " + names(subjectTable.layout, "s.") + " FROM approval_subjects AS s JOIN approvals AS a" +
		" ON a.institution_id = s.institution_id AND a.id = s.approval_id" +
		" WHERE s.institution_id = $1 AND s.subject = $2 AND (a.status = 'PENDING') IS TRUE",
	perSet: "SELECT " + names(subjectTable.layout, "s.") +
		" FROM unnest($1::uuid[], $2::text[]) AS n (institution_id, subject)" +
		" JOIN approval_subjects AS s ON s.institution_id = n.institution_id AND s.subject = n.subject" +
		" JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id" +
		" WHERE (a.status = 'PENDING') IS TRUE",
}

// pendingSubjects is a table of the books of which the row cache knows one thing: that no approval is pending.
type pendingSubjects struct {
	*rowsOf[string, escrow.ApprovalSubject, escrow.ApprovalSubject]
}

func (t pendingSubjects) isMissed(needs *escrow.Needs) bool { return len(needs.PendingOn) > 0 }

func (t pendingSubjects) fill(_ recallRow, books *escrow.Books, needs *escrow.Needs) {
	if books.Head.Approvals == 0 {
		needs.PendingOn = nil
	}
}

// MaxPendingOn bounds the subjects that PendingOn is asked for.
const MaxPendingOn = escrow.MaxPageSize

// PendingOn returns what pending approvals of an institution are about, as far as it is among at most
// MaxPendingOn subjects, named as in the journal. Where no approval is pending, it costs no more than to
// know where the journal stands.
func (s *Store) PendingOn(
	ctx context.Context, institution escrow.InstitutionID, subjects []string,
) (found []escrow.ApprovalSubject, err error) {
	at, err := s.snapshotFor(ctx, institution)
	if err != nil || len(subjects) == 0 || at.generation != 0 && at.head.Approvals == 0 {
		return nil, Failure(err)
	}

	add := appendRow(&found, subjectTable.scan)
	if !s.database.isExclusive() {
		owners := make([][16]byte, len(subjects))
		for i := range owners {
			owners[i] = idArg(institution)
		}
		return found, Failure(s.database.query(ctx, pendingOn.perSet, []any{owners, subjects}, add))
	}
	for _, subject := range subjects {
		if err := s.database.query(ctx, pendingOn.perRow, []any{idArg(institution), subject}, add); err != nil {
			return nil, Failure(err)
		}
	}
	return found, nil
}
