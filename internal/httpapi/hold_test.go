package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

func (b bank) hold(tb testing.TB, position string, body fields) apitest.Answer {
	tb.Helper()
	return b.Admin.Post(tb, "/positions/"+position+"/holds", body.String())
}

// liftPath is where a hold is lifted that nobody else lifts.
func liftPath(tb testing.TB, b bank) string {
	tb.Helper()
	ids := aHold(tb, b)
	return "/positions/" + ids[0] + "/holds/" + ids[1] + "/lift"
}

func TestHoldsFromTheirPlacingToTheirLifting(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		id := b.position(t, "FUNDED").Text("id")
		path := "/positions/" + id + "/holds"
		court := b.hold(t, id, fields{
			"kind": "LEGAL", "amount": "600.5", "reason": "Order <1>", "reference": "HC/7", "reviewAt": "2999-01-01T00:00:00Z",
		}).Want(t, 201)
		hold := court.Text("id")
		if location := court.Header.Get("Location"); location != path+"/"+hold || court.Text("amount") != "600.50" ||
			court.Text("status") != "IN_FORCE" || court.Text("placed.reason") != "Order <1>" || court.Text("placed.reference") != "HC/7" {
			t.Errorf("the hold at %s is answered as %s", location, court)
		}
		position := b.Admin.Get(t, "/positions/"+id).Want(t, 200)
		if position.Text("onHold") != "600.50" || position.Text("available") != "399.50" || position.Header.Get("ETag") != `"3"` {
			t.Errorf("the position is %s", position)
		}
		b.Admin.Post(t, path, newHold(b).String(), `If-Match: "2"`).Refused(t, 412, "version_mismatch")
		b.hold(t, id, newHold(b).with("amount", "399.51")).Refused(t, 422, "hold_amount")
		b.hold(t, id, fields{"kind": "DISPUTE"}).Refused(t, 422, "invalid_input", "kind", "reason")

		refused := b.transition(t, id, step("RELEASED")).Refused(t, 409, "position_on_hold").Problem(t)
		if want := "Of the 1000.00 USD that are held, 600.50 are on hold: LEGAL " + hold + "."; refused.Detail != want {
			t.Errorf("the refusal is %q, want %q", refused.Detail, want)
		}
		b.transition(t, id, step("PARTIALLY_RELEASED").with("amount", "399.50")).Want(t, 200)
		read := b.Admin.Get(t, path+"/"+hold).Want(t, 200)
		if string(read.Body) != string(court.Body) {
			t.Errorf("the hold was answered as %s, and is read as %s", court, read)
		}

		lifted := b.Admin.Post(t, path+"/"+hold+"/lift", `{"reason": "Set aside"}`).Want(t, 200)
		if lifted.Text("status") != "LIFTED" || lifted.Text("lifted.reason") != "Set aside" || lifted.Text("placed.reason") != "Order <1>" {
			t.Errorf("the lifting is answered as %s", lifted)
		}
		if again := b.Admin.Get(t, path+"/"+hold); string(again.Body) != string(lifted.Body) {
			t.Errorf("the lifting was answered as %s, and is read as %s", lifted, again)
		}
		b.Admin.Post(t, path+"/"+hold+"/lift", `{"reason": "Set aside"}`).Refused(t, 409, "hold_lifted")
		b.Admin.Post(t, path+"/"+hold+"/lift", `{}`).Refused(t, 422, "invalid_input", "reason")
		other := b.position(t).Text("id")
		b.Admin.Get(t, "/positions/"+other+"/holds/"+hold).Refused(t, 404, "hold_not_found")
		b.Admin.Post(t, "/positions/"+other+"/holds/"+hold+"/lift", `{"reason": "r"}`).Refused(t, 404, "hold_not_found")
		b.Admin.Get(t, path+"/hld_1").Refused(t, 404, "hold_not_found")
		b.Admin.Post(t, "/positions/pos_1/holds/"+hold+"/lift", `{"reason": "r"}`).Refused(t, 404, "position_not_found")

		b.hold(t, id, newHold(b)).Want(t, 201)
		for query, want := range map[string]int{
			"": 2, "?status=LIFTED": 1, "?status=IN_FORCE": 1, "?kind=LEGAL": 1, "?kind=LEGAL,COMPLIANCE": 2, "?kind=COMPLIANCE&status=LIFTED": 0,
		} {
			for _, list := range []string{path, "/holds"} {
				if got := b.Admin.Get(t, list+query).Want(t, 200).Texts(t, "id"); len(got) != want {
					t.Errorf("%s%s has %d holds, want %d", list, query, len(got), want)
				}
			}
		}
		if got := b.Admin.Get(t, "/holds?reviewBefore=2999-01-02T00:00:00Z").Want(t, 200).Texts(t, "id"); len(got) != 1 || got[0] != hold {
			t.Errorf("to be reviewed are %v", got)
		}
		b.Admin.Get(t, "/holds?status=OPEN&kind=DISPUTE&reviewBefore=now").Refused(t, 422, "invalid_input", "status", "kind", "reviewBefore")
	})
}

