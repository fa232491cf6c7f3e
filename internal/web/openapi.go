package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// Description is an OpenAPI 3.1 document in the making. Beside the tags that huma knows,
// fields of queries and bodies may have a tag words, which names one of Words, or a tag
// limit, which names one of Limits.
type Description struct {
	// Document has everything but operations and schemas.
	Document *huma.OpenAPI
	// PathParameters are the parameters of paths, by what stands before them, themselves
	// included: "/positions/{id}".
	PathParameters map[string]PathParameter
	// Schemas are the types whose schema another type provides.
	Schemas map[reflect.Type]reflect.Type
	// SchemaName names a schema after its type.
	SchemaName func(t reflect.Type, hint string) string
	// Words are the lists of words that a field can be one of.
	Words map[string][]any
	// WordSchemas names the schemas of lists of words that clients know by a name.
	WordSchemas map[string]string
	// Limits are the most characters that a text can have which has at least one.
	Limits map[string]int
	// Problem is the zero value of a problem document.
	Problem any

	registry huma.Registry
	// annotated are the structs that have their words and limits.
	annotated map[reflect.Type]bool
}

// begin makes the registry of schemas when the first operation is added.
func (d *Description) begin() {
	if d.registry != nil {
		return
	}

	d.annotated = make(map[reflect.Type]bool)
	d.registry = huma.NewMapRegistry(schemaPrefix, d.SchemaName)
	for of, schema := range d.Schemas {
		d.registry.RegisterTypeAlias(of, schema)
	}
	d.Document.Components.Schemas = d.registry
	for list, name := range d.WordSchemas {
		d.registry.Map()[name] = &huma.Schema{Type: "string", Enum: d.Words[list]}
	}
}

// WordSchema returns the reference to a list of words that has a name.
func WordSchema(name string) *huma.Schema { return &huma.Schema{Ref: schemaPrefix + name} }

// schemaPrefix is what references to schemas begin with.
const schemaPrefix = "#/components/schemas/"

// JSON returns the document.
func (d *Description) JSON() ([]byte, error) { return json.MarshalIndent(d.Document, "", "  ") }

// Add adds the operation of a method on a path, like "/positions/{id}".
func (d *Description) Add(method, path string, o Operation) {
	d.begin()
	described := &huma.Operation{
		OperationID: o.ID,
		Method:      method,
		Path:        path,
		Tags:        []string{o.Tag},
		Summary:     o.Summary,
		Description: o.Description,
		Responses:   map[string]*huma.Response{strconv.Itoa(o.AnswerStatus()): d.answer(o)},
		Security:    []map[string][]string{},
	}

	if o.KeyOptional {
		described.Security = append(described.Security, map[string][]string{})
	}
	if !o.Public {
		for _, scheme := range []string{"apiKey", "bearer", "session"} {
			described.Security = append(described.Security, map[string][]string{scheme: {}})
		}
	}
	described.Parameters = append(d.pathParameters(path), d.queryParameters(o.Query)...)
	described.Parameters = append(described.Parameters, headerParameters(o.RequestHeaders)...)
	if o.Body != nil {
		schema := d.schemaWith(o.Body, o.FurtherBody)
		if o.BodyOptional { // What may be left out may be null.
			schema = &huma.Schema{AnyOf: []*huma.Schema{schema, {Type: "null"}}}
		}
		body := &huma.MediaType{Schema: schema, Example: json.RawMessage(o.BodyExample)}
		described.RequestBody = &huma.RequestBody{
			Required: !o.BodyOptional,
			Content:  map[string]*huma.MediaType{takenType(method): body, ContentTypeJSON: body},
		}
	}
	if o.NotModified != "" {
		described.Responses["304"] = &huma.Response{Description: o.NotModified, Headers: answerHeaders(o.AnswerHeaders)}
	}
	for _, other := range o.Others {
		described.Responses[strconv.Itoa(other.Status)] = &huma.Response{
			Description: other.Description,
			Content: map[string]*huma.MediaType{
				ContentTypeJSON: {Schema: d.schemaWith(other.Answer, o.FurtherAnswer)},
			},
			Headers: answerHeaders(other.Headers),
		}
	}
	d.addFailures(described, o)

	d.Document.AddOperation(described)
}

func (d *Description) answer(o Operation) *huma.Response {
	status := o.AnswerStatus()
	answer := &huma.Response{
		Description: http.StatusText(status),
		Content:     make(map[string]*huma.MediaType),
		Headers:     answerHeaders(o.AnswerHeaders),
	}

	if o.Answer != nil {
		answer.Content[ContentTypeJSON] = &huma.MediaType{Schema: d.schemaWith(o.Answer, o.FurtherAnswer)}
	}
	for _, contentType := range o.OtherTypes {
		schema := &huma.Schema{Type: "string"}
		if contentType == ContentTypeJSON {
			schema = &huma.Schema{Type: "object", AdditionalProperties: true}
		}
		answer.Content[contentType] = &huma.MediaType{Schema: schema}
	}

	if status == http.StatusCreated {
		answer.Headers["Location"] = answerHeader("The path of what was created.", true)
	}
	return answer
}

// answerHeaders are those of an answer, and the one that every answer has.
func answerHeaders(headers []Header) map[string]*huma.Param {
	described := map[string]*huma.Param{"X-Request-Id": answerHeader("Names the request in the server's log.", true)}
	for _, header := range headers {
		described[header.Name] = answerHeader(header.Description, header.Always)
	}
	return described
}

