package escrow_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// createTakesOne is a bank in which new positions take an approver.
func createTakesOne(t *testing.T) bank {
	t.Helper()
	return openBank(t, escrow.ApprovalRuleInput{ID: "new", On: []string{"positions.create"}, Require: approvers(1), ExpiresIn: new("1h")})
}

// asksFor asks for positions of some holders, with all that can be private: as a batch where there are several.
func (b bank) asksFor(holders ...string) escrow.Approval {
	b.t.Helper()
	var inputs []escrow.PositionInput
	for _, holder := range holders {
		in := referenced(b.asset, "of "+holder+fmt.Sprint(b.random.Uint64()))
		in.HolderReference, in.Metadata = holder, escrow.Metadata(fmt.Sprintf(`{"of":%q}`, holder))
		inputs = append(inputs, in)
	}
	if len(inputs) == 1 {
		return b.ask(b.maker, valid(escrow.NewCreatePosition(inputs[0])))
	}
	return b.ask(b.maker, creations(inputs...).batch(false))
}

// ended asks for positions and has the approval come to one of its ends.
func (b bank) ended(status escrow.ApprovalStatus, holders ...string) escrow.Approval {
	b.t.Helper()
	a := b.asksFor(holders...)
	done := func(outcome escrow.Outcome) {
		b.t.Helper()
		if outcome.Refusal != nil {
			b.t.Fatalf("%s: %v", status, outcome.Refusal)
		}
	}
	switch status {
	case escrow.ApprovalExecuted:
		b.approved(b.ann, a)
	case escrow.ApprovalRejected:
		done(b.as(b.ann, valid(escrow.NewRejectApproval(a.ID, "not Ada"))))
	case escrow.ApprovalWithdrawn:
		done(b.as(b.maker, escrow.WithdrawApproval{Approval: a.ID}))
	case escrow.ApprovalExpired:
		b.now = a.ExpiresAt
		done(b.as(escrow.ActorSystem(), escrow.ExpireApproval{Approval: a.ID}))
	case escrow.ApprovalFailed:
		b.accept(escrow.RevokeKey{Key: b.maker.Key})
		b.approved(b.ann, a)
	case escrow.ApprovalPending:
	}
	return b.approval(a.ID)
}

func (b bank) approval(id escrow.ApprovalID) escrow.Approval {
	b.t.Helper()
	a, ok := b.books.Approvals.Get(id)
	if !ok {
		b.t.Fatalf("there is no approval %s", id)
	}
	return a
}

func erasureOf(a escrow.Approval, reason string, ifVersion ...int64) escrow.EraseApproval {
	var given *string
	if reason != "" {
		given = &reason
	}
	return valid(escrow.NewEraseApproval(a.ID, given, ifVersion, 0))
}

func TestAnErasureOfAnApprovalRefusesInItsDocumentedOrder(t *testing.T) {
	t.Parallel()
	b := createTakesOne(t)
	pending, ended := b.asksFor("Ada"), b.ended(escrow.ApprovalRejected, "Ada")
	const retention = 30 * 24 * time.Hour
	erase := func(a escrow.ApprovalID, ifVersion ...int64) escrow.Command {
		return valid(escrow.NewEraseApproval(a, nil, ifVersion, retention))
	}
	b.refuse(erase(escrow.ApprovalID{1}, 9), escrow.CodeApprovalNotFound)
	b.refuse(erase(pending.ID, 9), escrow.CodeVersionMismatch)
	b.refuse(erase(ended.ID, 9), escrow.CodeVersionMismatch)
	want := "The approval is PENDING. What is private of it can be erased once it has come to an end."
	if got := b.refusal(erase(pending.ID, 1), escrow.CodeApprovalOpen).Detail; got != want {
		t.Errorf("the refusal is %q, want %q", got, want)
	}
	b.wantRefused(b.maker, erase(ended.ID), escrow.CodePermissionMissing)

	// An approval is kept up to the moment that the refusal names, and no longer.
	until := ended.ErasableFrom(retention)
	b.desk.now = until.Add(-time.Microsecond)
	want = fmt.Sprintf("The approval was last changed at %s, and is kept until %s.", escrow.FormatTime(ended.UpdatedAt), escrow.FormatTime(until))
	if got := b.refusal(erase(ended.ID, 2), escrow.CodeRetentionPeriod).Detail; got != want {
		t.Errorf("the refusal is %q, want %q", got, want)
	}
	b.desk.now = until
	b.accept(erase(ended.ID, 2, 3))
}

