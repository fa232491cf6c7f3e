package load_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/load"
)

// short has the settings of a short run of users.
var short = slices.Concat(patient, []string{"VUS=5", "DURATION=2s"})

func TestSmokePassesOnAHealthyServer(t *testing.T) {
	t.Parallel()
	s := serve(t)
	// There is a client for each of the arrivals, however slow the machine is.
	o := s.run(t, "smoke", append(patient, "DURATION=2s", "RATE=8")...).want(t, passed)
	if !o.summary.Passed || o.summary.Profile != "smoke" || o.summary.Counts["positionsFunded"] == 0 {
		t.Errorf("the summary is %+v", o.summary)
	}
	if o.summary.Counts["operationsOk"] != o.summary.Counts["operations"] {
		t.Errorf("not all operations are ok: %v", o.summary.Counts)
	}
	if !strings.Contains(o.said, "smoke: passed") || !strings.Contains(o.said, "positions funded") {
		t.Errorf("the run prints:\n%s", o.said)
	}
	s.agrees(t, o)
}

// Every script runs against an unmodified server.
func TestEveryScriptRuns(t *testing.T) {
	t.Parallel()
	names, err := load.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string][]string{
		// Iterations of a step are interrupted after its end, when its length has passed again.
		"breakpoint":           {"MIN_RPS=", "STEPS=2", "RATE=4", "DURATION=10s"},
		"institutions":         {"ROOT_API_KEY=" + rootKey, "RATE=2"},
		"lifecycle":            {"RATE=6", "DURATION=3s"}, // Every path, even if some start too late.
		"mixed":                {"RATE=20", "DURATION=3s", "VUS=60", "MIX=create:10,transition:70,get:10,list:5,ledger:5"},
		"users":                {"STAGES=2s:2,2s:0", "VUS=", "DURATION="},
		"templates-and-assets": {"RATE=4"},
	}
	for _, entry := range names {
		script, isScript := strings.CutSuffix(entry.Name(), ".js")
		// smoke has a test of its own, and so has positions-k6, which leaves no summary.
		if !isScript || script == "smoke" || script == "positions-k6" {
			continue
		}
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			institutions := fmt.Sprintf(`INSTITUTIONS=[{"apiKey": %q, "assetId": %q}]`, s.admin.Key, s.asset)
			common := []string{"RATE=10", "DURATION=1s", institutions}
			if script == "approvals" {
				common = append(common, "CHECKER_API_KEY="+s.askApprover(t, "positions.release"))
			}
			o := s.run(t, script, slices.Concat(patient, common, settings[script])...).want(t, passed)

			if o.summary.Profile != script || !o.summary.Passed || o.summary.Counts["operationsOk"] == 0 {
				t.Errorf("the summary is %+v", o.summary)
			}
			if script != "institutions" { // It writes to the journals of the institutions that it creates.
				s.agrees(t, o)
			}
			switch script {
			case "lifecycle":
				s.reachedEveryState(t)
			case "approvals":
				s.releasedWithApprovals(t, o)
			}
		})
	}
}

// The first script that people copy needs no file beside it, and fails where the service does.
// One that they wrote themselves, and which knows nothing of idempotency keys, runs as well.
func TestScriptsThatStandAlone(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"positions-k6.js", "testdata/plain.js"} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script+".js", content, 0o600); err != nil {
				t.Fatal(err)
			}

			// A slow machine would miss the bounds on latency, so the positions decide.
			few := []string{"--vus=3", "--iterations=6"}
			s.runWith(t, append(few, "--no-thresholds"), script).want(t, passed)
			states := s.admin.Walk(t, "/positions", "state")
			if !slices.Equal(states, slices.Repeat([]string{"FUNDED"}, 6)) {
				t.Errorf("the positions are %q", states)
			}
			if path != "positions-k6.js" {
				return
			}

			s.refuseAll(t)
			o := s.runWith(t, few, script).want(t, objectiveMissed)
			if !strings.Contains(o.said, "✗ 'count>0'") {
				t.Errorf("where a policy refuses every position it says\n%s", o.said)
			}
		})
	}
}

