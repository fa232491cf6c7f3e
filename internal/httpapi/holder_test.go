package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// oddHolder is a reference that a path takes only when it is written with care.
const oddHolder, oddHolderPath = "Ada/Löve 100% <b>?", "/holders/Ada%2FL%C3%B6ve%20100%25%20%3Cb%3E%3F/data"

// heldData is what is held about a holder.
type heldData struct {
	InstitutionID, HolderReference string
	PositionCount, ApprovalCount   int
	Balances                       []balance
	RetentionSeconds               int
	Storage                        []struct{ Place, Holds, Until string }
	Erasures                       []struct{ ID string }
	Positions                      []json.RawMessage
	Approvals                      []heldAsking
	Pagination                     struct {
		Limit      int
		NextCursor *string
		HasMore    bool
	}
}

// heldAsking is something that was asked for a holder, and not made.
type heldAsking struct {
	ID, Status string
	Command    json.RawMessage
	Approvals  []struct{ Actor, Comment string }
	Rejection  struct{ Actor, Comment string }
}

func held(t *testing.T, client apitest.Client, path string) (data heldData) {
	t.Helper()
	client.Get(t, path).Want(t, 200).Decode(t, &data)
	return data
}

// heldBy makes positions of a holder: one with all that is private, which has come to its end, one in
// another currency, and one that nothing was done with. It returns their ids.
func (b bank) heldBy(t *testing.T, holder string) []string {
	t.Helper()
	claim := b.claim().with("holderReference", holder)
	ids := []string{
		b.Admin.Post(t, "/positions", claim.with("externalReference", "PO 7 & 8").with("metadata", fields{"contact": "ada@example.com"}).String()).Want(t, 201).Text("id"),
		b.Admin.Post(t, "/positions", b.in(t, "JPY").claim().with("holderReference", holder).with("currency", "JPY").with("amount", "5000").String()).Want(t, 201).Text("id"),
		b.Admin.Post(t, "/positions", claim.String()).Want(t, 201).Text("id"),
	}
	because := func(state string) fields {
		return step(state).with("reason", "the <roof> is on").with("metadata", fields{"site": "lot 3"})
	}
	for _, state := range []string{"FUNDED", "PARTIALLY_RELEASED", "CANCELLED"} {
		b.transition(t, ids[0], because(state)).Want(t, 200)
	}
	b.transition(t, ids[1], because("FUNDED")).Want(t, 200)
	return ids
}

func TestEverythingThatIsHeldAboutAHolder(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, other := s.bank(t), s.bank(t)
		ids := b.heldBy(t, oddHolder)
		b.position(t, "FUNDED")
		other.heldBy(t, oddHolder)
		erasure := anErasure(t, b)[0]

		data := held(t, b.Admin, oddHolderPath)
		if data.InstitutionID != b.ID || data.HolderReference != oddHolder || data.PositionCount != 3 || data.Pagination.HasMore || data.Pagination.NextCursor != nil {
			t.Errorf("the answer is %+v", data)
		}
		// A position is told as it is everywhere, with who did what to it, when and why.
		for i, id := range ids {
			if alone := b.Admin.Get(t, "/positions/"+id).Want(t, 200).Body; !bytes.Equal(bytes.TrimSpace(alone), data.Positions[i]) {
				t.Errorf("the position %s\nis held as %s", alone, data.Positions[i])
			}
		}
		if len(data.Positions) != len(ids) {
			t.Errorf("there are %d positions", len(data.Positions))
		}
		var statements []string
		for _, id := range ids[:2] {
			var of statement
			b.Admin.Get(t, "/positions/"+id+"/statement").Want(t, 200).Decode(t, &of)
			statements = append(statements, texts(of.Closing)...)
		}
		slices.Sort(statements)
		if got := texts(data.Balances); !slices.Equal(got, statements) {
			t.Errorf("the balances are%s\nthose of the statements%s", lines(got), lines(statements))
		}
		if len(data.Erasures) != 1 || data.Erasures[0].ID != erasure {
			t.Errorf("the erasures are %+v", data.Erasures)
		}
		if same := held(t, s.Client, oddHolderPath+"?institutionId="+b.ID); len(same.Positions) != 3 {
			t.Errorf("to root it is %+v", same)
		}

		// That nothing is held is an answer.
		if nothing := held(t, b.Admin, "/holders/nobody/data"); nothing.PositionCount+len(nothing.Positions)+len(nothing.Balances) != 0 || nothing.HolderReference != "nobody" {
			t.Errorf("about nobody it is %+v", nothing)
		}
		b.Admin.Get(t, "/holders/%20/data").Refused(t, 422, "invalid_input", "holderReference")
		b.Admin.Get(t, "/holders/"+strings.Repeat("x", 256)+"/data").Refused(t, 422, "invalid_input", "holderReference")
		b.ReadOnly.Get(t, oddHolderPath).Refused(t, 403, "permission_missing")

		// What is erased is held no more.
		b.Admin.Post(t, "/erasures", fields{"holderReference": oddHolder}.String()).Want(t, 200)
		if left := held(t, b.Admin, oddHolderPath); left.PositionCount != 2 || len(left.Positions) != 2 || len(left.Erasures) != 2 {
			t.Errorf("after the erasure it is %+v", left)
		}
		if log := s.logs.String(); strings.Contains(log, "Ada") || strings.Contains(log, "100%25") {
			t.Error("the log has the reference")
		}
	})
}

func TestWhereTheDataOfAHolderIsKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		store := b.Admin.Get(t, "/health").Want(t, 200).Text("store")
		data := held(t, b.Admin, "/holders/x/data")
		places := []string{"database", "approvals", "idempotency records"}
		if store == "postgres" {
			places = append(places, "rows that were replaced, write-ahead log and replicas of the database")
		}
		places = append(places, "backups, exports, copies and bundles")
		var got []string
		for _, place := range data.Storage {
			got = append(got, place.Place)
		}
		if !slices.Equal(got, places) || data.RetentionSeconds != 0 || data.Storage[0].Until != "erased on request, from the end of a position on" {
			t.Errorf("on %s it is kept in %+v", store, data.Storage)
		}
	})
	s := serve(t, onSQLite(t), func(c *settings) { c.RetentionPeriod = 3650 * 24 * time.Hour })
	data := held(t, s.bank(t).Admin, "/holders/x/data")
	if until := data.Storage[0].Until; data.RetentionSeconds != 315360000 || until != "erased on request, 3650 days after the end of a position at the earliest" {
		t.Errorf("with a retention of ten years it is kept until %q", until)
	}
}

// A holder can have more positions than one answer.
func TestTheDataOfAHolderGoesOn(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		claims := make([]fields, 205)
		for i := range claims {
			claims[i] = b.claim()
		}
		b.Admin.Post(t, "/positions/batch", batchOf(claims...).String()).Want(t, 200)
		all := b.Admin.Get(t, "/positions?limit=1000").Texts(t, "id")

		const path = "/holders/ACME-4711/data"
		idsOf := func(data heldData) (ids []string) {
			for _, p := range data.Positions {
				ids = append(ids, regexp.MustCompile(`pos_\w+`).FindString(string(p)))
			}
			return ids
		}
		if whole := held(t, b.Admin, path); !slices.Equal(idsOf(whole), all) || whole.Pagination.HasMore {
			t.Errorf("as a whole it has %d positions", len(whole.Positions))
		}
		first := held(t, b.Admin, path+"?limit=201")
		if !first.Pagination.HasMore || first.PositionCount != 205 {
			t.Fatalf("the first part ends with %+v", first.Pagination)
		}
		next := "?limit=201&cursor=" + *first.Pagination.NextCursor
		second := held(t, b.Admin, path+next)
		if got := slices.Concat(idsOf(first), idsOf(second)); !slices.Equal(got, all) || len(first.Positions) != 201 || second.Pagination.HasMore {
			t.Errorf("the parts have %d and %d positions", len(first.Positions), len(second.Positions))
		}
		b.Admin.Get(t, "/holders/ACME-4712/data"+next).Refused(t, 422, "invalid_input", "cursor")
		for _, limit := range []string{"0", "10001", "x"} {
			b.Admin.Get(t, path+"?limit="+limit).Refused(t, 422, "invalid_input", "limit")
		}

		// The page says where it goes on, and does.
		page := string(b.Admin.Get(t, path+"?format=html&limit=3").Want(t, 200).Body)
		link := regexp.MustCompile(`It continues at <code>([^<]+)</code>`).FindStringSubmatch(page)
		if link == nil || strings.Count(page, "<caption>What was done</caption>") != 3 || strings.Contains(page, "continues an earlier one") {
			t.Fatalf("the page is %s", page)
		}
		if page = string(b.Admin.Get(t, html.UnescapeString(link[1])).Want(t, 200).Body); !strings.Contains(page, "continues an earlier one") || !strings.Contains(page, all[3]) || strings.Contains(page, all[2]) {
			t.Errorf("%s is %s", link[1], page)
		}
	})
}

