package httpapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// event is an element of the lists of events.
type event struct {
	ID, InstitutionID, Outcome, Kind, Subject, Actor, RequestID, At string
	Sequence                                                        int
	PositionID, FromState, ToState, Currency, Amount, Reason        string
	Metadata, Details                                               json.RawMessage
	Refusal                                                         *struct{ Code, Method, Route, Client string }
}

func eventsOf(t *testing.T, answer apitest.Answer) []event {
	t.Helper()
	var list struct{ Data []event }
	answer.Want(t, 200).Decode(t, &list)
	return list.Data
}

func TestAuditEventsTellEverything(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		admin := b.Admin.Get(t, "/institutions/"+b.ID+"/api-keys").Text("data.0.id")
		key := aKey(t, b)[0]
		rotated := b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys/"+key+"/rotate", "").Want(t, 201).Text("id")
		b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys/"+rotated+"/revoke", "").Want(t, 200)
		b.Admin.Put(t, "/institutions/"+b.ID+"/policies/US", newPolicy(b).String()).Want(t, 200)
		position := b.Admin.Post(t, "/positions", b.claim().String(), "X-Request-Id: made.it-1_2:3").Want(t, 201).Text("id")
		b.transition(t, position, step("FUNDED").with("reason", "paid"), "X-Correlation-Id: paid").Want(t, 200)
		b.transition(t, position, step("CREATED")).Refused(t, 409, "invalid_transition")
		want := []string{
			"INSTITUTION_CREATED root", "API_KEY_CREATED root", "API_KEY_CREATED root", "ASSET_TEMPLATE_CREATED " + admin, "ASSET_CREATED " + admin,
			"API_KEY_CREATED " + admin, "API_KEY_ROTATED " + admin, "API_KEY_REVOKED " + admin, "POLICY_SET " + admin,
			"POSITION_CREATED " + admin, "POSITION_STATE_CHANGED " + admin,
		}
		events := eventsOf(t, b.Admin.Get(t, "/audit-events"))
		var got []string
		for i, event := range events {
			got = append(got, event.Kind+" "+event.Actor)
			if event.Sequence != i+1 || event.Outcome != "accepted" || event.InstitutionID != b.ID || event.RequestID == "" || event.Refusal != nil || len(event.Details) == 0 {
				t.Errorf("event %d is %+v", i, event)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the journal is%s\nwant%s", lines(got), lines(want))
		}
		for i, id := range map[int]string{9: "made.it-1_2:3", 10: "paid"} {
			if events[i].RequestID != id || events[i].Subject != position {
				t.Errorf("the event %+v is not of the request %s", events[i], id)
			}
		}
		for query, count := range map[string]int{
			"actor=root": 3, "actor=" + admin: 8, "actor=system": 0, "actor=" + key: 0, "kind=API_KEY_CREATED": 3, "kind=POSITION_CREATED": 1,
			"subject=" + position: 2, "subject=policy/US": 1, "subject=policy/SG": 0, "subject=" + b.ID: 1, "subject=nothing": 0,
			"outcome=accepted": 11, "actor=" + admin + "&kind=ASSET_CREATED&subject=" + b.Asset: 1,
		} {
			if got := eventsOf(t, b.Admin.Get(t, "/audit-events?"+query)); len(got) != count {
				t.Errorf("%s lists %d events, want %d", query, len(got), count)
			}
		}
		for query, field := range map[string]string{"actor=me": "actor", "kind=ALL": "kind", "kind=position_created": "kind", "outcome=all": "outcome"} {
			b.Admin.Get(t, "/audit-events?"+query).Refused(t, 422, "invalid_input", field)
		}
	})
}

func TestLedgerEventsTellOfPositions(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		position := b.position(t, "FUNDED").Text("id")
		b.transition(t, position, fields{"toState": "PARTIALLY_RELEASED", "amount": 250, "reason": "first", "metadata": fields{"lot": 1}}, "X-Request-Id: partly").Want(t, 200)
		other := b.position(t, "CANCELLED").Text("id")
		events := eventsOf(t, b.ReadOnly.Get(t, "/ledger-events?positionId="+position))
		var got []string
		for _, e := range events {
			got = append(got, strings.Join([]string{e.Kind, e.FromState, e.ToState, e.Amount, e.Currency}, " "))
		}
		want := []string{
			"POSITION_CREATED  CREATED 1000.00 USD", "POSITION_STATE_CHANGED CREATED FUNDED 1000.00 USD", "POSITION_STATE_CHANGED FUNDED PARTIALLY_RELEASED 250.00 USD",
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the events are%s\nwant%s", lines(got), lines(want))
		}
		if e := events[2]; e.Reason != "first" || string(e.Metadata) != `{"lot":1}` || e.RequestID != "partly" || e.PositionID != position {
			t.Errorf("the partial release is %+v", e)
		}
		for query, count := range map[string]int{
			"": 5, "positionId=" + other: 2, "kind=POSITION_CREATED": 2, "kind=POSITION_STATE_CHANGED": 3,
			"kind=POSITION_CREATED&positionId=" + other: 1, "positionId=pos_01jd8m3q5yf7wbt0x4a2k9r6ce": 0,
		} {
			if got := eventsOf(t, b.Admin.Get(t, "/ledger-events?"+query)); len(got) != count {
				t.Errorf("%q lists %d events, want %d", query, len(got), count)
			}
		}
		b.Admin.Get(t, "/ledger-events?kind=ASSET_CREATED").Refused(t, 422, "invalid_input", "kind")
		b.Admin.Get(t, "/ledger-events?positionId="+b.Asset).Refused(t, 422, "invalid_input", "positionId")
	})
}

