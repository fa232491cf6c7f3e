package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// underApproval is a bank with a server that signs, in which a release from the first of two funded
// positions has had the approval that it takes.
type underApproval struct {
	*verified
	// maker is the key of the one who asks, makerID and checkerID are the ids of both keys.
	maker, makerID, checkerID string
}

func serveUnderApproval(t *testing.T, databaseURL string) *underApproval {
	t.Helper()
	u := &underApproval{verified: serveVerified(t, databaseURL)}
	keys := "/institutions/" + u.id + "/api-keys"
	maker := u.Post(t, keys, `{"label": "operations", "role": "operator", "owner": "E-1041"}`).Want(t, 201)
	checker := u.Post(t, keys, `{"label": "checks", "role": "approver", "owner": "E-2088"}`).Want(t, 201)
	u.maker, u.makerID, u.checkerID = maker.Text("apiKey"), maker.Text("id"), checker.Text("id")
	u.As(u.key).Put(t, "/institutions/"+u.id+"/approval-rules", `{"rules": [{
		"id": "large-releases", "on": ["positions.release"], "when": {"amountFrom": {"USD": "500"}},
		"require": [{"role": "approver", "count": 1}]
	}]}`).Want(t, 200)

	asked := u.As(u.maker).Post(t, "/positions/"+u.positions[0]+"/transition", `{"toState": "RELEASED"}`).Want(t, 202)
	approved := u.As(checker.Text("apiKey")).Post(t, "/approvals/"+asked.Text("id")+"/approve",
		fmt.Sprintf(`{"digest": %q}`, asked.Text("digest"))).Want(t, 200)
	if status := approved.Text("status"); status != "EXECUTED" {
		t.Fatalf("the approval is %s", status)
	}
	u.awaitAllSigned(t)
	return u
}

// again starts the server again on its database.
func (u *underApproval) again(t *testing.T) {
	t.Helper()
	u.process = serve(t, []string{"DATABASE_URL=" + u.databaseURL, "CHECKPOINT_INTERVAL=100ms"})
}

// awaitAllSigned waits until a checkpoint covers the whole journal.
func (u *underApproval) awaitAllSigned(t *testing.T) {
	t.Helper()
	u.awaitSigned(t, u.bank, len(u.As(u.key).Walk(t, "/audit-events?limit=1000", "sequence")))
}

// wantEverywhere verifies over HTTP, ends the server, verifies in the database and in a bundle, in which the other
// program looks as well, and checks that all find a difference, or that none does where it is "".
func (u *underApproval) wantEverywhere(t *testing.T, difference string) {
	t.Helper()
	code := exitFailure
	if difference == "" {
		code, difference = exitOK, "PASSED: nothing differs."
	}

	check := func(where string, env []string, args ...string) {
		t.Helper()
		got, stdout, stderr := call(t, env, append([]string{"verify"}, args...)...)
		if got != code || !strings.Contains(stdout, difference) {
			t.Errorf("%s it ends with %d, want %d and %q: %s%s", where, got, code, difference, stdout, stderr)
		}
	}
	check("over HTTP", []string{"API_KEY=" + u.key}, "--url", u.URL)
	u.end(t, os.Interrupt)

	database := []string{"DATABASE_URL=" + u.databaseURL}
	check("in the database", database)
	path := filepath.Join(t.TempDir(), "meridian.bundle")
	if got, _, stderr := call(t, database, "export", "--institution", u.id, "--output", path); got != exitOK {
		t.Fatalf("the export ends with %d: %s", got, stderr)
	}
	check("in a bundle", nil, "--bundle", path)
	if got, output := independently(t, path, u.publicKey); got != code {
		t.Errorf("independently, it ends with %d, want %d: %s", got, code, output)
	}
}

// sequenceOf returns the sequence of the last entry of a kind.
func (u *underApproval) sequenceOf(t *testing.T, kind string) int64 {
	t.Helper()
	found := u.As(u.key).Walk(t, "/audit-events?order=desc&kind="+kind, "sequence")
	return journaltest.Must(strconv.ParseInt(found[0], 10, 64))
}

// Whoever has the database can write history anew, which a server then signs, and can have a server do without the
// rules for a while. That an approval is not another person's, or that there is none, is found all the same.
func TestForgedAndMissingApprovalsAreFound(t *testing.T) {
	for name, test := range map[string]struct {
		forge func(t *testing.T, u *underApproval)
		want  string
	}{
		"nothing is forged": {func(*testing.T, *underApproval) {}, ""},
		"approved by the maker": {func(t *testing.T, u *underApproval) {
			given := u.sequenceOf(t, "APPROVAL_GIVEN")
			u.end(t, os.Interrupt)
			journaltest.Tamper(t, u.databaseURL, replaceSQL(u.databaseURL, u.checkerID, u.makerID), institutionID(t, u.id), given, given+1)
			for _, table := range []string{"journal_checkpoints", "journal_tiles"} {
				journaltest.Tamper(t, u.databaseURL, "DELETE FROM "+table)
			}
			if path, isFile := strings.CutPrefix(u.databaseURL, "sqlite:"); isFile { // What the server has signed is kept beside it.
				if err := os.Remove(path + ".signed"); err != nil {
					t.Fatal(err)
				}
			}
			u.again(t)
			u.As(u.key).Post(t, "/positions", u.claim("later")).Want(t, 201) // What is new is signed, with all before it.
		}, "approves what counts as its own"},
		"released without an approval": {func(t *testing.T, u *underApproval) {
			const inForce = "UPDATE journal_heads SET rules_sequence = $2 WHERE institution_id = $1"
			rules := u.sequenceOf(t, "APPROVAL_RULES_SET")
			u.end(t, os.Interrupt)
			journaltest.Tamper(t, u.databaseURL, inForce, institutionID(t, u.id), 0)
			u.again(t)
			u.As(u.maker).Post(t, "/positions/"+u.positions[1]+"/transition", `{"toState": "RELEASED"}`).Want(t, 200)
			u.end(t, os.Interrupt)
			journaltest.Tamper(t, u.databaseURL, inForce, institutionID(t, u.id), rules)
			u.again(t)
		}, "it takes an approval by the rule large-releases, and names none"},
	} {
		t.Run(name, func(t *testing.T) {
			onEachStore(t, func(t *testing.T, databaseURL string) {
				u := serveUnderApproval(t, databaseURL)
				test.forge(t, u)
				u.awaitAllSigned(t)
				u.wantEverywhere(t, test.want)
			})
		})
	}
}

// replaceSQL replaces a text in two entries of an institution.
func replaceSQL(databaseURL, from, to string) string {
	body := fmt.Sprintf("convert_to(replace(convert_from(body, 'UTF8'), '%s', '%s'), 'UTF8')", from, to)
	if strings.HasPrefix(databaseURL, "sqlite:") {
		body = fmt.Sprintf("CAST(replace(CAST(body AS text), '%s', '%s') AS blob)", from, to)
	}
	return "UPDATE journal_entries SET body = " + body + " WHERE institution_id = $1 AND sequence IN ($2, $3)"
}
