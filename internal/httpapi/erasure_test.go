package httpapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// ada is whose data are erased; every text about her has this in it.
const ada = "Ada-Lovelace"

// ofAda makes a position of Ada's with all that is private, in a state.
func (b bank) ofAda(tb testing.TB, states ...string) string {
	tb.Helper()
	claim := b.claim().with("holderReference", ada).with("externalReference", "PO "+ada).with("metadata", fields{"contact": ada})
	id := b.Admin.Post(tb, "/positions", claim.String()).Want(tb, 201).Text("id")
	for _, state := range states {
		b.transition(tb, id, step(state).with("reason", "as "+ada+" asked").with("metadata", fields{"by": ada})).Want(tb, 200)
	}
	return id
}

func aReleased(tb testing.TB, b bank) []string {
	tb.Helper()
	return []string{b.position(tb, "FUNDED", "RELEASED").Text("id")}
}

func anErasure(tb testing.TB, b bank) []string {
	tb.Helper()
	return []string{b.Admin.Post(tb, "/erasures", newErasure(b).String()).Want(tb, 200).Text("id")}
}

func newErasure(bank) fields { return fields{"holderReference": "nobody"} }
func noFields(bank) fields   { return fields{} }

// wherever lists what shows positions, and what was done with them.
func (b bank) wherever(id string) []string {
	return []string{
		"/positions/" + id, "/positions?include=events", "/positions/" + id + "/statement", "/ledger-events", "/audit-events",
		"/institutions/" + b.ID + "/statements", "/institutions/" + b.ID + "/journal?include=private", "/erasures",
	}
}

func TestWhatIsErasedIsInNoAnswer(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		claim := b.claim().with("holderReference", ada).String()
		first := b.Admin.Post(t, "/positions", claim, "Idempotency-Key: first").Want(t, 201)
		b.transition(t, first.Text("id"), step("CANCELLED")).Want(t, 200)
		id := b.ofAda(t, "FUNDED")
		kept := b.ofAda(t, "FUNDED", "RELEASED")
		b.Admin.Post(t, "/positions/"+id+"/erase", `{}`).Refused(t, 409, "position_open")
		b.transition(t, id, step("RELEASED").with("reason", ada)).Want(t, 200)
		before := b.Admin.Get(t, "/positions/"+id)
		checkpoint := func() { s.signCheckpoints(); b.Admin.Get(t, "/institutions/"+b.ID+"/journal/checkpoint").Want(t, 200) }
		checkpoint()
		proof := b.Admin.Get(t, "/institutions/"+b.ID+"/journal/proofs/inclusion?sequence=12&size=12").Want(t, 200)

		b.Admin.Post(t, "/positions/"+id+"/erase", `{"reason": ""}`).Refused(t, 422, "invalid_input", "reason")
		b.Admin.Post(t, "/positions/"+id+"/erase", `{}`, `If-Match: "2"`).Refused(t, 412, "version_mismatch")
		erased := b.Admin.Post(t, "/positions/"+id+"/erase", `{"reason": "article 17"}`).Want(t, 200)
		if erased.Text("erased") != "true" || erased.Text("version") != "4" || erased.Header.Get("ETag") != `"4"` {
			t.Errorf("the answer is %s", erased)
		}
		now := b.Admin.Get(t, "/positions/"+id).Want(t, 200)
		for _, member := range []string{"amount", "funded", "released", "state", "createdAt"} {
			if now.Text(member) != before.Text(member) {
				t.Errorf("%s has become %s", member, now.Text(member))
			}
		}
		for _, path := range b.wherever(id) {
			answer := b.Admin.Get(t, path).Want(t, 200)
			if got := strings.Count(string(answer.Body), ada); path != "/positions/"+id && path != "/positions/"+id+"/statement" && got == 0 && path != "/erasures" && path != "/institutions/"+b.ID+"/statements" {
				t.Errorf("%s does not show what was kept", path)
			}
		}
		b.Admin.Post(t, "/positions/"+id+"/erase", `{}`).Want(t, 200)
		b.Admin.Post(t, "/positions/"+id+"/erase", `{}`).Want(t, 200)
		b.Admin.Post(t, "/positions/"+kept+"/erase", `{}`).Want(t, 200)
		b.Admin.Post(t, "/positions/"+first.Text("id")+"/erase", `{}`).Want(t, 200)

		for _, path := range slices.Concat(b.wherever(id), b.wherever(kept), []string{"/positions?holderReference=" + ada}) {
			answer := b.Admin.Get(t, path).Want(t, 200)
			if strings.Contains(string(answer.Body), ada) {
				t.Errorf("%s shows %s", path, answer)
			}
		}
		again := b.Admin.Post(t, "/positions", claim, "Idempotency-Key: first").Want(t, 201)
		if strings.Contains(string(again.Body), ada) || again.Text("erased") != "true" || again.Text("id") != first.Text("id") {
			t.Errorf("the creation, repeated, is answered with %s", again)
		}
		checkpoint()
		if same := b.Admin.Get(t, "/institutions/"+b.ID+"/journal/proofs/inclusion?sequence=12&size=12").Want(t, 200); string(same.Body) != string(proof.Body) {
			t.Errorf("the proof of an entry has become %s", same)
		}
		if log := s.logs.String(); strings.Contains(log, ada) {
			t.Error("the log has the name")
		}
	})
}