// reachedEveryState checks that there are positions in all final states and that there
// were transitions to the others.
func (s *service) reachedEveryState(t *testing.T) {
	t.Helper()
	states := s.admin.Walk(t, "/positions", "state")
	for _, state := range []string{"CREATED", "RELEASED", "CANCELLED", "EXPIRED"} {
		if !slices.Contains(states, state) {
			t.Errorf("no position is %s: %v", state, states)
		}
	}
	transitions := s.admin.Walk(t, "/ledger-events", "toState")
	for _, state := range []string{"FUNDED", "PARTIALLY_RELEASED"} {
		if !slices.Contains(transitions, state) {
			t.Errorf("no position became %s: %v", state, transitions)
		}
	}
}

// releasedWithApprovals checks that everything that waited was approved and carried out, and nothing else was.
func (s *service) releasedWithApprovals(t *testing.T, o outcome) {
	t.Helper()
	waited, positions := o.summary.Counts["operationsWaiting"], s.admin.Walk(t, "/positions", "state")
	if waited == 0 || !slices.Equal(positions, slices.Repeat([]string{"RELEASED"}, waited)) {
		t.Errorf("%d operations waited, and the positions are %q", waited, positions)
	}
	if statuses := s.admin.Walk(t, "/approvals", "status"); !slices.Equal(statuses, slices.Repeat([]string{"EXECUTED"}, waited)) {
		t.Errorf("%d operations waited, and the approvals are %q", waited, statuses)
	}
}

// Nobody approves what a load asks for. So it ends with the first answer that says that it takes an approval, naming
// the rule, and does not fill the inboxes of those who could.
func TestAnApprovalRuleAbortsTheRun(t *testing.T) {
	t.Parallel()
	for permission, says := range map[string]string{
		"positions.create": "approval needed: POST /positions was answered with 202: the institution has approval rules, and by two-of-us it waits as apr_",
		"positions.fund":   "approval needed: POST /positions/{id}/transition was answered with 202: the institution has approval rules, and by two-of-us it waits as apr_",
	} {
		t.Run(permission, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			s.askApprover(t, permission)
			o := s.run(t, "users", append(short, "DURATION=1m", "VUS=1")...).want(t, scriptAborted)

			if !strings.Contains(o.said, says) {
				t.Errorf("the run prints %q, want %q", o.said, says)
			}
			counts := o.summary.Counts
			if o.summary.Passed || !o.summary.missed()["unexpected_approvals"] || counts["operationsWaiting"] != 1 || counts["positionsFunded"] != 0 {
				t.Errorf("the summary is %+v", o.summary)
			}
			if waiting := s.admin.Walk(t, "/approvals?status=PENDING", "id"); len(waiting) != 1 {
				t.Errorf("these are waiting: %q", waiting)
			}
			s.agrees(t, o)

			alone, err := filepath.Abs("positions-k6")
			if err != nil {
				t.Fatal(err)
			}
			o = s.runWith(t, []string{"--vus=1", "--iterations=2"}, alone).want(t, scriptAborted)
			if !strings.Contains(o.said, "approval needed: 202: the institution has approval rules, see /approvals/apr_") {
				t.Errorf("the script that stands alone prints %q", o.said)
			}
		})
	}
}

