package httpapi_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// same checks that an answer repeats another, to the byte.
func same(t *testing.T, first, again apitest.Answer) {
	t.Helper()
	if again.Status != first.Status || string(again.Body) != string(first.Body) {
		t.Errorf("repeated, %s %s is answered with\n\t%s\nand was answered with\n\t%s", again.Request.Method, again.Request.Path, again, first)
	}
	for _, header := range []string{"Location", "ETag", "Content-Type"} {
		if got, want := again.Header.Get(header), first.Header.Get(header); got != want {
			t.Errorf("repeated, %s is %q, and was %q", header, got, want)
		}
	}
	if first.Header.Get("Idempotent-Replayed") != "" || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("Idempotent-Replayed is %q and then %q", first.Header.Get("Idempotent-Replayed"), again.Header.Get("Idempotent-Replayed"))
	}
}

func TestARepeatedCommandIsAnsweredAsTheFirst(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		mine, other := s.bank(t), s.bank(t)
		for i, route := range contractTable {
			if !route.isKeyed() {
				continue
			}
			t.Run(route.route, func(t *testing.T) {
				caller := mine.Admin
				if route.takes == root {
					caller = s.Client
				}
				r := route.request(t, mine, other, "admin", own)
				r.Headers = []string{fmt.Sprintf("Idempotency-Key: repeated-%d", i), "X-Request-Id: first"}
				before := s.journal(t, mine)
				first := caller.Send(t, r).Want(t, route.status)
				after := s.journal(t, mine)
				r.Headers[1] = "X-Request-Id: second"
				for range 3 {
					again := caller.Send(t, r)
					same(t, first, again)
					if id := again.Header.Get("X-Request-Id"); id != "second" {
						t.Errorf("the repeated request has the request id %q", id)
					}
				}
				done := 1
				if route.takes == root || route.status >= 400 {
					done = len(after) - len(before)
				}
				if now := s.journal(t, mine); len(now) != len(after) || len(after) != len(before)+done {
					t.Errorf("the journal had %d entries, %d after the command, and %d after its repetitions", len(before), len(after), len(now))
				}
			})
		}
	})
}

// journal returns the ids of all entries of an institution's journal.
func (s *service) journal(t *testing.T, b bank) []string {
	t.Helper()
	sequences := s.Walk(t, "/audit-events?institutionId="+b.ID, "sequence")
	for i, sequence := range sequences {
		if sequence != fmt.Sprint(i+1) {
			t.Fatalf("the journal of %s has the sequences %v", b.ID, sequences)
		}
	}
	return sequences
}

func TestARepeatedRefusalIsAnsweredAsTheFirst(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		position := b.position(t).Text("id")
		for name, refused := range map[string]apitest.Request{
			"an asset that is not there": {Path: "/positions", Body: b.claim().with("assetId", "ast_01jd8m3q5yf7wbt0x4a2k9r6ce").String()},
			"a currency of another":      {Path: "/positions", Body: b.claim().with("currency", "EUR").String()},
			"a transition that is none":  {Path: "/positions/" + position + "/transition", Body: step("RELEASED").String()},
			"a moment that has passed":   {Path: "/positions", Body: b.claim().with("expiresAt", "2020-01-01T00:00:00Z").String()},
		} {
			t.Run(name, func(t *testing.T) {
				refused.Method = http.MethodPost
				refused.Headers = []string{"Idempotency-Key: " + strings.ReplaceAll(name, " ", "-"), "X-Request-Id: the-first"}
				first := b.Admin.Send(t, refused)
				if first.Status < 400 || first.Problem(t).RequestID != "the-first" {
					t.Fatalf("the first is answered with %s", first)
				}
				refused.Headers[1] = "X-Request-Id: the-second"
				same(t, first, b.Admin.Send(t, refused))
			})
		}
		t.Run("also when it would be accepted by now", func(t *testing.T) {
			r := apitest.Request{
				Method: http.MethodPost, Path: "/positions/" + position + "/transition", Body: step("RELEASED").String(),
				Headers: []string{"Idempotency-Key: too-early"},
			}
			first := b.Admin.Send(t, r).Refused(t, 409, "invalid_transition")
			b.transition(t, position, step("FUNDED")).Want(t, 200)
			same(t, first, b.Admin.Send(t, r))
		})
	})
}

