package httpapi_test

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// stepOf is a transition of a position, as an item of a batch.
func stepOf(position, state string) fields { return step(state).with("positionId", position) }

// checkResults compares what became of a batch's items, each with its status, an
// error's code, and the fields that it names.
func checkResults(t *testing.T, answer apitest.Answer, want ...string) []apitest.Result {
	t.Helper()
	results := answer.Results(t, len(want))
	var got []string
	for _, result := range results {
		got = append(got, result.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("results wanted (-) and given (+) to %s:\n%s", answer.Request.Body, diff)
	}
	return results
}

// positionOf returns the id of the position that a result holds.
func positionOf(result apitest.Result) string {
	return apitest.Answer{Body: result.Position}.Text("id")
}

func TestABatchAnswersItemByItem(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		b.Admin.Put(t, "/institutions/"+b.ID+"/policies/US", `{"position": {"minAmount": "100"}}`).Want(t, 200)
		answer := b.Admin.Post(t, "/positions/batch", batchOf(
			b.claim().with("metadata", raw(`{"z": 1, "a": [1.50, 1e2]}`)), b.claim().with("assetId", "ast_01jd8m3q5yf7wbt0x4a2k9r6ce"),
			b.claim().with("amount", "99.99"), b.claim().with("currency", "EUR"), b.claim().with("expiresAt", "2020-01-01T00:00:00Z"),
			fields{"assetId": "x", "currency": "dollars", "amount": "1e3"}, b.claim().with("holderReference", "last").with("amount", 100),
		).String()).Want(t, 200)
		results := checkResults(t, answer, "201", "404 asset_not_found", "422 policy_min_amount", "422 template_currency",
			"422 invalid_input expiresAt", "422 invalid_input assetId holderReference currency amount", "201")
		if detail := results[2].Error.Detail; detail != "The policy for US asks for an amount of at least 100." {
			t.Errorf("the item is refused with %q", detail)
		}
		for name, header := range map[string]string{"Location": "", "ETag": "", "Content-Type": "application/json"} {
			if got := answer.Header.Get(name); got != header {
				t.Errorf("%s is %q, want %q", name, got, header)
			}
		}
		var listed struct{ Data []raw }
		b.Admin.Get(t, "/positions").Decode(t, &listed)
		if len(listed.Data) != 2 || !bytes.Equal(listed.Data[0], results[0].Position) || !bytes.Equal(listed.Data[1], results[6].Position) {
			t.Errorf("the list has %s\nthe batch was answered with %s", listed.Data, answer.Body)
		}
	})
}

