package escrow_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestWhatThingsAreCalledCanBeCorrected(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`)
	asset := d.asset(template)
	key := d.key(escrow.RoleAdmin, nil)
	name := new(" Harbour ")

	d.accept(valid(escrow.NewUpdateInstitution(name, []int64{1})))
	d.accept(valid(escrow.NewUpdateTemplate(template, name, nil)))
	d.accept(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Label: name}, []int64{9, 1})))
	d.accept(valid(escrow.NewUpdateKey(key, name, nil)))
	institution, _ := d.books.Institutions.Get(d.books.InstitutionID())
	made, _ := d.books.Templates.Get(template)
	on, _ := d.books.Assets.Get(asset)
	for what, is := range map[string]struct {
		name    string
		version int64
	}{
		"institution": {institution.Name, institution.Version}, "template": {made.Name, made.Version},
		"asset": {on.Label, on.Version}, "key": {d.getKey(key).Label, d.getKey(key).Version},
	} {
		if is.name != "Harbour" || is.version != 2 {
			t.Errorf("the %s is %q in version %d", what, is.name, is.version)
		}
	}

	// What is so already, or is left out, makes no entry.
	entries := len(d.books.Entries)
	for _, same := range []*string{nil, name} {
		d.accept(valid(escrow.NewUpdateInstitution(same, nil)))
		d.accept(valid(escrow.NewUpdateTemplate(template, same, nil)))
		d.accept(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Label: same}, nil)))
		d.accept(valid(escrow.NewUpdateKey(key, same, nil)))
	}
	if len(d.books.Entries) != entries {
		t.Error("changes of nothing are in the journal")
	}

	one := []int64{1}
	d.refuse(valid(escrow.NewUpdateInstitution(name, one)), escrow.CodeVersionMismatch)
	d.refuse(valid(escrow.NewUpdateTemplate(template, name, one)), escrow.CodeVersionMismatch)
	d.refuse(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{}, one)), escrow.CodeVersionMismatch)
	d.refuse(valid(escrow.NewUpdateKey(key, name, []int64{})), escrow.CodeVersionMismatch)
	d.refuse(valid(escrow.NewUpdateTemplate(escrow.TemplateID{1}, name, nil)), escrow.CodeTemplateNotFound)
	d.refuse(valid(escrow.NewUpdateAsset(escrow.AssetID{1}, escrow.AssetChange{}, nil)), escrow.CodeAssetNotFound)
	d.refuse(valid(escrow.NewUpdateKey(escrow.KeyID{1}, name, nil)), escrow.CodeKeyNotFound)
	_, faults := escrow.NewUpdateAsset(asset, escrow.AssetChange{Label: new(" ")}, nil)
	checkFaults(t, faults, "label is required")
	d.checkReplay()
}

func TestWhatIsClosedTakesNothingNew(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`)
	asset := d.asset(template)
	held, created := d.position(asset, "10", "USD"), d.position(asset, "10", "USD")
	d.accept(transition(held, escrow.StateFunded, ""))
	key := d.key(escrow.RoleAdmin, nil)

	for range 2 { // The second time changes nothing.
		d.accept(escrow.CloseTemplate{Template: template})
		d.accept(escrow.CloseAsset{Asset: asset})
	}
	made, _ := d.books.Templates.Get(template)
	on, _ := d.books.Assets.Get(asset)
	if made.ClosedAt == nil || made.Version != 2 || on.ClosedAt == nil || on.Version != 2 {
		t.Errorf("closed they are %+v and %+v", made, on)
	}
	d.refuse(valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template.String(), Label: "a"})), escrow.CodeTemplateClosed)
	d.refuse(newPosition(asset, "10", "USD", nil), escrow.CodeAssetClosed)
	d.refuse(escrow.CloseTemplate{Template: escrow.TemplateID{1}}, escrow.CodeTemplateNotFound)
	d.refuse(escrow.CloseAsset{Asset: escrow.AssetID{1}}, escrow.CodeAssetNotFound)

	if refusal := d.refusal(escrow.CloseInstitution{}, escrow.CodeInstitutionHoldsMoney); !strings.Contains(refusal.Detail, held.String()) {
		t.Errorf("the refusal does not name a position: %s", refusal)
	}
	d.accept(transition(held, escrow.StateReleased, "")) // What there is goes on.
	d.actor = escrow.ActorKey(key)
	d.refuse(escrow.CloseInstitution{}, escrow.CodeForbidden)
	d.actor = escrow.ActorRoot()
	d.accept(escrow.CloseInstitution{})
	d.accept(escrow.CloseInstitution{})
	d.checkReplay()

	for _, command := range []escrow.Command{
		newPosition(asset, "10", "USD", nil), transition(created, escrow.StateFunded, ""), newRotation(key, 0),
		valid(escrow.NewUpdateInstitution(new("x"), nil)), valid(escrow.NewSetPolicy("US", rules("", ""))),
	} {
		d.refuse(command, escrow.CodeInstitutionClosed)
	}
	d.accept(transition(created, escrow.StateCancelled, ""))
	d.accept(escrow.RevokeKey{Key: key})
}

