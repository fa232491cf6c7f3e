package main

import (
	"os"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// The secret of a new key hangs on a secret of the servers' as well: a repeated request is
// answered with the same secret by every server that still knows that, and with an error by one
// that does not, never with another secret.
func TestARepeatedKeyNeedsTheServersSecret(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		one, two := "one-"+testRootKey, "two-"+testRootKey
		root1, root2, root3 := testRootKey, "root2-"+testRootKey, "root3-"+testRootKey
		var b bank
		key := func(p *process, name string) apitest.Answer {
			t.Helper()
			body := `{"label": "new", "role": "read_only"}`
			return p.As(b.key).Post(t, "/institutions/"+b.id+"/api-keys", body, "Idempotency-Key: "+name)
		}
		// serving ends the server before it calls the next.
		serving := func(variables string, use func(p *process)) {
			t.Helper()
			p := serve(t, append(strings.Fields(variables), "DATABASE_URL="+databaseURL), "--migrate")
			use(p)
			p.end(t, os.Interrupt)
		}
		same := func(first, again apitest.Answer) {
			t.Helper()
			if again.Want(t, 201).Text("apiKey") != first.Text("apiKey") {
				t.Error("the repeated request is answered with another secret")
			}
		}

		var configured, byDefault apitest.Answer
		serving("KEY_DERIVATION_SECRET="+one+" ROOT_API_KEY="+root1, func(p *process) {
			p.Key = root1
			b = openBank(t, p.Client)
			configured = key(p, "configured").Want(t, 201)
		})
		serving("KEY_DERIVATION_SECRET="+two+","+one+" ROOT_API_KEY="+root2, func(p *process) {
			same(configured, key(p, "configured"))
		})
		serving("ROOT_API_KEY="+root2, func(p *process) {
			key(p, "configured").Refused(t, 409, "api_key_secret_gone")
			byDefault = key(p, "default").Want(t, 201)
		})
		serving("KEY_DERIVATION_SECRET="+two+" ROOT_API_KEY="+root3+" ROOT_API_KEY_PREVIOUS="+root2, func(p *process) {
			same(byDefault, key(p, "default"))
		})
		serving("ROOT_API_KEY="+root3, func(p *process) {
			key(p, "default").Refused(t, 409, "api_key_secret_gone")
			p.As(byDefault.Text("apiKey")).Get(t, "/positions").Want(t, 200)
		})
	})
}
