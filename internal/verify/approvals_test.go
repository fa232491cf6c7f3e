package verify_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// Whoever has the database can take an approval's subjects away, so that what it reserves can be moved, say that
// there are no rules, or that little was moved. Each is found.
func TestTamperingWithApprovalsIsFound(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		of := f.Example.Institution
		a := f.Writer.Approvals(f.Example)
		if report := f.verify(nil); report.DifferenceCount != 0 {
			t.Fatalf("as it is, the differences are %v", report.Differences)
		}

		const ofApproval = " WHERE institution_id = $1 AND approval_id = $2"
		for name, test := range map[string]struct {
			change, restore string
			args            []any
			want            string
		}{
			"rules that are not in force": {
				"UPDATE journal_heads SET rules_sequence = rules_sequence + 1 WHERE institution_id = $1",
				"UPDATE journal_heads SET rules_sequence = rules_sequence - 1 WHERE institution_id = $1",
				[]any{of},
				"rules_sequence",
			},
			"one more that is pending": {
				"UPDATE journal_heads SET pending_approvals = 2 WHERE institution_id = $1",
				"UPDATE journal_heads SET pending_approvals = 1 WHERE institution_id = $1",
				[]any{of},
				"pending_approvals: there is 2, and should be 1",
			},
			"a subject of another position": {
				"UPDATE approval_subjects SET subject = subject || 'x'" + ofApproval,
				"UPDATE approval_subjects SET subject = substr(subject, 1, length(subject) - 1)" + ofApproval,
				[]any{of, a.Released},
				"approval_subjects " + a.Released.String() + "/0: there is subject pos_",
			},
			"a smaller amount": {
				"UPDATE approval_subjects SET amount = amount - 1" + ofApproval,
				"UPDATE approval_subjects SET amount = amount + 1" + ofApproval,
				[]any{of, a.Released},
				"amount 89997999, and should be 89998000",
			},
			"a subject that is gone": {
				"UPDATE approval_subjects SET number = 7" + ofApproval, "UPDATE approval_subjects SET number = 0" + ofApproval,
				[]any{of, a.Released},
				a.Released.String() + "/0: there is nothing",
			},
			"less that was moved": {
				"UPDATE recent_moves SET hours = replace(hours, '900000.00', '8.00') WHERE institution_id = $1 AND of_actor = 'institution'",
				"UPDATE recent_moves SET hours = replace(hours, '8.00', '900000.00') WHERE institution_id = $1 AND of_actor = 'institution'",
				[]any{of},
				"recent_moves of institution",
			},
			"moves of nobody": {
				"INSERT INTO recent_moves (institution_id, of_actor, hours) VALUES ($1, 'zzz', '[]')",
				"DELETE FROM recent_moves WHERE institution_id = $1 AND of_actor = 'zzz'",
				[]any{of},
				"recent_moves of zzz: there is a row",
			},
			"an approval that was given": {
				"UPDATE approvals SET status = 'WITHDRAWN' WHERE institution_id = $1 AND id = $2", "UPDATE approvals SET status = 'PENDING' WHERE institution_id = $1 AND id = $2",
				[]any{of, a.Pending},
				"approvals " + a.Pending.String() + ": there is status WITHDRAWN, and should be PENDING",
			},
		} {
			f.tamper(test.change, test.args...)
			if report := f.verify(nil); report.DifferenceCount == 0 || !strings.Contains(report.Differences[0].String(), test.want) {
				t.Errorf("%s: the differences are %v, want %q", name, report.Differences, test.want)
			}
			f.tamper(test.restore, test.args...)
		}
		f.tamper("INSERT INTO approval_subjects (institution_id, approval_id, number, subject, permission, decimals, amount, holds) VALUES ($1, $2, 0, 's', 'p', 0, 0, 0)", of, f.Example.Keys[0])
		if report := f.verify(nil); report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), "1 rows of no approval") {
			t.Errorf("a subject of no approval is found as %v", report.Differences)
		}
	})
}

// With a position the private values of its approvals are erased. That others are missing, or that these are still
// there, is found.
func TestPrivateValuesOfApprovalsAreCompared(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		of := f.Example.Institution
		a := f.Writer.Approvals(f.Example)
		requested := func(id escrow.ApprovalID) escrow.Entry {
			return must(f.Entries(t.Context(), of, escrow.EntryFilter{Subject: id.String()}, escrow.PageRequest{Limit: 1})).Items[0]
		}
		made, rejected := requested(a.Created), requested(a.Rejected)
		f.Writer.Ask(of, escrow.ActorRoot(), valid(escrow.NewErasePosition(a.Position, nil, nil, 0)))
		for _, id := range []escrow.ApprovalID{a.Created, a.Released} {
			if entry := requested(id); entry.HasPrivate() {
				t.Errorf("entry %d still has private values", entry.Sequence)
			}
		}
		if report := f.verify(nil); report.DifferenceCount != 0 || report.Erased != 8 {
			t.Fatalf("as it is, %d entries were erased, and the differences are %v", report.Erased, report.Differences)
		}

		// Whoever does so does it everywhere.
		const holders = "UPDATE approval_subjects SET holder_reference = $1 WHERE institution_id = $2 AND approval_id = $3"
		f.setPrivate(made.Sequence, made.Private)
		f.tamper("UPDATE approvals SET private = $1 WHERE institution_id = $2 AND id = $3", made.Private, of, a.Created)
		f.tamper(holders, "Ada Lovelace", of, a.Created)
		if report := f.verify(nil); report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), "private values beside it, and should be none, as entry ") {
			t.Errorf("what was erased and is there again is found as %v", report.Differences)
		}
		f.setPrivate(made.Sequence, nil)
		f.setPrivate(rejected.Sequence, nil)
		for _, id := range []escrow.ApprovalID{a.Created, a.Rejected} {
			f.tamper("UPDATE approvals SET private = NULL WHERE institution_id = $1 AND id = $2", of, id)
			f.tamper(holders, nil, of, id)
		}
		if report := f.verify(nil); report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), "there is no value of command.") {
			t.Errorf("what was taken away without an erasure is found as %v", report.Differences)
		}
	})
}

// Both programs take a bundle with approvals for right, also where a position and its approvals were erased, and find
// private values of approvals that were taken away.
func TestBundlesWithApprovalsAreVerifiedWithNothingElse(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "sqlite")
	of := f.Example.Institution
	a := f.Writer.Approvals(f.Example)
	f.sign()
	check := func(what string, want bool) {
		t.Helper()
		path := f.export()
		report := verifyBundle(t, path)
		if (report.DifferenceCount == 0) != want {
			t.Errorf("%s: the report is %+v", what, report)
		}
		output, verified := independently(t, path, signer.VerifierKey())
		if verified != want {
			t.Errorf("%s: independently, it is %t: %s", what, verified, output)
		}
		if says := fmt.Sprintf("values of %d entries were erased", report.Erased); want && report.Erased > 0 && !strings.Contains(output, says) {
			t.Errorf("%s: %d entries were erased, and independently: %s", what, report.Erased, output)
		}
	}
	check("as it is", true)
	f.Writer.Ask(of, escrow.ActorRoot(), valid(escrow.NewErasePosition(a.Position, nil, nil, 0)))
	f.sign()
	check("with a position that was erased", true)
	rejected := must(f.Entries(t.Context(), of, escrow.EntryFilter{Subject: a.Rejected.String()}, escrow.PageRequest{Limit: 1})).Items[0]
	f.setPrivate(rejected.Sequence, nil)
	check("with values that nobody erased", false)
}
