package httpapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

var states = []string{"CREATED", "FUNDED", "PARTIALLY_RELEASED", "RELEASED", "CANCELLED", "EXPIRED"}

// The lifecycle as the contract has it, with what is funded, released, refunded
// and held after a step. A partial release is of 10 of the 1000 dollars.
var lifecycle = map[string]map[string]string{
	"CREATED": {
		"FUNDED": "1000.00 0.00 0.00 1000.00", "CANCELLED": "0.00 0.00 0.00 0.00", "EXPIRED": "0.00 0.00 0.00 0.00",
	},
	"FUNDED": {
		"PARTIALLY_RELEASED": "1000.00 10.00 0.00 990.00", "RELEASED": "1000.00 1000.00 0.00 0.00",
		"CANCELLED": "1000.00 0.00 1000.00 0.00", "EXPIRED": "1000.00 0.00 1000.00 0.00",
	},
	"PARTIALLY_RELEASED": {
		"PARTIALLY_RELEASED": "1000.00 20.00 0.00 980.00", "RELEASED": "1000.00 1000.00 0.00 0.00",
		"CANCELLED": "1000.00 10.00 990.00 0.00", "EXPIRED": "1000.00 10.00 990.00 0.00",
	},
}

// ways are the states that a new position goes through to reach one.
var ways = map[string][]string{
	"CREATED": nil, "FUNDED": {"FUNDED"}, "PARTIALLY_RELEASED": {"FUNDED", "PARTIALLY_RELEASED"},
	"RELEASED": {"FUNDED", "RELEASED"}, "CANCELLED": {"CANCELLED"}, "EXPIRED": {"EXPIRED"},
}

func money(position apitest.Answer) string {
	return strings.Join([]string{position.Text("funded"), position.Text("released"), position.Text("refunded"), position.Text("held")}, " ")
}

// lastEventOnly is a position as the command is answered that has made its last event.
func lastEventOnly(t *testing.T, read apitest.Answer) string {
	t.Helper()
	var position map[string]raw
	var events []raw
	read.Decode(t, &position)
	if err := json.Unmarshal(position["events"], &events); err != nil {
		t.Fatal(err)
	}
	before, _, _ := strings.Cut(string(read.Body), `"events":`)
	return before + `"events":[` + string(events[len(events)-1]) + "]}\n"
}

func TestLifecycle(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for _, from := range states {
			for _, to := range states {
				t.Run(from+" to "+to, func(t *testing.T) {
					id := b.position(t, ways[from]...).Text("id")
					before := b.Admin.Get(t, "/positions/"+id)
					answer := b.transition(t, id, step(to))
					want, allowed := lifecycle[from][to]
					if !allowed {
						detail := answer.Refused(t, 409, "invalid_transition").Problem(t).Detail
						for next := range lifecycle[from] {
							if !strings.Contains(detail, next) {
								t.Errorf("the refusal does not name %s: %s", next, detail)
							}
						}
						if !strings.Contains(detail, from) || !strings.Contains(detail, to) {
							t.Errorf("the refusal does not name both states: %s", detail)
						}
						if now := b.Admin.Get(t, "/positions/"+id); string(now.Body) != string(before.Body) {
							t.Errorf("the refusal changed the position to %s", now)
						}
						return
					}
					answer.Want(t, 200)
					if got := money(answer); got != want || answer.Text("state") != to {
						t.Errorf("the position is %s with %s, want %s with %s", answer.Text("state"), got, to, want)
					}
					now := b.Admin.Get(t, "/positions/"+id)
					checkHistory(t, now)
					if lastEventOnly(t, now) != string(answer.Body) {
						t.Errorf("the transition is answered with\n\t%s\nand read as\n\t%s", answer, now)
					}
				})
			}
		}
	})
}

