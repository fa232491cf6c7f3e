package escrow_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestCreateAssetMakesAnInstanceOfATemplate(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`)
	id := subjectID[escrow.AssetID](d.accept(valid(escrow.NewCreateAsset(escrow.AssetInput{
		TemplateID: template.String(), Label: "Tower B", Metadata: escrow.Metadata(`{ "site": 7 }`),
	}))))
	got, _ := d.books.Assets.Get(id)
	want := escrow.Asset{
		ID: id, InstitutionID: d.books.InstitutionID(), TemplateID: template, Label: "Tower B",
		Metadata: escrow.Metadata(`{"site":7}`), Upkeep: escrow.Upkeep{Version: 1, CreatedAt: d.lastEntry().At},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("asset wanted (-) and made (+):\n%s", diff)
	}
}

func TestCreateAssetOfAnUnknownTemplateIsRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	command := valid(escrow.NewCreateAsset(escrow.AssetInput{
		TemplateID: escrow.TemplateID{1}.String(), Label: "Tower B",
	}))
	d.refuse(command, escrow.CodeTemplateNotFound)
}

func TestNewCreateAssetTellsEveryFault(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		input escrow.AssetInput
		want  []string
	}{
		{
			"nothing",
			escrow.AssetInput{},
			[]string{"templateId is required", "label is required"},
		},
		{
			"everything wrong",
			escrow.AssetInput{
				TemplateID: escrow.AssetID{}.String(), Label: "a\x00b", Metadata: escrow.Metadata(`[]`),
			},
			[]string{
				`templateId must begin with "tmpl_"`, "label must not contain control characters", "metadata must be a JSON object",
			},
		},
		{
			"an id that is cut off",
			escrow.AssetInput{TemplateID: "tmpl_01h455vb4p", Label: "Tower B"},
			[]string{"templateId must end in 26 characters of lower-case base32 (0-9, a-z without i, l, o, u)"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewCreateAsset(test.input)
			checkFaults(t, faults, test.want...)
		})
	}
}
