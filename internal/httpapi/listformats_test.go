package httpapi_test

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// rowsOf reads CSV, whose lines must end as RFC 4180 has it.
func rowsOf(t *testing.T, answer apitest.Answer) [][]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(answer.Body)).ReadAll()
	if err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	if lines := bytes.Count(answer.Body, []byte("\n")); lines != bytes.Count(answer.Body, []byte("\r\n")) || lines < len(rows) {
		t.Errorf("%d lines do not end in both characters", lines)
	}
	return rows
}

// As CSV the lists say the same as in JSON, page by page.
func TestListsAsCSV(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for _, text := range []string{"=HYPERLINK(1)", "-1", "plain, \"text\"", "two\u2028lines"} {
			position := b.Admin.Post(t, "/positions", b.claim().
				with("holderReference", text).with("externalReference", text).with("metadata", raw(`{"a":"b,c"}`)).
				with("expiresAt", "2999-01-31T12:00:00Z").String()).Want(t, 201).Text("id")
			b.transition(t, position, step("FUNDED").with("reason", text), "X-Request-Id: -1").Want(t, 200)
		}
		b.position(t)
		for list, unsafe := range map[string][]string{
			"/positions?": {"holderReference", "externalReference"},
			"/positions?updatedFrom=2020-01-01T00:00:00Z": {"holderReference", "externalReference"},
			"/positions?state=FUNDED,CREATED&order=desc":  {"holderReference", "externalReference"},
			"/ledger-events?": {"reason", "requestId"},
			"/ledger-events?kind=POSITION_STATE_CHANGED": {"reason", "requestId"},
		} {
			whole := b.ReadOnly.Get(t, list+"&limit=1000").Want(t, 200)
			var got [][]string
			answer := b.ReadOnly.Get(t, list+"&limit=2", "Accept: text/csv").Want(t, 200)
			for more := true; more; {
				if kind := answer.Header.Get("Content-Type"); kind != "text/csv; charset=utf-8" || !slices.Contains(answer.Header.Values("Vary"), "Accept") {
					t.Errorf("%s is a %q that varies by %q", list, kind, answer.Header.Values("Vary"))
				}
				rows := rowsOf(t, answer)
				if len(got) > 0 && !slices.Equal(rows[0], got[0]) {
					t.Errorf("a later page of %s begins with %q", list, rows[0])
				}
				got = append(got, rows[min(len(got), 1):]...)
				link, linked := strings.CutSuffix(answer.Header.Get("Link"), `>; rel="next"`)
				if more = linked; more {
					answer = b.ReadOnly.Get(t, strings.TrimPrefix(link, "<"), "Accept: text/csv").Want(t, 200)
				}
			}

			var page struct{ Data []map[string]any }
			whole.Decode(t, &page)
			want := [][]string{got[0]}
			for i := range page.Data {
				var row []string
				for _, name := range got[0] {
					value := whole.Text("data." + fmt.Sprint(i) + "." + name)
					if value != "" && strings.ContainsAny(value[:1], "=-") && slices.Contains(unsafe, name) {
						value = "'" + value
					}
					row = append(row, value)
				}
				want = append(want, row)
			}
			if diff := cmp.Diff(want, got); diff != "" || len(got) < 5 {
				t.Errorf("%s: JSON (-) and CSV (+):\n%s", list, diff)
			}
			for _, item := range page.Data {
				for name := range item {
					if !slices.Contains(got[0], name) {
						t.Errorf("%s: there is no column %s", list, name)
					}
				}
			}
		}
	})
}

func TestFormatsOfLists(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	b.position(t)
	const json, csv = "application/json", "text/csv; charset=utf-8"
	for _, list := range []string{"/positions", "/ledger-events"} {
		for _, test := range []struct{ query, accept, want string }{
			{"", "", json},
			{"", "*/*", json},
			{"", "application/*", json},
			{"", "text/*", csv},
			{"", "Text/CSV", csv},
			{"", "text/csv, application/json;q=0.5", csv},
			{"", "application/json, text/csv", json},
			{"", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", json},
			{"", "application/json;q=0, text/csv", csv},
			{"", "application/json;q=0, */*;q=0.1", csv},
			{"", "text/csv;q=0, */*", json},
			{"", "text/html;q=0.1, application/json", json},
			{"", "application/json; charset=utf-8", json},
			{"", "text/csv;header=present;q=0.9,application/json;q=0.1", csv},
			{"", " , ", json},
			{"", "text/html, image/gif, *; q=.2, */*; q=.2", json}, // as Java's HttpURLConnection has it
			{"?format=csv", "application/json", csv},
			{"?format=csv", "text/csv;q=0", csv},
			{"?format=json", "text/csv", json},
		} {
			answer := b.ReadOnly.Get(t, list+test.query, "Accept: "+test.accept).Want(t, 200)
			if got := answer.Header.Get("Content-Type"); got != test.want {
				t.Errorf("%s of the Accept %q is %q, want %q", list+test.query, test.accept, got, test.want)
			}
		}
		for _, accept := range []string{"application/xml", "text/html", "text/csv;q=0", "application/json;q=0", "*/*;q=0", "application/json;q=x", "text/csv;q=2", "x"} {
			b.ReadOnly.Get(t, list, "Accept: "+accept).Refused(t, 406, "not_acceptable")
		}
		b.ReadOnly.Get(t, list+"?format=xml").Refused(t, 422, "invalid_input", "format")
		b.ReadOnly.Get(t, list+"?format=csv&count=true").Refused(t, 422, "invalid_input", "count")
		head := b.ReadOnly.Send(t, apitest.Request{Method: http.MethodHead, Path: list + "?format=csv"}).Want(t, 200)
		if head.Header.Get("Content-Type") != csv || len(head.Body) != 0 {
			t.Errorf("HEAD of %s is answered with %q, %q", list, head.Header.Get("Content-Type"), head.Body)
		}
	}
	b.ReadOnly.Get(t, "/positions?format=csv&include=events").Refused(t, 422, "invalid_input", "include")
}
