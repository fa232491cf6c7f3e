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
		asset := d.noted(test.before)
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
		asset := d.noted(string(text))
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

// Where a member stands twice, nobody can say which of the two is meant; and what is cut off is no
// object.
func TestWhatHasNoOneMeaningIsNotMerged(t *testing.T) {
	t.Parallel()
	const twice = `{"a":{"b":1,"b":2}}`
	for name, test := range map[string]struct{ before, patch string }{
		"in the patch":               {`{"a":1}`, `{"c":1,"c":2}`},
		"within a member of it":      {`{"a":1}`, twice},
		"in what it is merged with":  {`{"c":1,"c":2}`, `{"a":1}`},
		"within a member that stays": {twice, `{"a":{"c":1}}`},
		"in a name that is escaped":  {`{"a":1}`, `{"c":1,"\u0063":2}`},
		"which is cut off":           {`{"a":1}`, `{"a":`},
		"whose name is cut off":      {`{"a":1}`, `{"a`},
		"without its end":            {`{"a":1}`, `{"a":1`},
	} {
		d := openDesk(t)
		asset := d.noted(test.before)
		refusal := d.refusal(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Metadata: escrow.MetadataPatch(test.patch)}, nil)), escrow.CodeInvalidInput)
		if len(refusal.Faults) != 1 || refusal.Faults[0].Field != "metadata" {
			t.Errorf("%s: the faults are %v", name, refusal.Faults)
		}
		// It can be removed whole.
		d.accept(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{Metadata: escrow.MetadataPatch("null")}, nil)))
		if got, _ := d.books.Assets.Get(asset); got.Metadata != nil {
			t.Errorf("%s: removed, it is %s", name, got.Metadata)
		}
	}
}

// noted makes an asset that has metadata; an empty text is none.
func (d *desk) noted(metadata string) escrow.AssetID {
	d.t.Helper()
	return subjectID[escrow.AssetID](d.accept(valid(escrow.NewCreateAsset(escrow.AssetInput{
		TemplateID: d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`).String(), Label: "a", Metadata: escrow.Metadata(metadata),
	}))))
}
