package httpapi_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// form is what a command's body may be.
type form struct {
	route string
	path  string
	valid fields
	// kinds tells of each field what it takes; a kind with a ! is required.
	kinds map[string]string
}

// forms lists every command that has a body.
func forms(t *testing.T, b bank) []form {
	t.Helper()
	institution := "/institutions/" + b.ID
	return []form{
		{"POST /institutions", "/institutions", newInstitution(b), map[string]string{"name": "text!", "regions": "words!", "verticals": "words"}},
		{
			"POST /institutions/{id}/api-keys", institution + "/api-keys", newKey(b),
			map[string]string{"label": "text!", "role": "word!", "expiresAt": "future"},
		},
		{
			"POST /institutions/{id}/api-keys", institution + "/api-keys",
			fields{"label": "clerk", "owner": "Ana", "permissions": []string{"positions.read"}, "allowedNetworks": []string{"192.0.2.0/24"}, "restrict": fields{
				"templateIds": []string{b.Template}, "assetIds": []string{b.Asset}, "holderReferences": []string{"h"}, "maxAmount": fields{"USD": "7.50"},
			}},
			map[string]string{
				"owner": "text", "permissions": "permissions", "allowedNetworks": "networks", "restrict": "object",
				"restrict.templateIds": "ids", "restrict.assetIds": "ids", "restrict.holderReferences": "references", "restrict.maxAmount": "bounds",
			},
		},
		{
			"PUT /institutions/{id}/identity-provider", institution + "/identity-provider",
			newProvider(b).with("audience", "api").with("clientSecret", "s").with("claims", fields{"groups": "realm.roles", "name": "n", "email": "e"}),
			map[string]string{
				"issuer": "issuer!", "clientId": "text!", "clientSecret": "secret", "audience": "text", "roleByGroup": "object!",
				"claims": "object", "claims.groups": "text", "claims.name": "text", "claims.email": "text",
			},
		},
		{
			"PUT /institutions/{id}/roles/{name}", institution + "/roles/clerk", newRole(b),
			map[string]string{"permissions": "permissionsOrNone!"},
		},
		{
			"POST /institutions/{id}/api-keys/{keyId}/rotate", institution + "/api-keys/" + aKey(t, b)[0] + "/rotate",
			fields{"overlapSeconds": 60},
			map[string]string{"overlapSeconds": "whole"},
		},
		{
			"PUT /institutions/{id}/policies/{region}", institution + "/policies/US",
			fields{"position": fields{"minAmount": "1", "maxAmount": 2.5, "allowedCurrencies": []string{"usd"}}},
			map[string]string{
				"position": "object!", "position.minAmount": "digits", "position.maxAmount": "digits", "position.allowedCurrencies": "words",
			},
		},
		{
			"POST /asset-templates", "/asset-templates", newTemplate(b),
			map[string]string{
				"code": "word!", "name": "text!", "vertical": "word!", "region": "word!", "config": "object!", "institutionId": "id",
				"config.currency": "currency!", "config.maxTenorDays": "days!", "config.issuingBankCountry": "country!",
			},
		},
		{
			"POST /asset-templates", "/asset-templates", templateOf("CONSTR_ESCROW"),
			map[string]string{"config.currency": "currency!", "config.region": "word", "config.minAmount": "amount", "config.maxAmount": "amount"},
		},
		{"POST /asset-templates", "/asset-templates", templateOf("CONSTR_RETAINAGE"), map[string]string{"config.retainagePercentage": "percentage!"}},
		{"POST /asset-templates", "/asset-templates", templateOf("TF_INVOICE"), map[string]string{"config.maxTenorDays": "days!", "config.country": "country!"}},
		{
			"POST /assets", "/assets", newAsset(b),
			map[string]string{"templateId": "id!", "label": "text!", "metadata": "metadata", "institutionId": "id"},
		},
		{"PATCH /institutions/{id}", "/institutions/" + b.ID, newName(b), map[string]string{"name": "renamed"}},
		{
			"PATCH /institutions/{id}/api-keys/{keyId}", "/institutions/" + b.ID + "/api-keys/" + aKey(t, b)[0], newLabel(b),
			map[string]string{"label": "renamed"},
		},
		{"PATCH /asset-templates/{id}", "/asset-templates/" + b.Template, newName(b), map[string]string{"name": "renamed"}},
		{
			"PATCH /assets/{id}", "/assets/" + b.Asset, newLabel(b).with("metadata", fields{"a": nil}),
			map[string]string{"label": "renamed", "metadata": "patch"},
		},
		{
			"POST /positions", "/positions", b.claim(),
			map[string]string{
				"assetId": "id!", "holderReference": "text!", "currency": "currency!", "amount": "amount!", "externalReference": "text",
				"expiresAt": "future", "metadata": "metadata", "institutionId": "id",
			},
		},
		{
			"POST /positions/{id}/transition", "/positions/" + aPosition(t, b)[0] + "/transition",
			fields{"toState": "PARTIALLY_RELEASED", "amount": 1},
			map[string]string{"toState": "word!", "amount": "form!", "reason": "reason", "metadata": "metadata", "institutionId": "id"},
		},
		{
			"POST /positions/batch", "/positions/batch", batchOf(b.claim(), b.claim().with("externalReference", "second")),
			map[string]string{"items": "items!", "atomic": "flag", "institutionId": "id"},
		},
		{
			"POST /positions/transitions/batch", "/positions/transitions/batch",
			batchOf(step("FUNDED").with("positionId", aPosition(t, b)[0]), step("PARTIALLY_RELEASED").with("positionId", aPosition(t, b)[0]).with("ifVersion", 2)),
			map[string]string{"items": "items!", "atomic": "flag", "institutionId": "id"},
		},
		{
			"PUT /institutions/{id}/approval-rules", institution + "/approval-rules", newRules(b), map[string]string{"rules": "list!"},
		},
		{"POST /approvals/{id}/reject", "/approvals/" + anApproval(t, b)[0] + "/reject", newComment(b), map[string]string{"comment": "reason!"}},
		{"POST /approvals/{id}/approve", "/approvals/" + anApproval(t, b)[0] + "/approve", wrongDigest(b), map[string]string{"digest": "text!", "comment": "reason"}},
		{"POST /approvals/{id}/erase", "/approvals/" + aWithdrawn(t, b)[0] + "/erase", noFields(b), map[string]string{"reason": "reason"}},
		{
			"POST /positions/{id}/holds", "/positions/" + aPosition(t, b)[0] + "/holds", newHold(b),
			map[string]string{"kind": "word!", "amount": "form", "reason": "reason!", "reference": "text", "reviewAt": "future", "institutionId": "id"},
		},
		{"POST /positions/{id}/holds/{holdId}/lift", liftPath(t, b), newReason(b), map[string]string{"reason": "reason!"}},
		{
			"POST /holds", "/holds", newHolderHold(b),
			map[string]string{"holderReference": "text!", "kind": "word!", "reason": "reason!", "reference": "text", "institutionId": "id"},
		},
		{"POST /positions/{id}/erase", "/positions/" + aReleased(t, b)[0] + "/erase", noFields(b), map[string]string{"reason": "reason"}},
		{"POST /erasures", "/erasures", newErasure(b), map[string]string{"holderReference": "text!", "dryRun": "flag"}},
	}
}