func TestItemsOfABatchFollowEachOther(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, other := s.bank(t), s.bank(t)
		one, two, theirs := b.position(t).Text("id"), b.position(t).Text("id"), other.position(t).Text("id")
		before := len(s.journal(t, b))
		answer := b.Admin.Post(t, "/positions/transitions/batch", batchOf(
			stepOf(one, "FUNDED").with("ifVersion", 1), stepOf(one, "PARTIALLY_RELEASED").with("ifVersion", 2).with("reason", "foundations"),
			stepOf(one, "PARTIALLY_RELEASED").with("ifVersion", 2), stepOf(two, "RELEASED"), stepOf(theirs, "FUNDED"),
			stepOf("pos_01jd8m3q5yf7wbt0x4a2k9r6ce", "FUNDED"), stepOf("pos_x", "FUNDED"), stepOf(two, "CANCELLED"), stepOf(one, "RELEASED"),
			stepOf(two, "EXPIRED"), stepOf(one, "PARTIALLY_RELEASED").without("amount"), stepOf(one, "GONE"),
		).String(), "X-Request-Id: all-of-them").Want(t, 200)
		results := checkResults(t, answer, "200", "200", "412 version_mismatch", "409 invalid_transition", "404 position_not_found",
			"404 position_not_found", "422 invalid_input positionId", "200", "200", "409 invalid_transition",
			"422 invalid_input amount", "422 invalid_input toState")
		for i, want := range map[int]string{0: "FUNDED 2 1000.00", 1: "PARTIALLY_RELEASED 3 990.00", 7: "CANCELLED 2 0.00", 8: "RELEASED 4 0.00"} {
			position := apitest.Answer{Body: results[i].Position}
			if got := position.Text("state") + " " + position.Text("version") + " " + position.Text("held"); got != want || position.Text("events") != "" {
				t.Errorf("after item %d the position is %s, want %s, without its events", i, results[i].Position, want)
			}
		}
		checkHistory(t, b.Admin.Get(t, "/positions/"+one))

		// Each accepted item has its entry, in their order, by the same request.
		var made []string
		if after := len(s.journal(t, b)); after != before+4 {
			t.Errorf("the batch added %d entries, want 4", after-before)
		}
		entries := b.Admin.Get(t, "/ledger-events?order=desc&limit=4")
		for i, id := range entries.Texts(t, "positionId") {
			made = append(made, id+" "+entries.Texts(t, "toState")[i]+" "+entries.Texts(t, "requestId")[i])
		}
		slices.Reverse(made)
		var want []string
		for _, step := range []string{one + " FUNDED", one + " PARTIALLY_RELEASED", two + " CANCELLED", one + " RELEASED"} {
			want = append(want, step+" all-of-them")
		}
		if diff := cmp.Diff(want, made); diff != "" {
			t.Errorf("entries wanted (-) and made (+):\n%s", diff)
		}
		if state := other.Admin.Get(t, "/positions/"+theirs).Text("state"); state != "CREATED" {
			t.Errorf("the other institution's position is %s", state)
		}
	})
}

func TestAnAtomicBatchIsAllOrNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		one := b.position(t).Text("id")
		untouched := b.Admin.Get(t, "/positions/"+one)
		before := len(s.journal(t, b))
		steps := []fields{stepOf(one, "FUNDED"), stepOf(one, "RELEASED").with("amount", "999"), stepOf(one, "PARTIALLY_RELEASED"), stepOf("x", "GONE")}
		refused := b.Admin.Post(t, "/positions/transitions/batch", batchOf(steps...).with("atomic", true).String()).Refused(t, 422, "batch_refused")
		results := checkResults(t, refused, "424 not_applied", "422 transition_amount", "424 not_applied", "422 invalid_input positionId toState")
		if detail := refused.Problem(t).Detail; !strings.Contains(detail, "2 of 4") || results[0].Error.Title != "Not applied" {
			t.Errorf("the refusal is %s", refused)
		}
		claims := batchOf(b.claim(), b.claim().with("currency", "EUR")).with("atomic", true).String()
		checkResults(t, b.Admin.Post(t, "/positions/batch", claims).Refused(t, 422, "batch_refused"), "424 not_applied", "422 template_currency")
		if now := b.Admin.Get(t, "/positions/"+one); string(now.Body) != string(untouched.Body) || len(s.journal(t, b)) != before {
			t.Errorf("the refused batches changed the position to %s, and added %d entries", now, len(s.journal(t, b))-before)
		}
		checkResults(t, b.Admin.Post(t, "/positions/transitions/batch", batchOf(steps[0], steps[2]).with("atomic", true).String()).Want(t, 200), "200", "200")
		checkResults(t, b.Admin.Post(t, "/positions/batch", batchOf(b.claim(), b.claim()).with("atomic", true).String()).Want(t, 200), "201", "201")
		if after := len(s.journal(t, b)); after != before+4 {
			t.Errorf("%d entries were added, want 4", after-before)
		}
	})
}

