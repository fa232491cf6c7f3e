package escrow

import (
	"fmt"
	"slices"
)

// UpdateTemplate changes what an asset template is called.
type UpdateTemplate struct {
	template  TemplateID
	name      *string
	ifVersion []int64
}

// NewUpdateTemplate checks the input: a name, or nil to leave it. The versions are those that
// the template may have; nil is any.
func NewUpdateTemplate(template TemplateID, name *string, ifVersion []int64) (UpdateTemplate, Faults) {
	var faults Faults
	return UpdateTemplate{template: template, name: faults.change("name", name), ifVersion: ifVersion}, faults
}

// Needs implements Command.
func (c UpdateTemplate) Needs() Needs { return Needs{Templates: []TemplateID{c.template}} }

// permission implements single.
func (UpdateTemplate) permission() Permission { return PermissionTemplatesUpdate }

func (c UpdateTemplate) decide(b *Books, _ Request, _ stamp) (event, *Error) {
	before, ok := b.Templates.Get(c.template)
	if !ok {
		return nil, Errorf(CodeTemplateNotFound, "There is no asset template %s.", c.template)
	}
	if refusal := checkVersion(c.ifVersion, before.Version, "asset template"); refusal != nil {
		return nil, refusal
	}

	after := before
	after.Name = changed(before.Name, c.name)
	if after.Name == before.Name {
		return unchanged{name: c.template.String(), state: before}, nil
	}
	after.Version++
	return templateUpdated{newTemplateState(after)}, nil
}

// CloseTemplate ends a template: it takes no new assets, and those it has go on. Closing a
// closed one changes nothing.
type CloseTemplate struct{ Template TemplateID }

// Needs implements Command.
func (c CloseTemplate) Needs() Needs { return Needs{Templates: []TemplateID{c.Template}} }

// permission implements single.
func (CloseTemplate) permission() Permission { return PermissionTemplatesUpdate }

func (c CloseTemplate) decide(b *Books, _ Request, s stamp) (event, *Error) {
	template, ok := b.Templates.Get(c.Template)
	if !ok {
		return nil, Errorf(CodeTemplateNotFound, "There is no asset template %s.", c.Template)
	}
	if template.ClosedAt != nil {
		return unchanged{name: c.Template.String(), state: template}, nil
	}
	template.ClosedAt = &s.at
	template.Version++
	return templateClosed{newTemplateState(template)}, nil
}

// The kinds of entry that record what became of an asset template.
const (
	KindTemplateCreated Kind = "ASSET_TEMPLATE_CREATED"
	KindTemplateUpdated Kind = "ASSET_TEMPLATE_UPDATED"
	KindTemplateClosed  Kind = "ASSET_TEMPLATE_CLOSED"
)

var templateEventKinds = []eventKind{
	{kind: KindTemplateCreated, decode: decodeEvent[templateCreated]},
	{kind: KindTemplateUpdated, decode: decodeEvent[templateUpdated]},
	{kind: KindTemplateClosed, decode: decodeEvent[templateClosed]},
}

// templateState is an asset template as its entries carry it: whole.
type templateState struct {
	ID       TemplateID     `json:"id"`
	Code     TemplateCode   `json:"code"`
	Name     string         `json:"name"`
	Vertical Vertical       `json:"vertical"`
	Region   Region         `json:"region"`
	Config   TemplateConfig `json:"config"`
	upkeepState
}

type (
	templateCreated struct{ templateState }
	templateUpdated struct{ templateState }
	templateClosed  struct{ templateState }
)

func newTemplateState(t AssetTemplate) templateState {
	return templateState{
		ID:          t.ID,
		Code:        t.Code,
		Name:        t.Name,
		Vertical:    t.Vertical,
		Region:      t.Region,
		Config:      t.Config,
		upkeepState: t.Upkeep.state(),
	}
}

func (templateCreated) kind() Kind      { return KindTemplateCreated }
func (templateUpdated) kind() Kind      { return KindTemplateUpdated }
func (templateClosed) kind() Kind       { return KindTemplateClosed }
func (e templateState) subject() string { return e.ID.String() }

func (e templateUpdated) rewrites() Needs { return Needs{Templates: []TemplateID{e.ID}} }
func (e templateClosed) rewrites() Needs  { return Needs{Templates: []TemplateID{e.ID}} }

func (e templateState) resource(b *Books, _ Entry) Resource { return b.Templates.mustGet(e.ID) }

func (e templateState) apply(b *Books, entry Entry) error {
	upkeep, err := e.upkeep()
	if err != nil {
		return err
	}
	if !slices.Contains(TemplateCodes(), e.Code) {
		return fmt.Errorf("there is no template code %q", e.Code)
	}

	b.Templates.Put(e.ID, AssetTemplate{
		ID:            e.ID,
		InstitutionID: entry.InstitutionID,
		Code:          e.Code,
		Name:          e.Name,
		Vertical:      e.Vertical,
		Region:        e.Region,
		Config:        e.Config,
		Upkeep:        upkeep,
	})
	return nil
}
