package httpapi

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// APIVersion is the version of the contract that this package answers.
const APIVersion = "1.0.0"

// Specification returns the OpenAPI 3.1 document of the API.
func Specification() ([]byte, error) {
	s := &server{config: Config{PublicDocs: true}}
	return specification(s.table())
}

// specification describes the routes.
func specification(routes []route) ([]byte, error) {
	registry := newRegistry()
	document := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "EscrowGrid", Version: APIVersion,
			Description: "Tokenization of escrowable assets in construction and trade finance: positions on assets, " +
				"led through their lives with the money accounted for to the last minor unit.",
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
		},
		Servers: []*huma.Server{{URL: "/"}},
		Tags: []*huma.Tag{
			{Name: "Positions", Description: "Holders' claims on assets."},
			{Name: "Journal", Description: "What happened: the ledger and the audit trail."},
			{Name: "Transparency log", Description: "Proof that a journal was not changed: its Merkle tree, and signed checkpoints of it."},
			{Name: "Assets", Description: "What positions are claims on."},
			{Name: "Policies", Description: "An institution's own rules."},
			{Name: "API keys", Description: "Who may act for an institution."},
			{Name: "Institutions", Description: "The platform's tenants."},
			{Name: "Service", Description: "The service itself."},
		},
		Components: &huma.Components{
			Schemas: registry,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"apiKey": {Type: "apiKey", In: "header", Name: "X-API-KEY", Description: "An institution's key, or the root key."},
				"bearer": {Type: "http", Scheme: "bearer", Description: "The same key as a Bearer token."},
			},
		},
	}
	for _, r := range routes {
		document.AddOperation(r.operation(registry))
	}
	return json.MarshalIndent(document, "", "  ")
}

func (r route) operation(registry huma.Registry) *huma.Operation {
	operation := &huma.Operation{
		OperationID: r.id, Method: r.method, Path: r.path, Tags: []string{r.tag}, Summary: r.summary,
		Description: "Takes " + r.access.String() + ".",
		Responses:   map[string]*huma.Response{strconv.Itoa(r.status): r.success(registry)},
		Security:    []map[string][]string{{"apiKey": {}}, {"bearer": {}}},
	}
	if r.access == public {
		operation.Security = []map[string][]string{}
	}
	operation.Parameters = append(pathParameters(r.path), queryParameters(registry, r.query)...)
	operation.Parameters = append(operation.Parameters, r.headers()...)
	if r.body != nil {
		schema := registry.Schema(reflect.TypeOf(r.body), true, "")
		operation.RequestBody = &huma.RequestBody{
			Required: r.id != "rotateApiKey", Content: map[string]*huma.MediaType{"application/json": {Schema: schema}},
		}
	}
	r.describeErrors(registry, operation)
	return operation
}

func (r route) success(registry huma.Registry) *huma.Response {
	response := &huma.Response{Description: http.StatusText(r.status), Content: make(map[string]*huma.MediaType), Headers: map[string]*huma.Param{
		"X-Request-Id": textHeader("Names the request in the server's log."),
	}}
	if r.answer != nil {
		schema := registry.Schema(reflect.TypeOf(r.answer), true, "")
		response.Content["application/json"] = &huma.MediaType{Schema: schema}
	}
	for content := range strings.FieldsSeq(r.content) {
		response.Content[content] = &huma.MediaType{Schema: &huma.Schema{Type: "string"}}
		if content == "application/json" {
			response.Content[content].Schema = &huma.Schema{Type: "object", AdditionalProperties: true}
		}
	}
	if r.status == http.StatusCreated {
		response.Headers["Location"] = textHeader("The path of what was created.")
	}
	if _, ok := r.answer.(positionView); ok {
		response.Headers["ETag"] = textHeader("The position's version.")
	}
	if _, ok := r.answer.(statementView); ok {
		response.Headers["Link"] = textHeader("Where the period has more than the statement, the path of the next one, with rel=\"next\".")
	}
	if r.isCommand() {
		response.Headers["Idempotent-Replayed"] = textHeader("true when this is the answer to an earlier request under the same Idempotency-Key.")
	}
	return response
}

func (r route) isCommand() bool { return r.method == post || r.method == put }

func textHeader(description string) *huma.Param {
	return &huma.Param{Description: description, Schema: &huma.Schema{Type: "string"}}
}

