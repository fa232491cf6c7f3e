package escrow_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// templateInput is a template without fault, of the code and with the config.
func templateInput(code escrow.TemplateCode, config string) escrow.TemplateInput {
	return escrow.TemplateInput{
		Code: string(code), Name: "A template", Vertical: string(code.Vertical()), Region: "US", Config: json.RawMessage(config),
	}
}

func TestEveryTemplateCodeHasItsVertical(t *testing.T) {
	t.Parallel()
	got := make(map[escrow.TemplateCode]escrow.Vertical)
	for _, code := range escrow.TemplateCodes() {
		got[code] = code.Vertical()
	}
	want := map[escrow.TemplateCode]escrow.Vertical{
		"CONSTR_ESCROW": "CONSTRUCTION", "CONSTR_RETAINAGE": "CONSTRUCTION",
		"TF_INVOICE": "TRADE_FINANCE", "TF_LC": "TRADE_FINANCE",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("verticals wanted (-) and given (+):\n%s", diff)
	}
}

// A schema that is made of these says what a config of the code is: these members, and no others.
func TestEveryTemplateCodeDescribesItsConfig(t *testing.T) {
	t.Parallel()
	for code, want := range map[escrow.TemplateCode]string{
		escrow.ConstructionEscrow:    "currency string! region string minAmount string maxAmount string uniqueExternalReference boolean",
		escrow.ConstructionRetainage: "currency string! retainagePercentage number! uniqueExternalReference boolean",
		escrow.TradeFinanceInvoice:   "currency string! maxTenorDays integer! country string! uniqueExternalReference boolean",
		escrow.TradeFinanceLC:        "currency string! maxTenorDays integer! issuingBankCountry string! uniqueExternalReference boolean",
		"PARTY":                      "",
	} {
		var described []string
		var required []string
		for _, member := range code.ConfigMembers() {
			text := member.Name + " " + member.Type
			if member.Required {
				text += "!"
				required = append(required, "config."+member.Name+" is required")
			}
			described = append(described, text)
		}
		if got := strings.Join(described, " "); got != want {
			t.Errorf("the config of %s is %s, want %s", code, got, want)
		}
		if code.Vertical() == "" {
			continue
		}
		_, faults := escrow.NewCreateTemplate(templateInput(code, `{}`))
		checkFaults(t, faults, required...)
	}
}

func TestTemplateKeepsItsConfigAsGivenAndReplayed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code          escrow.TemplateCode
		given, stored string
	}{
		{"CONSTR_ESCROW", `{"currency":"usd"}`, `{"currency":"USD"}`},
		{
			"CONSTR_ESCROW", ` {"maxAmount": "2000.5", "minAmount": 10, "region": "US", "currency": "USD"} `,
			`{"currency":"USD","region":"US","minAmount":"10.00","maxAmount":"2000.50"}`,
		},
		{"CONSTR_ESCROW", `{"currency":"JPY","minAmount":5,"maxAmount":5}`, `{"currency":"JPY","minAmount":"5","maxAmount":"5"}`},
		{"CONSTR_ESCROW", `{"currency":"USD","region":null,"minAmount":null,"maxAmount":null}`, `{"currency":"USD"}`},
		{
			"CONSTR_ESCROW", `{"uniqueExternalReference":true,"currency":"USD"}`,
			`{"currency":"USD","uniqueExternalReference":true}`,
		},
		{"CONSTR_ESCROW", `{"currency":"USD","uniqueExternalReference":false}`, `{"currency":"USD"}`},
		{"CONSTR_RETAINAGE", `{"currency":"KWD","retainagePercentage":0}`, `{"currency":"KWD","retainagePercentage":0}`},
		{"CONSTR_RETAINAGE", `{"currency":"KWD","retainagePercentage":"100.0"}`, `{"currency":"KWD","retainagePercentage":100}`},
		{"CONSTR_RETAINAGE", `{"currency":"KWD","retainagePercentage":12.5}`, `{"currency":"KWD","retainagePercentage":12.5}`},
		{
			"TF_INVOICE", `{"currency":"EUR","maxTenorDays":1,"country":"de"}`,
			`{"currency":"EUR","maxTenorDays":1,"country":"DE"}`,
		},
		{
			"TF_LC", `{"currency":"EUR","issuingBankCountry":"AE","maxTenorDays":36525}`,
			`{"currency":"EUR","maxTenorDays":36525,"issuingBankCountry":"AE"}`,
		},
	} {
		t.Run(string(test.code)+" "+test.given, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			id := d.template(test.code, test.given)
			template, _ := d.books.Templates.Get(id)
			if got := must(json.Marshal(template.Config)); string(got) != test.stored {
				t.Errorf("the config is kept as %s, want %s", got, test.stored)
			}
			if template.Code != test.code || template.Vertical != test.code.Vertical() || template.Region != "US" ||
				template.Name != "A template" || template.InstitutionID != d.books.InstitutionID() ||
				template.CreatedAt != d.lastEntry().At {
				t.Errorf("the template is kept as %+v", template)
			}
			d.checkReplay()
		})
	}
}

