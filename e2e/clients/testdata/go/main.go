// Program story takes a position through its life with the client that oapi-codegen has
// generated. It ends with an error where something is not as the types say, or has not
// happened.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"reflect"

	"story/api"
)

func main() {
	if err := tell(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// clientOf acts with a key.
func clientOf(key string) (*api.ClientWithResponses, error) {
	authenticate := func(_ context.Context, request *http.Request) error {
		request.Header.Set("X-API-KEY", key)
		return nil
	}
	return api.NewClientWithResponses(os.Getenv("API_URL"), api.WithRequestEditorFn(authenticate))
}

// tell tells the story. It fails with what is not as it should be: an answer that is an error
// has no body of the wanted type.
func tell(ctx context.Context) (err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("%v", problem)
		}
	}()

	institution, bank := makeInstitution(ctx)
	asset := makeAsset(ctx, bank)
	claim := api.CreatePosition{
		AssetId:         asset,
		HolderReference: "ACME-4711",
		Currency:        "USD",
		Amount:          "1000.00",
	}
	endPosition(ctx, bank, claim)
	readBack(ctx, institution, bank)

	// An error has a body of its type.
	claim.Amount = "-1"
	refused := must(bank.CreatePositionWithResponse(ctx, nil, claim))
	problem := done(refused.ApplicationproblemJSON422, refused.Body)
	expect("the code of an error", problem.Code, "invalid_input")
	expect("the field of an error", (*problem.Errors)[0].Field, "amount")

	releaseWithApproval(ctx, institution, asset, bank)
	return nil
}

// makeInstitution makes an institution, and a client that acts for it.
func makeInstitution(ctx context.Context) (id string, bank *api.ClientWithResponses) {
	root := must(clientOf(os.Getenv("ROOT_API_KEY")))
	made := must(root.CreateInstitutionWithResponse(ctx, nil, api.CreateInstitution{
		Name: "First Builders Bank", Regions: []api.Region{"US"},
	}))
	id = done(made.JSON201, made.Body).Id

	bank = clientOfNew(ctx, id, api.CreateApiKey{Label: "payments", Role: new("admin")})
	keys := must(bank.ListApiKeysWithResponse(ctx, id, &api.ListApiKeysParams{IncludeRevoked: new(true)}))
	expect("the number of keys", len(done(keys.JSON200, keys.Body).Data), 1)
	return id, bank
}

// clientOfNew makes a key of an institution, as the operator, and a client that acts with it.
func clientOfNew(ctx context.Context, institution string, key api.CreateApiKey) *api.ClientWithResponses {
	root := must(clientOf(os.Getenv("ROOT_API_KEY")))
	made := must(root.CreateApiKeyWithResponse(ctx, institution, nil, key))
	return must(clientOf(done(made.JSON201, made.Body).ApiKey))
}

// makeAsset makes an asset, of a template of its own.
func makeAsset(ctx context.Context, bank *api.ClientWithResponses) (id string) {
	template := must(bank.CreateAssetTemplateWithResponse(ctx, nil, api.CreateAssetTemplate{
		Code:     "CONSTR_ESCROW",
		Name:     "Tower escrow",
		Vertical: "CONSTRUCTION",
		Region:   "US",
		Config:   map[string]any{"currency": "USD"},
	}))
	asset := must(bank.CreateAssetWithResponse(ctx, nil, api.CreateAsset{
		TemplateId: done(template.JSON201, template.Body).Id, Label: "Harbour Tower, lot 3",
	}))
	return done(asset.JSON201, asset.Body).Id
}

// endPosition takes a position to its end in steps.
func endPosition(ctx context.Context, bank *api.ClientWithResponses, claim api.CreatePosition) {
	once := &api.CreatePositionParams{IdempotencyKey: new("claim-4711")}
	created := must(bank.CreatePositionWithResponse(ctx, once, claim))
	position := done(created.JSON201, created.Body)
	expect("the version", created.Headers201.ETag, `"1"`)

	var held []string
	for _, step := range []api.TransitionPosition{
		{ToState: "FUNDED"},
		{ToState: "PARTIALLY_RELEASED", Amount: new("250.00"), Reason: new("foundations are done")},
		{ToState: "RELEASED"},
	} {
		moved := must(bank.TransitionPositionWithResponse(ctx, position.Id, nil, step))
		held = append(held, done(moved.JSON200, moved.Body).Held)
	}
	expect("what is held after each step", held, []string{"1000.00", "750.00", "0.00"})
}