// Refused attempts stand in no journal, but in the log of refusals, for root.
func TestRefusedAttempts(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		reader := b.Admin.Get(t, "/institutions/"+b.ID+"/api-keys").Text("data.1.id")
		entries := len(s.journal(t, b))
		s.As("").Get(t, "/positions", "X-Request-Id: nobody").Refused(t, 401, "unauthorized")
		s.As("egk_wrong").Get(t, "/assets/secret-asset", "X-Request-Id: wrong").Refused(t, 401, "invalid_api_key")
		b.ReadOnly.Post(t, "/positions", b.claim().String(), "X-Request-Id: reader").Refused(t, 403, "permission_missing")
		b.ReadOnly.Get(t, "/audit-events", "X-Request-Id: trail").Refused(t, 403, "permission_missing")
		b.Admin.Post(t, "/positions", "{}", "X-Request-Id: input").Want(t, 422)
		path := "/audit-events?outcome=refused"
		// They are written in the background.
		eventually(t, "the refusals are written", func() bool { return len(eventsOf(t, s.Get(t, path))) >= 4 })
		var got []string
		for _, e := range eventsOf(t, s.Get(t, path)) {
			if e.Outcome != "refused" || e.Sequence != 0 || e.Kind != "" || e.Refusal == nil || e.At == "" || !strings.HasPrefix(e.ID, "entry_") {
				t.Fatalf("a refusal is %+v", e)
			}
			got = append(got, strings.Join([]string{e.RequestID, e.Actor, e.InstitutionID, e.Refusal.Code, e.Refusal.Method, e.Refusal.Route, e.Refusal.Client}, " "))
		}
		want := []string{
			"nobody unknown  unauthorized GET /positions 127.0.0.1",
			"wrong unknown  invalid_api_key GET /assets/{id} 127.0.0.1",
			"reader " + reader + " " + b.ID + " permission_missing POST /positions 127.0.0.1",
			"trail " + reader + " " + b.ID + " permission_missing GET /audit-events 127.0.0.1",
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("the refusals are%s\nwant%s", lines(got), lines(want))
		}
		for query, count := range map[string]int{"institutionId=" + b.ID: 2, "actor=unknown": 2, "actor=" + reader: 2, "createdTo=2020-01-01T00:00:00Z": 0, "limit=3": 3} {
			if got := eventsOf(t, s.Get(t, path+"&"+query)); len(got) != count {
				t.Errorf("%s lists %d refusals, want %d", query, len(got), count)
			}
		}
		if walked := s.Walk(t, path+"&limit=1&order=desc", "id"); len(walked) != 4 || !slices.IsSortedFunc(walked, func(a, b string) int { return strings.Compare(b, a) }) {
			t.Errorf("newest first, page by page, they are %v", walked)
		}
		s.Get(t, path+"&kind=POLICY_SET&subject=x").Refused(t, 422, "invalid_input", "kind", "subject")
		b.Admin.Get(t, path).Refused(t, 403, "permission_missing")
		if now := len(s.journal(t, b)); now != entries {
			t.Errorf("the journal went from %d to %d entries", entries, now)
		}
	})
}

// A journal counts on without a gap when many write at once.
func TestJournalsAreGaplessUnderLoad(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		banks := []bank{s.bank(t), s.bank(t)}
		var requests [2][]apitest.Request
		for i := range 100 {
			for j, b := range banks {
				body := b.claim().with("externalReference", fmt.Sprint(i))
				if i%3 == 0 {
					body = body.with("currency", "EUR") // refused
				}
				requests[j] = append(requests[j], apitest.Request{Method: "POST", Path: "/positions", Body: body.String()})
			}
		}
		answered := make(chan []apitest.Answer)
		go func() { answered <- atOnce(t, banks[1].Admin, requests[1]) }()
		answers := [][]apitest.Answer{atOnce(t, banks[0].Admin, requests[0]), <-answered}
		for j, b := range banks {
			accepted := 0
			for _, answer := range answers[j] {
				if answer.Status == 201 {
					accepted++
				}
			}
			if entries := len(s.journal(t, b)); accepted != 66 || entries != 5+66 {
				t.Errorf("%d of 100 were accepted, and the journal has %d entries", accepted, entries)
			}
		}
	})
}