// Every member of every code's config: what it takes and what it refuses.
func TestTemplateConfigTellsEveryFault(t *testing.T) {
	t.Parallel()
	const (
		noNumber   = " must be a plain decimal number, like 1000 or 1000.50, without sign or exponent"
		noDigits   = " must be a number, or a string that holds one"
		noCurrency = "config.currency must be an ISO 4217 currency code, like USD"
		noCountry  = " must be an ISO 3166-1 alpha-2 country code, like DE"
		noDays     = "config.maxTenorDays must be a whole number from 1 to 36525"
		noObject   = "config must be a JSON object"
		overMax    = "config.minAmount must not be greater than maxAmount"
	)
	// In a config, $ stands for what makes the rest of it valid.
	const (
		building  = `"currency":"USD"`
		retainage = `"currency":"USD","retainagePercentage":10`
		invoice   = `"currency":"USD","maxTenorDays":30,"country":"DE"`
		letter    = `"currency":"USD","maxTenorDays":30,"issuingBankCountry":"SG"`
	)
	for _, test := range []struct {
		code   escrow.TemplateCode
		config string
		want   []string
	}{
		{"CONSTR_ESCROW", ``, []string{noObject}},
		{"CONSTR_ESCROW", `null`, []string{noObject}},
		{"CONSTR_ESCROW", `[]`, []string{noObject}},
		{"CONSTR_ESCROW", `"USD"`, []string{noObject}},
		{"CONSTR_ESCROW", `{`, []string{noObject}},

		{"CONSTR_ESCROW", `{}`, []string{"config.currency is required"}},
		{"CONSTR_ESCROW", `{"currency":null}`, []string{"config.currency is required"}},
		{"CONSTR_ESCROW", `{"currency":""}`, []string{"config.currency must not be empty"}},
		{"CONSTR_ESCROW", `{"currency":"DOLLAR"}`, []string{noCurrency}},
		{"CONSTR_ESCROW", `{"currency":840}`, []string{"config.currency must be a string"}},
		{"CONSTR_ESCROW", `{"currency":"USD","uniqueExternalReference":"true"}`, []string{
			"config.uniqueExternalReference must be true or false",
		}},
		{"CONSTR_ESCROW", `{"Currency":"USD"}`, []string{
			"config.currency is required", "config.Currency is not a member of the config of CONSTR_ESCROW",
		}},

		{"CONSTR_ESCROW", `{$,"region":"US"}`, nil},
		{"CONSTR_ESCROW", `{$,"region":"SG"}`, []string{"config.region must equal the template's region"}},
		{"CONSTR_ESCROW", `{$,"region":"us"}`, []string{"config.region must equal the template's region"}},
		{"CONSTR_ESCROW", `{$,"region":""}`, []string{"config.region must not be empty"}},
		{"CONSTR_ESCROW", `{$,"region":["US"]}`, []string{"config.region must be a string"}},

		{"CONSTR_ESCROW", `{$,"minAmount":0.01,"maxAmount":"1000000000000000"}`, nil},
		{"CONSTR_ESCROW", `{$,"minAmount":0}`, []string{"config.minAmount must be greater than 0"}},
		{"CONSTR_ESCROW", `{$,"minAmount":-5}`, []string{"config.minAmount" + noNumber}},
		{"CONSTR_ESCROW", `{$,"minAmount":""}`, []string{"config.minAmount" + noNumber}},
		{"CONSTR_ESCROW", `{$,"minAmount":true}`, []string{"config.minAmount" + noDigits}},
		{"CONSTR_ESCROW", `{$,"maxAmount":1e3}`, []string{"config.maxAmount" + noNumber}},
		{"CONSTR_ESCROW", `{$,"maxAmount":{}}`, []string{"config.maxAmount" + noDigits}},
		{"CONSTR_ESCROW", `{$,"maxAmount":1.001}`, []string{"config.maxAmount has more decimals than the 2 of USD"}},
		{"CONSTR_ESCROW", `{$,"maxAmount":1000000000000001}`, []string{"config.maxAmount must be at most 1000000000000000"}},
		{"CONSTR_ESCROW", `{$,"minAmount":5.01,"maxAmount":5}`, []string{overMax}},
		{"CONSTR_ESCROW", `{$,"minAmount":5,"maxAmount":5}`, nil},
		{"CONSTR_ESCROW", `{"minAmount":"five"}`, []string{"config.currency is required", "config.minAmount" + noNumber}},

		{"CONSTR_ESCROW", `{$,"retainagePercentage":10}`, []string{
			"config.retainagePercentage is not a member of the config of CONSTR_ESCROW",
		}},
		{"CONSTR_ESCROW", `{"region":5,"currency":5,"minAmount":"a","maxAmount":[],"z":1,"a":2}`, []string{
			"config.currency must be a string", "config.region must be a string", "config.minAmount" + noNumber,
			"config.maxAmount" + noDigits, "config.a is not a member of the config of CONSTR_ESCROW",
			"config.z is not a member of the config of CONSTR_ESCROW",
		}},

		{"CONSTR_RETAINAGE", `{"currency":"USD"}`, []string{"config.retainagePercentage is required"}},
		{"CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":null}`, []string{"config.retainagePercentage is required"}},
		{"CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":"33.3333"}`, nil},
		{"CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":100.0001}`, []string{
			"config.retainagePercentage must be from 0 to 100",
		}},
		{"CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":-1}`, []string{"config.retainagePercentage" + noNumber}},
		{"CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":""}`, []string{"config.retainagePercentage" + noNumber}},
		{"CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":"10%"}`, []string{"config.retainagePercentage" + noNumber}},
		{"CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":false}`, []string{"config.retainagePercentage" + noDigits}},
		{"CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":0.00001}`, []string{
			"config.retainagePercentage must have at most 4 decimals",
		}},
		{"CONSTR_RETAINAGE", `{$,"minAmount":1}`, []string{"config.minAmount is not a member of the config of CONSTR_RETAINAGE"}},
		{"CONSTR_RETAINAGE", `{"region":"US"}`, []string{
			"config.currency is required", "config.retainagePercentage is required",
			"config.region is not a member of the config of CONSTR_RETAINAGE",
		}},

		{"TF_INVOICE", `{}`, []string{
			"config.currency is required", "config.maxTenorDays is required", "config.country is required",
		}},
		{"TF_INVOICE", `{"currency":"USD","country":"DE","maxTenorDays":0}`, []string{noDays}},
		{"TF_INVOICE", `{"currency":"USD","country":"DE","maxTenorDays":-1}`, []string{noDays}},
		{"TF_INVOICE", `{"currency":"USD","country":"DE","maxTenorDays":36526}`, []string{noDays}},
		{"TF_INVOICE", `{"currency":"USD","country":"DE","maxTenorDays":1.5}`, []string{noDays}},
		{"TF_INVOICE", `{"currency":"USD","country":"DE","maxTenorDays":"30"}`, []string{noDays}},
		{"TF_INVOICE", `{"currency":"USD","country":"DE","maxTenorDays":1e99}`, []string{noDays}},
		{"TF_INVOICE", `{"currency":"USD","country":"DE","maxTenorDays":9223372036854775808}`, []string{noDays}},
		{"TF_INVOICE", `{"currency":"USD","maxTenorDays":30,"country":"DEU"}`, []string{"config.country" + noCountry}},
		{"TF_INVOICE", `{"currency":"USD","maxTenorDays":30,"country":"ıt"}`, []string{"config.country" + noCountry}},
		{"TF_INVOICE", `{"currency":"USD","maxTenorDays":30,"country":""}`, []string{"config.country must not be empty"}},
		{"TF_INVOICE", `{"currency":"USD","maxTenorDays":30,"country":276}`, []string{"config.country must be a string"}},
		{"TF_INVOICE", `{$,"issuingBankCountry":"DE"}`, []string{
			"config.issuingBankCountry is not a member of the config of TF_INVOICE",
		}},

		{"TF_LC", `{}`, []string{
			"config.currency is required", "config.maxTenorDays is required", "config.issuingBankCountry is required",
		}},
		{"TF_LC", `{"currency":"USD","maxTenorDays":30,"issuingBankCountry":"ZZ"}`, []string{"config.issuingBankCountry" + noCountry}},
		{"TF_LC", `{$,"country":"DE"}`, []string{"config.country is not a member of the config of TF_LC"}},
		{"TF_LC", `{"currency":"","maxTenorDays":[],"issuingBankCountry":"Germany","":0}`, []string{
			"config.currency must not be empty", noDays, "config.issuingBankCountry" + noCountry,
			"config. is not a member of the config of TF_LC",
		}},
	} {
		t.Run(string(test.code)+" "+test.config, func(t *testing.T) {
			t.Parallel()
			valid := map[escrow.TemplateCode]string{
				"CONSTR_ESCROW": building, "CONSTR_RETAINAGE": retainage, "TF_INVOICE": invoice, "TF_LC": letter,
			}[test.code]
			_, faults := escrow.NewCreateTemplate(templateInput(test.code, strings.Replace(test.config, "$", valid, 1)))
			checkFaults(t, faults, test.want...)
		})
	}
}