// Whatever became of an approval, what is private of it can be erased, and nothing else goes.
func TestAnErasureOfAnApprovalTakesWhatIsPrivateAndNothingElse(t *testing.T) {
	t.Parallel()
	for _, status := range escrow.ApprovalStatuses()[1:] {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			b := createTakesOne(t)
			want := b.ended(status, "Ada Lovelace")
			if asked := must(want.Asked()); want.Status != status || asked.Erased || !strings.Contains(string(asked.Command), "Ada Lovelace") {
				t.Fatalf("the approval is %+v, and asks for %s", want, asked.Command)
			}
			version := want.Version
			b.desk.now = b.now.Add(time.Hour)
			outcome := b.accept(erasureOf(want, " Article 17 ", version))

			want.Private, want.ErasedAt, want.ErasureReason = nil, new(b.now), true
			want.Version, want.UpdatedAt = version+1, b.now
			if diff := cmp.Diff(want, b.approval(want.ID), exactly()); diff != "" {
				t.Errorf("the approval wanted (-) and erased (+):\n%s", diff)
			}
			if diff := cmp.Diff(escrow.Resource(want), outcome.Resource, exactly()); diff != "" {
				t.Errorf("the answer wanted (-) and given (+):\n%s", diff)
			}
			asked := must(b.approval(want.ID).Asked())
			if text := string(asked.Command); !asked.Erased || strings.Contains(text, "Ada") || !strings.Contains(text, `"amount"`) {
				t.Errorf("erased, it asks for %s", text)
			}

			entry := b.lastEntry()
			if entry.Kind != escrow.KindApprovalDataErased || !entry.Erases() || !entry.Kind.OfApproval() || entry.Kind.OfPosition() {
				t.Errorf("an entry of the kind %s erases: %t", entry.Kind, entry.Erases())
			}
			details := fmt.Sprintf(`{"id":%q,"entries":%d,"reason":"Article 17"}`, want.ID.String(), version)
			if got := string(must(entry.Details())); got != details {
				t.Errorf("the entry tells %s, want %s", got, details)
			}
			b.checkReplay()
		})
	}
}

func TestASecondErasureOfAnApprovalTakesTheReasonOfTheFirst(t *testing.T) {
	t.Parallel()
	b := createTakesOne(t)
	a := b.ended(escrow.ApprovalWithdrawn, "Ada")
	b.accept(erasureOf(a, "Article 17"))

	// What there is no more needs not be kept, so no retention holds the second one up.
	b.accept(valid(escrow.NewEraseApproval(a.ID, new("once more"), nil, time.Hour)))
	details := fmt.Sprintf(`{"id":%q,"entries":3}`, a.ID.String())
	if now := b.approval(a.ID); now.Version != 4 || now.ErasureReason || string(must(b.lastEntry().Details())) != details {
		t.Errorf("erased twice, it is %+v, and the entry %s", now, b.lastEntry().Body)
	}
	entries := len(b.books.Entries)
	outcome := b.accept(erasureOf(a, "Article 17"))
	if len(b.books.Entries) != entries || outcome.Subject != a.ID.String() || outcome.Resource.(escrow.Approval).Version != 4 {
		t.Errorf("a third erasure makes %d entries and answers %+v", len(b.books.Entries)-entries, outcome)
	}
	b.refuse(erasureOf(a, "", 3), escrow.CodeVersionMismatch)

	other := b.ended(escrow.ApprovalWithdrawn, "Ada")
	b.accept(erasureOf(other, ""))
	entries = len(b.books.Entries)
	b.accept(erasureOf(other, "Article 17"))
	if len(b.books.Entries) != entries {
		t.Error("an erasure without a reason is erased again")
	}
}