// checkHistory compares a position with its events.
func checkHistory(t *testing.T, position apitest.Answer) {
	t.Helper()
	var p struct {
		Version              int
		State                string
		CreatedAt, UpdatedAt string
		Events               []struct {
			Sequence   int
			From, To   string `json:"-"`
			FromState  *string
			ToState    string
			At, Amount string
		}
	}
	position.Decode(t, &p)
	if p.Version != len(p.Events) || position.Header.Get("ETag") != fmt.Sprintf("%q", fmt.Sprint(p.Version)) {
		t.Fatalf("version %d, %d events and ETag %s do not go together", p.Version, len(p.Events), position.Header.Get("ETag"))
	}
	state := ""
	for i, event := range p.Events {
		if i == 0 && event.FromState != nil || i > 0 && (event.FromState == nil || *event.FromState != state) {
			t.Errorf("event %d does not begin at %q: %s", i, state, position.Text("events"))
		}
		if i > 0 && event.Sequence <= p.Events[i-1].Sequence {
			t.Errorf("the sequences do not rise: %s", position.Text("events"))
		}
		state = event.ToState
	}
	if last := p.Events[len(p.Events)-1]; state != p.State || p.Events[0].At != p.CreatedAt || last.At != p.UpdatedAt {
		t.Errorf("the events do not end where the position is: %s", position)
	}
}

// The answer to a step does not grow with the steps before it: it has its own event alone,
// also when it is repeated. The position has them all.
func TestTheAnswerToAStepDoesNotGrowWithTheHistory(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		created := b.position(t)
		id := created.Text("id")
		if created.Text("events.0.toState") != "CREATED" {
			t.Errorf("the creation is answered with the events %s", created.Text("events"))
		}
		b.transition(t, id, step("FUNDED")).Want(t, 200)

		var sizes []int
		for i := range 60 {
			body := step("PARTIALLY_RELEASED").with("amount", "1.00").
				with("reason", fmt.Sprintf("Milestone %02d", i)).with("metadata", fields{"note": strings.Repeat("x", 2000)})
			key := fmt.Sprintf("step-%d", i)
			first := b.transition(t, id, body, "Idempotency-Key: "+key).Want(t, 200)
			again := b.transition(t, id, body, "Idempotency-Key: "+key).Want(t, 200)
			if string(again.Body) != string(first.Body) || again.Header.Get("ETag") != first.Header.Get("ETag") {
				t.Fatalf("step %d is answered with\n%s\nand repeated with\n%s", i, first.Body, again.Body)
			}
			var answer struct{ Events []struct{ Reason string } }
			first.Decode(t, &answer)
			if len(answer.Events) != 1 || answer.Events[0].Reason != body["reason"] {
				t.Fatalf("step %d has the events %+v", i, answer.Events)
			}
			sizes = append(sizes, len(first.Body))
		}
		// Numbers have more digits by then.
		if first, last := sizes[0], sizes[len(sizes)-1]; last > first+20 {
			t.Errorf("the answers to steps grow from %d to %d bytes", first, last)
		}

		read := b.ReadOnly.Get(t, "/positions/"+id).Want(t, 200)
		checkHistory(t, read)
		if read.Text("version") != "62" || len(read.Body) < 60*2000 {
			t.Errorf("the position is read with %d bytes in version %s", len(read.Body), read.Text("version"))
		}
	})
}

// What clients add to a position's history is bounded, so that reading it is.
func TestTheMetadataOfAPositionAreBoundedTogether(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		id := b.position(t, "FUNDED").Text("id")
		large := step("PARTIALLY_RELEASED").with("amount", "1.00").with("metadata", fields{"note": strings.Repeat("x", 60_000)})
		for range 17 {
			b.transition(t, id, large).Want(t, 200)
		}
		b.transition(t, id, large).Refused(t, 409, "position_history_limit")
		b.transition(t, id, step("PARTIALLY_RELEASED")).Want(t, 200)
		b.transition(t, id, large.with("toState", "RELEASED").without("amount")).Want(t, 200)
		if read := b.Admin.Get(t, "/positions/"+id).Want(t, 200); len(read.Body) > 2<<20 {
			t.Errorf("the position has %d bytes", len(read.Body))
		}
	})
}