func TestCountriesAreThoseOfISO3166(t *testing.T) {
	t.Parallel()
	refused := func(code string) bool {
		_, faults := escrow.NewCreateTemplate(templateInput("TF_INVOICE", `{"currency":"USD","maxTenorDays":1,"country":"`+code+`"}`))
		return len(faults) > 0
	}
	var count int
	for first := 'A'; first <= 'Z'; first++ {
		for second := 'A'; second <= 'Z'; second++ {
			if !refused(string([]rune{first, second})) {
				count++
			}
		}
	}
	if count != 249 {
		t.Errorf("%d codes are accepted; ISO 3166-1 has 249", count)
	}
	for _, code := range []string{"US", "GB", "SG", "AE", "DE", "TW", "BQ", "SS", "CW"} {
		if refused(code) {
			t.Errorf("%s is refused", code)
		}
	}
	for name, code := range map[string]string{
		"withdrawn": "YU", "withdrawn too": "AN", "user-assigned": "XK", "reserved": "UK", "a union": "EU",
		"in a script that is not Latin": "ＤＥ", "with white space": "DE ",
	} {
		if !refused(code) {
			t.Errorf("%q, %s, is accepted", code, name)
		}
	}
}

func TestNewCreateTemplateTellsEveryFault(t *testing.T) {
	t.Parallel()
	const code = "code must be one of CONSTR_ESCROW, CONSTR_RETAINAGE, TF_INVOICE, TF_LC"
	for _, test := range []struct {
		name  string
		input escrow.TemplateInput
		want  []string
	}{
		{"nothing", escrow.TemplateInput{}, []string{
			"name is required", code, "vertical must be one of CONSTRUCTION, TRADE_FINANCE",
			"region must be one of US, EU_UK, SG, UAE",
		}},
		{
			"everything wrong but the code",
			escrow.TemplateInput{Code: "TF_LC", Name: " ", Vertical: "SHIPPING", Region: "EU", Config: json.RawMessage(`[]`)},
			[]string{
				"name is required", "vertical must be one of CONSTRUCTION, TRADE_FINANCE",
				"region must be one of US, EU_UK, SG, UAE", "config must be a JSON object",
			},
		},
		{
			"another code's vertical",
			escrow.TemplateInput{
				Code: "TF_LC", Name: "A", Vertical: "CONSTRUCTION", Region: "US",
				Config: json.RawMessage(`{"currency":"USD","maxTenorDays":30,"issuingBankCountry":"SG"}`),
			},
			[]string{"vertical must be TRADE_FINANCE for the code TF_LC"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewCreateTemplate(test.input)
			checkFaults(t, faults, test.want...)
		})
	}
}

