package httpapi_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// What each dry run answers, the command then does.
func TestADryRunAnswersWhatTheCommandThenDoes(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for _, route := range contractTable {
			if !route.isJournaled() || route.endsSessions() {
				continue
			}
			t.Run(route.route, func(t *testing.T) {
				r := route.request(t, b, b, root, own)
				r.Headers = []string{"Dry-Run: true", "Idempotency-Key: not kept"}
				tried, again := s.Send(t, r), s.Send(t, r)
				r.Headers = nil
				done := s.Send(t, r)

				want := done.Status
				if want == http.StatusCreated || want == http.StatusNoContent {
					want = http.StatusOK
				}
				tried.Want(t, want)
				wantMember(t, tried, "dryRun", "true")
				wantMember(t, again, "judgedOn", tried.Text("judgedOn"))
				if tried.Text("judgedOn") == "" && want < 400 || tried.Header.Get("Location")+tried.Header.Get("ETag")+tried.Text("apiKey") != "" {
					t.Errorf("the dry run is answered with %v %s", tried.Header, tried)
				}
				if route.route == "POST /erasures" {
					return // What is not kept has no id.
				}
				if diff := cmp.Diff(lasting(t, done), lasting(t, tried)); diff != "" {
					t.Errorf("what was done and what was told before differ: %s", diff)
				}
			})
		}
	})
}

var passing = regexp.MustCompile(`\b([a-z]+)_[0-9a-hjkmnp-tv-z]{26}\b|\b\d{4}-\d\d-\d\dT[0-9:.]+Z|req_\w+`)

// lasting is an answer without what is made anew for each, and without what only one of both has.
func lasting(t *testing.T, a apitest.Answer) (members map[string]any) {
	t.Helper()
	if len(a.Body) == 0 {
		return map[string]any{}
	}
	if err := json.Unmarshal(passing.ReplaceAll(a.Body, []byte("$1")), &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dryRun", "judgedOn", "apiKey", "requestId"} {
		delete(members, name)
	}
	return members
}

func TestADryRunOfWhatTakesAnApproval(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	b.member(t, "approver", "Ana")
	position := b.position(t, "FUNDED").Text("id")
	b.setRules(t, rule("releases", "positions.release", "approver"), rule("keys", "keys.manage", "approver"))

	tried := b.transition(t, position, step("RELEASED"), "Dry-Run: true").Want(t, 202)
	wantMember(t, tried, "dryRun", "true")
	wantMember(t, tried, "status", "PENDING")
	b.Admin.Get(t, "/approvals/"+tried.Text("id")).Refused(t, 404, "approval_not_found")
	key := b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys", newKey(b).String(), "Dry-Run: true").Want(t, 202)
	wantMember(t, key, "apiKey", "")
	batch := batchOf(step("RELEASED").with("positionId", position), b.claim().without("currency").with("positionId", position).without("assetId").without("holderReference").with("toState", "FUNDED").without("amount"))
	refused := b.Admin.Post(t, "/positions/transitions/batch", batch.String(), "Dry-Run: true").Refused(t, 422, "batch_refused")
	wantMember(t, refused, "dryRun", "true")
}

func TestWhereADryRunIsRefused(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	b.Admin.Post(t, "/positions", b.claim().String(), "Dry-Run: yes").Refused(t, 422, "invalid_input", "Dry-Run")
	b.Admin.Post(t, "/sessions", "", "Dry-Run: true").Refused(t, 422, "invalid_input", "Dry-Run")
	b.Admin.Get(t, "/positions", "Dry-Run: true").Refused(t, 422, "invalid_input", "Dry-Run")
	s.Get(t, "/health", "Dry-Run: true").Refused(t, 422, "invalid_input", "Dry-Run")

	// What would be refused was refused to nobody, but who may not ask is told apart from that.
	before := s.Get(t, "/metrics")
	b.Admin.Post(t, "/positions", b.claim().with("assetId", "ast_01jd8m3q5yf7wbt0x4a2k9r6ce").String(), "Dry-Run: true").Refused(t, 404, "asset_not_found")
	b.ReadOnly.Post(t, "/positions", b.claim().String(), "Dry-Run: true").Refused(t, 403, "permission_missing")
	after := s.Get(t, "/metrics")
	for code, counts := range map[string]bool{"asset_not_found": false, "permission_missing": true} {
		series := regexp.MustCompile(`escrowgrid_http_errors_total\{code="` + code + `"\} \d+`)
		if got := series.FindString(string(before.Body)) != series.FindString(string(after.Body)); got != counts {
			t.Errorf("whether %s is counted is %v, want %v", code, got, counts)
		}
	}
	if names := strings.Count(string(after.Body), `escrowgrid_http_errors_total{code="asset_not_found"}`); names != 1 {
		t.Errorf("the series is there %d times", names)
	}
}