// The approvals of a run that has nobody to give them, or no rule to ask for them, would say nothing.
func TestApprovalsNeedARuleAndAChecker(t *testing.T) {
	t.Parallel()
	for says, prepare := range map[string]func(*testing.T, *service) string{
		"no approval needed: the institution has no approval rule for such a release": func(t *testing.T, s *service) string {
			t.Helper()
			return s.askApprover(t, "positions.cancel")
		},
		"authentication failed: 401 invalid_api_key": func(t *testing.T, s *service) string {
			t.Helper()
			s.askApprover(t, "positions.release")
			return "egk_unknown"
		},
		"authentication failed: 403 ": func(t *testing.T, s *service) string {
			t.Helper()
			s.askApprover(t, "positions.release")
			return s.admin.Key
		},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			checker := "CHECKER_API_KEY=" + prepare(t, s)
			o := s.run(t, "approvals", slices.Concat(patient, []string{"RATE=5", "DURATION=1m", checker})...).want(t, scriptAborted)
			if !strings.Contains(o.said, says) || o.summary.Passed {
				t.Errorf("the run prints %q, want %q", o.said, says)
			}
		})
	}
}

func TestWrongConfigurationFailsBeforeARequest(t *testing.T) {
	t.Parallel()
	s := serve(t)
	t.Cleanup(func() {
		if sent := s.requests.Load(); sent != 0 {
			t.Errorf("%d requests were sent", sent)
		}
	})
	for _, c := range []struct{ script, setting, line string }{
		{"users", "API_KEY=", `API_KEY env var is required`},
		{"users", "ASSET_ID=", `ASSET_ID env var is required`},
		{"institutions", "ROOT_API_KEY=", `ROOT_API_KEY env var is required`},
		{"approvals", "CHECKER_API_KEY=", `CHECKER_API_KEY env var is required`},
		{"many-institutions", "INSTITUTIONS=", `INSTITUTIONS env var is required`},
		{"many-institutions", "INSTITUTIONS=[{}]", `INSTITUTIONS is not a list like [{"apiKey": "egk_…", "assetId": "ast_…"}]`},
		{"users", "API_URL=localhost:4000", `API_URL: "localhost:4000" is not a URL like http://localhost:4000`},
		{"users", "API_URL=http://localhost:99999", `API_URL: "http://localhost:99999" is not a URL like http://localhost:4000`},
		{"users", "API_URL=http://me:secret@localhost", `API_URL: "http://…@localhost" is not a URL like http://localhost:4000`},
		{"users", "API_KEY=egk_a b", `API_KEY has characters that no key has`},
		{"users", "VUS=many", `VUS: "many" is not a whole number of 1 or more`},
		{"users", "VUS=0", `VUS: "0" is not a whole number of 1 or more`},
		{"users", "DURATION=5", `DURATION: "5" is not a duration like 30s, 5m or 1h30m`},
		{"users", "STAGES=1m20", `STAGES: "1m20" is not a list of durations and targets like 1m:20,2m:100,30s:0`},
		{"users", "MIN_CHECKS=99.9", `MIN_CHECKS: "99.9" is not a number from 0 to 1`},
		{"users", "EXPECT_REJECTIONS=yes", `EXPECT_REJECTIONS: "yes" is not true or false`},
		{"users", "RUN_ID=my run", `RUN_ID: "my run" is not a text of 1 to 64 characters out of A-Z a-z 0-9 . _ : -`},
		{"users", "OUT_DIR=/nowhere/at/all", `OUT_DIR: "/nowhere/at/all" is not a directory that exists`},
		{"load", "RATE=1.5", `RATE: "1.5" is not a whole number of 1 or more`},
		{"load", "MIN_RPS=many", `MIN_RPS: "many" is not a number of 0 or more`},
		{"load", "MAX_MEMORY_SHARE=80", `MAX_MEMORY_SHARE: "80" is not a number from 0 to 1`},
		{"load", "MUST_USE=RATE,THINK_TIME,VUS", `THINK_TIME is not a variable of load`},
		{"users", "MUST_USE=MAX_P95", `MAX_P95 is not a variable of users`},
		{"breakpoint", "MIN_CHECKS=0.5", `MIN_CHECKS: this script judges each step by its latencies, failures and dropped iterations`},
		{"mixed", "MIX=create:1,delete:1", `MIX: "create:1,delete:1" is not a list of shares of ` +
			`create, transition, get, list, ledger like create:30,transition:30,get:20,list:10,ledger:10`},
	} {
		name, _, _ := strings.Cut(c.setting, "=")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := s.run(t, c.script, c.setting).want(t, scriptException)
			if said := strings.TrimSpace(o.said); said != c.line {
				t.Errorf("the script prints %q, want %q", said, c.line)
			}
		})
	}
}

func TestAnInvalidKeyAbortsTheRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		key  func(*service) string
		line string
	}{
		{"unknown", func(*service) string { return "egk_unknown" }, "authentication failed: 401 invalid_api_key: "},
		{"may not write", func(s *service) string { return s.readOnly.Key }, "authentication failed: 403 permission_missing: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			o := s.run(t, "users", append(short, "DURATION=1m", "API_KEY="+c.key(s))...).want(t, scriptAborted)

			if !strings.Contains(o.said, c.line) {
				t.Errorf("the run prints %q, want %q", o.said, c.line)
			}
			if o.summary.Passed || !o.summary.missed()["authentication_failures"] {
				t.Errorf("the summary is %+v", o.summary)
			}
			// Until the run has ended, each of the five clients can send one more.
			if sent := s.requests.Load(); sent > 1+5 {
				t.Errorf("%d requests were sent", sent)
			}
		})
	}
}

func TestAMissingServerOrAssetAbortsTheRun(t *testing.T) {
	t.Parallel()
	s := serve(t)
	nobody := httptest.NewServer(nil)
	nobody.Close()

	for _, c := range []struct{ setting, line string }{
		{"API_URL=" + nobody.URL, "API_URL: nothing answers at " + nobody.URL},
		{"ASSET_ID=ast_unknown", `ASSET_ID: "ast_unknown" is not an asset of the key's institution`},
	} {
		o := s.run(t, "users", append(short, "DURATION=1m", "MAX_RETRIES=1", c.setting)...).want(t, scriptAborted)
		if !strings.Contains(o.said, c.line) {
			t.Errorf("the run prints %q, want %q", o.said, c.line)
		}
	}
}

// A run whose positions are all refused passes only if refusals are expected.
func TestACompletelyRefusedRun(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.refuseAll(t)

	o := s.run(t, "users", short...).want(t, objectiveMissed)
	if diff := cmp.Diff(map[string]bool{"positions_funded": true}, o.summary.missed()); diff != "" {
		t.Errorf("missed objectives (-want +got):\n%s", diff)
	}

	o = s.run(t, "users", append(short, "EXPECT_REJECTIONS=true")...).want(t, passed)
	counts := o.summary.Counts
	if counts["policyRejections"] == 0 || counts["policyRejections"] != counts["operationsRefused"] {
		t.Errorf("the counts are %v", counts)
	}
}

func TestExpectedRejectionsAndThroughputMustCome(t *testing.T) {
	t.Parallel()
	o := serve(t).run(t, "users", append(short, "EXPECT_REJECTIONS=true", "MIN_RPS=1000000")...).want(t, objectiveMissed)
	if missed := o.summary.missed(); !missed["policy_rejections"] || !missed["http_reqs"] {
		t.Errorf("the summary is %+v", o.summary)
	}
	if !regexp.MustCompile(`requests per second +[\d.]+/s +> 10{6}/s`).MatchString(o.said) {
		t.Errorf("the run prints:\n%s", o.said)
	}
}

