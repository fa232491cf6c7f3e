package verify_test

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/verify"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// erase erases an approval, with a reason where one is given.
func erase(w *journaltest.Writer, of escrow.InstitutionID, id escrow.ApprovalID, reason *string) {
	w.Ask(of, escrow.ActorRoot(), journaltest.Valid(escrow.NewEraseApproval(id, reason, nil, 0)))
}

// entriesOn are those on a subject.
func (f *fixture) entriesOn(subject string) []escrow.Entry {
	f.t.Helper()
	filter := escrow.EntryFilter{Subject: subject}
	return must(f.Entries(f.t.Context(), f.Example.Institution, filter, escrow.PageRequest{Limit: 9})).Items
}

// What was erased of an approval must be gone, in its row, its entries and its subjects, and all else be there.
func TestErasuresOfApprovalsAreCompared(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		of := f.Example.Institution
		a := f.Writer.Approvals(f.Example)
		kept := f.verify(nil)
		before := f.private(f.entriesOn(a.Rejected.String())[0].Sequence)
		erase(f.Writer, of, a.Rejected, new("article 17"))
		erase(f.Writer, of, a.Failed, nil)
		if report := f.verify(nil); report.DifferenceCount != 0 || report.Erased != kept.Erased+4 {
			t.Fatalf("as it is, %d entries were erased, and the differences are %v", report.Erased, report.Differences)
		}

		asked, erasing := f.entriesOn(a.Rejected.String())[0], f.entriesOn(a.Rejected.String())[2]
		reason := f.private(erasing.Sequence)
		wantFound := func(what, want string) {
			t.Helper()
			var lines []string
			for _, difference := range f.verify(nil).Differences {
				lines = append(lines, difference.String())
			}
			if !strings.Contains(strings.Join(lines, "\n"), want) {
				t.Errorf("%s: the differences are %q, want %q", what, lines, want)
			}
		}
		f.setPrivate(asked.Sequence, before)
		wantFound("a value that is back", fmt.Sprintf("private values beside it, and should be none, as entry %d has erased them", erasing.Sequence))
		f.setPrivate(asked.Sequence, nil)
		f.setPrivate(erasing.Sequence, nil)
		wantFound("a reason that is gone", "there is no value of reason beside it")
		f.setPrivate(erasing.Sequence, reason)
		waiting := f.entriesOn(a.Pending.String())[0]
		value := f.private(waiting.Sequence)
		f.setPrivate(waiting.Sequence, nil)
		wantFound("a value that nobody erased", "there is no value of command.holderReference, command.externalReference beside it")
		f.setPrivate(waiting.Sequence, value)

		for _, test := range []struct {
			what, change, back string
			id                 escrow.ApprovalID
			want               string
		}{
			{"a holder that is back", "holder_reference = 'Grace Hopper'", "holder_reference = NULL", a.Rejected, "holder_reference Grace Hopper, and should be NULL"},
			{"a holder that is gone", "holder_reference = NULL", "holder_reference = 'Grace Hopper'", a.Pending, "holder_reference NULL, and should be Grace Hopper"},
			{"another holder", "holder_reference = 'Ada Lovelace'", "holder_reference = 'Grace Hopper'", a.Pending, "holder_reference Ada Lovelace, and should be Grace Hopper"},
			{"another subject", "subject = 'pos_x'", "subject = NULL", a.Rejected, "subject pos_x, and should be NULL"},
		} {
			const statement = "UPDATE approval_subjects SET %s WHERE institution_id = $1 AND approval_id = $2"
			f.tamper(fmt.Sprintf(statement, test.change), of, test.id)
			wantFound(test.what, test.want)
			f.tamper(fmt.Sprintf(statement, test.back), of, test.id)
		}
		for change, want := range map[string]string{
			"erased_at = NULL, erasure_reason = 0": "erased_at NULL, and should be ", "erasure_reason = 0": "erasure_reason 0, and should be 1",
		} {
			f.tamper("UPDATE approvals SET "+change+" WHERE institution_id = $1 AND id = $2", of, a.Rejected)
			wantFound(change, want)
			f.tamper("UPDATE approvals SET erased_at = updated_at, erasure_reason = 1 WHERE institution_id = $1 AND id = $2", of, a.Rejected)
		}
		if report := f.verify(nil); report.DifferenceCount != 0 {
			t.Errorf("with all as it was, the differences are %v", report.Differences)
		}
		f.Rewrite(of, erasing.Sequence, `"entries":2`, `"entries":3`)
		wantFound("an erasure of more entries than there are", "an entry that cannot be applied")
	})
}

