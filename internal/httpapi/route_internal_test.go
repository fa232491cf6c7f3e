package httpapi

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// A method that is new to the API is a command in every respect, the description
// included.
func TestEveryMethodButThoseOfQueriesIsACommand(t *testing.T) {
	for method, want := range map[string]bool{
		http.MethodGet: false, http.MethodPost: true, http.MethodPut: true, http.MethodPatch: true, http.MethodDelete: true,
	} {
		r := route{pattern: method + " /assets/{id}", access: takes(escrow.PermissionAssetsUpdate), tenant: named}
		operation := r.describe()

		takesKey := slices.Contains(operation.RequestHeaders, idempotencyKeyHeader)
		replays := slices.Contains(operation.AnswerHeaders, replayedHeader)
		reused := slices.ContainsFunc(operation.Failures, func(f web.Failure) bool {
			return f.Code == string(escrow.CodeIdempotencyKeyReused)
		})
		if r.isCommand() != want || takesKey != want || replays != want || reused != want {
			t.Errorf("%s is a command: %t; it takes an Idempotency-Key: %t, may be a repetition: %t, of another request: %t; want %t",
				method, r.isCommand(), takesKey, replays, reused, want)
		}
	}
}

// What a route says of its tenant, its path, query and body can hold.
func TestRoutesCanNameTheirTenant(t *testing.T) {
	for _, r := range (&server{}).table() {
		names := false
		for _, part := range []any{r.operation.Query, r.operation.Body} {
			_, ok := part.(tenantNamer)
			names = names || ok
		}

		switch r.tenant {
		case noTenant, inPath, existingInPath:
			inPath := strings.HasPrefix(r.path(), "/institutions/{id}")
			if names || inPath != (r.tenant != noTenant) {
				t.Errorf("%s: query or body can name an institution: %t, the path: %t", r.pattern, names, inPath)
			}
		case named, existingNamed:
			if !names {
				t.Errorf("%s: neither query nor body can name an institution", r.pattern)
			}
		}
		if r.isJournaled() && (r.tenant == existingInPath || r.tenant == existingNamed) {
			t.Errorf("%s: a command finds out by itself whether its institution exists", r.pattern)
		}
	}
}

// Whatever a rule can stop, the operator can have carried out in an emergency. A DELETE has no body to say so in, and so
// must be what no rule is about.
func TestWhatCanWaitCanBeCarriedOutAtOnce(t *testing.T) {
	for _, r := range (&server{}).table() {
		if r.canWait() && !r.takesGlass() {
			t.Errorf("%s can wait for an approval, and its body has no room for breakGlass", r.pattern)
		}
	}
}

// The bound that is described, and by which bodies are read, is the domain's.
func TestBatchesHaveTheDomainsBound(t *testing.T) {
	for _, body := range []any{positionBatchBody{}, transitionBatchBody{}} {
		items, _ := reflect.TypeOf(body).FieldByName("Items")
		if got := items.Tag.Get("maxItems"); got != strconv.Itoa(escrow.MaxBatchItems) {
			t.Errorf("%T has at most %s items", body, got)
		}
	}
}