// The values are gone from the entries as well, and the bodies make the approval that there is.
func TestErasedEntriesMakeTheSameApproval(t *testing.T) {
	t.Parallel()
	b := createTakesOne(t)
	a := b.ended(escrow.ApprovalRejected, "Ada")
	for range 2 {
		b.accept(erasureOf(a, "Article 17"))
	}
	var left []escrow.Entry
	for _, entry := range b.books.Entries {
		if entry.Subject == a.ID.String() {
			left = append(left, must(escrow.ParseEntry(entry.Body, nil)))
		}
	}
	if diff := cmp.Diff(escrow.Resource(b.approval(a.ID)), must(escrow.ResourceOf(left)), exactly()); diff != "" || len(left) != 4 {
		t.Errorf("the approval (-) and what its %d entries make without their values (+):\n%s", len(left), diff)
	}
	for _, wrong := range [][]escrow.Entry{{left[2]}, {left[0], left[2]}, {left[0], left[1], left[3]}} {
		if _, err := escrow.ResourceOf(wrong); err == nil {
			t.Errorf("an erasure is taken behind %d entries", len(wrong)-1)
		}
	}
	given := escrow.Entry{}
	for _, entry := range b.books.Entries {
		if entry.Kind == escrow.KindApprovalRejected {
			given = entry
		}
	}
	if _, err := escrow.ResourceOf(append(slices.Clone(left[:3]), given)); err == nil {
		t.Error("an erased approval is rejected")
	}
}

func TestApprovalsOfAClosedInstitutionAreErased(t *testing.T) {
	t.Parallel()
	b := createTakesOne(t)
	a := b.ended(escrow.ApprovalRejected, "Ada")
	b.accept(escrow.CloseInstitution{})
	b.accept(erasureOf(a, ""))
	b.checkReplay()
}

// Erasing never waits for others, whatever the rules are about.
func TestAnErasureOfAnApprovalTakesNoApproval(t *testing.T) {
	t.Parallel()
	b := openBank(t, escrow.ApprovalRuleInput{ID: "all", On: []string{"positions.create", "positions.cancel", "roles.manage"}, Require: approvers(1)})
	a := b.ended(escrow.ApprovalRejected, "Ada")
	if now, ok := b.as(b.eve, erasureOf(a, "")).Resource.(escrow.Approval); !ok || now.ErasedAt == nil {
		t.Errorf("it becomes %+v", now)
	}
}

// A restricted key erases what asks for nothing but what would have been for it, and is not told of the rest.
func TestARestrictedKeyErasesApprovalsThatAreForIt(t *testing.T) {
	t.Parallel()
	holders := []string{"Ada"}
	for name, test := range map[string]struct {
		restrict func(b bank) escrow.RestrictionInput
		want     map[string]escrow.Code // by the holders
	}{
		"the holder": {
			func(bank) escrow.RestrictionInput { return escrow.RestrictionInput{HolderReferences: &holders} },
			map[string]escrow.Code{"Ada": "", "Eve": "approval_not_found", "Ada Eve": "approval_not_found", "-": "approval_not_found"},
		},
		"the asset": {
			func(b bank) escrow.RestrictionInput {
				return escrow.RestrictionInput{AssetIDs: &[]string{b.asset.String()}}
			},
			map[string]escrow.Code{"Ada": "", "Eve": "", "Ada Eve": "", "-": "approval_not_found"},
		},
		"another asset": {
			func(bank) escrow.RestrictionInput {
				return escrow.RestrictionInput{AssetIDs: &[]string{escrow.AssetID{15: 1}.String()}}
			},
			map[string]escrow.Code{"Ada": "approval_not_found", "-": "approval_not_found"},
		},
		"the template": {
			func(b bank) escrow.RestrictionInput {
				asset, _ := b.books.Assets.Get(b.asset)
				return escrow.RestrictionInput{TemplateIDs: &[]string{asset.TemplateID.String()}}
			},
			map[string]escrow.Code{"Ada": "", "Ada Eve": ""},
		},
		"amounts": {
			func(bank) escrow.RestrictionInput { return *toAmounts("USD", "1") },
			map[string]escrow.Code{"Ada": "", "Ada Eve": "", "-": ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for asked, want := range test.want {
				on := map[bool]string{true: "positions.fund", false: "positions.create"}[asked == "-"]
				b := openBank(t, escrow.ApprovalRuleInput{ID: "new", On: []string{on}, Require: approvers(1)})
				var a escrow.Approval
				if asked == "-" { // What asks for no position goes with the position that it is about.
					a = b.ask(b.maker, transition(b.position(b.asset, "1", "USD"), "FUNDED", ""))
				} else {
					a = b.asksFor(strings.Fields(asked)...)
				}
				b.as(b.maker, escrow.WithdrawApproval{Approval: a.ID})
				restrict := test.restrict(b)
				in := escrow.KeyInput{Label: "A key", Permissions: &[]string{"positions.erase"}, Restrict: &restrict}
				key := escrow.ActorKey(subjectID[escrow.KeyID](b.accept(valid(escrow.NewCreateKey(in, escrow.HashSecret(asked))))))
				if got := codeOf(b.as(key, erasureOf(a, "asked for")).Refusal); got != want {
					t.Errorf("of %q, the answer is %q, want %q", asked, got, want)
				}
				if again := codeOf(b.as(key, erasureOf(a, "")).Refusal); name == "the holder" && again != "approval_not_found" {
					t.Errorf("erased, of %q the answer is %q", asked, again)
				}
			}
		})
	}
}

