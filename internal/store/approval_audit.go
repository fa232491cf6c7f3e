package store

import (
	"context"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The rows that are made of the journal otherwise than each by the entries on one subject, as verification compares
// them. The subjects of these rows are their names; they have no cursors.

const orphanSubjects = `SELECT count(*) FROM approval_subjects AS s WHERE institution_id = $1
		AND NOT EXISTS (SELECT 1 FROM approvals AS a WHERE a.institution_id = s.institution_id AND a.id = s.approval_id)`

// CountOrphanSubjects counts the rows of an institution's approval_subjects that are of no approval.
func (s *Store) CountOrphanSubjects(ctx context.Context, of escrow.InstitutionID) (int64, error) {
	count, _, err := one(ctx, s.database, orphanSubjects, []any{idArg(of)}, scanValue[int64])
	return count, err
}

var subjectsOfApproval = "SELECT " + subjectTable.list + " FROM approval_subjects" +
	" WHERE institution_id = $1 AND approval_id = $2 ORDER BY number"

// SubjectRows returns the rows of what an approval is about.
func (s *Store) SubjectRows(ctx context.Context, of escrow.InstitutionID, approval escrow.ApprovalID) ([]Row, error) {
	return all(ctx, s.database, subjectsOfApproval, []any{idArg(of), idArg(approval)},
		namedRow(subjectTable, escrow.ApprovalSubject.Name))
}

// SubjectRow returns what an approval is about as it would be written.
func SubjectRow(subject escrow.ApprovalSubject) Row {
	return Row{Resource: subject, Subject: subject.Name(), Columns: subjectTable.shown(subject)}
}

// MovesRows returns the rows of an institution's recent moves.
func (s *Store) MovesRows(ctx context.Context, of escrow.InstitutionID) ([]Row, error) {
	return all(ctx, s.database, movesTable.byOwner, []any{idArg(of)}, namedRow(movesTable, nameOfMoves))
}

// MovesRow returns recent moves as they would be written.
func MovesRow(moves escrow.RecentMoves) Row {
	return Row{Resource: moves, Subject: nameOfMoves(moves), Columns: movesTable.shown(moves)}
}

func nameOfMoves(moves escrow.RecentMoves) string { return "of " + moves.Of }

// namedRow returns a scan of a table's rows as they are stored.
func namedRow[T any](t *table[T], name func(T) string) func(row) (Row, error) {
	return func(r row) (Row, error) {
		stored, err := t.scanStored(r)
		return Row{Resource: stored.row, Subject: name(stored.row), Columns: stored.columns}, err
	}
}