// isOperators reports whether only the operator may send the form.
func (f form) isOperators() bool {
	return f.route == "POST /institutions" || f.route == "PATCH /institutions/{id}"
}

// wrongValues are JSON that a kind of field must refuse.
func wrongValues(kind string) []string {
	kind, required := strings.CutSuffix(kind, "!")
	digits := strings.Repeat("7", 400)
	numbers := []string{
		`-1`, `"-1"`, `-0`, `"-0"`, `-0.0`, `1e3`, `"1e3"`, `1E999999`, `1e-999999`, `"1E999999"`, digits, `"` + digits + `"`, `0.` + digits,
		`"NaN"`, `"Infinity"`, `"0x10"`, `"1,000"`, `"1."`, `".5"`, `"01"`, `"+1"`, `" 1"`, `"1 "`, `"१"`, `""`, `"one"`, `true`, `[]`, `[1]`, `{}`,
	}
	permissions := []string{
		`1`, `"positions.read"`, `{}`, `[1]`, `[null]`, `[["positions.read"]]`, `["nothing"]`, `["positions.read","positions.read"]`, `[""]`,
		`["positions.read "]`, `["metrics.read"]`, `["institutions.create"]`,
	}
	wrong := map[string][]string{
		"permissions":       append([]string{`[]`}, permissions...),
		"permissionsOrNone": permissions,
		"networks": {
			`1`, `"192.0.2.1"`, `{}`, `[]`, `[1]`, `[null]`, `[""]`, `["x"]`, `["192.0.2.1/24"]`, `["192.0.2.0/33"]`, `["::ffff:192.0.2.0/120"]`, `["fe80::1%eth0"]`,
			`["192.0.2.1","192.0.2.1/32"]`, manyOf(`"192.0.2.%d"`),
		},
		"ids":        {`1`, `"x"`, `{}`, `[]`, `[1]`, `[null]`, `[""]`, `["x"]`, `["pos_01jd8m3q5yf7wbt0x4a2k9r6ce"]`, manyOf(`"ast_%d"`)},
		"references": {`1`, `"x"`, `{}`, `[]`, `[1]`, `[null]`, `[""]`, `["  "]`, `["a\u0007"]`, `["a","a"]`, `["a"," a "]`, manyOf(`"%d"`)},
		"text":       {`1`, `true`, `[]`, `{}`, `["a"]`, `""`, `"   "`, `"\u0000"`, `"a\u0007b"`, `"a\nb"`, `"\u007f"`, `"x\u0085x"`, `"` + strings.Repeat("é", 256) + `"`},
		"issuer": {
			`1`, `true`, `[]`, `{}`, `""`, `"x"`, `"http://login.example.com"`, `"https://"`, `"https://a.example?x"`, `"https://a.example#x"`, `"https://a b"`,
			`"https://u@a.example"`, `"ftp://a.example"`, `"\u0000"`, `"https://é.example"`, `"https://` + strings.Repeat("a", 250) + `"`,
		},
		"secret": {`1`, `true`, `[]`, `{}`, `"a\u0000"`, `"` + strings.Repeat("é", 1001) + `"`},
		// What things are called can be changed, and not removed.
		"renamed":  {`null`, `1`, `true`, `[]`, `{}`, `""`, `"   "`, `"\u0000"`, `"\u202e"`},
		"patch":    {`1`, `"x"`, `true`, `[]`, `[{}]`, nested(11), `{"a":"` + strings.Repeat("x", 64<<10) + `"}`, `{"a":"\u0000"}`, `{"\u0001":1}`},
		"reason":   {`1`, `{}`, `""`, `"a\u0000"`, `"` + strings.Repeat("é", 1001) + `"`},
		"word":     {`1`, `true`, `[]`, `{}`, `""`, `"nothing"`, `"US "`, `"us"`, `"\u0000"`},
		"country":  {`1`, `[]`, `{}`, `""`, `"D"`, `"DEU"`, `"ZZ"`, `"XK"`, `"276"`, `"Germany"`, `"\u0000"`},
		"currency": {`1`, `[]`, `{}`, `""`, `"US"`, `"USDX"`, `"XXZ"`, `"$"`, `"ＵＳＤ"`, `"\u0000"`},
		"id":       {`1`, `true`, `[]`, `{}`, `"x"`, `"pos_"`, `"inst_01JD8M3Q5YF7WBT0X4A2K9R6CE"`, `"inst_81jd8m3q5yf7wbt0x4a2k9r6ce"`, `"entry_01jd8m3q5yf7wbt0x4a2k9r6ce"`, `"\u0000"`},
		"words":    {`1`, `"US"`, `{}`, `[]`, `[1]`, `[null]`, `[["US"]]`, `["nothing"]`, `["US","US"]`, `["CONSTRUCTION","CONSTRUCTION"]`, `["usd","USD"]`, `[""]`},
		"future":   {`1`, `true`, `{}`, `""`, `"tomorrow"`, `"2020-01-01T00:00:00Z"`, `"2099-01-01"`, `"2099-01-01T00:00:00"`, `"2099-02-30T00:00:00Z"`, `"2099-01-01T24:00:00Z"`, `"10000-01-01T00:00:00Z"`, `"0000-01-01T00:00:00Z"`},
		"whole":    {`-1`, `1.5`, `1.0`, `1e2`, `"1"`, `true`, `[]`, `{}`, `2592001`, `9223372036854775808`, digits, `1E999999`},
		"days":     {`0`, `-1`, `-0`, `1.5`, `"1"`, `true`, `[]`, `{}`, `36526`, digits, `1E999999`},
		"flag":     {`0`, `1`, `"true"`, `""`, `[]`, `{}`},
		"items":    {`1`, `"x"`, `true`, `{}`, `[]`, "[" + strings.Repeat("{},", 1000) + "{}]"},
		"bounds":   {`1`, `"x"`, `true`, `[]`, `[{}]`, `{"USD":true}`, `{"USD":[1]}`, `{"USD":{}}`},
		"list":     {`1`, `"x"`, `true`, `{}`},
		"object":   {`1`, `"x"`, `true`, `[]`, `[{}]`},
		"metadata": {`1`, `"x"`, `true`, `[]`, `[{}]`, nested(11), `{"a":"` + strings.Repeat("x", 64<<10) + `"}`, `{"a":"\u0000"}`, `{"\u0001":1}`},
		// A bound may be 0, and has at most four decimals.
		"digits": append([]string{`0.00001`, `1000000000000001`}, numbers...),
		// Of an amount without its position, only the form is known.
		"form":       numbers,
		"amount":     append([]string{`0`, `"0.00"`, `0.001`, `"1.000"`, `1000000000000001`, `1000000000000000.01`}, numbers...),
		"percentage": append([]string{`100.01`, `101`, `0.00001`}, numbers...),
	}[kind]
	if required {
		wrong = append(wrong, `null`)
	}
	return wrong
}