// answer answers with a problem document instead of the server's answer.
func answer(status int, code string, headers ...string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"status": %d, "code": %q, "detail": "It is only a test."}`, status, code)
	}
}

// loseAnswer cuts the connection after the server has carried out the request.
func loseAnswer(_ http.ResponseWriter, r *http.Request, server http.Handler) {
	server.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// loseRequest cuts the connection before the server receives the request.
func loseRequest(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

// breakOff cuts the connection in the middle of the answer.
func breakOff(w http.ResponseWriter, r *http.Request, server http.Handler) {
	recorded := httptest.NewRecorder()
	server.ServeHTTP(recorded, r)

	w.Header().Set("Content-Length", strconv.Itoa(recorded.Body.Len()))
	w.WriteHeader(recorded.Code)
	_, _ = w.Write(recorded.Body.Bytes()[:recorded.Body.Len()/2])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// The scripts retry after a fault where that can help, report it where it cannot, and
// never do anything twice.
func TestFaults(t *testing.T) {
	t.Parallel()
	const (
		throttled, connection, replayed = "retriesThrottled", "retriesConnection", "operationsReplayed"
		unknown, refused, rejected      = "operationsUnknown", "operationsRefused", "policyRejections"
	)
	for _, c := range []struct {
		name   string
		fault  *fault
		exit   int
		counts []string // Those of the constants above that are not 0.
		missed []string
	}{
		{
			name:   "2 % are 500",
			fault:  &fault{every: 50, answer: answer(500, "internal")},
			exit:   objectiveMissed,
			counts: []string{unknown},
			missed: []string{"checks", "http_req_failed", "operations_failed"},
		},
		{
			name:   "2 % are refused without a policy",
			fault:  &fault{every: 25, creations: true, answer: answer(422, "invalid_input")},
			exit:   objectiveMissed,
			counts: []string{refused},
			missed: []string{"checks", "operations_failed"},
		},
		{
			name:   "4xx",
			fault:  &fault{every: 25, creations: true, answer: answer(404, "asset_not_found")},
			exit:   objectiveMissed,
			counts: []string{refused},
			missed: []string{"checks", "http_req_failed", "operations_failed"},
		},
		{
			name:   "answers are lost",
			fault:  &fault{every: 10, answer: loseAnswer},
			exit:   passed,
			counts: []string{connection, replayed},
		},
		{
			name:   "requests are lost",
			fault:  &fault{every: 10, answer: loseRequest},
			exit:   passed,
			counts: []string{connection},
		},
		{
			name:   "answers break off",
			fault:  &fault{every: 10, answer: breakOff},
			exit:   passed,
			counts: []string{connection, replayed},
		},
		{
			name:   "502",
			fault:  &fault{every: 10, answer: answer(502, "")},
			exit:   passed,
			counts: []string{connection},
		},
		{
			name:   "503 with Retry-After",
			fault:  &fault{every: 50, answer: answer(503, "overloaded", "Retry-After", "1")},
			exit:   passed,
			counts: []string{throttled},
		},
		{
			name:   "429 without Retry-After",
			fault:  &fault{every: 10, answer: answer(429, "rate_limited")},
			exit:   passed,
			counts: []string{throttled},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t)
			s.fault.Store(c.fault)

			o := s.run(t, "users", append(short, "MAX_RETRIES=5")...).want(t, c.exit)
			for _, name := range []string{throttled, connection, replayed, unknown, refused, rejected} {
				if got := o.summary.Counts[name]; (got > 0) != slices.Contains(c.counts, name) {
					t.Errorf("%s is %d", name, got)
				}
			}

			missed := make(map[string]bool)
			for _, metric := range c.missed {
				missed[metric] = true
			}
			if diff := cmp.Diff(missed, o.summary.missed()); diff != "" {
				t.Errorf("missed objectives (-want +got):\n%s", diff)
			}
			s.agrees(t, o)
		})
	}
}

// The objectives include the time that users wait until a retry succeeds.
func TestWaitsForRetriesAreMeasured(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.fault.Store(&fault{every: 2, answer: answer(503, "overloaded", "Retry-After", "2")})

	o := s.run(t, "users", append(short, "MAX_P95_MS=1999")...).want(t, objectiveMissed)
	if !o.summary.missed()["operation_duration"] || o.summary.Latency["max"] < 2000 {
		t.Errorf("the summary is %+v", o.summary)
	}
}

func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.fault.Store(&fault{every: 1, answer: answer(503, "overloaded", "Retry-After", "1")})

	o := s.run(t, "users", append(short, "VUS=2", "DURATION=1s", "MAX_RETRIES=2")...).want(t, objectiveMissed)
	counts := o.summary.Counts
	if counts["operations"] == 0 || counts["operationsUnknown"] != counts["operations"] ||
		counts["retriesThrottled"] != 2*counts["operations"] {
		t.Errorf("the counts are %v", counts)
	}
	// A request without a further attempt has finally failed.
	for _, metric := range []string{"http_req_failed", "operations_failed", "positions_funded", "checks"} {
		if !o.summary.missed()[metric] {
			t.Errorf("%s was not missed: %+v", metric, o.summary)
		}
	}
	s.agrees(t, o)
}

// What is under way when the load ends is cut off by k6, which is no answer of the service: such
// operations have no end.
func TestWhatIsCutOffHasNoEnd(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.fault.Store(&fault{every: 1, answer: func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.Copy(io.Discard, r.Body) // Until then the server does not notice that its client is gone.
		<-r.Context().Done()
	}})

	o := s.run(t, "breakpoint", append(patient, "MIN_RPS=", "MAX_RETRIES=0", "VUS=100", "RATE=100", "STEPS=1", "DURATION=1s")...)
	o.want(t, objectiveMissed)
	if len(o.log) == 0 {
		t.Error("the load has not begun")
	}
	for _, line := range o.log {
		if !beginLine.MatchString(line) {
			t.Errorf("the log has %q", line)
		}
	}
}

func TestTheBreakpointIsFound(t *testing.T) {
	t.Parallel()
	s := serve(t)
	// The first step sends 100 requests at most, the second 200.
	var sent atomic.Int64
	s.fault.Store(&fault{every: 1, answer: func(w http.ResponseWriter, r *http.Request, server http.Handler) {
		if sent.Add(1) <= 110 {
			server.ServeHTTP(w, r)
			return
		}
		answer(500, "internal")(w, r, server)
	}})

	o := s.run(t, "breakpoint", append(patient, "MIN_RPS=", "STEPS=8", "RATE=80", "DURATION=40s")...).want(t, objectiveMissed)
	found := o.summary.Breakpoint
	if found == nil || found.Knee != 10 || !found.Steps[0].OK || found.Steps[1].OK || found.Steps[7].OK {
		t.Errorf("the breakpoint is %+v:\n%s", found, o.said)
	}
	// k6 evaluates objectives every two seconds.
	if !found.Steps[1].Reached || found.Steps[7].Reached {
		t.Errorf("the run did not end after the second step: %+v", found)
	}
}

func TestWrittenReports(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.refuseAll(t)
	o := s.run(t, "users", append(short, "DURATION=1s", "RUN_ID=nightly-1")...).want(t, objectiveMissed)

	var suites struct {
		Failures int `xml:"failures,attr"`
		Suite    struct {
			Cases []struct {
				Name    string    `xml:"name,attr"`
				Failure *struct{} `xml:"failure"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(o.written(t, "junit.xml"), &suites); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for i, objective := range o.summary.Objectives {
		c := suites.Suite.Cases[i]
		if c.Name != objective.Name || (c.Failure == nil) != objective.OK ||
			(c.Skipped != nil) != (objective.OK && objective.Value == nil) {
			t.Errorf("junit.xml has the objective %+v as %+v", objective, c)
		}
		if !objective.OK {
			failed++
		}
	}
	if suites.Failures != failed || failed == 0 {
		t.Errorf("junit.xml counts %d failures of %d", suites.Failures, failed)
	}

	page := string(o.written(t, "report.html"))
	for _, part := range []string{"users: FAILED", "nightly-1", "positions funded"} {
		if !strings.Contains(page, part) {
			t.Errorf("report.html does not have %q:\n%s", part, page)
		}
	}
	if foreign := regexp.MustCompile(`(src|href)=|url\(|@import`).FindString(page); foreign != "" {
		t.Errorf("report.html has %q, which may need a network", foreign)
	}
}