func TestErasingTheDataOfAHolder(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, other := s.bank(t), s.bank(t)
		theirs := other.ofAda(t, "CANCELLED")
		open := b.ofAda(t, "FUNDED")
		for range 3 {
			b.ofAda(t, "CANCELLED")
		}
		ask := func(body fields, headers ...string) apitest.Answer {
			return b.Admin.Post(t, "/erasures", body.String(), headers...)
		}
		asked := fields{"holderReference": " " + ada + " "}
		dry := ask(asked.with("dryRun", true)).Want(t, 200)
		want := `"erased":3,"kept":{"open":1,"onHold":0,"retained":0},"approvals":{"erased":0,"pending":0,"retained":0},"complete":true`
		if !strings.Contains(string(dry.Body), want) || dry.Text("id") != "" || !strings.Contains(string(b.Admin.Get(t, "/positions/"+open).Body), ada) {
			t.Errorf("the dry run is answered with %s", dry)
		}
		if list := b.Admin.Get(t, "/positions?holderReference="+ada).Texts(t, "id"); len(list) != 4 {
			t.Errorf("after a dry run there are %d positions", len(list))
		}

		erasure := ask(asked, "Idempotency-Key: once").Want(t, 200)
		if !strings.Contains(string(erasure.Body), want) || strings.Contains(string(erasure.Body), ada) {
			t.Errorf("the erasure is answered with %s", erasure)
		}
		if repeated := ask(asked, "Idempotency-Key: once").Want(t, 200); string(repeated.Body) != string(erasure.Body) || repeated.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("it is repeated as %s", repeated)
		}
		ask(fields{"holderReference": "another"}, "Idempotency-Key: once").Refused(t, 422, "idempotency_key_reused")
		ask(fields{"holderReference": ""}).Refused(t, 422, "invalid_input", "holderReference")
		ask(fields{}).Refused(t, 422, "invalid_input", "holderReference")
		if got := b.Admin.Get(t, "/erasures/"+erasure.Text("id")).Want(t, 200); string(got.Body) != string(erasure.Body) {
			t.Errorf("it is read as %s", got)
		}
		if list := b.Admin.Get(t, "/erasures").Texts(t, "id"); len(list) != 1 {
			t.Errorf("there are %d erasures", len(list))
		}
		if left := b.Admin.Get(t, "/positions?holderReference="+ada).Texts(t, "id"); len(left) != 1 {
			t.Errorf("of the holder there are %d positions", len(left))
		}
		if !strings.Contains(string(other.Admin.Get(t, "/positions/"+theirs).Body), ada) {
			t.Error("the position of another institution was erased")
		}
		other.Admin.Get(t, "/erasures/"+erasure.Text("id")).Refused(t, 404, "erasure_not_found")
	})
}