// A holder sees what is on hold, and not why.
func TestAHolderIsNotToldWhy(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	id := b.position(t, "FUNDED").Text("id")
	hold := b.hold(t, id, newHold(b)).Want(t, 201).Text("id")
	holder := b.Admin.As(b.keyOf(t, fields{"label": "portal", "role": "holder", "restrict": fields{"holderReferences": []string{b.claim()["holderReference"].(string)}}}))
	if position := holder.Get(t, "/positions/"+id).Want(t, 200); position.Text("onHold") != "1000.00" {
		t.Errorf("the holder sees %s", position)
	}
	for _, path := range []string{"/positions/" + id + "/holds", "/positions/" + id + "/holds/" + hold, "/holds"} {
		holder.Get(t, path).Refused(t, 403, "permission_missing")
	}
}

func TestLegalHoldsTakeTheirOwnPermission(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	id := b.position(t, "FUNDED").Text("id")
	operator := b.member(t, "operator", "an operator")
	legal := fields{"kind": "LEGAL", "reason": "An order"}
	operator.Post(t, "/positions/"+id+"/holds", legal.String()).Refused(t, 403, "permission_missing")
	operator.Post(t, "/holds", legal.with("holderReference", "nobody").String()).Refused(t, 403, "permission_missing")
	b.member(t, "compliance", "an officer").Post(t, "/positions/"+id+"/holds", legal.String()).Want(t, 201)
}

// All that a holder has is on hold after one request, and a second one does nothing more.
func TestAHoldersPositionsAreHeldOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		held := b.heldBy(t, "Ada")
		b.position(t, "FUNDED")
		order := fields{"holderReference": "Ada", "kind": "LEGAL", "reason": "An order", "reference": "HC/8"}
		ask := func(body fields, want string, headers ...string) {
			t.Helper()
			answer := b.Admin.Post(t, "/holds", body.String(), headers...).Want(t, 200)
			if got := fmt.Sprint(answer.Text("placed"), " ", answer.Text("before"), " ", answer.Text("complete")); got != want {
				t.Errorf("placed, before and complete are %s, want %s", got, want)
			}
		}
		open := 0
		for _, id := range held {
			if state := b.Admin.Get(t, "/positions/"+id).Text("state"); strings.Contains("CREATED FUNDED PARTIALLY_RELEASED", state) {
				open++
			}
		}
		if open == 0 {
			t.Fatal("the holder has no open position")
		}
		ask(order, fmt.Sprintf("%d 0 true", open), "Dry-Run: true")
		ask(order, fmt.Sprintf("%d 0 true", open))
		ask(order, fmt.Sprintf("0 %d true", open))
		ask(order.with("reference", "HC/9"), fmt.Sprintf("%d 0 true", open))
		if holds := b.Admin.Get(t, "/holds").Want(t, 200).Texts(t, "id"); len(holds) != 2*open {
			t.Errorf("there are %d holds, want %d", len(holds), 2*open)
		}
		b.Admin.Post(t, "/holds", order.String(), "Idempotency-Key: k").Refused(t, 422, "invalid_input", "Idempotency-Key")
		b.Admin.Post(t, "/holds", fields{"kind": "LEGAL", "amount": "1"}.String()).Refused(t, 422, "invalid_input", "holderReference", "reason", "amount")
	})
}

