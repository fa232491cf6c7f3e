package httpapi_test

import "testing"

func TestTemplates(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for code, config := range map[string]fields{
			"CONSTR_ESCROW":    {"currency": "jpy", "region": "US", "minAmount": 1, "maxAmount": "1000"},
			"CONSTR_RETAINAGE": {"currency": "USD", "retainagePercentage": raw("7.50")},
			"TF_INVOICE":       {"currency": "USD", "maxTenorDays": 36525, "country": "de"},
			"TF_LC":            {"currency": "KWD", "maxTenorDays": 1, "issuingBankCountry": "KW"},
		} {
			created := b.Admin.Post(t, "/asset-templates", templateOf(code).with("config", config).String()).Want(t, 201)
			if location := created.Header.Get("Location"); location != "/asset-templates/"+created.Text("id") {
				t.Errorf("Location is %s", location)
			}
			want := map[string]string{
				"CONSTR_ESCROW":    `{"currency":"JPY","maxAmount":"1000","minAmount":"1","region":"US"}`,
				"CONSTR_RETAINAGE": `{"currency":"USD","retainagePercentage":7.5}`,
				"TF_INVOICE":       `{"country":"DE","currency":"USD","maxTenorDays":36525}`,
				"TF_LC":            `{"currency":"KWD","issuingBankCountry":"KW","maxTenorDays":1}`,
			}[code]
			if got := created.Text("config"); got != want || created.Text("code") != code {
				t.Errorf("the config of %s is %s, want %s", code, got, want)
			}
			if read := b.ReadOnly.Get(t, "/asset-templates/"+created.Text("id")).Want(t, 200); string(read.Body) != string(created.Body) {
				t.Errorf("it is read as %s", read)
			}
		}
		for name, template := range map[string]fields{
			"vertical":         templateOf("TF_LC").with("vertical", "CONSTRUCTION"),
			"config.region":    templateOf("CONSTR_ESCROW").with("config.region", "SG"),
			"config.minAmount": templateOf("CONSTR_ESCROW").with("config.minAmount", 2).with("config.maxAmount", 1),
			"config.country":   templateOf("TF_LC").with("config.country", "DE"),
		} {
			b.Admin.Post(t, "/asset-templates", template.String()).Refused(t, 422, "invalid_input", name)
		}
	})
}
