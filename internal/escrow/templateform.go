package escrow

import "encoding/json"

var templateFormTypes = []formType{
	{"asset_template.create", decodeForm[createTemplateForm]},
	{"asset_template.update", decodeForm[updateTemplateForm]},
	{"asset_template.close", decodeForm[closeTemplateForm]},
}

type createTemplateForm struct {
	typed

	Code     TemplateCode    `json:"code"`
	Name     string          `json:"name"`
	Vertical Vertical        `json:"vertical"`
	Region   Region          `json:"region"`
	Config   json.RawMessage `json:"config"`
}

// written implements approvable.
func (c CreateTemplate) written() form {
	config, _ := c.config.MarshalJSON() // It has no faults.
	return createTemplateForm{
		typed: typed{"asset_template.create"}, Code: c.code, Name: c.name, Vertical: c.code.Vertical(),
		Region: c.region, Config: config,
	}
}

// concerns implements approvable.
func (CreateTemplate) concerns() string { return "" }

func (f createTemplateForm) each(func(string, *private)) form { return f }

func (f createTemplateForm) command() (Command, error) {
	return made(NewCreateTemplate(TemplateInput{
		Code: string(f.Code), Name: f.Name, Vertical: string(f.Vertical), Region: string(f.Region), Config: f.Config,
	}))
}

type updateTemplateForm struct {
	typed

	ID        TemplateID `json:"id"`
	Name      *string    `json:"name,omitempty"`
	IfVersion []int64    `json:"ifVersion,omitempty"`
}

// written implements approvable.
func (c UpdateTemplate) written() form {
	return updateTemplateForm{
		typed: typed{"asset_template.update"}, ID: c.template, Name: c.name, IfVersion: c.ifVersion,
	}
}

// concerns implements approvable.
func (c UpdateTemplate) concerns() string { return c.template.String() }

func (f updateTemplateForm) each(func(string, *private)) form { return f }

func (f updateTemplateForm) command() (Command, error) {
	return made(NewUpdateTemplate(f.ID, f.Name, f.IfVersion))
}

type closeTemplateForm struct {
	typed

	ID TemplateID `json:"id"`
}

// written implements approvable.
func (c CloseTemplate) written() form {
	return closeTemplateForm{typed{"asset_template.close"}, c.Template}
}

// concerns implements approvable.
func (c CloseTemplate) concerns() string { return c.Template.String() }

func (f closeTemplateForm) each(func(string, *private)) form { return f }
func (f closeTemplateForm) command() (Command, error)        { return CloseTemplate{f.ID}, nil }
