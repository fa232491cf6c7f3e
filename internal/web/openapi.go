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

// Operation describes a method on a path.
type Operation struct {
	// ID names the operation in clients' code, Summary for people; Tag is the group that
	// it is shown in.
	ID, Tag, Summary, Description string
	// Query, Body and Answer are zero values of what it takes and gives; nil is nothing.
	// The fields of a query have a query tag, the others json tags.
	Query, Body, Answer any
	// BodyOptional says that the body may be left out.
	BodyOptional bool
	// Status is that of an answer that is no error; 0 is 200.
	Status int
	// OtherTypes are the answer's content types where it is not JSON, or not only.
	OtherTypes []string
	// RequestHeaders and AnswerHeaders are those beside X-Request-Id and, where something
	// was created, Location.
	RequestHeaders, AnswerHeaders []Header
	// NotModified says when the answer is 304; empty is never.
	NotModified string
	// Public says that it takes no key.
	Public bool
	// Failures are the errors that it can answer, in the order in which they are told.
	Failures []Failure
}

// Header is a header with what it says.
type Header struct{ Name, Description string }

// Failure is an error that an operation can answer.
type Failure struct {
	Status        int
	Code, Meaning string
}

// AnswerStatus returns the status of an answer that is no error.
func (o Operation) AnswerStatus() int {
	if o.Status == 0 {
		return http.StatusOK
	}
	return o.Status
}

// Description is an OpenAPI 3.1 document in the making. Beside the tags that huma knows,
// fields of queries and bodies may have a tag words, which names one of Words, or a tag
// limit, which names one of Limits.
type Description struct {
	// Document has everything but operations and schemas.
	Document *huma.OpenAPI
	// Schemas are the types whose schema another type provides.
	Schemas map[reflect.Type]reflect.Type
	// SchemaName names a schema after its type.
	SchemaName func(t reflect.Type, hint string) string
	// Words are the lists of words that a field can be one of.
	Words map[string][]any
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
	d.registry = huma.NewMapRegistry("#/components/schemas/", d.SchemaName)
	for of, schema := range d.Schemas {
		d.registry.RegisterTypeAlias(of, schema)
	}
	d.Document.Components.Schemas = d.registry
}

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

	if !o.Public {
		for _, scheme := range []string{"apiKey", "bearer"} {
			described.Security = append(described.Security, map[string][]string{scheme: {}})
		}
	}
	described.Parameters = append(pathParameters(path), d.queryParameters(o.Query)...)
	described.Parameters = append(described.Parameters, headerParameters(o.RequestHeaders)...)
	if o.Body != nil {
		described.RequestBody = &huma.RequestBody{
			Required: !o.BodyOptional, Content: map[string]*huma.MediaType{ContentTypeJSON: {Schema: d.schema(o.Body)}},
		}
	}
	if o.NotModified != "" {
		described.Responses["304"] = &huma.Response{Description: o.NotModified}
	}
	d.addFailures(described, o.Failures)

	d.Document.AddOperation(described)
}

func (d *Description) answer(o Operation) *huma.Response {
	status := o.AnswerStatus()
	answer := &huma.Response{
		Description: http.StatusText(status),
		Content:     make(map[string]*huma.MediaType),
		Headers:     map[string]*huma.Param{"X-Request-Id": textHeader("Names the request in the server's log.")},
	}

	if o.Answer != nil {
		answer.Content[ContentTypeJSON] = &huma.MediaType{Schema: d.schema(o.Answer)}
	}
	for _, contentType := range o.OtherTypes {
		schema := &huma.Schema{Type: "string"}
		if contentType == ContentTypeJSON {
			schema = &huma.Schema{Type: "object", AdditionalProperties: true}
		}
		answer.Content[contentType] = &huma.MediaType{Schema: schema}
	}

	if status == http.StatusCreated {
		answer.Headers["Location"] = textHeader("The path of what was created.")
	}
	for _, header := range o.AnswerHeaders {
		answer.Headers[header.Name] = textHeader(header.Description)
	}
	return answer
}

func textHeader(description string) *huma.Param {
	return &huma.Param{Description: description, Schema: &huma.Schema{Type: "string"}}
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
		description := schema.Description
		schema.Description = ""
		params = append(params, &huma.Param{Name: name, In: "query", Description: description, Schema: schema})
	}
	return params
}

// addFailures lists the errors by status.
func (d *Description) addFailures(described *huma.Operation, failures []Failure) {
	problem := d.schema(d.Problem)
	meanings := make(map[int][]string)
	for _, f := range failures {
		meanings[f.Status] = append(meanings[f.Status], "`"+f.Code+"`: "+f.Meaning)
	}

	for status, all := range meanings {
		described.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: strings.Join(all, "\n\n"),
			Content:     map[string]*huma.MediaType{ContentTypeProblem: {Schema: problem}},
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
		if schema.Items != nil {
			schema.Items.Enum = words
		} else {
			schema.Enum = words
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