func TestAmountsOfTransitions(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for _, test := range []struct {
			behaviour, from, to string
			amount              any
			code                string
			held                string
		}{
			{"funding may name the whole", "CREATED", "FUNDED", "1000", "", "1000.00"},
			{"funding is of the whole", "CREATED", "FUNDED", "999.99", "transition_amount", ""},
			{"a cancellation before funding moves nothing", "CREATED", "CANCELLED", "1000.00", "transition_amount", ""},
			{"a partial release leaves something", "FUNDED", "PARTIALLY_RELEASED", 999.99, "", "0.01"},
			{"a partial release of all is none", "FUNDED", "PARTIALLY_RELEASED", "1000.00", "transition_amount", ""},
			{"a partial release of more", "FUNDED", "PARTIALLY_RELEASED", "1000.01", "transition_amount", ""},
			{"a partial release of nothing", "FUNDED", "PARTIALLY_RELEASED", "0.00", "amount", ""},
			{"a partial release of less than a cent", "FUNDED", "PARTIALLY_RELEASED", "0.001", "amount", ""},
			{"a partial release names its amount", "FUNDED", "PARTIALLY_RELEASED", nil, "amount", ""},
			{"a partial release after another", "PARTIALLY_RELEASED", "PARTIALLY_RELEASED", "989.99", "", "0.01"},
			{"a partial release of all that is left", "PARTIALLY_RELEASED", "PARTIALLY_RELEASED", "990", "transition_amount", ""},
			{"a release may name all that is held", "PARTIALLY_RELEASED", "RELEASED", "990.00", "", "0.00"},
			{"a release of less", "PARTIALLY_RELEASED", "RELEASED", "989.99", "transition_amount", ""},
			{"a release of what was funded", "PARTIALLY_RELEASED", "RELEASED", "1000.00", "transition_amount", ""},
			{"a refund may name all that is held", "FUNDED", "CANCELLED", 1000, "", "0.00"},
			{"a refund of less", "FUNDED", "EXPIRED", "1.00", "transition_amount", ""},
		} {
			t.Run(test.behaviour, func(t *testing.T) {
				id := b.position(t, ways[test.from]...).Text("id")
				body := fields{"toState": test.to, "reason": "milestone", "metadata": fields{"lot": 3}}
				if test.amount != nil {
					body = body.with("amount", test.amount)
				}
				answer := b.transition(t, id, body)
				switch test.code {
				case "":
					event := apitest.Answer{Body: []byte(answer.Want(t, 200).Text("events.0"))}
					if answer.Text("held") != test.held || event.Text("reason") != "milestone" || event.Text("metadata") != `{"lot":3}` {
						t.Errorf("the position is %s", answer)
					}
				case "amount":
					answer.Refused(t, 422, "invalid_input", "amount")
				default:
					answer.Refused(t, 422, test.code)
				}
			})
		}
	})
}

