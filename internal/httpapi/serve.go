package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"runtime/debug"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// answer answers a request for a resource, whatever happens on the way, and logs it. The
// pattern is the path's template: logs and metrics must not grow with what clients ask
// for.
func (s *server) answer(w http.ResponseWriter, r *http.Request, pattern string, found resource) {
	arrived := time.Now()
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()

	ctx, span := s.startSpan(r)
	c := &call{
		server:    s,
		request:   r,
		writer:    web.NewWriter(w, r),
		requestID: web.RequestID(r),
		client:    s.config.Proxies.Client(r),
		pattern:   pattern,
		span:      span,
	}
	c.writer.Header().Set("X-Request-Id", c.requestID)
	c.writer.Secure()
	s.crossOrigin.Answer(&c.writer, r)

	defer func() { s.end(c, arrived, recover()) }()
	defer c.releaseMemory()

	// A browser asks before it has a key to send.
	if s.crossOrigin.AnswerPreflight(&c.writer, r) {
		c.pattern = "preflight"
		return
	}

	// Whatever is done for a request, its statements in the database included, ends with
	// its time.
	timed := web.WithDeadline(ctx, arrived.Add(s.config.RequestTimeout))
	defer timed.End()
	ctx = timed
	// What no lock judges again is judged by one state of the database.
	if route := found.route(r.Method); !web.IsCommand(r.Method) || route != nil && route.apart {
		ctx = engine.WithSnapshot(ctx)
	}
	c.request = r.WithContext(ctx)

	answer, err := s.serve(c, found)
	if err != nil {
		// The request as it came has no deadline: its context ends when the client goes away.
		c.gone = r.Context().Err() != nil
		c.writeError(err)
		return
	}
	c.write(answer)
}

// end logs a request, after the panic of its handler where there was one.
func (s *server) end(c *call, arrived time.Time, problem any) {
	begun := c.writer.Status() != 0
	if problem != nil {
		s.log.Error("panic in a handler",
			"request_id", c.requestID, "panic", problem, "stack", string(debug.Stack()))
		if !begun {
			c.writeError(escrow.Errorf(escrow.CodeInternal, "Something went wrong on the server."))
		}
	}

	s.finish(c, time.Since(arrived))
	// A client must not take the part of an answer that it has for the whole.
	if problem != nil && begun {
		panic(http.ErrAbortHandler)
	}
}

// serve takes a request through its steps, each of which can refuse it, to the handler of
// its route. Their order is documented, and a part of the contract: nobody learns what
// there is without a key, and nothing is read for a caller who may not ask for it.
func (s *server) serve(c *call, found resource) (reply, error) {
	c.route = found.route(c.request.Method)
	c.readDryRun()

	// A key is asked for before anything else is told, 404 and 405 included. Its rate is that
	// of all it sends, whatever becomes of it.
	if c.route == nil || !c.route.access.isPublic {
		if err := s.authenticate(c); err != nil {
			return reply{}, err
		}
		if err := s.limits.check(c); err != nil {
			return reply{}, err
		}
	}
	if err := found.check(c); err != nil {
		return reply{}, err
	}
	if err := c.route.access.check(c); err != nil {
		return reply{}, err
	}
	// A batch is up to a mebibyte, and reading it is most of what its refusal would cost.
	if err := s.admit(c); err != nil {
		return reply{}, err
	}
	if err := c.readInput(); err != nil {
		return reply{}, err
	}
	c.findTenant()
	if c.route.large {
		if err := c.reserveMemory(escrow.MaxPageBytes); err != nil {
			return reply{}, err
		}
	}

	// The handler goes on to note faults; then all of them are told.
	answer, err := c.route.handle(c)
	if waiting, ok := errors.AsType[awaitedError](err); ok {
		answer, err = c.awaited(waiting.approval)
	}
	answer.replayed = c.replayed
	if c.dryRun && err == nil {
		return c.rehearsed(answer)
	}
	return answer, err
}

