package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	validation "github.com/pb33f/libopenapi-validator/errors"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// Contract is an OpenAPI document that exchanges are compared with.
type Contract struct {
	validator validator.Validator
	// operations are the document's, "GET /positions/{id}", with the form of their
	// paths.
	operations map[string]*regexp.Regexp
	// headers are those of answers, "GET /positions/{id} 200", and whether they always have
	// them.
	headers map[string]map[string]bool
	// literal are the paths without a part that stands for others.
	literal map[string]bool
	// mu keeps the validator to one exchange at a time.
	mu sync.Mutex
}

// NewContract reads an OpenAPI document, which must be valid itself.
func NewContract(document []byte) (*Contract, error) {
	parsed, err := libopenapi.NewDocument(document)
	if err != nil {
		return nil, err
	}
	model, err := parsed.BuildV3Model()
	if err != nil {
		return nil, err
	}
	checks, errs := validator.NewValidator(parsed, config.WithFormatAssertions())
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if _, faults := checks.ValidateDocument(); len(faults) > 0 {
		return nil, fmt.Errorf("the document is not valid: %s", describe(faults))
	}
	c := &Contract{
		validator: checks, operations: make(map[string]*regexp.Regexp), literal: make(map[string]bool),
		headers: make(map[string]map[string]bool),
	}
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		form := regexp.MustCompile("^" + regexp.MustCompile(`\\\{[^}]*\\\}`).ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		c.literal[path] = !strings.Contains(path, "{")
		for method, operation := range item.GetOperations().FromOldest() {
			name := strings.ToUpper(method) + " " + path
			c.operations[name] = form
			for status, response := range operation.Responses.Codes.FromOldest() {
				headers := make(map[string]bool)
				for header, described := range response.Headers.FromOldest() {
					headers[http.CanonicalHeaderKey(header)] = described.Required
				}
				c.headers[name+" "+status] = headers
			}
		}
	}
	return c, nil
}

// Operations lists what the document describes, as "GET /positions/{id}".
func (c *Contract) Operations() []string {
	operations := make([]string, 0, len(c.operations))
	for operation := range c.operations {
		operations = append(operations, operation)
	}
	slices.Sort(operations)
	return operations
}

// Operation returns the operation that a request means, or "" where the document
// has none.
func (c *Contract) Operation(method, path string) string {
	if c.literal[path] {
		// What has a path of its own is no resource by the id of that name.
		if c.operations[method+" "+path] == nil {
			return ""
		}
		return method + " " + path
	}
	for operation, form := range c.operations {
		if strings.HasPrefix(operation, method+" ") && form.MatchString(path) {
			return operation
		}
	}
	return ""
}

// Check compares an exchange with the document: every answer must be one that it
// describes, and a request that is accepted must be one that it allows.
func (c *Contract) Check(request *http.Request, requestBody []byte, answer *http.Response, answerBody []byte) error {
	operation := c.Operation(request.Method, request.URL.EscapedPath())
	if operation == "" {
		return nil
	}
	if fault := headerFault(answer.Header, c.headers[fmt.Sprintf("%s %d", operation, answer.StatusCode)]); fault != "" {
		return fmt.Errorf("the header %s", fault)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	withBody := func() *http.Request {
		again := request.Clone(request.Context())
		again.Body = io.NopCloser(bytes.NewReader(requestBody))
		again.ContentLength = int64(len(requestBody))
		// Over plain HTTP the cookie of a session has no prefix.
		if cookie := again.Header.Get("Cookie"); strings.HasPrefix(cookie, "escrowgrid=") {
			again.Header.Set("Cookie", "__Host-"+cookie)
		}
		return again
	}
	copied := *answer
	copied.Body = io.NopCloser(bytes.NewReader(answerBody))
	if _, faults := c.validator.ValidateHttpResponse(withBody(), &copied); len(faults) > 0 {
		return fmt.Errorf("the answer is not as documented: %s", describe(faults))
	}
	// An item of a batch that is not as documented is refused as an item.
	if answer.StatusCode >= http.StatusBadRequest || bytes.Contains(answerBody, []byte(`"code":"invalid_input"`)) {
		return nil
	}
	if _, faults := c.validator.ValidateHttpRequestSync(withBody()); len(faults) > 0 {
		return fmt.Errorf("a request was accepted that is not as documented: %s", describe(faults))
	}
	return nil
}

// headerFault says what is wrong with the headers of an answer beside those that any answer of
// any server may have; documented are the others, and whether an answer always has them.
func headerFault(answer http.Header, documented map[string]bool) string {
	for name, always := range documented {
		if always && answer.Get(name) == "" {
			return name + " is missing"
		}
	}
	usual := web.SecureHeader()
	for _, name := range []string{"Connection", "Content-Length", "Content-Type", "Date", "Referrer-Policy", "Vary"} {
		usual.Set(name, "")
	}
	for name := range answer {
		if _, ok := documented[name]; !ok && usual[name] == nil && !strings.HasPrefix(name, "Access-Control-") {
			return name + " is not documented"
		}
	}
	return ""
}

// compare is Check of an exchange that did not take place.
func (c *Contract) compare(r apitest.Request, status int, header http.Header, body string) error {
	request, err := http.NewRequestWithContext(context.Background(), r.Method, "http://localhost"+r.Path, http.NoBody)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-API-KEY", "any")
	answer := &http.Response{StatusCode: status, Header: header}
	return c.Check(request, []byte(r.Body), answer, []byte(body))
}

func describe(faults []*validation.ValidationError) string {
	var text strings.Builder
	for _, fault := range faults {
		fmt.Fprintf(&text, "%s: %s", fault.Message, fault.Reason)
		for _, detail := range fault.SchemaValidationErrors {
			fmt.Fprintf(&text, "; %s: %s", detail.FieldPath, detail.Reason)
		}
		text.WriteString("\n")
	}
	return text.String()
}
