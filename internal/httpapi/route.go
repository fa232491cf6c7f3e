package httpapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// route is a method on a path, and all there is to say about it: who may use it, which
// tenant it concerns, what it takes and gives. The server acts on it, and the OpenAPI
// document is made of it.
type route struct {
	// pattern is the method and the path: "GET /positions/{id}".
	pattern string
	access  access
	tenant  tenancy
	// probe says that machines ask for it every few seconds, so that only its failures are
	// worth a line in the log.
	probe bool
	// keyOptional says that the operator decides whether it takes a key.
	keyOptional bool
	// unlisted says that it leads people on, and is no part of the document of the API.
	unlisted bool
	// apart says that it changes something beside the journal, such as sessions: its answer is kept
	// under no Idempotency-Key, and nothing is judged again under the lock of a journal.
	apart bool
	// repeatable says that to ask again is safe, and goes on: its answer is kept under no Idempotency-Key.
	repeatable bool
	// atOnce says that it ends a right, or erases, and so never waits for an approval.
	atOnce bool
	// takesSecret says that its body can hold a secret.
	takesSecret bool
	// limited says that it has a stricter rate limit.
	limited bool
	// large says that its answer can have escrow.MaxPageBytes; see answerMemory.
	large  bool
	handle func(*call) (reply, error)
	// operation stands beside the handler.
	operation operation
}

// operation describes what a route does. Its query and body are what the server reads.
type operation struct {
	web.Operation
	// refusals are the codes that it can answer beside those that follow from the route.
	refusals codes
	// rehearsed and awaited are zero values of what it answers to a dry run, and of a command that waits
	// for an approval, where these are not what they are everywhere.
	rehearsed, awaited any
}

type (
	codes   = []escrow.Code
	headers = []web.Header
)

// method is that of the pattern.
func (r *route) method() string {
	method, _, _ := strings.Cut(r.pattern, " ")
	return method
}

// path is the path's template.
func (r *route) path() string {
	_, path, _ := strings.Cut(r.pattern, " ")
	return path
}

// isCommand reports whether the route changes something.
func (r *route) isCommand() bool { return web.IsCommand(r.method()) }

// isJournaled reports whether the route changes something that the journal tells of.
func (r *route) isJournaled() bool { return r.isCommand() && !r.apart }

// isKeyed reports whether its answer is kept under an Idempotency-Key.
func (r *route) isKeyed() bool { return r.isJournaled() && !r.repeatable }

// takesGlass reports whether the body can say why the operator does not wait for an approval.
func (r *route) takesGlass() bool { return r.isJournaled() && r.method() != http.MethodDelete }

// takesBody reports whether a request can have a body.
func (r *route) takesBody() bool { return r.operation.Body != nil || r.takesGlass() }

// canWait reports whether what the route does can be under a rule, and so wait for an approval.
func (r *route) canWait() bool {
	return r.isJournaled() && !r.atOnce && slices.ContainsFunc(r.access.oneOf, func(p escrow.Permission) bool {
		return slices.Contains(escrow.RuledPermissions(), p)
	})
}

// hasVersion reports whether the route is a query for what has a version, which its answer tells in
// an ETag.
func (r *route) hasVersion() bool {
	return !r.isCommand() && hasHeader(r.operation.AnswerHeaders, etagHeader.Name)
}

// takesIfMatch reports whether a request can say which version it is for.
func (r *route) takesIfMatch() bool {
	return r.hasVersion() || hasHeader(r.operation.RequestHeaders, ifMatchHeader.Name)
}

// takesNothing reports whether the route's handler reads nothing of a request that can have a fault,
// and so tells of none.
func (r *route) takesNothing() bool {
	return !r.isCommand() && r.tenant == noTenant && r.operation.Query == nil
}

func hasHeader(all headers, name string) bool {
	return slices.ContainsFunc(all, func(h web.Header) bool { return h.Name == name })
}

// resource is a path with its routes by method. Nil is a path where nothing is.
//
// The mux is given paths and not methods with paths: what has a path of its own, as
// /positions/batch has, is no resource by the id of that name, for whatever method; and
// which methods a path takes is told only to those who have a key.
type resource map[string]*route

// resources returns the routes by path.
func resources(routes []route) map[string]resource {
	byPath := make(map[string]resource)
	for i := range routes {
		r := &routes[i]
		if byPath[r.path()] == nil {
			byPath[r.path()] = make(resource)
		}
		byPath[r.path()][r.method()] = r
	}
	return byPath
}

// route finds what a method does here, or nil; HEAD is answered as GET without its body.
func (r resource) route(method string) *route {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	return r[method]
}

// allowed is the Allow header.
func (r resource) allowed() string {
	methods := slices.Sorted(maps.Keys(r))
	if r[http.MethodGet] != nil {
		methods = append(methods, http.MethodHead)
	}
	return strings.Join(methods, ", ")
}

// nothingHere is the refusal of a path that is nothing's, with what may be meant.
func (c *call) nothingHere() error {
	asked := c.request.URL.Path
	if path := strings.TrimRight(asked, "/"); path != asked && path != "" {
		_, pattern := c.server.mux.Handler(&http.Request{Method: http.MethodGet, URL: &url.URL{Path: path}})
		if pattern != "/" && pattern != "" {
			return escrow.Errorf(codeRouteNotFound, "There is nothing at this path; leave out the slash at its end.")
		}
	}
	return escrow.Errorf(codeRouteNotFound, "There is nothing at this path; /openapi.json lists those that there are.")
}

// check refuses a request for what is not there.
func (r resource) check(c *call) error {
	if r == nil {
		return c.nothingHere()
	}
	if c.route == nil {
		c.writer.Header().Set("Allow", r.allowed())
		return escrow.Errorf(codeMethodNotAllowed, "This path takes %s.", r.allowed())
	}
	return nil
}
