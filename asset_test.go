package escrowgrid_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid"
)

func TestCreateAssetMakesAnInstanceOfATemplate(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	template := d.template(escrowgrid.ConstructionEscrow, `{"currency":"USD"}`)
	id := subjectID[escrowgrid.AssetID](d.accept(must(escrowgrid.NewCreateAsset(escrowgrid.AssetInput{
		TemplateID: template.String(), Label: "Tower B", Metadata: escrowgrid.Metadata(`{ "site": 7 }`),
	}))))
	got, _ := d.books.Assets.Get(id)
	want := escrowgrid.Asset{
		ID: id, InstitutionID: d.books.InstitutionID(), TemplateID: template, Label: "Tower B",
		Metadata: escrowgrid.Metadata(`{"site":7}`), CreatedAt: d.lastEntry().At,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("asset wanted (-) and made (+):\n%s", diff)
	}
}

func TestCreateAssetOfAnUnknownTemplateIsRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	command := must(escrowgrid.NewCreateAsset(escrowgrid.AssetInput{
		TemplateID: escrowgrid.TemplateID{1}.String(), Label: "Tower B",
	}))
	d.refuse(command, escrowgrid.CodeTemplateNotFound)
}

func TestNewCreateAssetTellsEveryFault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		input escrowgrid.AssetInput
		want  []string
	}{
		{
			"nothing",
			escrowgrid.AssetInput{},
			[]string{"templateId is required", "label is required"},
		},
		{
			"everything wrong",
			escrowgrid.AssetInput{
				TemplateID: escrowgrid.AssetID{}.String(), Label: "a\x00b", Metadata: escrowgrid.Metadata(`[]`),
			},
			[]string{
				`templateId must begin with "tmpl_"`, "label must not contain control characters", "metadata must be a JSON object",
			},
		},
		{
			"an id that is cut off",
			escrowgrid.AssetInput{TemplateID: "tmpl_01h455vb4p", Label: "Tower B"},
			[]string{"templateId must end in 26 characters of lower-case base32 (0-9, a-z without i, l, o, u)"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := escrowgrid.NewCreateAsset(test.input)
			checkFaults(t, err, test.want...)
		})
	}
}