func TestTheFirstAnswerIsRepeatedHoweverThingsAreByNow(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		create := apitest.Request{
			Method: http.MethodPost, Path: "/positions", Body: b.claim().with("metadata", raw(`{"b":1,"a":[1.50,1e2]}`)).String(),
			Headers: []string{"Idempotency-Key: create"},
		}
		created := b.Admin.Send(t, create).Want(t, 201)
		fund := apitest.Request{
			Method: http.MethodPost, Path: "/positions/" + created.Text("id") + "/transition", Body: step("FUNDED").String(),
			Headers: []string{"Idempotency-Key: fund", `If-Match: "1"`},
		}
		funded := b.Admin.Send(t, fund).Want(t, 200)
		b.transition(t, created.Text("id"), step("CANCELLED")).Want(t, 200)
		same(t, created, b.Admin.Send(t, create))
		same(t, funded, b.Admin.Send(t, fund))

		set := apitest.Request{
			Method: http.MethodPut, Path: "/institutions/" + b.ID + "/policies/US", Body: newPolicy(b).String(), Headers: []string{"Idempotency-Key: policy"},
		}
		policy := b.Admin.Send(t, set).Want(t, 200)
		b.Admin.Put(t, set.Path, `{"position": {"maxAmount": "5"}}`).Want(t, 200)
		same(t, policy, b.Admin.Send(t, set))
		if now := b.Admin.Get(t, set.Path).Text("position"); now != `{"maxAmount":"5"}` {
			t.Errorf("the repetition set the policy again: %s", now)
		}
	})
}

func TestAnIdempotencyKeyIsOfOneRequest(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		const key = "Idempotency-Key: of-one-request"
		claim := b.claim()
		first := b.Admin.Post(t, "/positions", claim.String(), key).Want(t, 201)
		position := "/positions/" + first.Text("id") + "/transition"
		fund, once := step("FUNDED").String(), "Idempotency-Key: once"
		b.Admin.Post(t, position, fund, once, `If-Match: "1"`).Want(t, 200)
		b.Admin.Post(t, position, fund, once, `If-Match: "1", "2"`).Refused(t, 422, "idempotency_key_reused")
		for name, r := range map[string]apitest.Request{
			"another body":       {Path: "/positions", Body: claim.with("amount", "1000.01").String()},
			"another form of it": {Path: "/positions", Body: claim.with("amount", 1000.00).String()},
			"another path":       {Path: position, Body: claim.String()},
			"another command":    {Path: position, Body: step("FUNDED").String()},
		} {
			r.Method, r.Headers = http.MethodPost, append(r.Headers, key)
			if answer := b.Admin.Send(t, r); answer.Problem(t).Code != "idempotency_key_reused" && name != "another path" {
				t.Errorf("%s is answered with %s", name, answer)
			}
		}
		t.Run("white space is no difference", func(t *testing.T) {
			spaced := strings.NewReplacer(":", " :\n\t", ",", " , ").Replace(claim.String())
			same(t, first, b.Admin.Post(t, "/positions", spaced, key))
		})
		t.Run("nor is which key of the institution repeats it", func(t *testing.T) {
			same(t, first, s.As(s.key(t, b.ID, "admin")).Post(t, "/positions", claim.String(), key))
			same(t, first, s.Post(t, "/positions?institutionId="+b.ID, claim.String(), key))
		})
		t.Run("another institution has keys of its own", func(t *testing.T) {
			other := s.bank(t)
			answer := other.Admin.Post(t, "/positions", other.claim().String(), key).Want(t, 201)
			if answer.Text("id") == first.Text("id") || answer.Header.Get("Idempotent-Replayed") != "" {
				t.Error("it was answered with this one's position")
			}
		})
		t.Run("a key that may not write repeats nothing", func(t *testing.T) {
			b.ReadOnly.Post(t, "/positions", claim.String(), key).Refused(t, 403, "permission_missing")
		})
		t.Run("a request that was not valid leaves the key free", func(t *testing.T) {
			b.Admin.Post(t, "/positions", claim.with("amount", -1).String(), "Idempotency-Key: free").Refused(t, 422, "invalid_input", "amount")
			b.Admin.Post(t, "/positions", claim.String(), "Idempotency-Key: free").Want(t, 201)
		})
	})
}

