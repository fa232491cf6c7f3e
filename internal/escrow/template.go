package escrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/biter777/countries"

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

// TemplateCodes lists the kinds of asset.
func TemplateCodes() []TemplateCode {
	return []TemplateCode{ConstructionEscrow, ConstructionRetainage, TradeFinanceInvoice, TradeFinanceLC}
}

// Vertical returns the vertical to which the kind belongs.
func (c TemplateCode) Vertical() Vertical {
	if c == TradeFinanceInvoice || c == TradeFinanceLC {
		return TradeFinance
	}
	return Construction
}

// MaxTenorDays bounds a template's maxTenorDays: a hundred years.
const MaxTenorDays = 36525

// AssetTemplate is an institution's kind of asset, with the rules that its
// positions keep. It never changes.
type AssetTemplate struct {
	ID            TemplateID
	InstitutionID InstitutionID
	Code          TemplateCode
	Name          string
	Vertical      Vertical
	Region        Region
	Config        TemplateConfig
	CreatedAt     time.Time
}

// TemplateConfig holds a template's rules. Which of them a template has depends
// on its code; the zero value of a rule asks nothing.
type TemplateConfig struct {
	Currency money.Currency
	// Region repeats the template's own, where the client named it.
	Region Region
	// MinAmount and MaxAmount bound a position's amount; 0 is no bound.
	MinAmount, MaxAmount money.Amount
	// RetainagePercentage is the share, from 0 to 100, of a position's amount
	// that stays held until the position is RELEASED.
	RetainagePercentage *money.Decimal
	// MaxTenorDays is how many days ahead a position may expire; 0 is no bound.
	MaxTenorDays int64
	// Country and IssuingBankCountry are ISO 3166-1 alpha-2 codes.
	Country, IssuingBankCountry string
}

// configState is a config's JSON, in the API and in the journal alike.
type configState struct {
	Currency            money.Currency `json:"currency"`
	Region              Region         `json:"region,omitempty"`
	MinAmount           string         `json:"minAmount,omitempty"`
	MaxAmount           string         `json:"maxAmount,omitempty"`
	RetainagePercentage *json.Number   `json:"retainagePercentage,omitempty"`
	MaxTenorDays        int64          `json:"maxTenorDays,omitempty"`
	Country             string         `json:"country,omitempty"`
	IssuingBankCountry  string         `json:"issuingBankCountry,omitempty"`
}

// MarshalJSON writes the config as clients and the journal see it.
func (c TemplateConfig) MarshalJSON() ([]byte, error) {
	state := configState{
		Currency: c.Currency, Region: c.Region, MaxTenorDays: c.MaxTenorDays,
		Country: c.Country, IssuingBankCountry: c.IssuingBankCountry,
	}
	if c.MinAmount != 0 {
		state.MinAmount = c.MinAmount.Format(c.Currency)
	}
	if c.MaxAmount != 0 {
		state.MaxAmount = c.MaxAmount.Format(c.Currency)
	}
	if c.RetainagePercentage != nil {
		number := json.Number(c.RetainagePercentage.String())
		state.RetainagePercentage = &number
	}
	return json.Marshal(state)
}

// UnmarshalJSON reads what MarshalJSON writes; it does not check a client's input.
func (c *TemplateConfig) UnmarshalJSON(text []byte) error {
	var state configState
	if err := json.Unmarshal(text, &state); err != nil {
		return err
	}
	var reader storedReader
	*c = TemplateConfig{
		Currency: state.Currency, Region: state.Region, MaxTenorDays: state.MaxTenorDays,
		Country: state.Country, IssuingBankCountry: state.IssuingBankCountry,
		MinAmount: reader.optionalAmount(state.MinAmount),
		MaxAmount: reader.optionalAmount(state.MaxAmount),
	}
	if state.RetainagePercentage != nil {
		c.RetainagePercentage = reader.decimal(state.RetainagePercentage.String())
	}
	return reader.err
}