// manyOf is an array of more values than a restriction takes.
func manyOf(format string) string {
	values := make([]string, 31)
	for i := range values {
		values[i] = fmt.Sprintf(format, i)
	}
	return "[" + strings.Join(values, ",") + "]"
}

// nested is an object that is so deep.
func nested(deep int) string {
	return strings.Repeat(`{"a":`, deep-1) + "{}" + strings.Repeat("}", deep-1)
}

func TestEveryFieldRefusesWhatItDoesNotTake(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	described := make(map[string]bool)
	for _, form := range forms(t, b) {
		described[form.route] = true
		method, _, _ := strings.Cut(form.route, " ")
		send := func(body string) apitest.Answer {
			client := b.Admin
			if form.isOperators() {
				client = s.Client
			}
			return client.Send(t, apitest.Request{Method: method, Path: form.path, Body: body})
		}
		for field, kind := range form.kinds {
			t.Run(form.route+" "+field, func(t *testing.T) {
				for _, value := range wrongValues(kind) {
					send(form.valid.with(field, raw(value)).String()).Refused(t, 422, "invalid_input", field)
				}
				if strings.HasSuffix(kind, "!") {
					send(form.valid.without(field).String()).Refused(t, 422, "invalid_input", field)
				}
			})
		}
		t.Run(form.route+" unknown fields", func(t *testing.T) {
			send(form.valid.with("surprise", 1).String()).Refused(t, 422, "invalid_input", "surprise")
			for field := range form.kinds {
				if object, _, nested := strings.Cut(field, "."); nested {
					send(form.valid.with(object+".surprise", 1).String()).Refused(t, 422, "invalid_input", object+".surprise")
					// A name in another case is another name.
					send(form.valid.with(strings.ToUpper(field[:1])+field[1:], 1).String())
				}
			}
		})
	}
	for _, route := range contractTable {
		if route.body != nil && !described[route.route] {
			t.Errorf("the test does not know the body of %s", route.route)
		}
	}
}