func TestIdempotencyKeysThatAreNone(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	for _, headers := range [][]string{
		{"Idempotency-Key:"},
		{"Idempotency-Key: a b"},
		{"Idempotency-Key: ä"},
		{"Idempotency-Key: a\tb"},
		{"Idempotency-Key: " + strings.Repeat("x", 256)},
		{"Idempotency-Key: a", "Idempotency-Key: a"},
	} {
		for _, route := range contractTable {
			if !route.isJournaled() {
				continue
			}
			r := route.request(t, b, b, "admin", own)
			r.Headers = headers
			s.Client.Send(t, withInstitution(r, b)).Refused(t, 422, "invalid_input", "Idempotency-Key")
		}
	}
	b.Admin.Post(t, "/positions", b.claim().String(), "Idempotency-Key: "+strings.Repeat("~", 255)).Want(t, 201)
	b.Admin.Get(t, "/positions", "Idempotency-Key: a b").Want(t, 200)
}

// withInstitution names the institution as root must.
func withInstitution(r apitest.Request, b bank) apitest.Request {
	if !strings.HasPrefix(r.Path, "/institutions") {
		r.Path += "?institutionId=" + b.ID
	}
	return r
}

// Of many that come at once, one is done, and all get its answer.
func TestRepetitionsAtTheSameTime(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for round := range 5 {
			r := apitest.Request{
				Method: http.MethodPost, Path: "/positions", Body: b.claim().with("externalReference", fmt.Sprint("round ", round)).String(),
				Headers: []string{fmt.Sprintf("Idempotency-Key: round-%d", round)},
			}
			answers := atOnce(t, b.Admin, slices.Repeat([]apitest.Request{r}, 20))
			originals := 0
			for _, answer := range answers {
				answer.Want(t, 201)
				if string(answer.Body) != string(answers[0].Body) {
					t.Errorf("one is answered with\n\t%s\nand another with\n\t%s", answer, answers[0])
				}
				if answer.Header.Get("Idempotent-Replayed") == "" {
					originals++
				}
			}
			if originals != 1 {
				t.Errorf("%d of 20 are no repetitions", originals)
			}
		}
		if made := len(s.Walk(t, "/positions?institutionId="+b.ID, "id")); made != 5 {
			t.Errorf("there are %d positions, want 5", made)
		}
		s.journal(t, b)
	})
}

// atOnce sends requests at the same time.
func atOnce(t *testing.T, client apitest.Client, requests []apitest.Request) []apitest.Answer {
	t.Helper()
	answers := make([]apitest.Answer, len(requests))
	errs := make([]error, len(requests))
	start := make(chan struct{})
	var sending sync.WaitGroup
	for i, r := range requests {
		sending.Go(func() {
			<-start
			answers[i], errs[i] = client.Try(t.Context(), r)
		})
	}
	close(start)
	sending.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return answers
}

// Of two that exclude each other, one wins.
func TestTransitionsAtTheSameTime(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for range 5 {
			position := b.position(t, "FUNDED").Text("id")
			var requests []apitest.Request
			for i := range 10 {
				to := []string{"RELEASED", "CANCELLED"}[i%2]
				requests = append(requests, apitest.Request{
					Method: http.MethodPost, Path: "/positions/" + position + "/transition", Body: step(to).String(), Headers: []string{`If-Match: "2"`},
				})
			}
			won := 0
			for _, answer := range atOnce(t, b.Admin, requests) {
				if answer.Status == 200 {
					won++
				} else {
					answer.Refused(t, 412, "version_mismatch")
				}
			}
			if final := b.Admin.Get(t, "/positions/"+position); won != 1 || final.Text("version") != "3" || final.Text("held") != "0.00" {
				t.Errorf("%d of 10 won, and the position is %s", won, final)
			}
		}
		s.journal(t, b)
	})
}
