package httpapi

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// words are the lists of words that fields take, by the names that their tags use.
func words() map[string][]any {
	return map[string][]any{
		"states":        anyOf(escrow.States()),
		"accounts":      anyOf(escrow.Accounts()),
		"regions":       anyOf(escrow.Regions()),
		"verticals":     anyOf(escrow.Verticals()),
		"templateCodes": anyOf(escrow.TemplateCodes()),
		"kinds":         anyOf(escrow.Kinds()),
		"ledgerKinds":   anyOf(escrow.LedgerKinds()),
		"permissions":   anyOf(escrow.TenantPermissions()),
		"algorithms":    {translog.Algorithm},

		"ruledPermissions": anyOf(escrow.RuledPermissions()),
		"approvalStatuses": anyOf(escrow.ApprovalStatuses()),
		"windowScopes":     anyOf(escrow.WindowScopes()),
		"members":          anyOf(escrow.PrivateMembersOfPositions()),
		"holdKinds":        anyOf(escrow.HoldKinds()),
		"holdStatuses":     anyOf(escrow.HoldStatuses()),
	}
}

// wordSchemas are the names that clients know lists of words by.
func wordSchemas() map[string]string {
	return map[string]string{
		"states":           "State",
		"accounts":         "Account",
		"regions":          "Region",
		"verticals":        "Vertical",
		"templateCodes":    "TemplateCode",
		"kinds":            "EntryKind",
		"permissions":      "Permission",
		"approvalStatuses": "ApprovalStatus",
		"members":          "PrivateMember",
		"holdKinds":        "HoldKind",
		"holdStatuses":     "HoldStatus",
	}
}

// inputLimits are the bounds of texts, in characters, by the names that tags use.
func inputLimits() map[string]int {
	return map[string]int{
		"text":   escrow.MaxTextLength,
		"reason": escrow.MaxReasonLength,
	}
}

func anyOf[T any](list []T) []any {
	words := make([]any, len(list))
	for i, word := range list {
		words[i] = word
	}
	return words
}

// schemas are the domain's own types, with those that describe them.
func schemas() map[reflect.Type]reflect.Type {
	return map[reflect.Type]reflect.Type{
		reflect.TypeFor[escrow.InstitutionID](): reflect.TypeFor[idSchema[escrow.InstitutionID]](),
		reflect.TypeFor[escrow.KeyID]():         reflect.TypeFor[idSchema[escrow.KeyID]](),
		reflect.TypeFor[escrow.TemplateID]():    reflect.TypeFor[idSchema[escrow.TemplateID]](),
		reflect.TypeFor[escrow.AssetID]():       reflect.TypeFor[idSchema[escrow.AssetID]](),
		reflect.TypeFor[escrow.PositionID]():    reflect.TypeFor[idSchema[escrow.PositionID]](),
		reflect.TypeFor[escrow.EntryID]():       reflect.TypeFor[idSchema[escrow.EntryID]](),
		reflect.TypeFor[escrow.ErasureID]():     reflect.TypeFor[idSchema[escrow.ErasureID]](),
		reflect.TypeFor[escrow.ApprovalID]():    reflect.TypeFor[idSchema[escrow.ApprovalID]](),
		reflect.TypeFor[escrow.HoldID]():        reflect.TypeFor[idSchema[escrow.HoldID]](),
		reflect.TypeFor[escrow.UserID]():        reflect.TypeFor[idSchema[escrow.UserID]](),
		reflect.TypeFor[escrow.SessionID]():     reflect.TypeFor[idSchema[escrow.SessionID]](),

		reflect.TypeFor[escrow.Actor]():          reflect.TypeFor[textSchema](),
		reflect.TypeFor[netip.Addr]():            reflect.TypeFor[textSchema](),
		reflect.TypeFor[money.Digits]():          reflect.TypeFor[digitsSchema](),
		reflect.TypeFor[escrow.Metadata]():       reflect.TypeFor[objectSchema](),
		reflect.TypeFor[escrow.MetadataPatch]():  reflect.TypeFor[objectSchema](),
		reflect.TypeFor[jsontext.Value]():        reflect.TypeFor[objectSchema](),
		reflect.TypeFor[escrow.TemplateConfig](): reflect.TypeFor[templateConfigSchema](),

		reflect.TypeFor[escrow.State]():        reflect.TypeFor[stateSchema](),
		reflect.TypeFor[escrow.Account]():      reflect.TypeFor[accountSchema](),
		reflect.TypeFor[escrow.Region]():       reflect.TypeFor[regionSchema](),
		reflect.TypeFor[escrow.Vertical]():     reflect.TypeFor[verticalSchema](),
		reflect.TypeFor[escrow.Kind]():         reflect.TypeFor[kindSchema](),
		reflect.TypeFor[escrow.Permission]():   reflect.TypeFor[permissionSchema](),
		reflect.TypeFor[escrow.TemplateCode](): reflect.TypeFor[templateCodeSchema](),
	}
}

