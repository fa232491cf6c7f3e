package httpapi_test

import "testing"

func TestInstitutions(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		created := s.Post(t, "/institutions", `{"name": " Meridian ", "regions": ["UAE", "US"], "verticals": ["TRADE_FINANCE"]}`).Want(t, 201)
		path := "/institutions/" + created.Text("id")
		if created.Header.Get("Location") != path || created.Text("name") != "Meridian" || created.Text("regions") != `["UAE","US"]` || created.Text("verticals") != `["TRADE_FINANCE"]` {
			t.Errorf("the institution is %s at %s", created, created.Header.Get("Location"))
		}
		if read := s.Get(t, path).Want(t, 200); string(read.Body) != string(created.Body) {
			t.Errorf("it is read as %s", read)
		}
		everywhere := s.Post(t, "/institutions", `{"name": "M", "regions": ["SG"]}`).Want(t, 201)
		if everywhere.Text("verticals") != `["CONSTRUCTION","TRADE_FINANCE"]` {
			t.Errorf("without verticals it has %s", everywhere.Text("verticals"))
		}
		t.Run("regions and verticals bound what it does", func(t *testing.T) {
			named := "?institutionId=" + created.Text("id")
			s.Post(t, "/asset-templates"+named, templateOf("TF_LC").String()).Want(t, 201)
			s.Post(t, "/asset-templates"+named, templateOf("CONSTR_ESCROW").String()).Refused(t, 422, "invalid_input", "vertical")
			s.Post(t, "/asset-templates"+named, templateOf("TF_LC").with("region", "SG").String()).Refused(t, 422, "invalid_input", "region")
			s.Post(t, "/asset-templates"+named, templateOf("CONSTR_ESCROW").with("region", "SG").String()).Refused(t, 422, "invalid_input", "region", "vertical")
			s.Put(t, path+"/policies/US", `{"position": {}}`).Want(t, 200)
			s.Put(t, path+"/policies/SG", `{"position": {}}`).Refused(t, 422, "invalid_input", "region")
		})
	})
}