func TestARepeatedBatchIsAnsweredAsTheFirst(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		one, two := b.position(t).Text("id"), b.position(t, "FUNDED").Text("id")
		post := func(path, key, id string, body fields) apitest.Answer {
			return b.Admin.Post(t, path, body.String(), "Idempotency-Key: "+key, "X-Request-Id: "+id)
		}
		type repeated struct {
			path  string
			body  fields
			first apitest.Answer
		}
		batches := map[string]*repeated{
			"creations":          {path: "/positions/batch", body: batchOf(b.claim().with("metadata", raw(`{"b":1,"a":[1.50,1e2]}`)), b.claim().with("amount", "x"), b.claim())},
			"atomic creations":   {path: "/positions/batch", body: batchOf(b.claim(), b.claim()).with("atomic", true)},
			"refused creations":  {path: "/positions/batch", body: batchOf(b.claim().with("currency", "EUR"), fields{})},
			"an atomic refusal":  {path: "/positions/batch", body: batchOf(b.claim(), b.claim().with("currency", "EUR"), fields{}).with("atomic", true)},
			"transitions":        {path: "/positions/transitions/batch", body: batchOf(stepOf(one, "FUNDED"), stepOf(two, "PARTIALLY_RELEASED"), stepOf(one, "FUNDED"), stepOf(one, "PARTIALLY_RELEASED"), stepOf(two, "PARTIALLY_RELEASED"))},
			"atomic transitions": {path: "/positions/transitions/batch", body: batchOf(stepOf(one, "PARTIALLY_RELEASED"), stepOf(one, "FUNDED")).with("atomic", true)},
		}
		for key, batch := range batches {
			batch.first = post(batch.path, strings.ReplaceAll(key, " ", "-"), "first", batch.body)
		}
		for _, id := range append(s.Walk(t, "/positions?institutionId="+b.ID, "id"), one, two) {
			b.transition(t, id, step("CANCELLED"))
		}
		before := len(s.journal(t, b))
		for key, batch := range batches {
			t.Run(key, func(t *testing.T) {
				for range 2 {
					same(t, batch.first, post(batch.path, strings.ReplaceAll(key, " ", "-"), "second", batch.body))
				}
				post(batch.path, strings.ReplaceAll(key, " ", "-"), "third", batch.body.with("atomic", key == "creations")).Refused(t, 422, "idempotency_key_reused")
			})
		}
		if after := len(s.journal(t, b)); after != before {
			t.Errorf("the repetitions added %d entries", after-before)
		}
		if !strings.Contains(string(batches["an atomic refusal"].first.Body), `"requestId":"first"`) {
			t.Errorf("the refusal is %s", batches["an atomic refusal"].first)
		}
	})
}

// Of many that come at once, one batch is done, and all get its answer.
func TestRepetitionsOfABatchAtTheSameTime(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		r := apitest.Request{
			Method: http.MethodPost, Path: "/positions/batch", Body: batchOf(b.claim(), fields{}, b.claim()).String(), Headers: []string{"Idempotency-Key: once"},
		}
		originals := 0
		answers := atOnce(t, b.Admin, slices.Repeat([]apitest.Request{r}, 20))
		for _, answer := range answers {
			answer.Want(t, 200)
			if string(answer.Body) != string(answers[0].Body) {
				t.Errorf("one is answered with\n\t%s\nand another with\n\t%s", answer, answers[0])
			}
			if answer.Header.Get("Idempotent-Replayed") == "" {
				originals++
			}
		}
		if made := len(s.Walk(t, "/positions?institutionId="+b.ID, "id")); originals != 1 || made != 2 {
			t.Errorf("%d of 20 are no repetitions, and there are %d positions", originals, made)
		}
	})
}

