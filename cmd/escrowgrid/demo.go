package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/escrowgrid/escrowgrid/internal/httpapi"
)

// demoCommand runs a server and shows what it does, for people who try EscrowGrid.
type demoCommand struct {
	serverFlags `embed:""`
}

// Run starts a server, shows one position's lifecycle over its API, and goes on serving
// until the context ends. Without DATABASE_URL the data is in a temporary place.
func (c *demoCommand) Run(ctx context.Context, out output) (err error) {
	// The log of every request would bury what the demonstration prints.
	c.LogLevel = cmp.Or(c.LogLevel, "warn")

	// A demonstration should leave nothing behind.
	if c.DatabaseURL == "" {
		var directory string
		if directory, err = os.MkdirTemp("", "escrowgrid-demo-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
		c.DatabaseURL = "sqlite:" + filepath.Join(directory, "demo.db")
	}

	config, err := c.config(out.stderr)
	if err != nil {
		return err
	}
	// Without a key, the server would make one, keep it in a file and print a line about it, which
	// distracts here.
	operator := "ROOT_API_KEY"
	if config.rootKey == "" {
		config.rootKey = newSecret()
		operator = config.rootKey
	}

	s, err := start(ctx, config, true)
	if err != nil {
		return err
	}
	d := &demonstration{
		ctx:      ctx,
		out:      out.stdout,
		url:      s.url,
		rootKey:  config.rootKey,
		operator: operator,
		examples: s.handler.NameInExamples,
	}
	// Ctrl-C during the demonstration is not a failure: the user has seen enough.
	if err := d.show(); err != nil && ctx.Err() == nil {
		return errors.Join(err, s.close(ctx))
	}
	return s.wait(ctx)
}

// demonstration takes one position through its lifecycle as a client, over HTTP, so that a reader
// can repeat every step with curl. It stops at its first error.
type demonstration struct {
	ctx     context.Context //nolint:containedctx // It lives as long as the demonstration.
	out     io.Writer
	url     string
	rootKey string
	apiKey  string // the institution's; "" until it has one
	// operator is how a reader is told the root key.
	operator string
	// examples lets the examples of the API's document name resources.
	examples func(httpapi.ExampleIDs)
	steps    int
	err      error
}

// answer holds what the demonstration needs from the body of an answer.
type answer struct {
	ID     string `json:"id"`
	APIKey string `json:"apiKey"`
	Digest string `json:"digest"`
}

// show takes all the steps, and then prints what the reader can try next.
func (d *demonstration) show() error {
	fmt.Fprintf(d.out, "EscrowGrid serves on %s. One position, step by step:\n", d.url)

	ids := d.makeAsset()

	// The position goes through its whole lifecycle, in parts.
	claim := fmt.Sprintf(
		`{"assetId": %q, "holderReference": "ACME-4711", "currency": "USD", "amount": "1000.00"}`, ids.Asset)
	position := d.step("A position: a contractor's claim of 1000 dollars", http.MethodPost, "/positions", claim,
		http.StatusCreated)
	transition := "/positions/" + position.ID + "/transition"
	d.step("The money is paid in", http.MethodPost, transition, `{"toState": "FUNDED"}`, http.StatusOK)
	d.step("The first milestone is paid out", http.MethodPost, transition,
		`{"toState": "PARTIALLY_RELEASED", "amount": "250.00", "reason": "foundations are done"}`, http.StatusOK)
	d.step("The rest is paid out", http.MethodPost, transition,
		`{"toState": "RELEASED", "reason": "handed over"}`, http.StatusOK)

	// The ledger proves what happened, and the refusal shows that the rules hold.
	d.step("The ledger shows every step", http.MethodGet, "/ledger-events?positionId="+position.ID, "", http.StatusOK)
	d.step("A position that the policy refuses", http.MethodPost, "/positions",
		fmt.Sprintf(`{"assetId": %q, "holderReference": "ACME-4712", "currency": "USD", "amount": "50.00"}`, ids.Asset),
		http.StatusUnprocessableEntity)

	// Its end is final, so the examples of the document get another one, which is funded.
	d.moreForExamples(&ids, claim)

	// Nobody moves much alone. The second of two approvals is left to the reader.
	approval, checker := d.askTwoPeople(ids)
	ids.Approval, ids.Digest = approval.ID, approval.Digest
	d.examples(ids)
	if d.err != nil {
		return d.err
	}

	// A reader can paste these lines into a shell.
	fmt.Fprintf(d.out, `
The API is described at %[1]s/docs, with examples that work here: "Authorize" takes the institution's
key below, and for POST /institutions the operator's, %[4]s.

For your own requests, in another shell:

export API_URL=%[1]s
export API_KEY=%[2]s
export ASSET_ID=%[3]s

curl -s -H "X-API-KEY: $API_KEY" "$API_URL/positions?include=events"

One approval is missing. The second checker gives it, and so the release is carried out:

export CHECKER_KEY=%[5]s

curl -s -H "X-API-KEY: $CHECKER_KEY" "$API_URL/me/inbox"
curl -s -H "X-API-KEY: $CHECKER_KEY" -H 'Content-Type: application/json' "$API_URL/approvals/%[6]s/approve" \
  -d '{"digest": "%[7]s"}'

Serving until Ctrl-C.
`, d.url, d.apiKey, ids.Asset, d.operator, checker, ids.Approval, ids.Digest)
	return nil
}

// makeAsset makes what a position needs: an institution with a key, a policy, a template and an
// asset.
func (d *demonstration) makeAsset() httpapi.ExampleIDs {
	institution := d.step("The operator creates an institution", http.MethodPost, "/institutions",
		`{"name": "First Builders Bank", "regions": ["US"], "verticals": ["CONSTRUCTION"]}`, http.StatusCreated)
	key := d.step("The operator creates an admin key for it, which acts from here on",
		http.MethodPost, "/institutions/"+institution.ID+"/api-keys",
		`{"label": "demo", "role": "admin"}`, http.StatusCreated)
	d.apiKey = key.APIKey
	d.step("The institution sets a policy for the US", http.MethodPut, "/institutions/"+institution.ID+"/policies/US",
		`{"position": {"minAmount": "100", "maxAmount": "5000000", "allowedCurrencies": ["USD"]}}`, http.StatusOK)
	template := d.step("A template: construction escrow in dollars", http.MethodPost, "/asset-templates",
		`{"code": "CONSTR_ESCROW", "name": "Tower escrow", "vertical": "CONSTRUCTION", "region": "US", "config": {"currency": "USD"}}`,
		http.StatusCreated)
	asset := d.step("An asset of it: one project's escrow", http.MethodPost, "/assets",
		fmt.Sprintf(`{"templateId": %q, "label": "Harbour Tower, lot 3"}`, template.ID), http.StatusCreated)

	return httpapi.ExampleIDs{Institution: institution.ID, Key: key.ID, Template: template.ID, Asset: asset.ID}
}

// askTwoPeople asks for a release that takes two other people, of whom the first approves it. It returns the
// approval, and the key of the second.
func (d *demonstration) askTwoPeople(ids httpapi.ExampleIDs) (approval answer, second string) {
	admin := d.apiKey
	defer func() { d.apiKey = admin }()
	d.apiKey = "" // That of the operator.
	keys := "/institutions/" + ids.Institution + "/api-keys"
	first := d.step("The operator creates keys for two people, who check what others do", http.MethodPost, keys,
		`{"label": "first checker", "role": "approver", "owner": "E-2088"}`, http.StatusCreated)
	second = d.step("The second of them", http.MethodPost, keys,
		`{"label": "second checker", "role": "approver", "owner": "E-3107"}`, http.StatusCreated).APIKey

	d.apiKey = admin
	d.step("The institution's rule: from 5000 dollars on, a release takes two of them", http.MethodPut,
		"/institutions/"+ids.Institution+"/approval-rules",
		`{"rules": [{"id": "large-releases", "on": ["positions.release"], "when": {"amountFrom": {"USD": "5000"}}, `+
			`"require": [{"role": "approver", "count": 2}], "expiresIn": "72h"}]}`, http.StatusOK)
	large := d.step("A large position", http.MethodPost, "/positions", fmt.Sprintf(
		`{"assetId": %q, "holderReference": "ACME-4713", "currency": "USD", "amount": "9000.00"}`, ids.Asset),
		http.StatusCreated)
	transition := "/positions/" + large.ID + "/transition"
	d.step("Its money is paid in", http.MethodPost, transition, `{"toState": "FUNDED"}`, http.StatusOK)
	approval = d.step("Its release is not carried out, but waits for two approvals", http.MethodPost, transition,
		`{"toState": "RELEASED", "reason": "handed over"}`, http.StatusAccepted)

	d.apiKey = first.APIKey
	d.step("The first checker has seen what is asked for, and signs it by its digest", http.MethodPost,
		"/approvals/"+approval.ID+"/approve", fmt.Sprintf(`{"digest": %q}`, approval.Digest), http.StatusOK)
	return approval, second
}

// moreForExamples makes a position, funds it and puts a part of it on hold, a role, and an erasure of nothing, without
// a word.
func (d *demonstration) moreForExamples(ids *httpapi.ExampleIDs, claim string) {
	shown, steps := d.out, d.steps
	d.out = io.Discard
	defer func() { d.out, d.steps = shown, steps }()

	position := d.step("", http.MethodPost, "/positions", claim, http.StatusCreated)
	d.step("", http.MethodPost, "/positions/"+position.ID+"/transition", `{"toState": "FUNDED"}`, http.StatusOK)
	hold := d.step("", http.MethodPost, "/positions/"+position.ID+"/holds",
		`{"kind": "COMPLIANCE", "amount": "5.00", "reason": "Invoice under review"}`, http.StatusCreated)
	d.step("", http.MethodPut, "/institutions/"+ids.Institution+"/roles/releaser",
		`{"permissions": ["positions.read"]}`, http.StatusOK)
	erasure := d.step("", http.MethodPost, "/erasures", `{"holderReference": "nobody"}`, http.StatusOK)
	ids.Position, ids.Hold, ids.Erasure = position.ID, hold.ID, erasure.ID
}

// step sends one request and shows it with its answer, which must have the given status. After an
// error it does nothing, so that show checks for an error only once, at its end.
func (d *demonstration) step(title, method, path, body string, status int) (a answer) {
	if d.err != nil {
		return a
	}

	d.steps++
	fmt.Fprintf(d.out, "\n%d. %s\n   %s %s\n", d.steps, title, method, path)
	if body != "" {
		fmt.Fprintf(d.out, "   %s\n", body)
	}
	a, d.err = d.send(method, path, body, status)
	return a
}

// send sends a request and shows the answer as it is. It uses net/http, because apiclient turns
// a refusal into an error and drops its body.
func (d *demonstration) send(method, path, body string, status int) (a answer, err error) {
	request, err := http.NewRequestWithContext(d.ctx, method, d.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return a, err
	}
	request.Header.Set("X-API-KEY", cmp.Or(d.apiKey, d.rootKey))
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}

	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}

	var shown bytes.Buffer
	if err := json.Indent(&shown, content, "      ", "  "); err != nil {
		return a, err
	}
	fmt.Fprintf(d.out, "   → %s\n      %s\n", response.Status, shown.Bytes())
	if response.StatusCode != status {
		return a, fmt.Errorf("%s %s was answered with %s", method, path, response.Status)
	}
	err = json.Unmarshal(content, &a)
	return a, err
}
