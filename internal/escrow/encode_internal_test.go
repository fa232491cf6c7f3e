package escrow

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// What is written by hand is, to the byte, what encoding/json makes of the structs
// that bodies are read back into.
func TestEntriesAreEncodedAsTheirStructs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := drawEntry(t)
		got, err := e.encode()
		if err != nil {
			t.Fatal(err)
		}
		want, err := marshal(entryBody[event]{
			Version: bodyVersion, InstitutionID: e.InstitutionID, Sequence: e.Sequence, ID: e.ID, At: FormatTime(e.At),
			Actor: e.Actor, RequestID: e.RequestID, Kind: e.Kind, Subject: e.Subject, Event: e.event,
		})
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("by hand:         %s\nby encoding/json: %s", got, want)
		}
	})
}

func drawEntry(t *rapid.T) Entry {
	id := func(name string) [16]byte { return [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name)) }
	text := func(name string) string { return rapid.String().Draw(t, name) }
	metadata := rapid.SampledFrom([]Metadata{nil, []byte(`{}`), []byte(`{"a":[1,"<é\u2028>",{"b":null}]}`)})
	state := rapid.SampledFrom(States())
	var e event
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		created := positionCreated{
			ID: PositionID(id("position")), AssetID: AssetID(id("asset")), HolderReference: textMember(text("holder")),
			ExternalReference: textMember(text("external")), Currency: "USD", Amount: "1000.00",
			Retained: rapid.SampledFrom([]string{"", "1.00"}).Draw(t, "retained"), Metadata: objectMember(metadata.Draw(t, "metadata")),
		}
		if rapid.Bool().Draw(t, "expires") {
			expiresAt := text("expiresAt")
			created.ExpiresAt = &expiresAt
		}
		e = created
	case 1:
		e = positionStateChanged{
			ID: PositionID(id("position")), From: state.Draw(t, "from"), To: state.Draw(t, "to"), Currency: "JPY",
			Amount: rapid.SampledFrom([]string{"", "1000"}).Draw(t, "amount"), Reason: textMember(text("reason")), Metadata: objectMember(metadata.Draw(t, "metadata")),
		}
	default:
		e = assetCreated{assetState{ID: AssetID(id("asset")), TemplateID: TemplateID(id("template")), Label: textMember(text("label"))}}
	}
	e, stored := seal(e, Secret(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret")))
	actor := rapid.SampledFrom([]Actor{ActorRoot(), ActorSystem(), ActorKey(KeyID(id("key"))), ActorOperator(OperatorID(id("operator")))})
	return Entry{
		InstitutionID: InstitutionID(id("institution")), Sequence: rapid.Int64().Draw(t, "sequence"), ID: EntryID(id("entry")),
		At: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")), Actor: actor.Draw(t, "actor"), RequestID: text("request"),
		Kind: e.kind(), Subject: text("subject"), Private: stored, event: e,
	}
}