func TestAmounts(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		asset := map[string]string{}
		for _, currency := range []string{"USD", "JPY", "KWD", "CLF"} {
			asset[currency] = b.asset(t, b.template(t, templateOf("CONSTR_ESCROW").with("config.currency", currency)))
		}
		for _, test := range []struct{ currency, amount, want string }{
			{"USD", `1000`, "1000.00"},
			{"USD", `"1000"`, "1000.00"},
			{"USD", `1000.5`, "1000.50"},
			{"USD", `"1000.50"`, "1000.50"},
			{"USD", `0.01`, "0.01"},
			{"USD", `"0.1"`, "0.10"},
			{"USD", `1000000000000000`, "1000000000000000.00"},
			{"USD", `999999999999999.99`, "999999999999999.99"},
			{"USD", `"1000000000000000.00"`, "1000000000000000.00"},
			{"USD", `1000000000000000.01`, ""},
			{"USD", `0.001`, ""},
			{"USD", `1.000`, ""},
			{"USD", `0.00`, ""},
			{"JPY", `1000`, "1000"},
			{"JPY", `"1000000000000000"`, "1000000000000000"},
			{"JPY", `1000.5`, ""},
			{"JPY", `"1000.0"`, ""},
			{"KWD", `1000`, "1000.000"},
			{"KWD", `"0.001"`, "0.001"},
			{"KWD", `1.2345`, ""},
			{"KWD", `1000000000000000`, "1000000000000000.000"},
			{"CLF", `0.0001`, "0.0001"},
			{"CLF", `922337203685477.5807`, "922337203685477.5807"},
			{"CLF", `922337203685477.5808`, ""},
		} {
			t.Run(test.amount+" "+test.currency, func(t *testing.T) {
				body := fields{
					"assetId": asset[test.currency], "holderReference": "h", "currency": strings.ToLower(test.currency), "amount": raw(test.amount),
				}
				answer := b.Admin.Post(t, "/positions", body.String())
				if test.want == "" {
					answer.Refused(t, 422, "invalid_input", "amount")
					return
				}
				zero := strings.Map(func(r rune) rune {
					if r == '.' {
						return r
					}
					return '0'
				}, test.want[strings.IndexByte(test.want+".", '.')-1:])
				answer.Want(t, 201)
				if answer.Text("amount") != test.want || answer.Text("currency") != test.currency || answer.Text("events.0.amount") != test.want ||
					money(answer) != strings.Join([]string{zero, zero, zero, zero}, " ") {
					t.Errorf("the position is %s, want the amount %s", answer, test.want)
				}
				funded := b.transition(t, answer.Text("id"), step("FUNDED")).Want(t, 200)
				if want := strings.Join([]string{test.want, zero, zero, test.want}, " "); money(funded) != want {
					t.Errorf("funded, it has %s, want %s", money(funded), want)
				}
			})
		}
	})
}

// Refusals of POST /positions come in the documented order: body, tenant, asset,
// template, policy. Each of these requests has all the faults behind its own too.
func TestTheOrderOfRefusals(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, other := s.bank(t), s.bank(t)
		asset := b.asset(t, b.template(t, templateOf("CONSTR_ESCROW").with("config", fields{"currency": "USD", "minAmount": "10.00", "maxAmount": 1000})))
		invoices := b.asset(t, b.template(t, templateOf("TF_INVOICE").with("config.maxTenorDays", 30)))
		setPolicy := func(rules fields) {
			b.Admin.Put(t, "/institutions/"+b.ID+"/policies/US", fields{"position": rules}.String()).Want(t, 200)
		}
		setPolicy(fields{"minAmount": "5000", "maxAmount": "6000", "allowedCurrencies": []string{"EUR"}})
		claim := fields{"assetId": asset, "holderReference": "h", "currency": "EUR", "amount": "1", "institutionId": other.ID}
		post := func(body fields) apitest.Answer { return b.Admin.Post(t, "/positions", body.String()) }

		b.ReadOnly.Post(t, "/positions", "{").Refused(t, 403, "permission_missing")
		b.Admin.Post(t, "/positions", claim.String(), "Content-Type: text/plain").Refused(t, 415, "unsupported_media_type")
		b.Admin.Post(t, "/positions", claim.String()+"}").Refused(t, 400, "malformed_body")
		post(claim.with("amount", -1)).Refused(t, 422, "invalid_input", "amount")
		missing := claim.with("assetId", "ast_01jd8m3q5yf7wbt0x4a2k9r6ce")
		post(missing).Refused(t, 403, "forbidden")
		post(missing.without("institutionId")).Refused(t, 404, "asset_not_found")
		claim = claim.without("institutionId")
		post(claim).Refused(t, 422, "template_currency")
		post(claim.with("currency", "USD")).Refused(t, 422, "template_min_amount")
		post(claim.with("currency", "USD").with("amount", "1000.01")).Refused(t, 422, "template_max_amount")
		post(claim.with("currency", "USD").with("assetId", invoices).with("expiresAt", s.clock.at(31*24*time.Hour))).Refused(t, 422, "template_max_tenor")
		inTemplate := claim.with("currency", "USD").with("amount", "1000.00")
		post(inTemplate).Refused(t, 422, "policy_min_amount")
		setPolicy(fields{"maxAmount": "999.99", "allowedCurrencies": []string{"EUR"}})
		post(inTemplate).Refused(t, 422, "policy_max_amount")
		setPolicy(fields{"maxAmount": "1000", "allowedCurrencies": []string{"EUR", "JPY"}})
		post(inTemplate).Refused(t, 422, "policy_currency")
		setPolicy(fields{"minAmount": "1000", "maxAmount": "1000", "allowedCurrencies": []string{"eur", "usd"}})
		post(inTemplate).Want(t, 201)

		if made := len(s.Walk(t, "/ledger-events?institutionId="+b.ID, "id")); made != 1 {
			t.Errorf("the refusals left %d entries", made-1)
		}
	})
}

