package store

import (
	"context"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// The version and the status stand first, as those of positions do.
var approvalTable = newTable("approvals", func(a *escrow.Approval) []column {
	return []column{
		key("institution_id", uuidColumn(&a.InstitutionID)),
		key("id", uuidColumn(&a.ID)),
		changing("version", bigintColumn(&a.Version)),
		changing("status", textColumn(&a.Status)),
		fixed("entry_subject", idTextColumn(&a.ID)),
		fixed("maker", actorColumn(&a.Maker)),
		fixed("request", bytesColumn(&a.Request)),
		erasable("private", bytesColumn(&a.Private)),
		changing("given", optionalJSONColumn(&a.Given, func() bool { return len(a.Given) == 0 })),
		changing("executed", bigintColumn(&a.Executed)),
		changing("entries", bigintColumn(&a.Entries)),
		changing("refusal", optionalJSONColumn(&a.Refusal, func() bool { return a.Refusal == nil })),
		changing("erased_at", optionalTimeColumn(&a.ErasedAt)),
		changing("erasure_reason", flagColumn(&a.ErasureReason)),
		fixed("expires_at", timeColumn(&a.ExpiresAt)),
		fixed("created_at", timeColumn(&a.CreatedAt)),
		changing("updated_at", timeColumn(&a.UpdatedAt)),
	}
}, large("request", "private"))

var approvalRows = newRows(rowsOf[escrow.ApprovalID, escrow.Approval, escrow.Approval]{
	table:   approvalTable,
	in:      func(b *escrow.Books) *escrow.Rows[escrow.ApprovalID, escrow.Approval] { return &b.Approvals },
	key:     func(a escrow.Approval) escrow.ApprovalID { return a.ID },
	pack:    asIs[escrow.Approval],
	unpack:  func(a escrow.Approval) (escrow.InstitutionID, escrow.Approval) { return a.InstitutionID, a },
	named:   func(n *escrow.Needs) *[]escrow.ApprovalID { return &n.Approvals },
	keys:    idKeysOf(escrow.ApprovalID{}),
	cached:  isCachedApproval,
	subject: func(a escrow.Approval) string { return a.ID.String() },
})

// isCachedApproval reports whether an approval is remembered. One with private values is not: the erasure of
// a position takes them away without a word to the books.
func isCachedApproval(a escrow.Approval) bool {
	return a.Private == nil && len(a.Request) <= maxCachedMetadata
}

// Approval returns one approval of an institution, or CodeApprovalNotFound.
func (s *Store) Approval(
	ctx context.Context, institution escrow.InstitutionID, id escrow.ApprovalID,
) (escrow.Approval, error) {
	a, found, err := recallOr(ctx, s, institution, id, isCachedApproval, func() (escrow.Approval, bool, error) {
		return one(ctx, s.database, approvalTable.byKey, []any{idArg(institution), idArg(id)}, approvalTable.scan)
	})
	return must(a, found, err, escrow.CodeApprovalNotFound, "approval", id)
}

// Approvals returns a page of an institution's approvals.
func (s *Store) Approvals(
	ctx context.Context, institution escrow.InstitutionID, filter escrow.ApprovalFilter, page escrow.PageRequest,
) (escrow.Page[escrow.Approval], error) {
	l := listOf(approvalTable, "id")
	switch {
	case filter.HolderReference != "":
		l.table, l.key = l.firstSubjects("holder_reference", institution, filter.HolderReference), "approval_id"
		// Most of what was asked for was carried out, so that no index of the status is of use.
		l.where("status <> %s", string(escrow.ApprovalExecuted))
		if filter.Subject != "" {
			l.where(`EXISTS (SELECT 1 FROM approval_subjects AS o
				WHERE o.institution_id = %s AND o.subject = %s AND o.approval_id = about.approval_id)`,
				idArg(institution), filter.Subject)
		}
	case filter.Subject != "":
		l.table, l.key = l.firstSubjects("subject", institution, filter.Subject), "approval_id"
	}

	l.where("institution_id = %s", idArg(institution))
	whereIn(l, "status", filter.Statuses)
	return idPage(ctx, s.database, l, filter.Period, page, approvalTable.scan)
}

// firstSubjects joins the approvals with the first of their subjects that has a value in a column, in the order of
// the index by that column. A batch can name a subject, or a holder, more than once.
func (l *list) firstSubjects(column string, institution escrow.InstitutionID, value string) string {
	return l.expression(`(SELECT approval_id FROM approval_subjects AS s WHERE institution_id = %s AND `+column+` = %s
		AND NOT EXISTS (SELECT 1 FROM approval_subjects AS e WHERE e.institution_id = s.institution_id
			AND e.`+column+` = s.`+column+` AND e.approval_id = s.approval_id AND e.number < s.number))`,
		idArg(institution), value) + " AS about JOIN approvals ON id = approval_id"
}

// dueApprovals reads pending approvals by the time of their expiry.
const dueApprovals = `SELECT institution_id, id FROM approvals
		WHERE expires_at <= $1 AND status = 'PENDING'
		ORDER BY expires_at LIMIT $2`

// DueApprovals returns pending approvals of all institutions that have outlived their expiresAt, the longest
// overdue first.
func (s *Store) DueApprovals(ctx context.Context, now time.Time, limit int) ([]escrow.DueApproval, error) {
	return all(ctx, s.database, dueApprovals,
		[]any{now, int64(limit)}, func(r row) (due escrow.DueApproval, err error) {
			err = r.Scan((*[16]byte)(&due.InstitutionID), (*[16]byte)(&due.ApprovalID))
			return due, err
		})
}

// MaxCountedApprovals is up to where PendingApprovals counts.
const MaxCountedApprovals = 100_000

// PendingApprovals are the approvals that wait, of all institutions.
type PendingApprovals struct {
	// Count is at most MaxCountedApprovals.
	Count int64
	// Oldest is when the first of them was asked for, and NextExpiry when the next of them expires; both are
	// nil where none waits.
	Oldest, NextExpiry *time.Time
}

// Each is answered by the end of an index of pending approvals alone.
const pendingApprovals = `SELECT
		(SELECT count(*) FROM (SELECT expires_at FROM approvals WHERE status = 'PENDING' ORDER BY expires_at LIMIT $1) AS counted),
		(SELECT created_at FROM approvals WHERE status = 'PENDING' ORDER BY created_at LIMIT 1),
		(SELECT expires_at FROM approvals WHERE status = 'PENDING' ORDER BY expires_at LIMIT 1)`

// PendingApprovals counts the approvals that wait, and tells how old they are.
func (s *Store) PendingApprovals(ctx context.Context) (PendingApprovals, error) {
	pending, _, err := one(ctx, s.database, pendingApprovals, []any{int64(MaxCountedApprovals)},
		func(r row) (p PendingApprovals, err error) {
			err = r.Scan(&p.Count, &p.Oldest, &p.NextExpiry)
			return p, err
		})
	return pending, err
}