// A null is the same as no value: some clients write their optional fields so. The
// document does not tell of it, and so the check against it is left out.
func TestNullIsNoValue(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	for _, form := range forms(t, b) {
		object := form.valid
		for field, kind := range form.kinds {
			// A key must have some rights, and a restriction must restrict something.
			if !strings.HasSuffix(kind, "!") && kind != "renamed" && kind != "permissions" && !strings.HasPrefix(field, "restrict.") {
				object = object.with(field, nil)
			}
		}
		method, _, _ := strings.Cut(form.route, " ")
		client := b.Admin
		if form.isOperators() {
			client = s.Client
		}
		client.Check = nil
		if answer := client.Send(t, apitest.Request{Method: method, Path: form.path, Body: object.String()}); answer.Status >= 400 && answer.Status != 409 {
			t.Errorf("%s with %s is answered with %s", form.route, object, answer)
		}
	}
}

func TestBodiesThatAreNoJSON(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	valid := b.claim().String()
	for name, body := range map[string]string{
		"nothing":                     " ",
		"half an object":              valid[:len(valid)-1],
		"a text that does not end":    `{"amount": "1`,
		"a comma too many":            `{"amount": 1,}`,
		"no quotes":                   `{amount: 1}`,
		"single quotes":               `{'amount': 1}`,
		"a comment":                   `{/* no */}`,
		"NaN":                         `{"amount": NaN}`,
		"Infinity":                    `{"amount": -Infinity}`,
		"a number with a leading 0":   `{"amount": 01}`,
		"a hexadecimal number":        `{"amount": 0x10}`,
		"a plus":                      `{"amount": +1}`,
		"garbage behind it":           valid + "x",
		"a second value":              valid + valid,
		"a duplicate name":            `{"amount": 1, "amount": 2}`,
		"a duplicate name, escaped":   `{"amount": 1, "\u0061mount": 2}`,
		"a duplicate name, far down":  `{"metadata": {"a": {"b": 1, "b": 2}}}`,
		"invalid UTF-8":               "{\"holderReference\": \"\xff\"}",
		"invalid UTF-8 in a name":     "{\"\xc3\x28\": 1}",
		"UTF-16":                      "{\x00}\x00",
		"a byte order mark":           "\ufeff" + valid,
		"a lone surrogate":            `{"holderReference": "\ud800"}`,
		"surrogates in the wrong way": `{"holderReference": "\udc00\ud800"}`,
		"a raw control character":     "{\"holderReference\": \"a\tb\"}",
		"a raw NUL":                   "{\"holderReference\": \"a\x00b\"}",
		"100,000 arrays":              strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
		"100,000 objects":             strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000),
		"100,000 objects in metadata": `{"metadata":` + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + "}",
		"HTML":                        "<html></html>",
		"a form":                      "amount=1&currency=USD",
	} {
		t.Run(name, func(t *testing.T) {
			for _, form := range forms(t, b) {
				method, _, _ := strings.Cut(form.route, " ")
				s.Send(t, apitest.Request{Method: method, Path: form.path, Body: body}).Refused(t, 400, "malformed_body")
			}
		})
	}
	t.Run("no body at all", func(t *testing.T) {
		b.Admin.Post(t, "/positions", "", "Content-Type: application/json").Refused(t, 400, "malformed_body")
	})
	t.Run("JSON that is no object", func(t *testing.T) {
		for _, body := range []string{`[]`, `"x"`, `1`, `null`, `true`, "[" + valid + "]", strings.Repeat("[", 5000) + strings.Repeat("]", 5000)} {
			b.Admin.Post(t, "/positions", body).Refused(t, 422, "invalid_input", "body",
				"assetId", "holderReference", "currency", "amount")
		}
	})
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	b.Admin.Post(t, "/positions?colour=red&institutionId=x&institutionId=y", `{
		"assetId": "ast_x", "holderReference": "", "currency": "dollars", "amount": -1, "externalReference": " ",
		"expiresAt": "soon", "metadata": [], "institutionId": "bank", "surprise": {"a": 1}, "Amount": 1
	}`, "Idempotency-Key: a b").Refused(t, 422, "invalid_input", "assetId", "holderReference", "currency", "amount", "externalReference",
		"expiresAt", "metadata", "institutionId", "surprise", "Amount", "colour", "Idempotency-Key")

	position := b.position(t).Text("id")
	b.transition(t, position, fields{
		"toState": "GONE", "amount": "much", "reason": "", "metadata": 1, "institutionId": 1, "surprise": nil,
	}, "If-Match: 3").Refused(t, 422, "invalid_input", "toState", "amount", "reason", "metadata", "institutionId", "surprise", "If-Match")

	b.Admin.Get(t, "/positions?limit=0&cursor=x&order=up&createdFrom=a&createdTo=b&assetId=c&state=d&currency=e&include=f&colour=g&institutionId=h").
		Refused(t, 422, "invalid_input", "limit", "cursor", "order", "createdFrom", "createdTo", "assetId", "state", "currency", "include",
			"colour", "institutionId")
}