// headers are the request headers that the route takes.
func (r route) headers() []*huma.Param {
	header := func(name, description string) *huma.Param {
		return &huma.Param{Name: name, In: "header", Description: description, Schema: &huma.Schema{Type: "string"}}
	}
	params := []*huma.Param{header("X-Request-Id", "Names the request: 1 to 128 characters of A-Z, a-z, 0-9, '.', '_', ':' and '-'. Made when it is left out.")}
	if r.isCommand() {
		params = append(params, header("Idempotency-Key", "1 to 255 visible ASCII characters. The first answer under a key is kept for 24 hours and repeated."))
	}
	switch r.id {
	case "transitionPosition":
		params = append(params, header("If-Match", "The versions that the position may have, as entity tags."))
	case "getPosition":
		params = append(params, header("If-None-Match", "The versions that the client has; 304 when the position's is among them."))
	}
	return params
}

func pathParameters(path string) (params []*huma.Param) {
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			params = append(params, &huma.Param{
				Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: &huma.Schema{Type: "string"},
			})
		}
	}
	return params
}

func queryParameters(registry huma.Registry, query any) (params []*huma.Param) {
	if query == nil {
		return nil
	}
	for _, field := range reflect.VisibleFields(reflect.TypeOf(query)) {
		name := field.Tag.Get("query")
		if name == "" {
			continue
		}
		schema := huma.SchemaFromField(registry, field, "")
		description := schema.Description
		schema.Description = ""
		params = append(params, &huma.Param{Name: name, In: "query", Description: description, Schema: schema})
	}
	return params
}

// describeErrors lists the errors that the route can answer, by status.
func (r route) describeErrors(registry huma.Registry, operation *huma.Operation) {
	possible := append(codes{
		codeRateLimited, escrow.CodeInternal, escrow.CodeStoreUnavailable, escrow.CodeRequestTimeout,
	}, r.refusals...)
	if r.access != public {
		possible = append(possible, codeUnauthorized, escrow.CodeInvalidKey, escrow.CodeForbidden, codeAddressForbidden)
	}
	if r.query != nil || r.isCommand() {
		possible = append(possible, escrow.CodeInvalidInput)
	}
	if r.isCommand() {
		possible = append(possible, escrow.CodeIdempotencyKeyReused, escrow.CodeOverloaded, escrow.CodeShuttingDown,
			escrow.CodeOutcomeUnknown)
	}
	if r.body != nil {
		possible = append(possible, codeMalformedBody, codeBodyTimeout, codeBodyTooLarge, codeUnsupportedMedia)
	}
	if r.id == "getPosition" {
		operation.Responses["304"] = &huma.Response{Description: "The client has this version."}
	}
	byStatus := make(map[int][]string)
	for _, kind := range ErrorKinds() {
		if slices.Contains(possible, kind.Code) {
			byStatus[kind.Status] = append(byStatus[kind.Status], "`"+string(kind.Code)+"`: "+kind.Meaning)
		}
	}
	schema := registry.Schema(reflect.TypeFor[problem](), true, "")
	for status, meanings := range byStatus {
		operation.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: strings.Join(meanings, "\n\n"),
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: schema}},
		}
	}
}

// newRegistry knows the schemas of the domain's own types.
func newRegistry() huma.Registry {
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	for of, schema := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[escrow.InstitutionID]():  reflect.TypeFor[institutionIDSchema](),
		reflect.TypeFor[escrow.KeyID]():          reflect.TypeFor[keyIDSchema](),
		reflect.TypeFor[escrow.TemplateID]():     reflect.TypeFor[templateIDSchema](),
		reflect.TypeFor[escrow.AssetID]():        reflect.TypeFor[assetIDSchema](),
		reflect.TypeFor[escrow.PositionID]():     reflect.TypeFor[positionIDSchema](),
		reflect.TypeFor[escrow.EntryID]():        reflect.TypeFor[entryIDSchema](),
		reflect.TypeFor[escrow.Actor]():          reflect.TypeFor[actorSchema](),
		reflect.TypeFor[money.Digits]():          reflect.TypeFor[digitsSchema](),
		reflect.TypeFor[escrow.Metadata]():       reflect.TypeFor[objectSchema](),
		reflect.TypeFor[jsontext.Value]():        reflect.TypeFor[objectSchema](),
		reflect.TypeFor[escrow.TemplateConfig](): reflect.TypeFor[configSchema](),
		reflect.TypeFor[escrow.State]():          reflect.TypeFor[stateSchema](),
		reflect.TypeFor[escrow.Account]():        reflect.TypeFor[accountSchema](),
		reflect.TypeFor[escrow.Region]():         reflect.TypeFor[regionSchema](),
		reflect.TypeFor[escrow.Vertical]():       reflect.TypeFor[verticalSchema](),
		reflect.TypeFor[escrow.Kind]():           reflect.TypeFor[kindSchema](),
	} {
		registry.RegisterTypeAlias(of, schema)
	}
	return registry
}

