package escrow

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// TemplateCode is a kind of escrowable asset that the platform knows.
type TemplateCode string

// The kinds of asset.
const (
	ConstructionEscrow    TemplateCode = "CONSTR_ESCROW"
	ConstructionRetainage TemplateCode = "CONSTR_RETAINAGE"
	TradeFinanceInvoice   TemplateCode = "TF_INVOICE"
	TradeFinanceLC        TemplateCode = "TF_LC"
)

// templateCodes is every kind of asset, with its vertical and the members of its config.
var templateCodes = []templateCodeRules{
	{
		code:     ConstructionEscrow,
		vertical: Construction,
		config: []configMember{
			currencyMember, regionMember.optional(), minAmountMember, maxAmountMember, uniqueReferenceMember,
		},
	},
	{
		code:     ConstructionRetainage,
		vertical: Construction,
		config:   []configMember{currencyMember, retainageMember, uniqueReferenceMember},
	},
	{
		code:     TradeFinanceInvoice,
		vertical: TradeFinance,
		config:   []configMember{currencyMember, maxTenorMember, countryMember, uniqueReferenceMember},
	},
	{
		code:     TradeFinanceLC,
		vertical: TradeFinance,
		config:   []configMember{currencyMember, maxTenorMember, issuingCountryMember, uniqueReferenceMember},
	},
}

type templateCodeRules struct {
	code     TemplateCode
	vertical Vertical
	config   []configMember
}

func (c TemplateCode) rules() templateCodeRules {
	i := slices.IndexFunc(templateCodes, func(r templateCodeRules) bool { return r.code == c })
	if i < 0 {
		return templateCodeRules{}
	}
	return templateCodes[i]
}

// TemplateCodes lists the kinds of asset.
func TemplateCodes() []TemplateCode {
	codes := make([]TemplateCode, len(templateCodes))
	for i, rules := range templateCodes {
		codes[i] = rules.code
	}
	return codes
}

// Vertical returns the vertical to which the kind belongs.
func (c TemplateCode) Vertical() Vertical { return c.rules().vertical }

// AssetTemplate is an institution's kind of asset, with the rules that its
// positions keep. The rules never change.
type AssetTemplate struct {
	ID            TemplateID
	InstitutionID InstitutionID
	Code          TemplateCode
	Name          string
	Vertical      Vertical
	Region        Region
	Config        TemplateConfig
	Upkeep
}

// TemplateConfig holds a template's rules. Which of them a template has depends
// on its code; the zero value of a rule asks nothing.
type TemplateConfig struct {
	Currency money.Code
	// Region repeats the template's own, where the client named it.
	Region Region
	// MinAmount and MaxAmount bound a position's amount; no money is no bound.
	MinAmount, MaxAmount money.Money
	// RetainagePercentage is the share, from 0 to 100, of a position's amount
	// that stays held until the position is RELEASED.
	RetainagePercentage *money.Decimal
	// MaxTenorDays is how many days ahead a position may expire; 0 is no bound.
	MaxTenorDays int64
	// Country and IssuingBankCountry are ISO 3166-1 alpha-2 codes.
	Country, IssuingBankCountry string
	// UniqueExternalReference refuses a position whose external reference another one of the
	// template has.
	UniqueExternalReference bool
}

// The members of configs.
var (
	currencyMember  = newCurrencyMember("currency", func(c *TemplateConfig) *money.Code { return &c.Currency })
	regionMember    = newRegionMember("region", func(c *TemplateConfig) *Region { return &c.Region })
	minAmountMember = newAmountMember("minAmount", func(c *TemplateConfig) *money.Money { return &c.MinAmount })
	maxAmountMember = newAmountMember("maxAmount", func(c *TemplateConfig) *money.Money { return &c.MaxAmount })
	retainageMember = newPercentageMember("retainagePercentage",
		func(c *TemplateConfig) **money.Decimal { return &c.RetainagePercentage })
	maxTenorMember       = newDaysMember("maxTenorDays", func(c *TemplateConfig) *int64 { return &c.MaxTenorDays })
	countryMember        = newCountryMember("country", func(c *TemplateConfig) *string { return &c.Country })
	issuingCountryMember = newCountryMember("issuingBankCountry",
		func(c *TemplateConfig) *string { return &c.IssuingBankCountry })
	uniqueReferenceMember = newSwitchMember("uniqueExternalReference",
		func(c *TemplateConfig) *bool { return &c.UniqueExternalReference })
)