func TestTheDataOfAHolderAsAPage(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		ids := b.heldBy(t, oddHolder)
		answer := b.Admin.Get(t, oddHolderPath+"?timeZone=Asia/Kolkata", "Accept: text/html").Want(t, 200)
		page := pageOf(t, answer)
		wants := append(slices.Clone(ids), "Ada/Löve 100% &lt;b&gt;?", "Meridian Bank", b.ID, "Harbour Tower", "PO 7 &amp; 8", "1,000.00 USD", "5,000 JPY",
			"the &lt;roof&gt; is on", "ada@example.com", "lot 3", "IST", " UTC", "<dt>Positions</dt><dd>3</dd>",
			`<tr><th scope="row">USD</th><td class="figure">1,000.00</td><td class="figure">0.00</td><td class="figure">10.00</td><td class="figure">990.00</td></tr>`,
			"erased on request", "in the institution's journal")
		for _, e := range eventsOf(t, b.Admin.Get(t, "/ledger-events?positionId="+ids[0])) {
			wants = append(wants, fmt.Sprintf(`<time datetime=%q>`, e.At), fmt.Sprintf(`<td class="figure">%d</td>`, e.Sequence), "by "+e.Actor, `<td class="account">`+e.ToState+"<", "from "+e.FromState)
		}
		for _, want := range wants {
			if !strings.Contains(page, want) && !strings.Contains(html.UnescapeString(page), want) {
				t.Errorf("the page does not have %q", want)
			}
		}
		if nothing := pageOf(t, b.Admin.Get(t, "/holders/nobody/data?format=html").Want(t, 200)); !strings.Contains(nothing, "Nothing is held about this holder") || strings.Contains(page, "Nothing is held") {
			t.Errorf("about nobody the page is %s", nothing)
		}

		for accept, want := range map[string]string{
			"": "application/json", "text/html": "text/html; charset=utf-8", "application/json, text/html;q=0.5": "application/json",
			"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html; charset=utf-8",
		} {
			got := b.Admin.Get(t, oddHolderPath, "Accept: "+accept).Want(t, 200).Header
			if got.Get("Content-Type") != want || got.Get("Vary") != "Accept" || got.Get("Cache-Control") != "no-store" {
				t.Errorf("%q is answered with %v", accept, got)
			}
			head := b.Admin.Send(t, apitest.Request{Method: http.MethodHead, Path: oddHolderPath, Headers: []string{"Accept: " + accept}}).Want(t, 200)
			if len(head.Body) > 0 || head.Header.Get("Content-Length") == "" || head.Header.Get("Content-Type") != want {
				t.Errorf("HEAD is answered with %v", head.Header)
			}
		}
		b.Admin.Get(t, oddHolderPath+"?format=csv").Refused(t, 422, "invalid_input", "format")
		b.Admin.Get(t, oddHolderPath+"?timeZone=Mars").Refused(t, 422, "invalid_input", "timeZone")
	})
}