func TestThePolicyOfAnotherRegionAsksNothing(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	b.Admin.Put(t, "/institutions/"+b.ID+"/policies/SG", `{"position": {"minAmount": "5000"}}`).Want(t, 200)
	b.Admin.Post(t, "/positions", b.claim().String()).Want(t, 201)
	inSingapore := b.asset(t, b.template(t, templateOf("CONSTR_ESCROW").with("region", "SG")))
	b.Admin.Post(t, "/positions", b.claim().with("assetId", inSingapore).String()).Refused(t, 422, "policy_min_amount")
}

func TestRetainage(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		b.Asset = b.asset(t, b.template(t, templateOf("CONSTR_RETAINAGE").with("config.retainagePercentage", "33.3333")))
		// Of 1000.00 dollars, 333.34 stay: the share is rounded up.
		id := b.position(t, "FUNDED").Text("id")
		release := func(amount string) apitest.Answer {
			return b.transition(t, id, fields{"toState": "PARTIALLY_RELEASED", "amount": amount})
		}
		release("666.67").Refused(t, 422, "template_retainage")
		release("600.00").Want(t, 200)
		release("66.67").Refused(t, 422, "template_retainage")
		release("66.66").Want(t, 200)
		release("0.01").Refused(t, 422, "template_retainage")
		if held := b.Admin.Get(t, "/positions/"+id).Text("held"); held != "333.34" {
			t.Errorf("%s are held, want 333.34", held)
		}
		b.transition(t, id, step("RELEASED")).Want(t, 200)

		t.Run("all of it", func(t *testing.T) {
			b.Asset = b.asset(t, b.template(t, templateOf("CONSTR_RETAINAGE").with("config.retainagePercentage", 100)))
			id = b.position(t, "FUNDED").Text("id")
			release("0.01").Refused(t, 422, "template_retainage")
			b.transition(t, id, step("CANCELLED")).Want(t, 200)
		})
		t.Run("nothing of it", func(t *testing.T) {
			b.Asset = b.asset(t, b.template(t, templateOf("CONSTR_RETAINAGE").with("config.retainagePercentage", 0)))
			id = b.position(t, "FUNDED").Text("id")
			release("999.99").Want(t, 200)
		})
	})
}

