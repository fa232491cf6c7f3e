package store

import (
	"strconv"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// An approval repeats what is private of the command that waits, and those who decide say why. So with what is
// private of a position goes all that is private of the approvals that are about it, and of the one that it
// was created with. What of an approval never became a position is erased with the approval itself. Whose the
// positions were that it asked for goes with what is private of its row, by a trigger of the database.

// approvalsAbout selects the approvals that have to do with a position, whose institution and whose name in the
// journal are given. One that made it has at most as many entries as a batch has items.
func approvalsAbout(institution, position string) string {
	return "SELECT a.id, a.entry_subject FROM approval_subjects AS s" +
		" JOIN approvals AS a ON a.institution_id = s.institution_id AND a.id = s.approval_id" +
		" WHERE s.institution_id = " + institution + " AND s.subject = " + position +
		" UNION SELECT a.id, a.entry_subject FROM journal_entries AS e" +
		" JOIN approvals AS a ON a.institution_id = e.institution_id AND a.executed > 0" +
		" AND a.executed <= e.sequence AND a.executed > e.sequence - " + strconv.Itoa(escrow.MaxBatchItems) +
		" AND a.executed + a.entries > e.sequence" +
		" WHERE e.institution_id = " + institution + " AND e.subject = " + position +
		" AND e.kind = '" + string(escrow.KindPositionCreated) + "'"
}

// The statements that clear approvals find them by the position that is erased.
var (
	clearedApprovalEntries = newApprovalClearing("journal_entries", erasedIn(entryTable.layout),
		"subject", "entry_subject", func(c *clearing) []column {
			return []column{
				key("institution_id", uuidColumn(&c.InstitutionID)),
				key("subject", textColumn(&c.Subject)),
				key("sequence", bigintColumn(&c.Sequence)),
			}
		}, statement{perRow: " AND sequence < $3", perSet: " AND t.sequence < n.sequence"})
	clearedApprovals = newApprovalClearing("approvals", erasedIn(approvalTable.layout),
		"id", "id", func(c *clearing) []column {
			return []column{
				key("institution_id", uuidColumn(&c.InstitutionID)),
				key("subject", textColumn(&c.Subject)),
			}
		}, statement{})
)

// clearedApproval finds an approval by itself.
var clearedApproval = newClearing("approvals", erasedIn(approvalTable.layout), func(c *clearing) []column {
	return []column{
		key("institution_id", uuidColumn(&c.InstitutionID)),
		key("id", uuidColumn(&c.Approval)),
	}
}, statement{
	perRow: "institution_id = $1 AND id = $2 AND private IS NOT NULL",
	perSet: "t.institution_id = n.institution_id AND t.id = n.id AND t.private IS NOT NULL",
})

// newApprovalClearing describes a table that names approvals by one column, as approvalsAbout does in another.
func newApprovalClearing(
	name, cleared, by, named string, columnsOf func(*clearing) []column, further statement,
) *table[clearing] {
	t := newTable(name, columnsOf)
	t.updates = statement{
		perRow: "UPDATE " + name + " SET " + cleared + " WHERE institution_id = $1 AND private IS NOT NULL" +
			" AND " + by + " IN (SELECT " + named + " FROM (" + approvalsAbout("$1", "$2") + ") AS about)" +
			further.perRow,
		perSet: "UPDATE " + name + " AS t SET " + cleared +
			" FROM unnest(" + arrays(t.layout) + ") AS n (" + t.list + ")" +
			" CROSS JOIN LATERAL (" + approvalsAbout("n.institution_id", "n.subject") + ") AS about" +
			" WHERE t.institution_id = n.institution_id AND t.private IS NOT NULL AND t." + by + " = about." + named +
			further.perSet,
	}
	return t
}
