package httpapi_test

import (
	"testing"
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