// A request with a thousand faults must neither cost nor be answered more than one
// with a few.
func TestFaultsAreBounded(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	var body strings.Builder
	for i := 0; body.Len() < 1<<20-100; i++ {
		fmt.Fprintf(&body, `"%x":0,`, i)
	}
	answer := b.Admin.Post(t, "/positions", "{"+strings.TrimSuffix(body.String(), ",")+"}").Want(t, 422)
	if count := len(answer.Problem(t).Errors); count > 200 || len(answer.Body) > 64<<10 {
		t.Errorf("there are %d errors in %d bytes", count, len(answer.Body))
	}
	answer = b.Admin.Post(t, "/positions", b.claim().with(strings.Repeat("é", 100_000), 1).String()).Want(t, 422)
	if len(answer.Body) > 2000 {
		t.Errorf("the answer repeats a name in %d bytes", len(answer.Body))
	}
}

func TestMediaTypes(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	for contentType, status := range map[string]int{
		"application/json":                   201,
		"application/json; charset=utf-8":    201,
		`application/json;charset="UTF-8"`:   201,
		"Application/JSON":                   201,
		"application/json; charset=latin1":   415,
		"application/json; charset=utf-16":   415,
		"application/json;":                  201,
		"application/jsonp":                  415,
		"application/problem+json":           415,
		"application/merge-patch+json":       415,
		"text/plain":                         415,
		"text/json":                          415,
		"application/x-www-form-urlencoded":  415,
		"multipart/form-data; boundary=x":    415,
		"application/json, application/json": 415,
		"json":                               415,
		"*/*":                                415,
		"":                                   415,
	} {
		answer := b.Admin.Post(t, "/positions", b.claim().String(), "Content-Type: "+contentType)
		if status == 415 {
			answer.Refused(t, 415, "unsupported_media_type")
		} else if answer.Status != status {
			t.Errorf("%q is answered with %s, want %d", contentType, answer, status)
		}
	}
	t.Run("two types", func(t *testing.T) {
		b.Admin.Post(t, "/positions", b.claim().String(), "Content-Type: application/json", "Content-Type: application/json").
			Refused(t, 415, "unsupported_media_type")
	})
	t.Run("content codings", func(t *testing.T) {
		b.Admin.Post(t, "/positions", b.claim().String(), "Content-Encoding: identity").Want(t, 201)
		for _, coding := range []string{"gzip", "br", "identity, gzip", "", "deflate"} {
			refused := b.Admin.Post(t, "/positions", b.claim().String(), "Content-Encoding: "+coding)
			refused.Refused(t, 415, "unsupported_media_type")
			if accepted := refused.Header.Get("Accept-Encoding"); accepted != "identity" {
				t.Errorf("%q is answered with Accept-Encoding %q", coding, accepted)
			}
		}
	})
	t.Run("a request without a body needs none", func(t *testing.T) {
		key := aKey(t, b)[0]
		b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys/"+key+"/rotate", "").Want(t, 201)
		b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys/"+key+"/revoke", "").Want(t, 200)
	})
	t.Run("no type at all", func(t *testing.T) {
		s.exchange(t, "POST /positions HTTP/1.1\r\nHost: x\r\nX-API-KEY: "+b.Admin.Key+"\r\nContent-Length: 2\r\n\r\n{}", 415)
	})
}