func TestCreateTemplateOutsideOfTheInstitutionIsRefused(t *testing.T) {
	t.Parallel()
	d := openDeskOf(t, escrow.InstitutionInput{
		Name: "Meridian Bank", Regions: []string{"SG"}, Verticals: &[]string{"TRADE_FINANCE"},
	})
	in := templateInput(escrow.ConstructionEscrow, `{"currency":"USD"}`)
	for _, step := range []struct {
		region, vertical string
		want             []string
	}{
		{"US", "CONSTRUCTION", []string{"region must be a region of the institution", "vertical must be a vertical of the institution"}},
		{"SG", "CONSTRUCTION", []string{"vertical must be a vertical of the institution"}},
	} {
		in.Region = step.region
		checkFaults(t, d.refusal(valid(escrow.NewCreateTemplate(in)), escrow.CodeInvalidInput).Faults, step.want...)
	}
	d.templateIn("SG", escrow.TradeFinanceInvoice, `{"currency":"USD","maxTenorDays":30,"country":"DE"}`)
}

func TestTemplateRulesOnAmountIncludeTheirBounds(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"USD","minAmount":100,"maxAmount":200}`))
	d.refuse(newPosition(asset, "99.99", "USD", nil), escrow.CodeTemplateMinAmount)
	d.accept(newPosition(asset, "100", "USD", nil))
	d.accept(newPosition(asset, "200", "USD", nil))
	d.refuse(newPosition(asset, "200.01", "USD", nil), escrow.CodeTemplateMaxAmount)
}

func TestTemplateRulesRefuseInTheirDocumentedOrder(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"USD","minAmount":100,"maxAmount":200}`))
	d.refuse(newPosition(asset, "99", "EUR", nil), escrow.CodeTemplateCurrency)
	d.refuse(newPosition(asset, "201", "EUR", nil), escrow.CodeTemplateCurrency)
	d.refuse(newPosition(asset, "99", "USD", nil), escrow.CodeTemplateMinAmount)
	d.refuse(newPosition(asset, "201", "USD", nil), escrow.CodeTemplateMaxAmount)
}