func TestTenor(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for _, code := range []string{"TF_INVOICE", "TF_LC"} {
			b.Asset = b.asset(t, b.template(t, templateOf(code).with("config.maxTenorDays", 30)))
			position := b.position(t)
			created, err := time.Parse(time.RFC3339, position.Text("createdAt"))
			if err != nil {
				t.Fatal(err)
			}
			if got, want := position.Text("expiresAt"), created.Add(30*24*time.Hour).Format("2006-01-02T15:04:05.000000Z"); got != want {
				t.Errorf("%s: without an expiresAt it is %s, want %s", code, got, want)
			}
			sooner := s.clock.at(29 * 24 * time.Hour)
			if got := b.Admin.Post(t, "/positions", b.claim().with("expiresAt", sooner).String()).Want(t, 201).Text("expiresAt"); got != sooner {
				t.Errorf("%s: expiresAt is %s, want %s", code, got, sooner)
			}
			b.Admin.Post(t, "/positions", b.claim().with("expiresAt", s.clock.at(30*24*time.Hour+time.Hour)).String()).Refused(t, 422, "template_max_tenor")
		}
	})
}

func TestPositionsExpireByThemselves(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		soon := b.claim().with("expiresAt", s.clock.at(time.Hour)).String()
		created := b.Admin.Post(t, "/positions", soon).Want(t, 201).Text("id")
		partly := b.Admin.Post(t, "/positions", soon).Want(t, 201).Text("id")
		b.transition(t, partly, step("FUNDED")).Want(t, 200)
		b.transition(t, partly, step("PARTIALLY_RELEASED")).Want(t, 200)
		later := b.Admin.Post(t, "/positions", b.claim().with("expiresAt", s.clock.at(3*time.Hour)).String()).Want(t, 201).Text("id")
		s.clock.advance(2 * time.Hour)
		eventually(t, "both positions are EXPIRED", func() bool {
			return len(b.Admin.Get(t, "/positions?state=EXPIRED").Texts(t, "id")) == 2
		})
		for id, want := range map[string]string{created: "0.00 0.00 0.00 0.00", partly: "1000.00 10.00 990.00 0.00"} {
			position := b.Admin.Get(t, "/positions/"+id)
			checkHistory(t, position)
			if events := position.Text("events"); money(position) != want || !strings.Contains(events, `"actor":"system"`) {
				t.Errorf("the position is %s", position)
			}
		}
		if state := b.Admin.Get(t, "/positions/"+later).Text("state"); state != "CREATED" {
			t.Errorf("the position that is not due is %s", state)
		}
	})
}

func TestWhatAPositionKeeps(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		expiresAt := s.clock.at(24 * time.Hour)
		body := b.claim().with("holderReference", "  Zürich ☂ 'x\"<&>  ").with("externalReference", "💰").with("expiresAt", expiresAt).
			with("metadata", raw(`{"z": 1, "a": [1.50, 1e2, null, "\u00e9\n"], "deep": `+nested(9)+`}`))
		created := b.Admin.Post(t, "/positions", body.String()).Want(t, 201)
		id := created.Text("id")
		if location := created.Header.Get("Location"); location != "/positions/"+id || created.Header.Get("ETag") != `"1"` {
			t.Errorf("Location is %s, ETag %s", location, created.Header.Get("ETag"))
		}
		for _, read := range []apitest.Answer{
			created, b.ReadOnly.Get(t, "/positions/"+id).Want(t, 200), s.Get(t, "/positions/"+id+"?institutionId="+b.ID).Want(t, 200),
		} {
			for path, want := range map[string]string{
				"id": id, "institutionId": b.ID, "assetId": b.Asset, "holderReference": `Zürich ☂ 'x"<&>`, "externalReference": "💰", "currency": "USD",
				"amount": "1000.00", "state": "CREATED", "version": "1", "expiresAt": expiresAt, "events.0.fromState": "", "events.0.toState": "CREATED",
			} {
				if got := read.Text(path); got != want {
					t.Errorf("%s is %q, want %q", path, got, want)
				}
			}
			if !strings.Contains(string(read.Body), `"metadata":{"z":1,"a":[1.50,1e2,null,"`) {
				t.Errorf("the metadata are not as they were given: %s", read)
			}
			checkHistory(t, read)
		}
		if listed := b.Admin.Get(t, "/positions").Text("data.0"); strings.Contains(listed, `"events"`) {
			t.Errorf("the list has events: %s", listed)
		}
		withEvents := b.Admin.Get(t, "/positions?include=events").Text("data.0.events")
		if withEvents != b.Admin.Get(t, "/positions/"+id).Text("events") {
			t.Errorf("the list has the events %s", withEvents)
		}
		minimal := b.position(t)
		for _, absent := range []string{"externalReference", "expiresAt", "metadata"} {
			if strings.Contains(string(minimal.Body), absent) {
				t.Errorf("a position without it has %s: %s", absent, minimal)
			}
		}
	})
}