// check refuses a position that breaks the template's rules on currency and
// amount.
func (c TemplateConfig) check(currency money.Currency, amount money.Amount) error {
	switch {
	case currency != c.Currency:
		return Errorf(CodeTemplateCurrency, "The asset's template asks for the currency %s.", c.Currency)
	case c.MinAmount != 0 && amount < c.MinAmount:
		return Errorf(CodeTemplateMinAmount, "The asset's template asks for an amount of at least %s.", c.MinAmount.Format(c.Currency))
	case c.MaxAmount != 0 && amount > c.MaxAmount:
		return Errorf(CodeTemplateMaxAmount, "The asset's template allows an amount of at most %s.", c.MaxAmount.Format(c.Currency))
	}
	return nil
}

// expiry returns when a position made now expires, given what its client asked
// for: a template with a tenor sets its end, and refuses a later one.
func (c TemplateConfig) expiry(asked *time.Time, now time.Time) (*time.Time, error) {
	if c.MaxTenorDays == 0 {
		return asked, nil
	}
	latest := now.Add(time.Duration(c.MaxTenorDays) * 24 * time.Hour)
	if asked == nil {
		return &latest, nil
	}
	if asked.After(latest) {
		return nil, Errorf(CodeTemplateTenor, "The asset's template allows an expiresAt at most %d days ahead, until %s.",
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
	var err error
	command := CreateTemplate{name: faults.text("name", in.Name)}
	command.code, err = oneOf(in.Code, TemplateCodes())
	faults.check("code", err)
	vertical, err := oneOf(in.Vertical, Verticals())
	faults.check("vertical", err)
	command.region, err = ParseRegion(in.Region)
	faults.check("region", err)
	if !faults.Has("code") {
		if expected := command.code.Vertical(); vertical != expected {
			faults.Add("vertical", "must be %s for the code %s", expected, command.code)
		}
		command.config = faults.config(command.code, command.region, in.Config)
	}
	return command, faults
}

// config reads a config's members, each by its own rule, for the given code.
func (f *Faults) config(code TemplateCode, region Region, object json.RawMessage) TemplateConfig {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(object, &members); err != nil || members == nil {
		f.Add("config", "must be a JSON object")
		return TemplateConfig{}
	}
	reader := configReader{faults: f, members: members}
	var config TemplateConfig
	currency, err := money.ParseCurrency(reader.text("currency", true))
	reader.check("currency", err)
	config.Currency = currency
	switch code {
	case ConstructionEscrow:
		if text := reader.text("region", false); text != "" {
			config.Region = Region(text)
			if config.Region != region {
				reader.check("region", errors.New("must equal the template's region"))
			}
		}
		config.MinAmount = reader.amount("minAmount", currency)
		config.MaxAmount = reader.amount("maxAmount", currency)
		if config.MinAmount != 0 && config.MaxAmount != 0 && config.MinAmount > config.MaxAmount {
			reader.check("minAmount", errors.New("must not be greater than maxAmount"))
		}
	case ConstructionRetainage:
		config.RetainagePercentage = reader.percentage("retainagePercentage")
	case TradeFinanceInvoice:
		config.MaxTenorDays = reader.days("maxTenorDays")
		config.Country = reader.country("country")
	case TradeFinanceLC:
		config.MaxTenorDays = reader.days("maxTenorDays")
		config.IssuingBankCountry = reader.country("issuingBankCountry")
	}
	reader.refuseRest(code)
	return config
}

// configReader takes the members of a config one by one, so that what is left is
// what the code does not know.
type configReader struct {
	faults  *Faults
	members map[string]json.RawMessage
}

func (r *configReader) check(member string, err error) { r.faults.check("config."+member, err) }

func (r *configReader) refuseRest(code TemplateCode) {
	for _, member := range slices.Sorted(maps.Keys(r.members)) {
		r.faults.Add("config."+member, "is not a member of the config of %s", code)
	}
}

// take removes a member and returns its JSON, nil where it is missing or null.
func (r *configReader) take(member string, required bool) json.RawMessage {
	value := r.members[member]
	delete(r.members, member)
	if len(value) == 0 || string(value) == "null" {
		if required {
			r.check(member, errors.New("is required"))
		}
		return nil
	}
	return bytes.TrimSpace(value)
}

func (r *configReader) text(member string, required bool) (text string) {
	if value := r.take(member, required); value != nil {
		if json.Unmarshal(value, &text) != nil {
			r.check(member, errors.New("must be a string"))
		} else if text == "" {
			r.check(member, errors.New("must not be empty"))
		}
	}
	return text
}

func (r *configReader) digits(member string, required bool) (digits money.Digits) {
	if value := r.take(member, required); value != nil {
		r.check(member, digits.UnmarshalJSON(value))
		if digits == "" {
			r.check(member, digits.Check())
		}
	}
	return digits
}

func (r *configReader) amount(member string, c money.Currency) money.Amount {
	digits := r.digits(member, false)
	if digits == "" {
		return 0
	}
	amount, err := parseNewAmount(digits, c)
	r.check(member, err)
	return amount
}

func (r *configReader) percentage(member string) *money.Decimal {
	percentage, err := money.ParseDecimal(string(r.digits(member, true)))
	r.check(member, err)
	if percentage.Compare(money.WholeDecimal(100)) > 0 {
		r.check(member, errors.New("must be from 0 to 100"))
	}
	return &percentage
}

func (r *configReader) days(member string) int64 {
	value := r.take(member, true)
	if value == nil {
		return 0
	}
	var days int64
	if err := json.Unmarshal(value, &days); err != nil || days < 1 || days > MaxTenorDays {
		r.faults.Add("config."+member, "must be a whole number from 1 to %d", MaxTenorDays)
	}
	return days
}

// notISO3166 are codes that the library knows, but that ISO 3166-1 has withdrawn
// (AN, YU) or leaves to its users (XK).
var notISO3166 = []countries.CountryCode{countries.Unknown, countries.ANT, countries.YUG, countries.XKX}

func (r *configReader) country(member string) string {
	code := strings.ToUpper(r.text(member, true))
	if country := countries.ByName(code); len(code) != 2 || slices.Contains(notISO3166, country) || country.Alpha2() != code {
		r.check(member, errors.New("must be an ISO 3166-1 alpha-2 country code, like DE"))
	}
	return code
}

// Needs implements Command.
func (CreateTemplate) Needs() Needs { return Needs{Institution: true} }

func (c CreateTemplate) decide(b *Books, _ Request, s stamp) (event, error) {
	var faults Faults
	institution := b.institution()
	if !slices.Contains(institution.Regions, c.region) {
		faults.Add("region", "must be a region of the institution")
	}
	if !slices.Contains(institution.Verticals, c.code.Vertical()) {
		faults.Add("vertical", "must be a vertical of the institution")
	}
	return templateCreated{
		ID: TemplateID(s.id), Code: c.code, Name: c.name, Vertical: c.code.Vertical(), Region: c.region, Config: c.config,
	}, faults.Err()
}

type templateCreated struct {
	ID       TemplateID     `json:"id"`
	Code     TemplateCode   `json:"code"`
	Name     string         `json:"name"`
	Vertical Vertical       `json:"vertical"`
	Region   Region         `json:"region"`
	Config   TemplateConfig `json:"config"`
}

func (e templateCreated) kind() Kind      { return KindTemplateCreated }
func (e templateCreated) subject() string { return e.ID.String() }

func (e templateCreated) resource(b *Books) Resource { return b.Templates.must(e.ID) }

func (e templateCreated) apply(b *Books, entry Entry) error {
	b.Templates.Put(e.ID, AssetTemplate{
		ID: e.ID, InstitutionID: entry.InstitutionID, Code: e.Code, Name: e.Name,
		Vertical: e.Vertical, Region: e.Region, Config: e.Config, CreatedAt: entry.At,
	})
	return nil
}