// Another tenant's resources are answered, item by item, exactly as missing ones.
func TestABatchReachesNoOtherTenant(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		mine, other := s.bank(t), s.bank(t)
		const noAsset, noPosition = "ast_01jd8m3q5yf7wbt0x4a2k9r6ce", "pos_01jd8m3q5yf7wbt0x4a2k9r6ce"
		theirs := other.position(t).Text("id")
		anonymous := func(result apitest.Result) string {
			return result.String() + resourceIDs.ReplaceAllString(result.Error.Detail, "$1")
		}
		results := mine.Admin.Post(t, "/positions/batch", batchOf(mine.claim().with("assetId", other.Asset), mine.claim().with("assetId", noAsset)).String()).
			Want(t, 200).Results(t, 2)
		if got, want := anonymous(results[0]), anonymous(results[1]); got != want || results[0].Status != 404 {
			t.Errorf("another's asset is answered with %s, one that is missing with %s", got, want)
		}
		results = mine.Admin.Post(t, "/positions/transitions/batch", batchOf(stepOf(theirs, "FUNDED"), stepOf(noPosition, "FUNDED")).String()).
			Want(t, 200).Results(t, 2)
		if got, want := anonymous(results[0]), anonymous(results[1]); got != want || results[0].Status != 404 {
			t.Errorf("another's position is answered with %s, one that is missing with %s", got, want)
		}
		for _, path := range []string{"/positions/batch", "/positions/transitions/batch"} {
			body := batchOf(mine.claim())
			if path != "/positions/batch" {
				body = batchOf(stepOf(theirs, "FUNDED"))
			}
			mine.ReadOnly.Post(t, path, body.String()).Refused(t, 403, "permission_missing")
			mine.Admin.Post(t, path, body.with("institutionId", other.ID).String()).Refused(t, 403, "forbidden")
			mine.Admin.Post(t, path+"?institutionId="+other.ID, body.String()).Refused(t, 403, "forbidden")
			s.Post(t, path, body.String()).Refused(t, 422, "invalid_input", "institutionId")
			s.Post(t, path, body.with("institutionId", noInstitution).String()).Refused(t, 404, "institution_not_found")
			s.Post(t, path, body.with("institutionId", mine.ID).String()).Want(t, 200)
		}
		if state := other.Admin.Get(t, "/positions/"+theirs).Text("state"); state != "CREATED" {
			t.Errorf("the other institution's position is %s", state)
		}
	})
}

// jsonKinds are the kinds of JSON, by their first characters, that each kind of a
// field can be at all; what is of none of them is no fault of an item, but of the
// whole body.
var jsonKinds = map[string]string{
	"id": `"`, "text": `"`, "currency": `"`, "future": `"`, "word": `"`, "reason": `"`, "metadata": "{", "amount": `"-0123456789`, "form": `"-0123456789`,
	"version": "-0123456789",
}

// A value that an item does not take refuses the item; one of another type, or a
// member that is not known, the whole request.
func TestWhatABatchDoesNotTake(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	position := func() string { return b.position(t).Text("id") }
	for _, test := range []struct {
		path  string
		done  string
		valid func() fields
		kinds map[string]string
	}{
		{"/positions/batch", "201", b.claim, map[string]string{
			"assetId": "id!", "holderReference": "text!", "currency": "currency!", "amount": "amount!", "externalReference": "text", "expiresAt": "future",
			"metadata": "metadata",
		}},
		{"/positions/transitions/batch", "200", func() fields { return stepOf(position(), "CANCELLED") }, map[string]string{
			"positionId": "id!", "toState": "word!", "amount": "form", "reason": "reason", "metadata": "metadata", "ifVersion": "version",
		}},
	} {
		for field, kind := range test.kinds {
			t.Run(test.path+" "+field, func(t *testing.T) {
				values := wrongValues(kind)
				if kind == "version" {
					values = []string{`"1"`, `1.5`, `1e2`, `true`, `[]`, `{}`, `9223372036854775808`}
				}
				for _, value := range values {
					body := batchOf(test.valid(), test.valid().with(field, raw(value)), test.valid()).String()
					answer := b.Admin.Post(t, test.path, body)
					if ofItem := strings.ContainsAny(value[:1], jsonKinds[strings.TrimSuffix(kind, "!")]) || value == "null"; ofItem && kind != "version" {
						checkResults(t, answer.Want(t, 200), test.done, "422 invalid_input "+field, test.done)
					} else {
						answer.Refused(t, 422, "invalid_input", "items[1]."+field)
					}
				}
			})
		}
		t.Run(test.path+" items that are none", func(t *testing.T) {
			for _, item := range []string{`1`, `"x"`, `true`, `null`, `[]`, `[{}]`} {
				body := fields{"items": []any{test.valid(), raw(item)}}.String()
				b.Admin.Post(t, test.path, body).Refused(t, 422, "invalid_input", "items[1]")
			}
			b.Admin.Post(t, test.path, batchOf(test.valid().with("surprise", 1), test.valid(), test.valid().with("institutionId", b.ID)).String()).
				Refused(t, 422, "invalid_input", "items[0].surprise", "items[2].institutionId")
			b.Admin.Post(t, test.path, batchOf(test.valid()).with("surprise", 1).String()).Refused(t, 422, "invalid_input", "surprise")
			refused := b.Admin.Post(t, test.path, `{"items": {"0": {}}}`).Refused(t, 422, "invalid_input", "items")
			if message := refused.Problem(t).Errors[0].Message; message != "must be an array of objects" {
				t.Errorf("items %s", message)
			}
			b.Admin.Post(t, test.path, `{"items": [{"amount": 1, "amount": 2}]}`).Refused(t, 400, "malformed_body")
			b.Admin.Post(t, test.path, `{"items": [{}, {]}`).Refused(t, 400, "malformed_body")
		})
	}
	t.Run("a request that was not valid leaves the key free", func(t *testing.T) {
		b.Admin.Post(t, "/positions/batch", batchOf(b.claim().with("amount", true)).String(), "Idempotency-Key: free").Refused(t, 422, "invalid_input", "items[0].amount")
		b.Admin.Post(t, "/positions/batch", batchOf(b.claim()).String(), "Idempotency-Key: free").Want(t, 200)
	})
}

func TestABatchIsBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		many := slices.Repeat([]fields{b.claim()}, 1000)
		made := b.Admin.Post(t, "/positions/batch", batchOf(many...).String()).Want(t, 200).Results(t, 1000)
		steps := make([]fields, len(made))
		for i, result := range made {
			steps[i] = stepOf(positionOf(result), "FUNDED")
		}
		for i, result := range b.Admin.Post(t, "/positions/transitions/batch", batchOf(steps...).with("atomic", true).String()).Want(t, 200).Results(t, 1000) {
			if result.Status != 200 || positionOf(result) != positionOf(made[i]) {
				t.Fatalf("item %d: %s %s", i, result, result.Position)
			}
		}
		b.Admin.Post(t, "/positions/batch", batchOf(append(many, b.claim())...).String()).Refused(t, 422, "invalid_input", "items")
		b.Admin.Post(t, "/positions/batch", batchOf().String()).Refused(t, 422, "invalid_input", "items")
		// As many items as a body can hold cost no more than those that are too many.
		b.Admin.Post(t, "/positions/batch", `{"items": [`+strings.Repeat("{},", 300_000)+`{}]}`).Refused(t, 422, "invalid_input", "items")
		faults := b.Admin.Post(t, "/positions/batch", `{"items": [`+strings.Repeat(`{"a":1,"b":1},`, 999)+`{}]}`).Want(t, 422).Problem(t).Errors
		if len(faults) < 100 || len(faults) > 101 {
			t.Errorf("there are %d errors", len(faults))
		}
	})
}

// However many items a batch has, it is one request to the limit of its key.
func TestABatchIsOneRequestToTheLimit(t *testing.T) {
	s := limited(t, 1, 20)
	b := s.bank(t)
	b.Admin.Post(t, "/positions/batch", batchOf(slices.Repeat([]fields{b.claim()}, 100)...).String()).Want(t, 200)
}

// An item whose turn comes when its position is due is refused as a single
// transition is.
func TestABatchOnAPositionThatIsDue(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	due := b.Admin.Post(t, "/positions", b.claim().with("expiresAt", s.clock.at(time.Hour)).String()).Want(t, 201).Text("id")
	s.clock.advance(2 * time.Hour)
	result := b.Admin.Post(t, "/positions/transitions/batch", batchOf(stepOf(due, "FUNDED")).String()).Want(t, 200).Results(t, 1)[0]
	// The server itself may have been quicker.
	if got := result.String(); got != "409 position_expired" && got != "409 invalid_transition" {
		t.Errorf("the result is %s", got)
	}
}