// Both programs tell what was erased of approvals from what was removed, with nothing but the bundle.
func TestBundlesOfErasedApprovals(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "sqlite")
	of := f.Example.Institution
	a := f.Writer.Approvals(f.Example)
	before := f.entriesOn(a.Rejected.String())
	erase(f.Writer, of, a.Rejected, new("article 17"))
	f.Ask(of, escrow.ActorRoot(), escrow.RecordErasure{Erasure: escrow.Erasure{ApprovalsErased: 1, ApprovalsPending: 2, ApprovalsRetained: 3, Complete: true}})
	f.sign()
	erasing := f.entriesOn(a.Rejected.String())[2].Sequence
	waiting := f.entriesOn(a.Pending.String())[0].Sequence

	for _, test := range []struct {
		name     string
		redacted []string
		change   string
		want     string // of a difference; empty where it verifies
	}{
		{"whole", nil, "", ""},
		{"redacted", escrow.PrivateMembers(), "", ""},
		{"redacted in part", []string{"holderReference", "reason"}, "", ""},
		{"a reason that is gone", nil, fmt.Sprintf("UPDATE entries SET private = NULL WHERE sequence = %d", erasing), "no value of reason beside it"},
		{"a value that is gone", nil, fmt.Sprintf("UPDATE entries SET private = NULL WHERE sequence = %d", waiting), "no value of command.holderReference, command.externalReference beside it"},
		{"a value that is back", nil, fmt.Sprintf("UPDATE entries SET private = (SELECT private FROM entries WHERE sequence = %d) WHERE sequence = %d", erasing, before[0].Sequence), "is not a secret and the values"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "bundle")
			if err := bundle.FromStore(t.Context(), f.Store, of, path, time.Now(), test.redacted, nil); err != nil {
				t.Fatal(err)
			}
			if test.change != "" {
				change(t, path, test.change)
			}
			report := verifyBundle(t, path)
			found := test.want == "" && report.DifferenceCount == 0
			for _, difference := range report.Differences {
				found = found || test.want != "" && strings.Contains(difference.String(), test.want)
			}
			output, verified := independently(t, path, signer.VerifierKey())
			if !found || verified != (test.want == "") || strings.Contains(output, "Traceback") {
				t.Errorf("no difference has %q, they are %v; independently, it is %t: %s", test.want, report.Differences, verified, output)
			}
			if verified && (report.Erased != 2 || !strings.Contains(output, "The private values of 2 entries were erased.\n")) {
				t.Errorf("%d entries were erased, and independently: %s", report.Erased, output)
			}
		})
	}
}

