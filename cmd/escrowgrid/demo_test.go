package main

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// The steps that the demonstration shows, in order.
var demoSteps = []string{
	"POST /institutions\n", "POST /institutions/", "PUT /institutions/", "POST /asset-templates\n", "POST /assets\n", "POST /positions\n", `"state": "CREATED"`,
	`"state": "FUNDED"`, `"held": "750.00"`, `"state": "PARTIALLY_RELEASED"`, `"state": "RELEASED"`, "GET /ledger-events?positionId=", "→ 422 ", "policy_min_amount",
}

func TestDemoShowsAPositionsLifeAndServesUntilCtrlC(t *testing.T) {
	temporary := t.TempDir()
	p := launch(t, []string{"PORT=0", "TMPDIR=" + temporary}, "demo")
	p.eventually(t, "the demonstration is over", func() bool { return strings.Contains(p.stdout.String(), "Serving until Ctrl-C.") })
	rest := p.stdout.String()
	for _, step := range demoSteps {
		_, after, found := strings.Cut(rest, step)
		if !found {
			t.Fatalf("%q is not in the rest:\n%s", step, rest)
		}
		rest = after
	}

	exported := map[string]string{}
	for _, export := range regexp.MustCompile(`(?m)^export (\w+)=(\S+)$`).FindAllStringSubmatch(rest, -1) {
		exported[export[1]] = export[2]
	}
	admin := clientOf(t, exported["API_URL"], exported["API_KEY"])
	claim := fmt.Sprintf(`{"assetId": %q, "holderReference": "h", "currency": "USD", "amount": 1000}`, exported["ASSET_ID"])
	position := admin.Post(t, "/positions", claim).Want(t, 201).Text("id")
	admin.Post(t, "/positions/"+position+"/transition", `{"toState": "FUNDED"}`).Want(t, 200)
	admin.As("").Get(t, "/docs").Want(t, 200)

	endDemo(t, p, temporary)
	if _, err := admin.Try(t.Context(), apitest.Request{Method: http.MethodGet, Path: "/health"}); err == nil {
		t.Error("it serves on")
	}
}

func TestDemoCanBeInterruptedBeforeItsEnd(t *testing.T) {
	temporary := t.TempDir()
	p := launch(t, []string{"PORT=0", "TMPDIR=" + temporary, "LOG_LEVEL=info"}, "demo")
	p.servedURL(t)
	endDemo(t, p, temporary)
}

// endDemo presses Ctrl-C, after which nothing is left.
func endDemo(t *testing.T, p *process, temporary string) {
	t.Helper()
	if code := p.end(t, syscall.SIGINT); code != 0 || strings.Contains(p.stderr.String(), "escrowgrid:") {
		t.Errorf("after Ctrl-C it ends with %d: %s", code, p.stderr.String())
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
}

func TestDemoOnAnotherDatabaseKeepsItsData(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		p := launch(t, []string{"PORT=0", "DATABASE_URL=" + databaseURL}, "demo")
		p.eventually(t, "the demonstration is over", func() bool { return strings.Contains(p.stdout.String(), "Serving until Ctrl-C.") })
		p.end(t, syscall.SIGINT)
		if kept := serve(t, []string{"DATABASE_URL=" + databaseURL}).Get(t, "/institutions").Texts(t, "name"); len(kept) != 1 {
			t.Errorf("there is %q", kept)
		}
	})
}