// readPreconditions reads the versions that the request asks for, and notes the preconditions that
// the route does not look at: a client that sends one believes that it is answered, and that things
// are done, only where it holds. A query that has no version to compare is answered whatever
// If-None-Match says, which promises no more than to save an answer.
func (c *call) readPreconditions() {
	header := c.request.Header
	switch headers := header["If-Match"]; {
	case len(headers) == 0:
	case c.route.takesIfMatch():
		var err error
		c.versions, err = web.IfMatch(headers)
		addFault(&c.faults, "If-Match", err)
	default:
		c.faults.Add("If-Match", "is not taken here: no version can be asked for")
	}

	if c.route.isCommand() && len(header["If-None-Match"]) > 0 {
		c.faults.Add("If-None-Match", "is not taken here: no version can be asked for")
	}
	if len(header["If-Unmodified-Since"]) > 0 {
		c.faults.Add("If-Unmodified-Since", "is not taken: versions can be asked for, and times cannot")
	}
}

// conditional is the answer to a query for what has a version, as its preconditions have it; whole
// makes that of a client that has another version, or none. The order is that of RFC 9110, 13.2.2.
func (c *call) conditional(version int64, whole func() (reply, error)) (reply, error) {
	if err := c.checkVersion(version); err != nil {
		return reply{}, err
	}
	if web.IfNoneMatch(c.request.Header["If-None-Match"], version) {
		return reply{status: http.StatusNotModified}.tagged(version), nil
	}

	answer, err := whole()
	return answer.tagged(version), err
}

// checkVersion refuses a version that If-Match does not name.
func (c *call) checkVersion(version int64) error {
	if c.versions != nil && !slices.Contains(c.versions, version) {
		return escrow.Errorf(escrow.CodeVersionMismatch,
			"The resource's version is %d, which the request does not name.", version)
	}
	return nil
}

// admit refuses a command for which the queue has no room, before reading it. A command of
// root's is let through: only its body can name the institution.
func (s *server) admit(c *call) error {
	if !c.route.isJournaled() || c.caller.root {
		return nil
	}
	return s.engine.Admit(c.caller.institution)
}

// bodies returns what the body is read into: what the route takes, if anything, and what all that is
// journaled takes.
func (c *call) bodies() (body any, further []any) {
	if of := c.route.operation.Body; of != nil {
		c.body = reflect.New(reflect.TypeOf(of)).Interface()
		body = c.body
	}
	switch {
	case !c.route.takesGlass():
	case body == nil:
		body = &c.glass
	default:
		further = []any{&c.glass}
	}
	return body, further
}

// readInput reads the query and the body that the route takes. All that is wrong in them
// is noted; the error is that of a body that cannot be read at all.
func (c *call) readInput() error {
	takes, report := &c.route.operation, c.faults.Add

	// A command refuses parameters that it does not know, even where it knows none. A GET of
	// one resource ignores them.
	switch {
	case takes.Query != nil:
		c.query = reflect.New(reflect.TypeOf(takes.Query)).Interface()
		web.DecodeQuery(c.request.URL.RawQuery, c.query, report)
	case c.route.isCommand() && c.request.URL.RawQuery != "":
		web.DecodeQuery(c.request.URL.RawQuery, &struct{}{}, report)
	}
	if c.route.isCommand() {
		c.checkIdempotencyKey()
	}
	c.readPreconditions()

	if c.route.takesNothing() {
		return c.faults.Err()
	}
	body, further := c.bodies()
	if body == nil {
		return nil
	}
	optional := takes.BodyOptional || takes.Body == nil
	if optional && web.HasNoBody(c.request) {
		return nil
	}
	read, err := web.ReadBody(&c.writer, c.request)
	if err != nil {
		return bodyRefusal(err)
	}
	// Clients that always send what they have of a body send null where that is nothing.
	if optional && string(bytes.TrimSpace(read)) == "null" {
		return nil
	}
	c.rawBody = read
	return bodyRefusal(web.DecodeBody(c.rawBody, body, report, further...))
}