// What is asked for one holder is told without what is asked for others beside.
func TestWhatIsAskedForAHolderIsToldWithoutThatOfOthers(t *testing.T) {
	t.Parallel()
	b := createTakesOne(t)
	alone, batch := b.asksFor("Ada"), b.asksFor("Ada", "Eve", "Ada")
	told := func(a escrow.Approval, holder string) string { return string(must(a.CreatedFor(holder))) }
	if got := told(alone, "Ada"); got != string(must(alone.Asked()).Command) {
		t.Errorf("alone it is told as %s", got)
	}
	if got := told(batch, "Ada"); strings.Contains(got, "Eve") || strings.Count(got, `"holderReference":"Ada"`) != 2 || !strings.HasPrefix(got, `{"type":"positions.batch","items":[{"type":"position.create"`) {
		t.Errorf("of a batch, Ada is told %s", got)
	}
	if got := told(batch, "Eve"); strings.Contains(got, "Ada") || strings.Count(got, "holderReference") != 1 {
		t.Errorf("of a batch, Eve is told %s", got)
	}
	moved := b.ended(escrow.ApprovalRejected, "Ada")
	b.accept(erasureOf(moved, ""))
	if got := told(alone, "Bob") + told(batch, "") + told(b.approval(moved.ID), "Ada") + told(b.approval(moved.ID), ""); got != "" {
		t.Errorf("of others and of what was erased %s is told", got)
	}
}

// Any number of new positions can wait, and whose they would be is found by the holder.
func TestSubjectsOfNewPositionsHaveTheirHolders(t *testing.T) {
	t.Parallel()
	b := createTakesOne(t)
	batch := b.asksFor("Ada", "Eve")
	b.asksFor("Ada")
	for i, want := range []string{"Ada", "Eve"} {
		name := escrow.ApprovalSubject{ApprovalID: batch.ID, Number: int64(i)}.Name()
		if s, ok := b.books.Subjects.Get(name); !ok || s.HolderReference != want || s.Subject != "" {
			t.Errorf("the subject %d is %+v", i, s)
		}
	}
	if b.books.Subjects.Len() != 3 || b.books.Head.Approvals != 2 {
		t.Errorf("%d subjects wait of %d approvals", b.books.Subjects.Len(), b.books.Head.Approvals)
	}
}

// No server erases what waits: who does so at the database must be found.
func TestAnAuditFindsAnErasureOfWhatIsPending(t *testing.T) {
	t.Parallel()
	b := createTakesOne(t)
	a, pending := b.ended(escrow.ApprovalRejected, "Ada"), b.asksFor("Ada")
	b.accept(erasureOf(a, ""))
	f := &forgery{t: t, entries: slices.Clone(b.books.Entries)}
	f.edit(`"kind":"APPROVAL_DATA_ERASED"`, 0, `"event":{"id":"`+a.ID.String(), `"event":{"id":"`+pending.ID.String())
	found := fmt.Sprint(f.find())
	if !strings.Contains(found, "it erases what is private of the approval "+pending.ID.String()+", which is pending") {
		t.Errorf("the audit finds %s", found)
	}
}

func TestAnErasureIsRetainedUntilTheLastOfItsApprovals(t *testing.T) {
	t.Parallel()
	first, last := opening().Add(time.Hour), opening().Add(2*time.Hour)
	var found escrow.Erasure
	found.Retain(first)
	found.RetainApproval(last)
	found.RetainApproval(first)
	if !found.RetainedUntil.Equal(last) || found.Retained != 1 || found.ApprovalsRetained != 2 {
		t.Errorf("%d and %d are retained until %s", found.Retained, found.ApprovalsRetained, found.RetainedUntil)
	}
}