func TestEveryTemplateCodeAsksForItsCurrency(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code   escrow.TemplateCode
		config string
	}{
		{"CONSTR_ESCROW", `{"currency":"USD"}`},
		{"CONSTR_RETAINAGE", `{"currency":"USD","retainagePercentage":5}`},
		{"TF_INVOICE", `{"currency":"USD","maxTenorDays":30,"country":"DE"}`},
		{"TF_LC", `{"currency":"USD","maxTenorDays":30,"issuingBankCountry":"DE"}`},
	} {
		t.Run(string(test.code), func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			asset := d.asset(d.template(test.code, test.config))
			d.refuse(newPosition(asset, "1", "EUR", nil), escrow.CodeTemplateCurrency)
			d.accept(newPosition(asset, "1", "USD", nil))
		})
	}
}

func TestTenorBoundsAndSetsTheExpiry(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, test := range []struct {
		code   escrow.TemplateCode
		config string
	}{
		{"TF_INVOICE", `{"currency":"USD","maxTenorDays":30,"country":"DE"}`},
		{"TF_LC", `{"currency":"USD","maxTenorDays":30,"issuingBankCountry":"DE"}`},
	} {
		t.Run(string(test.code), func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			asset := d.asset(d.template(test.code, test.config))
			d.now = opening().Add(time.Hour)
			if got, want := d.get(d.position(asset, "1", "USD")).ExpiresAt, d.now.Add(30*day); !got.Equal(want) {
				t.Errorf("without an expiresAt the position expires at %s, want %s", got, want)
			}
			d.now = d.now.Add(time.Hour)
			latest := d.now.Add(30 * day)
			d.refuse(newPosition(asset, "1", "USD", new(latest.Add(time.Microsecond))), escrow.CodeTemplateTenor)
			for _, asked := range []time.Time{latest, d.now.Add(time.Hour)} {
				id := subjectID[escrow.PositionID](d.accept(newPosition(asset, "1", "USD", &asked)))
				if got := d.get(id).ExpiresAt; !got.Equal(asked) {
					t.Errorf("the position expires at %s, but was asked to at %s", got, asked)
				}
			}
		})
	}
}

