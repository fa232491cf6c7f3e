package escrow

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/biter777/countries"

	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// configMember is a member of the configs of templates: how it is read from a client, and
// how it is written as JSON, in the API and in the journal alike, and read back.
type configMember struct {
	name     string
	required bool
	// jsonType is the member's type in JSON Schema.
	jsonType string
	// read reads what a client gave, which is neither missing nor null.
	read func(*configReader, *TemplateConfig, json.RawMessage)
	// write writes the member, unless the config does not have it.
	write func(*jsonwriter.Object, TemplateConfig)
	// load reads what write has written.
	load func(*TemplateConfig, json.RawMessage) error
}

func (m configMember) optional() configMember {
	m.required = false
	return m
}

// ConfigMember describes a member of the configs of a kind of asset.
type ConfigMember struct {
	Name string
	// Type is that of JSON Schema: string, number, integer or boolean.
	Type     string
	Required bool
}

// ConfigMembers describes the members that the kind's configs can have.
func (c TemplateCode) ConfigMembers() []ConfigMember {
	var described []ConfigMember
	for _, member := range c.rules().config {
		described = append(described, ConfigMember{Name: member.name, Type: member.jsonType, Required: member.required})
	}
	return described
}

// MarshalJSON writes the config as clients and the journal see it.
func (c TemplateConfig) MarshalJSON() ([]byte, error) {
	o := jsonwriter.Begin(nil)
	for _, member := range configMembers {
		member.write(&o, c)
	}
	return o.End(), nil
}