// configMembers lists the members in the order in which they are written.
var configMembers = []configMember{
	currencyMember, regionMember, minAmountMember, maxAmountMember, retainageMember, maxTenorMember, countryMember,
	issuingCountryMember, uniqueReferenceMember,
}

// checkTogether notes what is wrong with members that are right by themselves.
func (c TemplateConfig) checkTogether(region Region, faults *Faults) {
	if c.Region != "" && c.Region != region {
		faults.Add("config.region", "must equal the template's region")
	}
	if !c.MinAmount.IsZero() && !c.MaxAmount.IsZero() && c.MinAmount.Compare(c.MaxAmount) > 0 {
		faults.Add("config.minAmount", "must not be greater than maxAmount")
	}
}

// check refuses a position that breaks the template's rules on currency and
// amount.
func (c TemplateConfig) check(currency money.Currency, amount money.Amount) *Error {
	of := money.Money{Amount: amount, Currency: currency}

	switch {
	case currency.Code != c.Currency:
		return Errorf(CodeTemplateCurrency, "The asset's template asks for the currency %s.", c.Currency)
	case !c.MinAmount.IsZero() && of.Compare(c.MinAmount) < 0:
		return Errorf(CodeTemplateMinAmount, "The asset's template asks for an amount of at least %s.",
			c.MinAmount.Format())
	case !c.MaxAmount.IsZero() && of.Compare(c.MaxAmount) > 0:
		return Errorf(CodeTemplateMaxAmount, "The asset's template allows an amount of at most %s.",
			c.MaxAmount.Format())
	}
	return nil
}

// expiry returns when a position made now expires, given what its client asked
// for: a template with a tenor sets its end, and refuses a later one.
func (c TemplateConfig) expiry(asked *time.Time, now time.Time) (*time.Time, *Error) {
	if c.MaxTenorDays == 0 {
		return asked, nil
	}

	latest := now.Add(time.Duration(c.MaxTenorDays) * 24 * time.Hour)
	if asked == nil {
		return &latest, nil
	}
	if asked.After(latest) {
		return nil, Errorf(CodeTemplateTenor,
			"The asset's template allows an expiresAt at most %d days ahead, until %s.",
			c.MaxTenorDays, FormatTime(latest))
	}
	return asked, nil
}

// retained returns how much of an amount stays held until RELEASED.
func (c TemplateConfig) retained(amount money.Amount) money.Amount {
	if c.RetainagePercentage == nil {
		return 0
	}
	return amount.Share(*c.RetainagePercentage)
}

// TemplateInput is what a client gives to make a template. The members of Config
// depend on Code.
type TemplateInput struct {
	Code     string
	Name     string
	Vertical string
	Region   string
	Config   json.RawMessage
}

// CreateTemplate makes an asset template.
type CreateTemplate struct {
	name   string
	code   TemplateCode
	region Region
	config TemplateConfig
}

// NewCreateTemplate checks the input.
func NewCreateTemplate(in TemplateInput) (CreateTemplate, Faults) {
	var faults Faults
	command := CreateTemplate{
		name: faults.text("name", in.Name),
		code: word(&faults, "code", in.Code, TemplateCodes()),
	}
	vertical := word(&faults, "vertical", in.Vertical, Verticals())
	command.region = word(&faults, "region", in.Region, Regions())
	if faults.Has("code") {
		return command, faults
	}

	// What else is right depends on the code.
	if expected := command.code.Vertical(); vertical != expected {
		faults.Add("vertical", "must be %s for the code %s", expected, command.code)
	}
	command.config = readConfig(&faults, command.code, command.region, in.Config)
	return command, faults
}

// Needs implements Command.
func (CreateTemplate) Needs() Needs { return Needs{Institution: true} }

// permission implements single.
func (CreateTemplate) permission() Permission { return PermissionTemplatesCreate }

func (c CreateTemplate) decide(b *Books, _ Request, s stamp) (event, *Error) {
	var faults Faults
	institution := b.institution()
	if !slices.Contains(institution.Regions, c.region) {
		faults.Add("region", "must be a region of the institution")
	}
	if !slices.Contains(institution.Verticals, c.code.Vertical()) {
		faults.Add("vertical", "must be a vertical of the institution")
	}

	return templateCreated{newTemplateState(AssetTemplate{
		ID:       TemplateID(s.id),
		Code:     c.code,
		Name:     c.name,
		Vertical: c.code.Vertical(),
		Region:   c.region,
		Config:   c.config,
		Upkeep:   createdAt(s.at),
	})}, faults.refusal()
}
