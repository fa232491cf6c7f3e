package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// The steps that the demonstration shows, in order.
var demoSteps = []string{
	"POST /institutions\n", "POST /institutions/", "PUT /institutions/", "POST /asset-templates\n", "POST /assets\n", "POST /positions\n", `"state": "CREATED"`,
	`"state": "FUNDED"`, `"held": "750.00"`, `"state": "PARTIALLY_RELEASED"`, `"state": "RELEASED"`, "GET /ledger-events?positionId=", "→ 422 ", "policy_min_amount",
	"/approval-rules\n", "→ 202 ", `"status": "PENDING"`, "/approve\n", `"missing": [`, `"count": 1`,
}

func TestDemoShowsAPositionsLifeAndServesUntilCtrlC(t *testing.T) {
	temporary := t.TempDir()
	p := launch(t, []string{"PORT=0", "TMPDIR=" + temporary, "CHECKPOINT_INTERVAL=1s"}, "demo")
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

	operator := regexp.MustCompile(`the operator's, (\S+)\.`).FindStringSubmatch(rest)[1]
	for _, example := range documentedExamples(t, admin) {
		client := admin
		if example.ofRoot {
			client = admin.As(operator)
		}
		isErasure := strings.HasSuffix(example.Path, "/erase")
		decides := example.Method == http.MethodPost && strings.HasPrefix(example.Path, "/approvals/") && !isErasure
		if decides {
			client = admin.As(exported["CHECKER_KEY"])
		}
		// The first checkpoint may not be signed yet.
		var answer apitest.Answer
		p.eventually(t, "there is a checkpoint", func() bool {
			answer = client.Send(t, example.Request)
			return answer.Status < 400 || !strings.HasPrefix(answer.Problem(t).Code, "checkpoint_")
		})
		// The position of the examples is funded, for the steps that they show.
		open := answer.Status == 409 && isErasure &&
			slices.Contains([]string{"position_open", "approval_open"}, answer.Problem(t).Code)
		// Nobody comes from an identity provider in the demonstration.
		nobody := answer.Status == 404 && slices.Contains([]string{"user_not_found", "identity_provider_not_found"}, answer.Problem(t).Code)
		// Of several ways to decide, the first one ends it.
		decided := decides && answer.Status == 409 && answer.Problem(t).Code == "approval_closed"
		if answer.Status >= 300 && !open && !nobody && !decided {
			t.Errorf("the example %s is answered with %s", example.Request, answer)
		}
	}

	endDemo(t, p, temporary)
	if _, err := admin.Try(t.Context(), apitest.Request{Method: http.MethodGet, Path: "/health"}); err == nil {
		t.Error("it serves on")
	}
}

// documentedExample is a request that the document of the API gives as an example.
type documentedExample struct {
	apitest.Request
	ofRoot bool
}

// documentedExamples are those of all operations but commands that can go without a body, which close and
// revoke what the others need.
func documentedExamples(t *testing.T, client apitest.Client) (examples []documentedExample) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			Description string
			Parameters  []struct {
				Name, In string
				Example  any
			}
			RequestBody struct {
				Required bool
				Content  map[string]struct{ Example json.RawMessage }
			}
		}
	}
	client.Get(t, "/openapi.json").Want(t, 200).Decode(t, &document)

	for path, methods := range document.Paths {
		for method, operation := range methods {
			filled := path
			for _, parameter := range operation.Parameters {
				switch value := fmt.Sprint(parameter.Example); {
				case parameter.In == "path":
					filled = strings.Replace(filled, "{"+parameter.Name+"}", value, 1)
				case parameter.In == "query" && parameter.Example != nil:
					filled += "?" + parameter.Name + "=" + value
				}
			}

			request := apitest.Request{Method: strings.ToUpper(method), Path: filled}
			example := documentedExample{Request: request, ofRoot: strings.Contains(operation.Description, "the operator alone has")}
			for contentType, body := range operation.RequestBody.Content {
				if !operation.RequestBody.Required {
					break
				}
				example.Body, example.Headers = string(body.Example), []string{"Content-Type: " + contentType}
				examples = append(examples, example)
			}
			if method == "get" {
				examples = append(examples, example)
			}
		}
	}
	return examples
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