// exchange sends bytes as they are and reads one answer.
func (s *service) exchange(t *testing.T, request string, status int) *http.Response {
	t.Helper()
	connection := s.dial(t)
	if _, err := connection.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, connection, status)
}

func (s *service) dial(t *testing.T) net.Conn {
	t.Helper()
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return connection
}

func readAnswer(t *testing.T, connection net.Conn, status int) *http.Response {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != status {
		t.Errorf("the answer is %s, want %d", response.Status, status)
	}
	return response
}

func TestLargeBodies(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	const mebibyte = 1 << 20
	claim := b.claim().String()
	padded := func(size int) string { return claim + strings.Repeat(" ", size-len(claim)) }
	send := func(t *testing.T, body string, chunked bool) apitest.Answer {
		t.Helper()
		r := apitest.Request{Method: http.MethodPost, Path: "/positions", Body: body, Chunked: chunked}
		return b.Admin.Send(t, r)
	}
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked %t", chunked), func(t *testing.T) {
			send(t, padded(mebibyte), chunked).Want(t, 201)
			send(t, padded(mebibyte+1), chunked).Refused(t, 413, "body_too_large")
			send(t, padded(10*mebibyte), chunked).Refused(t, 413, "body_too_large")
			send(t, strings.Repeat("x", 10*mebibyte), chunked).Refused(t, 413, "body_too_large")
		})
	}
	t.Run("who may not write need not send it", func(t *testing.T) {
		b.ReadOnly.Post(t, "/positions", padded(2*mebibyte)).Refused(t, 403, "permission_missing")
		s.As("").Post(t, "/positions", padded(2*mebibyte)).Refused(t, 401, "unauthorized")
	})
}

func TestBodiesThatDoNotArrive(t *testing.T) {
	const head = "POST /institutions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-API-KEY: " + rootKey + "\r\n"
	s := serve(t, onSQLite(t), impatient)
	t.Run("a body that stalls", func(t *testing.T) {
		response := s.exchange(t, head+"Content-Length: 100\r\n\r\n{\"amount\":", 408)
		if !response.Close {
			t.Error("the connection is kept although the rest of the body may still come")
		}
	})
	t.Run("a chunked body that stalls", func(t *testing.T) {
		s.exchange(t, head+"Transfer-Encoding: chunked\r\n\r\n5\r\n{\"amo", 408)
	})
	s = serve(t, onSQLite(t), nil) // What ends is not waited for.
	t.Run("a body that breaks off", func(t *testing.T) {
		connection := s.dial(t)
		if _, err := connection.Write([]byte(head + "Content-Length: 100\r\n\r\n{\"amount\":")); err != nil {
			t.Fatal(err)
		}
		if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		readAnswer(t, connection, 400)
	})
	t.Run("chunks that are none", func(t *testing.T) {
		s.exchange(t, head+"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", 400)
	})
}

