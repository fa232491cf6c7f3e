package apitest

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestAnErrorDisclosesNothingInItsText(t *testing.T) {
	t.Parallel()
	const id = "req_rieytvry36logtwvpewtpanicq"
	for detail, want := range map[string]string{
		"There is none.":         "",
		"panic: index":           `the error discloses "panic"`,
		"The key egk_1 is none.": `the error discloses "egk_"`,
	} {
		a := Answer{
			Status: http.StatusNotFound,
			Header: http.Header{"Content-Type": {"application/problem+json"}, "X-Request-Id": {id}},
			Body: fmt.Appendf(nil,
				`{"type":"urn:escrowgrid:error:some_code","title":"T","status":404,"detail":%q,"code":"some_code","requestId":%q}`, detail, id),
		}
		if fault := a.problemFault("k" + strings.Repeat("x", 40)); fault != want {
			t.Errorf("of %q it says %q, want %q", detail, fault, want)
		}
	}
}