func (o outcome) written(t *testing.T, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(o.directory, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// The program runs the scripts from a copy of the embedded files, and a reader may put the
// documentation's example beside them.
func TestTheExampleOfAScriptRunsBesideTheEmbeddedOnes(t *testing.T) {
	t.Parallel()
	s := serve(t)
	page, err := os.ReadFile("../docs/load-testing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(page), "```js\n")
	example, _, _ := strings.Cut(after, "```")

	directory := t.TempDir()
	if err := os.CopyFS(directory, load.Files); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "euros.js"), []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}

	settings := slices.Concat(patient, []string{"DURATION=1s", "ASSET_ID=" + s.newAsset(t, "EUR")})
	o := s.run(t, filepath.Join(directory, "euros"), settings...).want(t, passed)
	if o.summary.Profile != "euros" || o.summary.Counts["positionsCreated"] == 0 {
		t.Errorf("the summary is %+v", o.summary)
	}
}

var (
	beginLine = regexp.MustCompile(`^EG begin ([A-Za-z0-9._:-]{1,100}) (create|FUNDED|PARTIALLY_RELEASED|RELEASED|CANCELLED|EXPIRED|template|asset|institution|key|approve) (-|(?:pos|apr)_\w+)$`)
	endLine   = regexp.MustCompile(`^EG end ([A-Za-z0-9._:-]{1,100}) (ok|waiting|refused|unknown) (\d{1,3}) (-|[a-z_]+) \d+\.\d+ (-|(?:pos|tmpl|ast|inst|key|apr)_\w+) \d+$`)
	readLine  = regexp.MustCompile(`^EG read [a-z]+ \d{1,3} \d+\.\d+ \d+$`)
)

// agrees compares the operations log with the institution's journal: an acknowledged
// operation has one entry, a refused one has none, and an unknown one at most one. What an approval
// carries out is an entry more.
func (s *service) agrees(t *testing.T, o outcome) {
	t.Helper()
	entries := make(map[string][]string) // subjects by request id
	audit := s.admin.Walk(t, "/audit-events?limit=1000", "requestId")
	subjects := s.admin.Walk(t, "/audit-events?limit=1000", "subject")
	approvals := s.admin.Walk(t, "/audit-events?limit=1000", "approval.id")
	for i, id := range audit {
		if approvals[i] == "" {
			entries[id] = append(entries[id], subjects[i])
		}
	}

	begun := make(map[string]bool)
	for _, line := range o.log {
		if begin := beginLine.FindStringSubmatch(line); begin != nil {
			if id := begin[1]; begun[id] || !strings.HasPrefix(id, o.summary.Run+"-") {
				t.Errorf("the id of %q is wrong", line)
			}
			begun[begin[1]] = true
			continue
		}
		end := endLine.FindStringSubmatch(line)
		if end == nil {
			if !readLine.MatchString(line) {
				t.Errorf("the log has %q", line)
			}
			continue
		}

		id, how, subject := end[1], end[2], end[5]
		if !begun[id] {
			t.Errorf("the log has %q without a begin before it", line)
		}
		delete(begun, id)
		found := entries[id]
		if (how == "ok" || how == "waiting") && !slices.Equal(found, []string{subject}) || how == "refused" && len(found) != 0 || len(found) > 1 {
			t.Errorf("after %q the journal has %v", line, found)
		}
	}
	if len(begun) > 0 || len(o.log) == 0 {
		t.Errorf("of %d lines of the log, these operations have no end: %v", len(o.log), begun)
	}

	// The run did nothing else.
	created := len(s.admin.Walk(t, "/ledger-events?kind=POSITION_CREATED&limit=1000", "id"))
	want := o.summary.Counts["positionsCreated"]
	if created < want || created > want+o.summary.Counts["operationsUnknown"] {
		t.Errorf("there are %d positions, and the summary counts %v", created, o.summary.Counts)
	}
}
