package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

func TestIfMatch(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for _, test := range []struct {
			headers []string
			status  int
		}{
			{nil, 200},
			{[]string{"If-Match: *"}, 200},
			{[]string{`If-Match: "2"`}, 200},
			{[]string{`If-Match: "1", "2"`}, 200},
			{[]string{`If-Match: "1","2","9"`}, 200},
			{[]string{`If-Match: "1"`, `If-Match: "2"`}, 200},
			{[]string{`If-Match: "1"`}, 412},
			{[]string{`If-Match: "3"`}, 412},
			{[]string{`If-Match: "x"`}, 412},
			{[]string{`If-Match: ""`}, 412},
			// A tag is compared as it stands, and never weakly.
			{[]string{`If-Match: W/"2"`}, 412},
			{[]string{`If-Match: "02"`}, 412},
			{[]string{`If-Match: "+2"`}, 412},
			{[]string{`If-Match: "99999999999999999999"`}, 412},
			{[]string{`If-Match:`}, 422},
			{[]string{`If-Match: ,`}, 422},
			{[]string{`If-Match: 2`}, 422},
			{[]string{`If-Match: "2`}, 422},
			{[]string{`If-Match: "`}, 422},
		} {
			id := b.position(t, "FUNDED").Text("id")
			answer := b.transition(t, id, step("RELEASED"), test.headers...)
			switch test.status {
			case 412:
				answer.Refused(t, 412, "version_mismatch")
			case 422:
				answer.Refused(t, 422, "invalid_input", "If-Match")
			default:
				if answer.Status != 200 || answer.Header.Get("ETag") != `"3"` {
					t.Errorf("%q is answered with %s and the ETag %s", test.headers, answer, answer.Header.Get("ETag"))
				}
			}
		}
		t.Run("the version comes before the state", func(t *testing.T) {
			b.transition(t, b.position(t).Text("id"), step("RELEASED"), `If-Match: "2"`).Refused(t, 412, "version_mismatch")
		})
	})
}

// Who sends a precondition believes that it is looked at.
func TestPreconditionsThatNobodyLooksAt(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	id := b.position(t).Text("id")
	for _, header := range []string{
		`If-Match: "1"`, `If-Match: *`, `If-Match:`, `If-None-Match: *`, `If-Unmodified-Since: Mon, 30 Nov 2026 08:00:00 GMT`,
	} {
		name, _, _ := strings.Cut(header, ":")
		for path, body := range map[string]string{
			"/positions":                          b.claim().String(),
			"/positions/batch":                    fmt.Sprintf(`{"items":[%s]}`, b.claim()),
			"/positions/transitions/batch":        fmt.Sprintf(`{"items":[{"positionId":%q,"toState":"FUNDED"}]}`, id),
			"/institutions/" + b.ID + "/api-keys": newKey(b).String(),
			"/asset-templates":                    templateOf("CONSTR_ESCROW").String(),
		} {
			b.Admin.Post(t, path, body, header).Refused(t, 422, "invalid_input", name)
		}
		b.Admin.Put(t, "/institutions/"+b.ID+"/policies/US", newPolicy(b).String(), header).Refused(t, 422, "invalid_input", name)
	}
	b.transition(t, id, step("FUNDED"), `If-None-Match: "7"`).Refused(t, 422, "invalid_input", "If-None-Match")
}

// A condition on a query that is false, cannot be read or cannot be met is never answered with 200:
// with 412 where the answer has an ETag, and with 422 elsewhere.
func TestIfMatchOnEveryQuery(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		s.signCheckpoints()
		for _, route := range contractTable {
			if !strings.HasPrefix(route.route, "GET ") {
				continue
			}
			r := route.request(t, b, b, root, own)
			send := func(method, header string) apitest.Answer {
				r.Method, r.Headers = method, []string{header}
				return s.Send(t, r)
			}
			tag := s.Send(t, r).Want(t, route.status).Header.Get("ETag")

			send("GET", "If-Match:").Refused(t, 422, "invalid_input", "If-Match")
			send("GET", "If-Match: 1").Refused(t, 422, "invalid_input", "If-Match")
			send("GET", "If-Unmodified-Since: Mon, 30 Nov 2026 08:00:00 GMT").Refused(t, 422, "invalid_input", "If-Unmodified-Since")
			if tag == "" {
				send("GET", `If-Match: "no such version"`).Refused(t, 422, "invalid_input", "If-Match")
				send("GET", `If-Match: *`).Refused(t, 422, "invalid_input", "If-Match")
				send("HEAD", `If-Match: "no such version"`).Want(t, 422)
				continue
			}
			send("GET", `If-Match: "no such version"`).Refused(t, 412, "version_mismatch")
			send("GET", "If-Match: W/"+tag).Refused(t, 412, "version_mismatch")
			send("HEAD", `If-Match: "no such version"`).Want(t, 412)
			send("GET", "If-Match: *").Want(t, 200)
			send("GET", `If-Match: "no such version", `+tag).Want(t, 200)
			if got := send("GET", "If-None-Match: "+tag).Want(t, 304).Header.Get("ETag"); got != tag {
				t.Errorf("%s: 304 has the ETag %s, not %s", route.route, got, tag)
			}
			// The first of the two decides.
			r.Headers = []string{`If-Match: "no such version"`, "If-None-Match: " + tag}
			s.Send(t, r).Refused(t, 412, "version_mismatch")
		}
	})
}

func TestIfNoneMatch(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		path := "/positions/" + b.position(t, "FUNDED").Text("id")
		for header, status := range map[string]int{
			`"2"`: 304, `*`: 304, `"1", "2"`: 304, `W/"2"`: 304, `"1",W/"2"`: 304,
			`"1"`: 200, `"3"`: 200, `W/"1"`: 200, `2`: 200, `""`: 200, `nonsense`: 200,
		} {
			answer := b.Admin.Get(t, path, "If-None-Match: "+header)
			if answer.Status != status || answer.Header.Get("ETag") != `"2"` || status == 304 && len(answer.Body) > 0 {
				t.Errorf("%s is answered with %s and the ETag %s, want %d", header, answer, answer.Header.Get("ETag"), status)
			}
		}
		b.Admin.Get(t, "/positions/pos_01jd8m3q5yf7wbt0x4a2k9r6ce", "If-None-Match: *").Refused(t, 404, "position_not_found")
	})
}
