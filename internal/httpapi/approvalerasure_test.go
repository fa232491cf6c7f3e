package httpapi_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// asking is a bank in which new positions take an approver.
type asking struct {
	bank

	maker, checker apitest.Client
}

func (b bank) asking(t *testing.T) asking {
	t.Helper()
	a := asking{bank: b, maker: b.member(t, "operator", "Mia"), checker: b.member(t, "approver", "Ana")}
	b.setRules(t, rule("new", "positions.create", "approver"))
	return a
}

// asked asks for positions of some holders, and returns the path of the approval.
func (a asking) asked(t *testing.T, holders ...string) string {
	t.Helper()
	var claims []fields
	for _, holder := range holders {
		claims = append(claims, a.claim().with("holderReference", holder).with("metadata", fields{"contact": "mail to " + holder}))
	}
	path, body := "/positions/batch", batchOf(claims...)
	if len(claims) == 1 {
		path, body = "/positions", claims[0]
	}
	return "/approvals/" + a.maker.Post(t, path, body.String()).Want(t, 202).Text("id")
}

// rejected asks for positions, and has that rejected.
func (a asking) rejected(t *testing.T, holders ...string) string {
	t.Helper()
	path := a.asked(t, holders...)
	a.checker.Post(t, path+"/reject", fields{"comment": "not " + holders[0]}.String()).Want(t, 200)
	return path
}

func TestWhatAnApprovalHasIsErased(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		a := s.bank(t).asking(t)
		pending, rejected := a.asked(t, ada), a.rejected(t, ada)
		a.Admin.Post(t, pending+"/erase", `{}`).Refused(t, 409, "approval_open")
		a.Admin.Post(t, rejected+"/erase", `{"reason": ""}`).Refused(t, 422, "invalid_input", "reason")
		a.Admin.Post(t, rejected+"/erase", `{}`, `If-Match: "1"`).Refused(t, 412, "version_mismatch")
		a.checker.Post(t, rejected+"/erase", `{}`).Refused(t, 403, "permission_missing")
		before := a.Admin.Get(t, rejected).Want(t, 200)
		wantMember(t, before, "erased", "")
		wantMember(t, before, "rejection.comment", "not "+ada)

		erased := a.Admin.Post(t, rejected+"/erase", `{"reason": "article 17"}`, "Idempotency-Key: once").Want(t, 200)
		if erased.Text("erased") != "true" || erased.Text("version") != "3" || erased.Header.Get("ETag") != `"3"` || strings.Contains(string(erased.Body), ada) {
			t.Errorf("the answer is %s", erased)
		}
		again := a.Admin.Post(t, rejected+"/erase", `{"reason": "article 17"}`, "Idempotency-Key: once").Want(t, 200)
		if again.Header.Get("Idempotent-Replayed") != "true" || !bytes.Equal(again.Body, erased.Body) {
			t.Errorf("repeated, the answer is %s", again)
		}
		now := a.Admin.Get(t, rejected, "If-None-Match: "+before.Header.Get("ETag")).Want(t, 200)
		for member, want := range map[string]string{
			"erased": "true", "status": "REJECTED", "rejection.comment": "", "rejection.actor": before.Text("rejection.actor"),
			"command.amount": before.Text("command.amount"), "command.holderReference": "", "digest": before.Text("digest"),
		} {
			wantMember(t, now, member, want)
		}
		for _, path := range []string{"/approvals", rejected, "/audit-events?subject=" + strings.TrimPrefix(rejected, "/approvals/"), "/holders/" + ada + "/data"} {
			body := string(a.Admin.Get(t, path).Want(t, 200).Body)
			if strings.Contains(body, "not "+ada) || path != "/approvals" && path != "/holders/"+ada+"/data" && strings.Contains(body, ada) {
				t.Errorf("%s still has %s", path, body)
			}
		}
		wantMember(t, a.Admin.Get(t, "/audit-events?kind=APPROVAL_DATA_ERASED").Want(t, 200), "data.0.details.reason", "article 17")
		a.Admin.Post(t, rejected+"/erase", `{}`).Want(t, 200)
		third := a.Admin.Post(t, rejected+"/erase", `{}`).Want(t, 200)
		wantMember(t, third, "version", "4")
		wantMember(t, a.Admin.Get(t, pending).Want(t, 200), "command.holderReference", ada)
	})
}