// Who lifts a hold under a rule waits for somebody else.
func TestLiftingCanTakeAnApproval(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		checker, officer := b.member(t, "approver", "a checker"), b.member(t, "compliance", "an officer")
		b.setRules(t, rule("lifts", "holds.lift", "approver").with("when", fields{"amountFrom": fields{"USD": "500"}}))
		id := b.position(t, "FUNDED").Text("id")
		small := b.hold(t, id, newHold(b).with("amount", "499.99")).Want(t, 201).Text("id")
		large := b.hold(t, id, newHold(b).with("amount", "500.01")).Want(t, 201).Text("id")
		path := "/positions/" + id + "/holds/"
		officer.Post(t, path+small+"/lift", newReason(b).String()).Want(t, 200)
		asked := officer.Post(t, path+large+"/lift", newReason(b).String()).Want(t, 202)
		if want := "Lift the hold " + large + " on up to 500.01 USD of " + id + "."; asked.Text("summary") != want {
			t.Errorf("it is asked to %q, want %q", asked.Text("summary"), want)
		}
		if waiting := b.Admin.Get(t, "/positions/"+id).Text("pendingApprovals.0.permission"); waiting != "holds.lift" {
			t.Errorf("%q waits on the position", waiting)
		}
		all := b.hold(t, id, newHold(b)).Want(t, 201).Text("id")
		officer.Post(t, path+all+"/lift", newReason(b).String()).Refused(t, 409, "approval_pending")
		checker.Post(t, "/approvals/"+asked.Text("id")+"/approve", fields{"digest": asked.Text("digest")}.String()).Want(t, 200)
		if hold := b.Admin.Get(t, path+large); hold.Text("status") != "LIFTED" || hold.Text("lifted.approval.id") != asked.Text("id") {
			t.Errorf("the hold is %s", hold)
		}
		officer.Post(t, path+all+"/lift", newReason(b).String()).Want(t, 202)
	})
}

func TestALegalHoldKeepsDataFromErasure(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		id := b.ofAda(t, "CANCELLED")
		hold := b.hold(t, id, fields{"kind": "LEGAL", "reason": "The files of Ada"}).Want(t, 201).Text("id")
		b.Admin.Post(t, "/positions/"+id+"/erase", "{}").Refused(t, 409, "under_legal_hold")
		holder := b.Admin.Get(t, "/positions/"+id).Text("holderReference")
		erasure := fields{"holderReference": holder}
		for _, dry := range []bool{true, false} {
			if kept := b.Admin.Post(t, "/erasures", erasure.with("dryRun", dry).String()).Want(t, 200); kept.Text("kept.onHold") != "1" || kept.Text("erased") != "0" {
				t.Errorf("with dryRun %t, the erasure is %s", dry, kept)
			}
		}
		b.Admin.Post(t, "/positions/"+id+"/holds/"+hold+"/lift", newReason(b).String()).Want(t, 200)
		b.Admin.Post(t, "/positions/"+id+"/erase", "{}").Want(t, 200)
		if read := b.Admin.Get(t, "/positions/"+id+"/holds/"+hold).Want(t, 200); read.Text("placed.erased") != "true" || strings.Contains(string(read.Body), "Ada") {
			t.Errorf("the hold is still %s", read)
		}
	})
}