// Metadata is its client's, to the byte.
func TestMetadataIsAnsweredAsItWasSent(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		const metadata = `{"a\/b":"\u00e9<&\u2028\/","n":1.50e+2}`
		asset := b.Admin.Post(t, "/assets", fmt.Sprintf(`{"templateId":%q,"label":"Tower","metadata":%s}`, b.Template, metadata)).Want(t, 201)
		position := b.Admin.Post(t, "/positions", strings.Replace(b.claim().String(), "{", `{"metadata":`+metadata+`,`, 1)).Want(t, 201)
		id := position.Text("id")
		batch := fmt.Sprintf(`{"items":[%s]}`, strings.Replace(b.claim().String(), "{", `{"metadata":`+metadata+`,`, 1))
		moved := fmt.Sprintf(`{"toState":"FUNDED","metadata":%s}`, metadata)
		for name, answer := range map[string]apitest.Answer{
			"asset": asset, "asset again": b.Admin.Get(t, "/assets/"+asset.Text("id")), "assets": b.Admin.Get(t, "/assets"),
			"position": position, "position again": b.Admin.Get(t, "/positions/"+id), "positions": b.Admin.Get(t, "/positions"),
			"batch": b.Admin.Post(t, "/positions/batch", batch), "transition": b.Admin.Post(t, "/positions/"+id+"/transition", moved),
			"ledger": b.Admin.Get(t, "/ledger-events"), "audit": b.Admin.Get(t, "/audit-events"),
		} {
			if !strings.Contains(string(answer.Body), `"metadata":`+metadata) {
				t.Errorf("%s: %s", name, answer.Body)
			}
		}
	})
}

func TestQueriesThatAreWrong(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		lists := []string{
			"/institutions", "/institutions/" + b.ID + "/api-keys", "/institutions/" + b.ID + "/policies", "/asset-templates",
			"/assets", "/positions", "/ledger-events", "/audit-events",
		}
		for query, field := range map[string]string{
			"limit=0": "limit", "limit=1001": "limit", "limit=-1": "limit", "limit=x": "limit", "limit=1.5": "limit", "limit=1e2": "limit",
			"limit=9999999999999999999": "limit", "limit=%2B5": "limit", "limit=%2010": "limit",
			"limit=1&limit=2": "limit", "cursor=x": "cursor", "cursor=%00": "cursor", "cursor=" + strings.Repeat("A", 23): "cursor",
			// 22 characters hold 132 bits: the last four of them must be 0.
			"cursor=" + strings.Repeat("A", 21) + "B": "cursor",
			"cursor=" + strings.Repeat("A", 5000):     "cursor",
			"order=up":                                "order", "order=ASC": "order", "order=asc&order=asc": "order",
			"createdFrom=yesterday": "createdFrom", "createdFrom=2027-01-31": "createdFrom", "createdTo=2027-01-31T12:00:00": "createdTo",
			"createdTo=2027-01-31T12:00:00+01:00": "createdTo",
			"createdTo=99999-01-31T12:00:00Z":     "createdTo",
			// An empty filter chooses nothing, and must not choose everything.
			"limit=": "limit", "cursor=": "cursor", "order=": "order", "createdFrom=": "createdFrom", "createdTo=%20": "createdTo",
			"colour=red": "colour", "Limit=1": "Limit", "limit%00=1": "limit\x00", "=1": "",
		} {
			for _, list := range lists {
				b.Admin.Get(t, list+"?"+query).Refused(t, 422, "invalid_input", field)
			}
		}
		t.Run("what cannot be decoded", func(t *testing.T) {
			for _, query := range []string{"state=FUNDED;currency=USD", "currency=%zz", "%zz=1", "holderReference=%", "institutionId=%f"} {
				for _, path := range append(lists, "/positions/x", "/assets/x") {
					b.Admin.Get(t, path+"?"+query).Refused(t, 422, "invalid_input", "query")
				}
				b.Admin.Post(t, "/positions?"+query, b.claim().String()).Refused(t, 422, "invalid_input", "query")
			}
		})
		t.Run("a name that is no text", func(t *testing.T) {
			b.Admin.Get(t, "/positions?%ff=1").Refused(t, 422, "invalid_input", "\ufffd")
		})
		t.Run("filters that are no text", func(t *testing.T) {
			for path, names := range map[string][]string{
				"/positions":                          {"assetId", "holderReference", "externalReference", "state", "currency", "include", "institutionId"},
				"/ledger-events":                      {"positionId", "kind", "institutionId"},
				"/audit-events":                       {"actor", "kind", "subject", "outcome", "institutionId"},
				"/audit-events?outcome=refused":       {"actor", "institutionId"},
				"/assets":                             {"templateId", "institutionId"},
				"/asset-templates":                    {"institutionId"},
				"/institutions/" + b.ID + "/api-keys": {"includeRevoked"},
			} {
				for _, name := range names {
					for _, value := range []string{"", "%20", "%00", "%ff", "a%00b", "%c3%28", "%ed%a0%80", "%1f", "%7f"} {
						join := map[bool]string{true: "&", false: "?"}[strings.Contains(path, "?")]
						s.Get(t, path+join+name+"="+value).Want(t, 422)
					}
				}
			}
		})
		t.Run("filters that match nothing", func(t *testing.T) {
			for _, query := range []string{
				"holderReference=" + strings.Repeat("x", 5000), "holderReference=%27%20OR%201=1--", "externalReference=%F0%9F%92%B0",
				"assetId=ast_01jd8m3q5yf7wbt0x4a2k9r6ce", "state=EXPIRED", "currency=jpy", "createdTo=1970-01-01T00:00:00Z",
				"createdFrom=9999-12-31T23:59:59Z",
			} {
				if got := b.Admin.Get(t, "/positions?"+query).Want(t, 200); len(got.Texts(t, "id")) != 0 || got.Text("pagination.nextCursor") != "" {
					t.Errorf("%s: %s", query, got)
				}
			}
		})
		t.Run("parameters of single resources", func(t *testing.T) {
			position := "/positions/" + b.position(t).Text("id")
			for _, path := range []string{position, "/assets/" + b.Asset, "/asset-templates/" + b.Template} {
				b.Admin.Get(t, path+"?colour=red").Refused(t, 422, "invalid_input", "colour")
				b.Admin.Get(t, path+"?institutionId=x").Refused(t, 422, "invalid_input", "institutionId")
				s.Get(t, path).Refused(t, 422, "invalid_input", "institutionId")
				s.Get(t, path+"?institutionId="+b.ID+"&institutionId="+b.ID).Refused(t, 422, "invalid_input", "institutionId")
			}
			for _, form := range forms(t, b) {
				method, _, _ := strings.Cut(form.route, " ")
				s.Send(t, apitest.Request{Method: method, Path: form.path + "?colour=red", Body: form.valid.with("institutionId", b.ID).String()}).
					Want(t, 422)
			}
		})
	})
}

