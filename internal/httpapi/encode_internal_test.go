package httpapi

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// What is encoded by hand is what the struct, of which the API's description is made,
// would be encoded as.
func TestPositionsAreEncodedAsTheirStructs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkEncoding(t, viewPosition(drawPosition(t))) })
}

func TestBatchesAreEncodedAsTheirStructs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var results escrow.BatchResults
		for range rapid.IntRange(1, 4).Draw(t, "items") {
			result := escrow.ItemResult{Position: drawPosition(t)}
			if rapid.Bool().Draw(t, "refused") {
				result.Refusal = drawRefusal(t)
			}
			results = append(results, result)
		}
		checkEncoding(t, viewResults(results, 201))
	})
}

func drawRefusal(t *rapid.T) *escrow.Error {
	kind := rapid.SampledFrom(ErrorKinds()).Draw(t, "kind")
	refusal := escrow.Errorf(kind.Code, "%s", rapid.String().Draw(t, "detail"))
	for range rapid.IntRange(0, 3).Draw(t, "faults") {
		refusal.Faults = append(refusal.Faults, escrow.Fault{Field: rapid.String().Draw(t, "field"), Message: rapid.String().Draw(t, "message")})
	}
	return refusal
}

func checkEncoding(t *rapid.T, view jsonwriter.Value) {
	t.Helper()
	got, err := encode(view)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(view, answerOptions)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want)+"\n", string(got)); diff != "" {
		t.Error(diff)
	}
}

func drawPosition(t *rapid.T) escrow.Position {
	amount := func(name string) money.Amount { return money.Amount(rapid.Int64Range(0, 1e17).Draw(t, name)) }
	at := func(name string) time.Time {
		return time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, name)).UTC()
	}
	metadata := func(name string) escrow.Metadata {
		return rapid.SampledFrom([]escrow.Metadata{nil, []byte(`{}`), []byte(`{"a":[1,"<é\u0000>",{"b":null}]}`)}).Draw(t, name)
	}
	actor := rapid.SampledFrom([]escrow.Actor{
		escrow.ActorRoot(), escrow.ActorSystem(), escrow.ActorKey(escrow.KeyID(drawID(t))),
		escrow.ActorOperator(escrow.OperatorID(drawID(t))),
	})
	state := rapid.SampledFrom(append(escrow.States(), ""))
	p := escrow.Position{
		ID: escrow.PositionID(drawID(t)), InstitutionID: escrow.InstitutionID(drawID(t)), AssetID: escrow.AssetID(drawID(t)),
		HolderReference: rapid.String().Draw(t, "holder"), ExternalReference: rapid.String().Draw(t, "external"),
		Currency: money.Currency{Code: "BHD", Decimals: rapid.IntRange(0, 4).Draw(t, "decimals")},
		Amount:   amount("amount"), Funded: amount("funded"), Released: amount("released"), Refunded: amount("refunded"), Held: amount("held"),
		State: state.Draw(t, "state"), Version: rapid.Int64Range(1, 1000).Draw(t, "version"), Metadata: metadata("metadata"),
		CreatedAt: at("created"), UpdatedAt: at("updated"),
	}
	if rapid.Bool().Draw(t, "expires") {
		expiresAt := at("expiresAt")
		p.ExpiresAt = &expiresAt
	}
	for range rapid.IntRange(0, 3).Draw(t, "events") {
		p.Events = append(p.Events, escrow.PositionEvent{
			ID: escrow.EntryID(drawID(t)), Sequence: rapid.Int64Min(1).Draw(t, "sequence"), Actor: actor.Draw(t, "actor"), At: at("at"),
			From: state.Draw(t, "from"), To: state.Draw(t, "to"), Currency: p.Currency, Amount: amount("moved"),
			Reason: rapid.String().Draw(t, "reason"), Metadata: metadata("event metadata"),
		})
	}
	return p
}

func drawID(t *rapid.T) [16]byte {
	return [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
}