// With a position go the comments on what was asked of it, which is told.
func TestAnApprovalTellsThatItWasErasedWithAPosition(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	maker, checker := b.member(t, "operator", "Mia"), b.member(t, "approver", "Ana")
	b.setRules(t, rule("cancels", "positions.cancel", "approver"))
	position := b.position(t, "FUNDED").Text("id")
	asked := maker.Post(t, "/positions/"+position+"/transition", step("CANCELLED").String()).Want(t, 202)
	path := "/approvals/" + asked.Text("id")
	checker.Post(t, path+"/approve", fields{"digest": asked.Text("digest"), "comment": "as " + ada + " asked"}.String()).Want(t, 200)
	wantMember(t, b.Admin.Get(t, path).Want(t, 200), "approvals.0.comment", "as "+ada+" asked")
	b.Admin.Post(t, "/positions/"+position+"/erase", `{}`).Want(t, 200)
	now := b.Admin.Get(t, path).Want(t, 200)
	wantMember(t, now, "erased", "true")
	wantMember(t, now, "approvals.0.comment", "")
}

// Whoever asks what is held about them is told of what was asked for and never made, and an erasure takes it away.
func TestWhatWasNeverMadeIsToldAndErasedOfAHolder(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		a := s.bank(t).asking(t)
		rejected, batch, pending := a.rejected(t, ada), a.asked(t, ada, "Grace", ada), a.asked(t, ada)
		a.maker.Post(t, batch+"/withdraw", "").Want(t, 200)
		other := a.rejected(t, "Grace")
		made := a.asked(t, ada)
		a.checker.Post(t, made+"/approve", fields{"digest": a.Admin.Get(t, made).Text("digest"), "comment": "yes"}.String()).Want(t, 200)

		data := held(t, a.Admin, "/holders/"+ada+"/data")
		if data.PositionCount != 1 || data.ApprovalCount != 3 || len(data.Approvals) != 3 || data.Pagination.HasMore {
			t.Fatalf("what is held is %+v", data)
		}
		wantHeld(t, data, rejected, "REJECTED", ada, "not "+ada)
		wantHeld(t, data, batch, "WITHDRAWN", ada, ada)
		wantHeld(t, data, pending, "PENDING", ada)
		if text := string(a.Admin.Get(t, "/holders/"+ada+"/data").Body); strings.Contains(text, "Grace") || strings.Contains(text, strings.TrimPrefix(other, "/approvals/")) {
			t.Errorf("it tells of others: %s", text)
		}
		page := pageOf(t, a.Admin.Get(t, "/holders/"+ada+"/data?format=html").Want(t, 200))
		for _, want := range []string{strings.TrimPrefix(rejected, "/approvals/"), "REJECTED", "not " + ada, "mail to " + ada, "<dt>Asked for, and not made</dt><dd>3</dd>"} {
			if !strings.Contains(page, want) {
				t.Errorf("the page does not have %q", want)
			}
		}
		if strings.Contains(page, "Grace") || strings.Contains(page, "Nothing is held") {
			t.Errorf("the page is %s", page)
		}
		if alone := pageOf(t, a.Admin.Get(t, "/holders/Grace/data?format=html").Want(t, 200)); strings.Contains(alone, "Nothing is held") || !strings.Contains(alone, "not Grace") {
			t.Errorf("about a holder of no position the page is %s", alone)
		}

		erase := fields{"holderReference": ada, "dryRun": true}
		want := `"erased":0,"kept":{"open":1,"onHold":0,"retained":0},"approvals":{"erased":2,"pending":1,"retained":0},"complete":true`
		if dry := string(a.Admin.Post(t, "/erasures", erase.String()).Want(t, 200).Body); !strings.Contains(dry, want) {
			t.Errorf("a dry run is answered with %s, want %s", dry, want)
		}
		erased := a.Admin.Post(t, "/erasures", erase.without("dryRun").String()).Want(t, 200)
		if !strings.Contains(string(erased.Body), want) {
			t.Errorf("the erasure is answered with %s, want %s", erased, want)
		}
		wantMember(t, a.Admin.Get(t, "/erasures/"+erased.Text("id")).Want(t, 200), "approvals.erased", "2")
		left := held(t, a.Admin, "/holders/"+ada+"/data")
		if left.ApprovalCount != 1 || len(left.Approvals) != 1 || left.Approvals[0].ID != strings.TrimPrefix(pending, "/approvals/") {
			t.Errorf("what is left is %+v", left)
		}
		// Of a batch all goes, as it is one command.
		if grace := held(t, a.Admin, "/holders/Grace/data"); grace.ApprovalCount != 1 {
			t.Errorf("of another holder there is left %+v", grace)
		}
	})
}

func wantHeld(t *testing.T, data heldData, path, status string, texts ...string) {
	t.Helper()
	at := slices.IndexFunc(data.Approvals, func(one heldAsking) bool { return "/approvals/"+one.ID == path })
	if at < 0 || data.Approvals[at].Status != status {
		t.Errorf("%s is not held as %s: %+v", path, status, data.Approvals)
		return
	}
	said := fmt.Sprintf("%s %+v", data.Approvals[at].Command, data.Approvals[at].Rejection)
	for _, text := range texts {
		if !strings.Contains(said, text) {
			t.Errorf("of %s, %q is not held: %s", path, text, said)
		}
	}
}