func TestWithoutATenorThePositionExpiresWhenAskedToOrNever(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	if got := d.get(d.position(asset, "1", "USD")).ExpiresAt; got != nil {
		t.Errorf("the position expires at %s", got)
	}
	far := time.Date(9999, time.December, 31, 23, 59, 59, 999_999_000, time.UTC)
	id := subjectID[escrow.PositionID](d.accept(newPosition(asset, "1", "USD", &far)))
	if got := d.get(id).ExpiresAt; got == nil || !got.Equal(far) {
		t.Errorf("the position expires at %v, want %s", got, far)
	}
}

// The retained part is the exact share, rounded up to a whole minor unit.
func TestRetainageIsTheShareRoundedUp(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		currency, amount, percentage, want string
	}{
		{"USD", "1000", "10", "100.00"},
		{"USD", "0.01", "0", "0.00"},
		{"USD", "0.01", "0.0001", "0.01"},
		{"USD", "100.01", "5", "5.01"},
		{"JPY", "1", "50", "1"},
		{"JPY", "199", "50", "100"},
		{"KWD", "0.003", "33.3333", "0.001"},
		{"KWD", "1", "33.3333", "0.334"},
		{"USD", "1000000000000000", "100", "1000000000000000.00"},
		{"USD", "999999999999999.99", "99.9999", "999999000000000.00"},
		{"CLF", "922337203685477.5807", "100", "922337203685477.5807"},
	} {
		t.Run(test.amount+" "+test.currency+" at "+test.percentage, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			asset := d.asset(d.template(escrow.ConstructionRetainage,
				`{"currency":"`+test.currency+`","retainagePercentage":`+test.percentage+`}`))
			if got := d.get(d.position(asset, test.amount, test.currency)).Retained; got.Format(must(money.ParseCurrency(test.currency))) != test.want {
				t.Errorf("%d are retained, want %s", got, test.want)
			}
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		percentage := rapid.OneOf(rapid.StringMatching(`[1-9]?[0-9](\.[0-9]{1,4})?`), rapid.Just("100")).Draw(t, "percentage")
		amount := rapid.Int64Range(1, 100_000_000_000_000_000).Draw(t, "amount")
		d := openDesk(t)
		asset := d.asset(d.template(escrow.ConstructionRetainage, `{"currency":"USD","retainagePercentage":`+percentage+`}`))
		got := d.get(d.position(asset, money.Amount(amount).Format(usd), "USD")).Retained
		if want := ceilShare(amount, percentage); int64(got) != want {
			t.Errorf("%s%% of %d are %d, want %d", percentage, amount, got, want)
		}
	})
}

// ceilShare is a percentage of an amount, rounded up, with math/big.
func ceilShare(amount int64, percentage string) int64 {
	share := new(big.Rat).Mul(big.NewRat(amount, 100), rational(percentage))
	quotient, rest := new(big.Int).QuoRem(share.Num(), share.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		quotient.Add(quotient, big.NewInt(1))
	}
	return quotient.Int64()
}

func TestConfigThatIsStoredBrokenIsAnError(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`[]`, `{"minAmount":"ten"}`, `{"minAmount":10}`, `{"maxAmount":"-1"}`, `{"retainagePercentage":-1}`, `{"retainagePercentage":"a"}`,
	} {
		var config escrow.TemplateConfig
		if err := json.Unmarshal([]byte(text), &config); err == nil {
			t.Errorf("%s is read as %+v", text, config)
		}
	}
}