func TestFiltersOfPositions(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		another := b.asset(t, b.template(t, templateOf("CONSTR_ESCROW").with("config.currency", "EUR")))
		first := b.Admin.Post(t, "/positions", b.claim().with("externalReference", "one").String()).Want(t, 201).Text("id")
		second := b.Admin.Post(t, "/positions", b.claim().with("holderReference", "ACME-4712").String()).Want(t, 201).Text("id")
		third := b.Admin.Post(t, "/positions", b.claim().with("assetId", another).with("currency", "EUR").String()).Want(t, 201).Text("id")
		b.transition(t, second, step("FUNDED")).Want(t, 200)
		for query, want := range map[string][]string{
			"":                           {first, second, third},
			"assetId=" + another:         {third},
			"holderReference=ACME-4711":  {first, third},
			"holderReference=acme-4711":  nil,
			"holderReference=ACME":       nil,
			"holderReference=ACME-%25":   nil,
			"externalReference=one":      {first},
			"state=FUNDED":               {second},
			"state=CREATED":              {first, third},
			"currency=eur":               {third},
			"currency=HRK":               nil, // A currency that was withdrawn can still be looked for.
			"currency=USD&state=CREATED": {first},
			"order=desc":                 {third, second, first},
			"order=desc&limit=1":         {third, second, first},
			"include=events&limit=2":     {first, second, third},
		} {
			got := s.Walk(t, "/positions?institutionId="+b.ID+"&"+query, "id")
			if !slices.Equal(got, want) && len(got)+len(want) > 0 {
				t.Errorf("%q lists %v, want %v", query, got, want)
			}
		}
		b.Admin.Get(t, "/positions?include=events&limit=101").Refused(t, 422, "invalid_input", "limit")
		if limit := b.Admin.Get(t, "/positions?include=events").Text("pagination.limit"); limit != "100" {
			t.Errorf("with events, the limit is %s", limit)
		}
	})
}

// A template can have the references of its positions unique.
func TestAnExternalReferenceThatIsTaken(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		unique := fields{"currency": "USD", "uniqueExternalReference": true}
		asset := b.asset(t, b.template(t, templateOf("CONSTR_ESCROW").with("config", unique)))
		body := b.claim().with("assetId", asset).with("externalReference", "contract 88")

		first := b.Admin.Post(t, "/positions", body.String()).Want(t, 201).Text("id")
		second := b.Admin.Post(t, "/positions", body.String(), "Idempotency-Key: once").Refused(t, 409, "external_reference_taken")
		if !strings.Contains(second.Text("detail"), first) {
			t.Errorf("%s does not name %s", second, first)
		}
		b.Admin.Post(t, "/positions", body.String(), "Idempotency-Key: once").Refused(t, 409, "external_reference_taken")
		if got := b.Admin.Get(t, "/positions?externalReference=contract%2088").Texts(t, "id"); !slices.Equal(got, []string{first}) {
			t.Errorf("there are %v", got)
		}
		if config := b.Admin.Get(t, "/asset-templates?order=desc&limit=1").Text("data.0.config"); config != `{"currency":"USD","uniqueExternalReference":true}` {
			t.Errorf("the config is %s", config)
		}
	})
}