// What is held goes on from the positions to the approvals, wherever an answer ends.
func TestTheDataOfAHolderGoesOnWithApprovals(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	a := s.bank(t).asking(t)
	a.setRules(t)
	for range 3 {
		a.Admin.Post(t, "/positions", a.claim().with("holderReference", ada).String()).Want(t, 201)
	}
	a.setRules(t, rule("new", "positions.create", "approver"))
	for range 4 {
		a.rejected(t, ada)
	}
	whole := held(t, a.Admin, "/holders/"+ada+"/data")
	if len(whole.Positions) != 3 || len(whole.Approvals) != 4 || whole.Pagination.HasMore {
		t.Fatalf("the whole has %d positions and %d approvals", len(whole.Positions), len(whole.Approvals))
	}
	for _, limit := range []int{1, 2, 3, 4, 5, 6, 7} {
		path := fmt.Sprintf("/holders/%s/data?limit=%d", ada, limit)
		positions, approvals, next, answers := 0, []string{}, "", 0
		for more := true; more; answers++ {
			part := held(t, a.Admin, path+next)
			if size := len(part.Positions) + len(part.Approvals); size == 0 || size > limit {
				t.Fatalf("with at most %d, a part has %d", limit, size)
			}
			positions += len(part.Positions)
			for _, one := range part.Approvals {
				approvals = append(approvals, one.ID)
			}
			if more = part.Pagination.HasMore; more {
				next = "&cursor=" + *part.Pagination.NextCursor
			}
		}
		var want []string
		for _, one := range whole.Approvals {
			want = append(want, one.ID)
		}
		if positions != 3 || !slices.Equal(approvals, want) || answers != (7+limit-1)/limit {
			t.Errorf("with at most %d, %d answers have %d positions and %v", limit, answers, positions, approvals)
		}
	}
}

// A key that is restricted to a holder erases what was asked for the holder, and is not told of the rest.
func TestRestrictedKeysEraseApprovalsThatAreForThem(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		a := s.bank(t).asking(t)
		of := func(restrict fields) apitest.Client {
			return a.Admin.As(a.keyOf(t, fields{"label": "part", "permissions": []string{"positions.erase", "personal_data.read"}, "restrict": restrict}))
		}
		holder := of(fields{"holderReferences": []string{ada}})
		template, other := of(fields{"templateIds": []string{a.Template}}), of(fields{"templateIds": []string{a.template(t, templateOf("CONSTR_ESCROW"))}})
		own, both, others := a.rejected(t, ada), a.rejected(t, ada, "Grace"), a.rejected(t, "Grace")
		holder.Post(t, both+"/erase", `{}`).Refused(t, 404, "approval_not_found")
		holder.Post(t, others+"/erase", `{}`).Refused(t, 404, "approval_not_found")
		other.Post(t, others+"/erase", `{}`).Refused(t, 404, "approval_not_found")
		other.Post(t, "/approvals/apr_00000000000000000000000001/erase", `{}`).Refused(t, 404, "approval_not_found")
		if told := held(t, holder, "/holders/"+ada+"/data"); len(told.Approvals) != 2 {
			t.Errorf("the holder's key is told %+v", told)
		}
		holder.Get(t, "/holders/Grace/data").Refused(t, 403, "key_restricted")
		holder.Post(t, own+"/erase", `{}`).Want(t, 200)
		holder.Post(t, own+"/erase", `{}`).Refused(t, 404, "approval_not_found")
		template.Post(t, both+"/erase", `{}`).Want(t, 200)
		template.Post(t, others+"/erase", `{}`).Want(t, 200)
	})
}

// Approvals are kept as long as positions are after their last change.
func TestApprovalsAreRetained(t *testing.T) {
	s := serve(t, onSQLite(t), func(c *settings) { c.RetentionPeriod = 24 * time.Hour })
	a := s.bank(t).asking(t)
	path := a.rejected(t, ada)
	a.Admin.Post(t, path+"/erase", `{}`).Refused(t, 409, "retention_period")
	until := a.Admin.Get(t, path).Want(t, 200).Text("updatedAt")
	ended, err := time.Parse(time.RFC3339Nano, until)
	if err != nil {
		t.Fatal(err)
	}
	kept := a.Admin.Post(t, "/erasures", fields{"holderReference": ada}.String()).Want(t, 200)
	want := fmt.Sprintf(`"kept":{"open":0,"onHold":0,"retained":0,"retainedUntil":%q},"approvals":{"erased":0,"pending":0,"retained":1}`, ended.Add(24*time.Hour).Format("2006-01-02T15:04:05.000000Z"))
	if !strings.Contains(string(kept.Body), want) {
		t.Errorf("the erasure is answered with %s, want %s", kept, want)
	}
	s.clock.advance(24 * time.Hour)
	wantMember(t, a.Admin.Post(t, path+"/erase", `{}`).Want(t, 200), "erased", "true")
}
