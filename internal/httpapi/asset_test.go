package httpapi_test

import (
	"slices"
	"testing"
)

func TestAssets(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		created := b.Admin.Post(t, "/assets", newAsset(b).with("metadata", raw(`{"b":1,"a":2}`)).String()).Want(t, 201)
		if created.Header.Get("Location") != "/assets/"+created.Text("id") || created.Text("templateId") != b.Template || created.Text("label") != "Lot 3" {
			t.Errorf("the asset is %s", created)
		}
		if read := b.ReadOnly.Get(t, "/assets/"+created.Text("id")).Want(t, 200); string(read.Body) != string(created.Body) {
			t.Errorf("it is read as %s", read)
		}
		template := b.template(t, templateOf("TF_LC"))
		other := b.asset(t, template)
		if got := b.Admin.Get(t, "/assets?templateId="+template).Texts(t, "id"); !slices.Equal(got, []string{other}) {
			t.Errorf("of the template there are %v", got)
		}
		if got := b.Admin.Get(t, "/assets?templateId=tmpl_01jd8m3q5yf7wbt0x4a2k9r6ce").Texts(t, "id"); len(got) != 0 {
			t.Errorf("of no template there are %v", got)
		}
	})
}