// Of the stored positions that hold money one is loaded: whether there are others is open
// once that one has moved in the same group.
func TestAnInstitutionWhoseMoneyMovesIsNotClosed(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.position(d.escrow(), "10", "USD")
	d.accept(transition(id, escrow.StateFunded, ""))
	d.books.Positions.Load(id, d.get(id))
	d.accept(transition(id, escrow.StateReleased, ""))
	d.refuse(escrow.CloseInstitution{}, escrow.CodeInstitutionHoldsMoney)
}

// The examples of RFC 7396, appendix A, of objects, and what its text says of bytes.
func TestMetadataIsMergedAsRFC7396HasIt(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ before, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, ``},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{``, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a\/b":1.50e+2,"\u0062":1}`, `{"b":{"c":[null,"\u003c"]}}`, `{"a\/b":1.50e+2,"\u0062":{"c":[null,"\u003c"]}}`},
		{`{"a":1}`, `{}`, `{"a":1}`},
		{`{"a":1}`, `null`, ``},
	} {
		d := openDesk(t)
		asset := subjectID[escrow.AssetID](d.accept(valid(escrow.NewCreateAsset(escrow.AssetInput{
			TemplateID: d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`).String(), Label: "a", Metadata: escrow.Metadata(test.before),
		}))))
		var patch escrow.MetadataPatch
		if err := patch.UnmarshalJSON([]byte(test.patch)); err != nil {
			t.Fatal(err)
		}
		d.accept(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Metadata: patch}, nil)))
		if got, _ := d.books.Assets.Get(asset); string(got.Metadata) != test.want {
			t.Errorf("%s patched with %s is %s, want %s", test.before, test.patch, got.Metadata, test.want)
		}
	}
	for _, patch := range []string{`[]`, `"a"`, `1`, ``} {
		if err := new(escrow.MetadataPatch).UnmarshalJSON([]byte(patch)); err == nil {
			t.Errorf("%q is a patch", patch)
		}
	}
	d := openDesk(t)
	long := escrow.MetadataPatch(`{"a":"` + strings.Repeat("x", escrow.MaxMetadataSize) + `"}`)
	d.refuse(valid(escrow.NewUpdateAsset(d.escrow(), escrow.AssetChange{Metadata: long}, nil)), escrow.CodeInvalidInput)
}

// What is merged by bytes means what a merge of the values means.
func TestMergesMeanWhatTheirValuesMean(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, patch := drawObject(t, "before", 3), drawObject(t, "patch", 3)
		d := openDesk(t)
		text := must(json.Marshal(before))
		asset := subjectID[escrow.AssetID](d.accept(valid(escrow.NewCreateAsset(escrow.AssetInput{
			TemplateID: d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`).String(), Label: "a", Metadata: text,
		}))))
		d.now = d.now.Add(time.Second)
		d.accept(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Metadata: must(json.Marshal(patch))}, nil)))
		got, _ := d.books.Assets.Get(asset)
		after := map[string]any{}
		if got.Metadata != nil {
			if err := json.Unmarshal(got.Metadata, &after); err != nil {
				t.Fatal(err)
			}
		}
		if want := merged(before, patch); !reflect.DeepEqual(after, want) {
			t.Errorf("%s patched with %v is %s, want %v", text, patch, got.Metadata, want)
		}
	})
}

func drawObject(t *rapid.T, name string, depth int) map[string]any {
	object := make(map[string]any)
	for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "é"}), 0, 3, rapid.ID).Draw(t, name) {
		switch kind := rapid.IntRange(0, 3).Draw(t, "kind"); {
		case kind == 0:
			object[key] = nil
		case kind == 1 && depth > 0:
			object[key] = drawObject(t, name+"."+key, depth-1)
		default:
			object[key] = float64(rapid.IntRange(0, 3).Draw(t, "value"))
		}
	}
	return object
}

// merged is the algorithm of RFC 7396, section 2, as it stands there.
func merged(target any, patch map[string]any) map[string]any {
	object := make(map[string]any)
	if before, ok := target.(map[string]any); ok {
		maps.Copy(object, before)
	}
	for name, value := range patch {
		if value == nil {
			delete(object, name)
		} else if inner, ok := value.(map[string]any); ok {
			object[name] = merged(object[name], inner)
		} else {
			object[name] = value
		}
	}
	return object
}
