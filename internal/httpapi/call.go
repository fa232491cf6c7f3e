package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// call is one request on its way to an answer.
type call struct {
	server    *server
	request   *http.Request
	writer    web.Writer
	requestID string
	client    netip.Addr
	span      trace.Span
	// pattern is the path's template, for logs, metrics and traces; "unmatched" where there
	// is nothing.
	pattern string
	// route is nil while none was found.
	route  *route
	caller caller

	// faults is what is wrong with the request, as far as it was read.
	faults escrow.Faults
	// query and body point to what was decoded, of the types that the route has.
	query, body any
	// versions are those that If-Match names; nil is any.
	versions []int64
	// rawBody is the body as it was sent.
	rawBody []byte
	tenant  tenant
	// missing is the refusal of a command whose path names nothing; nil where it names something.
	missing error

	// nonce makes the secret in the answer; nil where there is none.
	nonce []byte
	// replayed says that the answer is that of an earlier request.
	replayed bool
	// dryRun says that the request asks what would become of it, and judgedOn where the journal stood
	// when that was judged; nil where it was not.
	dryRun   bool
	judgedOn *int64
	// glass is what the body says of why the operator does not wait for an approval.
	glass glassFields
	// release ends what reserveMemory began; nil where nothing is reserved.
	release func()
	// failure is the error that was answered.
	failure error
	// gone says that the request failed after its client had gone.
	gone bool
	// wait is how long the client is to wait before it tries again.
	wait time.Duration
}

// context ends with the request's time.
func (c *call) context() context.Context { return c.request.Context() }

// queryOf returns the query of a request, whose route has one of this type.
func queryOf[Q any](c *call) Q { return decoded[Q](c, c.query) }

// bodyOf returns the body of a request, whose route has one of this type. It is the zero
// value where the body may be left out and was.
func bodyOf[B any](c *call) B { return decoded[B](c, c.body) }

// decoded panics where the table of routes names another type than the handler: no request
// would ever pass.
func decoded[T any](c *call, value any) T {
	read, ok := value.(*T)
	if !ok {
		panic(fmt.Sprintf("%s takes %T, and its handler reads %T", c.route.pattern, value, *new(T)))
	}
	return *read
}

// reply is what a handler answers. A body is encoded as JSON; raw is sent as it is, and what
// stream writes piece by piece, with the content type. Other fields are headers, and empty where
// there is none.
type reply struct {
	status      int
	body        any
	raw         []byte
	stream      func(io.Writer) error
	contentType string
	etag        string
	location    string
	// next is the path of what continues the answer.
	next     string
	replayed bool
}

// ok answers what was asked for.
func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

// tagged gives an answer the entity tag of a version.
func (r reply) tagged(version int64) reply {
	r.etag = web.ETag(version)
	return r
}

// created answers what a command has made, and where it is.
func created(location string, body any) reply {
	return reply{status: http.StatusCreated, body: body, location: location}
}

// write sends an answer. Where it cannot be encoded, an error is sent instead: nothing was
// sent yet.
func (c *call) write(r reply) {
	if r.etag != "" {
		c.writer.Header().Set("Etag", r.etag)
	}
	if r.location != "" {
		c.writer.Header().Set("Location", r.location)
	}
	if r.next != "" {
		c.writer.Header().Set("Link", "<"+r.next+`>; rel="next"`)
	}
	if r.replayed {
		c.writer.Header().Set("Idempotent-Replayed", "true")
	}

	err := c.send(r)
	if err != nil {
		c.writeError(escrow.Wrap(escrow.CodeInternal, err, "Something went wrong on the server."))
	}
}

// send sends the body of an answer. Where that fails, nothing was sent.
func (c *call) send(r reply) (err error) {
	if r.stream != nil {
		return c.writer.Stream(r.status, r.contentType, r.stream)
	}
	if r.body != nil {
		if r.raw, err = encode(r.body); err != nil {
			return err
		}
		r.contentType = web.ContentTypeJSON
	}
	c.writer.Send(r.status, r.contentType, r.raw)
	return nil
}