// schemaNames names a body's schema after its operation, and any other after its Go type:
// without what only tells the layers apart, and as operations spell it.
func schemaNames(routes []route) func(t reflect.Type, hint string) string {
	bodies := make(map[reflect.Type]string)
	for i := range routes {
		operation := routes[i].operation
		if operation.Body != nil {
			bodies[reflect.TypeOf(operation.Body)] = strings.ToUpper(operation.ID[:1]) + operation.ID[1:]
		}
	}

	words := strings.NewReplacer("View", "", "APIKey", "ApiKey")
	return func(t reflect.Type, hint string) string {
		if name, ok := bodies[t]; ok {
			return name
		}
		name := words.Replace(huma.DefaultSchemaNamer(t, hint))
		if item, ok := strings.CutPrefix(name, "List"); ok {
			return item + "List"
		}
		return name
	}
}

// What huma asks for a schema must be a type: these stand for one schema each.
type (
	idSchema[ID fmt.Stringer] struct{}
	textSchema                struct{}
	digitsSchema              struct{}
	objectSchema              struct{}
	templateConfigSchema      struct{}
	stateSchema               struct{}
	accountSchema             struct{}
	regionSchema              struct{}
	verticalSchema            struct{}
	kindSchema                struct{}
	permissionSchema          struct{}
	templateCodeSchema        struct{}
)

// Schema implements huma.SchemaProvider.
func (idSchema[ID]) Schema(huma.Registry) *huma.Schema {
	var zero ID
	prefix, _, _ := strings.Cut(zero.String(), "_")
	return &huma.Schema{
		Type:     "string",
		Pattern:  "^" + prefix + "_[0-7][0-9a-hjkmnp-tv-z]{25}$",
		Examples: []any{prefix + exampleID},
	}
}

// Schema implements huma.SchemaProvider.
func (textSchema) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: "string"} }

// Schema implements huma.SchemaProvider.
func (digitsSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "A plain decimal number, as a JSON number or a string; it is read digit by digit, never as a " +
			"float.",
		OneOf: []*huma.Schema{
			{Type: "string", Pattern: `^(0|[1-9][0-9]*)(\.[0-9]+)?$`},
			{Type: "number"},
		},
		Examples: []any{"1000.00"},
		// oapi-codegen would make a float of 32 bits of the number.
		Extensions: map[string]any{"x-go-type": "string"},
	}
}

// Schema implements huma.SchemaProvider.
func (objectSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "object", AdditionalProperties: true}
}

// Schema implements huma.SchemaProvider.
func (templateConfigSchema) Schema(huma.Registry) *huma.Schema { return configSchema() }

// configSchema describes the rules of a template, which depend on its code: the document
// says which code has which, and leaves it to the server which go together.
func configSchema() *huma.Schema {
	schema := &huma.Schema{Type: "object", Properties: make(map[string]*huma.Schema)}
	var perCode []string
	requiredBy := make(map[string]int)

	for _, code := range escrow.TemplateCodes() {
		var members []string
		for _, member := range code.ConfigMembers() {
			schema.Properties[member.Name] = &huma.Schema{Type: member.Type}
			name := member.Name
			if member.Required {
				requiredBy[member.Name]++
			} else {
				name += " (optional)"
			}
			members = append(members, name)
		}
		perCode = append(perCode, string(code)+": "+strings.Join(members, ", "))
	}
	schema.Description = strings.Join(perCode, "; ") + "."

	for name, codes := range requiredBy {
		if codes == len(escrow.TemplateCodes()) {
			schema.Required = append(schema.Required, name)
		}
	}
	slices.Sort(schema.Required)
	return schema
}

// Schema implements huma.SchemaProvider.
func (stateSchema) Schema(huma.Registry) *huma.Schema { return web.WordSchema("State") }

// Schema implements huma.SchemaProvider.
func (accountSchema) Schema(huma.Registry) *huma.Schema { return web.WordSchema("Account") }

// Schema implements huma.SchemaProvider.
func (regionSchema) Schema(huma.Registry) *huma.Schema { return web.WordSchema("Region") }

// Schema implements huma.SchemaProvider.
func (verticalSchema) Schema(huma.Registry) *huma.Schema { return web.WordSchema("Vertical") }

// Schema implements huma.SchemaProvider.
func (kindSchema) Schema(huma.Registry) *huma.Schema { return web.WordSchema("EntryKind") }

// Schema implements huma.SchemaProvider.
func (permissionSchema) Schema(huma.Registry) *huma.Schema { return web.WordSchema("Permission") }

// Schema implements huma.SchemaProvider.
func (templateCodeSchema) Schema(huma.Registry) *huma.Schema { return web.WordSchema("TemplateCode") }

// Schema implements huma.SchemaProvider.
func (previousState) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{web.WordSchema("State"), {Type: "null"}}}
}

// Schema implements huma.SchemaProvider.
func (coveringCheckpoint) Schema(registry huma.Registry) *huma.Schema {
	checkpoint := registry.Schema(reflect.TypeFor[checkpointView](), true, "")
	return &huma.Schema{OneOf: []*huma.Schema{checkpoint, {Type: "null"}}}
}