func TestIdsThatAreNone(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		ids := []string{
			"x", "0", "pos_", "%00", "%ff", "%2e%2e", "..%2f..", "pos_01jd8m3q5yf7wbt0x4a2k9r6c", "pos_01JD8M3Q5YF7WBT0X4A2K9R6CE", "pos_z1jd8m3q5yf7wbt0x4a2k9r6ce",
			"entry_01jd8m3q5yf7wbt0x4a2k9r6ce", "%F0%9F%92%B0", strings.Repeat("x", 8000), "'", "a%20b", "{id}", "*",
		}
		for _, id := range ids {
			b.Admin.Get(t, "/positions/"+id).Refused(t, 404, "position_not_found")
			b.Admin.Post(t, "/positions/"+id+"/transition", step("FUNDED").String()).Refused(t, 404, "position_not_found")
			b.Admin.Get(t, "/assets/"+id).Refused(t, 404, "asset_not_found")
			b.Admin.Get(t, "/asset-templates/"+id).Refused(t, 404, "asset_template_not_found")
			s.Get(t, "/institutions/"+id).Refused(t, 404, "institution_not_found")
			s.Get(t, "/institutions/"+id+"/api-keys").Refused(t, 404, "institution_not_found")
			s.Post(t, "/institutions/"+id+"/api-keys", newKey(b).String()).Refused(t, 404, "institution_not_found")
			b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys/"+id+"/revoke", "").Refused(t, 404, "api_key_not_found")
			b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys/"+id+"/rotate", "").Refused(t, 404, "api_key_not_found")
			b.Admin.Get(t, "/institutions/"+b.ID+"/policies/"+id).Refused(t, 404, "policy_not_found")
			b.Admin.Put(t, "/institutions/"+b.ID+"/policies/"+id, newPolicy(b).String()).Refused(t, 422, "invalid_input", "region")
		}
		for _, id := range []string{b.Asset, b.Template, b.ID, slices.Max(ids)} {
			b.Admin.Get(t, "/positions/"+id).Refused(t, 404, "position_not_found")
		}
	})
}