func TestPositionsAreKeptForTheirRetention(t *testing.T) {
	const retention = 30 * 24 * time.Hour
	s := serve(t, onSQLite(t), func(c *settings) { c.RetentionPeriod = retention })
	b := s.bank(t)
	id := b.ofAda(t, "CANCELLED")
	until := s.clock.now().Add(retention).UTC().Format("2006-01-02")
	refusal := b.Admin.Post(t, "/positions/"+id+"/erase", `{}`).Refused(t, 409, "retention_period")
	if detail := refusal.Problem(t).Detail; !strings.Contains(detail, "is kept until "+until) {
		t.Errorf("the refusal says %q, not %s", detail, until)
	}
	body := fields{"holderReference": ada}.String()
	kept := b.Admin.Post(t, "/erasures", body).Want(t, 200)
	if want := fmt.Sprintf(`"erased":0,"kept":{"open":0,"onHold":0,"retained":1,"retainedUntil":"%s`, until); !strings.Contains(string(kept.Body), want) {
		t.Errorf("the erasure is answered with %s", kept)
	}
	s.clock.advance(retention)
	if erased := b.Admin.Post(t, "/erasures", body).Want(t, 200); !strings.Contains(string(erased.Body), `"erased":1,"kept":{"open":0,"onHold":0,"retained":0}`) {
		t.Errorf("after the time, the erasure is answered with %s", erased)
	}
}

// A holder can have more positions than one transaction erases.
func TestErasingGoesOnInSteps(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		claims := make([]fields, 250)
		for i := range claims {
			claims[i] = b.claim().with("holderReference", ada)
		}
		b.Admin.Post(t, "/positions/batch", batchOf(claims...).String()).Want(t, 200)
		steps := make([]fields, 0, len(claims))
		for _, id := range b.Admin.Get(t, "/positions?limit=1000").Texts(t, "id") {
			steps = append(steps, step("CANCELLED").with("positionId", id))
		}
		b.Admin.Post(t, "/positions/transitions/batch", batchOf(steps...).String()).Want(t, 200)
		erasure := b.Admin.Post(t, "/erasures", fields{"holderReference": ada}.String()).Want(t, 200)
		if erasure.Text("erased") != "250" || erasure.Text("complete") != "true" {
			t.Errorf("the erasure is answered with %s", erasure)
		}
	})
}

// What waits on a position names it in what is held about its holder, and goes with that: who approves it then is told
// that it cannot be carried out.
func TestWhatWaitsIsErasedWithItsPosition(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		ana := b.member(t, "approver", "Ana")
		maker := b.member(t, "operator", "Mia")
		b.setRules(t, rule("funds", "positions.fund", "approver"))
		ask := func() (id string, asked apitest.Answer) {
			id = b.ofAda(t)
			funding := step("FUNDED").with("reason", "as "+ada+" asked").with("metadata", fields{"by": ada})
			return id, maker.Post(t, "/positions/"+id+"/transition", funding.String()).Want(t, 202)
		}
		id, asked := ask()
		_, kept := ask()
		held := b.Admin.Get(t, "/holders/"+url.PathEscape(ada)+"/data").Want(t, 200)
		wantMember(t, held, "positions.0.pendingApprovals.0.id", asked.Text("id"))
		wantMember(t, held, "positions.1.pendingApprovals.0.id", kept.Text("id"))

		path := "/approvals/" + asked.Text("id")
		shown := []string{path, "/approvals?subject=" + id, "/audit-events?subject=" + asked.Text("id"), "/audit-events?subject=" + id}
		for _, place := range shown[:3] {
			if answer := b.Admin.Get(t, place).Want(t, 200); !strings.Contains(string(answer.Body), ada) {
				t.Errorf("%s does not show what waits: %s", place, answer)
			}
		}
		b.transition(t, id, step("CANCELLED")).Want(t, 200)
		b.Admin.Post(t, "/positions/"+id+"/erase", `{}`).Want(t, 200)
		for _, place := range shown {
			if answer := b.Admin.Get(t, place).Want(t, 200); strings.Contains(string(answer.Body), ada) {
				t.Errorf("%s shows %s", place, answer)
			}
		}
		wantMember(t, b.Admin.Get(t, "/approvals/"+kept.Text("id")).Want(t, 200), "command.reason", "as "+ada+" asked")

		wantMember(t, b.Admin.Get(t, path), "digest", asked.Text("digest"))
		failed := ana.Post(t, path+"/approve", fields{"digest": asked.Text("digest")}.String()).Want(t, 200)
		wantMember(t, failed, "status", "FAILED")
		wantMember(t, failed, "refusal.code", "approval_closed")
	})
}