// readBack lists what was done. Parameters that are numbers are given as numbers.
func readBack(ctx context.Context, institution string, bank *api.ClientWithResponses) {
	list := must(bank.ListPositionsWithResponse(ctx, &api.ListPositionsParams{
		Limit: new(int64(1000)), State: &[]api.State{"FUNDED", "RELEASED"},
	}))
	positions := done(list.JSON200, list.Body)
	expect("the limit", positions.Pagination.Limit, int64(1000))
	expect("the number of released positions", len(positions.Data), 1)

	statement := must(bank.GetStatementWithResponse(ctx, institution, &api.GetStatementParams{Limit: new(int64(1000))}))
	var amounts []string
	for _, movement := range done(statement.JSON200, statement.Body).Movements {
		amounts = append(amounts, movement.Amount)
	}
	expect("what moved", amounts, []string{"1000.00", "250.00", "750.00"})
}

// releaseWithApproval releases money under a rule, so that another person has to approve it.
func releaseWithApproval(ctx context.Context, institution, asset string, bank *api.ClientWithResponses) {
	maker := clientOfNew(ctx, institution, api.CreateApiKey{
		Label: "operations", Role: new("operator"), Owner: new("E-1041"),
	})
	checker := clientOfNew(ctx, institution, api.CreateApiKey{
		Label: "checks", Role: new("approver"), Owner: new("E-2088"),
	})
	set := must(bank.SetApprovalRulesWithResponse(ctx, institution, nil, api.SetApprovalRules{Rules: []api.RuleBody{{
		Id:        "large-releases",
		On:        []api.RuleBodyOn{"positions.release"},
		When:      &api.RuleWhenBody{AmountFrom: &map[string]string{"USD": "5000"}},
		Require:   []api.RequirementBody{{Role: "approver", Count: 1}},
		ExpiresIn: new("72h"),
	}}}))
	expect("the version of the rules", done(set.JSON200, set.Body).Version, int64(1))

	created := must(maker.CreatePositionWithResponse(ctx, nil, api.CreatePosition{
		AssetId: asset, HolderReference: "ACME-4713", Currency: "USD", Amount: "9000.00",
	}))
	id := done(created.JSON201, created.Body).Id
	funded := must(maker.TransitionPositionWithResponse(ctx, id, nil, api.TransitionPosition{ToState: "FUNDED"}))
	done(funded.JSON200, funded.Body)

	asked := must(maker.TransitionPositionWithResponse(ctx, id, nil, api.TransitionPosition{ToState: "RELEASED"}))
	approval := done(asked.JSON202, asked.Body)
	inbox := must(checker.GetInboxWithResponse(ctx, nil))
	expect("what the checker finds", done(inbox.JSON200, inbox.Body).Data[0].Id, approval.Id)
	decided := must(checker.ApproveWithResponse(ctx, approval.Id, nil, api.Approve{Digest: approval.Digest}))
	expect("the status of the approval", done(decided.JSON200, decided.Body).Status, api.ApprovalStatus("EXECUTED"))

	position := must(bank.GetPositionWithResponse(ctx, id, nil))
	expect("the state after the approval", done(position.JSON200, position.Body).State, api.State("RELEASED"))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// done returns the body of an answer, which is nil where the answer has another status.
func done[T any](body *T, raw []byte) T {
	if body == nil {
		panic(string(raw))
	}
	return *body
}

func expect(what string, got, want any) {
	if !reflect.DeepEqual(got, want) {
		panic(fmt.Sprintf("%s is %v, not %v", what, got, want))
	}
}