func answerHeader(description string, always bool) *huma.Param {
	return &huma.Param{Description: description, Required: always, Schema: &huma.Schema{Type: "string"}}
}

// requestIDHeader is a header of every request; RequestID reads it.
var requestIDHeader = Header{
	Name: "X-Request-Id",
	Description: fmt.Sprintf("Names the request: 1 to %d characters of A-Z, a-z, 0-9, '.', '_', ':' and '-'. "+
		"Made when it is left out.", maxRequestID),
}

func headerParameters(headers []Header) (params []*huma.Param) {
	for _, header := range append([]Header{requestIDHeader}, headers...) {
		params = append(params, &huma.Param{
			Name: header.Name, In: "header", Description: header.Description, Schema: &huma.Schema{Type: "string"},
		})
	}
	return params
}

// pathParameters describes the parameters of a path. It panics where one is not known.
func (d *Description) pathParameters(path string) (params []*huma.Param) {
	read := 0
	for part := range strings.SplitSeq(path, "/") {
		read += len(part) + len("/")
		name, ok := strings.CutPrefix(part, "{")
		if !ok {
			continue
		}

		known, ok := d.PathParameters[path[:read-len("/")]]
		if !ok {
			panic("the document does not know the parameter at the end of " + path[:read-len("/")])
		}
		params = append(params, &huma.Param{
			Name:        strings.TrimSuffix(name, "}"),
			In:          "path",
			Description: known.Description,
			Required:    true,
			Schema:      d.registry.Schema(reflect.TypeOf(known.Of), true, ""),
			Example:     known.Example,
		})
	}
	return params
}

func (d *Description) queryParameters(query any) (params []*huma.Param) {
	if query == nil {
		return nil
	}

	for _, field := range reflect.VisibleFields(reflect.TypeOf(query)) {
		name := field.Tag.Get("query")
		if name == "" {
			continue
		}
		schema := huma.SchemaFromField(d.registry, field, "")
		d.annotate(schema, field)
		param := &huma.Param{
			Name:        name,
			In:          "query",
			Description: schema.Description,
			Required:    parameterOf(field).required,
			Schema:      schema,
		}
		schema.Description, schema.Nullable = "", false
		// A page of the document fills in the examples of parameters, which those that may be
		// left out must not be.
		if param.Required && len(schema.Examples) > 0 {
			param.Example = schema.Examples[0]
		}
		if schema.Type == huma.TypeArray {
			param.Explode = new(false) // One parameter, with commas between the values.
		}
		params = append(params, param)
	}
	return params
}

// addFailures lists the errors by status.
func (d *Description) addFailures(described *huma.Operation, o Operation) {
	problem := d.schema(d.Problem)
	meanings := make(map[int][]string)
	for _, f := range o.Failures {
		meanings[f.Status] = append(meanings[f.Status], "`"+f.Code+"`: "+f.Meaning)
	}

	for status, all := range meanings {
		described.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: strings.Join(all, "\n\n"),
			Content:     map[string]*huma.MediaType{ContentTypeProblem: {Schema: problem}},
			Headers:     answerHeaders(o.FailureHeaders[status]),
		}
	}
}

// schema returns the reference to the schema of a value's type.
func (d *Description) schema(of any) *huma.Schema {
	t := reflect.TypeOf(of)
	reference := d.registry.Schema(t, true, "")
	d.annotateStruct(t)
	return reference
}

// schemaWith returns the reference to the schema of a value's type, to whose members it adds those of
// another struct that it does not have; nil has none.
func (d *Description) schemaWith(of, further any) *huma.Schema {
	reference := d.schema(of)
	if further == nil {
		return reference
	}
	schema := d.registry.SchemaFromRef(reference.Ref)
	for name, property := range d.registry.SchemaFromRef(d.schema(further).Ref).Properties {
		if schema.Properties[name] == nil {
			schema.Properties[name] = property
		}
	}
	return reference
}

// annotateStruct annotates the schema of a struct, and those of the structs in it.
func (d *Description) annotateStruct(t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || d.annotated[t] {
		return
	}
	d.annotated[t] = true
	schema := d.registry.SchemaFromRef(d.registry.Schema(t, true, "").Ref)
	if schema == nil {
		return // A type that provides its own.
	}

	for _, field := range reflect.VisibleFields(t) {
		property := schema.Properties[jsonName(field.Tag.Get("json"))]
		if property == nil {
			continue
		}
		d.annotate(property, field)
		d.annotateStruct(field.Type)
	}
}

// annotate adds to a field's schema what its tags words and limit refer to.
func (d *Description) annotate(schema *huma.Schema, field reflect.StructField) {
	if words, ok := named(d.Words, field, "words"); ok {
		of := schema
		if schema.Items != nil {
			of = schema.Items
		}
		if name, ok := d.WordSchemas[field.Tag.Get("words")]; ok {
			of.Type, of.Ref = "", WordSchema(name).Ref
		} else {
			of.Enum = words
		}
	}

	if limit, ok := named(d.Limits, field, "limit"); ok {
		schema.MinLength, schema.MaxLength = new(1), new(limit)
		schema.Description = strings.TrimSpace(fmt.Sprintf("%s 1 to %d characters.", schema.Description, limit))
	}
}

// named returns what a field's tag refers to by its name, if there is such a tag.
func named[T any](all map[string]T, field reflect.StructField, tag string) (T, bool) {
	name := field.Tag.Get(tag)
	value, ok := all[name]
	if name != "" && !ok {
		panic(fmt.Sprintf("the tag %s of the field %s refers to what is not there: %s", tag, field.Name, name))
	}
	return value, ok
}