// UnmarshalJSON reads what MarshalJSON writes; it does not check a client's input.
func (c *TemplateConfig) UnmarshalJSON(text []byte) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(text, &values); err != nil {
		return err
	}

	*c = TemplateConfig{}
	for _, member := range configMembers {
		if value, ok := values[member.name]; ok {
			if err := member.load(c, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// configReader reads a client's config.
type configReader struct {
	faults *Faults
	// currency is the config's, once it was read.
	currency money.Currency
}

func (r *configReader) check(member string, err error) { r.faults.check("config."+member, err) }

// readConfig reads a config's members, each by its own rule, for the given code and region.
func readConfig(faults *Faults, code TemplateCode, region Region, object json.RawMessage) TemplateConfig {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(object, &values); err != nil || values == nil {
		faults.Add("config", "must be a JSON object")
		return TemplateConfig{}
	}

	var config TemplateConfig
	reader := &configReader{faults: faults}
	for _, member := range code.rules().config {
		value := bytes.TrimSpace(values[member.name])
		delete(values, member.name)

		switch {
		case len(value) > 0 && string(value) != "null":
			member.read(reader, &config, value)
		case member.required:
			reader.check(member.name, errors.New("is required"))
		}
	}
	config.checkTogether(region, faults)

	// What is left is nothing that the code knows.
	for _, name := range slices.Sorted(maps.Keys(values)) {
		faults.Add("config."+name, "is not a member of the config of %s", code)
	}
	return config
}

// text reads a string that is not empty.
func (r *configReader) text(member string, value json.RawMessage) (text string) {
	if json.Unmarshal(value, &text) != nil {
		r.check(member, errors.New("must be a string"))
	} else if text == "" {
		r.check(member, errors.New("must not be empty"))
	}
	return text
}

// digits reads a number, as such or as a string.
func (r *configReader) digits(member string, value json.RawMessage) (digits money.Digits) {
	r.check(member, digits.UnmarshalJSON(value))
	if digits == "" {
		r.check(member, digits.Check())
	}
	return digits
}

// newTextMember makes a member that is a text, of which read makes the value.
func newTextMember[T ~string](
	name string, at func(*TemplateConfig) *T, read func(r *configReader, text string) T,
) configMember {
	return configMember{
		name:     name,
		required: true,
		jsonType: "string",
		read: func(r *configReader, c *TemplateConfig, value json.RawMessage) {
			*at(c) = read(r, r.text(name, value))
		},
		write: func(o *jsonwriter.Object, c TemplateConfig) { o.OptionalText(name, string(*at(&c))) },
		load:  func(c *TemplateConfig, value json.RawMessage) error { return json.Unmarshal(value, at(c)) },
	}
}

func newCurrencyMember(name string, at func(*TemplateConfig) *money.Code) configMember {
	return newTextMember(name, at, func(r *configReader, text string) money.Code {
		currency, err := money.ParseCurrency(text)
		r.check(name, err)
		r.currency = currency
		return currency.Code
	})
}

func newRegionMember(name string, at func(*TemplateConfig) *Region) configMember {
	return newTextMember(name, at, func(_ *configReader, text string) Region { return Region(text) })
}

func newCountryMember(name string, at func(*TemplateConfig) *string) configMember {
	return newTextMember(name, at, func(r *configReader, text string) string {
		code := strings.ToUpper(text)
		// Other alphabets have letters whose upper case is in ASCII, and shorter.
		if len(code) != len(text) || !isCountry(code) {
			r.check(name, errors.New("must be an ISO 3166-1 alpha-2 country code, like DE"))
		}
		return code
	})
}

// notISO3166 are codes that the library knows, but that ISO 3166-1 has withdrawn
// (AN, YU) or leaves to its users (XK).
var notISO3166 = []countries.CountryCode{countries.Unknown, countries.ANT, countries.YUG, countries.XKX}

func isCountry(code string) bool {
	country := countries.ByName(code)
	return len(code) == 2 && !slices.Contains(notISO3166, country) && country.Alpha2() == code
}

// newAmountMember makes a member that is an amount in the config's currency.
func newAmountMember(name string, at func(*TemplateConfig) *money.Money) configMember {
	return configMember{
		name:     name,
		jsonType: "string",
		read: func(r *configReader, c *TemplateConfig, value json.RawMessage) {
			if digits := r.digits(name, value); digits != "" {
				amount := r.faults.amount("config."+name, digits, r.currency)
				*at(c) = money.Money{Amount: amount, Currency: r.currency}
			}
		},

		write: func(o *jsonwriter.Object, c TemplateConfig) {
			if amount := *at(&c); !amount.IsZero() {
				o.Text(name, amount.Format())
			}
		},

		load: func(c *TemplateConfig, value json.RawMessage) error {
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				return err
			}

			var reader storedReader
			*at(c) = reader.money(text, c.Currency)
			return reader.err
		},
	}
}

// newPercentageMember makes a member that is a number from 0 to 100.
func newPercentageMember(name string, at func(*TemplateConfig) **money.Decimal) configMember {
	return configMember{
		name:     name,
		required: true,
		jsonType: "number",
		read: func(r *configReader, c *TemplateConfig, value json.RawMessage) {
			percentage, err := money.ParseDecimal(string(r.digits(name, value)))
			r.check(name, err)
			if percentage.Compare(money.WholeDecimal(100)) > 0 {
				r.check(name, errors.New("must be from 0 to 100"))
			}
			*at(c) = &percentage
		},

		write: func(o *jsonwriter.Object, c TemplateConfig) {
			if percentage := *at(&c); percentage != nil {
				o.Raw(name, []byte(percentage.String()))
			}
		},

		load: func(c *TemplateConfig, value json.RawMessage) error {
			var reader storedReader
			*at(c) = reader.decimal(string(value))
			return reader.err
		},
	}
}

// MaxTenorDays bounds the members of configs that are a number of days: a hundred years.
const MaxTenorDays = 36525

// newDaysMember makes a member that is a number of days.
func newDaysMember(name string, at func(*TemplateConfig) *int64) configMember {
	return configMember{
		name:     name,
		required: true,
		jsonType: "integer",
		read: func(r *configReader, c *TemplateConfig, value json.RawMessage) {
			if err := json.Unmarshal(value, at(c)); err != nil || *at(c) < 1 || *at(c) > MaxTenorDays {
				r.faults.Add("config."+name, "must be a whole number from 1 to %d", MaxTenorDays)
			}
		},

		write: func(o *jsonwriter.Object, c TemplateConfig) {
			if days := *at(&c); days != 0 {
				o.Number(name, days)
			}
		},

		load: func(c *TemplateConfig, value json.RawMessage) error { return json.Unmarshal(value, at(c)) },
	}
}

// newSwitchMember makes a member that is true or false; false is as if it were not there.
func newSwitchMember(name string, at func(*TemplateConfig) *bool) configMember {
	return configMember{
		name:     name,
		jsonType: "boolean",
		read: func(r *configReader, c *TemplateConfig, value json.RawMessage) {
			if json.Unmarshal(value, at(c)) != nil {
				r.check(name, errors.New("must be true or false"))
			}
		},

		write: func(o *jsonwriter.Object, c TemplateConfig) {
			if *at(&c) {
				o.Raw(name, []byte("true"))
			}
		},

		load: func(c *TemplateConfig, value json.RawMessage) error { return json.Unmarshal(value, at(c)) },
	}
}