// Two readers must not take one journal of erased approvals for different things, whoever signed it.
func TestBothProgramsTakeErasuresOfApprovalsForTheSame(t *testing.T) {
	t.Parallel()
	w := journaltest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db"))
	example := w.Example()
	of := example.Institution
	a := w.Approvals(example)
	values := must(w.StoredEntries(t.Context(), of, 1, 999))
	erase(w, of, a.Rejected, new("article 17"))
	erase(w, of, a.Rejected, nil)
	head, _, err := w.Head(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	entries := must(w.StoredEntries(t.Context(), of, 1, head.Sequence))
	same := func(text string) string { return text }
	key, signer := newKey()
	on := func(subject string) string { return fmt.Sprintf(`"subject":%q,"event":{"id":%q`, subject, subject) }
	about := func(id escrow.ApprovalID) string { return on(id.String()) }

	for _, test := range []struct {
		name string
		// number is which of the two erasures is changed, from 0.
		number   int
		old, new string
		// valuesBack says that the values are there that the journal had before the erasures.
		valuesBack bool
		verified   bool
	}{
		{"as it is", 0, "", "", false, true},
		{"the values are back", 0, "", "", true, false},
		{"an erasure of what is pending", 1, about(a.Rejected), about(a.Pending), false, false},
		{"an erasure of what was never asked for", 1, about(a.Rejected), about(escrow.ApprovalID{15: 1}), false, false},
		{"of a position", 1, about(a.Rejected), on(a.Position.String()), false, false},
		{"of another approval, whose values are there", 1, about(a.Rejected), about(a.Failed), false, false},
		{"on another subject", 1, `"subject":"` + a.Rejected.String(), `"subject":"` + a.Failed.String(), false, false},
		{"of fewer entries", 0, `"entries":2`, `"entries":1`, false, false},
		{"of more entries", 1, `"entries":3`, `"entries":4`, false, false},
		{"of a text of entries", 1, `"entries":3`, `"entries":"3"`, false, false},
		{"of entries that are not told", 1, `,"entries":3`, ``, false, false},
		{"a reason that is no commitment", 0, `"reason":{"sha256":"`, `"reason":{"sha256":"*`, false, false},
		{"an approval named", 1, `"event":{"id"`, `"approval":{"id":"` + a.Rejected.String() + `"},"event":{"id"`, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changed, number := slices.Clone(entries), test.number
			for i := range changed {
				if test.valuesBack && i < len(values) {
					changed[i].Private = values[i].Private
				}
				body := string(changed[i].Body)
				if !strings.Contains(body, `"kind":"APPROVAL_DATA_ERASED"`) {
					continue
				}
				number--
				if number != -1 {
					continue
				}
				if !strings.Contains(body, test.old) {
					t.Fatalf("nothing is changed in %s", body)
				}
				changed[i].Body = []byte(strings.Replace(body, test.old, test.new, 1))
				if parsed, err := escrow.ParseEntry(changed[i].Body, nil); err == nil {
					changed[i].Subject = parsed.Subject
				}
			}
			path := signedBundle(t, key, of, changed, "escrowgrid.test/"+of.String(), same, same)
			takeAlike(t, path, signer.VerifierKey(), test.verified)
		})
	}

	// Nothing else is wrong with an erasure of what waits: its values are gone, and those of the other are there.
	forged := slices.Concat(values, entries[len(entries)-2:len(entries)-1])
	for i := range forged {
		if forged[i].Subject == a.Pending.String() {
			forged[i].Private = nil
		}
	}
	last := &forged[len(forged)-1]
	body := strings.Replace(string(last.Body), about(a.Rejected), about(a.Pending), 1)
	body = regexp.MustCompile(`"entries":2,"reason":{[^}]*}`).ReplaceAllString(body, `"entries":1`)
	last.Body, last.Subject = []byte(body), a.Pending.String()
	path := signedBundle(t, key, of, forged, "escrowgrid.test/"+of.String(), same, same)
	tellsOfPending(t, path, signer.VerifierKey(), a.Pending)
}

func tellsOfPending(t *testing.T, path, key string, pending escrow.ApprovalID) {
	t.Helper()
	want := "it erases what is private of the approval " + pending.String() + ", which is pending"
	b := must(bundle.Open(t.Context(), path))
	defer func() { _ = b.Close() }()
	report := must(verify.Bundle(t.Context(), b, verify.Config{Keys: []string{key}}))
	if !strings.Contains(fmt.Sprint(report.Differences), want) {
		t.Errorf("the differences are %v", report.Differences)
	}
	if output, code := independentlyWith(t, "0", path, key); code == 0 || !strings.Contains(output, want) {
		t.Errorf("independently, it is %d: %s", code, output)
	}
}