// schemaName names a schema after its Go type, without what only tells the layers
// apart.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for _, suffix := range []string{"View", "Body"} {
		name = strings.ReplaceAll(name, suffix, map[string]string{"View": "", "Body": "Input"}[suffix])
	}
	return name
}

type (
	institutionIDSchema struct{}
	keyIDSchema         struct{}
	templateIDSchema    struct{}
	assetIDSchema       struct{}
	positionIDSchema    struct{}
	entryIDSchema       struct{}
	actorSchema         struct{}
	digitsSchema        struct{}
	objectSchema        struct{}
	configSchema        struct{}
	stateSchema         struct{}
	accountSchema       struct{}
	regionSchema        struct{}
	verticalSchema      struct{}
	kindSchema          struct{}
)

func idSchema(id fmt.Stringer) *huma.Schema {
	prefix, _, _ := strings.Cut(id.String(), "_")
	return &huma.Schema{Type: "string", Pattern: "^" + prefix + "_[0-7][0-9a-hjkmnp-tv-z]{25}$"}
}

func wordSchema[T cmp.Ordered](words []T) *huma.Schema {
	schema := &huma.Schema{Type: "string"}
	for _, word := range words {
		schema.Enum = append(schema.Enum, word)
	}
	return schema
}

func (institutionIDSchema) Schema(huma.Registry) *huma.Schema {
	return idSchema(escrow.InstitutionID{})
}
func (keyIDSchema) Schema(huma.Registry) *huma.Schema      { return idSchema(escrow.KeyID{}) }
func (templateIDSchema) Schema(huma.Registry) *huma.Schema { return idSchema(escrow.TemplateID{}) }
func (assetIDSchema) Schema(huma.Registry) *huma.Schema    { return idSchema(escrow.AssetID{}) }
func (positionIDSchema) Schema(huma.Registry) *huma.Schema { return idSchema(escrow.PositionID{}) }
func (entryIDSchema) Schema(huma.Registry) *huma.Schema    { return idSchema(escrow.EntryID{}) }
func (actorSchema) Schema(huma.Registry) *huma.Schema      { return &huma.Schema{Type: "string"} }
func (stateSchema) Schema(huma.Registry) *huma.Schema      { return wordSchema(escrow.States()) }

func (accountSchema) Schema(huma.Registry) *huma.Schema { return wordSchema(escrow.Accounts()) }

func (regionSchema) Schema(huma.Registry) *huma.Schema { return wordSchema(escrow.Regions()) }

func (verticalSchema) Schema(huma.Registry) *huma.Schema { return wordSchema(escrow.Verticals()) }
func (kindSchema) Schema(huma.Registry) *huma.Schema     { return wordSchema(escrow.Kinds()) }

func (digitsSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "A plain decimal number, as a JSON number or a string; it is read digit by digit, never as a float.",
		OneOf:       []*huma.Schema{{Type: "string", Pattern: `^(0|[1-9][0-9]*)(\.[0-9]+)?$`}, {Type: "number"}},
		Examples:    []any{"1000.00"},
	}
}

func (objectSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "object", AdditionalProperties: true}
}

func (configSchema) Schema(huma.Registry) *huma.Schema {
	text := &huma.Schema{Type: "string"}
	return &huma.Schema{
		Type: "object", Required: []string{"currency"},
		Description: "CONSTR_ESCROW has region, minAmount and maxAmount; CONSTR_RETAINAGE retainagePercentage; TF_INVOICE " +
			"country and maxTenorDays; TF_LC issuingBankCountry and maxTenorDays.",
		Properties: map[string]*huma.Schema{
			"currency": text, "region": text, "minAmount": text, "maxAmount": text,
			"retainagePercentage": {Type: "number"}, "maxTenorDays": {Type: "integer"},
			"country": text, "issuingBankCountry": text,
		},
	}
}

// Schema implements huma.SchemaProvider.
func (previousState) Schema(huma.Registry) *huma.Schema {
	schema := wordSchema(escrow.States())
	schema.Nullable = true
	schema.Enum = append(schema.Enum, nil)
	return schema
}

// Schema implements huma.SchemaProvider.
func (coveringCheckpoint) Schema(registry huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{registry.Schema(reflect.TypeFor[checkpointView](), true, ""), {Type: "null"}}}
}

// Schema implements huma.SchemaProvider.
func (timestamp) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "string", Format: "date-time", Examples: []any{"2027-01-31T12:00:00.000000Z"}}
}
