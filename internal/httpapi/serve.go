package httpapi

import (
	"net/http"
	"reflect"
	"runtime/debug"
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
		client:    web.ClientAddress(r, s.config.TrustedProxies),
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
	if !web.IsCommand(r.Method) {
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

	// A key is asked for before anything else is told, 404 and 405 included. Its rate is that
	// of all it sends, whatever becomes of it.
	if c.route == nil || c.route.permission != public {
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
	if err := c.route.permission.check(c); err != nil {
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
	answer.replayed = c.replayed
	return answer, err
}

// admit refuses a command for which the queue has no room, before reading it. A command of
// root's is let through: only its body can name the institution.
func (s *server) admit(c *call) error {
	if !c.route.isCommand() || c.caller.root {
		return nil
	}
	return s.engine.Admit(c.caller.institution)
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
	case c.route.isCommand():
		web.DecodeQuery(c.request.URL.RawQuery, &struct{}{}, report)
	}
	if c.route.isCommand() {
		c.checkIdempotencyKey()
	}

	if takes.Body == nil {
		return nil
	}
	c.body = reflect.New(reflect.TypeOf(takes.Body)).Interface()
	// A body whose length is not told has -1.
	if takes.BodyOptional && c.request.ContentLength == 0 {
		return nil
	}
	var err error
	if c.rawBody, err = web.ReadBody(&c.writer, c.request); err != nil {
		return bodyRefusal(err)
	}
	return bodyRefusal(web.DecodeBody(c.rawBody, c.body, report))
}
